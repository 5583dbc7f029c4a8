"""The lever that stops all drills, at the stores: two machines, stores that are away, and what others put there."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from incident_world import NAMES, World

from holdfast.control.drilling import stopping
from holdfast.control.drilling.declared import plan_drill, run_drill
from holdfast.control.drilling.stop_notices import RELEASES, STOPS, Release, Stop
from holdfast.control.drilling.stopping import StoreLever, looking_at_stores, release_all, stop_all
from holdfast.control.incidents import documents
from holdfast.control.keys.key_files import export_writer
from holdfast.control.sites.declared import DeclaredSites
from holdfast.control.sites.following import SiteFollower
from holdfast.control.vaults.opening import create, open_on
from holdfast.drills.lever import Lever
from holdfast.errors import CredentialError, FailedError, PermissionDeniedError, RefusedError, StoreUnreachableError
from holdfast.stores.local import LocalStore
from holdfast.vault.format.documents import write_document
from holdfast.vault.format.header import Kind

RECOVERY = {"asset": "run", "strategy": "BACKUP_AND_RESTORE", "to": ["second"]}


@pytest.fixture(scope="module")
def module_world(tmp_path_factory: pytest.TempPathFactory) -> World:
    made = World(tmp_path_factory.mktemp("lever"))
    made.declare(
        recoveries={"back": RECOVERY}, drills={"weekly": {"recovery": "back", "level": "functional", "every": "7d"}}
    )
    return made


@pytest.fixture
def world(module_world: World) -> World:
    for name in NAMES:
        for prefix in (STOPS, RELEASES):
            for path in (module_world.folder / name / prefix).glob("*"):
                path.unlink()
    for machine in ("keeper", "ann"):
        for path in (module_world.folder / f"{machine}-STATE").rglob("*"):
            if path.is_file() and (path.name.startswith("STOP") or "automatic" in path.parts):
                path.unlink()
    return module_world


def _stopped(sites: DeclaredSites) -> str:
    return StoreLever(sites).look().why


def _lying(folder: Path, prefix: str) -> list[Path]:
    return sorted((folder / prefix).glob("*"))


def test_a_stop_counts_everywhere_until_a_keeper_releases_it(world: World) -> None:
    keeper, ann = world.machine("keeper"), world.machine("ann")
    done = stop_all(keeper, "an incident is open", ask=True)
    assert set(done.places) == {"home/warm", "second/warm", "third/warm"} and not done.silent
    assert not Lever(keeper.environment).path.exists()  # it ends with the release at the stores
    plan = plan_drill(ann, "weekly")
    assert [one.code for one in plan.refusals] == ["STOPPED"] and "an incident is open" in plan.refusals[0].reason
    with pytest.raises(RefusedError, match=r"STOPPED: drills are stopped: .* keeper: an incident is open"):
        run_drill(ann, "weekly")
    lifted = release_all(world.machine("ann"), "it is over", ask=True)
    assert lifted.stops == 1 and len(lifted.places) == 3
    assert not _stopped(world.machine("keeper")) and not Lever(keeper.environment).pulled()
    assert not plan_drill(ann, "weekly").refusals
    assert release_all(world.machine("ann")).stops == 0  # again: nothing to lift


def _away(verb: Callable[..., Any], folder: Path) -> Callable[..., Any]:
    def ask(store: LocalStore, *given: Any) -> Any:
        if str(folder) in store.url:
            raise StoreUnreachableError(f"{store.url} does not answer")
        return verb(store, *given)

    return ask


def test_one_store_is_enough_and_one_that_is_away_is_said(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    away = world.folder / "home"
    stop_all(world.machine("keeper"), "wait")
    for name in NAMES[1:]:  # it came to one store alone
        for path in _lying(world.folder / name, STOPS):
            path.unlink()
    ann = world.machine("ann")
    looked = StoreLever(ann).look(spread=True)
    assert looked.why.endswith("keeper: wait") and not looked.silent
    assert len(_lying(world.folder / "third", STOPS)) == 1  # brought to those that lacked it
    with monkeypatch.context() as patch:
        for verb in ("list", "get", "create"):
            patch.setattr(LocalStore, verb, _away(getattr(LocalStore, verb), away))
        looked = StoreLever(world.machine("ann")).look()
        assert looked.why and list(looked.silent) == ["home/warm"]
        released = release_all(world.machine("keeper"))
        assert released.stops == 1 and list(released.silent) == ["home/warm"]
    assert len(_lying(away, STOPS)) == 1 and not _lying(away, RELEASES)  # it missed the release
    assert not StoreLever(world.machine("ann")).look(spread=True).why
    assert len(_lying(away, RELEASES)) == 1


def test_what_was_heard_counts_while_no_store_answers(world: World) -> None:
    ann = world.machine("ann")
    stop_all(world.machine("keeper"), "wait")
    assert _stopped(ann)
    for name in NAMES:
        for path in _lying(world.folder / name, STOPS):
            path.unlink()
    assert _stopped(world.machine("ann")).endswith("wait")
    assert Lever(ann.environment, "acme").pulled() and not Lever(ann.environment, "other").pulled()


def test_an_old_release_lifts_no_newer_stop(world: World) -> None:
    keeper = world.machine("keeper")
    stop_all(keeper, "first")
    release_all(keeper)
    old = {path.name: path.read_bytes() for path in _lying(world.folder / "home", RELEASES)}
    stop_all(keeper, "second")
    for name in NAMES:  # shown again, under its own name and under a newer one
        for one, data in old.items():
            LocalStore(world.folder / name).create(f"{RELEASES}{'9' * 20}-{one[-12:]}", data)
    looked = StoreLever(world.machine("ann")).look()
    assert looked.why.endswith("second")


def test_who_may_pull_and_who_may_release(world: World) -> None:
    """A trainer's key pulls, where policies let its owner; it never releases."""
    vault = open_on(LocalStore(world.folder / "home"), environment=world.environment("keeper"))
    file = world.folder / "trainer.key"
    if not file.exists():
        export_writer(vault, "trainer", file)
        follower = world.machine("keeper")
        SiteFollower(follower, [follower.asset("run")]).run_round()  # the copies know the new member, too
    sites = world.machine("ann")
    sites.environment = {**sites.environment, "HOLDFAST_KEY_FILE": str(file)}
    with pytest.raises(PermissionDeniedError, match="stop the drills of"):
        stop_all(sites, "I say so", ask=True)
    assert Lever(sites.environment).pulled()  # here all the same
    Lever(sites.environment).release()
    assert not _stopped(world.machine("keeper"))
    stop_all(sites, "the policies let me")
    assert _stopped(world.machine("keeper")).endswith("trainer: the policies let me")
    with pytest.raises(CredentialError, match="letting drills begin again needs the keeper's key"):
        release_all(sites)
    keys = StoreLever(sites).vault.handle.keys
    [stop] = [path.name for path in _lying(world.folder / "home", STOPS)]
    made = Release(id=stop, by="trainer", at=1, reason="r", over=(stop,))
    data = write_document(keys, Kind.LEASE, f"{RELEASES}{stop}", msgspec.json.encode(made))
    LocalStore(world.folder / "home").create(f"{RELEASES}{stop}", data)
    assert _stopped(world.machine("keeper"))


