"""What objectives are judged by, for all assets at once: a handful of questions to the database, whatever the number.

It is as old as the last look at each store, and says so. A store that did not answer then is taken for lost.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Final, NamedTuple, TypeAlias

from sqlalchemy import Connection, Select, and_, func, select

from holdfast.catalog.models import Arrival, Asset, Plan, Proof, Run, StoreRow
from holdfast.catalog.taking import POINTER
from holdfast.clock import NANOSECONDS
from holdfast.objectives.credit import Attempt, Reach, credit_of
from holdfast.objectives.measured import NOT_MEASURED, NotMeasured
from holdfast.objectives.standing import CREDIT_SECONDS, Observed, Standing, stand

__all__ = ["PLAN_SECONDS", "Joined", "observe", "newest_proofs", "stand_all"]

Joined: TypeAlias = Callable[[list[Attempt]], list[Attempt]]
PLAN_SECONDS: Final = 86_400.0  # for so long the estimate of a plan is one "of today"


class _Proven(NamedTuple):
    """The newest content that was read back at a store, and how long it took to get there and to be read (seconds)."""

    content: int
    copying: float
    verifying: float


def stand_all(
    connection: Connection, at: int, assets: Iterable[str] | None = None, join: Joined = list
) -> list[Standing]:
    """How each declared asset (of these) stands at `at` (ns), as far as the catalog knows."""
    return [stand(one) for one in observe(connection, at, assets, join)]


def observe(
    connection: Connection, at: int, assets: Iterable[str] | None = None, join: Joined = list
) -> list[Observed]:
    """What is known of each declared asset (of these) at `at` (ns), by name. `join`: what is known of drills beside the
    runs of the catalog, joined to them: their evidence is no row of it.
    """
    names = None if assets is None else sorted(set(assets))
    sites = _sites(connection)
    proofs = _proven(connection, at, names)
    newest = _newest_contents(connection, names)
    attempts, planned = _recoveries(connection, at, join)
    wanted = select(Asset.name, Asset.rpo, Asset.rto, Asset.home, Asset.every).where(Asset.declared)
    if names is not None:
        wanted = wanted.where(Asset.name.in_(names))
    found = []
    for name, rpo, rto, home, every in connection.execute(wanted.order_by(Asset.name)):
        there = newest.get(name, {})
        proven = proofs.get(name, {})
        copying, verifying = _delays(proven, home, sites)
        credit = credit_of(attempts.get(name, ()))
        found.append(
            Observed(
                asset=name,
                at=at,
                rpo=rpo,
                rto=rto,
                exposure=_exposure(there, proven, sites, at, behind=rpo == 0),
                interval=NOT_MEASURED if every is None else every,
                copying=copying,
                verifying=verifying,
                drilled=credit.drilled,
                undrilled=credit.why if credit.drilled is None and attempts.get(name) else "",
                planned=planned.get(name, NOT_MEASURED),
            )
        )
    return found


def newest_proofs(since: int, names: list[str] | None) -> Select[str, str, int, int, int, int]:
    """For each asset and store: of the newest content that a machine read back there since `since`, (asset, store,
    content, created, stored at, proven at). Answered from the index `ix_proofs_newest`, but for the last step.
    """
    counted = and_(Proof.at >= since, Proof.source != POINTER)
    if names is not None:
        counted = and_(counted, Proof.asset.in_(names))
    newest = (
        select(Proof.asset, Proof.store, func.max(Proof.content).label("content"))
        .where(counted)
        .group_by(Proof.asset, Proof.store)
        .subquery()
    )
    same = and_(
        Proof.asset == newest.c.asset, Proof.store == newest.c.store, Proof.content == newest.c.content, counted
    )
    return select(Proof.asset, Proof.store, Proof.content, Proof.created, Proof.stored_at, Proof.at).join(newest, same)


def _sites(connection: Connection) -> dict[str, str]:
    """Store → site, of those that answered when they were last asked."""
    rows = connection.execute(select(StoreRow.name, StoreRow.site, StoreRow.problem))
    return {name: site for name, site, problem in rows if not problem}


def _proven(connection: Connection, at: int, names: list[str] | None) -> dict[str, dict[str, _Proven]]:
    found: dict[str, dict[str, _Proven]] = defaultdict(dict)
    since = at - round(CREDIT_SECONDS * NANOSECONDS)
    for asset, store, content, created, stored_at, proven_at in connection.execute(newest_proofs(since, names)):
        copying = max(0, stored_at - created) / NANOSECONDS
        one = _Proven(content, copying, max(0, proven_at - stored_at) / NANOSECONDS)
        before = found[asset].get(store)
        # Of several machines' proofs of one content the first counts: the others only looked again.
        if before is None or one.verifying < before.verifying:
            found[asset][store] = one
    return found


def _newest_contents(connection: Connection, names: list[str] | None) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = defaultdict(dict)
    wanted = select(Arrival.asset, Arrival.store, func.max(Arrival.content)).where(Arrival.content.is_not(None))
    if names is not None:
        wanted = wanted.where(Arrival.asset.in_(names))
    for asset, store, content in connection.execute(wanted.group_by(Arrival.asset, Arrival.store)):
        if content is not None:
            found[asset][store] = content
    return found


def _exposure(
    there: Mapping[str, int], proven: Mapping[str, _Proven], sites: Mapping[str, str], at: int, *, behind: bool
) -> float | NotMeasured:
    """Seconds of content that would be lost with the worst site. `behind`: against the newest content that any store
    has, instead of the present: what an RPO of 0 is about.
    """
    until = max((content for store, content in there.items() if store in sites), default=at) if behind else at
    worst: float | None = None
    for lost in {sites[store] for store in there if store in sites}:
        survivors = [one.content for store, one in proven.items() if store in sites and _survives(sites[store], lost)]
        if not survivors:
            return NOT_MEASURED
        worst = max(worst or 0.0, max(0, until - max(survivors)) / NANOSECONDS)
    return NOT_MEASURED if worst is None else worst


def _survives(site: str, lost: str) -> bool:
    """A set of stripes has no site of its own: it is made to survive the loss of any."""
    return site != lost or not site


def _delays(
    proven: Mapping[str, _Proven], home: str, sites: Mapping[str, str]
) -> tuple[float | NotMeasured, float | NotMeasured]:
    """Copying and reading back, until a snapshot is safe from the loss of any one site: at the second site to have it.

    The home has it when it is saved.
    """
    by_site: dict[str, _Proven] = {}
    for store, one in proven.items():
        site = sites.get(store)
        if site is None:
            continue
        own = one._replace(copying=0.0) if site == home else one
        if site not in by_site or sum(own[1:]) < sum(by_site[site][1:]):
            by_site[site] = own
    if len(by_site) < 2 and "" not in by_site:
        return NOT_MEASURED, NOT_MEASURED
    second = sorted(by_site.values(), key=lambda one: one.copying + one.verifying)[min(1, len(by_site) - 1)]
    return second.copying, second.verifying


def _recoveries(connection: Connection, at: int, join: Joined) -> tuple[dict[str, list[Attempt]], dict[str, float]]:
    """Asset → its runs that passed or failed, and the newest estimate of a plan of today."""
    found: list[Attempt] = []
    runs = connection.execute(
        select(Run.id, Run.ended, Run.verdict, Plan.facts_at, Plan.assets, Plan.isolated)
        .join(Plan, Plan.hash == Run.plan)
        .where(Run.verdict.in_(("PASSED", "FAILED")), Run.ended.is_not(None))
        .order_by(Run.ended, Run.id)
    )
    for run, ended, verdict, facts_at, assets, isolated in runs:
        assert ended is not None
        found += [
            Attempt(
                asset=asset,
                at=ended,
                passed=verdict == "PASSED",
                reach=Reach.COMPONENT if isolated else Reach.RECOVERY,
                scenario="",
                what=f"the {'rehearsal' if isolated else 'recovery'} {run}",
                run=run,
                rto=max(0, ended - facts_at) / NANOSECONDS,
            )
            for asset in assets.splitlines()
        ]
    attempts: dict[str, list[Attempt]] = defaultdict(list)
    for one in join(found):
        attempts[one.asset].append(one)
    planned: dict[str, float] = {}
    since = at - round(PLAN_SECONDS * NANOSECONDS)
    plans = connection.execute(
        select(Plan.rto, Plan.assets)
        .where(Plan.rto.is_not(None), Plan.facts_at >= since)
        .order_by(Plan.facts_at, Plan.hash)
    )
    for rto, assets in plans:
        assert rto is not None
        planned |= dict.fromkeys(assets.splitlines(), rto)
    return attempts, planned
