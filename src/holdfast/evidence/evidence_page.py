"""The evidence of a drill as one HTML page: no script, no external content, readable on a phone, on paper, in the dark.

The page says nothing that `evidence.json` does not, and is a function of the record and its seal alone.
"""

from __future__ import annotations

from importlib.resources import files
from typing import NamedTuple

from holdfast.evidence.gantt import gantt_svg
from holdfast.evidence.headline import Headline, headline_of
from holdfast.evidence.markup import Markup, join, tag
from holdfast.evidence.page_costs import costs_section
from holdfast.evidence.page_facts import (
    bytes_table,
    checks_list,
    clean_up_list,
    deviations_list,
    findings_table,
    moments_table,
    snapshots_table,
)
from holdfast.evidence.page_parts import badge, code, css_class, duration, facts, section, with_units
from holdfast.evidence.page_run import (
    capacity_table,
    closed_list,
    controls_table,
    faults_table,
    origins_list,
    people_table,
    phases_table,
    points_list,
    policy_table,
    predicted_facts,
    steps_table,
    trust_facts,
    work_facts,
)
from holdfast.evidence.page_setting import gaps_list, identity_facts, scenario_lists, scope_facts
from holdfast.evidence.record import Evidence
from holdfast.evidence.record_outcome import MomentKind
from holdfast.evidence.timeline import timeline_svg
from holdfast.evidence.waterfall import waterfall
from holdfast.objectives import Judgement, NotMeasured, State

__all__ = ["Seal", "render_page"]


class Seal(NamedTuple):
    """What `evidence.json` can be checked against: its SHA-256 (hex), who signed it (fingerprint), and how."""

    sha256: str
    signer: str
    suite: str


def render_page(record: Evidence, seal: Seal) -> str:
    """The whole document. Pure."""
    headline = headline_of(record)
    style = Markup(files("holdfast.evidence").joinpath("evidence_page.css").read_text("utf-8"))
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", f"Evidence: {headline}"),
        tag("style", style),
    )
    body = tag("body", _header(record, headline), tag("main", *_sections(record, seal)), _footer(record, seal))
    return "<!doctype html>\n" + tag("html", head, body, lang="en") + "\n"


def _header(record: Evidence, headline: Headline) -> Markup:
    identity = record.identity
    kind = f"{identity.exercise.replace('-', ' ')}, {identity.environment}"
    return tag(
        "header",
        tag("p", tag("strong", "Holdfast"), f" · Evidence of a {identity.kind} ({kind})", class_="over"),
        tag("h1", headline.fault, tag("br"), with_units(headline.recovery)),
        tag("p", badge(headline.state, headline.objective), class_="answer"),
        tag("p", f"{identity.title} · {identity.started_utc}", class_="muted"),
    )


def _sections(record: Evidence, seal: Seal) -> list[Markup]:
    return [_cards(record), *_what_happened(record), *_what_was_set(record), *_what_to_trust(record, seal)]


def _what_happened(record: Evidence) -> list[Markup]:
    results = record.results
    shown = [
        section("Timeline", *_drawing(record), tag("h3", "The recovery, part by part"), waterfall(record)),
    ]
    if results.phases:
        shown.append(section("Round trip", phases_table(results.phases)))
    if record.steps:
        shown.append(section("Steps", steps_table(record.steps)))
    if record.snapshots:
        shown.append(section("What each site held", snapshots_table(record)))
    if results.points:
        shown.append(section("Recovery points", points_list(results.points)))
    shown.append(section("What was checked", checks_list(record)))
    if record.schema_version == 1 or not isinstance(record.bytes_moved, NotMeasured):
        shown.append(section("Where the bytes went", bytes_table(record.bytes_moved)))
    if record.steps or results.capacity:
        told = [capacity_table(results.capacity), tag("h3", "Predicted and actual"), predicted_facts(results)]
        shown.append(section("Work lost and capacity", work_facts(results), *told))
    if record.costs is not None:
        shown.append(section("Costs", costs_section(record.costs)))
    return shown


def _drawing(record: Evidence) -> list[Markup]:
    if any(moment.kind is MomentKind.CHECKPOINT for moment in record.timeline) or not record.steps:
        return [tag("div", timeline_svg(record), class_="drawing"), _legend()]
    return [tag("div", gantt_svg(record), class_="drawing")]


