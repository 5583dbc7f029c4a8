"""Saves of many ranks: what is announced, and the layouts that ranks write beside their tensors."""

from __future__ import annotations

from fuzz import world
from fuzz.model import Broken, Target
from holdfast.ids import is_snapshot_id
from holdfast.stores.memory import MemoryStore
from holdfast.training.committing.settling import settle_saves
from holdfast.training.dcp.layout import (
    FORMAT,
    RankLayout,
    TensorItem,
    ValueItem,
    check_layouts,
    encode_layout,
    is_layout,
    parse_layout,
    tensors_name,
)
from holdfast.training.dcp.regions import Box, KnownRegions, box_name
from holdfast.vault.collecting.announced import remove_announcements
from holdfast.vault.format.header import Kind
from holdfast.vault.format.names import announcement_key
from holdfast.vault.format.records import (
    Announcement,
    Check,
    Entry,
    Finding,
    PartLink,
    TensorRecord,
    decode_record,
    encode_record,
)
from holdfast.vault.saving.announcing import announced_id, own_mark, read_announcements

__all__ = ["TARGETS"]

_SAVE = "00112233aabbccdd"
_NAME = "dcp-00000-of-00002.json"


def _announcement(data: bytes) -> None:
    """As that of both ranks of a save, or of the only one; then somebody tries to finish it."""
    store = MemoryStore()
    for rank in range(2):
        key = announcement_key(_SAVE, rank)
        record = decode_record(data, Announcement, key)
        store.put(key, world.resealed(Kind.ANNOUNCEMENT, key, encode_record(record)))
    vault = world.vault(store, False)
    settle_saves(vault)
    announced = read_announcements(vault.handle, _SAVE)
    removed = remove_announcements(vault.handle, (), 1 << 63, lambda: None)
    if removed != 2:
        raise Broken(f"{removed} of 2 announcements were removed")
    if announced is not None and not is_snapshot_id(announced_id(vault.handle, announced)):
        raise Broken("announcements give an id that is none")


def _announcement_seeds() -> list[bytes]:
    mark = own_mark(world.keys(False).require_writer("fuzzing"))
    one = Announcement(
        save=_SAVE,
        asset="run",
        rank=0,
        world=1,
        signers=[mark],
        lease="ab" * 8,
        created=1_700_000_000_000_000_000,
        content=1_700_000_000_000_000_000,
        deadline=1 << 62,
        step=7,
        parents=["01hf7yat00000g40r40m30e209"],
        source="folder",
        name="dcp",
        parts=[PartLink(bytes(32), "weights", 12, 1)],
        meta={"a": "b"},
        versions={"torch": "2.13"},
        tags=["best"],
        stats={"raw": 12, "stored": 9},
        policy="warn",
        checks=["non-finite"],
        findings=[Finding("non-finite", "model: w", "1 value is NaN")],
        check=Check("decoded", 12, 1_700_000_000_000_000_000),
    )
    return [encode_record(one)]


def _layout(data: bytes) -> None:
    """One layout, as that of rank 0; with a sound one of rank 1 beside it."""
    layout = parse_layout(data, _NAME)
    if parse_layout(encode_layout(layout), _NAME) != layout:
        raise Broken("a layout does not give itself again")
    if not is_layout(_NAME):
        raise Broken("the name of a layout is none")
    for item in layout.tensors:
        tensors_name(str(item.path[0]) if item.path else "", layout.rank, layout.world)
        box = Box(item.fqn, "f32", 4, tuple(item.shape), tuple(item.offsets), tuple(item.sizes))
        record = TensorRecord(box_name(box), "f32", item.sizes, 0, box.nbytes, False, None, 0)
        KnownRegions([Entry(path=b"x", type="file", mode=0, mtime=0, tensors=[record])]).candidates(
            {record.name: box}, {record.name: "f32"}
        )
    check_layouts([layout, RankLayout(FORMAT, 1, 2, _items(1), [])], "fuzzed")


def _items(rank: int) -> list[TensorItem]:
    file = f"model-0000{rank}-of-00002.safetensors"
    return [TensorItem("model.w", ["model", "w"], "float32", [4, 2], [2 * rank, 0], [2, 2], file, f"model.w#{rank},0")]


def _layout_seeds() -> list[bytes]:
    values = [ValueItem("note", ["note", 0], {"$tuple": [1, "a"]})]
    return [encode_layout(RankLayout(FORMAT, 0, 2, _items(0), values))]


TARGETS = [
    Target(
        "announcement",
        "`decode_record(Announcement)`, `read_announcements`, `announced_id`, `settle_saves`",
        _announcement,
        _announcement_seeds,
        tokens=(b"\xcf" + b"\xff" * 8, b"\xd3\x80" + bytes(7), b"world", b"rank", b"signers", b"\xc0"),
        memory=256 << 20,
        why_memory="a pool of threads: 8 MiB of stack for each, and the allocator's arenas",
    ),
    Target(
        "dcp-layout",
        "`parse_layout`, `check_layouts`, `KnownRegions`",
        _layout,
        _layout_seeds,
        tokens=(b'"shape":[', b'"offsets":[', b"[]", b"0,", b"-1", b"9223372036854775807", b"null", b"#0,0"),
    ),
]
