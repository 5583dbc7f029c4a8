"""A runbook's steps among those of a plan: what comes of it is checked like any other plan."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from msgspec.structs import replace

from holdfast.errors import UsageError
from holdfast.recovery.estimates import unknown
from holdfast.recovery.plans import Kind, Plan, Step, build_plan
from holdfast.recovery.runbooks.model import Runbook, RunbookStep

__all__ = ["insert_runbook"]

_USUAL = 200  # of a webhook: any answer from 200 to 299 means that it was taken
_ACTING = ("shell", "python", "ansible")
_PLANNED = (
    Kind.STOP,
    Kind.SAVE,
    Kind.FENCE,
    Kind.GET_COMPUTE,
    Kind.RESTORE,
    Kind.VERIFY,
    Kind.PROMOTE,
    Kind.START,
    Kind.WAIT_HEALTHY,
    Kind.TRAFFIC,
)


def insert_runbook(
    plan: Plan, runbook: Runbook, name: str, *, fenced: Mapping[str, Iterable[str]], home: str = ""
) -> Plan:
    """The plan with the steps of the runbook called `name`. In isolation its webhooks and people are left out, and so
    is what acts outside of it, for all that is known: of a step that does not say `rehearse`, only its `check` is run.

    A kind that the plan has no step of (no machines are got, nothing is promoted) is waited for by nobody. Raises
    UsageError (a name that is neither a step nor a kind, a circle), RefusedError (a rule of plans is broken).
    """
    kept = [one for step in runbook.steps if (one := _in_isolation(step) if plan.intent.isolated else step) is not None]
    names = {step.id: f"{step.kind}-{step.id}" for step in runbook.steps}
    left_out = {step.id for step in runbook.steps} - {step.id for step in kept}
    looked = [one.id for one in kept if one not in runbook.steps]
    meant = _Meant(plan, names, left_out, name)
    steps = {step.id: step for step in plan.steps}
    for one in kept:
        after = [place for word in one.after for place in meant.by(one, word)]
        steps[names[one.id]] = _step(plan, one, names[one.id], tuple(dict.fromkeys(after)), home)
    for one in kept:
        for word in one.before:
            for place in meant.by(one, word):
                later = steps[place]
                steps[place] = replace(later, after=(*later.after, names[one.id]))
    notes = (*plan.notes, *_told(left_out, looked))
    return build_plan(replace(plan, steps=tuple(steps.values()), notes=notes), fenced=fenced)


def _in_isolation(step: RunbookStep) -> RunbookStep | None:
    """What of the step is done in a rehearsal: all of it, its `check`, or nothing."""
    if step.kind == "http-check" or step.rehearse:
        return step
    if step.kind not in _ACTING or not step.check:
        return None
    return replace(
        step,
        kind="shell",
        title=f"could it be done: {step.title}"[:2000],
        command=step.check,
        **dict.fromkeys(("call", "playbook", "inventory"), ""),
        **dict.fromkeys(("check", "done", "undo"), ()),
        no_undo="it only looks",
    )


def _told(left_out: Iterable[str], looked: Iterable[str]) -> Iterator[str]:
    names = ", ".join(sorted(left_out))
    if names:
        yield f"left out in isolation, of the runbook: {names}"
    names = ", ".join(sorted(looked))
    if names:
        yield f"in isolation only the check is run, of the runbook: {names}; `rehearse: true` lets a step act"


class _Meant:
    """Which steps a word of a runbook means."""

    def __init__(self, plan: Plan, names: Mapping[str, str], left_out: set[str], name: str) -> None:
        self._plan = plan
        self._names = names
        self._left_out = left_out
        self._name = name

    def by(self, step: RunbookStep, word: str) -> list[str]:
        if word in self._left_out:
            return []
        if word in self._names:
            return [self._names[word]]
        if word in _PLANNED:
            return [one.id for one in self._plan.steps if one.kind == word]
        kinds = ", ".join(_PLANNED)
        hint = f"a step of the runbook, or one of {kinds}"
        raise UsageError(f"{self._name}: step `{step.id}`: there is no step `{word}`", hint=hint)


def _step(plan: Plan, step: RunbookStep, name: str, after: tuple[str, ...], home: str) -> Step:
    places = {"asset": ",".join(plan.intent.assets), "site": plan.site, "home": home}

    def filled(text: str) -> str:
        for place, value in places.items():
            text = text.replace(f"{{{place}}}", value)
        return text

    texts = {"call": step.call, "playbook": step.playbook, "inventory": step.inventory}
    texts |= {"url": step.url, "body": step.body, "secret": step.secret}
    lists = {"command": step.command, "check": step.check, "done": step.done, "undo": step.undo}
    with_: dict[str, str | int | tuple[str, ...]] = {key: filled(text) for key, text in texts.items() if text}
    with_ |= {key: tuple(filled(one) for one in many) for key, many in lists.items() if many}
    if step.url and (step.plan_kind is Kind.HTTP_CHECK or step.expect != _USUAL):
        with_["expect"] = step.expect
    return Step(
        id=name,
        kind=step.plan_kind,
        title=filled(step.title),
        site=plan.site,
        after=after,
        with_=with_,
        estimate=unknown("no run of this step was measured"),
        undo=" ".join(filled(one) for one in step.undo),
        no_undo=step.no_undo,
        attempts=step.attempts,
        timeout=step.seconds,
    )
