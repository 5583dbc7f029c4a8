"""Pages that show, each a record of `control/service/reading`: as HTML, and as it is at the same path with `.json`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
from litestar import Request, get
from litestar.handlers import HTTPRouteHandler
from litestar.response import Response

from holdfast.control.service.context import Service
from holdfast.errors import UsageError
from holdfast.web.pages.rendering import encoded, page
from holdfast.web.security.policies import needs

__all__ = ["ROUTES", "Shown"]

Read = Callable[[Service, Request[Any, Any, Any]], msgspec.Struct]


class Shown(NamedTuple):
    """A page. `path`: its parts in braces are handed to `read` in `request.path_params`. `need`: of the policies.

    `events`: the stream that it follows, `{run}` filled in; `every`: seconds between two looks where scripts run.
    `title`: of the record.
    """

    path: str
    template: str
    title: Callable[[Any], str]
    here: str
    need: dict[str, Any]
    read: Read
    events: str = ""
    every: int = 0


def _number(request: Request[Any, Any, Any], name: str, least: int, most: int) -> int:
    text = request.query_params.get(name, str(least))
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise UsageError(f"{name} is a number", hint=f"from {least} to {most:,}")
    return max(least, min(int(text), most))


def _word(request: Request[Any, Any, Any], name: str) -> str:
    return str(request.query_params.get(name, ""))[:200]


def _overview(service: Service, request: Request[Any, Any, Any]) -> msgspec.Struct:
    from holdfast.control.service.reading.overview import OverviewQuery, overview

    query = OverviewQuery(
        find=_word(request, "find"),
        state=_word(request, "state"),
        site=_word(request, "site"),
        page=_number(request, "page", 1, 1_000_000),
    )
    return overview(service, query)


def _incidents(service: Service, request: Request[Any, Any, Any]) -> msgspec.Struct:
    from holdfast.control.service.reading.incidents import incidents_page

    return incidents_page(service)


def _runs(service: Service, request: Request[Any, Any, Any]) -> msgspec.Struct:
    from holdfast.control.service.reading.runs import runs_page

    return runs_page(service)


def _run(service: Service, request: Request[Any, Any, Any]) -> msgspec.Struct:
    from holdfast.control.service.reading.runs import run_page

    return run_page(service, str(request.path_params["run"]))


def _sites(service: Service, request: Request[Any, Any, Any]) -> msgspec.Struct:
    from holdfast.control.service.reading.sites import sites_page

    return sites_page(service, _word(request, "find"), _number(request, "page", 1, 1_000_000))


def _asset(service: Service, request: Request[Any, Any, Any]) -> msgspec.Struct:
    from holdfast.control.service.reading.assets import asset_page

    return asset_page(service, str(request.path_params["asset"]))


def _diff(service: Service, request: Request[Any, Any, Any]) -> msgspec.Struct:
    from holdfast.control.service.reading.differences import diff_page

    return diff_page(service, str(request.path_params["asset"]), _word(request, "from"), _word(request, "to"))


def _drills(service: Service, request: Request[Any, Any, Any]) -> msgspec.Struct:
    from holdfast.control.service.reading.drills import drills_page

    return drills_page(service)


def _drill(service: Service, request: Request[Any, Any, Any]) -> msgspec.Struct:
    from holdfast.control.service.reading.drills import drill_page

    return drill_page(service, str(request.path_params["drill"]))


def _evidence(service: Service, request: Request[Any, Any, Any]) -> msgspec.Struct:
    from holdfast.control.service.reading.evidence import evidence_page

    return evidence_page(service)


def _evidence_one(service: Service, request: Request[Any, Any, Any]) -> msgspec.Struct:
    from holdfast.control.service.reading.evidence import evidence_one

    return evidence_one(service, str(request.path_params["run"]))


def _findings(service: Service, request: Request[Any, Any, Any]) -> msgspec.Struct:
    from holdfast.control.service.reading.evidence import findings_page

    return findings_page(service)


def _audit(service: Service, request: Request[Any, Any, Any]) -> msgspec.Struct:
    from holdfast.control.service.reading.audit import audit_page

    before = _number(request, "before", 0, 999_999_999) if "before" in request.query_params else None
    return audit_page(service, before)


def _keys(service: Service, request: Request[Any, Any, Any]) -> msgspec.Struct:
    from holdfast.control.service.reading.keys import keys_page

    return keys_page(service)


def _catalogue(service: Service, request: Request[Any, Any, Any]) -> msgspec.Struct:
    from holdfast.control.service.reading.catalogue import catalogue_page

    return catalogue_page(service)


def _name_of(one: Any) -> str:
    return f"Recovery {one.row.name if one.row else one.run}"


_ALL = "/api/v1/events"
_RUN = "/api/v1/runs/{run}/events"
_OF_RUN = needs("recover.review", on="plan")
_DRILLS = needs("drill.report")
_SHOW = needs("show", on="asset")
PAGES = (
    Shown("/", "overview.html", lambda one: "Assets", "/", needs("objective.show"), _overview, every=15),
    Shown("/sites", "sites.html", lambda one: "Sites", "/sites", needs("site.list"), _sites, every=20),
    Shown("/assets/{asset:str}", "asset.html", lambda one: one.asset, "/", _SHOW, _asset, every=20),
    Shown("/assets/{asset:str}/diff", "diff.html", lambda one: f"Changes in {one.asset}", "/", _SHOW, _diff),
    Shown(
        "/incidents",
        "incidents.html",
        lambda one: "Incidents",
        "/incidents",
        needs("incident.show"),
        _incidents,
        _ALL,
        20,
    ),
    Shown("/runs", "runs.html", lambda one: "Recoveries", "/runs", needs("recover.list"), _runs, _ALL, 20),
    Shown("/runs/{run:str}", "run.html", _name_of, "/runs", _OF_RUN, _run, _RUN, 10),
    Shown("/drills", "drills.html", lambda one: "Drills", "/drills", _DRILLS, _drills, _ALL, 10),
    Shown("/drills/{drill:str}", "drill.html", lambda one: f"Drill {one.drill.id}", "/drills", _DRILLS, _drill),
    Shown("/evidence", "evidence.html", lambda one: "Evidence", "/evidence", _DRILLS, _evidence),
    Shown("/evidence/{run:str}", "evidence_one.html", lambda one: "Evidence", "/evidence", _DRILLS, _evidence_one),
    Shown("/findings", "findings.html", lambda one: "Findings", "/findings", _DRILLS, _findings),
    Shown("/audit", "audit.html", lambda one: "Audit log", "/audit", needs("audit.show", on="vault"), _audit),
    Shown("/keys", "keys.html", lambda one: "Keys", "/keys", needs("vault.info", on="vault"), _keys),
    Shown("/catalogue", "catalogue.html", lambda one: "Start one", "/catalogue", needs("recover.list"), _catalogue),
)


def twin_path(path: str, asked: str = "") -> str:
    """Beside the page; of what ends with a name, below it: the name is what the policies are asked about, as it is.

    `path`: of the route; `asked`: of a request to it.
    """
    within = path.endswith(("/", "}"))
    return f"{(asked or path).rstrip('/')}{'/index' if within else ''}.json"


def _routes(shown: Shown) -> list[HTTPRouteHandler]:
    def html(request: Request[Any, Any, Any]) -> Response[bytes]:
        record = shown.read(request.app.state.service, request)
        events = shown.events.format(**{name: str(value) for name, value in request.path_params.items()})
        return page(
            request,
            shown.template,
            record,
            title=shown.title(record),
            here=shown.here,
            events=events,
            every=shown.every,
            said=_said(request),
            wanted=_word(request, "name"),
            twin=twin_path(shown.path, request.url.path),
        )

    def twin(request: Request[Any, Any, Any]) -> Response[bytes]:
        return encoded(shown.read(request.app.state.service, request))

    made: list[HTTPRouteHandler] = []
    name = shown.template.removesuffix(".html")
    beside = twin_path(shown.path)
    for path, handler, kind in ((shown.path, html, "page"), (beside, twin, "json")):
        decorate = get(path, opt=shown.need, include_in_schema=False, sync_to_thread=True, name=f"{kind}:{name}")
        made.append(decorate(handler))
    return made


_SAID = {
    "approved": "Your approval is signed and lies at the stores.",
    "started": "The run was handed to the workers: it begins in a moment.",
    "paused": "The run pauses after the steps that are under way.",
    "resumed": "The run goes on.",
    "stopped": "The run stops: what was done is taken back.",
    "skipped": "The step is skipped, with your reason.",
    "planned": "The plan was made, and nothing was begun. Below stands whose approval it needs.",
    "evidence-written": "A worker writes the evidence: it is there in a moment.",
    "drill-started": "The drill was handed to the workers: it begins in a moment.",
    "drills-stopped": "The stop lever is pulled: drills end, clean up, and none begins.",
    "drills-released": "The stop lever is released: drills may begin again.",
    "acknowledged": "Everybody sees now that you know of it: nobody further is woken.",
    "resolved": "The incident is resolved, with your reason.",
}


def _said(request: Request[Any, Any, Any]) -> str:
    """What a button just did: one of our own sentences, whatever stands in the address."""
    return _SAID.get(_word(request, "said"), "")


ROUTES: list[HTTPRouteHandler] = [route for shown in PAGES for route in _routes(shown)]
