"""`holdfast://` for fsspec: the files of snapshots, read-only, for every tool that opens files through it.

`holdfast://<vault>/<asset>@<reference>/<path>`; see `docs/reading.md`. Needs the extra `fsspec`.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, NoReturn

import numpy as np
from fsspec.spec import AbstractFileSystem  # type: ignore[import-untyped,unused-ignore]

from holdfast.control.audit.audited_vault import recorded_on
from holdfast.control.authority.guarding import guard
from holdfast.control.snapshots.snapshot_files import LINE_BLOCK_BYTES, SnapshotFile
from holdfast.control.snapshots.snapshot_paths import SCHEME, snapshot_name, split_path, split_url
from holdfast.control.vaults.opened_vault import OpenedVault
from holdfast.control.vaults.opening import open_at
from holdfast.control.vaults.remote_files import as_os_errors, facts_of, facts_of_snapshot, moment, read_only
from holdfast.control.vaults.uses import note_read
from holdfast.control.vaults.vault_names import Place, is_named, known_place
from holdfast.errors import UsageError
from holdfast.trust.keyring import KEY_FILE_VARIABLE
from holdfast.vault.files.decoded import DECODED_BYTES
from holdfast.vault.files.reading import Demand, PartialFile
from holdfast.vault.files.tree import SnapshotTree
from holdfast.vault.files.windows import Bytes, Window
from holdfast.vault.format.records import Root
from holdfast.vault.vault import Vault

__all__ = ["HoldfastFileSystem"]

_BLOCK_BYTES = 32 << 20  # what `get` copies at a time: several chunks, so that several threads have something to do


class _Process:
    """What one process has opened. Locks and connections are not to be shared with a forked child."""

    def __init__(self) -> None:
        self.id = os.getpid()
        self.lock = threading.Lock()
        self.opened: OpenedVault | None = None


class HoldfastFileSystem(AbstractFileSystem):  # type: ignore[misc,unused-ignore]
    """The snapshots of one vault as folders. Safe for several threads; errors are those of file systems."""

    protocol = SCHEME
    root_marker = ""
    blocksize = _BLOCK_BYTES

    def __init__(
        self,
        *args: Any,
        vault: str | os.PathLike[str] | None = None,
        vault_name: str = "",
        key_file: str | os.PathLike[str] | None = None,
        store_options: Mapping[str, str] | None = None,
        cache_bytes: int = DECODED_BYTES,
        **kwargs: Any,
    ) -> None:
        """Nothing is opened before the first use.

        `vault`: its path or URL; without it `vault_name`, which a URL gives, is looked for among the vaults that this
        machine knows. `key_file` and HOLDFAST_KEY_FILE name the key, else it is found as by `holdfast.open`; a key
        itself is never an option. `store_options`: as of `holdfast.open`. `cache_bytes`: of decoded chunks.
        """
        super().__init__(*args, **kwargs)
        self._vault, self._vault_name = None if vault is None else os.fspath(vault), vault_name
        self._key_file = None if key_file is None else os.fspath(key_file)
        self._store_options, self._cache_bytes = store_options, cache_bytes
        self._process = _Process()

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        if isinstance(path, list):
            return [cls._strip_protocol(one) for one in path]
        return split_url(os.fspath(path))[1]

    @staticmethod
    def _get_kwargs_from_urls(path: str) -> dict[str, str]:
        name, _ = split_url(path)
        return {"vault_name": name} if name else {}

    def unstrip_protocol(self, name: str) -> str:
        """The whole URL, with the vault's name, or else its id."""
        vault = self._vault_name or self._opened().vault.id
        return f"{SCHEME}://{vault}/{self._strip_protocol(name)}"

    @property
    def fsid(self) -> str:
        return f"{SCHEME}_{self._opened().vault.id}"

    def invalidate_cache(self, path: str | None = None) -> None:
        """What `@latest`, `@validated` and tags mean is looked up anew. Files that are open stay what they are."""
        opened = self._here().opened
        if opened is not None:
            opened.forget_names()

    def ls(self, path: str, detail: bool = True, **kwargs: Any) -> list[Any]:
        """What lies in a folder, or the one file. In the vault itself: every snapshot, a damaged one by its id."""
        path = self._strip_protocol(path)
        snapshot, inner = split_path(path)
        if not snapshot:
            found = self._all_snapshots()
        else:
            tree = self._tree(snapshot, path)
            children = tree.children(inner)
            inners = [inner] if children is None else children
            found = [facts_of(f"{snapshot}/{one}" if one else snapshot, tree, one) for one in inners]
        return found if detail else [one["name"] for one in found]

    def info(self, path: str, **kwargs: Any) -> dict[str, Any]:
        """`name`, `size`, `type` (file, directory or link), `snapshot`, `mode`, `mtime` (s), of links `destination`."""
        path = self._strip_protocol(path)
        snapshot, inner = split_path(path)
        if not snapshot:
            with as_os_errors(path):
                self._opened()
            return {"name": "", "size": 0, "type": "directory"}
        return facts_of(path, self._tree(snapshot, path), inner)

    def walk(
        self, path: str, maxdepth: int | None = None, topdown: bool = True, on_error: Any = "omit", **kwargs: Any
    ) -> Iterator[Any]:
        """As fsspec's (so `find`, `glob`, `du`), but "omit" leaves out only what is not there, not what is damaged."""
        on_error = _raise_all_but_missing if on_error == "omit" else on_error
        yield from super().walk(path, maxdepth, topdown, on_error, **kwargs)

    def exists(self, path: str, **kwargs: Any) -> bool:
        """Whether there is such a thing. Damage, a missing key, an unreachable store are no answer: they are raised."""
        return self._type(path) is not None

    def isfile(self, path: str) -> bool:
        return self._type(path) == "file"

    def isdir(self, path: str) -> bool:
        return self._type(path) == "directory"

    def modified(self, path: str) -> datetime:
        """As it was when the snapshot was made (of a snapshot: when its content was complete), in UTC."""
        path = self._strip_protocol(path)
        snapshot, inner = split_path(path)
        facts_of(path, tree := self._tree(snapshot, path), inner)  # raises where nothing is
        entry = tree.entry(inner)
        return moment(tree.root.content if entry is None else entry.mtime)

    def created(self, path: str) -> datetime:
        """When the snapshot was made, in UTC."""
        path = self._strip_protocol(path)
        return moment(self._tree(split_path(path).snapshot, path).root.created)

    def ukey(self, path: str) -> str:
        """The snapshot's id and the path in it: what never means anything else."""
        path = self._strip_protocol(path)
        return f"{self.info(path).get('snapshot', '')}/{split_path(path).inner}"

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **kwargs: Any) -> bytes:
        """The bytes from `start` to `end`; negative ones count from the end."""
        file = self.partial_file(path)
        low, high = _bounds(file.size, start, end)
        return self.read_span(file, low, high - low)

    def cat_ranges(
        self,
        paths: Sequence[str],
        starts: Any,
        ends: Any,
        max_gap: int | None = None,
        on_error: str = "return",
        **kwargs: Any,
    ) -> list[Any]:
        """Many ranges of many files in one pass: each chunk is read once. `max_gap` does not matter here."""
        count = len(paths)
        lows = list(starts) if isinstance(starts, Sequence) else [starts] * count
        highs = list(ends) if isinstance(ends, Sequence) else [ends] * count
        if not len(lows) == len(highs) == count:
            raise ValueError(f"{count} paths, {len(lows)} starts and {len(highs)} ends do not belong together")
        try:
            demands = [self._demand(*each) for each in zip(paths, lows, highs, strict=True)]
            with as_os_errors(paths[0] if count else ""):
                self._opened().parts.fill(demands)
        except (OSError, ValueError):  # one by one, so that each has its own answer
            found: list[Any] = super().cat_ranges(paths, lows, highs, on_error=on_error)
            return found
        return [demand.target.tobytes() for demand in demands]

    def partial_file(self, path: str) -> PartialFile:
        """The file at a path. Raises FileNotFoundError, IsADirectoryError, OSError for a link."""
        return self._find_file(path)[0]

    def _find_file(self, path: str) -> tuple[PartialFile, Root]:
        path = self._strip_protocol(path)
        snapshot, inner = split_path(path)
        if not snapshot:
            raise IsADirectoryError(errno.EISDIR, "the vault itself is no file", path)
        tree = self._tree(snapshot, path)
        file = tree.file(inner)
        if file is not None:
            return file, tree.root
        facts = facts_of(path, tree, inner)
        if facts["type"] == "link":
            raise OSError(errno.ELOOP, f"a symbolic link to {facts['destination']!r}, which is not followed", path)
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)

    def read_span(self, file: PartialFile, start: int, length: int) -> bytes:
        """`length` bytes of a file from `start` on, which lie in it. Raises OSError."""
        with as_os_errors(file.path):
            return self._opened().parts.span(file, start, length)

    def read_into(self, file: PartialFile, start: int, target: Bytes) -> None:
        """The bytes of a file from `start` on, as many as `target` takes, which lie in it. Raises OSError."""
        with as_os_errors(file.path):
            self._opened().parts.fill([Demand(file, Window(start, 1, len(target), len(target)), target)])

    def _open(
        self,
        path: str,
        mode: str = "rb",
        block_size: int | None = None,
        autocommit: bool = True,
        cache_options: dict[str, Any] | None = None,
        cache_type: str = "none",
        size: int | None = None,
        **kwargs: Any,
    ) -> SnapshotFile:
        if mode != "rb":
            raise read_only(path)
        file, root = self._find_file(path)
        pinned = f"{snapshot_name(root.asset, root.id)}/{split_path(path).inner}"
        return SnapshotFile(self, file, path, pinned, block_size or LINE_BLOCK_BYTES, cache_type, cache_options)

    def _refuse(self, path: str = "", *args: Any, **kwargs: Any) -> NoReturn:
        raise read_only(str(path))

    mkdir = makedirs = rmdir = rm = rm_file = _rm = cp_file = mv = pipe_file = put_file = touch = _refuse

    def _type(self, path: str) -> str | None:
        try:
            found: str = self.info(path)["type"]
        except FileNotFoundError:
            return None
        return found

    def _demand(self, path: str, start: int | None, end: int | None) -> Demand:
        file = self.partial_file(path)
        low, high = _bounds(file.size, start, end)
        return Demand(file, Window(low, 1, high - low, high - low), np.empty(high - low, np.uint8))

    def _all_snapshots(self) -> list[dict[str, Any]]:
        with as_os_errors(""):
            listed = self._opened().snapshots()
        return [facts_of_snapshot(one) for one in listed]

    def _tree(self, snapshot: str, path: str) -> SnapshotTree:
        with as_os_errors(path):
            return self._opened().tree(snapshot)

    def _opened(self) -> OpenedVault:
        process = self._here()
        with process.lock:
            if process.opened is None:
                with as_os_errors(self._vault or self._vault_name):
                    vault = self._open_vault()
                    process.opened = OpenedVault(vault, self._cache_bytes, allow=partial(self._allow, vault))
            return process.opened

    def _here(self) -> _Process:
        """Asked before any lock is taken: another thread may have held it at the time of the fork."""
        process = self._process
        if process.id != os.getpid():
            process = self._process = _Process()
        return process

    def _open_vault(self) -> Vault:
        environment = self._environment()
        if self._vault is None and not self._vault_name:
            raise UsageError("no vault is named", hint="write holdfast://<vault>/…, or give the option `vault`")
        place = Place(self._vault, {}) if self._vault is not None else known_place(self._vault_name, environment)
        options = place.options | dict(self._store_options or {})
        vault = open_at(place.url, options=options or None, environment=environment)
        if self._vault_name and not is_named(self._vault_name, vault.id, vault.url):
            raise UsageError(
                f"the vault at {vault.url} is not called {self._vault_name!r}",
                hint="leave the name out (holdfast:///…), or the option `vault`",
            )
        guard(vault, "read", environment=self._environment())
        return vault

    def _environment(self) -> dict[str, str]:
        environment = dict(os.environ)
        if self._key_file is not None:
            environment[KEY_FILE_VARIABLE] = self._key_file
        return environment

    def _allow(self, vault: Vault, root: Root) -> None:
        """That this snapshot may be read, too (a policy may be about an asset), and the record that it was."""
        guard(vault, "read", snapshot=root, environment=self._environment())
        with recorded_on(vault, "read", objects={"snapshot": root.id}, names={"asset": root.asset}):
            pass
        note_read(vault.handle, root, self._environment())


def _raise_all_but_missing(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


def _bounds(size: int, start: int | None, end: int | None) -> tuple[int, int]:
    """As of a slice, but that a range that lies behind the end of the file is empty."""
    low, high, _ = slice(start, end).indices(size)
    return low, max(low, high)
