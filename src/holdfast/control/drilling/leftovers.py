"""What drills that died have left: found by their manifests, cleared away, and said."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from holdfast.control.drilling.taking import taken
from holdfast.drills.lever import drills_home
from holdfast.drills.manifest import Manifest
from holdfast.errors import ConflictError, HoldfastError

__all__ = ["clear_leftovers", "manifests"]

TakeBack = Callable[[str], str]


def manifests(environment: Mapping[str, str], told: Callable[[str], None] = lambda text: None) -> Iterator[Manifest]:
    """Of all drills of this installation that can be read; what cannot is told."""
    for path in sorted(drills_home(environment).glob("*/manifest.json")):
        try:
            yield Manifest.read(path)
        except HoldfastError as error:
            told(error.message)


def clear_leftovers(
    environment: Mapping[str, str], told: Callable[[str], None], take_back: TakeBack | None = None
) -> tuple[list[str], list[str]]:
    """Of drills whose process is gone: what was removed, and what is left. Only what a manifest names is touched.

    `take_back`: as for `Manifest.clear`; without it what a run at the declared stores needs stays.

    While a drill is under way nothing is: from another container its process cannot be seen, and would seem gone.
    """
    try:
        with taken(environment):
            return _clear(environment, told, take_back)
    except ConflictError:
        told("a drill is under way: what others have left is cleared away after it")
        return [], []


def _clear(
    environment: Mapping[str, str], told: Callable[[str], None], take_back: TakeBack | None
) -> tuple[list[str], list[str]]:
    removed: list[str] = []
    left: list[str] = []
    for manifest in manifests(environment, told):
        if not manifest.abandoned:
            continue
        gone, stays = manifest.clear(take_back)
        told(f"the drill {manifest.drill} died; removed {len(gone)} things that it had made")
        for one in stays:
            told(f"left over of it: {one}")
        removed += gone
        left += stays
    return removed, left


def home_of(environment: Mapping[str, str], drill: str) -> Path:
    return drills_home(environment) / drill
