"""Sections of the evidence page that came with version 2: steps, people, faults, policy, capacity, controls."""

from __future__ import annotations

from collections.abc import Sequence

from holdfast.evidence.controls import answers_of
from holdfast.evidence.markup import Child, Markup, join, tag
from holdfast.evidence.page_costs import money
from holdfast.evidence.page_parts import badge, bullets, code, duration, facts, number, shortened, table
from holdfast.evidence.record import Evidence
from holdfast.evidence.record_outcome import Capacity, Phase, RecoveryPoint, Results, StepRow
from holdfast.evidence.record_setting import ClosedFinding, Fault, Person, Targets
from holdfast.evidence.record_trust import Trust
from holdfast.objectives import NotMeasured

__all__ = [
    "capacity_table",
    "closed_list",
    "controls_table",
    "faults_table",
    "origins_list",
    "people_table",
    "phases_table",
    "points_list",
    "policy_table",
    "predicted_facts",
    "steps_table",
    "trust_facts",
    "work_facts",
]


def steps_table(steps: Sequence[StepRow]) -> Markup:
    """Every step with its times, what was planned, and the hash of its result."""
    rows: list[list[Child]] = []
    for row in steps:
        name: list[Child] = [row.step, tag("br"), tag("small", row.title)]
        took = duration(row.seconds)
        planned = "NOT_MEASURED"
        if not isinstance(row.estimate_seconds, NotMeasured):
            planned = (
                f"{duration(row.estimate_seconds)} ± {duration(row.estimate_error_seconds)}, {row.estimate_source}"
            )
        when = join(tag("small", row.begun_utc or "–", class_="nowrap"), tag("br"), tag("small", row.ended_utc))
        result: Child = code(row.result_sha256) if row.result_sha256 else "–"
        rows.append([join(*name), row.state, number(row.attempts), took, planned, when, tag("small", result)])
    heads = ["Step", "State", "Attempts", "Took", "Planned", "Begun, ended (UTC)", "Result (SHA-256)"]
    return tag("div", table("Steps of the plan, as the journal has them", heads, rows), class_="wide")


def phases_table(phases: Sequence[Phase]) -> Markup:
    """The round trip, a verdict each."""
    rows: list[list[Child]] = [
        [one.name, badge(one.outcome), duration(one.seconds), join(one.detail, _run(one.run))] for one in phases
    ]
    return table("The round trip", ["Phase", "Verdict", "Took", "What"], rows)


def _run(run: str) -> Markup:
    return join(tag("br"), tag("small", "run "), code(run)) if run else join()


def faults_table(faults: Sequence[Fault]) -> Markup:
    """What was broken, whether that was real, and whether it was seen to take effect."""
    rows: list[list[Child]] = []
    for one in faults:
        bit = str(one.bit) if isinstance(one.bit, NotMeasured) else "yes" if one.bit else "no"
        seen = join(bit, tag("br"), tag("small", one.evidence)) if one.evidence else bit
        when = join(f"{one.offset_seconds:.3f} s", tag("br"), tag("small", one.utc, class_="nowrap"))
        rows.append([one.what, one.site or "–", when, "real" if one.real else "simulated", seen, one.healed_utc or "–"])
    return table("Faults", ["What", "Site", "When", "Real", "Took effect", "Taken back (UTC)"], rows)


def people_table(people: Sequence[Person]) -> Markup:
    """Who did what, and who was kept away."""
    rows: list[list[Child]] = [
        [one.name, f"{one.role}{', absent' if one.absent else ''}", tag("small", one.utc or "–"), one.detail or "–"]
        for one in people
    ]
    return table("People", ["Who", "Role", "When (UTC)", "Remark"], rows)


def policy_table(targets: Targets) -> Markup:
    """What counted for each asset when the run began, and where that was said."""
    if targets.policy is None:
        return join()
    rows: list[list[Child]] = [[one.asset, one.name, one.value, one.source] for one in targets.policy.values]
    digest = tag("p", "SHA-256 of the file: ", code(targets.policy.sha256), class_="muted")
    return join(table("Policy at the start", ["Asset", "Name", "Value", "Said by"], rows), digest)


def points_list(points: Sequence[RecoveryPoint]) -> Markup:
    """What came back of each asset, and what was passed over."""
    return join(*(_point(one) for one in points))


