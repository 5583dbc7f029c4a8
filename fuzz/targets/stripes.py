"""What a site of a set of stripes holds: shards, their names, layouts, marks. The site may be hostile."""

from __future__ import annotations

from functools import lru_cache

from blake3 import blake3

from fuzz.model import Broken, Target
from holdfast.errors import HoldfastError
from holdfast.replication.striping import StripedStore, create_stripes, verify_stripes
from holdfast.replication.striping.layout import layout_key, parse_layout
from holdfast.replication.striping.shards import Cut, Shard, framed, parse_shard, parse_shard_key, parse_table
from holdfast.replication.striping.voids import marked_key, parse_mark
from holdfast.stores.keys import is_key
from holdfast.stores.memory import MemoryStore
from holdfast.testing.striped_sites import pack_of

__all__ = ["TARGETS"]

_KEY, _PACK = pack_of(3000)
_CUT = Cut(2, 3, len(_PACK))
_HASH_BYTES = 32
_THREADS = 256 << 20


@lru_cache
def _sites() -> tuple[MemoryStore, ...]:
    stores = tuple(MemoryStore(name=f"site-{position}") for position in range(3))
    create_stripes(stores, 2)
    store = StripedStore(stores, whole_below=0)
    store.put(_KEY, _PACK)
    store.create("audit/one", b"one")
    return stores


def _shard_at(position: int) -> Shard:
    return Shard(_KEY.rpartition("/")[2], _CUT, position)


def _stored(position: int) -> bytes:
    return _sites()[position].get(_shard_at(position).key)


def _shard(data: bytes) -> None:
    """What is taken for a shard is one to the byte, but for its table, which tells only of decay."""
    shard = _shard_at(1)
    payload = parse_shard(shard, data)
    again = b"".join(framed(shard, payload))
    at = shard.cut.payload_at(1)
    if (again[:64], again[at:-_HASH_BYTES]) != (data[:64], data[at:-_HASH_BYTES]):
        raise Broken("a shard that does not give its own bytes")
    parse_table(shard, data[:at])


def _hostile(data: bytes) -> None:
    """One site makes its shard up, with a hash that agrees: the pack is read all the same, and the site named."""
    lie = data + blake3(data).digest()
    for position in range(3):
        stores = [store.fork() for store in _sites()]
        stores[position].put(_shard_at(position).key, lie)
        store = StripedStore(stores, whole_below=0)
        if store.get(_KEY) != _PACK:
            raise Broken("a site's lie was believed")
        if [info.key for info in store.list("packs/")] != [_KEY]:
            raise Broken("a site's lie hid a pack")
        found = verify_stripes(store)
        honest = lie == _stored(position)
        if found.lost or {damage.position for damage in found.damages} != (set() if honest else {position}):
            raise Broken(f"the wrong site was named, or none: {found.damages}")
    parse_shard(_shard_at(0), lie)


def _name(data: bytes) -> None:
    """A site lists any name: nothing else is hidden by it."""
    text = data.decode("latin-1")
    shard = parse_shard_key(text)
    if shard is not None and shard.key != text:
        raise Broken(f"{text!r} is taken for {shard.key!r}")
    if not is_key(text):
        return
    stores = [store.fork() for store in _sites()]
    if any(info.key.startswith(text + "/") or text.startswith(info.key) for info in stores[2].list("")):
        return
    stores[2].put(text, b"")
    store = StripedStore(stores, whole_below=0)
    listed = [info.key for info in store.list("")]
    if listed != sorted(listed) or not {_KEY, "audit/one"} <= set(listed) <= {_KEY, "audit/one", text}:
        raise Broken(f"a listing of {listed}")
    if store.get(_KEY) != _PACK or store.get("audit/one") != b"one":
        raise Broken("an object is read otherwise")


def _layout(data: bytes) -> None:
    """What one site says of the set changes nothing for the others."""
    stores = [store.fork() for store in _sites()]
    stores[2].put(layout_key(2), data)
    layout = StripedStore(stores).layout
    if layout.generation != 1 or layout.home != 0:
        raise Broken("one site decided for all")
    said = parse_layout(data, layout_key(2))
    if parse_layout(said.to_bytes(), layout_key(2)) != said:
        raise Broken("a layout does not give its own record")


def _mark(data: bytes) -> None:
    """The first line is a mark's name, the rest what it holds."""
    name, _, content = data.partition(b"\n")
    mark = parse_mark(name.decode("latin-1"))
    if mark is None:
        raise HoldfastError("no mark")
    if not is_key(marked_key(mark, content)):
        raise Broken("a mark of no key")


def _marks() -> list[bytes]:
    hashed = blake3(b"audit/one").hexdigest(16).encode()
    return [b"stripes/void/2/" + hashed + b"-0123456789abcdef\naudit/one"]


TARGETS = (
    Target(
        "shard",
        "`parse_shard`, `parse_table`, `framed`",
        _shard,
        lambda: [_stored(1)],
        (b"HFSTRIPE\x01\x02\x03",),
    ),
    Target(
        "shard-hostile",
        "`StripedStore.get`, `BlockReader.read`, `untangle`, `verify_stripes` with one site's shard made up",
        _hostile,
        lambda: [_stored(0)[:-_HASH_BYTES]],
        (b"HFSTRIPE\x01\x02\x03",),
        memory=_THREADS,
        why_memory="a pool of threads: 8 MiB of stack for each, and the allocator's arenas",
        weight=8,
    ),
    Target(
        "shard-name",
        "`parse_shard_key`, `StripedStore.list` with one site's listing made up",
        _name,
        lambda: [_shard_at(2).key.encode(), b"audit/two", f"shards/ab/{'ab' * 32}-9-2-3-2".encode()],
        (b"shards/", b"-2-3-2", b"packs/", b"stripes/void/", b"/"),
        memory=_THREADS,
        why_memory="a pool of threads: 8 MiB of stack for each, and the allocator's arenas",
        weight=4,
    ),
    Target(
        "stripe-layout",
        "`parse_layout`, `counting`, `Sites.layout` with one site's record made up",
        _layout,
        lambda: [_sites()[2].get(layout_key(1)).replace(b'"generation":1', b'"generation":2')],
        (b'"home":2', b'"generation":', b"null", b"9" * 30, b'"set":"'),
        memory=_THREADS,
        why_memory="a pool of threads: 8 MiB of stack for each, and the allocator's arenas",
        weight=4,
    ),
    Target("stripe-mark", "`parse_mark`, `marked_key`", _mark, _marks, (b"stripes/void/", b"-", b"\n", b"/")),
)
