"""Stripes against a dictionary: written, read in part, damaged, taken away and healed, in any order."""

from __future__ import annotations

from itertools import combinations

from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.errors import DamageError, HoldfastError, ObjectNotFoundError
from holdfast.replication.striping import StripedStore, create_stripes, heal_stripes, verify_stripes
from holdfast.replication.striping.shards import BLOCK, Cut, parse_shard_key
from holdfast.stores.memory import MemoryStore
from holdfast.testing.damage import contents_of
from holdfast.testing.striped_sites import Rig, pack_of

CODES = st.sampled_from([(2, 3), (2, 4), (3, 4), (4, 6), (2, 5), (5, 8)])
SIZES = st.one_of(
    st.integers(0, 3000),
    st.integers(BLOCK - 3, BLOCK + 3),
    st.integers(2 * BLOCK - 66, 2 * BLOCK + 66),
    st.integers(0, 9 * BLOCK),
)


def ranges_of(size: int) -> st.SearchStrategy[list[tuple[int, int]]]:
    starts = st.integers(0, size)
    return st.lists(
        starts.flatmap(lambda start: st.integers(0, size - start).map(lambda length: (start, length))), max_size=4
    )


@settings(max_examples=25, deadline=None)
@given(st.data(), CODES, SIZES)
def test_any_part_is_read_whatever_may_be_lost_or_damaged(
    data: st.DataObject, code: tuple[int, int], size: int
) -> None:
    k, n = code
    key, content = pack_of(size, seed=size)
    bare = [MemoryStore(name=f"site-{position}") for position in range(n)]
    create_stripes(bare, k)
    StripedStore(bare, whole_below=0).put(key, content)
    hurt = data.draw(st.lists(st.integers(0, n - 1), unique=True, max_size=n - k), label="hurt")
    for position in hurt:
        shard = next(info for info in bare[position].list("shards/"))
        at = data.draw(st.integers(-1, shard.size - 1), label="at")
        if at < 0:
            bare[position].delete(shard.key)
        else:
            damaged = bytearray(bare[position].get(shard.key))
            damaged[at] ^= data.draw(st.integers(1, 255), label="by")
            bare[position].put(shard.key, damaged)
    store = StripedStore(bare, whole_below=0)
    ranges = data.draw(ranges_of(size), label="ranges")
    assert store.get_ranges(key, ranges) == [content[start : start + length] for start, length in ranges]
    assert store.get(key) == content
    found = verify_stripes(store)
    assert {damage.position for damage in found.damages} == set(hurt) and not found.lost


@given(CODES, st.integers(0, 1 << 30))
def test_a_cut_covers_the_pack_once(code: tuple[int, int], size: int) -> None:
    cut = Cut(*code, size)
    assert sum(cut.payload_bytes(number) for number in range(cut.k)) == size
    assert cut.width % 64 == 0 and cut.k * cut.width >= size >= cut.k * (cut.width - 64)
    assert all(cut.payload_bytes(number) == cut.width for number in range(cut.k, cut.n))
    assert sum(cut.shard_bytes(number) for number in range(cut.n)) <= cut.n * (cut.width * (1 + 16 / BLOCK) + 112)


@given(st.text(alphabet="0123456789abcdef-/shrd", max_size=100))
def test_no_text_is_taken_for_a_shard_that_is_not_its_name(text: str) -> None:
    for key in (text, f"shards/ab/{'ab' * 32}{text}"):
        shard = parse_shard_key(key)
        assert shard is None or shard.key == key


OPERATIONS = st.lists(
    st.tuples(st.sampled_from(["pack", "small", "put", "create", "delete", "down", "up", "heal"]), st.integers(0, 5)),
    max_size=30,
)


@settings(max_examples=30, deadline=None)
@given(OPERATIONS, st.sampled_from([(2, 3, 1), (2, 3, 0), (2, 4, 1), (4, 6, 2), (4, 6, 1)]))
def test_what_was_acknowledged_is_there_after_any_outage(
    operations: list[tuple[str, int]], code: tuple[int, int, int]
) -> None:
    """One client, whose sites come and go (the home stays). What it was told is so, and survives as many losses as were
    promised, healed or not; what failed is so or not.
    """
    k, n, spares = code
    rig = Rig(k, n, spares=spares)
    sure: dict[str, bytes] = {}
    unsure: dict[str, set[bytes | None]] = {}
    away: set[int] = set()
    for number, (what, choice) in enumerate(operations):
        if what == "down" and 0 < choice < n and len(away) < n - k:
            away.add(choice)
            rig.down(choice)
        elif what == "up":
            away.clear()
            rig.up()
        elif what == "heal":
            heal_stripes(rig.open())
        elif what != "down":
            act(rig.open(), what, choice, number, sure, unsure)
    rig.up()
    check(rig, sure, unsure)
    survives(rig, spares, sure, unsure)
    done = heal_stripes(rig.open())
    assert done.is_complete and next(rig.bare[0].list("stripes/void/"), None) is None
    check(rig, sure, unsure)
    assert rig.all_alike() or done.fragments
    survives(rig, n - k, sure, unsure)


def act(
    store: StripedStore,
    what: str,
    choice: int,
    number: int,
    sure: dict[str, bytes],
    unsure: dict[str, set[bytes | None]],
) -> None:
    key, content = pack_of(2000 + choice if what == "pack" else 100 + choice, seed=choice)
    if what in ("put", "create", "delete"):
        key, content = f"audit/{choice % 3}", b"%d" % number
        if what == "delete" and choice > 2:
            key = pack_of(2000 + choice - 3, seed=choice - 3)[0]
    before: set[bytes | None] = unsure.get(key) or {sure.get(key)}
    after: bytes | None = None if what == "delete" else content
    try:
        if what == "delete":
            store.delete(key)
        elif what == "create":
            store.create(key, content)
        else:
            store.put(key, content)
    except HoldfastError:
        unsure[key] = {*before, after}
        sure.pop(key, None)
        return
    unsure.pop(key, None)
    sure.pop(key, None)
    if after is not None:
        sure[key] = after


def survives(rig: Rig, losses: int, sure: dict[str, bytes], unsure: dict[str, set[bytes | None]]) -> None:
    kept = list(rig.bare)
    for lost in combinations(range(len(kept)), losses):
        rig.bare = [MemoryStore(name="empty") if position in lost else store for position, store in enumerate(kept)]
        check(rig, sure, unsure)
    rig.bare = kept


def check(rig: Rig, sure: dict[str, bytes], unsure: dict[str, set[bytes | None]]) -> None:
    found = contents_of(rig.open())
    assert {key: data for key, data in found.items() if key not in unsure} == sure
    for key, allowed in unsure.items():
        assert found.get(key) in allowed | {None}
        try:
            data: bytes | None = rig.open().get(key)
        except (ObjectNotFoundError, DamageError):
            data = None  # a few shards of a pack that was never acknowledged
        assert data in allowed | {None}
    assert all(blake3(data).hexdigest() == key[9:] for key, data in found.items() if key.startswith("packs/"))
