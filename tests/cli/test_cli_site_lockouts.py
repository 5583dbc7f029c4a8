"""What people said of sites never locks anybody out: at a cut line each side says it of the other; several at once on
one machine; and somebody who may only add puts objects among the notices.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from terminal import Terminal, write_checkpoint
from test_cli_site_states import _Machine, machine, made  # noqa: F401 - fixtures

from holdfast.config.finding import load_config
from holdfast.control.sites.announcing import Announcing
from holdfast.control.sites.changing import apply_change, plan_change
from holdfast.control.sites.declared import DeclaredSites
from holdfast.control.sites.following import SiteFollower
from holdfast.control.sites.saving import declared_save
from holdfast.control.sites.states import Change, Condition
from holdfast.control.sites.telling import say, spread
from holdfast.errors import ConflictError, RefusedError
from holdfast.ids import new_snapshot_id
from holdfast.stores.local import LocalStore

SITES = ("use1", "euw4", "aps1")
Machines = Callable[[str], _Machine]


def _all_failed(machine: Machines) -> Terminal:  # noqa: F811
    """Each part of a network that fell into three said that another one had failed."""
    parts = [(machine(name).sites(), site) for name, site in zip(("one", "two", "three"), SITES, strict=True)]
    for sites, site in parts:
        say(sites, site, Condition.FAILED, "it is dark", "keeper")
    for sites, _ in parts:
        spread(sites)
    return machine("four").use()


def test_where_no_site_is_sound_everything_is_read_and_a_site_is_brought_back(machine: Machines) -> None:  # noqa: F811
    terminal = _all_failed(machine)
    terminal.ok("restore", "llama", "out")
    terminal.ok("site", "show", "use1")
    listed = terminal.json("site-list", "site", "list")["sites"]
    assert [(one["state"], one["homes"], one["copies"]) for one in listed] == [("failed", [], ["llama"])] * 3
    assert terminal.run("site", "status", "--check").code == 9
    synced = terminal.run("site", "sync")
    assert synced.code == 1
    assert "none of the sites of llama is sound" in synced.err
    refused = terminal.run("snapshot", "save", "ckpt", "--asset", "llama")
    assert refused.code == 5
    assert "holdfast site rebuild use1" in refused.err
    terminal.ok("site", "rebuild", "euw4", "--reason", "the line is back")
    write_checkpoint(terminal.folder / "ckpt", 2)
    saved = terminal.json("snapshot-save", "snapshot", "save", "ckpt", "--asset", "llama")["snapshot"]["id"]
    for site in ("use1", "aps1"):
        terminal.ok("site", "rebuild", site, "--reason", "the line is back")
    terminal.ok("site", "sync")
    for site in SITES:
        shown = terminal.json("snapshot-show", "snapshot", "show", "llama", "--vault", terminal.folder / site)
        assert shown["snapshot"]["id"] == saved


@pytest.mark.parametrize("lost", [("use1", "aps1"), SITES])
def test_stripes_with_too_few_sound_sites_are_read_and_brought_back(terminal: Terminal, lost: tuple[str, ...]) -> None:
    from test_cli_striped_sites import _FILE

    (terminal.folder / "holdfast.yaml").write_text(_FILE.format(folder=terminal.folder))
    write_checkpoint(terminal.folder / "ckpt", 1)
    terminal.ok("site", "create", "llama")
    terminal.ok("snapshot", "save", "ckpt", "--asset", "llama")
    sites = DeclaredSites(load_config("holdfast.yaml"), environment=dict(os.environ))
    for site in lost:
        say(sites, site, Condition.FAILED, "it is dark", "keeper")
    terminal.ok("restore", "llama", "out")
    before = {path: path.stat().st_mtime_ns for site in lost for path in (terminal.folder / site / "packs").rglob("*")}
    assert terminal.run("site", "sync").code == 1
    assert terminal.run("snapshot", "save", "ckpt", "--asset", "llama").code in (5, 8)
    assert before == {path: path.stat().st_mtime_ns for path in before}
    for site in lost:
        terminal.ok("site", "rebuild", site, "--reason", "the line is back")
    terminal.ok("snapshot", "save", "ckpt", "--asset", "llama")
    terminal.ok("site", "sync")


def test_a_save_hears_of_a_failure_that_was_said_on_its_own_machine(machine: Machines) -> None:  # noqa: F811
    bastion = machine("bastion")
    sites = bastion.sites()
    saving = declared_save(sites, "llama")
    [root] = [one.root for one in saving.vault.snapshots("llama")]
    bastion.use().ok("site", "fail", "use1", "--reason", "fire", "--force")
    assert root is not None
    with pytest.raises(RefusedError, match="its home changed: use1 is failed"):
        saving.committed(root)


def test_a_round_hears_of_a_failure_that_was_said_on_its_own_machine(machine: Machines) -> None:  # noqa: F811
    bastion = machine("bastion")
    following = bastion.sites()
    follower = SiteFollower(following, [following.asset("llama")], verify=False)
    stop, homes = threading.Event(), []

    def told(report: object) -> None:
        homes.append(follower.assets[0].home_site)
        if len(homes) == 2:
            stop.set()
            return
        sites = bastion.sites()
        apply_change(sites, plan_change(sites, "use1", Change.FAIL), "cut off", force=True)

    follower.run(0.0, stop, told)
    assert homes == ["use1", "euw4"]


def test_two_people_on_one_machine_do_not_give_up_two_sites(machine: Machines) -> None:  # noqa: F811
    one, two = machine("bastion").sites(), machine("bastion").sites()
    plans = [plan_change(sites, site, Change.FAIL) for sites, site in ((one, "use1"), (two, "euw4"))]
    said = [Announcing(sites, plan, "cut off", "keeper") for sites, plan in zip((one, two), plans, strict=True)]
    said[0].announce(Condition.FAILED)
    with pytest.raises(ConflictError, match="somebody else changed a site"):
        apply_change(two, plans[1], "cut off", force=True)
    said[1].announce(Condition.FAILED)  # both looked before either spoke
    with pytest.raises(ConflictError, match="is as before"):
        said[0].require_enough_left()
    said[1].require_enough_left()
    assert list(machine("bastion").sites().states) == ["euw4"]


def _flood(folder: Path, count: int, at_ns: int) -> None:
    (folder / "sites").mkdir(exist_ok=True)
    for number in range(count):
        (folder / "sites" / new_snapshot_id(at_ns + number * 10**6)).write_bytes(b"rubbish")


def test_objects_that_are_no_notices_hide_none(
    machine: Machines,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """More than are named, newer ones than the real one, at a store where each read takes long."""
    one, two = machine("one"), machine("two")
    terminal = one.use()
    terminal.ok("site", "fail", "use1", "--reason", "fire", "--force")
    now = one.sites().clock.now_ns()
    for site in SITES:
        _flood(terminal.folder / site, 60, now + 10**18)
    (terminal.folder / "euw4/sites" / new_snapshot_id(now)).write_bytes(bytes(1 << 20))  # is not even read
    real = LocalStore.get
    waiting = threading.Event()

    def slow(store: LocalStore, key: str) -> bytes:
        waiting.wait(0.02 if key.startswith("sites/") else 0)
        return real(store, key)

    monkeypatch.setattr(LocalStore, "get", slow)
    assert list(two.sites().states) == ["use1"]
    assert len([note for note in two.notes if "does not count" in note]) == 15
    assert any("nor do 55 more objects" in note for note in two.notes)


def test_more_than_can_be_looked_at_is_said(machine: Machines, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    from holdfast.control.sites import hearing

    monkeypatch.setattr(hearing, "_READ_MAX", 5)
    one, two = machine("one"), machine("two")
    terminal = one.use()
    terminal.ok("site", "fail", "use1", "--reason", "fire", "--force")
    for site in SITES:
        _flood(terminal.folder / site, 12, one.sites().clock.now_ns())
    following = two.sites()
    assert any("more objects under sites/ were not looked at" in note for note in two.notes)
    for _ in range(3):  # what was rubbish is looked at last: who asks again comes to the others
        following.learn()
    assert list(following.states) == ["use1"]


def test_a_store_where_something_else_took_a_notices_place_does_not_count_as_told(machine: Machines) -> None:  # noqa: F811
    one = machine("one")
    terminal = one.use()
    away = terminal.folder / "euw4"
    away.rename(terminal.folder / "away")
    away.touch()
    terminal.ok("site", "fail", "use1", "--reason", "fire", "--force")
    away.unlink()
    (terminal.folder / "away").rename(away)
    [name] = [path.name for path in (terminal.folder / "aps1/sites").iterdir()]
    (away / "sites").mkdir()
    (away / "sites" / name).write_bytes(b"rubbish")
    told = spread(one.sites())
    assert "use1 is failed: say it once more" in told.problems["euw4/warm"]
    assert set(told.places) == {"use1/warm", "aps1/warm"}
    done = terminal.json("site-change", "site", "fail", "use1", "--reason", "fire", "--force")
    assert done["untold"] == []


def test_who_said_otherwise_is_told_of_when_the_site_counts_as_sound(machine: Machines) -> None:  # noqa: F811
    one, two = machine("one"), machine("two")
    one.use().ok("site", "fail", "aps1", "--reason", "fire", "--force")
    sites, others = one.sites(), two.sites()
    say(sites, "aps1", Condition.FAILED, "fire again", "anna")
    say(others, "aps1", None, "it is back", "bela")
    spread(sites), spread(others)
    shown = machine("three").use().json("site-list", "site", "show", "aps1")["sites"][0]
    assert shown["state"] == ""
    assert "failed (fire again)" in shown["rivals"][0]


def test_no_force_makes_a_site_the_home_of_stripes_that_are_not_there(machine: Machines) -> None:  # noqa: F811
    terminal = machine("one").use()
    refused = terminal.run("site", "home", "aps1", "--reason", "why not", "--force")
    assert refused.code == 5
    assert "no stripes lie over aps1" in refused.out
    assert "no asset lies at" not in refused.out
