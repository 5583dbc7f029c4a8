"""Lines of `key`."""

from __future__ import annotations

from collections.abc import Iterator

from holdfast.cli.output import Page
from holdfast.cli.phrases import count
from holdfast.cli.schemas.keys import (
    KeyCombined,
    KeyCreated,
    KeyExported,
    KeyFacts,
    KeyList,
    KeyResealed,
    KeyRevoked,
    KeyRotated,
    KeyShown,
    KeySplit,
    RecipientAdded,
    RecipientRemoved,
    ResealFacts,
)
from holdfast.cli.views.layout import Column, fact_lines, table
from holdfast.units import format_size

__all__ = [
    "list_lines",
    "created_lines",
    "shown_lines",
    "exported_lines",
    "revoked_lines",
    "rotated_lines",
    "resealed_lines",
    "added_lines",
    "removed_lines",
    "split_lines",
    "combined_lines",
]

_KINDS = {"keyfile": "key file", "passphrase": "passphrase", "kms": "key service", "shares": "shares"}


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
        "keeper": "do everything",
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
    yield from fact_lines(facts + (_resealed(record.resealed) if record.resealed else []), page.width)


def resealed_lines(record: KeyResealed, page: Page) -> Iterator[str]:
    yield from fact_lines([("vault", record.vault), *_resealed(record.resealed)], page.width)


def _resealed(facts: ResealFacts) -> list[tuple[str, str]]:
    of_epoch = f"{count(facts.packs, 'pack')}, {format_size(facts.bytes)}"
    done = f"{count(facts.condemned, 'old pack')}, {format_size(facts.condemned_bytes)}; `vault collect` deletes them"
    stay = f"{count(facts.documents, 'document')}, {format_size(facts.document_bytes)}: names and statistics"
    young = f"{count(facts.young, 'pack')}, {format_size(facts.young_bytes)}: younger than a day, for another run"
    return [
        ("to seal anew" if facts.dry_run else "earlier epochs", f"{of_epoch}, to epoch {facts.epoch}"),
        ("written", "" if facts.dry_run else format_size(facts.written)),
        ("condemned", "" if facts.dry_run else done),
        ("waiting", young if facts.young else ""),
        ("unreadable", ", ".join(facts.left)),
        ("stay as they are", stay if facts.documents else ""),
    ]


def created_lines(record: KeyCreated, page: Page) -> Iterator[str]:
    facts = [
        ("vault", record.vault),
        ("recipient", f"{record.label}, id {record.id}"),
        ("key file", record.file),
        ("for the keeper", record.public_file),
        ("believes", ", ".join(record.keepers)),
    ]
    yield from fact_lines(facts, page.width)


def shown_lines(record: KeyShown, page: Page) -> Iterator[str]:
    facts = [
        ("key file", record.file),
        ("vault", record.vault),
        ("member", f"{record.label or '(no label)'} ({record.role})"),
        ("opens as", record.opener or "opens nothing"),
        ("signs as", record.signer or "signs nothing"),
        ("suites", ", ".join(map(str, record.suites))),
        ("believes", ", ".join(record.keepers) or "whoever a configuration that it opens names"),
    ]
    yield from fact_lines(facts, page.width)


def added_lines(record: RecipientAdded, page: Page) -> Iterator[str]:
    facts = [
        ("vault", record.vault),
        ("recipient", f"{record.label} ({_KINDS.get(record.kind, record.kind)}), id {record.id}"),
        ("opens", _epochs(record.epochs)),
    ]
    yield from fact_lines(facts, page.width)


def removed_lines(record: RecipientRemoved, page: Page) -> Iterator[str]:
    facts = [
        ("vault", record.vault),
        ("removed", f"{record.label} ({_KINDS.get(record.kind, record.kind)})"),
        ("it may have kept", f"the keys of {_epochs(record.epochs)}: what is sealed to these, it can still open"),
        ("opened by", ", ".join(record.remaining)),
    ]
    yield from fact_lines(facts, page.width)


def split_lines(record: KeySplit, page: Page) -> Iterator[str]:
    facts = [
        ("vault", record.vault),
        ("recipient", f"{record.label}, id {record.id}"),
        ("opens with", f"any {record.threshold} of {len(record.files)} shares"),
        *(("" if number else "shares", file) for number, file in enumerate(record.files)),
    ]
    yield from fact_lines(facts, page.width)


def combined_lines(record: KeyCombined, page: Page) -> Iterator[str]:
    facts = [
        ("vault", record.vault),
        ("recipient", f"{record.label}, id {record.id}"),
        ("of shares", ", ".join(map(str, record.shares))),
        ("key file", record.file),
    ]
    yield from fact_lines(facts, page.width)


def _epochs(numbers: list[int]) -> str:
    return f"epoch {numbers[0]}" if len(numbers) == 1 else f"epochs {', '.join(map(str, numbers))}"


def _unusual_name(key: KeyFacts) -> str:
    """The file, unless its name is made of what the other columns say."""
    label = "" if key.label in ("", key.role) else f"-{key.label}"
    return "" if key.file.endswith(f"/{key.vault}.{key.role}{label}.key") else key.file
