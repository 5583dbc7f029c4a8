"""Lines of `audit`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from holdfast.cli.output import Page
from holdfast.cli.phrases import count
from holdfast.cli.schemas.audit import (
    AuditAppended,
    AuditCreated,
    AuditProved,
    AuditShown,
    AuditVerified,
    AuditWitnessed,
    AuditWitnessKey,
)
from holdfast.cli.views.layout import Column, fact_lines, table

__all__ = [
    "appended_lines",
    "created_lines",
    "proved_lines",
    "shown_lines",
    "verified_lines",
    "witness_key_lines",
    "witnessed_lines",
]


def created_lines(record: AuditCreated, page: Page) -> Iterator[str]:
    facts = [
        ("vault", record.vault),
        ("log", record.origin),
        ("key", record.keys[0]),
        ("", _quantum(record.keys)),
        ("witnesses", _witnesses(record.witnesses, record.quorum)),
        ("names", "in plain text" if record.names else "as keyed hashes"),
        ("key file", record.key_file),
    ]
    yield from fact_lines(facts, page.width)


def appended_lines(record: AuditAppended, page: Page) -> Iterator[str]:
    facts = [
        ("log", record.origin),
        ("recorded", record.recorded or ""),
        ("into the log", count(record.sequenced, "entry")),
        ("waiting", f"{count(record.waiting, 'entry')} whose predecessor is not to be seen" if record.waiting else ""),
        ("size", f"{record.size:,}" if record.size is not None else "no checkpoint yet"),
        ("root", record.root or ""),
        ("cosigned by", ", ".join(record.cosigned)),
        *((f"gap of {label}", count(holes, "hole")) for label, holes in record.gaps.items()),
        *(("refused", f"{key}: {why}") for key, why in record.refused.items()),
    ]
    yield from fact_lines(facts, page.width)


def verified_lines(record: AuditVerified, page: Page) -> Iterator[str]:
    seen = f"{count(record.seen_size, 'entry')}, and it continues them" if record.seen_size is not None else "never"
    if record.seen_size is not None and not record.sound:
        seen = count(record.seen_size, "entry")
    facts = [
        ("log", record.origin),
        ("sound", "yes" if record.sound else "NO"),
        ("size", f"{count(record.size, 'entry')} in {count(record.checkpoints, 'checkpoint')}"),
        ("root", record.root or ""),
        ("seen before", seen),
        ("witnessed", _witnessed(record)),
        ("key", record.keys[0]),
        ("", _quantum(record.keys)),
        *(
            ("before", f"{one.keys[0].split('+')[1]}, counts up to {count(one.size, 'entry')}")
            for one in reversed(record.earlier_keys)
        ),
        *((f"by {label}", count(entries, "entry")) for label, entries in record.members.items()),
    ]
    yield from fact_lines(facts, page.width)
    for finding in record.findings:
        yield ""
        yield from fact_lines([(finding.kind, finding.object), ("", finding.message)], page.width)


def proved_lines(record: AuditProved, page: Page) -> Iterator[str]:
    facts = [
        ("log", record.origin),
        ("entry", f"{record.number} of {record.size}"),
        ("proof", record.file),
        ("verify", f"python docs/verify-tlog-proof.py {record.file} VKEY"),
    ]
    yield from fact_lines(facts, page.width)


def shown_lines(records: Sequence[AuditShown], page: Page) -> list[str]:
    columns = [
        Column("NUMBER", right=True),
        Column("TIME"),
        Column("ACTOR", elastic=True),
        Column("ACTION"),
        Column("DECISION"),
        Column("OUTCOME", elastic=True),
    ]
    rows = [
        [
            str(one.number),
            f"{one.time[:10]} {one.time[11:19]}",
            one.actor if one.signed else f"{one.actor} (log)".strip(),
            one.action,
            one.decision,
            one.outcome,
        ]
        for one in records
    ]
    return table(columns, rows, page.width)


def witnessed_lines(record: AuditWitnessed, page: Page) -> Iterator[str]:
    facts = [
        ("log", record.origin),
        ("witness", record.witness),
        ("size", count(record.size, "entry")),
        ("root", record.root),
        ("cosignature", "on the log's store" if record.stored else "not stored: give it to who keeps the log"),
    ]
    yield from fact_lines(facts, page.width)
    if not record.stored:
        yield from (line.rstrip("\n") for line in record.lines)


def witness_key_lines(record: AuditWitnessKey, page: Page) -> Iterator[str]:
    yield from fact_lines([("witness", record.name), ("key file", record.file)], page.width)
    yield from (f"public key  {key}" for key in record.keys)


def _quantum(keys: Sequence[str]) -> str:
    return f"and an ML-DSA-44 key ({keys[1].split('+')[1]}; --json shows it)" if len(keys) > 1 else ""


def _witnesses(keys: Sequence[str], quorum: int) -> str:
    names = sorted({key.partition("+")[0] for key in keys})
    return (
        f"{', '.join(names)}; {quorum} of them must cosign" if names else "none: a fork shows only to who looked before"
    )


def _witnessed(record: AuditVerified) -> str:
    if record.witnesses:
        return f"by {', '.join(record.witnesses)}"
    if record.witnessed_size:
        return f"up to {count(record.witnessed_size, 'entry')}; the newest checkpoint by nobody"
    return "by nobody"
