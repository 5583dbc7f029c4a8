"""Stores that are declared for stripes and for something else at once: one store holds a set of stripes, or a vault."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from holdfast.config.placing import Placement

__all__ = ["SharedStores", "shared_stores"]


class SharedStores(NamedTuple):
    """`asset` lies in stripes over `stores`, where `other` is declared to have what `what` says."""

    asset: str
    other: str
    stores: tuple[str, ...]
    what: str

    def __str__(self) -> str:
        return (
            f"{', '.join(self.stores)} {'is' if len(self.stores) == 1 else 'are'} declared for the stripes of "
            f"{self.asset}, and for {self.what} of {self.other}: one store cannot hold both"
        )


def shared_stores(placements: Mapping[str, Placement]) -> Iterator[SharedStores]:
    """For each asset in stripes the first other one that its stores are declared for. Pure.

    Assets in the same stripes over the same stores, in the same order, share the set.
    """
    for name, placement in placements.items():
        if placement.stripes is None:
            continue
        mine = set(placement.stores)
        for other, found in placements.items():
            both = mine & set(found.stores)
            if both and (found.stripes, found.stores) != (placement.stripes, placement.stores):
                what = "whole copies" if found.stripes is None else f"other stripes ({found.stripes})"
                yield SharedStores(name, other, tuple(one for one in placement.stores if one in both), what)
                break
