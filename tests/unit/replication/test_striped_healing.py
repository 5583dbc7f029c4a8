"""Stripes are given back what they lost: by outages, damage, lies, lost sites. And what that costs."""

from __future__ import annotations

from itertools import combinations

import pytest

from holdfast.errors import RefusedError, StoreUnreachableError, UsageError
from holdfast.replication.striping import (
    StripedStore,
    create_stripes,
    heal_damage,
    heal_stripes,
    plan_healing,
    plan_rebuild,
    rebuild_site,
    remove_fragments,
    stripe_packs,
    unstripe_packs,
    verify_stripes,
)
from holdfast.replication.striping.shards import framed, parse_shard, parse_shard_key
from holdfast.stores.memory import MemoryStore
from holdfast.testing.damage import Delete, Flip, Truncate, contents_of
from holdfast.testing.striped_sites import Rig, pack_of
from holdfast.testing.workspace import new_trial_vault

PACKS = dict(pack_of(20_000 + 7_000 * number, seed=number) for number in range(6))


def a_vault() -> dict[str, bytes]:
    """The objects of an empty vault."""
    store = MemoryStore()
    new_trial_vault(store)
    return contents_of(store)


WHOLE = {"audit/a": b"one", "audit/b": b"", "locks/x": b"part", **dict([pack_of(300, seed=99)]), **a_vault()}


def filled(k: int = 2, n: int = 3, **options: int) -> Rig:
    rig = Rig(k, n, **options)
    store = rig.open()
    for key, data in (PACKS | WHOLE).items():
        store.put(key, data)
    return rig


def is_whole(rig: Rig) -> bool:
    return contents_of(rig.open()) == PACKS | WHOLE and rig.all_alike() and verify_stripes(rig.open()).is_clean


def shards(rig: Rig, position: int) -> list[str]:
    return rig.keys(position, "shards/")


# ---- rebuilding ----


@pytest.mark.parametrize(("k", "n"), [(2, 3), (4, 6)])
def test_each_site_is_rebuilt_as_it_was(k: int, n: int) -> None:
    rig = filled(k, n)
    for lost in range(n):
        before = {key: data for key, data in contents_of(rig.bare[lost]).items() if not key.startswith("stripes/")}
        rig.lose(lost)
        plan = plan_rebuild(rig.open(), lost)
        done = rebuild_site(rig.open(), lost)
        assert done.is_complete
        assert (plan.packs, plan.objects) == (done.packs, done.objects) == (len(PACKS), len(WHOLE))
        assert (plan.bytes_read, plan.bytes_written) == (done.bytes_read, done.bytes_written)
        assert done.bytes_written == sum(map(len, before.values()))
        after = {key: data for key, data in contents_of(rig.bare[lost]).items() if not key.startswith("stripes/")}
        assert after == before
        assert is_whole(rig)
        with pytest.raises(RefusedError, match="whole, or was rebuilt already"):
            rebuild_site(rig.open(), lost)


def test_the_plan_is_what_is_read_and_written() -> None:
    rig = filled(4, 6)
    rig.lose(1)
    plan = plan_rebuild(rig.open(), 1)
    sites = rig.faulty
    rebuild_site(StripedStore(sites, whole_below=1000), 1, read_back=False)
    read = sum(site.bytes_moved("get", "get_ranges") for site in sites)
    written = sum(site.bytes_moved("put") for site in sites)
    assert written == plan.bytes_written
    layouts = 20 * 1024
    assert plan.bytes_read * 0.98 <= read <= plan.bytes_read + layouts


def test_two_lost_sites_are_rebuilt_one_after_the_other() -> None:
    for pair in combinations(range(6), 2):
        rig = filled(4, 6)
        rig.lose(*pair)
        for position in pair:
            assert rebuild_site(rig.open(), position).is_complete, pair
        assert is_whole(rig), pair


