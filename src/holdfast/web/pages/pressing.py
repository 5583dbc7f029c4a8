"""Buttons: forms that are posted, done by `control/service/acting` in the name of whoever is signed in, and answered by
the page again (303), so that loading it once more does nothing twice. They work without scripts.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

from litestar import Request, post
from litestar.enums import RequestEncodingType
from litestar.handlers import HTTPRouteHandler
from litestar.params import Body, FromPath
from litestar.response import Redirect

from holdfast.authority.principals import Principal
from holdfast.control.service.context import Service
from holdfast.control.service.reading.incidents import INCIDENTS
from holdfast.control.service.reading.keeping import forget
from holdfast.errors import UsageError
from holdfast.units import parse_duration
from holdfast.web.security.callers import caller_of
from holdfast.web.security.policies import needs

__all__ = ["ROUTES"]

Form = Annotated[dict[str, str], Body(media_type=RequestEncodingType.URL_ENCODED)]
_SAYINGS: Final = {"pause": "paused", "resume": "resumed", "stop": "stopped", "skip": "skipped"}


def _asking(request: Request[Any, Any, Any]) -> tuple[Service, Principal]:
    return request.app.state.service, caller_of(request).principal


def _text(form: dict[str, str], name: str, what: str = "") -> str:
    """Raises UsageError for one that `what` asks for, and is not there."""
    text = str(form.get(name, "")).strip()[:500]
    if what and not text:
        raise UsageError(what)
    return text


def _back(path: str, said: str, service: Service, *stale: str) -> Redirect:
    forget(service, *stale)
    return Redirect(f"{path}?said={said}", status_code=303)


@post("/runs/{run:str}/approve", opt=needs("approve", on="plan"), include_in_schema=False, sync_to_thread=True)
def approve(request: Request[Any, Any, Any], run: FromPath[str], data: Form) -> Redirect:
    """Sign an approval of exactly this plan."""
    from holdfast.control.service.acting import approve_run

    service, principal = _asking(request)
    approve_run(service, principal, run, parse_duration(_text(data, "lasts") or "1h"))
    return _back(f"/runs/{run}", "approved", service, f"run {run}", f"review {run}", "runs")


@post("/runs/{run:str}/start", opt=needs("recover.run", on="plan"), include_in_schema=False, sync_to_thread=True)
def start(request: Request[Any, Any, Any], run: FromPath[str], data: Form) -> Redirect:
    """Hand a plan that lies at the stores to the workers."""
    from holdfast.control.service.acting import start_run

    service, principal = _asking(request)
    start_run(service, principal, run)
    return _back(f"/runs/{run}", "started", service, f"run {run}", "runs")


@post(
    "/runs/{run:str}/{verb:str}",
    opt=needs("recover.plan", on="plan"),
    include_in_schema=False,
    sync_to_thread=True,
)
def say(request: Request[Any, Any, Any], run: FromPath[str], verb: FromPath[str], data: Form) -> Redirect:
    """Pause, resume, stop or skip: a signed entry of the journal. The verb asks the policies what it needs."""
    from holdfast.control.service.acting import say_to_run
    from holdfast.recovery.journal.entries import Deed

    if verb not in _SAYINGS:
        raise UsageError(f"nobody can {verb[:40]!r} a run", hint=", ".join(_SAYINGS))
    service, principal = _asking(request)
    reason = _text(data, "reason", "say why, for whoever reads the evidence" if verb in ("stop", "skip") else "")
    step = _text(data, "step", "name the step to skip") if verb == "skip" else ""
    say_to_run(service, principal, run, Deed(_SAYINGS[verb]), step=step, reason=reason)
    return _back(f"/runs/{run}", _SAYINGS[verb], service, f"run {run}", "runs")


@post("/evidence/{run:str}/write", opt=needs("work.change"), include_in_schema=False, sync_to_thread=True)
def write_evidence(request: Request[Any, Any, Any], run: FromPath[str], data: Form) -> Redirect:
    """Have a worker write the evidence of a run that has ended, where that was not done. It happens once."""
    from holdfast.control.recovering.plan_files import is_run_id
    from holdfast.control.service.acting import workflows_of

    service, principal = _asking(request)
    if not is_run_id(run):
        raise UsageError(f"{run[:40]!r} is no id of a run")
    workflows_of(service).submit("evidence.write", {"run": run}, key=f"evidence.write:{run}", by=principal.person)
    return _back(f"/runs/{run}", "evidence-written", service, "evidence", "trends")


@post("/catalogue/plan", opt=needs("recover.plan", on="plan"), include_in_schema=False, sync_to_thread=True)
def plan(request: Request[Any, Any, Any], data: Form) -> Redirect:
    """Plan a recovery or a rehearsal: its journal is begun, nothing else happens."""
    from holdfast.control.recovering.intending import Wanted
    from holdfast.control.service.acting import plan_recovery

    service, principal = _asking(request)
    name = _text(data, "name", "name what is to be recovered")
    wanted = Wanted(name, isolated=_text(data, "kind") != "real")
    file = plan_recovery(service, principal, wanted)
    return _back(f"/runs/{file.run}", "planned", service, "runs")


@post(
    "/drills/{name:str}/start",
    opt=needs("drill.run", on="plan", name="name"),
    include_in_schema=False,
    sync_to_thread=True,
)
def start_drill(request: Request[Any, Any, Any], name: FromPath[str], data: Form) -> Redirect:
    """Hand a declared drill to the workers."""
    from holdfast.control.service.acting import start_drill as begin

    service, principal = _asking(request)
    begin(service, principal, name, scenario=_text(data, "scenario"))
    return _back("/drills", "drill-started", service, "drills", "runs", "work")


@post("/drills/stop", opt=needs("drill.stop"), include_in_schema=False, sync_to_thread=True)
def stop_drills(request: Request[Any, Any, Any], data: Form) -> Redirect:
    """The lever that stops all drills."""
    from holdfast.control.service.acting import stop_drills as pull

    service, principal = _asking(request)
    pull(service, principal, _text(data, "reason", "say why, for whoever finds the lever pulled"))
    return _back("/drills", "drills-stopped", service, "drills", "work")


@post("/drills/release", opt=needs("drill.stop"), include_in_schema=False, sync_to_thread=True)
def release_drills(request: Request[Any, Any, Any], data: Form) -> Redirect:
    """Let drills begin again."""
    from holdfast.control.service.acting import release_drills as release

    service, principal = _asking(request)
    release(service, principal)
    return _back("/drills", "drills-released", service, "drills", "work")


@post(
    "/incidents/{incident:str}/acknowledge", opt=needs("incident.change"), include_in_schema=False, sync_to_thread=True
)
def acknowledge(request: Request[Any, Any, Any], incident: FromPath[str], data: Form) -> Redirect:
    """Say that somebody knows of it."""
    from holdfast.control.service.acting import acknowledge_incident

    service, principal = _asking(request)
    acknowledge_incident(service, principal, incident, _text(data, "note"))
    return _back("/incidents", "acknowledged", service, INCIDENTS)


@post("/incidents/{incident:str}/resolve", opt=needs("incident.change"), include_in_schema=False, sync_to_thread=True)
def resolve(request: Request[Any, Any, Any], incident: FromPath[str], data: Form) -> Redirect:
    """Say that it is over, and why."""
    from holdfast.control.service.acting import resolve_incident

    service, principal = _asking(request)
    note = _text(data, "note", "say why it is over, for whoever reads it later")
    resolve_incident(service, principal, incident, note)
    return _back("/incidents", "resolved", service, INCIDENTS)


ROUTES: list[HTTPRouteHandler] = [
    approve,
    start,
    say,
    write_evidence,
    plan,
    start_drill,
    stop_drills,
    release_drills,
    acknowledge,
    resolve,
]
