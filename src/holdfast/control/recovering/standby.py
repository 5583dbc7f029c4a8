"""Hot standbys: a folder at the recovery site in which the newest good snapshot stands restored, ready to run.

A file beside the folder says which snapshot that is. It is removed before the folder is touched and written when all of
it was compared with the snapshot, so that it never says what is not so. A folder without it is never replaced: a
service may run there.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import msgspec

from holdfast.control.recovering.actors.comparing import compare_tree
from holdfast.control.recovering.claims import claim_path
from holdfast.control.sites.declared import DeclaredSites
from holdfast.errors import DamageError, NotFoundError, RefusedError, UsageError
from holdfast.ids import SnapshotId
from holdfast.infra.compute.slots import replace_file, translated
from holdfast.vault.checking.proofs import Proofs
from holdfast.vault.restoring.staged_files import remove_whole
from holdfast.vault.snapshots.quarantine import marks_of
from holdfast.vault.snapshots.roots import content_time, list_roots

__all__ = ["Standing", "decode_standing", "forget_standing", "refresh_standby", "standby_folder", "standing_in"]

_BYTES_MAX: Final = 65_536


class Standing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`snapshot` of `asset` stands in the folder, since `at` (ns since the epoch)."""

    asset: str
    snapshot: SnapshotId
    at: int


def standby_folder(sites: DeclaredSites, asset: str, site: str) -> Path | None:
    """Where the data of a hot standby are at a site; None where it has none."""
    service = sites.config.assets[asset].service
    written = service.standby.get(site) if service is not None else None
    return None if written is None else Path(sites.loaded.folder, written)


def standing_in(folder: Path, asset: str) -> Standing | None:
    """What stands there of an asset, as far as anybody vouches for it."""
    path = _marker(folder)
    try:
        with path.open("rb") as file:
            found = decode_standing(file.read(_BYTES_MAX), str(path))
    except (OSError, DamageError):
        return None
    return found if found.asset == asset and os.path.lexists(folder) else None


def decode_standing(data: bytes, name: str) -> Standing:
    """Raises DamageError."""
    try:
        return msgspec.json.decode(data, type=Standing)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError, ValueError) as error:
        raise DamageError(f"{name} does not say what stands there", object_name=name) from error


def forget_standing(folder: Path) -> None:
    """From now on nobody vouches for what is there: it is about to change. Raises FailedError and its kin."""
    try:
        _marker(folder).unlink(missing_ok=True)
    except OSError as error:
        raise translated(error, folder) from error


def refresh_standby(sites: DeclaredSites, asset: str, site: str) -> tuple[Standing, bool]:
    """The newest good snapshot that was read back at the site stands in its folder then; and whether it is a new one.

    It is restored beside, compared, and put in the place of what stood there. Raises NotFoundError (no standby is
    declared there, no such snapshot), RefusedError (a recovery, or something else, has the folder), and what restoring
    raises.
    """
    folder = standby_folder(sites, asset, site)
    if folder is None:
        raise NotFoundError(
            f"{sites.loaded.path} declares no standby of {asset} at {site}", hint="`standby` of its `service`"
        )
    if not folder.name:
        raise UsageError(f"{folder} is no place for a standby")
    if claim_path(folder).exists():
        raise RefusedError(f"a recovery has {folder}: a standby is not touched then", object_name=str(folder))
    now = standing_in(folder, asset)
    declared = sites.asset(asset)
    if declared.home_site == site:
        raise RefusedError(f"{site} is the home of {asset}: what runs there is no standby", object_name=asset)
    vault = sites.open_at(declared.at(site))
    aside, proofs = marks_of(vault.handle, asset), Proofs(vault.handle).snapshots()
    roots = [one.root for one in list_roots(vault.handle, asset) if one.root is not None]
    good = [one for one in roots if one.id in proofs and one.id not in aside]
    if not good:
        raise NotFoundError(f"no snapshot of {asset} was read back at {site}", hint="`holdfast site sync` does that")
    newest = max(good, key=lambda root: (content_time(root), root.id))
    if now is not None and now.snapshot == newest.id:
        return now, False
    fresh, old = (folder.with_name(f".{folder.name}.holdfast-{kind}") for kind in ("next", "old"))
    try:
        if now is None and os.path.lexists(folder) and not _is_empty(folder) and not os.path.lexists(old):
            raise RefusedError(
                f"{folder} is taken, and nobody vouches that it is a standby",
                hint="name another folder, or move it away",
                object_name=str(folder),
            )
        folder.parent.mkdir(parents=True, exist_ok=True)
        for left in (fresh, old):
            if os.path.lexists(left):
                remove_whole(left)
        vault.restore(newest.id, fresh)
        compare_tree(vault.handle, newest, fresh)
        forget_standing(folder)
        if os.path.lexists(folder):
            folder.rename(old)
        fresh.rename(folder)
        standing = Standing(asset=asset, snapshot=SnapshotId(newest.id), at=sites.clock.now_ns())
        replace_file(_marker(folder), msgspec.json.encode(standing))
        if os.path.lexists(old):
            remove_whole(old)
    except OSError as error:
        raise translated(error, folder) from error
    return standing, True


def _is_empty(folder: Path) -> bool:
    return folder.is_dir() and not any(folder.iterdir())


def _marker(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.holdfast-standby")
