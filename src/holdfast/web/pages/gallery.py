"""Each component in each of its states, from fixed records: to be looked at and tested, without any world behind it."""

from __future__ import annotations

from typing import Any, Final

from litestar import Request, get
from litestar.handlers import HTTPRouteHandler
from litestar.response import Response

from holdfast.control.service.reading.runs import EstimateShown, StepShown
from holdfast.control.service.reading.shapes import Bound, Curve, Dot, Freshness, Page, PageLinks, Problem
from holdfast.recovery.journal.state import StepPhase
from holdfast.web.pages.rendering import encoded, page
from holdfast.web.pages.words import LOOKS
from holdfast.web.security.policies import signed_in

__all__ = ["GALLERY", "Gallery", "ROUTES"]

_AT: Final = "2026-11-22T12:00:00.000Z"
_HOUR: Final = 3600.0


class Gallery(Page, frozen=True, kw_only=True):
    """`looks`: words of all states. The others: one of each kind."""

    looks: list[str]
    bounds: list[Bound]
    curves: list[Curve]
    steps: list[StepShown]
    freshness: list[Freshness]
    problem: Problem
    links: PageLinks


def _bound(state: str, current: float | None, achievable: float | None, reason: str, cheapest: str = "") -> Bound:
    return Bound(
        state=state,
        target_seconds=4 * _HOUR,
        current_seconds=current,
        achievable_seconds=achievable,
        reason=reason,
        cheapest=cheapest,
    )


def _curve(name: str, values: list[float | None], limit: float | None = None) -> Curve:
    dots = [
        Dot(at=f"2026-11-22T{number // 2:02d}:{number % 2 * 30:02d}:00.000Z", value=one)
        for number, one in enumerate(values)
    ]
    return Curve(name=name, unit="seconds", dots=dots, limit=limit)


def _step(name: str, state: str, *after: str, kind: str = "shell", seconds: float | None = None) -> StepShown:
    measured = EstimateShown(seconds=95.0, error_seconds=12.0, source="measured", why="the last three runs")
    unknown = EstimateShown(seconds=0.0, error_seconds=0.0, source="NOT_MEASURED", why="nobody measured it")
    return StepShown(
        id=name,
        kind=kind,
        title=name.replace("-", " "),
        site="euw4",
        asset="llama-pretrain",
        after=list(after),
        state=state,
        attempts=1,
        begun_at=_AT,
        seconds=seconds,
        estimate=unknown if state == "waiting" else measured,
        text="",
        facts={},
        undo="" if kind == "verify" else "take it back",
        no_undo="it only looks" if kind == "verify" else "",
    )


_SAW: Final[list[float | None]] = [float(300 + 700 * (number % 6)) for number in range(40)]
GALLERY: Final = Gallery(
    organisation="acme",
    at=_AT,
    looks=list(LOOKS),
    bounds=[
        _bound("MET", 1200.0, 900.0, "the RPO is 20 min 00 s; 4 h 00 min is allowed"),
        _bound(
            "AT_RISK", 3.6 * _HOUR, _HOUR, "3 h 36 min of 4 h 00 min are used up", "save every 30 min (12.00 a month)"
        ),
        _bound("BREACHED", 9 * _HOUR, 2 * _HOUR, "the RPO is 9 h 00 min now; 4 h 00 min is allowed"),
        _bound("NOT_MEASURED", None, None, "no snapshot was read back at a site that would survive"),
        _bound(
            "UNATTAINABLE", 2 * _HOUR, 6 * _HOUR, "the best of the present set-up is 6 h 00 min", "one more copy at weu"
        ),
    ],
    curves=[
        _curve("Below its limit", _SAW, 2 * _HOUR),
        _curve("Above its limit", [None if one is None else 2.2 * one for one in _SAW], 3000.0),
        _curve("With gaps", [None if 8 < number < 20 else one for number, one in enumerate(_SAW)]),
        _curve("Only once", [1800.0], _HOUR),
        _curve("Never", [None, None]),
    ],
    steps=[
        _step("stop-the-trainer", StepPhase.DONE.value, kind="stop", seconds=4.2),
        _step("fence-use1", StepPhase.SKIPPED.value, "stop-the-trainer", kind="fence"),
        _step("get-machines", StepPhase.BEGUN.value, kind="get-compute"),
        _step("restore-llama-pretrain", StepPhase.DONE.value, "fence-use1", kind="restore", seconds=81.0),
        _step("verify-llama-pretrain", StepPhase.FAILED.value, "restore-llama-pretrain", kind="verify"),
        _step("promote", "waiting", "verify-llama-pretrain", kind="promote"),
        _step("start", "waiting", "promote", "get-machines", kind="start"),
        _step("traffic", StepPhase.UNDONE.value, "start", kind="traffic"),
        _step("tell-people", StepPhase.DROPPED.value, "start", "stop-the-trainer", kind="human"),
        _step("webhook", StepPhase.UNDOING.value, "traffic", kind="webhook"),
    ],
    freshness=[
        Freshness(what="judged", at="2026-11-22T11:59:56.000Z", age_seconds=4.0),
        Freshness(
            what="stores asked",
            at="2026-11-22T10:10:00.000Z",
            age_seconds=6600.0,
            stale=True,
            problem="weu/warm did not answer",
        ),
    ],
    problem=Problem(
        code="unreachable", message="weu/warm does not answer (connection refused)", hint="look at the site"
    ),
    links=PageLinks(page=2, pages=9, total=433, first=51, last=100),
)


_OPEN = signed_in("it shows the looks of the dashboard, and nothing of the organisation")


@get("/gallery", opt=_OPEN, include_in_schema=False, sync_to_thread=True, name="page:gallery")
def gallery(request: Request[Any, Any, Any]) -> Response[bytes]:
    """Everything at once."""
    return page(request, "gallery.html", GALLERY, title="Gallery", twin="/gallery.json")


@get("/gallery.json", opt=_OPEN, include_in_schema=False, sync_to_thread=True, name="json:gallery")
def gallery_twin(request: Request[Any, Any, Any]) -> Response[bytes]:
    """The fixed record."""
    return encoded(GALLERY)


ROUTES: list[HTTPRouteHandler] = [gallery, gallery_twin]