def test_a_rebuild_refuses_what_it_must() -> None:
    rig = filled()
    rig.lose(2)
    new_trial_vault(rig.bare[2])
    with pytest.raises(RefusedError, match="another vault"):
        rebuild_site(rig.open(), 2)
    rig.bare[2] = Rig().bare[2]
    with pytest.raises(StoreUnreachableError, match="another set"):
        rebuild_site(rig.open(), 2)
    with pytest.raises(UsageError):
        rebuild_site(rig.open(), 3)
    rig.lose(2)
    rig.down(1)
    with pytest.raises(StoreUnreachableError):
        rebuild_site(rig.open(), 2)


def test_a_rebuild_from_damaged_shards_writes_none() -> None:
    rig = filled()
    for position in (0, 1):
        shard = parse_shard_key(shards(rig, position)[0])
        assert shard is not None
        liar = bytearray(parse_shard(shard, rig.bare[position].get(shard.key)))
        liar[5] ^= 1
        rig.bare[position].put(shard.key, framed(shard, liar))
    rig.lose(2)
    done = rebuild_site(rig.open(), 2)
    assert len(done.failed) == 1 and not done.is_complete
    assert done.packs == len(PACKS) - 1
    assert rig.open().sites.layout and rig.open().sites.members[2].vacant is False
    assert next(rig.bare[2].list("stripes/layout/"), None) is None


def test_what_was_deleted_at_the_new_site_while_it_was_rebuilt_is_noticed() -> None:
    rig = filled()
    rig.lose(2)
    victim, other = "audit/a", sorted(PACKS)[0]

    class Busy(MemoryStore):
        """Somebody else deletes two objects as soon as they were brought."""

        def put(self, key: str, data: object) -> object:  # type: ignore[override]
            info = super().put(key, data)  # type: ignore[arg-type]
            if key == "audit/a" or (key.startswith("shards/") and other.rpartition("/")[2] in key):
                for position in (0, 1):
                    for one in list(rig.bare[position].list("")):
                        if one.key == key or one.key.rpartition("-")[0] == key.rpartition("-")[0] != "":
                            rig.bare[position].delete(one.key)
            return info

    rig.bare[2] = Busy(name="new")
    rebuild_site(rig.open(), 2)
    assert victim not in rig.keys(2)
    assert not any(other.rpartition("/")[2] in key for key in rig.keys(2))


# ---- healing ----


def test_a_site_that_was_away_is_given_what_it_missed_once() -> None:
    rig = Rig(2, 4, spares=1)
    rig.down(3)
    store = rig.open()
    for key, data in (PACKS | WHOLE).items():
        store.put(key, data)
    while_down = plan_healing(rig.open())
    assert while_down.packs == 0 and len(while_down.owed) == 1 and "site 3" in while_down.owed[0]
    rig.up()
    plan = plan_healing(rig.open())
    assert (plan.packs, plan.objects, plan.owed) == (len(PACKS), len(WHOLE), [])
    assert heal_stripes(rig.open()).is_complete
    assert is_whole(rig)
    again = heal_stripes(rig.open())
    assert (again.packs, again.objects, again.bytes_written) == (0, 0, 0)


def test_what_differs_is_left_until_somebody_decides() -> None:
    rig = filled()
    rig.bare[1].put("audit/x", b"one")
    rig.bare[0].put("audit/x", b"another")
    done = heal_stripes(rig.open())
    assert done.differing == ["audit/x at site 1 (memory://site-1)"] and not done.is_complete
    assert rig.bare[1].get("audit/x") == b"one"
    assert heal_stripes(rig.open(), settle=True).is_complete
    assert rig.bare[1].get("audit/x") == b"another"
    assert [rig.bare[1].get(info.key) for info in rig.bare[1].list("stripes/aside/")] == [b"one"]


