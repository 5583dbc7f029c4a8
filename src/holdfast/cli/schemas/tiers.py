"""Outputs of `holdfast tier`."""

from __future__ import annotations

from typing import Annotated

import msgspec

from holdfast.cli.schemas.common import Bytes, Count, Record, Seconds, SnapshotRef, Time

__all__ = [
    "TierMove",
    "TierHeld",
    "TierLeft",
    "MoneyLine",
    "Money",
    "TierCost",
    "TierPlanned",
    "TierDecision",
    "TierExplained",
    "TierApplied",
    "RateFacts",
    "TierMeasured",
    "ArchiveFacts",
    "TierThawing",
    "TierPrewarmed",
]

StoreName = Annotated[str, msgspec.Meta(description="a store of a site: SITE/TIER")]
BytesPerSecond = Annotated[float, msgspec.Meta(ge=0, description="bytes per second")]


class TierMove(msgspec.Struct, frozen=True, kw_only=True):
    """One step. `verb`: `copy` (and read back), `verify` (read back) or `drop`. `source`: of a copy. `needs`: stores
    at which the snapshot has to be whole and read back before it is dropped. `bytes`, `objects`: what a copy brings, or
    what a drop leaves unneeded.
    """

    verb: str
    snapshot: SnapshotRef
    asset: str
    store: StoreName
    source: str
    reason: str
    needs: list[str]
    bytes: Bytes
    objects: Count


class TierHeld(msgspec.Struct, frozen=True, kw_only=True):
    """A move that was not made when it came to it, and why."""

    move: TierMove
    reason: str


class TierLeft(msgspec.Struct, frozen=True, kw_only=True):
    """An asset, a snapshot or an object of which nothing is moved, and why."""

    what: str
    reason: str


class MoneyLine(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a sum. `confirmed`: its price was compared with a published one."""

    what: str
    amount: float
    confirmed: bool


class Money(msgspec.Struct, frozen=True, kw_only=True):
    """A sum, by the list prices of the day `prices_of`."""

    total: float
    currency: str
    prices_of: str
    confirmed: bool
    lines: list[MoneyLine]


class TierCost(msgspec.Struct, frozen=True, kw_only=True):
    """Of a plan. `before`, `after`: storage for a month. `once`: the moves."""

    before: Money
    after: Money
    once: Money


class TierPlanned(Record, frozen=True, kw_only=True, tag="holdfast/tier-plan/1"):
    """`tier plan`, and `tier apply --dry-run`. `cost`: null where a price is not known (`no_cost` says which).

    `unpriced`: stores without a price, which count as free. `not_measured`: restores and verifications without a recent
    measurement: they count as too slow. `problems`: what snapshots owe and do not get, whatever is moved.
    """

    at: Time
    snapshots: Count
    moves: list[TierMove]
    cost: TierCost | None
    no_cost: str
    unpriced: list[str]
    not_measured: list[str]
    left_out: list[TierLeft]
    problems: list[TierLeft]


class TierDecision(msgspec.Struct, frozen=True, kw_only=True):
    """Everything about a snapshot. `wanted`: store → why it belongs there. `held`: moves that were thought of and not
    made. `text`: the same in sentences.
    """

    snapshot: SnapshotRef
    asset: str
    tier: str
    why: str
    lies_at: list[str]
    wanted: dict[str, str]
    moves: list[TierMove]
    held: list[str]
    problems: list[str]
    text: list[str]


class TierExplained(Record, frozen=True, kw_only=True, tag="holdfast/tier-explain/1"):
    """`tier explain`."""

    at: Time
    decisions: list[TierDecision]
    not_measured: list[str]


class TierApplied(Record, frozen=True, kw_only=True, tag="holdfast/tier-apply/1"):
    """`tier apply`. `held`: what was not done, and why. `copied`: bytes; `read_back`: bytes read to prove copies."""

    at: Time
    done: list[TierMove]
    held: list[TierHeld]
    copied: Bytes
    read_back: Bytes
    left_out: list[TierLeft]
    problems: list[TierLeft]


class RateFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What was read of a store, or (with `asset`) verified of an asset. `rate`: null where nothing was measured."""

    store: str
    asset: str
    bytes: Bytes
    seconds: Seconds
    rate: BytesPerSecond | None
    reason: str


class TierMeasured(Record, frozen=True, kw_only=True, tag="holdfast/tier-measure/1"):
    """`tier measure`. `sites`: whose machines get what this one got."""

    at: Time
    sites: list[str]
    measured: list[RateFacts]


class ArchiveFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Packs that have to be asked for before they can be read. `packs`, `bytes`: those that cannot be read yet;
    `unasked`: how many of them nobody had asked for; `readable`: those that can be read by now. `kinds`: as the
    provider calls them. `seconds`: how long getting them takes at most, as published, and `cost`: what the unasked ones
    cost; null where that is not known.
    """

    store: StoreName
    packs: Count
    bytes: Bytes
    unasked: Count
    readable: Count
    kinds: list[str]
    seconds: Seconds | None
    cost: Money | None


class TierThawing(Record, frozen=True, kw_only=True, tag="holdfast/tier-thawing/1"):
    """While `tier prewarm` waits for archives: one line for each change."""

    at: Time
    archives: list[ArchiveFacts]


class TierPrewarmed(Record, frozen=True, kw_only=True, tag="holdfast/tier-prewarm/1"):
    """`tier prewarm`. `start`: when copying has to begin; `ready`: when it would be done, null where that was not
    measured; `until`: how long it stays. `in_time`: null for not measured. `done`: moves that were made now.
    `archives`: what could not be read when the command ended: it was asked for, but for a dry run, and the same command
    goes on.
    """

    at: Time
    snapshot: SnapshotRef
    asset: str
    store: StoreName
    by: Time
    until: Time
    start: Time
    ready: Time | None
    in_time: bool | None
    bytes: Bytes
    text: list[str]
    dry_run: bool
    done: list[TierMove]
    held: list[TierHeld]
    archives: list[ArchiveFacts]
