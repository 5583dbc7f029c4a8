"""Drills over a server: listed, started, stopped. A worker of the server's machine rehearses them."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from holdfast.authority.resources import PLANE
from holdfast.cli.facts.drills import list_facts, ran_facts, scenarios_facts, short_facts
from holdfast.cli.schemas.drills import DrillList, DrillRan, DrillScenarios, DrillStatus, DrillStopped
from holdfast.cli.serving.words import Line, Word
from holdfast.control.drilling.leftovers import manifests
from holdfast.control.drilling.listing import find_outcome, kept_outcomes, list_drills
from holdfast.control.service import acting
from holdfast.control.service.operations import Asking, Nothing, Operation
from holdfast.control.workflows import WorkState
from holdfast.drills.lever import Lever
from holdfast.errors import NotFoundError, UsageError

__all__ = ["OPERATIONS", "DrillsStatus", "ReportDrill", "StartDrill", "StopDrills"]


class StartDrill(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`name`: of a drill of holdfast.yaml, or of a recovery. `scenario`: by default as is declared."""

    name: Word
    scenario: Line = ""


class StopDrills(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All of them, or only the one whose id begins with `drill`. `release`: they may begin again instead."""

    drill: Line = ""
    reason: Line = ""
    release: bool = False


class DrillsStatus(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`newest`: so many that ended."""

    newest: Annotated[int, Meta(ge=1, le=200)] = 10


class ReportDrill(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A drill by its id, or the beginning of it."""

    drill: Word


def _list(asking: Asking, given: Nothing) -> DrillList:
    sites = asking.service.sites()
    others = [one for one in kept_outcomes(sites.environment) if not one.facts.name]
    stopped = Lever(sites.environment, sites.config.organisation).pulled()
    return list_facts(str(sites.loaded.path), list_drills(sites), others[:10], stopped, sites.clock.now_ns())


def _scenarios(asking: Asking, given: Nothing) -> DrillScenarios:
    return scenarios_facts()


def _start(asking: Asking, given: StartDrill) -> WorkState:
    return acting.start_drill(asking.service, asking.principal, given.name, given.scenario, asking.key)


def _stop(asking: Asking, given: StopDrills) -> DrillStopped:
    if given.drill:
        if given.release:
            raise UsageError("one drill is stopped, or all of them are let begin again")
        drill = _stop_one(asking, given)
        return DrillStopped(drill=drill, all=False, released=False, was_stopped=False, places=[], silent={})
    if given.release:
        done = acting.release_drills(asking.service, asking.principal)
    else:
        done = acting.stop_drills(asking.service, asking.principal, given.reason)
    return DrillStopped(
        drill="",
        all=not given.release,
        released=given.release,
        was_stopped=given.release and done.stops > 0,
        places=list(done.places),
        silent=dict(done.silent),
    )


def _stop_one(asking: Asking, given: StopDrills) -> str:
    environment = asking.service.environment
    asking.service.authority().authorise(asking.principal, "drill.stop", PLANE)
    known = [one.drill for one in manifests(environment) if not one.cleared and one.drill.startswith(given.drill)]
    if len(known) != 1:
        raise NotFoundError(f"no drill {given.drill!r} is under way there", hint="`holdfast drill status`")
    Lever(environment).stop(known[0], given.reason or "no reason was given")
    return known[0]


def _status(asking: Asking, given: DrillsStatus) -> DrillStatus:
    environment = asking.service.environment
    found = list(manifests(environment))
    return DrillStatus(
        under_way=next((one.drill for one in found if not one.cleared and not one.abandoned and one.made), ""),
        stopped=Lever(environment).pulled(),
        abandoned=[one.drill for one in found if one.abandoned],
        ended=[short_facts(one) for one in kept_outcomes(environment)[: given.newest]],
    )


def _report(asking: Asking, given: ReportDrill) -> DrillRan:
    return ran_facts(find_outcome(asking.service.environment, given.drill))


OPERATIONS = (
    Operation(
        "drill.list", "GET", "/drills", "drill.report", Nothing, DrillList, _list,
        "The declared drills, and how the last of each ended.", tag="drills", pages="drills",
        keeps=2,
    ),
    Operation(
        "drill.scenarios", "GET", "/drills/scenarios", "drill.report", Nothing, DrillScenarios, _scenarios,
        "What can be broken, what has to come of it, what of it is real, and what is simulated.", tag="drills",
    ),
    Operation(
        "drill.status", "GET", "/drills/status", "drill.report", DrillsStatus, DrillStatus, _status,
        "Whether a drill is under way on the server's machine, whether they are stopped, how the newest ended.",
        tag="drills", keeps=1,
    ),
    Operation(
        "drill.report", "GET", "/drills/ended/{drill:str}", "drill.report", ReportDrill, DrillRan, _report,
        "What came of a drill.", tag="drills", keeps=2,
    ),
    Operation(
        "drill.run", "POST", "/drills", "drill.run", StartDrill, WorkState, _start,
        "Have a worker rehearse a drill on copies, and clean up.", on="plan", tag="drills", status=202,
        example={"name": "llama-elsewhere-quarterly"},
    ),
    Operation(
        "drill.stop", "POST", "/drills/stop", "drill.stop", StopDrills, DrillStopped, _stop,
        "Stop every drill at its next step, and let none begin; or let them begin again.", tag="drills",
        example={"reason": "an incident is open"},
    ),
)  # fmt: skip
