"""What a run's entries add up to. Pure: the same entries, the same state, whoever reads them."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

import msgspec

from holdfast.recovery.journal.entries import Deed, Entry

__all__ = ["StepPhase", "StepState", "RunState", "run_state"]

_OF_PEOPLE = (Deed.ASKED, Deed.APPROVED, Deed.PAUSED, Deed.RESUMED, Deed.SKIPPED, Deed.STOPPED, Deed.WITHOUT)


class StepPhase(StrEnum):
    """`BEGUN` and no end: it may be in effect or not, and whoever goes on has to look."""

    BEGUN = "begun"
    DONE = "done"
    FAILED = "failed"
    DROPPED = "dropped"
    UNDOING = "undoing"
    UNDONE = "undone"
    SKIPPED = "skipped"


class StepState(msgspec.Struct, frozen=True, kw_only=True):
    """The last that was said of a step, after how many attempts (but for dropped ones), and that entry's number.

    `begun`: whether it ever was, whatever was said since: something of it may be in effect.
    """

    phase: StepPhase
    attempts: int
    number: int
    text: str = ""
    facts: dict[str, str | int | float | bool] = {}
    begun: bool = False


class RunState(msgspec.Struct, frozen=True, kw_only=True):
    """`asked_by`: who put the plan there, and who signed since that they asked for it. `owner`: the control plane that
    has the run; `taken`: how often it was taken. `ignored`: numbers of entries that count for nothing, because their
    author did not have the run any more, or it had ended. `taking_back`: that has begun, and nothing that anybody says
    ends it: what was taken back is not in effect any more. `left_out`: stores that somebody said are gone for good;
    whether that was approved, the journal knows.
    """

    plan: str = ""
    asked_by: tuple[str, ...] = ()
    owner: str = ""
    taken: int = 0
    steps: dict[str, StepState] = {}
    done: tuple[str, ...] = ()  # steps in effect, in the order in which they came into it
    approvals: tuple[Entry, ...] = ()
    paused: bool = False
    stopped: bool = False
    taking_back: bool = False
    verdict: str = ""
    left_out: tuple[str, ...] = ()
    ignored: tuple[int, ...] = ()

    @property
    def word(self) -> str:
        """How it stands, for people and programs: its verdict, or `stopping`, `planned`, `paused`, `running`."""
        if self.verdict:
            return self.verdict
        if self.stopped:
            return "stopping"
        if not self.owner:
            return "planned"
        return "paused" if self.paused else "running"


def run_state(entries: Iterable[Entry]) -> RunState:
    """Fold entries, in their order, into the state that they make."""
    state = RunState()
    for entry in entries:
        state = _after(state, entry)
    return state


def _after(state: RunState, entry: Entry) -> RunState:
    if not _counts(state, entry):
        return msgspec.structs.replace(state, ignored=(*state.ignored, entry.number))
    match entry.deed:
        case Deed.PLANNED:
            return msgspec.structs.replace(state, plan=entry.plan, asked_by=(*state.asked_by, entry.by))
        case Deed.ASKED:
            return msgspec.structs.replace(state, asked_by=(*state.asked_by, entry.by))
        case Deed.APPROVED:
            return msgspec.structs.replace(state, approvals=(*state.approvals, entry))
        case Deed.TAKEN:
            return msgspec.structs.replace(state, owner=entry.by, taken=state.taken + 1)
        case Deed.PAUSED | Deed.RESUMED:
            return msgspec.structs.replace(state, paused=entry.deed is Deed.PAUSED)
        case Deed.STOPPED:
            return msgspec.structs.replace(state, stopped=True)
        case Deed.WITHOUT:
            return msgspec.structs.replace(state, left_out=(*state.left_out, entry.text))
        case Deed.ENDED:
            return msgspec.structs.replace(state, verdict=entry.text)
        case _:
            return _with_step(state, entry)


def _counts(state: RunState, entry: Entry) -> bool:
    if state.verdict:
        return False
    if entry.deed is Deed.PLANNED:
        return not state.plan
    if not state.plan:
        return False
    if entry.deed in _OF_PEOPLE or entry.deed is Deed.TAKEN:
        return True
    return bool(state.owner) and entry.by == state.owner


def _with_step(state: RunState, entry: Entry) -> RunState:
    before = state.steps.get(entry.step)
    attempts = before.attempts if before is not None else 0
    phase = StepPhase(entry.deed.value)
    changed = StepState(
        phase=phase,
        attempts=attempts + (phase is StepPhase.BEGUN) - (phase is StepPhase.DROPPED and attempts > 0),
        number=entry.number,
        text=entry.text,
        facts=entry.facts,
        begun=phase is StepPhase.BEGUN or (before is not None and before.begun),
    )
    done = [one for one in state.done if one != entry.step]
    if phase is StepPhase.DONE:
        done.append(entry.step)
    taking_back = state.taking_back or phase in (StepPhase.UNDOING, StepPhase.UNDONE)
    steps = state.steps | {entry.step: changed}
    return msgspec.structs.replace(state, steps=steps, done=tuple(done), taking_back=taking_back)
