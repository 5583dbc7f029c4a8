"""Putting a tag on a snapshot, or taking it off, and saying where it was."""

from __future__ import annotations

from typing import NamedTuple

from holdfast.errors import UsageError
from holdfast.vault.vault import Vault

__all__ = ["TagChange", "change_tag"]


class TagChange(NamedTuple):
    """A tag of `asset` was put on (or taken off) `snapshot`; before, it was on `moved_from`, if anywhere."""

    asset: str
    tag: str
    snapshot: str
    removed: bool
    moved_from: str | None


def change_tag(vault: Vault, reference: str, name: str, *, remove: bool) -> TagChange:
    """Tag the snapshot; with `remove`, take the tag off it.

    Raises NotFoundError (no such snapshot or tag), UsageError (the tag is on another snapshot; no legal name).
    """
    root = vault.find(reference)
    before = vault.tags(root.asset).get(name)
    where = before.target if before is not None else None
    if not remove:
        vault.tag(root.id, name)
    elif where is not None and where != root.id:
        raise UsageError(
            f"tag {name!r} is on snapshot {where}, not on {root.id}", hint=f"name it as {root.asset}@{name}"
        )
    else:
        vault.untag(root.asset, name)
    return TagChange(root.asset, name, root.id, remove, where)
