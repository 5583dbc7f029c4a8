"""The newest snapshot that training can go on from: found good when it was saved, and every byte of it reads back.

What is damaged, missing in part, or not trusted is passed over, newest content first, and told of. A store that does
not answer or a key that does not fit is no damage: it is raised, so that nobody starts from an older state, or from
nothing, only because the line was down.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from holdfast.errors import DamageError, HoldfastError, NotFoundError, UnsupportedFormatError, UntrustedError
from holdfast.vault.format.records import Root
from holdfast.vault.snapshots.quarantine import marks_of
from holdfast.vault.snapshots.refs import VALIDATED
from holdfast.vault.snapshots.roots import newest_first
from holdfast.vault.snapshots.thinning import dropped_components
from holdfast.vault.vault import Vault

__all__ = ["PassedOver", "Recovered", "Candidates", "good_candidates", "restore_newest_good"]


class PassedOver(NamedTuple):
    """A snapshot that was not taken, and why: a sentence. `snapshot` is an id, or the key of an unreadable root."""

    snapshot: str
    step: int | None
    reason: str


class Candidates(NamedTuple):
    """Snapshots to try, newest content first, and what was passed over before any byte of content was read."""

    roots: list[Root]
    passed_over: list[PassedOver]


class Recovered(NamedTuple):
    """What was restored, where to (a folder, or the single file), and what was passed over on the way.

    `root` and `target` are None when nothing was restored: the asset has no snapshot, or the caller has enough.
    """

    root: Root | None
    target: Path | None
    passed_over: tuple[PassedOver, ...]


def good_candidates(vault: Vault, asset: str) -> Candidates:
    """The snapshots of the asset that nothing speaks against so far.

    Left out: those that were quarantined or demoted, and those with findings, unless a person accepted them
    (`validated` points there). Raises StoreUnreachableError, CredentialError (the key cannot read).
    """
    listed = vault.snapshots(asset)
    passed_over = []
    for one in listed:
        if one.error is not None:
            if not _is_damage(one.error):
                raise one.error
            passed_over.append(PassedOver(one.key, None, one.error.message))
    marks = marks_of(vault.handle, asset)
    accepted = vault.tags(asset).get(VALIDATED)
    roots = []
    for root in newest_first(listed):
        if root.id in marks:
            mark = marks[root.id]
            passed_over.append(PassedOver(root.id, root.step, f"it was {mark.kind}: {mark.reason}"))
        elif root.validation.verdict != "good" and (accepted is None or accepted.target != root.id):
            found = root.validation.findings[0].message if root.validation.findings else root.validation.verdict
            passed_over.append(PassedOver(root.id, root.step, f"it has findings that nobody accepted: {found}"))
        else:
            roots.append(root)
    return Candidates(roots, passed_over)


def restore_newest_good(
    vault: Vault,
    asset: str,
    place: Callable[[Root], Path],
    *,
    overwrite: bool = False,
    enough: Callable[[Root], bool] = lambda root: False,
) -> Recovered:
    """Restore the newest snapshot of which every byte reads back into the folder that `place` names for it.

    Nothing appears at the target before all of it is there and compared with its ids. `enough` is asked before each is
    tried: True ends the search, for a caller who has something newer of its own. Raises DamageError when there are
    snapshots and none reads back, and what is no damage.
    """
    roots, passed_over = good_candidates(vault, asset)
    for root in roots:
        if enough(root):
            return Recovered(None, None, tuple(passed_over))
        try:
            given_up = dropped_components(vault.handle, root)
            if given_up:
                passed_over.append(PassedOver(root.id, root.step, f"retention took {', '.join(given_up)} from it"))
                continue
            restored = vault.restore(root.id, place(root), overwrite=overwrite)
        except HoldfastError as error:
            if not _is_damage(error):
                raise
            passed_over.append(PassedOver(root.id, root.step, error.message))
            vault.handle.progress.note(f"passed over: snapshot {root.id} (step {root.step}): {error.message}")
            continue
        return Recovered(root, restored.target, tuple(passed_over))
    if passed_over:
        first = passed_over[-1] if roots else passed_over[0]
        raise DamageError(
            f"none of the {len(passed_over)} snapshots of {asset!r} in {vault.url} can be gone on from; "
            f"{first.snapshot}: {first.reason}",
            hint="`holdfast vault repair`, or another replica; `snapshot verify --accept-findings` accepts one",
            object_name=first.snapshot,
        )
    return Recovered(None, None, ())


def _is_damage(error: HoldfastError) -> bool:
    """A newer format is intact, and passing it over would go back without anybody's wish."""
    if isinstance(error, UnsupportedFormatError):
        return False
    return isinstance(error, (DamageError, NotFoundError, UntrustedError))
