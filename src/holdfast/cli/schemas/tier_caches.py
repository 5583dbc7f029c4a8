"""Outputs of `holdfast tier cache`."""

from __future__ import annotations

import msgspec

from holdfast.cli.schemas.common import Bytes, Record, SnapshotRef, Time
from holdfast.cli.schemas.tiers import Money, StoreName, TierHeld, TierLeft, TierMove

__all__ = ["CachedSnapshot", "CacheState", "TierCache", "TierCacheStatus"]


class CachedSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot that the cache is to hold, and why. `lies_there`: before anything was moved."""

    snapshot: SnapshotRef
    asset: str
    why: str
    lies_there: bool


class TierCache(Record, frozen=True, kw_only=True, tag="holdfast/tier-cache/1"):
    """`tier cache plan`, `apply` and `clear`. `bytes`: of packs of all that it is to hold; `used`: that lay there
    before. `left_out`: what was thought of, or has to leave, and is not moved. `once`: what the moves cost, null where
    a price is not known. `done` and `held`: empty for a plan.
    """

    at: Time
    store: StoreName
    budget: Bytes
    bytes: Bytes
    used: Bytes
    hold: list[CachedSnapshot]
    left_out: list[TierLeft]
    moves: list[TierMove]
    once: Money | None
    dry_run: bool
    done: list[TierMove]
    held: list[TierHeld]


class CacheState(msgspec.Struct, frozen=True, kw_only=True):
    """A cache as it is. `verified`, `unverified`: what is there, read back by this machine or not; `missing`: what is
    to be there and is not. `used`: bytes of packs there, those included that wait for being collected.
    """

    store: StoreName
    decided: Time
    budget: Bytes
    used: Bytes
    verified: list[SnapshotRef]
    unverified: list[SnapshotRef]
    missing: list[SnapshotRef]


class TierCacheStatus(Record, frozen=True, kw_only=True, tag="holdfast/tier-cache-status/1"):
    """`tier cache status`: of the caches that this machine fills."""

    at: Time
    caches: list[CacheState]
