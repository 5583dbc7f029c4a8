"""Drills that are declared, and reports of those that have ended."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from holdfast.control.sites.declared import DeclaredSites
from holdfast.drills.judging import LEVELS
from holdfast.drills.lever import drills_home
from holdfast.drills.manifest import Manifest
from holdfast.drills.outcomes import DrillOutcome, read_outcome
from holdfast.errors import ConflictError, HoldfastError, NotFoundError
from holdfast.evidence.findings import goes_as_far
from holdfast.evidence.record_outcome import Outcome

__all__ = ["ListedDrill", "begun_before", "find_outcome", "kept_outcomes", "list_drills"]


_HELD: Final = (Outcome.PASSED, Outcome.FAILED)


class ListedDrill(NamedTuple):
    """A drill of the file. Seconds; `last`: its newest report here, None where it never ran here. `held`: the newest
    that says something of the recovery (PASSED, FAILED), at the declared level or one that goes further.
    """

    name: str
    recovery: str
    scenario: str
    level: str
    every: float
    surprise_within: float | None
    last: DrillOutcome | None
    held: DrillOutcome | None = None


def list_drills(sites: DeclaredSites) -> list[ListedDrill]:
    """In the order of the file."""
    newest: dict[str, DrillOutcome] = {}
    held: dict[str, DrillOutcome] = {}
    for found in kept_outcomes(sites.environment):
        newest.setdefault(found.facts.name, found)
        declared = sites.config.drills.get(found.facts.name)
        if declared is not None and found.state in _HELD and goes_as_far(found.facts.exercise, LEVELS[declared.level]):
            held.setdefault(found.facts.name, found)
    return [
        ListedDrill(
            name,
            one.recovery,
            one.scenario or "site-lost",
            one.level,
            one.every,
            one.surprise_within,
            newest.get(name),
            held.get(name),
        )
        for name, one in sites.config.drills.items()
    ]


def kept_outcomes(environment: Mapping[str, str]) -> list[DrillOutcome]:
    """The newest first; what cannot be read is left out."""
    found: list[DrillOutcome] = []
    for path in drills_home(environment).glob("*/report.json"):
        try:
            found.append(read_outcome(path))
        except HoldfastError:
            continue
    return sorted(found, key=lambda one: one.facts.started.at_ns, reverse=True)


def find_outcome(environment: Mapping[str, str], drill: str) -> DrillOutcome:
    """By its id, or the beginning of it. Raises NotFoundError."""
    found = [one for one in kept_outcomes(environment) if drill and one.id.startswith(drill)]
    if len(found) != 1:
        what = "several drills begin with" if found else "there is no report of a drill"
        raise NotFoundError(f"{what} {drill!r} here", hint="`holdfast drill list` names them", object_name=drill)
    return found[0]


def begun_before(environment: Mapping[str, str], drill: str) -> DrillOutcome | None:
    """What became of a drill that was begun already; None: it was not, or it died, and may be begun again.

    Raises ConflictError where it is under way, DamageError where nobody can tell.
    """
    home = drills_home(environment) / drill
    report, manifest = home / "report.json", home / "manifest.json"
    if report.exists():
        return read_outcome(report)
    if not manifest.exists():
        return None
    if Manifest.read(manifest).cleared:
        manifest.unlink()
        return None
    raise ConflictError(
        f"the drill {drill} was begun already, and has not ended",
        hint="`holdfast drill status` shows it; `holdfast drill clear` clears away what one that died has left",
    )