def test_what_no_member_signed_stops_nothing(world: World, tmp_path: Path) -> None:
    environment = {**world.environment("stranger"), "HOLDFAST_KEY_FILE": str(tmp_path / "stranger.key")}
    stranger = create(str(tmp_path / "theirs"), environment=environment).vault
    name = documents.new_name(1)
    home = LocalStore(world.folder / "home")
    for by, key in (("stranger", name), ("keeper", name[:-1] + "0")):
        made = Stop(id=key, by=by, at=1, reason="r")
        home.put(
            f"{STOPS}{key}",
            write_document(stranger.handle.keys, Kind.LEASE, f"{STOPS}{key}", msgspec.json.encode(made)),
        )
    home.put(f"{STOPS}{documents.new_name(2)}", b"rubbish")
    keys = StoreLever(world.machine("ann")).vault.handle.keys
    key = documents.new_name(3)  # ann, in the keeper's name
    made = Stop(id=key, by="keeper", at=3, reason="r")
    home.put(f"{STOPS}{key}", write_document(keys, Kind.LEASE, f"{STOPS}{key}", msgspec.json.encode(made)))
    assert StoreLever(world.machine("ann")).look() == ("", {})


def test_a_store_that_hides_what_lies_there_stops(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    home = LocalStore(world.folder / "home")
    for number in range(5):
        home.put(f"{STOPS}{documents.new_name(number)}", b"rubbish")
    assert not _stopped(world.machine("ann"))
    monkeypatch.setattr(documents, "_LISTED_MAX", 5)
    assert "more objects than anybody would write" in _stopped(world.machine("ann"))
    with pytest.raises(RefusedError, match="cannot be read"):
        release_all(world.machine("keeper"))
    monkeypatch.undo()
    assert not _stopped(world.machine("ann"))
    stop_all(world.machine("keeper"), "wait")
    for name in NAMES[1:]:
        for path in _lying(world.folder / name, STOPS):
            path.unlink()
    read = LocalStore.get

    def get(store: LocalStore, key: str) -> bytes:
        if key.startswith(STOPS):
            raise StoreUnreachableError("it is listed, and does not come")
        return read(store, key)

    monkeypatch.setattr(LocalStore, "get", get)
    looked = StoreLever(world.machine("ann")).look()
    assert looked.why.endswith("cannot be read") and "home/warm" in looked.silent


def test_a_drill_under_way_hears_of_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stopping, "_EVERY_S", 0.02)
    keeper = world.machine("keeper")
    lever = Lever(keeper.environment, "acme")
    with looking_at_stores(StoreLever(keeper), lambda text: None):
        assert not lever.pulled()
        stop_all(world.machine("ann"), "stop")
        until = time.monotonic() + 60
        while not lever.pulled():
            assert time.monotonic() < until, "it was not heard of"
            time.sleep(0.01)
    assert lever.pulled().endswith("ann: stop")


