"""What one machine says of a site, and how the others come to know it: told, not told, at once, forged."""

from __future__ import annotations

import dataclasses
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from terminal import Terminal, write_checkpoint

from holdfast.config.finding import load_config
from holdfast.control.sites import telling
from holdfast.control.sites.announcing import Announcing
from holdfast.control.sites.changing import apply_change, plan_change
from holdfast.control.sites.declared import DeclaredSites
from holdfast.control.sites.saving import declared_save
from holdfast.control.sites.states import Change, Condition
from holdfast.control.sites.telling import say, spread
from holdfast.errors import ConflictError, FailedError, RefusedError, UntrustedError
from holdfast.vault.access.site_notices import notice_key, open_notice, seal_notice
from holdfast.vault.format.documents import write_document
from holdfast.vault.format.header import Kind
from holdfast.vault.format.keys import VaultKeys

SITES = ("use1", "euw4", "aps1")
_FILE = """\
version: 1
organisation: acme
sites:
  use1: {{cloud: aws, region: us-east-1, jurisdiction: US, stores: {{warm: {{url: {folder}/use1}}}}}}
  euw4: {{cloud: gcp, region: europe-west4, jurisdiction: EU, stores: {{warm: {{url: {folder}/euw4}}}}}}
  aps1: {{cloud: azure, region: japaneast, jurisdiction: JP, stores: {{warm: {{url: {folder}/aps1}}}}}}
assets:
  llama:
    class: training
    place: {{synchronous: [use1], asynchronous: [euw4, aps1]}}
"""
Notes = list[str]