def _what_was_set(record: Evidence) -> list[Markup]:
    scenario = [scenario_lists(record.scenario)]
    if record.scenario.faults:
        scenario.append(faults_table(record.scenario.faults))
    found = [deviations_list(record.deviations), tag("h3", "Findings"), findings_table(record.findings)]
    if record.schema_version > 1:
        found += [tag("h3", "Earlier findings that this run closes"), closed_list(record.closed)]
    shown = [section("Scenario", *scenario)]
    if record.people:
        shown.append(section("People", people_table(record.people)))
    shown += [
        section("Deviations and findings", *found),
        section("Not measured", gaps_list(record), origins_list(record.results) if record.results.origins else ""),
        section("Every moment", moments_table(record)),
        section("Identity, scope and targets", identity_facts(record), scope_facts(record.scope)),
    ]
    if record.targets.policy is not None:
        shown.append(section("Policy", policy_table(record.targets)))
    shown.append(section("Clean-up", clean_up_list(record.clean_up)))
    return shown


def _what_to_trust(record: Evidence, seal: Seal) -> list[Markup]:
    controls = [section("Controls", controls_table(record))] if record.identity.controls else []
    trust = [trust_facts(record.trust)] if record.schema_version > 1 else []
    return [*controls, section("Verify this offline", *trust, _verification(record, seal))]


def _cards(record: Evidence) -> Markup:
    results = record.results
    verdict = results.verdict
    steps = results.work_lost.steps
    lost = "" if isinstance(steps, NotMeasured) else f"{steps} training step{'' if steps == 1 else 's'} lost"
    parts = ""
    if not isinstance(verdict.rto.measured, NotMeasured):
        parts = " + ".join(f"{name} {duration(value)}" for name, value in results.measured.split.parts())
    copies = verdict.copies
    holding = duration(copies.measured) if isinstance(copies.measured, NotMeasured) else f"{copies.measured:.0f}"
    wanted = "no target" if copies.target is None else f"at least {copies.target:.0f}"
    return tag(
        "section",
        _card("RPO", verdict.rpo, duration(verdict.rpo.measured), meaning="training lost", more=lost),
        _card("RTO", verdict.rto, duration(verdict.rto.measured), meaning="time to recover", more=parts),
        _card("Copies", copies, holding, meaning="sites with a verified copy", target=wanted),
        class_="cards",
        aria_label="Results against the objective",
    )


def _card(
    name: str, judgement: Judgement, value: str, *, meaning: str, more: str = "", target: str | None = None
) -> Markup:
    unknown = " unknown" if isinstance(judgement.measured, NotMeasured) else ""
    reason = "" if judgement.state is State.MET else tag("p", judgement.reason, class_="muted")
    return tag(
        "div",
        tag("h2", name, " ", tag("small", meaning)),
        tag("p", value, class_=f"value{unknown}"),
        tag("p", badge(judgement.state), f" {_at_most(judgement) if target is None else target}"),
        tag("p", more, class_="muted") if more else "",
        reason,
        class_=f"card {css_class(judgement.state)}",
    )


def _at_most(judgement: Judgement) -> str:
    return "no target" if judgement.target is None else f"at most {duration(judgement.target)}"


def _legend() -> Markup:
    entries = [
        ("key run", "training runs, with its checkpoints"),
        ("key loss", "training lost: after the recovery point, before the fault"),
        ("key dot", "snapshot complete on the site (number: training step)"),
        ("key ring", "recovery point"),
        ("key hollow", "arrived in part"),
    ]
    return tag("ul", *(tag("li", tag("span", class_=css), f" {text}") for css, text in entries), class_="legend")


def _verification(record: Evidence, seal: Seal) -> Markup:
    command = f"python3 verify-evidence.py . --signer {seal.signer}"
    sealed = [("SHA-256 of evidence.json", code(seal.sha256)), ("Signed by", code(seal.signer))]
    files_listed = [
        (file.name, join(f"{file.size_bytes:,} bytes, SHA-256 ", code(file.sha256))) for file in record.trust.files
    ]
    return join(
        facts([*sealed, ("Signature", seal.suite)]),
        tag("p", "In the folder that holds this page, evidence.json, manifest.json and manifest.sig:"),
        tag("pre", tag("code", f"sha256sum evidence.json\n{command}")),
        tag(
            "p",
            "The first prints the digest above. The second needs Python and the package cryptography, and nothing of "
            "Holdfast: it checks the signature over all files, the chain of the journal, the proofs of the audit log, "
            "and computes the figures again. Where Holdfast is installed, ",
            code(f"python -m holdfast.evidence . --signer {seal.signer}"),
            " does the same. No network is needed. A signature shows that nothing changed since the key signed it; "
            "whose key it is, its fingerprint has to tell you on another way.",
        ),
        tag("h3", "Files that belong to this evidence") if files_listed else "",
        facts(files_listed) if files_listed else "",
    )


def _footer(record: Evidence, seal: Seal) -> Markup:
    return tag("footer", f"Record {record.identity.record_id} · {record.identity.software} · signed by {seal.signer}")