def test_rubbish_under_the_name_of_a_stop_is_carried_nowhere(world: World) -> None:
    stop_all(world.machine("keeper"), "wait")
    [stop] = _lying(world.folder / "second", STOPS)
    for name in ("home", "third"):
        (world.folder / name / STOPS / stop.name).unlink()
    LocalStore(world.folder / "home").create(f"{STOPS}{stop.name}", b"rubbish")  # by whoever may only add
    assert StoreLever(world.machine("ann")).look(spread=True).why.endswith("keeper: wait")
    assert (world.folder / "third" / STOPS / stop.name).read_bytes() == stop.read_bytes()
    [kept] = (path for path in (world.folder / "ann-STATE").rglob(stop.name))
    assert kept.read_bytes() == stop.read_bytes()


def test_releases_among_a_flood_are_said(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    stop_all(world.machine("keeper"), "wait")
    release_all(world.machine("keeper"))
    home = LocalStore(world.folder / "home")
    for number in range(5):
        home.put(f"{RELEASES}{documents.new_name(number)}", b"rubbish" if number else bytes(1 << 18))
    monkeypatch.setattr(documents, "_LISTED_MAX", 5)  # one of them larger than anything that is read: it counts, too
    looked = StoreLever(world.machine("ann")).look()
    assert not looked.why and "more objects under automatic/releases/" in looked.silent["home/warm"]


def _full(path: Path, data: bytes) -> None:
    raise OSError(28, "No space left on device")


def test_a_full_disk_keeps_nobody_from_stopping_nor_from_hearing_of_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper, ann = world.machine("keeper"), world.machine("ann")
    with monkeypatch.context() as patch:
        patch.setattr("holdfast.drills.lever.replace_file", _full)
        assert len(stop_all(keeper, "now").places) == 3
        lever = Lever(ann.environment, "acme")
        assert not lever.pulled()
        with pytest.raises(FailedError, match="No space left"):
            StoreLever(ann).look()
        assert lever.pulled().endswith("keeper: now") and Lever(ann.environment).pulled()
    release_all(keeper)
    assert not _stopped(ann) and not lever.pulled()


def test_looking_goes_on_whatever_it_meets(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stopping, "_EVERY_S", 0.01)
    sites, told = world.machine("ann"), list[str]()
    store_lever, looks = StoreLever(sites), list[int]()
    look = store_lever.look

    def looked(*, spread: bool = False) -> stopping.Looked:
        looks.append(1)
        if len(looks) == 1:
            raise RuntimeError("can't start new thread")
        return look(spread=spread)

    monkeypatch.setattr(store_lever, "look", looked)
    with looking_at_stores(store_lever, told.append):
        until = time.monotonic() + 60
        while len(looks) < 3:
            assert time.monotonic() < until, "nobody looks any more"
            time.sleep(0.01)
    assert any("can't start new thread" in one for one in told)
