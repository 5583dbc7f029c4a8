"""The loop: look, hear the others, open and resolve incidents, repair, decide what begins by itself, tell people.

Nothing of it is kept but at the stores and in small files of this machine: whoever starts it anew, or beside another
one, goes on. It ends within a round of being told to.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from holdfast.clock import SYSTEM_CLOCK
from holdfast.control.incidents.claims import Claims
from holdfast.control.incidents.deciding import PROBE, Decider, Decision
from holdfast.control.incidents.log import IncidentLog
from holdfast.control.incidents.model import Deed, Incident
from holdfast.control.incidents.observing import Observer, Observers, observer_name
from holdfast.control.incidents.opening import open_for_incidents
from holdfast.control.incidents.probing import Prober
from holdfast.control.incidents.receiving import firing_here
from holdfast.control.incidents.repairing import Repairer, held_until
from holdfast.control.incidents.silences import Silences
from holdfast.control.incidents.starting import RecoveryStarter
from holdfast.control.incidents.telling import Teller
from holdfast.control.sites.declared import DeclaredSites
from holdfast.control.workflows import Workflows
from holdfast.detection.looks import State
from holdfast.detection.quorum import Verdict
from holdfast.errors import FailedError, HoldfastError
from holdfast.vault.vault import Vault

if TYPE_CHECKING:
    from holdfast.control.drilling.stopping import StoreLever

__all__ = ["Round", "Watch", "Watcher"]

_REOPEN_S: Final = 300.0  # members may have been added or revoked since
_WHY_MAX: Final = 4000
_AGAIN_S: Final = 30.0  # after a round that could not even begin
_TELL_S: Final = 2.0  # messages are looked after more often than things are looked at


class Round(NamedTuple):
    """What one round saw and did. `problems`: what could not be asked, or told, and why."""

    verdicts: Mapping[str, Verdict]
    opened: tuple[str, ...]
    resolved: tuple[str, ...]
    decisions: tuple[Decision, ...]
    sent: int
    problems: Mapping[str, str]


class Watch:
    """One round after another, as whoever opens the vault. `place`: where it looks from, as part of its name."""

    def __init__(
        self,
        sites: DeclaredSites,
        *,
        place: str = "",
        workflows: Workflows | None = None,
        acts: bool = True,
        vault: Vault | None = None,
    ) -> None:
        """`acts` false: it only observes. Raises what opening the vault raises, CredentialError without a keeper's key
        where it acts.
        """
        self._sites = sites
        sites.learn()
        self.vault = vault if vault is not None else open_for_incidents(sites)
        keys = self.vault.handle.keys
        self.log = IncidentLog(sites, keys, sites.clock)
        self.name = observer_name(keys, place)
        self._prober = Prober(sites, self.name.replace("/", "."), lambda: firing_here(self.log, keys.label))
        self._observer = Observer(sites, keys, self.name, self._prober)
        self._observer.tidy()
        self._acts = acts
        self._stores_lever: StoreLever | None = None
        if acts:
            keys.require_keeper("opening incidents")
        self._observers = Observers(sites, keys)
        self._silences = Silences(sites, keys)
        self._repairer = Repairer(sites, self.log)
        self._teller = Teller(sites, self.log)
        self.starter = RecoveryStarter(sites, workflows)
        self._decider = (
            Decider(sites, self.log, Claims(sites, keys, sites.clock), self.starter, self._lever) if acts else None
        )

    def take_over(self, other: Watch) -> None:
        """What the one before knew of how long things have lasted, what it tried, and what it began."""
        self._teller.take_over(other._teller)
        if self._decider is not None and other._decider is not None:
            self._decider.take_over(other._decider)
        self.starter.threads.extend(other.starter.threads)

    def every(self) -> float:
        """Seconds between two rounds."""
        return self._sites.config.detect.every

    def jitter(self) -> float:
        """Seconds by which the next round comes later or sooner."""
        return self._prober.jitter(self._sites.config.detect.every)

    def look(self) -> Round:
        """Look, say it, hear the others, and act on what comes of it."""
        problems: dict[str, str] = {}
        try:
            self._sites.learn()
        except HoldfastError as error:  # what was known of sites goes on to count
            problems["sites"] = error.message
        self.log.refresh()
        if self._sites.config.detect.probes:
            try:
                self._observer.observe()
            except HoldfastError as error:
                problems["observing"] = error.message
        reports = self._observers.reports()
        verdicts = self._observers.verdicts(reports)
        if self._decider is None:
            return Round(verdicts, (), (), (), 0, problems | self._observers.problems)
        changed = self._judge(verdicts)
        self._repair()
        silences = self._silences.current()
        decisions = tuple(self._decider.decide(verdicts, silences))
        sent = self.tell()
        problems |= self._observers.problems | self.log.problems | self._teller.problems
        return Round(verdicts, changed[0], changed[1], decisions, sent, problems)

    def tell(self) -> int:
        """Send what is due by now."""
        incidents = self.log.incidents()
        detect = self._sites.config.detect
        held = {
            one.id: held_until(one, detect.probes[one.subject].repair, detect.hold)
            for one in incidents
            if one.is_open and one.kind == PROBE and one.subject in detect.probes
        }
        return self._teller.tell(incidents, self._silences.current(), held)

    def test(self, channel: str) -> Any:
        """A test message: `Teller.test`."""
        return self._teller.test(channel)

    def _judge(self, verdicts: Mapping[str, Verdict]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        opened, resolved = [], []
        for name, verdict in verdicts.items():
            probe = self._sites.config.detect.probes[name]
            if probe.kind == "alert":
                continue  # the alert is the incident
            current = self.log.current(PROBE, name)
            try:
                if verdict.state is State.BAD and current is None:
                    opened.append(self._opened(name, verdict).id)
                elif verdict.state is State.GOOD and current is not None:
                    self.log.say(current.id, Deed.RESOLVED, text=verdict.why)
                    resolved.append(current.id)
            except HoldfastError as error:
                self._sites.progress.note(f"{name}: {error.message}")
        return tuple(opened), tuple(resolved)

    def _opened(self, name: str, verdict: Verdict) -> Incident:
        probe = self._sites.config.detect.probes[name]
        seen = next((voice.why for voice in verdict.voices if voice.counts and voice.state is State.BAD), "")
        voices = [
            f"{voice.observer}: {voice.state.value}{'' if voice.counts else ' (does not count)'}, {voice.why}"
            for voice in verdict.voices
        ]
        return self.log.open_one(
            PROBE,
            name,
            severity=probe.severity,
            title=f"{name}: {seen or 'bad'}"[:500],
            why="\n".join([verdict.why, *voices])[:_WHY_MAX],
            asset=probe.asset,
            site=probe.fault_site or probe.site,
            fault_at=verdict.last_good,
        )

    def _repair(self) -> None:
        for incident in self.log.open_ones():
            probe = self._sites.config.detect.probes.get(incident.subject)
            if incident.kind == PROBE and probe is not None and probe.repair:
                try:
                    self._repairer.consider(incident, probe)
                except HoldfastError as error:
                    self._sites.progress.note(f"{incident.id}: {error.message}")

    def _lever(self) -> str:
        from holdfast.control.drilling.stopping import StoreLever
        from holdfast.drills.lever import Lever

        if self._stores_lever is None:
            self._stores_lever = StoreLever(self._sites, self.vault)
        try:
            self._stores_lever.look()
        except HoldfastError as error:
            self._sites.progress.note(f"whether the stores say that all is stopped is not known: {error.message}")
        return Lever(self._sites.environment, self._sites.config.organisation).pulled()


class Watcher:
    """The loop in a thread. A round that fails is told, and the next one comes all the same."""

    def __init__(
        self,
        source: Any,
        workflows: Workflows | None = None,
        *,
        name: str = "server",
        told: Callable[[Round], None] = lambda done: None,
    ) -> None:
        """`source`: declared sites, or what gives them anew when they are asked for (`sites()`, `workflows`)."""
        self._sites_of: Callable[[], DeclaredSites] = (
            (lambda: source) if isinstance(source, DeclaredSites) else source.sites
        )
        self._workflows = workflows if workflows is not None else getattr(source, "workflows", None)
        self._name, self._told = name, told
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._watch: tuple[float, object, Watch] | None = None
        self.last: Round | None = None
        self.failure: HoldfastError | None = None
        """Why the last round came to nothing; None: it did not."""

    @property
    def problem(self) -> str:
        """The same in words; empty: nothing was the matter."""
        return self.failure.message if self.failure is not None else ""

    def start(self) -> None:
        """Begin; a second call changes nothing."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._loop, name="watching", daemon=True)
            self._thread.start()

    def stop(self, timeout_s: float = 30.0) -> None:
        """End after the round under way, and wait for runs that were begun in this process."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout_s)
        if self._watch is not None:
            for thread in self._watch[2].starter.threads:
                thread.join(timeout_s)

    def run_round(self) -> Round | None:
        """One round now, in the thread that calls. None where it came to nothing: `problem` says why."""
        try:
            watch = self._watching()
            self.last = watch.look()
            self.failure = None
            self._told(self.last)
            return self.last
        except HoldfastError as error:
            self.failure = error
        except Exception as error:  # noqa: BLE001 - who watches goes on, whatever one round runs into
            self.failure = FailedError(f"this round ran into {type(error).__name__}: {error}")
        return None

    def _watching(self) -> Watch:
        sites = self._sites_of()
        now = sites.clock.monotonic()
        known = self._watch
        if known is None or known[1] is not sites.loaded or now - known[0] > _REOPEN_S:
            made = Watch(sites, place=self._name, workflows=self._workflows)
            if known is not None:
                made.take_over(known[2])
            self._watch = known = (now, sites.loaded, made)
        return known[2]

    def _loop(self) -> None:
        while not self._stop.is_set():
            done = self.run_round()
            watch = self._watch[2] if self._watch is not None else None
            wait = watch.every() if watch is not None else _AGAIN_S
            if done is not None and watch is not None:
                wait += watch.jitter()
            self._wait(wait)

    def _wait(self, seconds: float) -> None:
        clock = SYSTEM_CLOCK  # `stop` is waited for by it, too
        until = clock.monotonic() + max(0.1, seconds)
        while (left := until - clock.monotonic()) > 0 and not self._stop.wait(min(_TELL_S, left)):
            if self._watch is not None and left > _TELL_S:
                try:
                    self._watch[2].tell()
                except HoldfastError as error:
                    self.failure = error
                except Exception as error:  # noqa: BLE001 - nobody would look any more if this thread ended
                    self.failure = FailedError(f"telling ran into {type(error).__name__}: {error}")
