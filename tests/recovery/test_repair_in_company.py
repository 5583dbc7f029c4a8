"""Repair while others save, drop, collect and repair; replicas that lag, lie, or do not answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from holdfast.errors import FailedError, HoldfastError, StoreUnreachableError
from holdfast.ids import ChunkId
from holdfast.replication.copying.snapshots import mirror
from holdfast.stores.faulty import FaultyStore, Operation
from holdfast.stores.memory import MemoryStore
from holdfast.testing.damage import Delete, Flip, contents_of, put_back
from holdfast.testing.workspace import NoteTaker, own_memory
from holdfast.vault.access.members import admit_writer, revoke_signer
from holdfast.vault.collecting.trash import close, condemn, read_trash
from holdfast.vault.format.names import CONFIG, INDEX, PACKS, PARTS, SNAPSHOTS, TRASH, pack_key
from holdfast.vault.format.packs import places_of
from holdfast.vault.format.records import Root
from holdfast.vault.handle import Handle
from holdfast.vault.repairing.applying import apply_repair
from holdfast.vault.repairing.configuring import repair_config
from holdfast.vault.repairing.model import FETCHED
from holdfast.vault.repairing.planning import plan_repair
from holdfast.vault.repairing.repair import repair
from holdfast.vault.repairing.survey import Survey, survey
from holdfast.vault.restoring.fallback import Replica, Replicas, opened_replica
from holdfast.vault.restoring.restore import snapshot_entries
from holdfast.vault.snapshots.labels import entry_chunks

from .repair_sites import ASSET, Sites, build_sites, what_restores


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sites]:
    work = tmp_path_factory.mktemp("company")
    with own_memory(work / "state"):
        yield build_sites(work)


@pytest.fixture
def sites(built: Sites) -> Sites:
    put_back(built.store, built.contents)
    put_back(built.replica, built.contents)
    return built


class _When:
    """Does something before the first operation that fits; with `every`, before each."""

    def __init__(self, fits: Callable[[Operation], bool], act: Callable[[], object], *, every: bool = False) -> None:
        self._fits, self._act, self._every, self.done = fits, act, every, 0

    def due(self, operation: Operation) -> Sequence[_When]:
        return [self] if self._fits(operation) else []

    def before(self, operation: Operation) -> None:
        if self._every or not self.done:
            self.done += 1
            self._act()

    def read(self, content: bytes) -> bytes:
        return content

    def after(self, operation: Operation) -> None:
        return


def _raises(error: HoldfastError) -> Callable[[], object]:
    def act() -> None:
        raise error

    return act


def _second(sites: Sites) -> Replica:
    return opened_replica(sites.second().handle)


def _listing_packs(operation: Operation) -> bool:
    return operation.verb == "list" and operation.key == PACKS


def _packs_of(handle: Handle, root: Root) -> set[str]:
    chunks = {chunk for entry in snapshot_entries(handle, root) for _, _, chunk, _ in entry_chunks(entry)}
    return {pack_key(located.pack) for chunk in chunks if (located := handle.index.find(chunk)) is not None}


def _root_key(sites: Sites, root: Root) -> str:
    return next(key for key in sites.contents if key.startswith(SNAPSHOTS) and key.endswith(root.id))


def _surveyed(sites: Sites, script: _When) -> Handle:
    handle = sites.trial.open(store=FaultyStore(sites.store, script)).handle
    assert len(handle.index) and not script.done
    return handle


def test_what_is_saved_meanwhile_is_not_lost(sites: Sites, tmp_path: Path) -> None:
    (tmp_path / "new").write_bytes(b"new")
    saved: list[str] = []
    script = _When(_listing_packs, lambda: saved.append(sites.trial.open().save(ASSET, tmp_path / "new").root.id))
    done = repair(_surveyed(sites, script), [_second(sites)])
    assert script.done and not done.plan.losses and not done.moves and not done.plan.unmended
    assert [sites.trial.open().find(ASSET).id] == saved


def test_what_is_dropped_and_collected_meanwhile_is_not_damaged(sites: Sites) -> None:
    vault = sites.trial.open()
    root = vault.find(f"{ASSET}@step=0")
    needed_by_it = {f"{PARTS}{link.id.hex()}" for link in root.parts}
    others = {
        f"{PARTS}{link.id.hex()}"
        for one in vault.snapshots()
        if one.root not in (None, root)
        for link in one.root.parts
    }

    def drop() -> None:
        for key in (_root_key(sites, root), *(needed_by_it - others)):
            sites.store.delete(key)

    script = _When(_listing_packs, drop)
    plan = plan_repair(_surveyed(sites, script), [_second(sites)])
    assert script.done and not plan.losses and not plan.unmended and not plan.fixes


def test_a_pack_that_is_collected_after_it_was_listed_is_not_damaged(sites: Sites) -> None:
    vault = sites.trial.open()
    root = vault.find("vocabulary")
    [pack] = _packs_of(vault.handle, root)
    for key in list(contents_of(sites.store)):
        if key == _root_key(sites, root) or key.startswith(f"refs/{vault.handle.keys.names.asset_key('vocabulary')}/"):
            sites.store.delete(key)
    script = _When(lambda one: one.verb == "get" and one.key == pack, lambda: sites.store.delete(pack))
    plan = plan_repair(_surveyed(sites, script), [_second(sites)])
    assert script.done and pack not in plan.unmended and pack not in {fix.key for fix in plan.fixes}


def test_what_another_keeper_has_mended_meanwhile_is_not_removed(sites: Sites) -> None:
    one, other = sorted(key for key in sites.contents if key.startswith(PACKS))[:2]
    sites.store.put(one, sites.contents[other])
    handle = sites.trial.open().handle
    plan = plan_repair(handle)
    assert one in {fix.key for fix in plan.fixes}, "a copy under a name that is not its own"
    repair(sites.trial.open().handle, [_second(sites)])
    apply_repair(handle, plan, Replicas(handle.keys.vault, [], handle.progress))
    assert sites.store.get(one) == sites.contents[one]


def test_what_is_condemned_after_the_plan_is_not_listed_again(sites: Sites) -> None:
    for key in sites.contents:
        if key.startswith(INDEX):
            Delete(key).apply(sites.store)
    handle = sites.trial.open().handle
    plan = plan_repair(handle)
    doomed, *others = plan.relisted
    condemn(sites.trial.open().handle, [pack_key(doomed)])
    apply_repair(handle, plan, Replicas(handle.keys.vault, [], handle.progress))
    listed = sites.trial.open().handle.index.listed()
    assert doomed not in listed and listed >= set(others)


@pytest.mark.parametrize("closed", [False, True])
def test_what_a_snapshot_that_comes_back_needs_is_rescued(sites: Sites, closed: bool) -> None:
    vault = sites.trial.open()
    root = vault.find("vocabulary")
    packs, key = _packs_of(vault.handle, root), _root_key(sites, root)
    Delete(key).apply(sites.store)
    condemn(vault.handle, packs)
    if closed:
        [collection] = read_trash(vault.handle).collections
        assert close(vault.handle, collection, packs)
    done = repair(sites.trial.open().handle, [_second(sites)])
    if closed:  # too late: the snapshot waits until its packs are gone, and can be fetched with it
        assert key in done.failed and key not in contents_of(sites.store)
    else:
        assert not done.failed and not read_trash(vault.handle).keys & packs and key in contents_of(sites.store)


def test_a_damaged_collection_does_not_keep_the_rest_from_being_mended(sites: Sites) -> None:
    pack = next(key for key in sites.contents if key.startswith(PACKS))
    condemn(sites.trial.open().handle, [pack])
    [record] = [info.key for info in sites.store.list(TRASH)]
    Flip(record, 100).apply(sites.store)
    Flip(pack, 100).apply(sites.store)
    done = repair(sites.trial.open().handle, [_second(sites)])
    assert record in done.plan.unmended and not done.failed
    assert sites.store.get(pack) == sites.contents[pack]


def test_a_store_that_does_not_answer_loses_nothing(sites: Sites, monkeypatch: pytest.MonkeyPatch) -> None:
    """A blob is damaged; while it is found out what else of its pack can be read, the line breaks."""
    handle = sites.trial.open().handle
    key = max((key for key in sites.contents if key.startswith(PACKS)), key=lambda key: len(sites.contents[key]))
    table = handle.index.table(key.rpartition("/")[2])  # type: ignore[arg-type]
    assert table is not None
    Flip(key, places_of(table, handle.keys.suite, key)[0][1].offset + 3).apply(sites.store)
    broken = StoreUnreachableError("the line is broken")
    surveyed: list[bool] = []
    script = _When(lambda one: bool(surveyed) and one.verb == "get_ranges", _raises(broken), every=True)

    def looked(handle: Handle) -> Survey:
        found = survey(handle)
        surveyed.append(True)
        return found

    monkeypatch.setattr("holdfast.vault.repairing.planning.survey", looked)
    with pytest.raises(StoreUnreachableError):
        plan_repair(sites.trial.open(store=FaultyStore(sites.store, script)).handle)
    assert script.done


def test_a_replica_that_does_not_open_moves_no_pointer(sites: Sites) -> None:
    for key in [key for key in sites.contents if key.startswith(PACKS)][:2]:
        Delete(key).apply(sites.store)
    replica = Replica("memory://away", _raises(StoreUnreachableError("no route")))  # type: ignore[arg-type]
    before = {key for key in contents_of(sites.store) if key.startswith("refs/")}
    done = repair(sites.trial.open().handle, [replica])
    assert done.plan.losses and not done.plan.moves and not done.moves
    assert any("memory://away" in note and "no route" in note for note in done.plan.notes)
    assert {key for key in contents_of(sites.store) if key.startswith("refs/")} == before


def test_a_replica_that_goes_away_ends_nothing(sites: Sites) -> None:
    packs = [key for key in sites.contents if key.startswith(PACKS)]
    for key in packs:
        Delete(key).apply(sites.store)
    asked: list[bool] = []

    def fits(operation: Operation) -> bool:
        if operation.verb == "get" and operation.key.startswith(PACKS):
            asked.append(True)
        return len(asked) > len(packs)  # they are planned; when they are fetched, it is gone

    script = _When(fits, _raises(StoreUnreachableError("reset")), every=True)
    replica = sites.trial.open(store=FaultyStore(sites.replica, script))
    done = repair(sites.trial.open().handle, [opened_replica(replica.handle)])
    assert script.done and done.failed and not done.moves
    assert not repair(sites.trial.open().handle, [_second(sites)]).failed
    assert not what_restores(sites).files


def test_the_place_itself_is_no_replica(sites: Sites) -> None:
    notes = NoteTaker()
    original = next(key for key in sites.contents if key.startswith(SNAPSHOTS))
    copy = original[:-16] + "0" * 16
    sites.store.put(copy, sites.contents[original])
    done = repair(sites.trial.open(progress=notes).handle, [opened_replica(sites.trial.open().handle)])
    assert copy in done.plan.unmended and any("own place" in note for note in notes.notes)


def test_the_newest_generation_is_not_taken_for_a_copy_where_the_replica_lags(sites: Sites, tmp_path: Path) -> None:
    """Nothing tells it from a copy: the replica never saw it. Without it, who was revoked would count again."""
    vault = sites.trial.open()
    (tmp_path / "new").write_bytes(b"new")
    vault.save(ASSET, tmp_path / "new")
    prefix = vault.handle.keys.names.ref_prefix(ASSET, "latest")
    before, newest = sorted(key for key in contents_of(sites.store) if key.startswith(prefix))[-2:]
    sites.store.put(newest, sites.store.get(before))
    done = repair(sites.trial.open().handle, [_second(sites)])
    assert newest in done.plan.unmended and newest in contents_of(sites.store)
    admit_writer(vault.handle, "writer")
    first, second = sorted(key for key in contents_of(sites.store) if key.startswith(CONFIG))
    sites.store.put(second, sites.store.get(first))
    assert not repair_config(sites.store, sites.second().handle)
    assert second in contents_of(sites.store)


def test_a_snapshot_that_no_site_knows_is_not_taken_for_a_copy(sites: Sites, tmp_path: Path) -> None:
    """Its root was overwritten, no pointer leads to it, and the replica lags: its parts tell that there was one."""
    (tmp_path / "new").write_bytes(b"new")
    vault = sites.trial.open()
    key = vault.handle.keys.names.snapshot_key(ASSET, vault.save(ASSET, tmp_path / "new").root.id)  # type: ignore[arg-type]
    for name in set(contents_of(sites.store)) - set(sites.contents):
        if name.startswith("refs/"):
            sites.store.delete(name)
    sites.store.put(key, next(data for name, data in sites.contents.items() if name.startswith(SNAPSHOTS)))
    done = repair(sites.trial.open().handle, [_second(sites)])
    assert key in done.plan.unmended and key in contents_of(sites.store)


def test_a_replica_does_not_decide_whose_signature_counts(sites: Sites, tmp_path: Path) -> None:
    """It was copied before a writer was revoked, who then saved there."""
    vault = sites.trial.open()
    writer = admit_writer(vault.handle, "writer")
    mirror(sites.store, sites.replica)
    revoke_signer(sites.trial.open().handle, "writer")
    (tmp_path / "planted").write_bytes(b"planted")
    planted = sites.trial.open(writer, store=sites.replica).save("planted", tmp_path / "planted", verify=False).root
    with pytest.raises(HoldfastError):
        sites.trial.open().with_replicas([sites.second()]).find(planted.id)


def test_a_salvage_leaves_out_only_what_is_gone_by_then(sites: Sites) -> None:
    for site, numbers in ((sites.store, slice(0, None, 2)), (sites.replica, slice(1, None, 2))):
        vault = sites.trial.open()
        for key in [key for key in sites.contents if key.startswith(PACKS)]:
            table = vault.handle.index.table(key.rpartition("/")[2])  # type: ignore[arg-type]
            assert table is not None
            for _, place in places_of(table, vault.handle.keys.suite, key)[numbers]:
                Flip(key, place.offset + 3).apply(site)
    handle = sites.trial.open().handle
    plan = plan_repair(handle, [_second(sites)])
    plan = plan._replace(salvage=[ChunkId(b"\1" * 32), *plan.salvage])
    done = apply_repair(handle, plan, Replicas(handle.keys.vault, [_second(sites)], handle.progress))
    assert len(done.failed) == 1 and not what_restores(sites).files


def test_a_medium_that_fails_is_stood_in_for(sites: Sites, tmp_path: Path) -> None:
    script = _When(
        lambda one: one.verb == "get" and one.key.startswith(PARTS),
        _raises(FailedError("Input/output error")),
        every=True,
    )
    vault = sites.trial.open(store=FaultyStore(sites.store, script))
    assert vault.restore(ASSET, tmp_path / "out", replicas=[sites.second()]).from_replicas


def test_each_restore_tells_of_its_own(sites: Sites, tmp_path: Path) -> None:
    packs = [key for key in sites.contents if key.startswith(PACKS)]
    for key in packs:
        Delete(key).apply(sites.store)
    vault = sites.trial.open().with_replicas([sites.second()])
    assert vault.restore(ASSET, tmp_path / "one").from_replicas
    put_back(sites.store, sites.contents)
    assert not vault.restore("vocabulary", tmp_path / "two").from_replicas


def test_neighbours_come_from_a_replica_with_one_request(tmp_path: Path) -> None:
    from numpy.random import default_rng

    from holdfast.testing.workspace import new_trial_vault

    with own_memory(tmp_path / "state"):
        trial, second = new_trial_vault(MemoryStore(name="near")), MemoryStore(name="far")
        (tmp_path / "file").write_bytes(default_rng(0).bytes(8 << 20))
        trial.open().save("file", tmp_path / "file")
        mirror(trial.store, second)
        for info in list(trial.store.list(PACKS)):
            trial.store.delete(info.key)
        far = FaultyStore(second, _When(lambda one: False, lambda: None))
        restored = trial.open().restore("file", tmp_path / "out", replicas=[trial.open(store=far)])
        chunks = restored.from_replicas[second.url].chunks
        assert (tmp_path / "out" / "file").read_bytes() == (tmp_path / "file").read_bytes()
        assert sum(one.verb == "get_ranges" for one in far.log) <= chunks // 2


def test_fetched_is_what_was_gone(sites: Sites) -> None:
    """The guards above do not keep an ordinary repair from its work."""
    gone = [key for key in sites.contents if key.startswith((PACKS, PARTS))][::3]
    for key in gone:
        Delete(key).apply(sites.store)
    done = repair(sites.trial.open().handle, [_second(sites)])
    assert {fix.key for fix in done.fixes if fix.how == FETCHED} == set(gone) and not done.failed