def test_fragments_are_reported_and_not_seen() -> None:
    rig = filled()
    rig.down(1, 2)
    key, data = pack_of(30_000, seed=50)
    with pytest.raises(StoreUnreachableError):
        StripedStore(rig.faulty, retry_seconds=0).put(key, data)
    rig.up()
    rig.faults[1].fail("put")
    rig.faults[2].fail("put")
    with pytest.raises(StoreUnreachableError):
        rig.open().put(key, data)
    rig.up()
    assert key not in contents_of(rig.open())
    done = heal_stripes(rig.open())
    assert done.fragments == {key: 1} and done.is_complete
    assert verify_stripes(rig.open()).fragments == {key: 1}
    assert unstripe_packs(rig.fork().open()).fragments == [key]
    assert remove_fragments(rig.open()) == []
    rig.down(2)
    with pytest.raises(RefusedError, match="site-2"):
        remove_fragments(rig.open(), older_than_seconds=-1)
    rig.up()
    other = rig.fork()
    assert remove_fragments(other.open(), older_than_seconds=-1) == [key]
    assert is_whole(other)
    rig.open().put(key, data)
    assert rig.open().get(key) == data and plan_healing(rig.open()).fragments == {}


# ---- verifying ----


def test_sound_stripes_are_clean_and_each_byte_was_read() -> None:
    rig = filled(4, 6)
    found = verify_stripes(rig.open())
    assert found.is_clean
    assert (found.packs, found.objects) == (len(PACKS), len(WHOLE))
    stored = sum(len(data) for site in rig.bare for key, data in contents_of(site).items() if "stripes/" not in key)
    assert found.bytes == stored


def test_every_kind_of_damage_is_named_by_site_and_key_and_mended() -> None:
    for k, n in ((2, 3), (4, 6)):
        for position in range(n):
            rig = filled(k, n)
            names = shards(rig, position)
            Delete(names[0]).apply(rig.bare[position])
            Flip(names[1], 70).apply(rig.bare[position])
            Flip(names[2], rig.bare[position].head(names[2]).size - 1).apply(rig.bare[position])
            lie(rig, position, names[3])
            Truncate(names[4], 100).apply(rig.bare[position])
            Delete("audit/a").apply(rig.bare[position])
            small = next(key for key in WHOLE if key.startswith("packs/"))
            Flip(small, 5).apply(rig.bare[position])
            found = verify_stripes(rig.open())
            assert {damage.key for damage in found.damages} == {*names[:5], "audit/a", small}
            assert {damage.position for damage in found.damages} == {position}
            assert {damage.site for damage in found.damages} == {rig.bare[position].url}
            assert not found.lost
            assert heal_damage(rig.open(), found) == {}
            assert is_whole(rig), position


