"""Until when a retention policy promises to keep each snapshot: so long it has to be locked. Pure.

The rule, for a lock that lasts at least `least` and a run of `lock extend` now and then:

* From its save on, every snapshot is locked for `least`, whatever the policy says: that is the time in which an attack
  has to be noticed.
* `within D` keeps a snapshot until D after its content at the earliest. It is locked until then.
* `monthly 12` (and hourly, daily, weekly, yearly alike) keeps the snapshot that stands for a month until twelve later
  months have one: until the beginning of the twelfth month after it at the earliest. It is locked until then, as soon
  as the month is over and it is certain which snapshot stands for it.
* All else that keeps a snapshot has no end that is known: `last 5`, `weekly all`, a month that is not over, a tag, a
  hold, `latest`, `validated`. It is locked for `least` from now on, again and again while that is so.
* What the policy lets go is locked for no longer than it is already.

So no lock ends before the rule does while locks are extended more often than every half of `least`; and none lasts for
more than `least` beyond what the policy promised when it was set. Times of content count as the store's clock bounds
them (`SnapshotFact.time`): a writer's clock that is ahead makes no lock longer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from holdfast.clock import to_rfc3339
from holdfast.objectives.calendar import LONGEST_NS, start_of
from holdfast.objectives.retention import DROP, QUARANTINED, Decision, SnapshotFact, decide
from holdfast.objectives.retention_rules import ALL, BUCKETS, Keep, Policy, Rule, select
from holdfast.units import format_duration, parse_duration

__all__ = ["LockTerm", "lock_terms", "term_at_save", "longest_promise", "usual_least"]

_NANOSECONDS = 1_000_000_000
_DAY_S = 86_400
_USUAL_LEAST_S = 30 * _DAY_S
_CLOSED_AFTER_NS = 300 * _NANOSECONDS  # clocks of writers may differ by that: as for contents of the future
_LENGTHS_S = {"hourly": 3600, "daily": _DAY_S, "weekly": 7 * _DAY_S, "monthly": 31 * _DAY_S, "yearly": 366 * _DAY_S}


class LockTerm(msgspec.Struct, frozen=True, kw_only=True):
    """For how long a snapshot has to be locked. `until`: at least until then (ns, the store's clock).

    `renewed`: it is kept and nobody knows until when, so that it also has to be locked for a while from now on.
    `because`: why, what lasts longest first. `components`: those that are not kept for as long, with the ends of their
    own locks; their packs need be locked no longer.
    """

    until: int
    renewed: bool
    because: list[str]
    components: dict[str, LockTerm] = {}


def lock_terms(facts: Iterable[SnapshotFact], policy: Policy, least_ns: int, now_ns: int) -> dict[str, LockTerm]:
    """Snapshot → its term. `least_ns`: how long everything is locked. `now_ns`: by the store's clock."""
    known = list(facts)
    decisions = {one.snapshot: one for one in decide(known, policy, now_ns)}
    terms: dict[str, LockTerm] = {}
    by_asset: dict[str, list[SnapshotFact]] = {}
    for fact in known:
        by_asset.setdefault(fact.asset, []).append(fact)
    for asset, own in by_asset.items():
        found = _Terms(own, policy.rule_for(asset), least_ns, now_ns)
        terms |= {fact.id: found.term(fact, decisions[fact.id]) for fact in own}
    return terms


def term_at_save(policy: Policy, asset: str, content_ns: int, committed_ns: int, least_ns: int) -> int:
    """Until when a snapshot has to be locked that was just saved, whatever else there is: ns.

    Which of a month's snapshots is to stand for it is not known yet.
    """
    rule = policy.rule_for(asset)
    within = rule.keep.within if rule is not None else ""
    promised = min(content_ns, committed_ns) + _span(within) if within else 0
    return min(max(promised, committed_ns + least_ns), committed_ns + LONGEST_NS)


def longest_promise(policy: Policy) -> float:
    """The longest time for which any rule promises to keep a snapshot, in seconds; 0 where none says a time."""
    keeps = [keep for rule in policy.rules for keep in (rule.keep, *rule.components.values())]
    times = [parse_duration(keep.within) for keep in keeps if keep.within]
    for keep in keeps:
        for name, length in _LENGTHS_S.items():
            amount = getattr(keep, name)
            times.append(0.0 if amount == ALL else float(amount * length))
    return max(times, default=0.0)


def usual_least(policy: Policy) -> float:
    """For how long to lock everything where nobody says: 30 days, or less where no rule keeps anything for as long."""
    longest = longest_promise(policy)
    has_no_end = any(_has_no_end(keep) for rule in policy.rules for keep in (rule.keep, *rule.components.values()))
    return float(_USUAL_LEAST_S) if has_no_end or not longest else min(float(_USUAL_LEAST_S), longest)


class _Terms:
    """Of the snapshots of one asset."""

    def __init__(self, facts: Sequence[SnapshotFact], rule: Rule | None, least_ns: int, now_ns: int) -> None:
        self._rule = rule
        self._least = least_ns
        self._now = now_ns
        self._whole = self._promises(rule.keep, facts) if rule is not None else {}
        self._of_components = {
            name: self._promises(keep, [fact for fact in facts if name in fact.components])
            for name, keep in (rule.components.items() if rule is not None else ())
        }

    def term(self, fact: SnapshotFact, decision: Decision) -> LockTerm:
        stays = decision.action != DROP
        promised = dict(self._whole.get(fact.id, {})) if stays else {}
        for name, found in self._of_components.items():  # a rule of a component keeps the snapshot, too
            if stays and name not in decision.components:
                promised |= {f"{name}: {why}": until for why, until in found.get(fact.id, {}).items()}
        components = self._components(fact, decision, bool(promised)) if stays else {}
        return self._made(fact, promised, decision.reasons, stays, components)

    def _components(self, fact: SnapshotFact, decision: Decision, is_promised: bool) -> dict[str, LockTerm]:
        terms = {}
        for name in self._of_components:
            if name in fact.components and name in decision.components:
                why = [reason for reason in decision.reasons if reason.startswith(f"{name} goes: ")]
                terms[name] = self._made(fact, {}, why, False, {})
            elif name in fact.components and is_promised:
                promised = self._of_components[name].get(fact.id, {})
                terms[name] = self._made(fact, promised, decision.reasons, True, {})
        return terms

    def _made(
        self,
        fact: SnapshotFact,
        promised: Mapping[str, int],
        reasons: Iterable[str],
        renewed: bool,
        components: dict[str, LockTerm],
    ) -> LockTerm:
        base = fact.committed + self._least
        said = [(base, f"at least {format_duration(self._least / _NANOSECONDS)} from its save, until {_day(base)}")]
        said += [(until, f"{why}, until {_day(until)}") for why, until in promised.items()]
        said.sort(key=lambda one: -one[0])
        others = [why for why in reasons if why not in promised]
        if renewed:
            others = [f"renewed while it is kept: {', '.join(others)}"] if others else []
        else:
            others = [f"not renewed: {', '.join(others)}"]
        until = min(max([base, *promised.values()]), self._now + LONGEST_NS)
        return LockTerm(
            until=until, renewed=renewed, because=[*(text for _, text in said), *others], components=components
        )

    def _promises(self, keep: Keep, facts: Sequence[SnapshotFact]) -> dict[str, dict[str, int]]:
        """Snapshot → why it is kept, in the words of `select` → until when at the earliest.

        As there, what was only marked is also promised what it would be without its mark: no writer's mark
        shortens a lock.
        """
        found: dict[str, dict[str, int]] = {}
        for some in (
            [fact for fact in facts if fact.verdict != QUARANTINED],
            [fact for fact in facts if fact.marked or fact.verdict != QUARANTINED],
        ):
            for name in BUCKETS:
                amount = getattr(keep, name)
                if amount and amount != ALL:
                    self._add(found, some, Keep(**{name: amount}), name, amount)
            if keep.within:
                self._add(found, some, Keep(within=keep.within), "", 0)
        return found

    def _add(
        self, found: dict[str, dict[str, int]], facts: Sequence[SnapshotFact], keep: Keep, bucket: str, amount: int
    ) -> None:
        selected = select(keep, facts)
        for fact in facts:
            for why in selected.get(fact.id, ()):
                if not bucket:
                    until = fact.time + _span(keep.within)
                elif self._now >= start_of(bucket, fact.time, 1) + _CLOSED_AFTER_NS:
                    until = start_of(bucket, fact.time, amount)
                else:
                    continue  # a later one may take its place
                found.setdefault(fact.id, {})[why] = until


def _span(text: str) -> int:
    return min(round(parse_duration(text) * _NANOSECONDS), LONGEST_NS)


def _has_no_end(keep: Keep) -> bool:
    return bool(keep.last) or any(getattr(keep, name) == ALL for name in BUCKETS)


def _day(time_ns: int) -> str:
    return to_rfc3339(time_ns)[:10]
