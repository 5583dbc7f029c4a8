"""Lines of `key`."""

from __future__ import annotations

from collections.abc import Iterator

from holdfast.cli.output import Page
from holdfast.cli.schemas.keys import KeyExported, KeyList, KeyRevoked
from holdfast.cli.views.layout import Column, fact_lines, table

__all__ = ["list_lines", "exported_lines", "revoked_lines"]


def list_lines(record: KeyList, page: Page) -> Iterator[str]:
    place = record.folder or "the file that HOLDFAST_KEY_FILE names, and no other"
    passphrase = "HOLDFAST_PASSPHRASE is set" if record.passphrase else ""
    yield from fact_lines([("keys in", place), ("besides", passphrase)], page.width)
    usable = [key for key in record.keys if key.error is None]
    if usable:
        yield ""
        columns = [Column("VAULT"), Column("ROLE"), Column("LABEL", elastic=True), Column("FILE")]
        rows = [[key.vault or "", key.role or "", key.label or "", _short(key.file, record.folder)] for key in usable]
        yield from table(columns, rows, page.width)
    for key in record.keys:
        if key.error is not None:
            yield ""
            yield from fact_lines([("file", key.file), ("unusable", key.error)], page.width)


def exported_lines(record: KeyExported, page: Page) -> Iterator[str]:
    may = {
        "writer": "add snapshots; neither read nor drop any",
        "reader": "read everything up to now and in this epoch",
    }
    facts = [
        ("vault", record.vault),
        ("member", f"{record.label} ({record.role})"),
        ("may", may.get(record.role, "")),
        ("key file", record.file),
    ]
    yield from fact_lines(facts, page.width)


def revoked_lines(record: KeyRevoked, page: Page) -> Iterator[str]:
    yield from fact_lines([("vault", record.vault), ("revoked", record.label)], page.width)


def _short(path: str, folder: str | None) -> str:
    return path.removeprefix(f"{folder}/") if folder else path
