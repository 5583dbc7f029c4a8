"""Which snapshots and components may go, and why the others stay. Pure: facts in, decisions with reasons out.

What protects a snapshot stands above all rules: `latest`, `validated`, tags, holds, leases, a commit a moment ago. The
newest content of an asset stays. Nothing goes from an asset of which nothing was proven yet. Of each component that has
rules of its own, the newest snapshot that is proven and still has it stays and keeps it: so a component only goes from
snapshots that are older than one which was read back and has it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal

import msgspec

from holdfast.objectives.retention_rules import ALL, Keep, Policy, Rule, matches, newest_first, select
from holdfast.units import format_duration, parse_duration

__all__ = ["Hold", "SnapshotFact", "Decision", "decide", "remaining", "without_components", "KEEP", "THIN", "DROP"]

KEEP: Final = "keep"
THIN: Final = "thin"
DROP: Final = "drop"
QUARANTINED = "quarantined"
_CLOCK_SLACK_NS = 300 * 10**9  # a content time later than this after the commit is of no state that existed
_NANOSECONDS = 1e9


class Hold(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody wants it to stay. `until`: ns since the epoch, None for as long as the hold is there."""

    reason: str
    until: int | None = None


class SnapshotFact(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot as retention sees it. Times are ns since the epoch.

    `created`, `content`: as the root says. `committed`: when the store got the root, by its clock. `components`: those
    that it still has → bytes of their files; `given_up`: those that went before. `proven`: `validated` pointed to
    it once, having read it back. `leased`: a lease that is active still began before it was committed. `marked`: it was
    quarantined after it was saved, which any writer's key can do.
    """

    id: str
    asset: str
    created: int
    content: int
    committed: int
    verdict: str
    components: dict[str, int]
    step: int | None = None
    given_up: list[str] = []
    latest: bool = False
    validated: bool = False
    proven: bool = False
    leased: bool = False
    marked: bool = False
    tags: list[str] = []
    holds: list[Hold] = []

    @property
    def time(self) -> int:
        """Of its content, as far as that can be true: no state is of a time after the store got it, whatever the clock
        of its writer said.
        """
        return _bounded(self.content, min(self.created, self.committed))

    @property
    def claimed(self) -> int:
        """The same, as the writer's clock has it."""
        return _bounded(self.content, self.created)

    @property
    def is_good(self) -> bool:
        return self.verdict == "good"


def _bounded(time: int, bound: int) -> int:
    return time if time <= bound + _CLOCK_SLACK_NS else bound


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of a snapshot. `components`: those that go (all, of one that is dropped) → bytes of their files.

    `reasons`: for `keep` and `thin` why it stays, and why components go; for `drop` what does not keep it.
    """

    snapshot: str
    asset: str
    action: Literal["keep", "thin", "drop"]
    components: dict[str, int]
    reasons: list[str]


def decide(facts: Iterable[SnapshotFact], policy: Policy, now_ns: int) -> list[Decision]:
    """One decision for each snapshot, by asset, the oldest content first. `now_ns`: by the store's clock.

    It does not depend on the order of the facts, and deciding anew about what is left after the decisions changes
    nothing.
    """
    by_asset: dict[str, list[SnapshotFact]] = {}
    for fact in facts:
        by_asset.setdefault(fact.asset, []).append(fact)
    decisions: list[Decision] = []
    for asset in sorted(by_asset):
        ordered = sorted(by_asset[asset], key=lambda fact: (fact.time, fact.id))
        rule = policy.rule_for(asset)
        if rule is None:
            decisions += [_kept(fact, ["no rule is for this asset"]) for fact in ordered]
        elif not any(fact.validated and fact.verdict != QUARANTINED for fact in ordered):
            decisions += [_kept(fact, ["nothing of this asset is validated yet"]) for fact in ordered]
        else:
            decisions += _Asset(ordered, rule, policy, now_ns).decisions()
    return decisions


class _Asset:
    """The snapshots of one asset, something of which is proven."""

    def __init__(self, facts: Sequence[SnapshotFact], rule: Rule, policy: Policy, now_ns: int) -> None:
        self._facts = facts
        self._rule = rule
        self._now = now_ns
        self._recent = parse_duration(policy.recent)
        usable = [fact for fact in facts if fact.verdict != QUARANTINED]
        self._newest = newest_first(usable)[0].id if usable else ""
        self._selected = self._select(rule.keep, facts) | self._selected_quarantined(facts)
        self._of_components = {
            name: self._select(keep, [fact for fact in facts if name in fact.components])
            for name, keep in rule.components.items()
        }
        self._witnesses = {name: self._witness(usable, name) for name in rule.components}

    def _select(self, keep: Keep, facts: Sequence[SnapshotFact]) -> dict[str, list[str]]:
        """Of the sound ones; and of those that were marked, what would be selected without marks. They take no place of
        a sound one, but whoever may only write must not have others' snapshots dropped by marking them.
        """
        unmarked = _select(keep, [fact for fact in facts if fact.marked or fact.verdict != QUARANTINED])
        found = _select(keep, [fact for fact in facts if fact.verdict != QUARANTINED])
        return {fact.id: unmarked[fact.id] for fact in facts if fact.marked and fact.id in unmarked} | found

    def _selected_quarantined(self, facts: Sequence[SnapshotFact]) -> dict[str, list[str]]:
        """They take no place of a sound one: only time keeps them, or a rule that keeps everything."""
        keep = self._rule.keep
        found = _select(Keep(within=keep.within, last=ALL if keep.last == ALL else 0), facts)
        quarantined = [fact for fact in facts if fact.verdict == QUARANTINED and not fact.marked]
        return {fact.id: found[fact.id] for fact in quarantined if fact.id in found}

    def _witness(self, usable: Iterable[SnapshotFact], component: str) -> SnapshotFact | None:
        proven = [fact for fact in usable if fact.proven and component in fact.components]
        return max(proven, key=lambda fact: (fact.time, fact.id), default=None)

    def decisions(self) -> list[Decision]:
        if not self._selected and not any(self._of_components.values()):
            return [_kept(fact, ["its rule selects nothing at all of this asset"]) for fact in self._facts]
        return [self._decide(fact) for fact in self._facts]

    def _decide(self, fact: SnapshotFact) -> Decision:
        whole = self._protections(fact)
        reasons = [*whole, *self._partly(fact), *self._selected.get(fact.id, ())]
        for name, selected in self._of_components.items():
            reasons += [f"{name}: {why}" for why in selected.get(fact.id, ())]
            if self._is_witness(fact, name):
                reasons.append(f"{name}: the newest one that is proven")
        if not reasons:
            return Decision(
                snapshot=fact.id,
                asset=fact.asset,
                action=DROP,
                components=dict(fact.components),
                reasons=[self._why_dropped(fact)],
            )
        going = {} if whole else self._going(fact)
        if not going:
            return _kept(fact, reasons)
        if not fact.components.keys() - going.keys():
            return _kept(fact, [*reasons, "nothing else would be left of it"])
        why = [f"{name} goes: {text}" for name, (text, _) in going.items()]
        sizes = {name: size for name, (_, size) in going.items()}
        return Decision(snapshot=fact.id, asset=fact.asset, action=THIN, components=sizes, reasons=[*reasons, *why])

    def _protections(self, fact: SnapshotFact) -> list[str]:
        """Why it stays whole, whatever the rules say."""
        found = []
        if fact.latest:
            found.append("latest")
        if fact.validated:
            found.append("validated")
        found += [f"tag {tag}" for tag in sorted(fact.tags) if self._tag_protects_all(tag)]
        found += [_hold_text(hold) for hold in fact.holds if hold.until is None or hold.until > self._now]
        if fact.leased:
            found.append("a lease that began before it is still active")
        age = (self._now - fact.committed) / _NANOSECONDS
        if age < self._recent:
            found.append(f"committed {format_duration(max(0.0, age))} ago")
        if fact.id == self._newest:
            found.append("newest content")
        return found

    def _tag_protects_all(self, tag: str) -> bool:
        tags = self._rule.tags
        return any(matches(tag, glob) for glob in tags) if isinstance(tags, list) else tags == "protect"

    def _partly(self, fact: SnapshotFact) -> list[str]:
        """Why it stays, if not with all of its components."""
        if self._rule.tags == "ignore":
            return []
        return [f"tag {tag}" for tag in sorted(fact.tags) if not self._tag_protects_all(tag)]

    def _is_witness(self, fact: SnapshotFact, component: str) -> bool:
        witness = self._witnesses[component]
        return witness is not None and witness.id == fact.id

    def _going(self, fact: SnapshotFact) -> dict[str, tuple[str, int]]:
        """Component → why it goes, and its bytes."""
        going = {}
        for name, keep in self._rule.components.items():
            witness = self._witnesses[name]
            if name not in fact.components or fact.id in self._of_components[name] or witness is None:
                continue
            if (fact.time, fact.id) < (witness.time, witness.id) and fact.claimed <= witness.claimed:
                why = f"beyond {keep.describe()}; {witness.id} has it, and is proven"
                going[name] = (why, fact.components[name])
        return going

    def _why_dropped(self, fact: SnapshotFact) -> str:
        if fact.verdict == QUARANTINED:
            return "quarantined, neither tagged nor held, and beyond the rule"
        rules = {"": self._rule.keep, **self._rule.components}
        said = [f"{name}: {keep.describe()}" if name else keep.describe() for name, keep in rules.items()]
        return f"beyond {'; '.join(text for text in said if text != 'nothing')}"


def _select(keep: Keep, facts: Sequence[SnapshotFact]) -> dict[str, list[str]]:
    """What `keep` selects by either clock: where the writer's and the store's disagree, nobody knows which is right."""
    found = select(keep, facts)
    if any(fact.claimed != fact.time for fact in facts):
        claimed = {fact.id: fact.claimed for fact in facts}
        found = select(keep, facts, lambda one: claimed[one.id]) | found
    return found


def _kept(fact: SnapshotFact, reasons: list[str]) -> Decision:
    return Decision(snapshot=fact.id, asset=fact.asset, action=KEEP, components={}, reasons=reasons)


def _hold_text(hold: Hold) -> str:
    return f"held: {hold.reason}" if hold.reason else "held"


def remaining(facts: Iterable[SnapshotFact], decisions: Mapping[str, Decision]) -> list[SnapshotFact]:
    """The facts after the decisions were carried out. `decisions` by snapshot."""
    left = []
    for fact in facts:
        decision = decisions.get(fact.id)
        if decision is None or decision.action == KEEP:
            left.append(fact)
        elif decision.action == THIN:
            left.append(without_components(fact, decision.components))
    return left


def without_components(fact: SnapshotFact, names: Iterable[str]) -> SnapshotFact:
    """The fact after these components were given up."""
    gone = set(names)
    return msgspec.structs.replace(
        fact,
        components={name: size for name, size in fact.components.items() if name not in gone},
        given_up=sorted({*fact.given_up, *gone}),
    )
