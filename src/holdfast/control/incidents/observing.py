"""What observers say, at the stores: written by each of them, the newest few kept, read by all."""

from __future__ import annotations

from typing import Final

from holdfast.clock import NANOSECONDS
from holdfast.config.detecting_model import Probe
from holdfast.control.incidents.documents import HERE, Documents, Found, new_name
from holdfast.control.incidents.probing import Prober, looks_at
from holdfast.control.sites.declared import DeclaredSites
from holdfast.control.sites.kept import KeptFile, counts_as
from holdfast.detection.looks import Look, Terms, Track, after, resumed
from holdfast.detection.observations import Observation, Seen, decode_observation, encode_observation
from holdfast.detection.quorum import Place, Report, Verdict, judge
from holdfast.errors import DamageError, HoldfastError, UsageError
from holdfast.vault.format.keys import VaultKeys

__all__ = ["OBSERVATIONS", "Observer", "Observers", "observer_name", "terms_of"]

OBSERVATIONS: Final = "observations/"
_KEPT: Final = 3  # of each observer
_SAID: Final = OBSERVATIONS + "said/"
_OF_THIS_MACHINE: Final = frozenset({"alert", "heartbeat"})  # good ones do not show that a network is there
_FORGOTTEN_S: Final = 3600.0  # looks of before a longer break make nothing bad, or good, now


def observer_name(keys: VaultKeys, place: str) -> str:
    """`label`, or `label/place`. Raises UsageError for a place that is no word."""
    place = place.removeprefix(f"{keys.label}/")
    if place in ("", keys.label):
        return keys.label
    if not place.isascii() or not place.replace("-", "").replace("_", "").replace(".", "").isalnum() or len(place) > 64:
        raise UsageError(f"{place[:40]!r} is no name of an observer", hint="letters, digits, `-`, `_` and `.`")
    return f"{keys.label}/{place}"


def terms_of(probe: Probe) -> Terms:
    return Terms(open_after=probe.open_after, of=probe.of, close_after=probe.close_after)


class Observer:
    """One observer, on this machine. What it makes of its looks outlives the process."""

    def __init__(self, sites: DeclaredSites, keys: VaultKeys, name: str, prober: Prober) -> None:
        self._sites, self._keys, self.name, self._prober = sites, keys, name, prober
        self._documents = _documents(sites, keys)
        kept = f"{sites.config.organisation}.{name.replace('/', '.')}"
        note = sites.progress.note
        self._file = KeptFile("observing", kept, dict[str, Track], dict, sites.environment, counts_as(dict, note))
        self._own: list[str] = []

    def observe(self) -> Observation:
        """Look at everything once, and say so at every store that answers. Raises FailedError where none does."""
        probes = {
            name: one for name, one in self._sites.config.detect.probes.items() if looks_at(one, self._keys.label)
        }
        return self.say(self._prober.look(probes))

    def say(self, looks: dict[str, Look]) -> Observation:
        """What these looks make of what it knew, at every store that answers."""
        probes = self._sites.config.detect.probes

        within = int(max(_FORGOTTEN_S, 10 * self._sites.config.detect.stale_after) * NANOSECONDS)

        def joined(known: dict[str, Track]) -> dict[str, Track]:
            return {
                name: after(resumed(known.get(name, Track()), look.at, within), look, terms_of(probes[name]))
                for name, look in looks.items()
            }

        try:
            tracks = self._file.change(joined)
        except HoldfastError as error:  # a full disk: it still says what it sees, from this look alone
            self._sites.progress.note(error.message)
            tracks = joined({})
        now = self._sites.clock.now_ns()
        said = Observation(observer=self.name, at=now, probes={name: _seen(one) for name, one in tracks.items()})
        key = f"{_SAID}{self.name.replace('/', '.')}/{new_name(now)}"
        self._documents.write(key, encode_observation(said))
        self._own.append(key)
        old, self._own = self._own[:-_KEPT], self._own[-_KEPT:]
        self._documents.remove(old)
        return said

    def tidy(self) -> None:
        """Remove what earlier processes of this observer left, but for the newest few."""
        found, _ = self._documents.read(f"said/{self.name.replace('/', '.')}/")
        mine = [one.key for one in found if one.what.observer == self.name]
        self._own = mine[-_KEPT:]
        self._documents.remove(mine[:-_KEPT])


def _seen(track: Track) -> Seen:
    return Seen(state=track.state, since=track.since, last_good=track.last_good, text=track.text, value=track.value)


class Observers:
    """What all of them say, and what comes of it."""

    def __init__(self, sites: DeclaredSites, keys: VaultKeys) -> None:
        self._sites = sites
        self._documents = _documents(sites, keys)
        self._roles = {signer.label: signer.role for signer in keys.config.signers}
        self.problems: dict[str, str] = {}

    def reports(self) -> list[Report]:
        """The newest of each, as far as stores answer."""
        found, problems = self._documents.read("said/", newest=_KEPT)
        self.problems = {name: error.message for name, error in problems.items()}
        return [_report(one) for one in found if self._counts(one.signer)]

    def _counts(self, label: str) -> bool:
        named = self._sites.config.detect.observers
        return label in named if named else self._roles.get(label) == "keeper"

    def verdicts(self, reports: list[Report]) -> dict[str, Verdict]:
        """Of every probe that is declared."""
        detect = self._sites.config.detect
        faults = {name: one.fault_site or one.site for name, one in detect.probes.items()}
        shown = {name: site for name, site in faults.items() if detect.probes[name].kind not in _OF_THIS_MACHINE}
        now = self._sites.clock.now_ns()
        return {
            name: judge(
                Place(
                    name=name,
                    quorum=one.quorum or detect.quorum,
                    fault_site=faults[name],
                    observers=one.observers,
                ),
                reports,
                now,
                detect.stale_after,
                shown,
            )
            for name, one in detect.probes.items()
        }


def _documents(sites: DeclaredSites, keys: VaultKeys) -> Documents[Observation]:
    def by_at(said: Observation) -> tuple[str, int]:
        return said.observer, said.at

    return Documents(sites, keys, OBSERVATIONS, _decoded, by_at, keeper=False)


def _decoded(key: str, body: bytes) -> Observation:
    said = decode_observation(key, body)
    folder, _, name = key.removeprefix(_SAID).partition("/")
    if folder != said.observer.replace("/", ".") or not name.startswith(f"{said.at:020d}-"):
        raise DamageError(f"{key} holds an observation of another name", object_name=key)
    return said


def _report(found: Found[Observation]) -> Report:
    sites = tuple(dict.fromkeys(place.partition("/")[0] for place in found.places if place != HERE))
    return Report(observation=found.what, signer=found.signer, found_at=sites)
