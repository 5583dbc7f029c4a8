"""The attack: a writer's key and the store's ordinary credential are stolen, and everything is tried."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from holdfast.drills.ransomware.surface import Surface
from holdfast.errors import HoldfastError
from holdfast.stores.retention.port import Version
from holdfast.vault.collecting.leases import HeldLease
from holdfast.vault.snapshots.refs import LATEST, move_ref
from holdfast.vault.vault import Vault

__all__ = ["Damage", "forge", "destroy"]

_WORKERS = 8


class Damage(NamedTuple):
    """`versions`: versions of objects that there were. `destroyed`: gone for good. `shortened`: locks that ended early.

    `overwritten`, `buried`: objects whose current version is garbage, or a delete marker. `settings`: of the bucket.
    """

    versions: int
    destroyed: int
    shortened: int
    overwritten: int
    buried: int
    settings: tuple[str, ...]


def forge(stolen: Vault, asset: str, folder: Path, *, flood: int = 30) -> str:
    """With the writer's key: a snapshot of garbage that looks like the newest, floods of pointers, leases.

    Returns the garbage snapshot's id.
    """
    folder.mkdir()
    (folder / "model.bin").write_bytes(secrets.token_bytes(200_000))
    forged = stolen.save(asset, folder, step=1_000_000, verify=False)
    for number in range(flood):
        move_ref(stolen.handle, asset, LATEST if number % 2 else f"release-{number}", forged.root.id, "forged")
    for _ in range(3):
        with suppress(HoldfastError, KeyboardInterrupt):
            lease = HeldLease(stolen.handle, "saving")
            lease.__enter__()  # and never given back
    return forged.root.id


def destroy(surface: Surface, wait: Callable[[float], None], *, seed: int = 7) -> Damage:
    """With the store's credential: change the bucket's settings and destroy every version; where one is locked, shorten
    the lock, `wait` (seconds) for it to end, and try again. Then leave garbage or nothing under every key, and a
    configuration that nobody can open.
    """
    listed = surface.versions()
    settings = tuple(surface.change_settings())
    with ThreadPoolExecutor(_WORKERS) as pool:

        def gone(versions: Sequence[Version]) -> list[Version]:
            done = pool.map(lambda version: surface.destroy(version.key, version.version), versions)
            return [version for version, worked in zip(versions, done, strict=True) if worked]

        destroyed = set(gone(listed))
        left = [version for version in listed if version not in destroyed]
        locked = [version for version in left if not version.is_marker]
        shortened = sum(pool.map(lambda version: surface.shorten(version.key, version.version), locked))
        wait(3.0)  # until the locks that were shortened have ended
        destroyed.update(gone(left))
        keys = sorted({version.key for version in listed})
        garbage = [key for number, key in enumerate(keys) if (number + seed) % 3]
        overwritten = sum(pool.map(lambda key: surface.overwrite(key, secrets.token_bytes(3000)), garbage))
        buried = sum(pool.map(surface.bury, [key for key in keys if key not in set(garbage)]))
    for series in ("config", "locks"):
        for generation in (2, 3, 4):
            overwritten += surface.overwrite(f"{series}/{generation:010d}", secrets.token_bytes(500))
    surface.overwrite("README-your-files-are-encrypted.txt", b"pay")
    return Damage(
        len(listed),
        len(destroyed),
        shortened,
        overwritten,
        buried,
        settings,
    )
