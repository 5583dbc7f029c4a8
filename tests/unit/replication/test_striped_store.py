"""Stripes while sites are down: what is read, acknowledged and owed, and that nothing comes back to life."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from itertools import combinations

import pytest

from holdfast.clock import ManualClock
from holdfast.errors import (
    AlreadyExistsError,
    ConflictError,
    DamageError,
    HoldfastError,
    NotFoundError,
    ObjectNotFoundError,
    RefusedError,
    StorageFullError,
    StoreUnreachableError,
    UsageError,
)
from holdfast.replication.striping import StripedStore, adopt_home, create_stripes, heal_stripes
from holdfast.stores.memory import MemoryStore
from holdfast.stores.protocol import ObjectInfo, Store
from holdfast.testing.damage import Flip, contents_of
from holdfast.testing.striped_sites import Rig, pack_of

PACK, PACK_BYTES = pack_of(300_000)
SMALL, SMALL_BYTES = pack_of(500, seed=1)


def fill(store: StripedStore) -> None:
    store.put(PACK, PACK_BYTES)
    store.put(SMALL, SMALL_BYTES)
    store.create("refs/a/0000000001", b"ref")
    store.put("index/one", b"index")


def all_reads(store: StripedStore) -> None:
    """The reading part of the contract, on what `fill` wrote."""
    assert store.get(PACK) == PACK_BYTES
    ranges = [(0, 10), (140_000, 20_000), (299_990, 10), (149_990, 30), (5, 0), (65_530, 12)]
    assert store.get_ranges(PACK, ranges) == [PACK_BYTES[start : start + length] for start, length in ranges]
    out = bytearray(sum(length for _, length in ranges))
    store.read_ranges_into(PACK, ranges, memoryview(out))
    assert out == b"".join(PACK_BYTES[start : start + length] for start, length in ranges)
    for small, its_bytes in ((SMALL, SMALL_BYTES), ("index/one", b"index")):
        store.read_ranges_into(small, [(3, 2), (0, 1)], memoryview(out)[:3])
        assert out[:3] == its_bytes[3:5] + its_bytes[:1]
    assert store.get(SMALL) == SMALL_BYTES
    assert store.get_ranges(SMALL, [(7, 20), (480, 20)]) == [SMALL_BYTES[7:27], SMALL_BYTES[480:]]
    assert (store.head(PACK).size, store.head(SMALL).size) == (300_000, 500)
    assert store.get("refs/a/0000000001") == b"ref" and store.head("index/one").size == 5
    assert [info.key for info in store.list("")] == sorted([PACK, SMALL, "refs/a/0000000001", "index/one"])
    assert [(info.key, info.size) for info in store.list(PACK[:20])] == [(PACK, 300_000)]
    assert list(store.list("", "refs/b")) == []
    assert list(store.folders("")) == ["index/", "packs/", "refs/"]
    assert list(store.folders("packs/")) == sorted({PACK[:9], SMALL[:9]})
    for missing in ("refs/a/2", "packs/ab/" + "ab" * 32, "shards/ab", "stripes/layout/0000000001"):
        for read in (store.get, store.head):
            with pytest.raises(ObjectNotFoundError):
                read(missing)
        with pytest.raises(ObjectNotFoundError):
            store.get_ranges(missing, [])
    with pytest.raises(DamageError, match="300000 bytes"):
        store.get_ranges(PACK, [(299_999, 2)])
    with pytest.raises(UsageError):
        store.get_ranges(PACK, [(-1, 2)])


@pytest.mark.parametrize("home", [0, 2])
@pytest.mark.parametrize(("k", "n"), [(2, 3), (4, 6)])
@pytest.mark.parametrize("how", ["down", "lose"])
def test_everything_is_read_without_any_of_the_sites_that_may_be_lost(k: int, n: int, home: int, how: str) -> None:
    rig = Rig(k, n, home=home)
    fill(rig.open())
    all_reads(rig.open())
    kept = list(rig.bare)
    for count in range(1, n - k + 1):
        for gone in combinations(range(n), count):
            getattr(rig, how)(*gone)
            all_reads(rig.open())
            rig.up()
            rig.bare = list(kept)


@pytest.mark.parametrize(("k", "n"), [(2, 3), (4, 6)])
def test_one_site_more_names_those_that_are_missing(k: int, n: int) -> None:
    for gone in combinations(range(n), n - k + 1):
        rig = Rig(k, n)
        fill(rig.open())
        here = rig.open()
        here.get(PACK)
        rig.down(*gone)
        for store in (here, rig.open()):
            reads: list[Callable[[], object]] = [
                lambda store=store: store.get(PACK),
                lambda store=store: store.get_ranges(PACK, [(0, 300_000)]),
                lambda store=store: list(store.list("")),
                lambda store=store: list(store.list("packs/")),
            ]
            for read in reads:
                with pytest.raises(StoreUnreachableError) as caught:
                    read()
                assert all(f"site-{position}" in caught.value.message for position in gone)


def test_shards_that_are_gone_everywhere_are_damage_that_names_the_sites() -> None:
    rig = Rig()
    fill(rig.open())
    for position in (0, 2):
        rig.bare[position].delete(next(key for key in rig.keys(position) if key.startswith("shards/")))
    store = rig.open()
    with pytest.raises(DamageError) as caught:
        store.get(PACK)
    assert not isinstance(caught.value, NotFoundError)
    assert "site 0 (memory://site-0): its shard is missing" in caught.value.message
    assert "site 2 (memory://site-2): its shard is missing" in caught.value.message
    assert "site-1" not in caught.value.message
    assert PACK not in [info.key for info in store.list("packs/")]
    with pytest.raises(ObjectNotFoundError):
        store.head(PACK)
    rig.down(2)
    with pytest.raises(StoreUnreachableError, match="site-2"):
        rig.open().head(PACK)


def test_a_shard_lies_at_each_site_and_costs_what_it_should() -> None:
    rig = Rig(4, 6)
    rig.open().put(PACK, PACK_BYTES)
    stored = sum(info.size for store in rig.bare for info in store.list("shards/"))
    assert stored < 300_000 * 1.5 * 1.01
    assert all(len(rig.keys(position)) == 1 for position in range(6))


def test_bytes_that_decay_at_a_site_are_not_read() -> None:
    rig = Rig()
    fill(rig.open())
    key = next(key for key in rig.keys(0) if key.startswith("shards/"))
    for at in (0, 9, 70, 5000, 100_000, 150_100):
        damage = Flip(key, at)
        damage.apply(rig.bare[0])
        all_reads(rig.open())
        damage.apply(rig.bare[0])  # back again
    assert any("damaged at site 0" in note for note in rig.notes.notes)
    Flip(SMALL, 60).apply(rig.bare[0])
    all_reads(rig.open())


def test_decay_in_different_blocks_of_all_shards_is_read_around() -> None:
    key, data = pack_of(1_000_000, seed=5)
    rig = Rig(4, 6)
    rig.open().put(key, data)
    width = 250_048
    for position, blocks in enumerate([(0, 3), (0,), (1,), (1,), (2,), (2, 3)]):  # two of six in each block
        shard = rig.keys(position)[0]
        begin = rig.bare[position].head(shard).size - 32 - (width if position != 3 else 1_000_000 - 3 * width)
        for block in blocks:
            Flip(shard, begin + block * 65536 + 7).apply(rig.bare[position])
    assert rig.open().get(key) == data
    assert rig.open().get_ranges(key, [(10, 900_000)]) == [data[10:900_010]]


def test_a_site_that_makes_up_shards_is_found_out() -> None:
    """Its shard is of a pack of its own, under the right name, and agrees with itself."""
    from holdfast.replication.striping.shards import framed, parse_shard, parse_shard_key

    for position in range(3):
        rig = Rig()
        fill(rig.open())
        key = next(key for key in rig.keys(position) if key.startswith("shards/"))
        shard = parse_shard_key(key)
        assert shard is not None
        payload = bytearray(parse_shard(shard, rig.bare[position].get(key)))
        payload[100] ^= 4
        rig.bare[position].put(key, framed(shard, payload))
        assert rig.open().get(PACK) == PACK_BYTES
        assert any(f"site {position} " in note for note in rig.notes.notes) == (position < 2)


def test_a_site_that_lists_a_wrong_size_changes_nothing() -> None:
    rig = Rig()
    fill(rig.open())
    key = next(key for key in rig.keys(0) if key.startswith("shards/"))
    data = rig.bare[0].get(key)
    rig.bare[0].delete(key)
    rig.bare[0].put(key.replace("-300000-", "-300001-"), data)
    all_reads(rig.open())


# ---- writing ----


def test_a_write_needs_every_site_unless_fewer_were_chosen() -> None:
    rig = Rig(4, 6)
    rig.down(5)
    with pytest.raises(StoreUnreachableError, match="site 5") as caught:
        rig.open().put(PACK, PACK_BYTES)
    assert "stored at 5 of 6" in caught.value.message
    rig.open().create("refs/a", b"copies enough for two losses")
    rig.down(4, 3)
    with pytest.raises(StoreUnreachableError):
        rig.open().create("refs/b", b"too few copies")


def test_with_a_spare_less_a_write_goes_on_and_is_owed() -> None:
    rig = Rig(4, 6, spares=1)
    rig.down(5)
    rig.open().put(PACK, PACK_BYTES)
    assert any("owed to 1 of 6 sites" in note and "site-5" in note for note in rig.notes.notes)
    rig.down(4)
    other, data = pack_of(200_000, seed=2)
    with pytest.raises(StoreUnreachableError, match="stored at 4 of 6"):
        rig.open().put(other, data)
    rig.up()
    done = heal_stripes(rig.open())
    assert done.is_complete and done.packs == 2
    assert rig.all_alike()


def test_no_redundancy_only_where_it_was_asked_for() -> None:
    rig = Rig(2, 3, spares=0)
    rig.down(1)
    rig.open().put(PACK, PACK_BYTES)
    assert rig.open().get(PACK) == PACK_BYTES
    for spares in (-1, 2):
        with pytest.raises(UsageError):
            create_stripes([MemoryStore() for _ in range(3)], 2, spares=spares)


def test_a_full_disk_is_told_as_that() -> None:
    rig = Rig()
    rig.faults[1].fill_up_after(1000)
    with pytest.raises(StorageFullError, match="site 1"):
        rig.open().put(PACK, PACK_BYTES)


def test_without_the_home_nothing_is_written() -> None:
    rig = Rig(home=1)
    fill(rig.open())
    rig.down(1)
    before = [contents_of(store) for store in rig.bare]
    store = rig.open()
    writes: list[Callable[[], object]] = [
        lambda: store.put(PACK, PACK_BYTES),
        lambda: store.put("index/two", b"x"),
        lambda: store.create("refs/b", b"x"),
        lambda: store.delete("index/one"),
        lambda: store.delete(PACK),
    ]
    for write in writes:
        with pytest.raises(StoreUnreachableError, match=r"the home, site 1"):
            write()
    assert [contents_of(one) for one in rig.bare] == before
    rig.up()
    rig.lose(1)
    with pytest.raises(StoreUnreachableError, match="holds nothing of the set"):
        rig.open().create("refs/b", b"x")


def test_what_a_lost_answer_hid_is_where_it_should_be_before_it_counts() -> None:
    rig = Rig()
    rig.down(1, 2)
    with pytest.raises(HoldfastError):
        rig.open().create("refs/a", b"mine")
    rig.faults[0].heal()
    store = StripedStore([rig.bare[0], *rig.faulty[1:]], retry_seconds=0.0)
    rig.up()
    rig.faults[1].fail("create put")
    rig.faults[2].fail("create put")
    with pytest.raises(StoreUnreachableError):
        store.create("refs/a", b"mine")
    rig.up()
    with pytest.raises(AlreadyExistsError):
        rig.open().create("refs/a", b"mine")
    assert all(rig.bare[position].get("refs/a") == b"mine" for position in range(3))


def test_a_name_that_only_another_site_knows_is_not_given_away() -> None:
    rig = Rig()
    fill(rig.open())
    rig.bare[0].delete("refs/a/0000000001")
    with pytest.raises(ConflictError):
        rig.open().create("refs/a/0000000001", b"another")
    assert rig.open().get("refs/a/0000000001") == b"ref"
    assert "refs/a/0000000001" not in rig.keys(0)


# ---- what a site missed ----


def test_a_mark_that_may_come_back_is_reckoned_with() -> None:
    """A name that one site missed the end of is used again while another is away: its copy there does not count yet."""
    rig = Rig()
    rig.open().create("refs/a", b"first")
    rig.down(1)
    rig.open().delete("refs/a")
    rig.up()
    rig.down(2)
    with pytest.raises(StoreUnreachableError, match="owed what they missed before"):
        rig.open().create("refs/a", b"second")
    with pytest.raises(StoreUnreachableError, match="deleted at 1 of 3"):
        rig.open().delete("refs/a")
    assert heal_stripes(rig.open()).marks == 0, "the mark would come back with site 2"
    rig.up()
    assert heal_stripes(rig.open()).marks == 1
    rig.down(2)
    rig.open().delete("refs/a")
    rig.up()
    rig.down(0)
    with pytest.raises(ObjectNotFoundError):
        rig.open().get("refs/a")


def test_what_was_deleted_while_a_site_was_down_stays_deleted() -> None:
    rig = Rig(2, 4, spares=1)
    fill(rig.open())
    rig.down(2, 3)
    store = rig.open()
    for key in (PACK, SMALL, "refs/a/0000000001"):
        store.delete(key)
    rig.up()
    for _ in range(2):
        later = rig.open()
        assert [info.key for info in later.list("")] == ["index/one"]
        for key in (PACK, SMALL, "refs/a/0000000001"):
            with pytest.raises(ObjectNotFoundError):
                later.get(key)
            with pytest.raises(ObjectNotFoundError):
                later.head(key)
        done = heal_stripes(rig.open())
        assert done.is_complete
    assert rig.all_alike() and rig.keys(3) == ["index/one"]
    assert list(rig.bare[0].list("stripes/void/")) == []


def test_what_was_deleted_stays_deleted_also_without_the_home() -> None:
    rig = Rig()
    fill(rig.open())
    rig.down(1)
    rig.open().delete("refs/a/0000000001")
    rig.up()
    rig.down(0)
    with pytest.raises(ObjectNotFoundError):
        rig.open().get("refs/a/0000000001")
    assert "refs/a/0000000001" not in [info.key for info in rig.open().list("")]


def test_what_was_written_anew_while_a_site_was_down_is_read_as_that() -> None:
    rig = Rig()
    rig.open().put("audit/checkpoint", b"first")
    rig.down(1)
    rig.open().put("audit/checkpoint", b"second")
    rig.up()
    rig.down(0)
    assert rig.open().get("audit/checkpoint") == b"second"
    rig.up()
    assert heal_stripes(rig.open()).is_complete
    assert rig.bare[1].get("audit/checkpoint") == b"second"


def test_a_name_may_be_used_again_at_a_site_that_missed_its_end() -> None:
    rig = Rig()
    rig.open().create("refs/a", b"first")
    rig.down(2)
    rig.open().delete("refs/a")
    rig.up()
    rig.open().create("refs/a", b"second")
    assert heal_stripes(rig.open()).is_complete
    assert rig.bare[2].get("refs/a") == b"second" and rig.all_alike()


def test_a_site_that_comes_back_is_used_again() -> None:
    rig = Rig()
    store = StripedStore(rig.faulty, retry_seconds=0.0, whole_below=1000)
    rig.down(1)
    with pytest.raises(StoreUnreachableError):
        store.put(PACK, PACK_BYTES)
    rig.up()
    store.put(PACK, PACK_BYTES)
    assert rig.all_alike()


def test_a_site_that_is_down_is_left_alone_for_a_while() -> None:
    rig = Rig()
    fill(rig.open())
    rig.down(1)
    faulty = rig.faulty
    store = StripedStore(faulty, retry_seconds=3600, whole_below=1000)
    store.get(PACK)
    asked = len(faulty[1].log)
    for _ in range(5):
        store.get(PACK)
    assert len(faulty[1].log) == asked
    assert len([note for note in rig.notes.notes if "going on without it" in note]) <= 1


def test_a_site_that_hangs_when_it_is_asked_again_stops_nobody() -> None:
    rig = Rig()
    fill(rig.open())
    released = threading.Event()

    class Hanging(MemoryStore):
        failed = False

        def list(self, prefix: str, after: str = "") -> Iterator[ObjectInfo]:
            if self.failed:
                assert released.wait(30)
            self.failed = True
            raise StoreUnreachableError("it is away")

    store = StripedStore([rig.bare[0], Hanging(), rig.bare[2]], retry_seconds=0.001, whole_below=1000)
    began = time.monotonic()
    for _ in range(5):
        assert store.get(PACK) == PACK_BYTES
        time.sleep(0.005)
    assert time.monotonic() - began < 10
    released.set()


def test_a_site_that_answers_again_is_taken_back_beside_the_work() -> None:
    rig = Rig()
    fill(rig.open())
    rig.down(1)
    store = StripedStore(rig.faulty, retry_seconds=0.01, whole_below=1000)
    store.get(PACK)
    assert [member.position for member in store.sites.absent()] == [1]
    rig.up()
    deadline = time.monotonic() + 20
    while store.sites.absent():
        store.get("index/one")
        assert time.monotonic() < deadline
        time.sleep(0.01)
    store.create("refs/c", b"at all three")
    assert rig.bare[1].get("refs/c") == b"at all three"


def test_a_writer_hears_of_another_home_within_a_minute() -> None:
    rig = Rig()
    clock = ManualClock()
    writer = StripedStore(rig.faulty, clock=clock, whole_below=1000)
    fill(writer)
    rig.down(0)
    adopt_home(rig.open(), 1)
    rig.up()
    clock.sleep(61)
    writer.create("refs/d", b"after")
    assert writer.layout.home == 1
    assert [store.get("refs/d") for store in rig.bare] == [b"after"] * 3


# ---- which sites ----


def test_sites_in_another_order_are_refused() -> None:
    rig = Rig()
    for order in ((1, 0, 2), (0, 2, 1), (2, 0, 1)):
        with pytest.raises(RefusedError, match=r"not named in their order: .*is site"):
            list(StripedStore([rig.bare[position] for position in order]).list(""))
    with pytest.raises(RefusedError, match="2 sites were named"):
        list(StripedStore(rig.bare[:2]).list(""))


def test_a_site_that_says_it_is_another_one_is_left_out() -> None:
    rig = Rig()
    fill(rig.open())
    said = rig.bare[1].get("stripes/layout/0000000001")
    rig.bare[1].put("stripes/layout/0000000001", said.replace(b'"position":1', b'"position":2'))
    all_reads(rig.open())
    with pytest.raises(StoreUnreachableError, match="is site 2 of the set"):
        rig.open().put(PACK, PACK_BYTES)


def test_a_site_of_another_set_is_left_out() -> None:
    rig, other = Rig(), Rig()
    fill(rig.open())
    rig.bare[1] = other.bare[1]
    all_reads(rig.open())
    with pytest.raises(StoreUnreachableError, match="another set"):
        rig.open().put(PACK, PACK_BYTES)


def test_a_set_is_created_once_and_only_in_one_vault() -> None:
    rig = Rig()
    with pytest.raises(RefusedError, match="already"):
        create_stripes(rig.bare, 2)
    with pytest.raises(NotFoundError):
        StripedStore([MemoryStore() for _ in range(3)]).layout  # noqa: B018 - a property that asks the sites


@pytest.mark.parametrize("done", [0, 1, 2])
def test_creating_goes_on_where_it_was_broken_off(done: int) -> None:
    rig = Rig()
    for position in range(done, 3):
        for info in list(rig.bare[position].list("")):
            rig.bare[position].delete(info.key)
    store = create_stripes(rig.bare, 2)
    store.put(PACK, PACK_BYTES)
    assert len({store.get("stripes/layout/0000000001")[:60] for store in rig.bare}) == 1
    with pytest.raises(RefusedError):
        create_stripes([*rig.bare[:2], MemoryStore()], 2, home=1)


# ---- another home ----


@pytest.mark.parametrize("how", ["down", "lose"])
def test_another_home_is_adopted_only_when_the_old_one_is_lost(how: str) -> None:
    rig = Rig()
    fill(rig.open())
    with pytest.raises(RefusedError, match="answers"):
        adopt_home(rig.open(), 1)
    rig.bare[1].delete("index/one")
    getattr(rig, how)(0)
    layout = adopt_home(rig.open(), 1, reason="fire")
    assert (layout.home, layout.generation, layout.reason) == (1, 2, "fire")
    assert rig.bare[1].get("index/one") == b"index"
    store = rig.open()
    all_reads(store)
    store.create("refs/b", b"after")
    assert rig.bare[1].get("refs/b") == rig.bare[2].get("refs/b") == b"after"


def test_a_new_home_does_not_bring_back_what_it_missed() -> None:
    rig = Rig()
    fill(rig.open())
    rig.down(1)
    rig.open().delete("refs/a/0000000001")
    rig.open().delete(SMALL)
    rig.up()
    rig.down(0)
    adopt_home(rig.open(), 1)
    store = rig.open()
    assert [info.key for info in store.list("")] == sorted([PACK, "index/one"])
    with pytest.raises(ObjectNotFoundError):
        store.head(SMALL)


def test_the_old_home_comes_back_as_one_of_the_others() -> None:
    rig = Rig()
    fill(rig.open())
    rig.bare[0].create("refs/only-here", b"never acknowledged")
    writer = rig.open()
    rig.down(0)
    adopt_home(rig.open(), 2)
    rig.open().create("refs/b", b"after")
    rig.open().delete("index/one")
    rig.up()
    store = rig.open()
    assert store.layout.home == 2
    assert "index/one" not in [info.key for info in store.list("")]
    assert heal_stripes(rig.open()).is_complete
    assert rig.all_alike()
    assert rig.bare[0].get("stripes/layout/0000000002")
    with pytest.raises(RefusedError):
        adopt_home(writer, 0)


def test_one_site_cannot_make_itself_the_home() -> None:
    rig = Rig()
    forged = rig.bare[2].get("stripes/layout/0000000001")
    forged = forged.replace(b'"generation":1', b'"generation":2').replace(b'"home":0', b'"home":2')
    rig.bare[2].put("stripes/layout/0000000002", forged)
    rig.bare[2].put("stripes/layout/9999999999", b"nonsense")
    assert rig.open().layout.home == 0
    rig.down(0)
    assert adopt_home(rig.open(), 1).generation == 3


def test_it_says_what_it_is(tmp_path: object) -> None:
    store: Store = Rig().open()
    assert store.url == "stripes:memory://site-0,memory://site-1,memory://site-2"
    assert not store.capabilities.durable
    for key in ("shards/a", "stripes/layout/0000000009"):
        for write in (lambda key=key: store.put(key, b"x"), lambda key=key: store.delete(key)):
            with pytest.raises(UsageError):
                write()
