"""A group as `holdfast.yaml` declares it: its members, its hooks, and where its snapshots go."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from holdfast.checkpoints.layouts import scan
from holdfast.config.effective import effective
from holdfast.config.finding import LoadedConfig
from holdfast.config.model import Group
from holdfast.control.sites.declared import DeclaredSites
from holdfast.errors import NotFoundError, RefusedError, UsageError
from holdfast.training.circumstances.gathering import Gathered, gather
from holdfast.training.groups.cutting import Source
from holdfast.training.groups.hooks import Hook

__all__ = ["DeclaredGroup", "declared_group"]


class DeclaredGroup(NamedTuple):
    """What `save_group` needs. `asset`: whose snapshots hold the group; `step`: of the checkpoint that is a member."""

    asset: str
    members: dict[str, Source]
    hooks: list[Hook]
    hold_seconds: float
    staging: Path | None
    step: int | None
    datasets: dict[str, str]
    folder: Path

    def circumstances(self, step: int | None) -> Gathered | None:
        """The versions of its data and of the code beside `holdfast.yaml`; None where it names no data."""
        return gather(step, datasets=self.datasets, code=self.folder) if self.datasets else None


def declared_group(loaded: LoadedConfig, name: str) -> DeclaredGroup:
    """The group of that name. Of an asset that is watched, the newest complete checkpoint is the member.

    Raises NotFoundError (no such group, no checkpoint), UsageError (nothing says what it is saved as, or where an asset
    lies), RefusedError (it would lie where one of its assets may not).
    """
    group = loaded.config.groups.get(name)
    if group is None:
        known = ", ".join(sorted(loaded.config.groups)) or "none"
        raise NotFoundError(f"{loaded.path} declares no group {name!r}", hint=f"it declares {known}", object_name=name)
    if not group.saved_as:
        raise UsageError(
            f"{loaded.where('groups', name)}: nothing says which asset group {name!r} is saved as",
            hint="declare an asset for its snapshots, and name it in `saved_as`",
        )
    _require_places(loaded, name, group)
    members: dict[str, Source] = {}
    step = None
    for asset in group.assets:
        members[asset], found = _member(loaded, asset)
        step = found if found is not None else step
    return DeclaredGroup(
        asset=group.saved_as,
        members=members,
        hooks=[Hook(hook, one.before or None, one.after or None, one.timeout) for hook, one in group.hooks.items()],
        hold_seconds=group.hold,
        staging=loaded.folder / group.staging if group.staging else None,
        step=step,
        datasets={key: _dataset(loaded, what) for key, what in group.datasets.items()},
        folder=loaded.folder,
    )


def _member(loaded: LoadedConfig, asset: str) -> tuple[Path, int | None]:
    declared = loaded.config.assets[asset]
    if declared.path:
        return loaded.folder / declared.path, None
    if not declared.watch:
        raise UsageError(
            f"{loaded.where('assets', asset)}: asset {asset!r} has neither `path` nor `watch`: nothing to cut",
            hint="say where it lies",
        )
    found = [one for one in scan(loaded.folder / declared.watch).candidates if one.complete]
    if not found:
        raise NotFoundError(f"asset {asset!r}: there is no complete checkpoint in {declared.watch}", object_name=asset)
    newest = max(found, key=lambda one: (one.changed_ns, one.step or 0))
    return newest.path, newest.step


def _dataset(loaded: LoadedConfig, what: str) -> str:
    return what if "://" in what else str(loaded.folder / what)


def _require_places(loaded: LoadedConfig, name: str, group: Group) -> None:
    """All of it lies where the group's snapshots lie, so each member's rules hold for these sites."""
    sites = DeclaredSites(loaded)
    for site in sites.asset(group.saved_as).placement.sites:
        jurisdiction = loaded.config.sites[site].jurisdiction
        for asset in group.assets:
            rules = effective(loaded.config, asset).rules
            if not rules.allows(jurisdiction):
                raise RefusedError(
                    f"group {name!r} is not saved: {group.saved_as!r} lies at {site} ({jurisdiction}), "
                    f"and {asset!r} may lie {rules}",
                    hint=f"place {group.saved_as!r} where all its members may lie",
                    object_name=name,
                )
