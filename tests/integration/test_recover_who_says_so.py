"""Whose word counts in a recovery, and where it is recorded: plans that were edited, and logs at any one store."""

from __future__ import annotations

import json
import os
from pathlib import Path

import msgspec
import pytest
from numpy.random import default_rng

from holdfast.audit.entries import decode_leaf
from holdfast.clock import NANOSECONDS
from holdfast.config.finding import load_config
from holdfast.control.audit.audited_vault import recorded_on
from holdfast.control.audit.auditing import create_log, log_of
from holdfast.control.keys.key_files import export_keeper
from holdfast.control.recovering.intending import Wanted
from holdfast.control.recovering.opening import open_anywhere
from holdfast.control.recovering.plan_files import PlanFile, decode_plan_file, encode_plan_file, plan_file
from holdfast.control.recovering.recovering import Recoveries
from holdfast.control.sites.declared import DeclaredSites
from holdfast.control.sites.following import SiteFollower
from holdfast.control.sites.saving import declared_save
from holdfast.control.vaults.opening import create
from holdfast.errors import RefusedError, StoreUnreachableError
from holdfast.recovery.journal.entries import Deed
from holdfast.recovery.plans import Plan
from holdfast.recovery.running.progress import Progress
from holdfast.stores.protocol import Store

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
