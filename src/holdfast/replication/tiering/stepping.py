"""From where a snapshot lies to where it belongs: copies and checks first, drops after them, or why not. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from holdfast.economics.copying import Copy, cost_of_copy
from holdfast.economics.storing import ARCHIVE_SECONDS
from holdfast.errors import NotFoundError
from holdfast.replication.tiering.facts import DAY_NS, NANOSECONDS, Asset, Snapshot
from holdfast.replication.tiering.layout import COLDNESS, Layout
from holdfast.replication.tiering.owing import Owing
from holdfast.replication.tiering.paying import copy_end
from holdfast.replication.tiering.plans import Move, Verb
from holdfast.replication.tiering.wanting import Level
from holdfast.units import format_duration, format_size

__all__ = ["Draft", "Room", "draft_steps"]


@dataclass
class Draft:
    """A snapshot's decision while it is made. `wanted`: store → why. `raised`: store → where to copy it from."""

    snapshot: Snapshot
    asset: Asset
    owing: Owing
    level: Level
    wanted: dict[str, str]
    attainable: bool
    raised: dict[str, str] = field(default_factory=dict)
    held: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


class Room:
    """What is on the stores, and what the copies of the plan add: packs that are there are not copied again."""

    def __init__(self, layout: Layout, counts: Mapping[str, Mapping[str, int]]) -> None:
        self._layout = layout
        self._packs = {name: set(count) for name, count in counts.items()}
        self._used = {name: layout.size_of(packs) for name, packs in self._packs.items()}

    def take(self, snapshot: Snapshot, store: str) -> tuple[int, int] | None:
        """Objects and bytes that the snapshot adds there, from now on taken; None when there is no room for them."""
        new = snapshot.packs - self._packs[store]
        size = self._layout.size_of(new)
        capacity = self._layout.stores[store].capacity_bytes
        if capacity is not None and new and self._used[store] + size > capacity:
            return None
        self._packs[store] |= new
        self._used[store] += size
        return self._layout.objects_of(new), size


def draft_steps(layout: Layout, draft: Draft, room: Room) -> list[Move]:
    """The moves of one snapshot, in order. What is held back, and what is owed and missing, is noted in the draft."""
    moves = [*_copies(layout, draft, room), *_checks(draft)]
    reached = {move.store for move in moves} | {
        name for name, lying in draft.snapshot.at.items() if lying.verified_ns is not None
    }
    drops = {name: reason for name in sorted(draft.snapshot.at) if (reason := _why_dropped(layout, draft, name))}
    left = reached - drops.keys()
    if drops and not draft.owing.is_met(draft.snapshot, left):
        missing = "; ".join(draft.owing.problems(draft.snapshot, left))
        draft.held += [f"it is not dropped from {name}: {missing}" for name in drops]
        drops, left = {}, reached
    moves += [_move(draft, Verb.DROP, name, reason, needs=tuple(sorted(left))) for name, reason in drops.items()]
    draft.problems += draft.owing.problems(draft.snapshot, left)
    return moves


def _copies(layout: Layout, draft: Draft, room: Room) -> Iterator[Move]:
    for name, why in draft.wanted.items():
        if name in draft.snapshot.at:
            continue
        asked = draft.raised.get(name, "")
        source = asked if asked in draft.snapshot.at else _best_source(layout, draft.snapshot, name)
        if not source:
            draft.problems.append(f"it lies nowhere, so it cannot be copied to {name}")
            continue
        taken = room.take(draft.snapshot, name)
        if taken is None:
            capacity = layout.stores[name].capacity_bytes or 0
            draft.held.append(f"it is not copied to {name}: {name} holds {format_size(capacity)}, and that is full")
            continue
        objects, size = taken
        yield _move(draft, Verb.COPY, name, why, source=source, objects=objects, size=size)


def _checks(draft: Draft) -> Iterator[Move]:
    for name, why in draft.wanted.items():
        lying = draft.snapshot.at.get(name)
        if lying is not None and lying.verified_ns is None:
            yield _move(draft, Verb.VERIFY, name, f"it was never read back there, and belongs there ({why})")


def _why_dropped(layout: Layout, draft: Draft, name: str) -> str:
    """Why it may leave a store where it lies; empty when it stays, which is noted where somebody may wonder."""
    if name in draft.wanted:
        return ""
    store, lying, asset = layout.stores[name], draft.snapshot.at[name], draft.asset
    forbidden = not layout.allows(asset, store.site)
    if lying.pointed_by:
        word = "it MUST NOT lie there, and cannot leave" if forbidden else "it does not leave"
        said = f"{word} {name}: {', '.join(lying.pointed_by)}"
        (draft.problems if forbidden else draft.held).append(said)
        return ""
    if forbidden:
        return f"class {asset.owed.name} must not lie in {layout.sites[store.site].jurisdiction}"
    here = [wanted for wanted in draft.wanted if layout.stores[wanted].site == store.site]
    if any(COLDNESS[layout.stores[wanted].tier] < COLDNESS[store.tier] for wanted in here):
        draft.held.append(f"it stays on {name} as well: it comes back there when it cools")
        return ""
    if wait := _stays_until(layout, draft, name):
        draft.held.append(f"it does not leave {name} yet: {wait}")
        return ""
    return f"it belongs on {' and '.join(here)} at this site" if here else f"{store.site} is none of its asset's sites"


def _stays_until(layout: Layout, draft: Draft, name: str) -> str:
    age = (layout.now_ns - draft.snapshot.at[name].since_ns) / NANOSECONDS
    paid = layout.stores[name].price.minimum_days * DAY_NS / NANOSECONDS
    if age < paid:
        return f"it is paid for {format_duration(paid - age)} more"
    if age < draft.asset.rules.settle:
        return f"it came {format_duration(max(0.0, age))} ago"
    return ""


def _best_source(layout: Layout, snapshot: Snapshot, target: str) -> str:
    """Verified copies before others, archives last, then the cheapest; empty when it lies nowhere."""

    def order(name: str) -> tuple[bool, bool, float, float, str]:
        store = layout.stores[name]
        ends = copy_end(layout, store), copy_end(layout, layout.stores[target])
        try:
            copy = Copy(source=ends[0], target=ends[1], objects=1, bytes=layout.facts.book.gb_bytes)
            money = cost_of_copy(layout.facts.book, [copy]).total
        except NotFoundError:
            money = float("inf")  # no price is known: any other source goes before
        unverified = snapshot.at[name].verified_ns is None
        return unverified, store.wait_seconds > ARCHIVE_SECONDS, money, store.wait_seconds, name

    return min(snapshot.at, key=order, default="")


def _move(
    draft: Draft,
    verb: Verb,
    store: str,
    reason: str,
    *,
    source: str = "",
    needs: tuple[str, ...] = (),
    objects: int = 0,
    size: int = 0,
) -> Move:
    return Move(
        verb=verb,
        snapshot=draft.snapshot.id,
        asset=draft.snapshot.asset,
        store=store,
        reason=reason,
        source=source,
        needs=needs,
        bytes=size,
        objects=objects,
    )
