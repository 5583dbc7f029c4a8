"""Saving a group: hold, cut, release; then one snapshot of all that was cut."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from holdfast.clock import SYSTEM_CLOCK, Clock, to_rfc3339
from holdfast.errors import UsageError
from holdfast.training.circumstances.gathering import Gathered
from holdfast.training.groups.cutting import MemberCut, Source, check_members, cut_member, require_space
from holdfast.training.groups.hooks import HOLD_SECONDS, Hook, HookRun, held
from holdfast.training.groups.staging import own_staging
from holdfast.vault.vault import SaveReport, Vault

__all__ = ["GroupSaved", "GroupCut", "save_group", "cut_group", "commit_group", "MANIFEST"]

MANIFEST = "group.json"


class GroupCut(NamedTuple):
    """Members cut at one moment. `held_seconds`: for how long hooks held; `cut_ns`: when all was cut."""

    members: tuple[MemberCut, ...]
    hooks: tuple[HookRun, ...]
    held_seconds: float
    cut_ns: int


class GroupSaved(NamedTuple):
    """The snapshot, and the cut that it is of."""

    report: SaveReport
    cut: GroupCut

    @property
    def unreleased(self) -> list[HookRun]:
        """The `after` that failed: somebody has to look whether what they hold is free."""
        return [run for run in self.cut.hooks if run.side == "after" and run.why]


def save_group(
    vault: Vault,
    asset: str,
    members: Mapping[str, Source],
    *,
    hooks: Sequence[Hook] = (),
    hold_seconds: float = HOLD_SECONDS,
    staging: str | os.PathLike[str] | None = None,
    circumstances: Gathered | None = None,
    step: int | None = None,
    clock: Clock = SYSTEM_CLOCK,
    **options: Any,
) -> GroupSaved:
    """Save all members as one snapshot of `asset`, each in a folder of its name.

    The `before` of the hooks run in order, the members are cut, the `after` run, whatever happened; then the cut is
    saved. Nothing is committed unless all of it went well. `options` as for `Vault.save`. `staging`: where the cut
    lies meanwhile, best on the members' own file system. An `after` that fails does not spoil the snapshot: it is in
    `unreleased`.

    Raises FailedError (a hook, a hold that was too short), SourceChangedError, StorageFullError, NotFoundError,
    UsageError, and what `Vault.save` raises.
    """
    checked = check_members(members)
    with own_staging(Path(staging) if staging is not None else None) as folder:
        require_space(checked, folder)
        cut = cut_group(checked, folder, hooks, hold_seconds=hold_seconds, asset=asset, step=step, clock=clock)
        report = commit_group(vault, asset, folder, cut, circumstances=circumstances, step=step, **options)
    return GroupSaved(report, cut)


def cut_group(
    members: Mapping[str, Source],
    folder: Path,
    hooks: Sequence[Hook] = (),
    *,
    hold_seconds: float = HOLD_SECONDS,
    asset: str = "",
    step: int | None = None,
    clock: Clock = SYSTEM_CLOCK,
    agreed: Callable[[tuple[MemberCut, ...], float], None] | None = None,
) -> GroupCut:
    """Hold, cut all members into `folder`, release. `agreed` is called with the cut and for how long all
    stays held (seconds): it returns before that, and may raise.

    Raises what `save_group` does, and releases all the same.
    """
    environment = {"HOLDFAST_GROUP": asset, "HOLDFAST_STEP": "" if step is None else str(step)}
    began = clock.monotonic()
    with held(hooks, hold_seconds=hold_seconds, environment=environment, clock=clock) as holding:
        cuts = tuple(cut_member(name, source, folder) for name, source in members.items())
        now = clock.now_ns()
        holding.require()
        if agreed is not None:
            agreed(cuts, holding.left_seconds)
    return GroupCut(cuts, tuple(holding.runs), clock.monotonic() - began, now)


def commit_group(
    vault: Vault,
    asset: str,
    folder: Path,
    cut: GroupCut,
    *,
    circumstances: Gathered | None = None,
    step: int | None = None,
    metadata: Mapping[str, Any] | None = None,
    versions: Mapping[str, str] | None = None,
    **options: Any,
) -> SaveReport:
    """One snapshot of a cut. `group.json` tells of its members, `circumstances.json` under which it was made."""
    if "group" in (metadata or {}):
        raise UsageError("the metadata `group` names the members", hint="give yours another name")
    gathered = circumstances.versions if circumstances is not None else {}
    for name, data in (circumstances.files if circumstances is not None else {}).items():
        (folder / name).write_bytes(data)
    (folder / MANIFEST).write_bytes(_manifest(asset, step, cut))
    return vault.save(
        asset,
        folder,
        step=step,
        metadata={**(metadata or {}), "group": ", ".join(sorted(one.name for one in cut.members))},
        versions={**gathered, **(versions or {})},
        **options,
    )


def _manifest(asset: str, step: int | None, cut: GroupCut) -> bytes:
    """For people, and for other programs: what lies in the snapshot, and how it was cut."""
    facts = {
        "format": "holdfast/group/1",
        "group": asset,
        "step": step,
        "cut": to_rfc3339(cut.cut_ns),
        "held_seconds": round(cut.held_seconds, 3),
        "members": {one.name: {"from": one.source, "files": one.files, "bytes": one.bytes} for one in cut.members},
        "hooks": [{"hook": run.hook, "side": run.side, "seconds": round(run.seconds, 3)} for run in cut.hooks],
    }
    return msgspec.json.format(msgspec.json.encode(facts, order="deterministic"), indent=1) + b"\n"