class _Machine:
    """A machine with a memory of its own; keys and stores are those of all."""

    def __init__(self, terminal: Terminal, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.terminal, self.name, self._monkeypatch = terminal, name, monkeypatch
        self.notes: Notes = []

    def use(self) -> Terminal:
        """From now on commands run here."""
        for kind in ("STATE", "CACHE"):
            self._monkeypatch.setenv(f"XDG_{kind}_HOME", str(self.terminal.folder.parent / f"{self.name}-{kind}"))
        return self.terminal

    def sites(self) -> DeclaredSites:
        self.use()
        sites = DeclaredSites(load_config("holdfast.yaml"), environment=dict(os.environ), progress=_Noting(self.notes))
        sites.learn()
        return sites

    def state(self) -> str:
        """Of use1, as this machine knows it without asking anybody."""
        self.use()
        return str(self.terminal.json("site-list", "site", "list")["sites"][0]["state"])


class _Noting:
    def __init__(self, notes: Notes) -> None:
        self._notes = notes

    def phase(self, name: str, total_bytes: int | None) -> None: ...

    def advance(self, done_bytes: int, stored_bytes: int = 0) -> None: ...

    def note(self, message: str) -> None:
        self._notes.append(message)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Where the first test leaves what every test begins with: keys, and three sites with a snapshot of one asset."""
    return {"folder": tmp_path_factory.mktemp("made")}


@pytest.fixture
def machine(terminal: Terminal, made: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> Callable[[str], _Machine]:
    """Machines by name."""
    config, template = Path(os.environ["XDG_CONFIG_HOME"]), made["folder"]
    if not (template / "whole").exists():
        (terminal.folder / "holdfast.yaml").write_text(_FILE.format(folder=terminal.folder))
        write_checkpoint(terminal.folder / "ckpt", 1)
        terminal.ok("vault", "create", terminal.folder / "use1")
        terminal.ok("snapshot", "save", "ckpt", "--asset", "llama")
        terminal.ok("site", "sync", "--no-verify")
        shutil.copytree(terminal.folder, template / "work", symlinks=True)
        shutil.copytree(config, template / "config")
        (template / "whole").touch()
    else:
        shutil.copytree(template / "work", terminal.folder, symlinks=True, dirs_exist_ok=True)
        shutil.copytree(template / "config", config, dirs_exist_ok=True)
        (terminal.folder / "holdfast.yaml").write_text(_FILE.format(folder=terminal.folder))
    return lambda name: _Machine(terminal, name, monkeypatch)


def _notices(terminal: Terminal, site: str) -> set[str]:
    folder = terminal.folder / site / "sites"
    return {path.name for path in folder.iterdir()} if folder.exists() else set()


def test_another_machine_saves_to_the_next_home_once_one_was_told_of_a_failure(
    machine: Callable[[str], _Machine],
) -> None:
    first, second = machine("first"), machine("second")
    terminal = first.use()
    shutil.rmtree(terminal.folder / "use1")
    done = terminal.json("site-change", "site", "fail", "use1", "--reason", "fire in hall 3")
    assert (done["told"], done["untold"]) == (["euw4/warm", "aps1/warm"], [])
    assert (first.state(), second.state()) == ("failed", "")  # `site list` asks nobody
    write_checkpoint(terminal.folder / "ckpt", 2)
    saved = terminal.json("snapshot-save", "snapshot", "save", "ckpt", "--asset", "llama")
    assert not (terminal.folder / "use1").exists()
    found = terminal.json("snapshot-show", "snapshot", "show", "llama", "--vault", terminal.folder / "euw4")
    assert found["snapshot"]["id"] == saved["snapshot"]["id"]
    shown = terminal.json("site-list", "site", "show", "use1")["sites"][0]
    assert (shown["state"], shown["reason"], shown["by"], shown["rivals"]) == ("failed", "fire in hall 3", "keeper", [])
    assert second.state() == "failed"  # and it stays known when no store answers
    assert "failed since" in terminal.ok("site", "show", "use1").out
    terminal.ok("site", "rebuild", "use1", "--reason", "new racks")
    first.sites()
    assert (first.state(), second.state()) == ("", "")


def test_what_could_not_be_told_everywhere_is_brought_there_by_whoever_follows(
    machine: Callable[[str], _Machine],
) -> None:
    """A store that cannot take it when it is said, and another machine that has no part in it."""
    first, second = machine("first"), machine("second")
    terminal = first.use()
    in_the_way = terminal.folder / "aps1/sites"
    in_the_way.write_text("a file where a folder should be")
    done = terminal.json("site-change", "site", "fail", "use1", "--reason", "cut off", "--force")
    assert done["told"] == ["use1/warm", "euw4/warm"]  # the failed one, too: who reaches only it has to know
    assert len(done["untold"]) == 1 and done["untold"][0].startswith("aps1/warm: ")
    in_the_way.unlink()
    second.use().ok("site", "sync", "--no-verify")
    assert _notices(terminal, "aps1") == _notices(terminal, "euw4") != set()
    shutil.rmtree(terminal.folder / "euw4/sites")
    assert _Machine(terminal, "third", first._monkeypatch).sites().states["use1"].reason == "cut off"


def test_a_crash_between_two_stores_delays_and_loses_nothing(
    machine: Callable[[str], _Machine], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = machine("first"), machine("second")
    written: list[str] = []
    create_once = telling.create_once

    def dying(store: object, key: str, data: bytes) -> bool:
        if written:
            raise FailedError("the process died here")
        written.append(key)
        return create_once(store, key, data)  # type: ignore[arg-type]

    sites = first.sites()
    with monkeypatch.context() as patched:
        patched.setattr(telling, "create_once", dying)
        patched.setattr(telling, "_keep", lambda *_: None)
        say(sites, "use1", Condition.FAILED, "fire", "keeper")
        sites.forget_states()
        told = spread(sites)
    assert len(told.problems) == 2 and len(written) == 1
    assert second.sites().states["use1"].condition is Condition.FAILED
    second.terminal.ok("site", "sync", "--no-verify")
    assert all(_notices(second.terminal, site) == {written[0].rpartition("/")[2]} for site in ("euw4", "aps1"))


def test_no_pointer_moves_at_a_home_that_failed_while_a_save_ran(machine: Callable[[str], _Machine]) -> None:
    trainer, operator = machine("trainer").sites(), machine("operator")
    saving = declared_save(trainer, "llama")
    before = saving.vault.find("llama").id
    operator.use().ok("site", "fail", "use1", "--reason", "cut off", "--force")
    write_checkpoint(operator.terminal.folder / "ckpt", 2)
    with pytest.raises(RefusedError, match=r"its home changed: use1 is failed since .*\(cut off\)"):
        saving.vault.save("llama", operator.terminal.folder / "ckpt", committed=saving.committed)
    assert saving.vault.find("llama").id == before
    assert declared_save(trainer, "llama").asset.home_site == "euw4"


def test_a_round_that_goes_on_hears_of_it(machine: Callable[[str], _Machine]) -> None:
    from holdfast.control.sites.following import SiteFollower

    following, operator = machine("following").sites(), machine("operator")
    follower = SiteFollower(following, [following.asset("llama")], verify=False)
    stop, rounds = threading.Event(), []

    def told(report: object) -> None:
        rounds.append(follower.assets[0].home_site)
        if len(rounds) == 1:
            sites = operator.sites()
            apply_change(sites, plan_change(sites, "use1", Change.FAIL), "cut off", force=True)
        else:
            stop.set()

    follower.run(0.0, stop, told)
    assert rounds == ["use1", "euw4"]
    assert all("use1" not in name for name in follower.assets[0].route.stores)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_of_two_who_give_up_two_sites_at_once_one_takes_it_back(
    machine: Callable[[str], _Machine], order: tuple[int, int]
) -> None:
    """Each plan leaves the two copies that are owed; both together do not. Whoever looks first takes it back."""
    one, two = machine("one").sites(), machine("two").sites()
    said = []
    for sites, site in ((one, "use1"), (two, "euw4")):
        said.append(Announcing(sites, plan_change(sites, site, Change.FAIL), "cut off", "keeper"))
    said[0].announce(Condition.FAILED)
    said[1].announce(Condition.FAILED)
    early, late = (said[number] for number in order)
    with pytest.raises(ConflictError, match="is as before: llama would have too few sites left"):
        early.require_enough_left()
    late.require_enough_left()
    for sites in (one, two, machine("three").sites()):
        sites.learn()
        assert list(sites.states) == [late.plan.site]


def test_two_operators_truly_at_once_never_give_up_both_sites(machine: Callable[[str], _Machine]) -> None:
    for _ in range(3):
        both = [machine(name).sites() for name in ("one", "two")]
        plans = [plan_change(sites, site, Change.FAIL) for sites, site in zip(both, ("use1", "euw4"), strict=True)]
        ready, came = threading.Barrier(2), []

        def give_up(number: int, both: object = both, plans: object = plans, ready: object = ready) -> None:
            ready.wait()  # type: ignore[attr-defined]
            try:
                apply_change(both[number], plans[number], "cut off", force=True)  # type: ignore[index]
                came.append("done")  # noqa: B023 - all threads of a round end in it
            except ConflictError:
                came.append("taken back, or not begun")  # noqa: B023

        threads = [threading.Thread(target=give_up, args=(number,)) for number in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        after = machine("three").sites()
        assert len(came) == 2
        assert came.count("done") == len(after.states) <= 1
        for site in after.states:
            assert apply_change(after, plan_change(after, site, Change.REBUILD), "back", force=True).settled


def test_a_plan_of_before_is_not_carried_out(machine: Callable[[str], _Machine]) -> None:
    one, two = machine("one").sites(), machine("two").sites()
    first, second = plan_change(one, "aps1", Change.FAIL), plan_change(two, "aps1", Change.DRAIN)
    apply_change(one, first, "fire", force=True)
    with pytest.raises(ConflictError, match="somebody else changed a site since this was planned"):
        apply_change(two, second, "saving money", force=True)
    assert two.states["aps1"].condition is Condition.FAILED


def test_a_site_that_fails_while_it_is_rebuilt_stays_failed(machine: Callable[[str], _Machine]) -> None:
    one, two = machine("one"), machine("two")
    one.use().ok("site", "fail", "aps1", "--reason", "fire", "--force")
    sites, other = one.sites(), two.sites()
    said = Announcing(sites, plan_change(sites, "aps1", Change.REBUILD), "new racks", "keeper")
    said.announce(Condition.REBUILDING)
    other.learn()
    apply_change(other, plan_change(other, "aps1", Change.FAIL), "fire again", force=True)
    with pytest.raises(ConflictError, match=r"meanwhile: it is failed since .*\(fire again\)"):
        said.require_unchanged()
    assert sites.states["aps1"].reason == "fire again"


def test_of_two_who_did_not_know_of_each_other_the_newer_counts_and_both_are_told_of(
    machine: Callable[[str], _Machine],
) -> None:
    """Two halves of a partition; afterwards every machine says the same, and one more word settles it."""
    one, two, three = machine("one"), machine("two"), machine("three")
    sites, others = one.sites(), two.sites()
    say(sites, "aps1", Condition.FAILED, "it is dark", "anna")
    say(others, "aps1", Condition.DRAINING, "it is dear", "bela")
    spread(sites), spread(others)
    seen = [each.sites().states["aps1"] for each in (one, two, three)]
    assert {(state.condition, state.reason) for state in seen} == {(Condition.DRAINING, "it is dear")}
    assert all("said that it was failed (it is dark)" in state.rivals[0] for state in seen)
    assert "without knowing of it" in three.use().ok("site", "show", "aps1").out.replace("\n" + " " * 11, " ")
    three.terminal.ok("site", "fail", "aps1", "--reason", "it is dark indeed", "--force")
    assert one.sites().states["aps1"].rivals == ()


def test_nobody_but_a_keeper_can_say_that_a_site_failed(
    machine: Callable[[str], _Machine], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A writer's signature, a notice under another name, flipped bits, rubbish: none counts, each is told of."""
    one, two = machine("one"), machine("two")
    terminal = one.use()
    sites = one.sites()
    notice = say(sites, "use1", Condition.FAILED, "because I say so", "keeper")
    sealed = seal_notice(sites.open_at("euw4/warm").handle.keys, notice)
    terminal.ok("key", "export-writer", "trainer", "--vault", terminal.folder / "euw4", "--to", "trainer.key")
    with monkeypatch.context() as patched:
        patched.setenv("HOLDFAST_KEY_FILE", str(terminal.folder / "trainer.key"))
        writer = one.sites().open_at("euw4/warm").handle.keys
    folder = terminal.folder / "euw4/sites"
    folder.mkdir()
    names = [f"{notice.id[:-2]}{end}" for end in ("zx", "zy", "zz")]
    (folder / notice.id).write_bytes(_flipped(sealed))
    (folder / names[0]).write_bytes(sealed)
    (folder / names[1]).write_bytes(b"rubbish")
    signed = msgspec.msgpack.encode(msgspec.structs.replace(notice, id=names[2]))
    (folder / names[2]).write_bytes(write_document(writer, Kind.LEASE, notice_key(names[2]), signed))
    (folder / "more rubbish").write_bytes(b"rubbish")
    assert two.sites().states == {}
    assert sum("does not count" in note for note in two.notes) == 4
    (folder / notice.id).write_bytes(sealed)
    assert list(two.sites().states) == ["use1"]


def test_what_a_keeper_says_after_it_was_revoked_does_not_count(machine: Callable[[str], _Machine]) -> None:
    sites = machine("one").sites()
    keys = sites.open_at("euw4/warm").handle.keys
    notice = say(sites, "use1", Condition.FAILED, "because I say so", "keeper")
    sealed = seal_notice(keys, notice)

    def revoked(at: int) -> VaultKeys:
        signers = [msgspec.structs.replace(one, revoked=at) for one in keys.config.signers]
        return dataclasses.replace(keys, config=msgspec.structs.replace(keys.config, signers=signers))

    assert open_notice(revoked(notice.at + 1), notice_key(notice.id), sealed).site == "use1"
    with pytest.raises(UntrustedError, match="after that keeper was revoked"):
        open_notice(revoked(notice.at), notice_key(notice.id), sealed)
    backdated = revoked(notice.at + 10)  # by its own date it is older; by that of the store that took it, it is not
    assert open_notice(backdated, notice_key(notice.id), sealed, notice.at + 9).site == "use1"
    with pytest.raises(UntrustedError, match="after that keeper was revoked"):
        open_notice(backdated, notice_key(notice.id), sealed, notice.at + 10)


def _flipped(data: bytes) -> bytes:
    flipped = bytearray(data)
    flipped[len(flipped) // 2] ^= 1
    return bytes(flipped)


def test_who_may_only_add_hears_of_it_and_cannot_say_it(
    machine: Callable[[str], _Machine], monkeypatch: pytest.MonkeyPatch
) -> None:
    operator, trainer = machine("operator"), machine("trainer")
    terminal = operator.use()
    terminal.ok("key", "export-writer", "trainer", "--vault", terminal.folder / "use1", "--to", "trainer.key")
    write_checkpoint(terminal.folder / "ckpt", 3)
    terminal.ok("snapshot", "save", "ckpt", "--asset", "llama")
    terminal.ok("site", "sync", "--no-verify")  # brings the new member to the other sites, too
    terminal.ok("site", "fail", "use1", "--reason", "cut off", "--force")
    trainer.use()
    monkeypatch.setenv("HOLDFAST_KEY_FILE", str(terminal.folder / "trainer.key"))
    write_checkpoint(terminal.folder / "ckpt", 2)
    saved = terminal.json("snapshot-save", "snapshot", "save", "ckpt", "--asset", "llama")["snapshot"]["id"]
    monkeypatch.delenv("HOLDFAST_KEY_FILE")
    found = terminal.json("snapshot-show", "snapshot", "show", "llama", "--vault", terminal.folder / "euw4")
    assert found["snapshot"]["id"] == saved
    monkeypatch.setenv("HOLDFAST_KEY_FILE", str(terminal.folder / "trainer.key"))
    refused = terminal.run("site", "fail", "aps1", "--reason", "I say so", "--force")
    assert refused.code == 7


def test_a_store_that_hangs_is_not_waited_for_twice_and_holds_one_thread(
    machine: Callable[[str], _Machine], monkeypatch: pytest.MonkeyPatch
) -> None:
    sites = machine("one").sites()
    release, asked = threading.Event(), []
    real = telling.places_of(sites)

    class Hanging:
        url, identity = "memory://hangs", "hangs"

        def list(self, prefix: str, after: str = "") -> object:
            asked.append(prefix)
            release.wait()
            return iter(())

    hanging = telling.Place("aps1/warm", "", Hanging())  # type: ignore[arg-type]
    monkeypatch.setattr(telling, "places_of", lambda _: [*real[:2], hanging])
    try:
        assert not telling.learn(sites, 0.2)
        assert not telling.learn(sites, 0.2)
        assert len(asked) == 1
        assert "earlier question" in spread_problem(sites, 0.1)
    finally:
        release.set()


def spread_problem(sites: DeclaredSites, patience_s: float) -> str:
    say(sites, "aps1", Condition.FAILED, "it hangs", "keeper")
    told = spread(sites, patience_s)
    return told.problems["aps1/warm"]
