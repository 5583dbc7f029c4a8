"""Sections of the PDF about what was set up, what happened, what was found, and what to trust."""

from __future__ import annotations

from collections.abc import Iterator

from reportlab.platypus import Flowable

from holdfast.evidence.evidence_page import Seal
from holdfast.evidence.page_parts import duration, number
from holdfast.evidence.pdf.parts import Heading, facts, grid, mono, note
from holdfast.evidence.record import Evidence
from holdfast.evidence.record_outcome import ClockKind
from holdfast.evidence.record_setting import LATER
from holdfast.objectives import NotMeasured

__all__ = ["clean_up", "findings", "people", "scenario", "scope", "steps", "targets", "timeline", "trust"]


def scope(record: Evidence) -> Iterator[Flowable]:
    """2"""
    said = record.scope
    yield Heading("2 Scope")
    yield from facts([("Assets", f"{said.asset}: {said.description}")])
    assets = [
        [one.name, one.asset_class, mono(one.snapshot_id or "–"), number(one.step), one.content_utc or "–"]
        for one in said.assets
    ]
    yield from grid(
        ["Asset", "Class", "Version that came back", "Step", "Content of (UTC)"], assets, (22, 18, 36, 10, 28)
    )
    yield from grid(["Site", "Role", "Place"], [[one.name, one.role, one.place] for one in said.sites], (18, 44, 50))
    excluded = [[one.what, one.reason, one.owner or "not named", one.expires or "no date"] for one in said.exclusions]
    yield from grid(["Left out", "Reason", "Owner", "Until"], excluded, (30, 50, 18, 18))
    yield from facts([("Third parties", ", ".join(said.third_parties) or "none")])


def scenario(record: Evidence) -> Iterator[Flowable]:
    """3"""
    said = record.scenario
    yield Heading("3 Scenario")
    yield from facts(
        [
            ("Disruption", f"{said.disruption} {said.name}"),
            ("Summary", said.summary),
            ("Injected", "; ".join(said.injected) or "nothing"),
            ("Real", "; ".join(said.real) or "nothing"),
            ("Simulated", "; ".join(said.simulated) or "nothing"),
        ]
    )
    rows = [
        [
            one.what,
            one.site,
            f"{one.offset_seconds:.3f} s",
            "real" if one.real else "simulated",
            str(one.bit),
            one.evidence,
        ]
        for one in said.faults
    ]
    yield from grid(["Fault", "Site", "At", "Real", "Took effect", "What was seen"], rows, (34, 12, 14, 14, 18, 34))


def _real(real: bool) -> str:
    return "real" if real else "simulated"


def people(record: Evidence) -> Iterator[Flowable]:
    """4"""
    yield Heading("4 People")
    if not record.people:
        yield note("Nobody: roles, approval and absence were not exercised.")
    rows = [
        [one.name, f"{one.role}{', absent' if one.absent else ''}", one.utc or "–", one.detail or "–"]
        for one in record.people
    ]
    yield from grid(["Who", "Role", "When (UTC)", "Remark"], rows, (28, 24, 28, 36))


def targets(record: Evidence) -> Iterator[Flowable]:
    """5"""
    said = record.targets
    yield Heading("5 Targets")
    objective = said.objective
    yield from facts(
        [
            ("Class", objective.asset_class),
            ("RPO, RTO", f"{_target(objective.rpo_seconds)}, {_target(objective.rto_seconds)}"),
            ("Copies", f"{objective.copies or 'none set'}, {objective.placement}"),
            (
                "Steps, capacity, money",
                ", ".join(map(_set, (said.steps_lost_max, said.capacity_min_percent, said.budget_usd))),
            ),
        ]
    )
    if said.policy is not None:
        rows = [[one.asset, one.name, one.value, one.source] for one in said.policy.values]
        yield from grid(["Asset", "Name", "Value", "Said by"], rows, (30, 26, 26, 40))
        yield from facts([("SHA-256 of the file", mono(said.policy.sha256))])


def _target(seconds: float | None) -> str:
    return "none set" if seconds is None else duration(seconds)


def _set(value: float | None) -> str:
    return "none set" if value is None else number(value)


