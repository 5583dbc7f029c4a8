"""One lane for each store that this process copies to, whoever asks."""

from __future__ import annotations

import threading

from holdfast.clock import SYSTEM_CLOCK, Clock
from holdfast.replication.copying.lanes import Lane
from holdfast.stores.protocol import Store, store_identity

__all__ = ["lane_to"]

_lanes: dict[str, Lane] = {}
_lock = threading.Lock()


def lane_to(store: Store, clock: Clock = SYSTEM_CLOCK) -> Lane:
    """Of this store, by what tells it from others."""
    with _lock:
        return _lanes.setdefault(store_identity(store), Lane(clock))
