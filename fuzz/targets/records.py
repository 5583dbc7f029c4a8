"""Records behind the seal: what whoever holds a writer's key can sign. Parts, roots, refs, configurations, indexes.

A body that decodes is sealed and stored as its kind of object, and then read by the verbs that a user calls.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
from blake3 import blake3

from fuzz import world
from fuzz.model import Broken, Target
from holdfast.cli.facts.snapshots import snapshot_facts
from holdfast.errors import HoldfastError
from holdfast.ids import PartId, SnapshotId, is_snapshot_id
from holdfast.stores.memory import MemoryStore
from holdfast.testing.workspace import own_memory
from holdfast.trust.passphrase import OVERHEAD
from holdfast.trust.recipients import PASSPHRASE
from holdfast.vault.access.configuration import load_config, pins_for_passphrase, unlock
from holdfast.vault.access.generations import read_generations
from holdfast.vault.files.tree import SnapshotTree
from holdfast.vault.format.documents import write_config
from holdfast.vault.format.header import Kind
from holdfast.vault.format.names import config_key, index_key, part_key
from holdfast.vault.format.records import (
    Config,
    Index,
    Part,
    PartLink,
    Ref,
    Root,
    Validation,
    decode_record,
    encode_record,
)
from holdfast.vault.index.objects import read_checked
from holdfast.vault.snapshots.differences import compare_snapshots
from holdfast.vault.snapshots.finding import read_part
from holdfast.vault.snapshots.labels import base_candidates, chunk_offsets
from holdfast.vault.snapshots.refs import read_ref
from holdfast.vault.snapshots.roots import read_root
from holdfast.vault.tensors.loading import load_tensors

__all__ = ["TARGETS", "affordable"]

_MSGPACK = (
    b"\x80",
    b"\x90",
    b"\xc0",
    b"\xc4\x00",
    b"\xcf" + b"\xff" * 8,
    b"\xd3\x80" + bytes(7),
    b"\xdd\xff\xff\xff\xff",
)
_MSGPACK += (
    b"\xc6\xff\xff\xff\xff",
    b"\xdb\xff\xff\xff\xff",
    b"\xdf\xff\xff\xff\xff",
    b"\x91" * 40,
    b"\xcb" + b"\x7f\xf8" + bytes(6),
)
_THREADS = 256 << 20
_WHY_THREADS = "a pool of threads: 8 MiB of stack for each, and the allocator's arenas"
_SNAPSHOT = SnapshotId("01hf7yat00000g40r40m30e209")
_READ_MOST = 1 << 20  # bytes of a tensor or file that are read here: what a caller asks for, he gets


def _root_of(part: PartId, component: str, source: str = "folder") -> Root:
    return Root(
        id=_SNAPSHOT,
        asset=world.ASSET,
        created=1,
        content=1,
        step=1,
        parents=[],
        writer="keeper",
        source=source,
        name="x",
        parts=[PartLink(bytes.fromhex(part), component, 1, 1)],
        meta={},
        versions={},
        stats={},
        validation=Validation("warn", "good", [], []),
    )


def _stored_part(data: bytes) -> tuple[MemoryStore, Part, PartId]:
    """A vault with the honest packs and indexes, and this body as a part."""
    store = MemoryStore()
    part = world.keys(False).names.part_id(data)
    store.put(part_key(part), world.resealed(Kind.PART, part_key(part), data))
    return store, read_part(world.vault(store, False).handle, part), part


def _part(data: bytes) -> None:
    decode_record(data, Part, "parts/x")
    store, part, name = _stored_part(data)
    for entry in part.entries:
        offsets = chunk_offsets(entry)
        if offsets != sorted(offsets) or any(not 0 <= offset <= entry.size for offset in offsets):
            raise Broken(f"chunks at {offsets} of a file of {entry.size} bytes")
        base_candidates(entry)
    again = decode_record(encode_record(part), Part, "parts/x")
    if msgspec.structs.asdict(again)["component"] != part.component:
        raise Broken("a part does not give its own record")
    SnapshotTree(world.vault(store, False).handle, _root_of(name, part.component))


def _part_tensors(data: bytes) -> None:
    """The arrays of a manifest, and a few bytes of each."""
    decode_record(data, Part, "parts/x")
    store, _, name = _stored_part(data)
    for key, stored in world.objects(False).items():
        if key.startswith(("packs/", "index/")):
            store.put(key, stored)
    handle = world.vault(store, False).handle
    root = _root_of(name, "x")
    for tensor in load_tensors(handle, root).values():
        repr(tensor)
        key = tuple(slice(0, 2) for _ in tensor.shape)
        if tensor.nbytes <= _READ_MOST:
            _forgiving(lambda tensor=tensor: tensor[...])
            _forgiving(lambda tensor=tensor, key=key: tensor[key])


def _forgiving(read: Callable[[], object]) -> None:
    try:
        read()
    except HoldfastError:
        return


def _part_restored(data: bytes) -> None:
    """A restore writes inside of its target, whatever a manifest says."""
    part = decode_record(data, Part, "parts/x")
    if sum(len(entry.path) for entry in part.entries) > 1 << 15 or len(part.entries) > 200:
        return
    store, _, name = _stored_part(data)
    for key, stored in world.objects(False).items():
        if key.startswith(("packs/", "index/")):
            store.put(key, stored)
    root = _root_of(name, "x")
    store.put(_root_key(root), world.resealed(Kind.ROOT, _root_key(root), encode_record(root)))
    outer = world.scratch() / "restored"
    shutil.rmtree(outer, ignore_errors=True)
    place = outer / "in" / "target"
    place.parent.mkdir(parents=True)
    (outer / "canary").write_bytes(b"alive")
    try:
        world.vault(store, False).restore(_SNAPSHOT, place)
    finally:
        strays = {path.name for path in outer.iterdir()} - {"in", "canary"}
        strays |= {one.name for one in (outer / "in").iterdir() if "target" not in one.name}
        if strays or (outer / "canary").read_bytes() != b"alive":
            raise Broken(f"a restore wrote outside of its target: {strays}")
        _made_ours(outer)


def _made_ours(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o700)


def _root_key(root: Root) -> str:
    return world.keys(False).names.snapshot_key(root.asset, SnapshotId(root.id))


def _root(data: bytes) -> None:
    root = decode_record(data, Root, "snapshots/x")
    if not is_snapshot_id(root.id):
        return
    key = _root_key(root)
    store = MemoryStore()
    store.put(key, world.resealed(Kind.ROOT, key, data))
    for other, stored in world.objects(False).items():
        if not other.startswith("snapshots/"):
            store.put(other, stored)
    one = world.vault(store, False)
    snapshot_facts(read_root(one.handle, key), ["latest"])
    _forgiving(lambda: one.files(root))
    _forgiving(lambda: compare_snapshots(one.handle, root, root))
    for listed in one.snapshots():
        if listed.root is not None:
            msgspec.json.encode(snapshot_facts(listed.root, []))


def _ref(data: bytes) -> None:
    ref = decode_record(data, Ref, "refs/x")
    keys = world.keys(False)
    key = f"{keys.names.ref_prefix(ref.asset, ref.name)}0000000009"
    store = MemoryStore()
    for other, stored in world.objects(False).items():
        store.put(other, stored)
    store.put(key, world.resealed(Kind.REF, key, data))
    one = world.vault(store, False)
    read_ref(one.handle, key)
    _forgiving(lambda: one.tags(ref.asset))
    _forgiving(lambda: one.find(f"{ref.asset}@{ref.name}"))
    _forgiving(lambda: one.find(ref.target))


def _index(data: bytes) -> None:
    decode_record(data, Index, "index/x")
    keys = world.keys(False)
    stored = world.resealed(Kind.INDEX, "index/", data)
    key = index_key(blake3(stored).hexdigest())
    store = MemoryStore()
    for other, content in world.objects(False).items():
        if not other.startswith("index/"):
            store.put(other, content)
    store.put(key, stored)
    for _, columns in read_checked(store, keys, key).packs:
        list(columns.blocks())
    with own_memory(world.scratch() / "index"):
        one = world.vault(store, False)
        report = one.check(read_data=False)
        if any(damage.object.startswith("packs/") for damage in report.damages):
            raise Broken(f"an index made sound packs look bad: {report.damages}")


def affordable(wrapped: bytes) -> bool:
    """Whether unwrapping costs little: what may be asked for within the limits (a gigabyte, 16 passes) is slow here."""
    if len(wrapped) < OVERHEAD:
        return True
    lanes, passes, memory = wrapped[1], int.from_bytes(wrapped[2:4], "little"), int.from_bytes(wrapped[4:8], "little")
    allowed = 1 <= passes <= 16 and 1 <= lanes <= 16 and 8 * lanes <= memory <= 1 << 20
    return not allowed or (memory <= 4096 and passes <= 4)


def _config(data: bytes) -> None:
    """A configuration that a keeper signed: what it makes of who opens the vault."""
    keys = world.keys(True)
    config = decode_record(data, Config, "config/x")
    assert keys.signer is not None
    wrapped = [one.wrapped for epoch in config.epochs for one in epoch.recipients if one.kind == PASSPHRASE]
    if not 0 < config.generation < 1 << 33 or not 0 <= config.suite < 1 << 16 or not all(map(affordable, wrapped)):
        return
    store = MemoryStore()
    key = config_key(config.generation)
    if len(key) != len(config_key(1)):
        return
    store.put(key, write_config(keys.vault, config.suite, key, data, keys.signer))
    _forgiving(lambda: pins_for_passphrase(read_generations(store), world.PASSPHRASE))
    keeper = world.KEEPER(True)
    stored = load_config(store, keeper.keepers, expected_vault=keeper.vault_id)
    _forgiving(lambda: unlock(stored, None, world.PASSPHRASE))
    unlock(stored, keeper, None)


TARGETS = [
    Target(
        "part",
        "`decode_record(Part)`, `read_part`, `check_part`, `entry_chunks`, `base_candidates`, `SnapshotTree`",
        _part,
        lambda: world.bodies(Kind.PART),
        (*_MSGPACK, b"path", b"runs", b"..", b"/", b"link", b"folder", b"file"),
        _THREADS,
        _WHY_THREADS,
    ),
    Target(
        "part-tensors",
        "`load_tensors`, `LazyTensor`, `numpy_dtype`, `select`, `ChunkMap`",
        _part_tensors,
        lambda: [body for body in world.bodies(Kind.PART) if b"f32" in body or b"f16" in body],
        (*_MSGPACK, b"f32", b"bf16", b"c128", b"q4_k", b"f4"),
        _THREADS,
        _WHY_THREADS,
    ),
    Target(
        "part-restored",
        "`restore`, `Staging`, `place_of`, `select_entries`",
        _part_restored,
        lambda: world.bodies(Kind.PART),
        (b"..", b"/", b"../", b"link", b"folder", b"file", b"sub/", b"\0"),
        _THREADS,
        _WHY_THREADS,
    ),
    Target(
        "root",
        "`decode_record(Root)`, `read_root`, `list_roots`, `snapshot_facts`, `compare_snapshots`",
        _root,
        lambda: world.bodies(Kind.ROOT),
        _MSGPACK,
        _THREADS,
        _WHY_THREADS,
    ),
    Target(
        "ref",
        "`decode_record(Ref)`, `read_ref`, `readable_refs`, `tags_of`, `resolve`",
        _ref,
        lambda: world.bodies(Kind.REF),
        _MSGPACK,
        _THREADS,
        _WHY_THREADS,
    ),
    Target(
        "index",
        "`decode_record(Index)`, `read_checked`, `check_table`, `ChunkIndex.load`, `check_vault`",
        _index,
        lambda: world.bodies(Kind.INDEX),
        _MSGPACK,
        _THREADS,
        _WHY_THREADS,
    ),
    Target(
        "config",
        "`decode_record(Config)`, `load_config`, `pins_for_passphrase`, `unlock`, `unwrap`",
        _config,
        lambda: [encode_record(world.keys(True).config), encode_record(world.keys(False).config)],
        (*_MSGPACK, b"keyfile", b"passphrase", b"keeper", b"writer"),
    ),
]
