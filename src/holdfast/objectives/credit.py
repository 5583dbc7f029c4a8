"""What drills and recoveries of an asset are worth: which counts, until when, and what a failure takes away. Pure.

| what passed | what it is worth |
|---|---|
| tabletop | nothing: nothing was measured |
| simulation | nothing: it was of other data |
| component | an RTO: the newest good snapshot was restored from the declared stores, and verified |
| functional | an RTO and an RPO: fault to verified, on copies of the asset, apart from what is in use |
| recovery | an RTO: it was in earnest |

Of several that count the newest of a failover (functional, recovery) comes before any restore of a component. One that
FAILED, however far it went, takes all credit away until a later one of the same scenario PASSED that went at least as
far; what failed without a planted fault (a rehearsal, a recovery in earnest) is made good by whatever went as far, a
drill's failover in place of one in earnest, too. ERROR and STOPPED say nothing: they give nothing, and take nothing.
Credit ends after 30 days (`objectives.standing`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Final, NamedTuple

import msgspec

from holdfast.clock import to_rfc3339
from holdfast.objectives.measured import NOT_MEASURED, NotMeasured
from holdfast.objectives.standing import Drilled

__all__ = ["Attempt", "Credit", "Reach", "credit_of"]


class Reach(StrEnum):
    """How far it went, from the least to the most; the last two show the same."""

    TABLETOP = "tabletop"
    COMPONENT = "component"
    SIMULATION = "simulation"
    FUNCTIONAL = "functional"
    RECOVERY = "recovery"


_FAR: Final = {one: min(place, 3) for place, one in enumerate(Reach)}
_WORTH: Final = (Reach.COMPONENT, Reach.FUNCTIONAL, Reach.RECOVERY)


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """A drill or recovery of an asset that PASSED or FAILED, at its end `at` (ns). `what`: for people, as in `the drill
    0123… (site-lost, functional)`. `scenario`: empty where no fault was planted. `rto`, `rpo`: seconds, as it measured
    them. `run`: its id.
    """

    asset: str
    at: int
    passed: bool
    reach: Reach
    scenario: str
    what: str
    run: str = ""
    rto: float | NotMeasured = NOT_MEASURED
    rpo: float | NotMeasured = NOT_MEASURED


class Credit(NamedTuple):
    """`drilled`: what counts, None with the reason in `why`; else `why` names its source. `against`: failures that
    nothing has made good since.
    """

    drilled: Drilled | None
    why: str
    against: tuple[Attempt, ...] = ()


def credit_of(attempts: Iterable[Attempt]) -> Credit:
    """Of the attempts of one asset, in any order."""
    known = sorted(attempts, key=lambda one: (one.at, one.run, one.what, one.passed))
    against = tuple(one for one in known if not one.passed and not _made_good(one, known))
    if against:
        newest = against[-1]
        more = f" (and {len(against) - 1} more)" if len(against) > 1 else ""
        return Credit(
            None,
            f"{newest.what} FAILED at {_time(newest.at)}{more}, which takes the credit away until "
            f"{newest.scenario or 'it'} is run again, at least as far, and passes",
            against,
        )
    good = [one for one in known if one.passed and one.reach in _WORTH and not isinstance(one.rto, NotMeasured)]
    if not good:
        passed = [one for one in known if one.passed]
        if not passed:
            return Credit(None, "no run of it has passed")
        return Credit(None, f"{passed[-1].what} of {_time(passed[-1].at)} passed, and measured no RTO of this asset")
    best = max(good, key=lambda one: (_FAR[one.reach], one.at, one.run))
    assert not isinstance(best.rto, NotMeasured)
    rpo = best.rpo if best.reach is Reach.FUNCTIONAL else NOT_MEASURED
    return Credit(Drilled(seconds=best.rto, at=best.at, drill=best.run, rpo=rpo), f"{best.what} of {_time(best.at)}")


def _made_good(failed: Attempt, known: Sequence[Attempt]) -> bool:
    return any(one.passed and one.at > failed.at and _is_retest(one, failed) for one in known)


def _is_retest(one: Attempt, failed: Attempt) -> bool:
    """As far, on the same kind of data, and the same scenario where a fault was planted."""
    same = not failed.scenario or one.scenario == failed.scenario
    real = one.reach in _WORTH or failed.reach not in _WORTH
    return same and real and _FAR[one.reach] >= _FAR[failed.reach]


def _time(at: int) -> str:
    return f"{to_rfc3339(at)[:16]}Z"
