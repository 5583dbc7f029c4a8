"""Whose word counts in a recovery, and where it is recorded: plans that were edited, and logs at any one store."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from numpy.random import default_rng

from holdfast.audit.entries import decode_leaf
from holdfast.authority.principals import Grant, Principal
from holdfast.clock import NANOSECONDS, SYSTEM_CLOCK
from holdfast.config.finding import load_config
from holdfast.control.audit.audited_vault import recorded_on
from holdfast.control.audit.auditing import create_log, log_of
from holdfast.control.authority.acting import acting_as
from holdfast.control.keys.key_files import export_keeper
from holdfast.control.recovering.intending import Wanted
from holdfast.control.recovering.opening import open_anywhere
from holdfast.control.recovering.plan_files import PlanFile, decode_plan_file, encode_plan_file, plan_file
from holdfast.control.recovering.recovering import Recoveries
from holdfast.control.sites.declared import DeclaredSites
from holdfast.control.sites.following import SiteFollower
from holdfast.control.sites.saving import declared_save
from holdfast.control.vaults.opening import create, open_at
from holdfast.errors import RefusedError, StoreUnreachableError
from holdfast.recovery.journal.entries import Deed
from holdfast.recovery.plans import Plan
from holdfast.recovery.running.progress import Progress
from holdfast.replication.following.views import SiteStore
from holdfast.stores.protocol import Store
from holdfast.vault.access.members import revoke_signer

_SITES = ("a", "b", "c")


def quiet(plan: Plan, progress: Progress) -> None: ...


class World:
    """Three sites, a snapshot at all of them, and the keys of keeper, ann and bela."""

    def __init__(self, folder: Path, *, approvers: int = 1) -> None:
        self.folder = folder
        stores = {name: {"warm": {"url": str(folder / name)}} for name in _SITES}
        sites = {
            name: {"cloud": "onprem", "region": name, "jurisdiction": "EU", "stores": stores[name]} for name in _SITES
        }
        asset = {
            "class": "training",
            "save_every": "30min",
            "place": {"synchronous": ["a"], "asynchronous": ["b", "c"]},
        }
        back = {"asset": "run", "strategy": "BACKUP_AND_RESTORE", "to": ["b"], "approvers": approvers}
        file = {
            "version": 1,
            "organisation": "acme",
            "sites": sites,
            "assets": {"run": asset},
            "recoveries": {"back": back},
        }
        (folder / "holdfast.yaml").write_text(json.dumps(file))
        made = create(str(folder / "a"), environment=dict(os.environ))
        for name in ("ann", "bela"):
            export_keeper(made.vault, name, folder / f"{name}.key")
        sites_now = self.sites()
        saving = declared_save(sites_now, "run")
        saving.vault.save("run", {"w": default_rng(1).normal(size=256).astype("<f4")}, committed=saving.committed)
        assert SiteFollower(sites_now, [sites_now.asset("run")]).run_round().settled

    def sites(self, who: str = "") -> DeclaredSites:
        named = {"HOLDFAST_KEY_FILE": str(self.folder / f"{who}.key")} if who else {}
        return DeclaredSites(load_config(self.folder / "holdfast.yaml"), dict(os.environ) | named)

    def as_(self, who: str = "") -> Recoveries:
        return Recoveries(self.sites(who))


@pytest.fixture(autouse=True)
def _homes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in ("CONFIG", "STATE", "CACHE"):
        monkeypatch.setenv(f"XDG_{kind}_HOME", str(tmp_path / kind))


def _edited(file: PlanFile, **changes: object) -> PlanFile:
    """As somebody edits the file: its run is named anew, so that it holds together."""
    intent = msgspec.structs.replace(file.plan.intent, **changes)
    made = plan_file(msgspec.structs.replace(file.plan, intent=intent), file.journal, file.target)
    return decode_plan_file(encode_plan_file(made), "edited.json")


def test_nobody_approves_their_own_plan_under_another_name(tmp_path: Path) -> None:
    """The file says that bela asked; keeper edited it, approves it and runs it: bela never signed anything."""
    world = World(tmp_path)
    forged = _edited(world.as_().plan(Wanted("back")), by="bela")
    world.as_().approve(forged, 600)
    with pytest.raises(RefusedError, match="bela never signed that they asked"):
        world.as_().run(forged, str(tmp_path / "back"), quiet)
    review = world.as_("ann").review(forged)
    assert [one.code for one in review.refusals] == ["INITIATOR_UNKNOWN"]
    assert not (tmp_path / "back").exists() and not world.as_().status(forged.run).state.owner


def test_who_asked_says_so_though_the_approver_was_first(tmp_path: Path) -> None:
    world = World(tmp_path)
    file = world.as_("bela").plan(Wanted("back"))
    world.as_("ann").approve(file, 600)
    with pytest.raises(RefusedError, match="bela never signed"):
        world.as_().run(file, str(tmp_path / "back"), quiet)
    assert [one.code for one in world.as_().review(file).refusals] == ["INITIATOR_UNKNOWN"]
    assert world.as_("bela").review(file).passed, "bela would sign by running it"
    assert world.as_("bela").propose(file) == file.run
    assert world.as_("bela").propose(file) == file.run, "it is said once"
    done = world.as_().run(file, str(tmp_path / "back"), quiet)
    assert done.state.verdict == "PASSED" and done.state.asked_by == ("ann", "bela") and not done.state.ignored
    assert [entry.by for entry in done.entries if entry.deed is Deed.ASKED] == ["bela"]


def test_fewer_approve_than_is_declared(tmp_path: Path) -> None:
    """Neither by editing the number, nor by naming the asset in place of its recovery."""
    world = World(tmp_path, approvers=2)
    assert world.as_().plan(Wanted("run")).plan.intent.approvers == 2
    file = _edited(world.as_().plan(Wanted("back")), approvers=1)
    world.as_("ann").approve(file, 600)
    with pytest.raises(RefusedError, match="NOT_APPROVED: 1 of 2"):
        world.as_().run(file, str(tmp_path / "back"), quiet)
    world.as_("bela").approve(file, 600)
    assert world.as_().run(file, str(tmp_path / "back"), quiet).state.verdict == "PASSED"


@pytest.mark.parametrize("at", _SITES)
def test_what_is_done_is_recorded_wherever_the_log_lies(tmp_path: Path, at: str) -> None:
    """Whichever store was opened first, and though the site with the log is the one that is fenced."""
    world = World(tmp_path)
    create_log(world.sites().open_at(f"{at}/warm").handle, origin="acme.example/log")
    file = world.as_().plan(Wanted("back"))
    world.as_("ann").approve(file, 600)
    assert world.as_().run(file, str(tmp_path / "back"), quiet).state.verdict == "PASSED"
    log = log_of(world.sites().open_at(f"{at}/warm").handle)
    log.sequence()
    said = [decode_leaf(data, str(place)).entry for place, data in log.entries()]
    recorded = [(one.action, one.actor.label, one.outcome) for one in said]
    assert ("approve", "ann", "done") in recorded and ("recover.run", "keeper", "done") in recorded
    assert [one for one in recorded if one[0] == "site.change"] == [("site.change", "keeper", "done")]


def test_where_a_log_may_lie_that_nobody_could_look_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run goes on, and says that what it does may not be recorded."""
    world = World(tmp_path)
    notes: list[str] = []

    class Notes:
        def phase(self, name: str, total_bytes: int | None) -> None: ...
        def advance(self, done_bytes: int, stored_bytes: int = 0) -> None: ...
        def note(self, message: str) -> None:
            notes.append(message)

    def asked(store: Store) -> bool:
        if store.url.endswith("/c"):
            raise StoreUnreachableError("cut off")
        return False

    monkeypatch.setattr("holdfast.control.recovering.opening._has_log", asked)
    declared = world.sites()
    sites = DeclaredSites(declared.loaded, declared.environment, declared.clock, Notes())
    monkeypatch.setattr(
        "holdfast.control.recovering.opening.first_of", lambda stores, work: ("a", work(stores["a/warm"]))
    )
    vault = open_anywhere(sites, [sites.asset("run")])
    with recorded_on(vault, "recover.run"):
        pass
    assert [one for one in notes if "may not be recorded (c/warm: cut off)" in one] and len(notes) == 1


