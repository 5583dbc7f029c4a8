"""The first page: of each asset, could it be recovered now, to what point, and how long would it take."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from holdfast.clock import NANOSECONDS
from holdfast.control.service.reading.board import Board, Judged, Row, board_of
from holdfast.control.service.reading.incidents import IncidentRow, open_now
from holdfast.control.service.reading.shapes import (
    Bound,
    Curve,
    Dot,
    Freshness,
    Page,
    PageLinks,
    Problem,
    Time,
    bound_of,
    links_of,
    problem_of,
    time_of,
)
from holdfast.errors import HoldfastError
from holdfast.objectives.standing import State

if TYPE_CHECKING:
    from holdfast.control.service.context import Service

__all__ = ["AssetRow", "Change", "Overview", "OverviewQuery", "Point", "overview"]

_EACH: Final = 50
_CHANGES: Final = 12
_YES, _NO, _UNPROVEN = "yes", "no", "unproven"


class OverviewQuery(msgspec.Struct, frozen=True, kw_only=True):
    """`find`: part of a name. `state`, `site`: only these. `page` counts from 1."""

    find: str = ""
    state: str = ""
    site: str = ""
    page: int = 1


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """What an asset would come back to. `lost_seconds`: from then until now."""

    content: Time
    lost_seconds: float
    store: str
    snapshot: str
    step: int | None


class AssetRow(msgspec.Struct, frozen=True, kw_only=True):
    """`recoverable`: `yes` (read back where it survives the loss of `if_lost`), `unproven` (it arrived there, and
    nobody read it back), `no`. `exposure`: of the last day, in seconds.
    """

    asset: str
    state: str
    recoverable: str
    point: Point | None
    if_lost: str
    rpo: Bound
    rto: Bound
    home: str
    kind: str
    priority: int
    excluded: str
    exposure: Curve


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """An asset that is not in the state that it was in; empty: it was not, or is not declared."""

    asset: str
    before: str
    now: str


class Overview(Page, frozen=True, kw_only=True):
    """`tallies`: state → how many assets. `changes`: the worst of `changed`, since `since` (null: nothing is older).

    `problem`: why nothing can be said. `assets`: of `total` declared ones those that fit, a page of them.
    """

    query: OverviewQuery
    tallies: dict[str, int]
    sites: list[str]
    total: int
    links: PageLinks
    assets: list[AssetRow]
    since: Time | None
    changed: int
    changes: list[Change]
    incidents: list[IncidentRow]
    incidents_problem: Problem | None
    freshness: list[Freshness]
    problem: Problem | None


def overview(service: Service, query: OverviewQuery) -> Overview:
    """Worst first. Never raises what the catalog raises: it is in `problem`."""
    board = board_of(service)
    incidents = open_now(service)
    try:
        judged = board.judged()
        fitting = _fitting(judged, query)
        links = links_of(len(fitting), query.page, _EACH)
        shown = fitting[max(0, links.first - 1) : links.last]
        now = service.clock.now_ns()
        assets = [_row(board, judged, row, now) for row in shown]
        problem = None
    except HoldfastError as error:
        judged, assets, links = Judged([], {}, [], service.clock.now_ns(), None, []), [], links_of(0, 1, _EACH)
        problem = problem_of(error)
    return Overview(
        organisation=service.organisation,
        at=time_of(service.clock.now_ns()) or "",
        query=query,
        tallies=judged.tallies or {state.value: 0 for state in reversed(State)},
        sites=sorted({row.home for row in judged.rows if row.home}),
        total=len(judged.rows),
        links=links,
        assets=assets,
        since=time_of(judged.since),
        changed=len(judged.changes),
        changes=[
            Change(asset=name, before="" if old is None else old.value, now="" if new is None else new.value)
            for name, old, new in judged.changes[:_CHANGES]
        ],
        incidents=incidents.value,
        incidents_problem=incidents.problem,
        freshness=board.freshness(),
        problem=problem,
    )


def _fitting(judged: Judged, query: OverviewQuery) -> list[Row]:
    find = query.find.strip().lower()
    rows = judged.rows
    if find:
        rows = [row for row in rows if find in row.found]
    if query.state:
        rows = [row for row in rows if row.state.value == query.state]
    if query.site:
        rows = [row for row in rows if row.home == query.site]
    return rows


def _row(board: Board, judged: Judged, row: Row, now: int) -> AssetRow:
    standing, reach = row.standing, row.reach
    point, able = None, _NO
    if reach is not None and reach.content is not None:
        point = Point(
            content=time_of(reach.content) or "",
            lost_seconds=max(0, now - reach.content) / NANOSECONDS,
            store=reach.store,
            snapshot=row.snapshot,
            step=row.step,
        )
        able = _YES
    elif reach is not None and reach.arrived is not None:
        able = _UNPROVEN
    series = [*board.series(standing.asset), (judged.at, _current(standing.rpo.current))]
    return AssetRow(
        asset=standing.asset,
        state=row.state.value,
        recoverable=able,
        point=point,
        if_lost="" if reach is None else reach.lost,
        rpo=bound_of(standing.rpo),
        rto=bound_of(standing.rto),
        home=row.home,
        kind=row.kind,
        priority=row.priority,
        excluded=standing.excluded,
        exposure=Curve(
            name="exposure",
            unit="seconds",
            dots=[Dot(at=time_of(at) or "", value=value) for at, value in series if at <= judged.at],
            limit=standing.rpo.target,
        ),
    )


def _current(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) else None