def lie(rig: Rig, position: int, key: str) -> None:
    shard = parse_shard_key(key)
    assert shard is not None
    payload = bytearray(parse_shard(shard, rig.bare[position].get(key)))
    payload[len(payload) // 2] ^= 64
    rig.bare[position].put(key, framed(shard, payload))


def test_what_has_no_checksum_is_decided_by_most_sites_or_by_a_person() -> None:
    for position in range(3):
        rig = filled()
        Flip("audit/a", 1).apply(rig.bare[position])
        found = verify_stripes(rig.open())
        assert [(damage.position, damage.key) for damage in found.damages] == [(position, "audit/a")]
        assert heal_damage(rig.open(), found) == {}
        assert is_whole(rig)
        assert len(list(rig.bare[position].list("stripes/aside/"))) == 1
    rig = filled()
    rig.bare[1].put("audit/a", b"two")
    rig.bare[2].put("audit/a", b"six")
    found = verify_stripes(rig.open())
    assert len(found.damages) == 2
    assert "each looks sound" in heal_damage(rig.open(), found)["audit/a"]
    assert [site.get("audit/a") for site in rig.bare] == [b"one", b"two", b"six"]
    assert heal_damage(rig.open(), found, settle=True) == {}
    assert is_whole(rig)


def test_as_many_liars_as_may_be_lost_are_told_apart() -> None:
    for pair in combinations(range(6), 2):
        rig = filled(4, 6)
        for position in pair:
            lie(rig, position, shards(rig, position)[1])
        found = verify_stripes(rig.open())
        assert {damage.position for damage in found.damages} == set(pair)
        assert all("not of this pack" in damage.what for damage in found.damages)
        assert heal_damage(rig.open(), found) == {}
        assert is_whole(rig)


def test_a_table_that_is_wrong_is_found_though_the_hash_agrees() -> None:
    rig = filled()
    name = shards(rig, 1)[0]
    from blake3 import blake3

    data = bytearray(rig.bare[1].get(name))
    data[64] ^= 1
    data[-32:] = blake3(data[:-32]).digest()
    rig.bare[1].put(name, data)
    assert [damage.key for damage in verify_stripes(rig.open()).damages] == [name]


def test_more_damage_than_there_is_parity_is_lost_and_said_so() -> None:
    rig = filled()
    key = sorted(PACKS)[0]
    for position in (0, 2):
        Flip(shards(rig, position)[0], 80).apply(rig.bare[position])
    found = verify_stripes(rig.open())
    assert list(found.lost) == [key]
    assert set(heal_damage(rig.open(), found)) == {damage.key for damage in found.damages}


def test_a_site_that_does_not_answer_is_named_and_not_blamed() -> None:
    rig = filled()
    rig.down(1)
    found = verify_stripes(rig.open())
    assert not found.damages and not found.lost and "site 1" in found.unasked[0] and not found.is_clean


def test_samples_differ_by_seed_and_cover_everything_in_time() -> None:
    rig = filled()
    counts = [verify_stripes(rig.open(), 0.5, seed=seed).packs for seed in range(12)]
    assert 0 < sum(counts) < 12 * len(PACKS)
    Flip(shards(rig, 0)[2], 90).apply(rig.bare[0])
    hits = [bool(verify_stripes(rig.open(), 0.5, seed=seed).damages) for seed in range(12)]
    assert any(hits) and not all(hits)
    for sample in (0, 1.1, float("nan")):
        with pytest.raises(UsageError):
            verify_stripes(rig.open(), sample)


# ---- converting ----


def test_whole_copies_become_stripes_and_whole_copies_again() -> None:
    bare = [MemoryStore(name=f"site-{number}") for number in range(3)]
    for key, data in (PACKS | WHOLE).items():
        bare[0].put(key, data)
        bare[1].put(key, data)  # a replica was there before
    before = sum(len(data) for data in PACKS.values())
    create_stripes(bare, 2)
    rig = Rig()
    rig.bare = bare
    assert contents_of(rig.open()) == PACKS | WHOLE
    done = stripe_packs(rig.open())
    assert (done.packs, done.bytes, done.failed) == (len(PACKS), before, {})
    assert is_whole(rig)
    assert not [key for site in bare for key in contents_of(site) if key in PACKS]
    assert stripe_packs(rig.open()).packs == 0
    assert unstripe_packs(rig.open()).packs == len(PACKS)
    assert contents_of(rig.open()) == PACKS | WHOLE
    for site in bare[:2]:
        held = {key: data for key, data in contents_of(site).items() if not key.startswith("stripes/")}
        assert held == PACKS | WHOLE
    assert not [key for site in bare for key in contents_of(site) if key.startswith("shards/")]


def test_a_conversion_refuses_less_safety_than_there_was() -> None:
    rig = filled()
    with pytest.raises(RefusedError, match="at 1 sites would survive less"):
        unstripe_packs(rig.open(), [0])
    with pytest.raises(RefusedError):
        unstripe_packs(rig.open(), [1, 2])
    with pytest.raises(UsageError):
        unstripe_packs(rig.open(), [0, 3])
    rig.down(2)
    for convert in (stripe_packs, unstripe_packs):
        with pytest.raises(RefusedError, match="all sites answer"):
            convert(rig.open())


def test_a_pack_that_is_damaged_stays_as_it_is() -> None:
    rig = Rig()
    key, data = pack_of(5000)
    rig.bare[0].put(key, data)
    Flip(key, 40).apply(rig.bare[0])
    done = stripe_packs(rig.open())
    assert list(done.failed) == [key] and rig.keys(0) == [key]
