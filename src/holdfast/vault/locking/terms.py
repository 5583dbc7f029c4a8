"""Until when each snapshot of a vault has to be locked, by its lock setting and what the policy in it keeps."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from holdfast.clock import to_rfc3339
from holdfast.ids import PartId
from holdfast.objectives.lock_terms import LockTerm, lock_terms
from holdfast.objectives.retention_rules import Policy
from holdfast.stores.retention.port import Period
from holdfast.units import format_duration
from holdfast.vault.format.records import Part, Root
from holdfast.vault.handle import Handle
from holdfast.vault.locking.reach import Reach, reach_of
from holdfast.vault.locking.setting import LockSetting, open_policy
from holdfast.vault.retaining.facts import gather_facts
from holdfast.vault.snapshots.finding import read_part
from holdfast.vault.snapshots.thinning import kept_links

__all__ = ["Terms", "terms_of", "reaches_of", "RENEW_BELOW"]

RENEW_BELOW = 0.5  # of the period: what is kept and has less than that left is renewed


class Terms(NamedTuple):
    """`known`: snapshot → term, of those that a policy was asked about."""

    period: Period
    policy: Policy | None
    known: dict[str, LockTerm]

    def of(self, root: Root, committed_ns: int) -> LockTerm:
        """The term of a snapshot that the store got then. Without a policy, or a judgement, all is kept."""
        found = self.known.get(root.id)
        if found is not None:
            return found
        until = committed_ns + self.period.nanoseconds
        span = format_duration(self.period.seconds)
        why = [f"at least {span} from its save, until {to_rfc3339(until)[:10]}", "renewed while it is there"]
        return LockTerm(until=until, renewed=True, because=why)


def terms_of(handle: Handle, setting: LockSetting, now_ns: int) -> Terms | None:
    """None where the setting locks nothing. `now_ns`: by the store's clock. Needs a key that reads. Raises DamageError.

    Snapshots of an asset whose pointers cannot be read are judged by nothing: they are renewed.
    """
    period = setting.period
    if period is None:
        return None
    policy = open_policy(handle.keys, setting)
    if policy is None:
        return Terms(period, None, {})
    facts = gather_facts(handle, lambda asset: True, now_ns).facts
    return Terms(period, policy, lock_terms(facts, policy, period.nanoseconds, now_ns))


def reaches_of(handle: Handle, root: Root, term: LockTerm) -> tuple[Reach, list[tuple[LockTerm, Reach]]]:
    """What the snapshot needs for as long as it is kept; and, where components are not kept for as long, what each of
    those needs, with its own term. All manifests belong to the first: they are small, and say what there is.
    """
    shorter = {name: own for name, own in term.components.items() if _is_shorter(own, term)}
    if not shorter:
        return reach_of(handle, root), []
    links = kept_links(handle, root)
    with ThreadPoolExecutor(handle.workers) as pool:
        parts = list(pool.map(lambda link: read_part(handle, PartId(link.id.hex())), links))
    by_component: dict[str, list[Part]] = {}
    for link, part in zip(links, parts, strict=True):
        by_component.setdefault(link.component if link.component in shorter else "", []).append(part)
    whole = reach_of(handle, root, by_component.pop("", []))
    return whole, [(shorter[name], reach_of(handle, root, own)) for name, own in sorted(by_component.items())]


def _is_shorter(own: LockTerm, whole: LockTerm) -> bool:
    return own.until < whole.until or (whole.renewed and not own.renewed)
