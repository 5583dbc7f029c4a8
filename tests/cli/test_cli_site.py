"""`holdfast site`, and saves that go where `holdfast.yaml` says."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from terminal import Terminal, write_checkpoint

from holdfast.cli.facts.sites import synced_facts
from holdfast.config.finding import load_config
from holdfast.control.sites.declared import DeclaredSites
from holdfast.control.sites.following import SiteFollower
from holdfast.control.sites.spreading import SiteCarriers
from holdfast.errors import UsageError
from holdfast.fanout.threads import ThreadFanout

_FILE = """\
version: 1
organisation: acme
sites:
  use1:
    cloud: aws
    region: us-east-1
    jurisdiction: US
    stores: {{warm: {{url: {folder}/use1}}}}
  euw4:
    cloud: gcp
    region: europe-west4
    jurisdiction: EU
    stores: {{warm: {{url: {folder}/euw4}}}}
  aps1:
    cloud: azure
    region: japaneast
    jurisdiction: JP
    stores: {{warm: {{url: {folder}/aps1}}}}
assets:
  llama-pretrain:
    class: training
    place: {{synchronous: [use1], asynchronous: [euw4]}}
  llama-weights:
    class: weights
    immutable: false
    place: {{synchronous: [use1, euw4, aps1], quorum: 2}}
