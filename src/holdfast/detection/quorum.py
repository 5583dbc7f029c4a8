"""What several observers together make of one thing: bad when enough of them say so, whoever lies or is cut off.

* An observer is a key. Two places that one key looks from are one voice, which says bad only when all of them do.
* What was said too long ago, or in the future, counts for nothing.
* Who sees nothing good at all outside the place that it complains of has no voice: perhaps it is itself that is cut
  off. Something good is another probe that leaves its machine and is not of that site, or a store of another site at
  which its word was found.
* Bad needs `quorum` voices, and good as many; where there are enough for both, it is bad. Anything else is unknown,
  and starts nothing: nobody decides alone, neither that something is lost nor that it is back.

Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

import msgspec

from holdfast.detection.looks import State
from holdfast.detection.observations import Observation

__all__ = ["Place", "Report", "Verdict", "Voice", "judge"]

_NS: Final = 1_000_000_000
AHEAD_S: Final = 60.0  # so far may the clock of an observer be before ours


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """A probe, for who judges it. `fault_site`: where the trouble is when it is bad; empty: at no site in particular.

    `observers`: labels that have a voice; empty: all that report.
    """

    name: str
    quorum: int
    fault_site: str = ""
    observers: tuple[str, ...] = ()


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """An observation that was found, at stores of which sites, and which key signed it."""

    observation: Observation
    signer: str
    found_at: tuple[str, ...] = ()


class Voice(msgspec.Struct, frozen=True, kw_only=True):
    """What a key says. `counts` false: it has no voice, for the reason in `why`."""

    observer: str
    state: State
    counts: bool
    why: str
    since: int = 0
    last_good: int = 0
    value: float | None = None


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What all say together. `since`: ns, when the voice that made it a quorum changed; `last_good`: the last time
    that anybody with a voice saw it good (0: nobody did).
    """

    name: str
    state: State
    why: str
    voices: tuple[Voice, ...] = ()
    since: int = 0
    last_good: int = 0
    value: float | None = None


def judge(
    place: Place, reports: Sequence[Report], now_ns: int, stale_s: float, sites: Mapping[str, str] | None = None
) -> Verdict:
    """`sites`: probe → the site that is in trouble when it is bad (empty: at no site in particular), of all probes that
    see something other than this machine.
    """
    voices = tuple(_voices(place, reports, now_ns, stale_s, sites or {}))
    counting = [voice for voice in voices if voice.counts]
    bad = [voice for voice in counting if voice.state is State.BAD]
    good = [voice for voice in counting if voice.state is State.GOOD]
    last_good = max((voice.last_good for voice in counting), default=0)
    values = [voice.value for voice in (bad or good) if voice.value is not None]
    value = max(values, default=None)
    if len(bad) >= place.quorum:
        since = sorted(voice.since for voice in bad)[place.quorum - 1]
        state, why = State.BAD, f"{len(bad)} of {len(counting)} observers say bad, {place.quorum} are needed"
    elif len(good) >= place.quorum:
        since = sorted(voice.since for voice in good)[place.quorum - 1]
        state, why = State.GOOD, f"{len(good)} of {len(counting)} observers say good, {place.quorum} are needed"
    else:
        since = 0
        state = State.UNKNOWN
        why = f"{len(bad)} say bad, {len(good)} good, of {len(counting)} that have a voice; {place.quorum} are needed"
    return Verdict(name=place.name, state=state, why=why, voices=voices, since=since, last_good=last_good, value=value)


def _voices(
    place: Place, reports: Sequence[Report], now_ns: int, stale_s: float, sites: Mapping[str, str]
) -> Iterable[Voice]:
    by_label: dict[str, list[Voice]] = {}
    for report in _newest(reports):
        by_label.setdefault(report.signer, []).append(_voice(place, report, now_ns, stale_s, sites))
    for label, several in sorted(by_label.items()):
        yield _joined(label, several)


def _newest(reports: Iterable[Report]) -> list[Report]:
    """Of each observer, the last thing that it said; found at all the stores that have it."""
    newest: dict[tuple[str, str], Report] = {}
    for report in reports:
        key = (report.signer, report.observation.observer)
        known = newest.get(key)
        if known is None or report.observation.at > known.observation.at:
            newest[key] = report
        elif report.observation == known.observation:
            there = tuple(dict.fromkeys((*known.found_at, *report.found_at)))
            newest[key] = msgspec.structs.replace(known, found_at=there)
    return list(newest.values())


def _voice(place: Place, report: Report, now_ns: int, stale_s: float, sites: Mapping[str, str]) -> Voice:
    said = report.observation
    seen = said.probes.get(place.name)
    age = (now_ns - said.at) / _NS
    state = State.UNKNOWN if seen is None else seen.state

    def no(why: str) -> Voice:
        return Voice(observer=said.observer, state=state, counts=False, why=why)

    if said.label != report.signer:
        return no(f"it speaks for {said.label!r}, and was signed by {report.signer!r}")
    if place.observers and report.signer not in place.observers:
        return no("it is none of the observers of this probe")
    if age > stale_s:
        return no(f"it said so {age:.0f} s ago, and {stale_s:.0f} s are the limit")
    if -age > AHEAD_S:
        return no(f"its clock is {-age:.0f} s ahead")
    if seen is None or seen.state is State.UNKNOWN:
        return no("it did not look, or not often enough to say")
    if seen.state is State.BAD and not _sees_something(place, report, sites):
        return no("it sees nothing good elsewhere: perhaps it is itself cut off")
    return Voice(
        observer=said.observer,
        state=seen.state,
        counts=True,
        why=seen.text,
        since=min(seen.since, said.at, now_ns),
        last_good=min(seen.last_good, said.at, now_ns),  # nobody has seen it good after they spoke
        value=seen.value,
    )


def _sees_something(place: Place, report: Report, sites: Mapping[str, str]) -> bool:
    elsewhere = [site for site in report.found_at if site and site != place.fault_site]
    return bool(elsewhere) or any(
        seen.state is State.GOOD and (not place.fault_site or sites[name] != place.fault_site)
        for name, seen in report.observation.probes.items()
        if name != place.name and name in sites
    )


def _joined(label: str, several: Collection[Voice]) -> Voice:
    """One key, one voice: bad only where each place it looks from says so."""
    counting = [voice for voice in several if voice.counts]
    if not counting:
        return min(several, key=lambda voice: voice.observer)
    good = [voice for voice in counting if voice.state is State.GOOD]
    chosen = max(good or counting, key=lambda voice: voice.since)
    last_good = max(voice.last_good for voice in counting)
    return msgspec.structs.replace(chosen, observer=label, last_good=last_good)
