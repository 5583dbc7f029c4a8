"""What repairs, collections and the memory of proofs read: damaged objects, hostile ones, rows of a local database."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from fuzz import world
from fuzz.model import Broken, Target
from holdfast.errors import HoldfastError
from holdfast.stores.memory import MemoryStore
from holdfast.testing.damage import contents_of
from holdfast.vault.checking.proofs import Proofs, least_proven
from holdfast.vault.collecting.collect import CollectOptions, collect
from holdfast.vault.collecting.safety import NONE
from holdfast.vault.format.header import Kind
from holdfast.vault.format.names import CONFIG, INDEX, LEASES, TRASH
from holdfast.vault.format.records import Condemned, Lease, decode_record, encode_record
from holdfast.vault.repairing.configuring import repair_config
from holdfast.vault.repairing.repair import repair
from holdfast.vault.restoring.fallback import opened_replica

__all__ = ["TARGETS"]

_THREADS = 256 << 20
_WHY_THREADS = "a pool of threads: 8 MiB of stack for each, and the allocator's arenas"
_NUMBERS = (b"\xcf" + b"\xff" * 8, b"\xd3\x80" + bytes(7), b"\xc4\x00", b"\xc0", b"\x90")
_NAME = "00112233aabbccdd"


def _repair(data: bytes) -> None:
    """First byte: which object has these bytes now. With a replica all is mended, and the replica stays as it was.

    With its highest bit, they stand under a name that nothing had, and what was there is left alone.
    """
    choice, stored = data[0] if data else 0, data[1:]
    store, replica = world.store(False), world.store(False, "second")
    whole = contents_of(replica)
    keys = sorted(whole)
    key = keys[(choice & 0x7F) % len(keys)]
    if choice & 0x80:
        _repaired_beside(store, replica, f"{key[:-1]}{'8' if key[-1] != '8' else '9'}", stored)
        return
    _overwrite(store, key, stored)
    if key.startswith(CONFIG):
        repair_config(store, world.vault(replica, False).handle)
    else:
        vault, other = world.vault(store, False), world.vault(replica, False)
        _forgiving(lambda: vault.repair(dry_run=True))
        done = repair(vault.handle, [opened_replica(other.handle)])
        if done.failed or done.plan.losses or done.plan.unmended:
            raise Broken(f"{key} was not mended: {done}")
    if not key.startswith(INDEX) and store.get(key) != whole[key]:
        raise Broken(f"{key} is not what it was")
    report = world.vault(store, False).check(read_data=True)
    if report.damages or contents_of(replica) != whole:
        raise Broken(f"after repairing {key}: {report.damages}")


def _repaired_beside(store: MemoryStore, replica: MemoryStore, key: str, stored: bytes) -> None:
    whole = contents_of(replica)
    if key in whole or key.startswith(CONFIG):
        return
    store.put(key, stored)
    _forgiving(lambda: repair(world.vault(store, False).handle, [opened_replica(world.vault(replica, False).handle)]))
    now = contents_of(store)
    gone = {one for one, data in whole.items() if not one.startswith(INDEX) and now.get(one) != data}
    if gone or contents_of(replica) != whole:
        raise Broken(f"{gone} changed by repairing what stood beside them")


def _repair_seeds() -> list[bytes]:
    objects = world.objects(False)
    keys = sorted(objects)
    first = {key.partition("/")[0]: number for number, key in reversed(list(enumerate(keys)))}
    damaged = [bytes([number]) + objects[keys[number]][:4000] for number in first.values()]
    return damaged + [bytes([number | 0x80]) + objects[keys[number]] for number in first.values()]


def _overwrite(store: MemoryStore, key: str, data: bytes) -> None:
    store.delete(key)
    store.put(key, data)


def _forgiving(work: Callable[[], object]) -> None:
    try:
        work()
    except HoldfastError:
        return


def _collect(data: bytes) -> None:
    """A lease, or a list of what is condemned, signed by a key that counts: nothing that is needed is deleted."""
    choice, body = data[:1] == b"\1", data[1:]
    store = world.store(False)
    if choice:
        lease = decode_record(body, Lease, "leases/x")
        key = f"{LEASES}{_NAME}/0000000001"
        store.put(key, world.resealed(Kind.LEASE, key, encode_record(lease)))
    else:
        decode_record(body, Condemned, "trash/x")
        key = f"{TRASH}{_NAME}/0000000001"
        store.put(key, world.resealed(Kind.TRASH, key, body))
    vault = world.vault(store, False)
    try:
        vault.collect(CollectOptions(NONE), dry_run=True)
        collect(vault.handle, CollectOptions(NONE))
    finally:
        report = world.vault(store, False).check(read_data=True)
        if report.damages:
            raise Broken(f"a collection did harm: {report.damages}")


def _collect_seeds() -> list[bytes]:
    keys = [key for key in world.objects(False) if key.startswith(("packs/", "parts/"))]
    records = [Condemned(_NAME, state, keys, 1) for state in ("condemned", "closed", "rescued")]
    leases = [Lease(_NAME, "save", "keeper", state, 1) for state in ("open", "ended")]
    return [b"\0" + encode_record(one) for one in records] + [b"\1" + encode_record(one) for one in leases]


def _proofs(data: bytes) -> None:
    """Rows of the tables, as msgpack: what SQLite gives back where a file rotted in a way that it does not notice."""
    try:
        packs, snapshots = (_rows(rows, width) for rows, width in zip(_lists(data), (2, 3), strict=True))
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return
    handle = world.vault(MemoryStore(), False).handle
    known = [key.rsplit("/", 1)[1] for key in world.objects(False) if key.startswith("packs/")]
    for read in (
        lambda proofs: proofs.packs(),
        lambda proofs: proofs.snapshots(),
        lambda proofs: proofs.age(known),
        lambda proofs: least_proven(known, proofs.packs(), 2, 1),
    ):
        proofs = Proofs(handle)
        cache = proofs._cache
        assert cache is not None
        with cache.writing() as database:
            for table, rows in (("packs VALUES (?, ?)", packs), ("snapshots VALUES (?, ?, ?)", snapshots)):
                database.executemany(f"INSERT OR REPLACE INTO {table}", rows)
        read(proofs)
        proofs.credit_packs(known)
        proofs.forget(known, ["x"])


def _lists(data: bytes) -> list[list[Any]]:
    return msgspec.msgpack.decode(data, type=list[list[Any]])


def _rows(listed: list[Any], width: int) -> list[tuple[Any, ...]]:
    """Those that a table takes: SQLite stores what it is given, whatever the column is."""
    rows = [tuple(row) for row in listed if isinstance(row, list) and len(row) == width]
    return [row for row in rows if all(_is_storable(value) for value in row)]


def _is_storable(value: Any) -> bool:
    if isinstance(value, int):
        return -(1 << 63) <= value < 1 << 63
    if isinstance(value, float):
        return value == value
    return isinstance(value, (str, bytes))


def _proofs_seeds() -> list[bytes]:
    """As they are written, and as nobody writes them."""
    packs = [(bytes(range(32)), 1_700_000_000_000_000_000), (bytes(32), 5)]
    sound = packs, [("01hf7yat00000g40r40m30e209", 7, "decoded")]
    odd = [(5, 1.5), ("text", 2), (b"pack", 0.0)], [(1.5, 3, b"level")]
    return [msgspec.msgpack.encode(rows) for rows in (sound, odd)]


TARGETS = [
    Target(
        "repair",
        "`repair`, `plan_repair`, `survey`, `repair_config`, `judge`, on one object with other bytes, or one more",
        _repair,
        _repair_seeds,
        (b"HOLDFAST", b"C", b"P", b"I", b"M", b"S", b"R"),
        _THREADS,
        _WHY_THREADS,
        weight=10,
    ),
    Target(
        "collect",
        "`collect` beside hostile leases and trash, `read_trash`, `seen_leases`, `mark`",
        _collect,
        _collect_seeds,
        (*_NUMBERS, b"condemned", b"rescued", b"closed", b"open", b"ended", b"packs/", b"parts/"),
        _THREADS,
        _WHY_THREADS,
    ),
    Target(
        "proofs",
        "`Proofs`, `least_proven`, on any rows",
        _proofs,
        _proofs_seeds,
        (*_NUMBERS, b"\xcb\x7f\xf0" + bytes(6), b"\xcb\x7f\xf8" + bytes(6), b"\xa1x", b"\xcf\x7f" + b"\xff" * 7),
        _THREADS,
        _WHY_THREADS,
    ),
]