"""


@pytest.fixture
def declared(terminal: Terminal) -> Path:
    """Three sites in folders, and a vault at the first."""
    path = terminal.folder / "holdfast.yaml"
    path.write_text(_FILE.format(folder=terminal.folder))
    write_checkpoint(terminal.folder / "ckpt", 1)
    terminal.ok("vault", "create", str(terminal.folder / "use1"))
    return path


def _save(terminal: Terminal, asset: str) -> str:
    saved = terminal.json("snapshot-save", "snapshot", "save", "ckpt", "--asset", asset)
    return str(saved["snapshot"]["id"])


def test_sites_are_listed_without_asking_them(terminal: Terminal, declared: Path) -> None:
    listed = terminal.json("site-list", "site", "list")
    assert [site["name"] for site in listed["sites"]] == ["use1", "euw4", "aps1"]
    assert listed["sites"][0]["homes"] == ["llama-pretrain", "llama-weights"]
    assert listed["sites"][2]["copies"] == ["llama-weights"]
    assert listed["sites"][0]["stores"][0]["answers"] is None


def test_a_site_says_what_its_stores_hold(terminal: Terminal, declared: Path) -> None:
    _save(terminal, "llama-pretrain")
    shown = terminal.json("site-list", "site", "show", "use1")
    assert shown["sites"][0]["stores"][0]["answers"] is True
    assert shown["sites"][0]["stores"][0]["snapshots"] == 1
    assert terminal.run("site", "show", "use2").code == 3


def test_a_save_of_what_owes_two_sites_is_at_two_when_it_returns(terminal: Terminal, declared: Path) -> None:
    done = terminal.run("snapshot", "save", "ckpt", "--asset", "llama-weights")
    assert done.code == 0
    assert " at use1 and " in done.err
    status = terminal.json("site-status", "site", "status", "--asset", "llama-weights")
    holding = [one["store"] for one in status["arrivals"] if one["there"] == 1]
    assert len(holding) >= 2


def test_a_save_below_its_quorum_fails_and_moves_nothing(terminal: Terminal, declared: Path) -> None:
    first = _save(terminal, "llama-weights")
    for site in ("euw4", "aps1"):
        shutil.rmtree(terminal.folder / site, ignore_errors=True)
        (terminal.folder / site).write_text("a file where a folder should be")
    write_checkpoint(terminal.folder / "ckpt", 2)
    done = terminal.run("snapshot", "save", "ckpt", "--asset", "llama-weights")
    assert done.code == 9
    assert "1 of the 2 sites" in done.err
    shown = terminal.json(
        "snapshot-show", "snapshot", "show", "llama-weights", "--vault", str(terminal.folder / "use1")
    )
    assert shown["snapshot"]["id"] == first


def test_sync_copies_and_status_then_meets_what_is_owed(terminal: Terminal, declared: Path) -> None:
    _save(terminal, "llama-pretrain")
    before = terminal.json("site-status", "site", "status", "--asset", "llama-pretrain")
    losing_home = next(one for one in before["exposures"] if one["site"] == "use1")
    assert (losing_home["protection"], losing_home["met"]) == ("none", False)
    assert terminal.run("site", "status", "--check", "--asset", "llama-pretrain").code == 9
    planned = terminal.json("site-sync", "site", "sync", "--dry-run", "--asset", "llama-pretrain")
    assert planned["copies"][0]["target"] == "euw4/warm"
    assert not (terminal.folder / "euw4").exists()
    synced = terminal.json("site-sync", "site", "sync", "--asset", "llama-pretrain")
    assert synced["settled"] is True
    assert synced["copied"][0]["arrived"] == 1
    again = terminal.json("site-sync", "site", "sync", "--asset", "llama-pretrain")
    assert again["copied"] == []
    assert terminal.run("site", "status", "--check", "--asset", "llama-pretrain").code == 0


def test_a_site_that_is_away_is_told_and_the_others_go_on(terminal: Terminal, declared: Path) -> None:
    _save(terminal, "llama-weights")
    _save(terminal, "llama-pretrain")
    shutil.rmtree(terminal.folder / "euw4", ignore_errors=True)
    (terminal.folder / "euw4").write_text("a file where a folder should be")
    done = terminal.run("site", "sync")
    assert done.code == 1
    assert "1 not: cannot write" in done.out
    status = terminal.json("site-status", "site", "status", "--asset", "llama-weights")
    assert {one["store"]: one["there"] for one in status["arrivals"]}["aps1/warm"] == 1


def test_without_a_file_or_a_vault_the_error_says_what_is_missing(terminal: Terminal) -> None:
    write_checkpoint(terminal.folder / "ckpt", 1)
    assert terminal.run("site", "list").code == 3
    done = terminal.run("snapshot", "save", "ckpt", "--asset", "llama")
    assert done.code == 2
    assert "--vault" in done.err


def test_an_asset_that_is_not_declared_is_refused(terminal: Terminal, declared: Path) -> None:
    done = terminal.run("snapshot", "save", "ckpt", "--asset", "lama-weights")
    assert done.code == 3
    assert "llama-weights" in done.err


def _lose(folder: Path) -> None:
    shutil.rmtree(folder)


def test_a_failed_site_gives_its_assets_to_the_next_and_comes_back_empty(terminal: Terminal, declared: Path) -> None:
    _save(terminal, "llama-pretrain")
    terminal.ok("site", "sync")
    _lose(terminal.folder / "use1")
    assert terminal.run("site", "fail", "use1").code == 2  # a reason is needed
    plan = terminal.json("site-change", "site", "fail", "use1", "--reason", "fire")
    assert plan["applied"] is True
    moved = {move["asset"]: (move["home_before"], move["home_after"], move["lost_seconds"]) for move in plan["moves"]}
    assert moved["llama-pretrain"] == ("use1", "euw4", None)
    write_checkpoint(terminal.folder / "ckpt", 2)
    newest = _save(terminal, "llama-pretrain")  # goes on at the other site
    assert not (terminal.folder / "use1").exists()
    assert terminal.json("site-list", "site", "list")["sites"][0]["state"] == "failed"
    back = terminal.json("site-change", "site", "rebuild", "use1", "--reason", "new racks")
    assert back["settled"] is True
    assert terminal.json("site-list", "site", "list")["sites"][0]["state"] == ""
    shown = terminal.json("snapshot-show", "snapshot", "show", "llama-pretrain", "--vault", terminal.folder / "use1")
    assert shown["snapshot"]["id"] == newest
    assert terminal.ok("vault", "check", terminal.folder / "use1", "--read-data").code == 0


def test_a_site_that_has_what_nobody_else_has_is_drained_not_failed(terminal: Terminal, declared: Path) -> None:
    only = _save(terminal, "llama-weights")
    write_checkpoint(terminal.folder / "ckpt", 2)
    terminal.ok("snapshot", "save", "ckpt", "--asset", "llama-pretrain", "--vault", terminal.folder / "use1")
    refused = terminal.run("site", "fail", "use1", "--reason", "maintenance")
    assert refused.code == 5
    assert "drain it instead" in refused.err
    drained = terminal.json("site-change", "site", "drain", "use1", "--reason", "moving out", "--force")
    assert drained["settled"] is True
    terminal.ok("site", "sync")
    _lose(terminal.folder / "use1")
    for asset in ("llama-weights", "llama-pretrain"):
        found = terminal.json("snapshot-show", "snapshot", "show", asset, "--vault", terminal.folder / "euw4")
        assert found["snapshot"]["asset"] == asset
    assert only


def test_drain_is_refused_when_too_few_copies_would_be_left(terminal: Terminal, declared: Path) -> None:
    _save(terminal, "llama-pretrain")
    done = terminal.run("site", "drain", "euw4", "--reason", "saving money")
    assert done.code == 5
    assert "owes 2 copies, and would have 1" in done.out
    assert terminal.json("site-list", "site", "list")["sites"][1]["state"] == ""


def test_what_a_failed_site_alone_had_comes_back_with_it(terminal: Terminal, declared: Path) -> None:
    """The home was cut off, not dead, and went on; it was declared lost by force; nothing of it is lost in the end."""
    _save(terminal, "llama-pretrain")
    terminal.ok("site", "sync")
    write_checkpoint(terminal.folder / "ckpt", 2)
    alone = _save(terminal, "llama-pretrain")
    terminal.ok("site", "fail", "use1", "--reason", "cut off", "--force")
    write_checkpoint(terminal.folder / "ckpt", 3)
    other = _save(terminal, "llama-pretrain")
    terminal.ok("site", "rebuild", "use1", "--reason", "the line is back")
    for site in ("use1", "euw4"):
        listed = terminal.json("snapshot-list", "snapshot", "list", "--vault", terminal.folder / site)
        ids = {one["id"] for one in listed["snapshots"] if one["asset"] == "llama-pretrain"}
        assert {alone, other} <= ids


def test_adding_a_site_fills_it(terminal: Terminal, declared: Path) -> None:
    _save(terminal, "llama-pretrain")
    planned = terminal.json("site-change", "site", "add", "euw4", "--dry-run")
    assert [move["to_copy"] for move in planned["moves"] if move["asset"] == "llama-pretrain"] == [1]
    assert not (terminal.folder / "euw4").exists()
    added = terminal.json("site-change", "site", "add", "euw4")
    assert added["settled"] is True
    assert terminal.run("site", "rebuild", "euw4", "--reason", "x").code == 5
    assert terminal.run("site", "add", "use9").code == 3


def test_the_link_of_a_site_is_kept_to_and_the_cheapest_source_is_taken(terminal: Terminal, declared: Path) -> None:
    text = declared.read_text()
    text = text.replace(f"{terminal.folder}/euw4}}}}", f"{terminal.folder}/euw4}}}}\n    link: {{down: 2MiB/s}}")
    text = text.replace("jurisdiction: US", "jurisdiction: US\n    link: {price_per_gb: 0.09}")
    declared.write_text(text)
    (terminal.folder / "ckpt/noise.bin").write_bytes(np.random.default_rng(1).bytes(5 << 20))
    terminal.ok("snapshot", "save", "ckpt", "--asset", "llama-weights", "--vault", terminal.folder / "use1")
    began = time.monotonic()
    first = terminal.json("site-sync", "site", "sync", "--asset", "llama-weights", "--no-verify")
    assert first["settled"] is True
    assert time.monotonic() - began > 1.4  # 5 MiB, of which the first two are a burst
    shutil.rmtree(terminal.folder / "aps1")
    again = terminal.json("site-sync", "site", "sync", "--asset", "llama-weights", "--dry-run")
    assert again["copies"][0]["sources"] == ["euw4/warm", "use1/warm"]  # nothing is asked for what leaves euw4


def test_what_other_machines_could_not_reach_as_it_is_declared_is_not_handed_out(
    terminal: Terminal, declared: Path
) -> None:
    """A limit of this machine's line, and a secret of its environment. Refused before any cluster is asked for work."""
    sites = DeclaredSites(load_config(str(declared)))
    assert SiteCarriers(sites, list(sites.assets.values()), ThreadFanout(2)).workers == ()
    text = declared.read_text()
    limited = text.replace("jurisdiction: EU", "jurisdiction: EU\n    link: {down: 2MiB/s}")
    secret = text.replace(f"{terminal.folder}/euw4", 's3://euw4, credentials: {access_key_id: "${KEY}"}')
    for changed, said in (
        (limited, "the link of euw4 is limited"),
        (secret, "takes `access_key_id` from this machine"),
    ):
        declared.write_text(changed)
        sites = DeclaredSites(load_config(str(declared)))
        with pytest.raises(UsageError, match=said):
            SiteCarriers(sites, list(sites.assets.values()), ThreadFanout(2))
    assert terminal.run("site", "sync", "--fanout", "carrier pigeons").code == 2


def test_a_round_whose_packs_are_handed_out_does_what_one_of_this_process_does(
    terminal: Terminal, declared: Path
) -> None:
    _save(terminal, "llama-pretrain")
    (terminal.folder / "ckpt/noise.bin").write_bytes(np.random.default_rng(1).bytes(3 << 20))
    terminal.ok("snapshot", "save", "ckpt", "--asset", "llama-weights", "--vault", terminal.folder / "use1")
    sites = DeclaredSites(load_config(str(declared)))
    follower = SiteFollower(sites, list(sites.assets.values()), fanout=ThreadFanout(2))
    done = follower.run_round()
    assert done.settled
    assert follower.carriers is not None
    packs = [path for path in (terminal.folder / "aps1/packs").rglob("*") if path.is_file()]
    carried = sum(share.pieces for share in follower.carriers.workers)
    assert carried >= 2 and packs  # to each of two sites
    assert synced_facts(sites, done, 0, follower.carriers).workers
    for site in ("euw4", "aps1"):
        assert terminal.ok("vault", "check", terminal.folder / site, "--read-data").code == 0