def test_a_plan_that_says_how_long_it_is_fresh(tmp_path: Path) -> None:
    """Whatever is written there, nobody's facts count for more than an hour."""
    world = World(tmp_path)
    made = world.as_().plan(Wanted("back"))
    old = made.plan.facts_at - 2 * 3600 * NANOSECONDS
    plan = msgspec.structs.replace(made.plan, facts_at=old, fresh_until=made.plan.fresh_until + 10**18)
    review = world.as_().review(plan_file(plan, made.journal))
    assert "PLAN_STALE" in [one.code for one in review.refusals]


def test_what_is_no_run_hides_none(tmp_path: Path) -> None:
    """Whoever can write to a store puts newer objects there under names like those of runs."""
    world = World(tmp_path)
    file = world.as_().plan(Wanted("back"))
    world.as_().propose(file)
    for number in range(30):
        (tmp_path / "a" / "runs" / f"{number:020x}").mkdir(parents=True)
        (tmp_path / "a" / "runs" / f"{number:020x}" / f"{0:010d}").write_bytes(b"rubbish")
    assert [one.run for one in world.as_().runs(5)] == [file.run]


def test_nobody_approves_by_signing_in_what_they_asked_for_with_a_key(tmp_path: Path) -> None:
    """Where nothing says whose the key and the login are, they may be one person's: that is refused, and said."""
    world = World(tmp_path)

    def as_login(person: str) -> AbstractContextManager[None]:
        return acting_as(
            Principal(
                kind="User", id=person, name=person, person=f"user:idp#{person}", how="", grants=(Grant("owner"),)
            )
        )

    def declare(people: dict[str, list[str]]) -> None:
        said = json.loads((tmp_path / "holdfast.yaml").read_text())
        said |= {"serve": {"vouches": ["keeper"]}, "identity": {"people": people}}
        (tmp_path / "holdfast.yaml").write_text(json.dumps(said))

    declare({})
    file = world.as_("ann").plan(Wanted("back"))
    world.as_("ann").begin(file)
    for person in ("ann", "bela"):
        with as_login(person), pytest.raises(RefusedError, match="may be ann, who asked") as caught:
            world.as_().approve(file, 600)
        wanted = f'identity: {{people: {{PERSON-1: ["key:ann"], PERSON-2: ["user:idp#{person}"]}}}}'
        assert f"`{wanted}`" in caught.value.hint, "what to write, to the letter"
    declare({"ann": ["key:ann", "user:idp#ann"], "bela": ["key:bela", "user:idp#bela"]})
    with as_login("ann"), pytest.raises(RefusedError, match="asked for this recovery"):
        world.as_().approve(file, 600)
    with as_login("bela"):
        world.as_().approve(file, 600)
    assert not {one.code for one in world.as_("ann").review(file).refusals} & {"NOT_APPROVED"}
    declare({"ann": ["key:ann"]})  # what counted does so no more, once nobody knows who that login is
    said = {one.code: one.change for one in world.as_("ann").review(file).refusals}
    assert '`identity: {people: {PERSON-1: ["user:idp#bela"]}}`' in said["APPROVER_MAY_BE_INITIATOR"]


