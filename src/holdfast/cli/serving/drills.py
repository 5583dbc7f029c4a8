"""Drills over a server: listed, started, stopped. A worker of the server's machine rehearses them."""

from __future__ import annotations

import msgspec

from holdfast.cli.facts.drills import list_facts, ran_facts, scenarios_facts
from holdfast.cli.schemas.drills import DrillList, DrillRan, DrillScenarios, DrillStopped
from holdfast.cli.serving.words import Line, Word
from holdfast.control.drilling.listing import find_outcome, kept_outcomes, list_drills
from holdfast.control.service import acting
from holdfast.control.service.operations import Asking, Nothing, Operation
from holdfast.control.workflows import WorkState
from holdfast.drills.lever import Lever

__all__ = ["OPERATIONS", "ReportDrill", "StartDrill", "StopDrills"]


class StartDrill(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`name`: of a drill of holdfast.yaml, or of a recovery. `scenario`: by default as is declared."""

    name: Word
    scenario: Line = ""


class StopDrills(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All of them. `release`: they may begin again instead."""

    reason: Line = ""
    release: bool = False


class ReportDrill(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A drill by its id, or the beginning of it."""

    drill: Word


def _list(asking: Asking, given: Nothing) -> DrillList:
    sites = asking.service.sites()
    others = [one for one in kept_outcomes(sites.environment) if not one.facts.name]
    stopped = Lever(sites.environment).pulled()
    return list_facts(str(sites.loaded.path), list_drills(sites), others[:10], stopped, sites.clock.now_ns())


def _scenarios(asking: Asking, given: Nothing) -> DrillScenarios:
    return scenarios_facts()


def _start(asking: Asking, given: StartDrill) -> WorkState:
    return acting.start_drill(asking.service, asking.principal, given.name, given.scenario, asking.key)


def _stop(asking: Asking, given: StopDrills) -> DrillStopped:
    was = False
    if given.release:
        was = acting.release_drills(asking.service, asking.principal)
    else:
        acting.stop_drills(asking.service, asking.principal, given.reason)
    return DrillStopped(drill="", all=not given.release, released=given.release, was_stopped=was)


def _report(asking: Asking, given: ReportDrill) -> DrillRan:
    return ran_facts(find_outcome(asking.service.environment, given.drill))


OPERATIONS = (
    Operation(
        "drill.list", "GET", "/drills", "drill.report", Nothing, DrillList, _list,
        "The declared drills, and how the last of each ended.", tag="drills", pages="drills",
    ),
    Operation(
        "drill.scenarios", "GET", "/drills/scenarios", "drill.report", Nothing, DrillScenarios, _scenarios,
        "What can be broken, what has to come of it, what of it is real, and what is simulated.", tag="drills",
    ),
    Operation(
        "drill.report", "GET", "/drills/ended/{drill:str}", "drill.report", ReportDrill, DrillRan, _report,
        "What came of a drill.", tag="drills",
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
