"""Sections of the evidence page about what happened: snapshots, checks, bytes, findings, moments."""

from __future__ import annotations

from collections.abc import Sequence

from holdfast.evidence.markup import Child, Markup, join, tag
from holdfast.evidence.page_parts import badge, bullets, code, duration, facts, number, size, table
from holdfast.evidence.record import Evidence
from holdfast.evidence.record_outcome import (
    Arrival,
    ArrivalState,
    Bytes,
    Check,
    CheckResult,
    ClockKind,
    Deviation,
    DeviationKind,
    MomentKind,
    SnapshotRow,
)
from holdfast.evidence.record_setting import LATER, CleanUp, Finding
from holdfast.objectives import NotMeasured
from holdfast.units import format_ratio

__all__ = ["snapshots_table", "checks_list", "bytes_table", "moments_table"]
__all__ += ["deviations_list", "findings_table", "clean_up_list"]

_MECHANISMS = {
    "dedup": "the vault had them already",
    "delta": "difference to an earlier snapshot",
    "planes": "numbers split into byte planes",
    "zstd": "general compression",
    "raw": "stored as they are",
}


def snapshots_table(record: Evidence) -> Markup:
    """Snapshots × sites. The recovery point is marked; what was considered and rejected says why."""
    if not record.snapshots:
        return tag("p", "No snapshot was taken.", class_="muted")
    sites = [site.name for site in record.scope.sites]
    fault = record.moment(MomentKind.FAULT)
    rows, classes = [], []
    for row in record.snapshots:
        age: Child = "" if fault is None else _age(fault.offset_seconds - row.content_offset_seconds)
        rows.append([_snapshot_name(record, row), age, *(_arrival(row, site) for site in sites)])
        classes.append("chosen" if row.snapshot_id == record.results.recovery_point else "")
    heads = ["Snapshot", "Before the fault", *(f"Site {name}" for name in sites)]
    return table(
        "Snapshots by site: what had arrived, and when (seconds from the start)",
        heads,
        rows,
        classes=classes,
    )


def _snapshot_name(record: Evidence, row: SnapshotRow) -> Markup:
    step = "step unknown" if isinstance(row.step, NotMeasured) else f"step {row.step}"
    parts: list[Child] = [tag("span", step, class_="nowrap"), tag("br"), code(row.snapshot_id)]
    if row.snapshot_id == record.results.recovery_point:
        parts += [tag("br"), tag("span", "recovery point", class_="badge plain")]
    if row.rejected:
        parts += [tag("br"), tag("span", f"rejected: {row.rejected}", class_="muted")]
    return join(*parts)


def _age(seconds: float) -> Markup:
    return tag("span", duration(seconds), class_="nowrap")


def _arrival(row: SnapshotRow, site: str) -> Markup:
    arrival = next((arrival for arrival in row.arrivals if arrival.site == site), None)
    if arrival is None:
        return tag("span", "NOT_MEASURED", class_="muted")
    return join(_arrival_state(arrival), _arrival_time(arrival))


def _arrival_state(arrival: Arrival) -> Markup:
    good = arrival.state in (ArrivalState.COMPLETE, ArrivalState.VERIFIED)
    sign = "✓" if good else "–"
    return tag("span", f"{sign} {arrival.state}", class_="nowrap good" if good else "nowrap muted")


def _arrival_time(arrival: Arrival) -> Markup:
    if isinstance(arrival.offset_seconds, NotMeasured):
        return join()
    return tag("span", tag("br"), f"at {arrival.offset_seconds:.2f} s", class_="nowrap muted")


def checks_list(record: Evidence) -> Markup:
    """Every check with what it compared, digests one below the other."""
    sample = f"Share of the recovered content that was looked at: {number(record.integrity.sample_percent, '%')}."
    return join(*(_check(check) for check in record.integrity.checks), tag("p", sample, class_="muted"))


def _check(check: Check) -> Markup:
    compared: Child = ""
    if check.expected or check.actual:
        same = "identical" if check.expected == check.actual else "different"
        compared = facts([("expected", code(check.expected)), ("found", code(check.actual)), ("they are", same)])
    return tag(
        "div",
        tag("h3", badge(check.result), f" {check.name} ", tag("small", f"level: {check.level}")),
        tag("p", check.detail),
        compared,
        class_="check" if check.result is CheckResult.PASSED else "check open",
    )


