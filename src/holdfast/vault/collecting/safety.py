"""Named safety delays: how long a collection waits for what it cannot see."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Safety", "FULL", "NONE", "LEASE_S"]

LEASE_S = 3600.0


class Safety(NamedTuple):
    """Seconds, all but `lease` measured between times that the store gave to objects.

    `lease`: how long a writer may be out of touch and still commit; the same for every program. `fresh`: what is
    younger is not condemned, for saves by programs that know no leases. `grace`: from condemning to deleting.
    `listing`: by how much listings of the store may lag. `settle`: how long a collection that was closed keeps its
    names from being used again, for a collector that was stopped in mid-delete.
    """

    lease: float = LEASE_S
    fresh: float = 24 * 3600.0
    grace: float = 24 * 3600.0
    listing: float = 600.0
    settle: float = 2 * 3600.0


FULL = Safety()
NONE = Safety(fresh=0.0, grace=0.0, listing=0.0, settle=0.0)
"""For a vault that nobody else uses: only leases are waited for."""