def timeline(record: Evidence) -> Iterator[Flowable]:
    """6"""
    yield Heading("6 Timeline")
    yield note("Seconds from the start; w: a difference of wall clocks, not monotonic.")
    rows: list[list[str | Flowable]] = [
        [
            f"{one.offset_seconds:.3f}{'' if one.clock is ClockKind.MONOTONIC else ' w'}",
            one.utc,
            one.kind,
            one.text,
            one.site or "–",
        ]
        for one in record.timeline
    ]
    yield from grid(["Seconds", "UTC", "Kind", "What", "Site"], rows, (16, 32, 17, 50, 13))


def steps(record: Evidence) -> Iterator[Flowable]:
    """Every step of the plan."""
    if not record.steps:
        return
    yield Heading("Steps")
    rows: list[list[str | Flowable]] = []
    for one in record.steps:
        planned = "NOT_MEASURED"
        if not isinstance(one.estimate_seconds, NotMeasured):
            planned = f"{duration(one.estimate_seconds)} ± {duration(one.estimate_error_seconds)}"
        times = mono(f"{one.begun_utc or '–'} {one.ended_utc}")
        rows.append(
            [
                one.step,
                one.state,
                number(one.attempts),
                duration(one.seconds),
                planned,
                times,
                mono(one.result_sha256 or "–"),
            ]
        )
    heads = ["Step", "State", "Tries", "Took", "Planned", "Begun, ended (UTC)", "Result (SHA-256)"]
    yield from grid(heads, rows, (24, 13, 9, 15, 23, 31, 32))


def findings(record: Evidence) -> Iterator[Flowable]:
    """9 and 10"""
    yield Heading("9 Deviations")
    if not record.deviations:
        yield note("No step was skipped, repeated, overridden or done by hand.")
    rows = [
        ["other", one, "", ""] if isinstance(one, str) else [one.kind, one.text, one.by, one.utc]
        for one in record.deviations
    ]
    yield from grid(["Kind", "What", "By", "When (UTC)"], rows, (16, 60, 24, 28))
    yield Heading("10 Findings")
    if not record.findings:
        yield note("No findings.")
    found = [
        [
            one.severity,
            one.text,
            one.owner or "not named",
            one.due or "not set",
            one.retest or "not set",
            mono(one.finding_id),
        ]
        for one in record.findings
    ]
    yield from grid(["Severity", "Finding", "Owner", "Due", "Retest", "Id"], found, (14, 38, 16, 16, 32, 18))
    closed = [[mono(one.finding_id), one.text, one.opened_utc] for one in record.closed]
    yield from grid(["Closed by this run", "Finding", "Opened (UTC)"], closed, (22, 60, 28))


def clean_up(record: Evidence) -> Iterator[Flowable]:
    """11"""
    said = record.clean_up
    nothing = LATER if said.later else "nothing"
    yield Heading("11 Clean-up")
    yield from facts(
        [
            ("Created", "; ".join(said.created) or "nothing"),
            ("Removed", "; ".join(said.removed) or nothing),
            ("Left over", "; ".join(said.left) or nothing),
            ("Cost", number(said.cost_usd, "USD")),
        ]
    )


def trust(record: Evidence, seal: Seal) -> Iterator[Flowable]:
    """12"""
    said = record.trust
    yield Heading("12 Trust")
    rows: list[tuple[str, str | Flowable]] = [
        ("SHA-256 of evidence.json", mono(seal.sha256)),
        ("Signed by", mono(seal.signer)),
        ("Signature", f"{seal.suite}, over manifest.json, which names every file"),
    ]
    if said.journal is not None:
        rows += [
            ("Journal", f"{said.journal.run}: {said.journal.entries} entries at {', '.join(said.journal.stores)}"),
            ("Head of its chain", mono(said.journal.head)),
        ]
    rows.append(("Audit log", said.log_proof))
    if said.log is not None:
        rows += [
            ("Log, size, root", mono(f"{said.log.origin} {said.log.size} {said.log.root}")),
            ("Its keys", mono(" ".join(key[:80] + "…" if len(key) > 81 else key for key in said.log.keys))),
        ]
    rows.append(("Kept", said.retention_class))
    yield from facts(rows)
    files = [[one.name, number(one.size_bytes), mono(one.sha256)] for one in said.files]
    yield from grid(["File", "Bytes", "SHA-256"], files, (40, 16, 60))
    yield note("Verify all files offline: python3 verify-evidence.py FOLDER --signer FINGERPRINT")