def test_an_approval_of_a_key_that_was_revoked_since_does_not_count(tmp_path: Path) -> None:
    """Neither when the run begins, nor when somebody goes on with it; also where this machine's store lies behind."""
    world = World(tmp_path)
    file = world.as_().plan(Wanted("back"))
    world.as_("ann").approve(file, 3600)
    assert not world.as_().review(file).refusals
    revoke_signer(open_at(str(tmp_path / "a")).handle, "ann")  # and no other store has heard of it
    assert {one.code for one in world.as_().review(file).refusals} == {"APPROVER_REVOKED"}
    with pytest.raises(RefusedError, match="was revoked since"):
        world.as_().run(file, str(tmp_path / "back"), quiet)
    assert not (tmp_path / "back").exists()
    world.as_("bela").approve(file, 3600)
    assert world.as_().run(file, str(tmp_path / "back"), quiet).state.verdict == "PASSED"


class _Dies(BaseException):
    """The control plane is gone at this moment."""


@pytest.mark.parametrize("goes_on", ["adopt", "resume"])
def test_who_goes_on_with_a_run_needs_approvals_that_still_count(tmp_path: Path, goes_on: str) -> None:
    world = World(tmp_path)
    file = world.as_().plan(Wanted("back"))
    world.as_("ann").approve(file, 3600)

    def dies(plan: Plan, progress: Progress) -> None:
        if progress.done == 2:
            raise _Dies

    with pytest.raises(_Dies):
        world.as_().run(file, str(tmp_path / "back"), dies)
    revoke_signer(open_at(str(tmp_path / "b")).handle, "ann")

    def again() -> None:
        if goes_on == "adopt":
            assert world.as_().adopt(file.run, "", quiet).state.verdict == "PASSED"
        else:
            world.as_().say(file.run, Deed.RESUMED)

    with pytest.raises(RefusedError, match="the key of ann was revoked since"):
        again()
    assert world.as_().status(file.run).state.taken == 1
    world.as_("bela").approve(file, 3600)
    again()


