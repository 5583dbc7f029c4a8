"""Which snapshot an asset comes back to, and from which copy it is read: the newest that is known to be good."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from holdfast.clock import NANOSECONDS, to_rfc3339
from holdfast.objectives.standing import CREDIT_SECONDS
from holdfast.recovery.estimates import Estimate, transfer
from holdfast.recovery.facts import Answer, Asset, Facts, Proof, Replica, Snapshot
from holdfast.recovery.intents import AsOf, Intent, Pinned, Point
from holdfast.recovery.plans import Chosen, Rejected
from holdfast.units import format_duration

__all__ = ["Usable", "choose_point", "agreeing_points", "proof_problem"]

_SKEW_NS = 300 * NANOSECONDS


class Usable(NamedTuple):
    """A recovery point, its copy, and how long reading it takes at the site it is for."""

    chosen: Chosen
    snapshot: Snapshot
    replica: Replica
    reading: Estimate


def choose_point(facts: Facts, asset: Asset, site: str, intent: Intent, *, local: bool) -> Usable | list[Rejected]:
    """The newest good snapshot of the asset by the intent's point, and the copy from which it is at `site` first.

    `local`: the copy has to lie at `site`. What was newer and not taken is kept with its reason; where none will do,
    these reasons are the answer.
    """
    rejected: list[Rejected] = []
    for snapshot in facts.snapshots_of(asset.name):
        problem = _out_of_range(snapshot, intent.point) or _quarantined(snapshot)
        if problem is None:
            found = _best_copy(facts, snapshot, site, local)
            if not isinstance(found, str):
                replica, reading = found
                fault = facts.at if intent.fault_at is None else intent.fault_at
                loss = max(0.0, (fault - snapshot.content) / NANOSECONDS)
                chosen = Chosen(
                    asset=asset.name,
                    snapshot=snapshot.id,
                    step=snapshot.step,
                    content=snapshot.content,
                    loss=loss,
                    site=replica.site,
                    store=replica.store,
                    rejected=tuple(rejected),
                )
                return Usable(chosen, snapshot, replica, reading)
            problem = found
        rejected.append(Rejected(snapshot.id, problem))
    return rejected or [Rejected(asset.name, "there is no snapshot of it")]


def agreeing_points(
    facts: Facts, assets: list[Asset], site: str, intent: Intent, *, local: bool
) -> tuple[list[Usable], list[Rejected]]:
    """One recovery point for each asset, none newer than the oldest of what is the newest good: they agree in time.

    Where one of them has none, its reasons in their place.
    """
    usable, rejected = _points(facts, assets, site, intent, local)
    if rejected or len(assets) == 1:
        return usable, rejected
    limit = min(one.chosen.content for one in usable)
    return _points(facts, assets, site, msgspec.structs.replace(intent, point=AsOf(limit)), local)


def _points(
    facts: Facts, assets: list[Asset], site: str, intent: Intent, local: bool
) -> tuple[list[Usable], list[Rejected]]:
    usable: list[Usable] = []
    for asset in assets:
        found = choose_point(facts, asset, site, intent, local=local)
        if not isinstance(found, Usable):
            return [], found
        usable.append(found)
    return usable, []


def _out_of_range(snapshot: Snapshot, point: Point) -> str | None:
    if isinstance(point, Pinned) and snapshot.id != point.snapshot:
        return "another one is asked for"
    if isinstance(point, AsOf) and snapshot.content > point.ns:
        return f"its content is newer than {to_rfc3339(point.ns)}"
    return None


def _quarantined(snapshot: Snapshot) -> str | None:
    return "it is quarantined" if snapshot.verdict == "quarantined" else None


def proof_problem(proof: Proof | None, now_ns: int) -> str | None:
    """Why a proof counts for nothing, or None: it read content, not long ago, and not in the future."""
    if proof is None:
        return "it was never read back there"
    if proof.level == "present":
        return "it is present there, and was never read back"
    age = (now_ns - proof.at) / NANOSECONDS
    if proof.at > now_ns + _SKEW_NS:
        return f"its proof there is {format_duration(-age)} of the future"
    if age > CREDIT_SECONDS:
        return f"it was read back there {format_duration(age)} ago, which counts for {format_duration(CREDIT_SECONDS)}"
    return None


def _best_copy(facts: Facts, snapshot: Snapshot, site: str, local: bool) -> tuple[Replica, Estimate] | str:
    problems: list[str] = []
    candidates: list[tuple[bool, float, str, Replica, Estimate]] = []
    for replica in snapshot.replicas:
        problem = _copy_problem(facts, replica, site, local)
        if problem is not None:
            problems.append(f"{replica.store}: {problem}")
            continue
        reading = transfer(replica.fetch, replica.rates.get(site), replica.wait)
        candidates.append((not reading.known, reading.most, replica.store, replica, reading))
    if not candidates:
        return "; ".join(problems) or "there is no copy of it"
    best = min(candidates, key=lambda one: one[:3])
    return best[3], best[4]


def _copy_problem(facts: Facts, replica: Replica, site: str, local: bool) -> str | None:
    at = facts.site(replica.site)
    if local and replica.site != site:
        return f"it is not at {site}"
    if at is None:
        return f"nobody knows the site {replica.site}"
    if at.state == "failed":
        return f"{replica.site} was declared failed"
    if at.answer is not Answer.YES:
        return f"{replica.site} {at.answer}"
    if not replica.whole:
        return "it is not whole there"
    return proof_problem(replica.proof, facts.at)
