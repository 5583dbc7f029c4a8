"""Lines of `key`."""

from __future__ import annotations

from collections.abc import Iterator

from holdfast.cli.output import Page
from holdfast.cli.schemas.keys import KeyExported, KeyFacts, KeyList, KeyRevoked, KeyRotated
from holdfast.cli.views.layout import Column, fact_lines, table

__all__ = ["list_lines", "exported_lines", "revoked_lines", "rotated_lines"]


def list_lines(record: KeyList, page: Page) -> Iterator[str]:
    place = record.folder or "the file that HOLDFAST_KEY_FILE names, and no other"
    passphrase = "HOLDFAST_PASSPHRASE is set" if record.passphrase else ""
    yield from fact_lines([("keys in", place), ("besides", passphrase)], page.width)
    usable = [key for key in record.keys if key.error is None]
    if usable:
        yield ""
        rows = [[key.vault or "", key.role or "", key.label or "", _unusual_name(key)] for key in usable]
        file = "FILE" if any(row[-1] for row in rows) else ""
        columns = [Column("VAULT"), Column("ROLE"), Column("LABEL"), Column(file)]
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


def rotated_lines(record: KeyRotated, page: Page) -> Iterator[str]:
    facts = [("vault", record.vault), ("epoch", str(record.epoch)), ("opened by", ", ".join(record.members))]
    yield from fact_lines(facts, page.width)


def _unusual_name(key: KeyFacts) -> str:
    """The file, unless its name is made of what the other columns say."""
    label = "" if key.label in ("", key.role) else f"-{key.label}"
    return "" if key.file.endswith(f"/{key.vault}.{key.role}{label}.key") else key.file
