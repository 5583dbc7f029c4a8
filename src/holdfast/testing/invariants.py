"""What must hold of every vault at every moment, as functions that raise `BrokenInvariant` with what they saw instead.

A crash, a lost race or a full disk may cost the save that was under way. It may cost nothing else.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, TypeAlias

from blake3 import blake3

from holdfast.errors import NotFoundError
from holdfast.stores.protocol import Store
from holdfast.vault.format.records import Root
from holdfast.vault.snapshots.quarantine import QUARANTINED, marks_in
from holdfast.vault.snapshots.refs import LATEST, VALIDATED
from holdfast.vault.vault import SaveReport, Vault

__all__ = [
    "BrokenInvariant",
    "Node",
    "TreeState",
    "read_tree",
    "trees_are_equal",
    "check_is_clean",
    "every_snapshot_restores",
    "pointers_resolve",
    "names_are_tidy",
    "next_save_works",
]

_BLOCK = 4 << 20
_NAMES = re.compile(
    r"(?:config|locks)/\d{10}|packs/([0-9a-f]{2})/\1[0-9a-f]{62}|index/[0-9a-f]{64}|parts/[0-9a-f]{64}"
    r"|snapshots/[0-9a-f]{32}/[0-7][0-9a-hjkmnp-tv-z]{25}|refs/[0-9a-f]{32}/[0-9a-f]{32}/\d{10}"
    r"|audit/(checkpoint|(log|checkpoints)/\d{10}|tile/(entries|\d{1,2})/(x\d{3}/)*\d{3}(\.p/\d{1,3})?"
    r"|batches/\d{10}-[0-9a-f]{32}|cosignatures/\d{10}/[0-9a-f]{32}|pending/[0-9a-f]{32}/\d{10})"
    r"|(leases|trash)/[0-9a-f]{16}/\d{10}|thinned/[0-9a-f]{32}/[0-7][0-9a-hjkmnp-tv-z]{25}/\d{10}"
)


class BrokenInvariant(AssertionError):
    """Something that must always hold does not."""


class Node(NamedTuple):
    """A file (with the hash of its bytes), folder, or link (with its target)."""

    kind: str
    mode: int
    mtime_ns: int
    size: int
    content: bytes


TreeState: TypeAlias = Mapping[bytes, Node]
"""Relative path → what lies there; the top, also when it is a single file, is `.`."""


def read_tree(path: Path) -> dict[bytes, Node]:
    """Everything that a restore must give back, of a folder or a single file: nothing is followed."""
    if not path.is_dir() or path.is_symlink():
        return {b".": _node(path)}
    return {b".": _node(path), **dict(_below(path, b""))}


def trees_are_equal(found: TreeState, expected: TreeState, what: str) -> None:
    """Same names, kinds, bytes, modes, times and link targets."""
    for path in sorted(found.keys() | expected.keys()):
        if found.get(path) != expected.get(path):
            raise BrokenInvariant(f"{what}: {path!r} is {found.get(path)}, not {expected.get(path)}")


def every_snapshot_restores(vault: Vault, expected: Mapping[str, TreeState], scratch: Path) -> None:
    """Each of these snapshots (by id) is listed, sound, and restores to what it was made of, byte for byte."""
    listed = {one.root.id for one in vault.snapshots() if one.root is not None}
    missing = sorted(expected.keys() - listed)
    if missing:
        raise BrokenInvariant(f"snapshots {missing} are not listed any more")
    for snapshot, tree in expected.items():
        with _emptied(scratch / snapshot) as target:
            restored = vault.restore(snapshot, target).target
            trees_are_equal(read_tree(restored), tree, f"snapshot {snapshot}")


def check_is_clean(vault: Vault) -> None:
    """Reading every byte of the vault finds nothing wrong, and nothing that does not belong there."""
    report = vault.check(read_data=True)
    if report.damages:
        raise BrokenInvariant(f"check found {report.damages}")
    strays = [note for note in report.notes if "does not belong" in note]
    if strays:
        raise BrokenInvariant(f"check found {strays}")


def pointers_resolve(vault: Vault, asset: str) -> None:
    """Every pointer leads to its snapshot of the asset; `validated` to one with a proof, good or accepted.

    One that is about to be moved off a snapshot that was set aside leads to one that was not.
    """
    refs = vault.tags(asset)
    marks = marks_in(refs)
    for name, ref in refs.items():
        root = vault.find(f"{asset}@{name}")
        mark = marks.get(ref.target)
        if mark is not None and (name == VALIDATED or (name == LATEST and mark.kind == QUARANTINED)):
            if root.asset != asset or root.id in marks:
                raise BrokenInvariant(f"{asset}@{name} leads to {root.id}, which was set aside")
            continue
        if root.id != ref.target or root.asset != asset:
            raise BrokenInvariant(f"{asset}@{name} leads to {root.id}, its ref says {ref.target}")
        accepted = root.validation.verdict == "good" or "accepted" in ref.reason
        if name == VALIDATED and (ref.check is None or not accepted):
            raise BrokenInvariant(f"{asset}@validated leads to {root.id} ({root.validation.verdict}, {ref.check})")


def names_are_tidy(store: Store) -> None:
    """Every listed object has a name of the format: no temporary file, no half-written thing can be seen."""
    strays = [info.key for info in store.list("") if not _NAMES.fullmatch(info.key)]
    if strays:
        raise BrokenInvariant(f"{store.url} lists {strays}")


def next_save_works(vault: Vault, asset: str, source: Path, scratch: Path) -> SaveReport:
    """A save goes through, is validated, becomes `latest`, and restores. `source` is the asset's newest content."""
    report = vault.save(asset, source)
    if not report.validated:
        raise BrokenInvariant(f"snapshot {report.root.id} was saved, and `validated` did not move to it")
    for reference in (asset, f"{asset}@validated"):
        if _found(vault, reference) != report.root.id:
            raise BrokenInvariant(f"{reference} leads to {_found(vault, reference)}, not to {report.root.id}")
    every_snapshot_restores(vault, {report.root.id: read_tree(source)}, scratch)
    return report


def _found(vault: Vault, reference: str) -> str:
    try:
        root: Root = vault.find(reference)
    except NotFoundError:
        return "nothing"
    return root.id


def _below(folder: Path, prefix: bytes) -> Iterator[tuple[bytes, Node]]:
    for path in sorted(folder.iterdir()):
        node, name = _node(path), prefix + os.fsencode(path.name)
        yield name, node
        if node.kind == "folder":
            yield from _below(path, name + b"/")


def _node(path: Path) -> Node:
    found = path.lstat()
    mode = stat.S_IMODE(found.st_mode)
    if stat.S_ISLNK(found.st_mode):
        target = os.readlink(os.fsencode(path))  # noqa: PTH115 - a Path would turn `./a//b` into `a/b`
        return Node("link", 0, found.st_mtime_ns, 0, target)
    if stat.S_ISDIR(found.st_mode):
        return Node("folder", mode, found.st_mtime_ns, 0, b"")
    if not stat.S_ISREG(found.st_mode):
        return Node("special", mode, 0, 0, b"")
    return Node("file", mode, found.st_mtime_ns, found.st_size, _hash(path))


def _hash(path: Path) -> bytes:
    hasher = blake3()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            hasher.update(block)
    return hasher.digest()


@contextmanager
def _emptied(target: Path) -> Iterator[Path]:
    """A place for one restore, removed afterwards whatever modes its folders have."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield target
    finally:
        for folder, _, _ in os.walk(target):
            Path(folder).chmod(0o700)
        if target.is_dir():
            shutil.rmtree(target)
        else:
            target.unlink(missing_ok=True)
