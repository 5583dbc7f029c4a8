"""A plan as people read it: text for a terminal or a runbook page (Markdown), and its graph (Mermaid)."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from holdfast.clock import to_rfc3339
from holdfast.recovery.intents import AsOf, Intent, Pinned
from holdfast.recovery.plans import Plan, Step, critical_path, plan_hash
from holdfast.recovery.reviewing.review import Finding, Review
from holdfast.units import format_duration

__all__ = ["plan_markdown", "plan_diagram", "review_lines"]


def plan_markdown(plan: Plan) -> str:
    """The runbook of this plan: for a person who has to do it by hand when nothing else works."""
    return "\n".join(_markdown(plan)) + "\n"


def _markdown(plan: Plan) -> Iterator[str]:
    intent = plan.intent
    yield f"# {_text(intent.name)}: {', '.join(map(_text, intent.assets))} to {_text(plan.site)}"
    yield ""
    until = to_rfc3339(plan.fresh_until)
    yield f"Plan `{plan_hash(plan)[:12]}`, by facts of {to_rfc3339(plan.facts_at)}; not to be run after {until}."
    yield f"Strategy {intent.strategy}, {_manner(intent)}; {_point(intent)}."
    yield f"Asked for by {_text(intent.by) or 'nobody named'}; approvers besides: {intent.approvers}."
    if intent.reason:
        yield f"Reason: {_text(intent.reason)}"
    yield ""
    yield f"**RTO: {plan.rto}**"
    for chosen in plan.chosen:
        reached = f" (step {chosen.step})" if chosen.step is not None else ""
        lost = format_duration(chosen.loss)
        yield f"* {_text(chosen.asset)}: `{chosen.snapshot}`{reached} from {_text(chosen.store)}; lost: {lost}"
        for rejected in chosen.rejected:
            yield f"  * not `{_text(rejected.what)}`: {_text(rejected.why)}"
    for one in plan.machines:
        machines = f"{one.number} × {_text(one.shape)}, {one.ready} of them ready"
        yield f"* {_text(one.asset)}: {machines}; full capacity is {one.wanted}"
    for rejected in plan.rejected:
        yield f"* not at {_text(rejected.what)}: {_text(rejected.why)}"
    for note in plan.notes:
        yield f"* {_text(note)}"
    yield ""
    yield "## Steps"
    yield ""
    long = {step.id for step in critical_path(plan.steps)}
    for number, step in enumerate(plan.steps, 1):
        yield from _step_lines(number, step, step.id in long)


def _step_lines(number: int, step: Step, decisive: bool) -> Iterator[str]:
    after = f", after {', '.join(step.after)}" if step.after else ""
    yield f"{number}. **{_text(step.title)}** (`{step.id}` at {_text(step.site)}{after})"
    yield f"   {step.estimate}{'; decides the RTO' if decisive and step.estimate.most else ''}"
    if step.with_:
        yield "   " + ", ".join(f"{name}: `{_text(str(value))}`" for name, value in sorted(step.with_.items()))
    yield f"   Taken back: {_text(step.undo)}" if step.undo else f"   Not taken back: {_text(step.no_undo)}"


def _manner(intent: Intent) -> str:
    if intent.isolated:
        return "a rehearsal in a place of its own"
    return (
        "graceful: what runs is stopped in good order" if intent.graceful else "ungraceful: the home is taken for lost"
    )


def _point(intent: Intent) -> str:
    if isinstance(intent.point, AsOf):
        return f"as of {to_rfc3339(intent.point.ns)}"
    if isinstance(intent.point, Pinned):
        return f"snapshot {intent.point.snapshot}"
    return "the newest that is good"


def plan_diagram(plan: Plan) -> str:
    """The graph in Mermaid's flowchart syntax; the longest path is drawn thick."""
    names = {step.id: f"s{number}" for number, step in enumerate(plan.steps, 1)}
    path = [step.id for step in critical_path(plan.steps)]
    thick = set(itertools.pairwise(path))
    lines = ["flowchart TD"]
    for step in plan.steps:
        label = _text(f"{step.title} / {step.site}").replace('"', "'")
        lines.append(f'  {names[step.id]}["{label}"]')
    for step in plan.steps:
        for before in step.after:
            arrow = "==>" if (before, step.id) in thick else "-->"
            lines.append(f"  {names[before]} {arrow} {names[step.id]}")
    return "\n".join(lines) + "\n"


def review_lines(review: Review) -> Iterator[str]:
    """What a terminal shows: refusals first."""
    for refusal in review.refusals:
        yield from _finding_lines("REFUSED", refusal)
    for warning in review.warnings:
        yield from _finding_lines("warning", warning)
    yield f"plan {review.plan[:12]}: " + ("may be run" if review.passed else "is refused")


def _finding_lines(word: str, finding: Finding) -> Iterator[str]:
    yield f"{word} {finding.code}: {finding.about}: {finding.reason}"
    if finding.change:
        yield f"  what would help: {finding.change}"


def _text(text: str) -> str:
    """Without what could end a line, a cell or a quotation of the page."""
    cleaned = "".join(character if character.isprintable() else " " for character in text)
    return cleaned.replace("`", "'").replace("*", "·").replace("<", "‹").replace(">", "›")
