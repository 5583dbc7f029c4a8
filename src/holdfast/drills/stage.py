"""Where a scenario is played: it breaks, watches, recovers and compares, and everything is noted by two clocks.

What cannot be injected, observed or cleaned up is `DrillBroken`; what the recovery does not do is `DrillFailed`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from holdfast.clock import Clock
from holdfast.drills.trial.digests import TreeDigest
from holdfast.drills.trial.organisation import Trial
from holdfast.drills.troubles import DrillBroken, DrillFailed, DrillStopped
from holdfast.drills.watching import Probe, Watch
from holdfast.errors import HoldfastError
from holdfast.evidence.drill_facts import Detection, InjectedFault, Instant
from holdfast.evidence.record_outcome import Check, MomentKind, Outcome, Phase, WorkLost
from holdfast.evidence.record_setting import Exclusion, Finding, Person
from holdfast.evidence.recorder import Recorder
from holdfast.objectives import NOT_MEASURED, NotMeasured

if TYPE_CHECKING:
    from holdfast.testing.networks import Link

__all__ = ["Source", "Stage"]

_BITE_SECONDS: Final = 5.0
_LOOK_SECONDS: Final = 0.05


class Source:
    """The undamaged content of a snapshot, as it was before anything was broken."""

    def __init__(self, snapshot: str, digest: TreeDigest, content_ns: int, step: int | None) -> None:
        self.snapshot, self.digest, self.content_ns, self.step = snapshot, digest, content_ns, step


def _forget(run: str) -> None:
    return


class Stage:
    """One drill while it is played. `plant`: what is to go wrong on purpose, so that the drill itself is tried."""

    def __init__(
        self,
        trial: Trial,
        clock: Clock,
        *,
        look: Callable[[], None],
        told: Callable[[str], None],
        plant: str = "",
    ) -> None:
        self.trial, self.clock, self.look, self.plant = trial, clock, look, plant
        self._told = told
        self.recorder = Recorder(clock)
        self.began = self.instant()
        self.sources: dict[str, Source] = {}
        self.own_packs: dict[str, list[str]] = {}
        """Snapshot → the packs that came to the stores with it, and that no earlier one needs."""
        self.faults: list[InjectedFault] = []
        self.detections: list[Detection] = []
        self.phases: list[Phase] = []
        self.checks: list[Check] = []
        self.people: list[Person] = []
        self.absent: list[Person] = []
        self.deviations: list[str] = []
        self.findings: list[Finding] = []
        self.exclusions: list[Exclusion] = []
        self.real: list[str] = []
        self.simulated: list[str] = []
        self.runs: list[str] = []
        self.fault_site = self.recovery_site = self.snapshot = ""
        self.fault_ns: int | NotMeasured = NOT_MEASURED
        self.fault_step: int | NotMeasured = NOT_MEASURED
        self.content_ns: int | NotMeasured = NOT_MEASURED
        self.last_change_ns: int | NotMeasured = NOT_MEASURED
        self.copies: int | NotMeasured = NOT_MEASURED
        self.compared: int | NotMeasured = NOT_MEASURED
        self.at_source: int | NotMeasured = NOT_MEASURED
        self.work_lost = WorkLost()
        self.restored = self.verified = False
        self.line: Link | None = None
        """To the sites that are left, where the trial has a network of its own."""
        self.note_run: Callable[[str], None] = _forget
        """Told of a run at the declared stores before it begins, so that whoever clears up can end it."""
        self.works = False
        """Whether something works in the trial, whose steps can be lost: else nobody can tell how many were."""
        self._heals: list[tuple[int, Callable[[], None]]] = []
        self._watches: list[Watch] = []

    def instant(self) -> Instant:
        """Now, by both clocks."""
        return Instant(at_ns=self.clock.now_ns(), offset_seconds=round(self.recorder.offset(), 6))

    def tell(self, text: str) -> None:
        """One line for whoever watches."""
        self._told(text)

    def mark(self, kind: MomentKind, text: str, site: str = "", seconds_ago: float = 0.0) -> None:
        self.recorder.mark(kind, text, site=site, seconds_ago=seconds_ago)
        self.tell(text)

    @contextmanager
    def phase(self, name: str) -> Iterator[list[str]]:
        """A part of the round trip, with a verdict; what is put into the list is told of it: words, then the run."""
        self.look()
        began = self.clock.monotonic()
        said: list[str] = []

        def note(outcome: Outcome, detail: str) -> None:
            seconds = round(self.clock.monotonic() - began, 6)
            run = said[1] if len(said) > 1 else ""
            self.phases.append(Phase(name=name, outcome=outcome, detail=detail, seconds=seconds, run=run))

        try:
            yield said
        except DrillFailed as error:
            note(Outcome.FAILED, error.message)
            raise
        except DrillStopped as error:
            note(Outcome.STOPPED, error.message)
            raise
        except HoldfastError as error:
            note(Outcome.ERROR, error.message)
            raise
        note(Outcome.PASSED, said[0] if said else "")

    def watch(self, probe: Probe) -> Watch:
        """Begin to look at something; it has to be well now. Raises DrillBroken where nothing can be observed."""
        watch = Watch(probe, self.clock)
        self._watches.append(watch)
        self._until(lambda: watch.asked > 0 or watch.noticed is not None, 30.0, "a probe of the drill does not answer")
        if watch.noticed is not None:
            raise DrillBroken(f"before anything was broken a probe saw: {watch.noticed[2]}")
        return watch

    def inject(
        self,
        what: str,
        act: Callable[[], None],
        bit: Probe,
        *,
        site: str = "",
        real: bool = True,
        heal: Callable[[], None] | None = None,
    ) -> None:
        """Break something, and see that it is broken. Raises DrillBroken where it is not."""
        self.look()
        at = self.instant()
        if heal is not None:
            self._heals.append((len(self.faults), heal))
        try:
            if self.plant != "fault-that-does-not-bite":
                act()
        except DrillStopped:
            self.faults.append(InjectedFault(what=what, at=at, real=real, site=site))
            raise
        except (OSError, HoldfastError) as error:
            self.faults.append(InjectedFault(what=what, at=at, real=real, site=site, bit=False, evidence=str(error)))
            raise DrillBroken(f"the fault could not be planted ({what}): {error}") from error
        saw: list[str] = []

        def has_bitten() -> bool:
            found = bit()
            saw[:] = [found] if found else []
            return bool(found)

        try:
            self._until(has_bitten, _BITE_SECONDS, f"the fault did not bite: {what}")
        except DrillBroken:
            self.faults.append(InjectedFault(what=what, at=at, real=real, site=site, bit=False))
            raise
        except DrillStopped:  # nobody saw whether it did
            self.faults.append(InjectedFault(what=what, at=at, real=real, site=site))
            raise
        self.faults.append(InjectedFault(what=what, at=at, real=real, site=site, bit=True, evidence=saw[0]))
        (self.real if real else self.simulated).append(what)
        if isinstance(self.fault_ns, NotMeasured):
            self.fault_ns, self.fault_site = at.at_ns, site
            self.mark(MomentKind.FAULT, what, site, self.recorder.offset() - at.offset_seconds)
        else:
            self.tell(what)

    def detect(self, watch: Watch, by: str, patience: float = 60.0) -> None:
        """Wait until the watch has noticed. Raises DrillBroken where it does not: nothing was observed."""
        self._until(lambda: watch.noticed is not None, patience, f"{by} noticed nothing within {patience:.0f} s")
        assert watch.noticed is not None
        at_ns, monotonic, saw = watch.noticed
        ago = self.clock.monotonic() - monotonic
        offset = round(self.recorder.offset() - ago, 6)
        self.detections.append(Detection(at=Instant(at_ns=at_ns, offset_seconds=offset), by=by, saw=saw))
        self.mark(MomentKind.DETECTED, f"{by} saw: {saw}", seconds_ago=ago)

    def detected_now(self, by: str, saw: str) -> None:
        """A command that was given just saw it."""
        self.detections.append(Detection(at=self.instant(), by=by, saw=saw))
        self.mark(MomentKind.DETECTED, f"{by} saw: {saw}")

    def heal(self) -> None:
        """Take back what was broken, the last first. Raises DrillBroken."""
        while self._heals:
            number, heal = self._heals.pop()
            try:
                heal()
            except (OSError, HoldfastError) as error:
                raise DrillBroken(f"a fault could not be taken back ({self.faults[number].what}): {error}") from error
            if number < len(self.faults):
                import msgspec

                healed = self.instant()
                self.faults[number] = msgspec.structs.replace(self.faults[number], healed=healed)
                self.mark(MomentKind.HEALED, f"taken back: {self.faults[number].what}")

    def end_watches(self) -> None:
        for watch in self._watches:
            watch.stop()

    def wait_until(self, condition: Callable[[], bool], seconds: float, otherwise: str) -> None:
        """Raises DrillBroken with that sentence when it does not come about in time, and DrillStopped."""
        self._until(condition, seconds, otherwise)

    def _until(self, condition: Callable[[], bool], seconds: float, otherwise: str) -> None:
        until = self.clock.monotonic() + seconds
        while not condition():
            self.look()
            if self.clock.monotonic() > until:
                raise DrillBroken(otherwise)
            self.clock.sleep(_LOOK_SECONDS)
