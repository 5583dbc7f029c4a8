"""All pointers of an asset, strictly: for whoever deletes what nothing points to."""

from __future__ import annotations

from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor

from holdfast.vault.format.names import REFS, generation_of
from holdfast.vault.format.records import Ref
from holdfast.vault.format.series import series_of
from holdfast.vault.handle import Handle
from holdfast.vault.snapshots.refs import read_ref

__all__ = ["Pointers", "read_pointers"]


class Pointers:
    """The pointers of an asset as they were at the last look. A second look only reads what was written meanwhile."""

    def __init__(self, handle: Handle, asset: str) -> None:
        self._handle = handle
        self._prefix = f"{REFS}{handle.keys.names.asset_key(asset)}/"
        self._known: dict[str, Ref] = {}

    def look(self) -> dict[str, Ref]:
        """Name → newest generation of every ref that points somewhere: tags, holds, marks, `latest`, `validated`.

        Raises DamageError, UntrustedError, NotFoundError where a newest generation cannot be read: nobody knows what it
        protects.
        """
        newest = _newest([info.key for info in self._handle.store.list(self._prefix)])
        missing = [key for key in newest if key not in self._known]
        with ThreadPoolExecutor(self._handle.workers) as pool:
            read = dict(zip(missing, pool.map(lambda key: read_ref(self._handle, key), missing), strict=True))
        self._known = {key: read.get(key) or self._known[key] for key in newest}
        return {ref.name: ref for ref in self._known.values() if ref.target}


def read_pointers(handle: Handle, asset: str) -> dict[str, Ref]:
    """One look, see `Pointers.look`."""
    return Pointers(handle, asset).look()


def _newest(keys: Collection[str]) -> list[str]:
    folders: dict[str, list[str]] = {}
    for key in keys:
        if generation_of(key) is not None:
            folders.setdefault(key[:-10], []).append(key)
    series = (series_of(members, prefix) for prefix, members in folders.items())
    return [one.keys[-1] for one in series if one.keys]