def test_a_run_whose_approver_was_revoked_can_be_taken_back(tmp_path: Path) -> None:
    world = World(tmp_path)
    file = world.as_().plan(Wanted("back"))
    world.as_("ann").approve(file, 3600)

    def dies(plan: Plan, progress: Progress) -> None:
        if progress.done == 2:
            raise _Dies

    with pytest.raises(_Dies):
        world.as_().run(file, str(tmp_path / "back"), dies)
    revoke_signer(open_at(str(tmp_path / "b")).handle, "ann")
    world.as_().say(file.run, Deed.STOPPED)
    assert world.as_().adopt(file.run, "", quiet).state.verdict == "STOPPED"
    assert not (tmp_path / "back").exists()


class _Away(DeclaredSites):
    """Stores that answer nothing while `away`; each look of a follower is followed by the next of `events`."""

    away = False
    events: list[Callable[[], object]]

    def store(self, name: str, priority: int = 0) -> SiteStore:
        opened = super().store(name)
        return opened._replace(store=_Behind(self, opened.store))  # type: ignore[arg-type]

    def now_ns(self) -> int:
        return SYSTEM_CLOCK.now_ns()

    def monotonic(self) -> float:
        return SYSTEM_CLOCK.monotonic()

    def sleep(self, seconds: float) -> None:
        self.events.pop(0)()


class _Behind:
    def __init__(self, sites: _Away, store: Store) -> None:
        self._sites, self._store = sites, store

    def __getattr__(self, name: str) -> Any:
        if self._sites.away and name in ("get", "get_ranges", "head", "list", "create", "put"):
            raise StoreUnreachableError("the line is cut")
        return getattr(self._store, name)


def test_who_follows_a_run_is_told_once_that_stores_are_silent(tmp_path: Path) -> None:
    world = World(tmp_path)
    file = world.as_().plan(Wanted("back"))
    world.as_("ann").approve(file, 3600)
    sites = _Away(load_config(tmp_path / "holdfast.yaml"), dict(os.environ))
    sites.clock = sites

    def turn(away: bool) -> None:
        sites.away = away

    sites.events = [
        lambda: turn(True),
        lambda: None,
        lambda: turn(False),
        lambda: world.as_().run(file, str(tmp_path / "back"), quiet),
    ]
    told: list[str] = []
    seen: list[str] = []
    done = Recoveries(sites, told=told.append).follow(file.run, lambda plan, state: seen.append(state.word))
    assert done.state.verdict == "PASSED" and seen == ["planned"] * 4 + ["PASSED"]
    assert [line.partition(f" {file.run}")[0] for line in told] == [
        "nothing new is known of",
        "the stores say again how",
    ]
