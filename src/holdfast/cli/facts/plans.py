"""Facts about what would be done, or was, without any data being read."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from holdfast.cli.facts.snapshots import snapshot_facts
from holdfast.cli.phrases import clean
from holdfast.cli.schemas.snapshots import SavePlanned, SnapshotDropped, SnapshotTagged
from holdfast.clock import to_rfc3339

if TYPE_CHECKING:
    from holdfast.control.snapshots.save_plans import SavePlan
    from holdfast.control.snapshots.tagging import TagChange
    from holdfast.vault.snapshots.dropping import DropPlan

__all__ = ["save_plan_facts", "tagged_facts", "dropped_facts"]


def save_plan_facts(plan: SavePlan) -> SavePlanned:
    """What a save would read."""
    tree = plan.tree
    types = [item.type for item in tree.items]
    return SavePlanned(
        asset=plan.asset,
        path=clean(os.fspath(tree.items[0].path.absolute())),
        source=tree.source,
        files=types.count("file"),
        folders=types.count("folder") - (tree.source == "folder"),  # the top is not counted
        links=types.count("link"),
        bytes=tree.bytes,
        content_time=to_rfc3339(tree.newest_ns),
        skipped=[clean(text) for text in tree.skipped],
        parent=plan.parent or None,
        parent_step=plan.parent_step,
        like_parent_files=plan.like_parent_files,
        like_parent_bytes=plan.like_parent_bytes,
    )


def tagged_facts(change: TagChange) -> SnapshotTagged:
    """What became of a tag."""
    return SnapshotTagged(
        asset=change.asset,
        tag=clean(change.tag),
        snapshot=change.snapshot,
        removed=change.removed,
        moved_from=change.moved_from,
    )


def dropped_facts(plan: DropPlan, *, dry_run: bool) -> SnapshotDropped:
    """What dropping does to the pointers."""
    return SnapshotDropped(
        snapshot=snapshot_facts(plan.root, []),
        dry_run=dry_run,
        moves={clean(name): target or None for name, target in plan.moves.items()},
    )
