"""Manifests that a hostile writer might sign: nothing is ever written outside the target, or understood by half."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from holdfast.errors import DamageError, HoldfastError
from holdfast.ids import SnapshotId, new_snapshot_id
from holdfast.testing.workspace import TrialVault
from holdfast.vault.format.documents import write_document
from holdfast.vault.format.header import Kind
from holdfast.vault.format.names import part_key
from holdfast.vault.format.records import Entry, Part, PartLink, Root, TensorRecord, Validation, encode_record
from holdfast.vault.snapshots.manifests import check_part

TOP = Entry(path=b".", type="folder", mode=0o755, mtime=0)
CHUNK = bytes(32)
LENGTH = (10).to_bytes(4, "little")
FILE = Entry(
    path=b"a", type="file", mode=0o644, mtime=0, size=10, runs=[(10, 0, 1, 1)], chunks=CHUNK, lengths=LENGTH
)  # fmt: skip
LINK = Entry(path=b"l", type="link", mode=0o777, mtime=0, target=b"a")
TENSOR = TensorRecord("w", "u8", [10], 0, 10, False, None, 0)


def test_a_sound_manifest_passes() -> None:
    hole = msgspec.structs.replace(FILE, path=b"h", size=30, runs=[(10, 0, 1, 1), (20, 3, 1, 0)])
    odd = msgspec.structs.replace(FILE, path=b"sub/\xff\n..", mode=0o7777, mtime=-(1 << 40))
    tensor = msgspec.structs.replace(FILE, tensors=[TENSOR, msgspec.structs.replace(TENSOR, shape=[], bytes=0)])
    check_part(Part("other", [TOP, FILE, LINK, hole, odd, tensor]), "parts/x")


BAD: dict[str, dict[str, Any]] = {
    "an empty path": {"path": b""},
    "an absolute path": {"path": b"/etc/passwd"},
    "a path upwards": {"path": b"../a"},
    "a path upwards inside": {"path": b"a/../../b"},
    "a path with a dot": {"path": b"./a"},
    "a path with an empty name": {"path": b"a//b"},
    "a path with a zero byte": {"path": b"a\0b"},
    "a file as the top": {"path": b"."},
    "an unknown type": {"type": "device"},
    "a folder with a size": {"type": "folder"},
    "a link with a size": {"type": "link", "target": b"x"},
    "a mode with other bits": {"mode": 0o100644},
    "a negative mode": {"mode": -1},
    "a size that runs do not reach": {"size": 11},
    "a negative size": {"size": -10, "runs": [], "chunks": b"", "lengths": b""},
    "a run that chunks do not fill": {"runs": [(9, 0, 1, 1)], "size": 9},
    "a run of more chunks than there are": {"runs": [(10, 0, 1, 2)]},
    "a negative count": {"runs": [(10, 0, 1, 1), (0, 0, 1, -1)]},
    "a negative run": {"runs": [(10, 0, 1, 1), (-5, 3, 1, 0), (5, 3, 1, 0)]},
    "an unknown kind of run": {"runs": [(10, 4, 1, 1)]},
    "an impossible width": {"runs": [(10, 0, 3, 1)]},
    "a hole with chunks": {"runs": [(10, 3, 1, 1)]},
    "a chunk too many": {"chunks": CHUNK * 2},
    "half a chunk": {"chunks": CHUNK[:16]},
    "half a length": {"lengths": LENGTH[:3]},
    "a tensor outside": {"tensors": [TensorRecord("w", "u8", [10], 1, 10, False, None, 0)]},
    "a tensor before": {"tensors": [TensorRecord("w", "u8", [10], -1, 10, False, None, 0)]},
    "a tensor of negative size": {"tensors": [TensorRecord("w", "u8", [10], 5, -1, False, None, 0)]},
    "a negative dimension": {"tensors": [TensorRecord("w", "u8", [-10], 0, 10, False, None, 0)]},
}


@pytest.mark.parametrize("what", BAD)
def test_what_is_wrong_is_damage(what: str) -> None:
    entry = msgspec.structs.replace(FILE, **BAD[what])
    with pytest.raises(DamageError, match="parts/x") as caught:
        check_part(Part("other", [TOP, entry]), "parts/x")
    assert caught.value.object_name == "parts/x"


@pytest.mark.parametrize("target", [b"", b"a\0b"])
def test_targets_that_no_link_can_have(target: bytes) -> None:
    with pytest.raises(DamageError):
        check_part(Part("other", [msgspec.structs.replace(LINK, target=target)]), "parts/x")


@pytest.fixture
def plant(trial: TrialVault) -> Any:
    """Commits a root over entries of the test's choice, signed by the vault's own keeper."""

    def commit(entries: list[Entry], source: str = "folder", name: str = "planted") -> str:
        handle = trial.open().handle
        record = encode_record(Part("other", entries))
        part = handle.keys.names.part_id(record)
        trial.store.create(part_key(part), write_document(handle.keys, Kind.PART, part_key(part), record))
        root = Root(
            id=new_snapshot_id(handle.clock.now_ns()), asset="evil", created=1, content=1, step=None, parents=[],
            writer="keeper", source=source, name=name, parts=[PartLink(bytes.fromhex(part), "other", 0, 0)],
            meta={}, versions={}, stats={}, validation=Validation("warn", "good", [], []),
        )  # fmt: skip
        key = handle.keys.names.snapshot_key("evil", SnapshotId(root.id))
        trial.store.create(key, write_document(handle.keys, Kind.ROOT, key, encode_record(root)))
        return root.id

    return commit


def empty_file(path: bytes) -> Entry:
    return Entry(path=path, type="file", mode=0o644, mtime=0)


OUTSIDE: dict[str, tuple[list[Entry], str, str]] = {
    "through a link at the top": (
        [Entry(path=b".", type="link", mode=0o777, mtime=0, target=b"../outside"), empty_file(b"stolen")], "folder", "x"
    ),
    "through a link as a folder": (
        [TOP, Entry(path=b"l", type="link", mode=0o777, mtime=0, target=b"../outside"), empty_file(b"l/stolen")],
        "folder",
        "x",
    ),
    "upwards": ([TOP, empty_file(b"../outside/stolen")], "folder", "x"),
    "by the name of a single file": ([empty_file(b"../outside/stolen")], "file", "x"),
    "by the source's name": ([empty_file(b"sub/stolen")], "file", "../outside/stolen"),
    "a link for a single file": (
        [Entry(path=b"l", type="link", mode=0o777, mtime=0, target=b"../outside")], "file", "../outside"
    ),
    "one name twice": ([TOP, empty_file(b"a"), empty_file(b"a")], "folder", "x"),
    "a file in no folder": ([TOP, empty_file(b"nowhere/a")], "folder", "x"),
    "nothing": ([], "file", "x"),
}  # fmt: skip


@pytest.mark.parametrize("how", OUTSIDE)
def test_nothing_is_written_outside_the_target(trial: TrialVault, plant: Any, tmp_path: Path, how: str) -> None:
    entries, source, name = OUTSIDE[how]
    (tmp_path / "outside").mkdir()
    snapshot = plant(entries, source, name)
    (tmp_path / "place").mkdir()
    for target in (tmp_path / "place" / "out", tmp_path / "place"):
        with pytest.raises(HoldfastError):
            trial.open().restore(snapshot, target)
    assert list((tmp_path / "outside").iterdir()) == []


def test_a_root_that_names_no_part(trial: TrialVault, plant: Any, tmp_path: Path) -> None:
    snapshot = plant([TOP])
    vault = trial.open()
    root = msgspec.structs.replace(
        vault.find(snapshot), id=new_snapshot_id(2_000_000_000_000), parts=[PartLink(b"short", "other", 0, 0)]
    )
    key = vault.handle.keys.names.snapshot_key("evil", SnapshotId(root.id))
    trial.store.create(key, write_document(vault.handle.keys, Kind.ROOT, key, encode_record(root)))
    with pytest.raises(DamageError, match=root.id):
        trial.open().find(root.id)
