"""Lines about vaults."""

from __future__ import annotations

from collections.abc import Iterator

from holdfast.cli.output import Page
from holdfast.cli.phrases import age, count, moment, short_id
from holdfast.cli.schemas.vaults import Member, VaultChecked, VaultCreated, VaultInfo
from holdfast.cli.views.layout import Column, fact_lines, table
from holdfast.units import format_duration, format_size

__all__ = ["created_lines", "info_lines", "checked_lines"]

_ENCRYPTED = {
    1: "AES-256-GCM, keys sealed by X25519 + ML-KEM-768",
    2: "AES-256-GCM, keys sealed by P-384 + ML-KEM-1024",
}
_RIGHTS = {"keeper": "add, drop, admit", "writer": "add"}
_PLAIN = "none: everybody who reaches the store can read it"


def created_lines(record: VaultCreated, page: Page) -> Iterator[str]:
    facts = [
        ("vault", record.vault),
        ("store", record.url),
        ("encryption", _ENCRYPTED.get(record.suite, "of a newer version") if record.encrypted else _PLAIN),
        ("opened by", ", ".join(record.recipients)),
        ("key file", record.key_file),
    ]
    yield from fact_lines(facts, page.width)


def info_lines(record: VaultInfo, page: Page) -> Iterator[str]:
    facts = [
        ("vault", record.vault),
        ("store", record.url),
        ("format", f"{record.format}, configuration {record.generation}"),
        ("encryption", _ENCRYPTED.get(record.suite, "of a newer version") if record.encrypted else _PLAIN),
        ("this key", record.label if record.label == record.role else f"{record.label} ({record.role})"),
        (
            "holds",
            f"{count(record.snapshots, 'snapshot')}, {format_size(record.stored_bytes)} in "
            f"{count(record.packs, 'pack')}",
        ),
    ]
    yield from fact_lines(facts, page.width)
    yield ""
    columns = [Column("MEMBER", elastic=True), Column("MAY"), Column("SINCE")]
    yield from table(columns, _members(record.members, page), page.width)
    if record.assets is None:
        yield ""
        yield "a writer's key reads no snapshots: the assets are not shown"
    elif record.assets:
        yield ""
        columns = [
            Column("ASSET", elastic=True),
            Column("SNAPSHOTS", right=True),
            Column("LATEST"),
            Column("VALIDATED"),
        ]
        rows = [
            [
                asset.name,
                f"{asset.snapshots:,}",
                _pointed(asset.latest, asset.latest_content, page),
                _pointed(asset.validated, asset.validated_content, page),
            ]
            for asset in record.assets
        ]
        yield from table(columns, rows, page.width)


def checked_lines(record: VaultChecked, page: Page) -> Iterator[str]:
    read = (
        f"{record.packs_read:,} of {count(record.packs, 'pack')} read, {format_size(record.bytes_read)}"
        if record.data_read
        else f"{count(record.packs, 'pack')}, sizes only (--read-data reads them)"
    )
    facts = [
        ("vault", record.vault),
        ("structure", f"{count(record.objects, 'object')}, {count(record.snapshots, 'snapshot')}"),
        ("data", read),
        ("proven", _proof_text(record)),
        (
            "result",
            "sound as far as was looked" if record.sound else f"DAMAGED: {count(len(record.damages), 'object')}",
        ),
    ]
    yield from fact_lines(facts, page.width)
    for note in record.notes:
        yield from fact_lines([("note", note)], page.width)
    for damage in record.damages:
        yield ""
        hurt = [short_id(snapshot) for snapshot in damage.snapshots]
        yield from fact_lines(
            [("object", damage.object), ("damage", damage.message), ("needed by", " ".join(hurt) or "no snapshot")],
            page.width,
        )


def _proof_text(record: VaultChecked) -> str:
    """How well the packs are proven, by all checks of this machine."""
    if not record.packs:
        return ""
    recent = f"{100 * record.recently_proven_share:.0f} % of the packs within 30 days"
    if record.packs_never_proven:
        return f"{recent}, {record.packs_never_proven:,} never on this machine"
    return f"{recent}, the oldest {format_duration(record.oldest_proof_seconds or 0.0)} ago"


def _members(members: list[Member], page: Page) -> Iterator[list[str]]:
    """One row for each label: a keeper signs and, as a rule, reads."""
    readers = {member.label for member in members if member.role == "reader"}
    signers = {member.label for member in members if member.added is not None}
    for member in members:
        if member.revoked:
            yield [member.label, "nothing", f"revoked {moment(member.revoked, page.now_ns)}"]
        elif member.added:
            reads = "read, " if member.label in readers else ""
            yield [member.label, reads + _RIGHTS.get(member.role, member.role), moment(member.added, page.now_ns)]
        elif member.label not in signers:
            yield [member.label, "read (with the passphrase)" if member.role == "passphrase" else "read", ""]


def _pointed(snapshot: str | None, content: str | None, page: Page) -> str:
    return f"{short_id(snapshot)}, {age(content, page.now_ns)}" if snapshot and content else "–"