def bytes_table(moved: Bytes | NotMeasured) -> Markup:
    """Bytes before and after, mechanism by mechanism."""
    if isinstance(moved, NotMeasured):
        return tag("p", badge(str(moved)))
    most = max((row.bytes_before for row in moved.rows), default=0) or 1
    rows: list[list[Child]] = [
        [
            join(row.mechanism, tag("br"), tag("small", _MECHANISMS.get(row.mechanism, ""))),
            number(row.chunks),
            _bars(row.bytes_before / most, row.bytes_after / most),
            size(row.bytes_before),
            size(row.bytes_after),
            format_ratio(row.bytes_after, row.bytes_before),
        ]
        for row in moved.rows
    ]
    rows.append(["keys, indexes, manifests", "–", "", "–", size(moved.overhead_bytes), "–"])
    totals = ["all snapshots", number(sum(row.chunks for row in moved.rows)), ""]
    sizes = [size(moved.source), size(moved.stored), format_ratio(moved.stored, moved.source)]
    rows.append([*totals, *sizes])
    classes = [""] * (len(rows) - 1) + ["total"]
    heads = ["Mechanism", "Chunks", "Before and after", "Before", "After", "After / before"]
    shipped = [(f"Sent to site {item.site}", size(item.bytes_sent)) for item in moved.shipped]
    return join(table("Bytes by mechanism", heads, rows, classes=classes), facts(shipped) if shipped else "")


def _bars(before: float, after: float) -> Markup:
    def bar(fraction: float, y: int, class_: str) -> Markup:
        return tag("rect", x=0, y=y, height=6, width=f"{fraction * 100:.2f}%", class_=class_)

    drawn = [bar(before, 2, "before"), bar(after, 10, "after")]
    return tag("svg", *drawn, class_="bars", width="100%", height=18, aria_hidden="true")


def moments_table(record: Evidence) -> Markup:
    """The timeline in full. Offsets by wall clocks are marked."""
    rows: list[list[Child]] = []
    for moment in record.timeline:
        what: list[Child] = [moment.text]
        if moment.result_sha256:
            what += [tag("br"), tag("small", "result "), code(moment.result_sha256)]
        where = f"site {moment.site}" if moment.site else ""
        mark = "" if moment.clock is ClockKind.MONOTONIC else " w"
        offset = tag("span", f"{moment.offset_seconds:.3f} s{mark}", class_="nowrap")
        rows.append([offset, moment.kind, join(*what), where, tag("small", moment.utc, class_="nowrap")])
    caption = "Moments, in seconds from the start (w: by wall clocks, not monotonic)"
    return table(caption, ["At", "Kind", "What", "Where", "UTC"], rows)


def deviations_list(deviations: Sequence[Deviation | str]) -> Markup:
    """What did not go as planned."""
    told = [one if isinstance(one, str) else _deviation(one) for one in deviations]
    return bullets(told, "No step was skipped, repeated, overridden or done by hand.")


def _deviation(one: Deviation) -> Markup:
    who = f" ({one.by})" if one.by and one.kind in _BY_PEOPLE else ""
    when = tag("small", f" {one.utc}") if one.utc else ""
    return join(tag("strong", f"{one.kind}: "), one.text, who, when)


_BY_PEOPLE = (DeviationKind.SKIPPED, DeviationKind.STOPPED, DeviationKind.PAUSED, DeviationKind.MANUAL)


def findings_table(findings: Sequence[Finding]) -> Markup:
    """What has to be put right, by whom and until when."""
    if not findings:
        return tag("p", "No findings.", class_="muted")
    rows: list[list[Child]] = [
        [
            item.severity,
            join(item.text, tag("br"), tag("small", f"finding {item.finding_id}")) if item.finding_id else item.text,
            item.owner or "not named",
            item.due or "not set",
            item.retest or "not set",
        ]
        for item in findings
    ]
    return table("Findings", ["Severity", "Finding", "Owner", "Due", "Retest"], rows)


def clean_up_list(clean_up: CleanUp) -> Markup:
    """What the drill made, and what is left."""
    nothing = LATER if clean_up.later else "nothing"
    return facts(
        [
            ("Created", bullets(clean_up.created, "nothing")),
            ("Removed", bullets(clean_up.removed, nothing)),
            ("Left", bullets(clean_up.left, nothing)),
            ("Cost", number(clean_up.cost_usd, "USD")),
        ]
    )