def _point(one: RecoveryPoint) -> Markup:
    step = "unknown" if isinstance(one.step, NotMeasured) else str(one.step)
    passed = [join(code(item.what), f": {item.why}") for item in one.rejected]
    return facts(
        [
            ("Asset", one.asset),
            ("Recovery point", code(one.snapshot_id)),
            ("Training step", step),
            ("Age when planned", duration(one.age_seconds)),
            ("Read from", one.store),
            ("Passed over", bullets(passed, "nothing: it was the newest")),
        ]
    )


def capacity_table(capacity: Sequence[Capacity]) -> Markup:
    """Machines owed, asked for, obtained, and how long that took."""
    rows: list[list[Child]] = [
        [one.asset, one.shape, number(one.wanted), number(one.asked), number(one.obtained), duration(one.seconds)]
        for one in capacity
    ]
    heads = ["Asset", "Shape", "At full capacity", "Asked for", "Obtained", "Took"]
    return table("Machines", heads, rows) if rows else tag("p", "The plan needed no machines.", class_="muted")


def predicted_facts(results: Results) -> Markup:
    """What the plan had said, and what it took."""
    told = results.predicted
    if told is None:
        return facts([("Steps, as planned", badge("NOT_MEASURED")), ("Why", "the time of some step was not known")])
    planned = f"{duration(told.seconds)} ± {duration(told.error_seconds)} ({told.source})"
    return facts([("Steps, as planned", planned), ("Steps, as it was", duration(told.compared_seconds))])


def work_facts(results: Results) -> Markup:
    """What was lost in other coin."""
    lost = results.work_lost
    rows = [("Training steps", lost.steps, ""), ("Tokens", lost.tokens, ""), ("GPU-hours", lost.gpu_hours, "")]
    told: list[tuple[str, Child]] = [(name, number(value, unit)) for name, value, unit in rows]
    return facts([*told, ("Money", money(lost.usd, "USD")), ("Capacity", number(results.capacity_percent, "%"))])


def origins_list(results: Results) -> Markup:
    """Where each figure is from."""
    return facts([(one.figure, one.source) for one in results.origins])


def closed_list(closed: Sequence[ClosedFinding]) -> Markup:
    """Findings of before that this run closes."""
    told = [join(f"{one.text} ", tag("small", f"finding {one.finding_id}, of {one.opened_utc}")) for one in closed]
    return bullets(told, "This run closes no earlier finding.")


def controls_table(record: Evidence) -> Markup:
    """What it supports of which control, and what it leaves open."""
    rows: list[list[Child]] = []
    for one in answers_of(record):
        control = one.control
        fields = join(*(child for field in control.fields for child in (code(field), " ")))
        name = join(f"{control.framework} ", tag("span", control.control, class_="nowrap"))
        rows.append([name, control.asks, tag("small", fields), one.extent, control.open])
    heads = ["Control", "What it asks, in our words", "Fields that answer", "This record", "Not answered by it"]
    lead = "This record supports an audit of these controls. It makes nobody compliant with anything."
    return join(tag("p", lead), tag("div", table("Controls", heads, rows), class_="wide"))


def trust_facts(trust: Trust) -> Markup:
    """The chain of the journal, and the audit log."""
    rows: list[tuple[str, Child]] = []
    if trust.journal is not None:
        journal = trust.journal
        rows += [
            ("Journal", join(code(journal.run), f", {journal.entries} entries at {', '.join(journal.stores)}")),
            ("Head of its chain", code(journal.head)),
        ]
    rows += [("Audit log", trust.log_proof)]
    if trust.log is not None:
        log = trust.log
        entries = [f"{one.action}: {one.outcome}, {one.utc}" for one in log.entries]
        rows += [
            ("Log", log.origin),
            ("Its size then", number(log.size)),
            ("Its root then", code(log.root)),
            ("Its keys", bullets([code(shortened(key)) for key in log.keys], "none")),
            ("Witnesses", bullets([code(shortened(key)) for key in log.witnesses], "none")),
            (
                "Entries about this run",
                bullets(entries, "none yet"),
            ),
        ]
    rows.append(("Kept", trust.retention_class))
    return facts(rows)
