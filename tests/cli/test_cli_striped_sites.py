"""Assets that `holdfast.yaml` declares in stripes: saved, lost a site, restored, rebuilt."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from blake3 import blake3
from terminal import Terminal, write_checkpoint

from holdfast.config.finding import load_config
from holdfast.control.sites.declared import DeclaredSites
from holdfast.control.sites.striped import StripedAssets
from holdfast.control.vaults.opening import open_at, store_at
from holdfast.ids import PackId
from holdfast.vault.collecting.leases import HeldLease
from holdfast.vault.format.names import pack_key

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
    place: {{stripes: 2+1, sites: [use1, euw4, aps1]}}
"""


@pytest.fixture
def declared(terminal: Terminal) -> Path:
    """Three sites in folders that are not there yet, and something to save of more than a pack's least size."""
    path = terminal.folder / "holdfast.yaml"
    path.write_text(_FILE.format(folder=terminal.folder))
    write_checkpoint(terminal.folder / "ckpt", 1)
    (terminal.folder / "ckpt/noise.bin").write_bytes(np.random.default_rng(1).bytes(1 << 20))
    return path


@pytest.fixture
def created(terminal: Terminal, declared: Path) -> Path:
    """The same, with the set of stripes."""
    terminal.ok("site", "create", "llama")
    return declared


def _url(terminal: Terminal) -> str:
    return "stripes:" + ",".join(str(terminal.folder / site) for site in SITES)


def _save(terminal: Terminal) -> str:
    return str(terminal.json("snapshot-save", "snapshot", "save", "ckpt", "--asset", "llama")["snapshot"]["id"])


def _contents(folder: Path) -> dict[str, bytes]:
    """Path → bytes, or where a link leads."""
    return {
        str(path.relative_to(folder)): os.fsencode(os.readlink(path)) if path.is_symlink() else path.read_bytes()
        for path in folder.rglob("*")
        if path.is_symlink() or path.is_file()
    }


def _lose(terminal: Terminal, *sites: str) -> None:
    for site in sites:
        shutil.rmtree(terminal.folder / site)


def _status(terminal: Terminal) -> tuple[dict[str, Any], dict[str, Any]]:
    """Of each store what the set says of it; of each site what would be lost with it."""
    status = terminal.json("site-status", "site", "status")
    stores = {one["store"].partition("/")[0]: one for one in status["stripes"][0]["sites"]}
    return stores, {one["site"]: one for one in status["exposures"]}


def test_a_save_before_the_set_is_created_says_how_to_create_it(terminal: Terminal, declared: Path) -> None:
    done = terminal.run("snapshot", "save", "ckpt", "--asset", "llama")
    assert done.code == 3
    assert "holdfast site create llama" in done.err
    planned = terminal.json("site-create", "site", "create", "llama", "--dry-run")
    assert (planned["stripes"], planned["vault"], planned["url"]) == ("2+1", "", _url(terminal))
    assert not (terminal.folder / "use1").exists()


def test_a_set_is_created_once_and_only_in_empty_places(terminal: Terminal, declared: Path) -> None:
    terminal.ok("vault", "create", terminal.folder / "euw4", "--no-encryption")
    refused = terminal.run("site", "create", "llama")
    assert refused.code == 5
    assert "euw4/warm: there is a vault of whole copies" in refused.err
    assert not (terminal.folder / "use1").exists()
    _lose(terminal, "euw4")
    made = terminal.json("site-create", "site", "create", "llama", "--no-encryption")
    assert made["encrypted"] is False
    again = terminal.run("site", "create", "llama")
    assert again.code == 5
    assert "there already" in again.err
    _lose(terminal, "aps1")  # its place must not become a member again without what it had
    again = terminal.run("site", "create", "llama")
    assert again.code == 5
    assert "`holdfast site rebuild aps1`" in again.err
    assert not (terminal.folder / "aps1").exists()
    shutil.rmtree(terminal.folder / "euw4/config")
    shutil.rmtree(terminal.folder / "use1/config")  # as after a crash between the first site and the vault
    assert terminal.json("site-create", "site", "create", "llama", "--no-encryption")["vault"] != made["vault"]


def test_one_site_lost_everything_restores_and_is_rebuilt(terminal: Terminal, created: Path) -> None:
    saved = _save(terminal)
    original = _contents(terminal.folder / "ckpt")
    stores, losing = _status(terminal)
    assert all(one["packs"] == one["objects"] == 0 and not one["problem"] for one in stores.values())
    assert stores["use1"]["home"] is True
    for site in SITES:
        assert (losing[site]["protection"], losing[site]["snapshot"]) == ("verified", saved)

    _lose(terminal, "aps1")
    stores, losing = _status(terminal)
    assert stores["aps1"]["problem"] == "holds nothing of the set"
    assert losing["aps1"]["snapshot"] == saved
    assert losing["use1"]["protection"] == losing["euw4"]["protection"] == "none"
    terminal.ok("restore", "llama", "by-url", "--vault", _url(terminal))
    terminal.ok("restore", "llama", "by-declaration")
    assert _contents(terminal.folder / "by-url") == _contents(terminal.folder / "by-declaration") == original
    refused = terminal.run("snapshot", "save", "ckpt", "--asset", "llama")
    assert refused.code == 5
    assert "holdfast site rebuild aps1" in refused.err
    assert terminal.run("site", "sync").code == 1  # an empty place is rebuilt, not healed
    assert not (terminal.folder / "aps1/shards").exists()

    planned = terminal.json("site-change", "site", "rebuild", "aps1", "--dry-run")
    assert planned["moves"][0]["packs"] > 0
    assert not (terminal.folder / "aps1/shards").exists()
    rebuilt = terminal.json("site-change", "site", "rebuild", "aps1", "--reason", "new racks")
    assert rebuilt["settled"] is True
    assert rebuilt["healed"][0]["packs"] == planned["moves"][0]["packs"]
    _, losing = _status(terminal)
    assert all(losing[site]["snapshot"] == saved for site in SITES)
    _lose(terminal, "euw4")  # what was rebuilt carries
    terminal.ok("restore", "llama", "after", "--vault", _url(terminal))
    assert _contents(terminal.folder / "after") == original


def _hears_of_it(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another machine, which remembers nothing: it reads without the lost site, and does not wait for it."""
    with monkeypatch.context() as patched:
        patched.setenv("XDG_STATE_HOME", str(terminal.folder / "other-state"))
        patched.setenv("XDG_CACHE_HOME", str(terminal.folder / "other-cache"))
        terminal.ok("restore", "llama", "elsewhere")
        assert terminal.json("site-list", "site", "list")["sites"][0]["state"] == "failed"
        assert "use1 is taken for lost" in terminal.run("snapshot", "save", "ckpt", "--asset", "llama").err
    assert _contents(terminal.folder / "elsewhere") == _contents(terminal.folder / "ckpt")


def test_a_lost_home_is_followed_by_the_next_site_and_rebuilt(
    terminal: Terminal, created: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _save(terminal)
    refused = terminal.run("site", "fail", "use1", "--reason", "maintenance")
    assert refused.code == 5
    assert "is their home" in refused.err
    _lose(terminal, "use1")
    failed = terminal.json("site-change", "site", "fail", "use1", "--reason", "fire")
    assert (failed["moves"][0]["home_before"], failed["moves"][0]["home_after"]) == ("use1", "euw4")
    assert failed["told"] == ["stripes:2+1:use1/warm,euw4/warm,aps1/warm"]  # written when the set had a home again
    _hears_of_it(terminal, monkeypatch)
    assert _status(terminal)[0]["euw4"]["home"] is True
    terminal.ok("snapshot", "tag", "llama", "kept", "--vault", _url(terminal))  # the new home orders what is written
    (terminal.folder / "ckpt/noise.bin").write_bytes(np.random.default_rng(2).bytes(1 << 20))
    blocked = terminal.run("snapshot", "save", "ckpt", "--asset", "llama")
    assert blocked.code == 8
    assert "use1 is taken for lost" in blocked.err
    rebuilt = terminal.json("site-change", "site", "rebuild", "use1", "--reason", "new racks")
    assert rebuilt["settled"] is True
    assert terminal.json("site-list", "site", "list")["sites"][0]["state"] == ""
    newest = _save(terminal)
    stores, losing = _status(terminal)
    assert stores["euw4"]["home"] is True
    assert all(losing[site]["snapshot"] == newest for site in SITES)
    assert terminal.ok("vault", "check", _url(terminal), "--read-data").code == 0
    _goes_back(terminal)


def _goes_back(terminal: Terminal) -> None:
    """The home, by a plan: not while somebody writes, nor without a site."""
    vault = open_at(_url(terminal))
    with HeldLease(vault.handle, "save"):
        barred = terminal.run("site", "home", "use1", "--reason", "as declared", "--force")
        assert barred.code == 5
        assert "keeper writes to it (save)" in barred.err
    planned = terminal.json("site-change", "site", "home", "use1", "--dry-run")
    assert (planned["moves"][0]["home_before"], planned["moves"][0]["home_after"]) == ("euw4", "use1")
    assert _status(terminal)[0]["euw4"]["home"] is True
    moved = terminal.json("site-change", "site", "home", "use1", "--reason", "as declared")
    assert moved["settled"] is True
    stores, _ = _status(terminal)
    assert (stores["use1"]["home"], stores["euw4"]["home"]) == (True, False)
    assert all((store["packs"], store["objects"]) == (0, 0) for store in stores.values())
    newest = _save(terminal)
    assert terminal.ok("vault", "check", _url(terminal), "--read-data").code == 0
    _lose(terminal, "euw4")
    assert _status(terminal)[1]["euw4"]["snapshot"] == newest
    away = terminal.run("site", "home", "aps1", "--reason", "as I like it")
    assert away.code == 5
    assert "euw4" in away.err


def test_a_site_that_was_away_gets_what_it_missed(terminal: Terminal, created: Path) -> None:
    saved = _save(terminal)
    assert terminal.run("site", "fail", "aps1", "--reason", "cut off").code == 5  # it answers
    terminal.ok("site", "fail", "aps1", "--reason", "cut off", "--force")
    stores, losing = _status(terminal)
    assert "aps1 is taken for lost" in stores["aps1"]["problem"]
    assert (losing["aps1"]["snapshot"], losing["use1"]["protection"]) == (saved, "none")
    terminal.ok("restore", "llama", "without")
    assert _contents(terminal.folder / "without") == _contents(terminal.folder / "ckpt")
    done = terminal.run("site", "sync")
    assert done.code == 1
    assert "aps1 is taken for lost" in done.out
    _remove_newest_shards(terminal, "aps1", set())
    rebuilt = terminal.json("site-change", "site", "rebuild", "aps1", "--reason", "the line is back")
    assert (rebuilt["settled"], rebuilt["moves"][0]["packs"]) == (True, rebuilt["healed"][0]["packs"])
    assert rebuilt["healed"][0]["packs"] > 0
    stores, losing = _status(terminal)
    assert (stores["aps1"]["packs"], stores["aps1"]["problem"]) == (0, "")
    assert all(losing[site]["snapshot"] == saved for site in SITES)


def _shards(terminal: Terminal, site: str) -> set[Path]:
    return {path for path in (terminal.folder / site / "shards").rglob("*") if path.is_file()}


def _remove_newest_shards(terminal: Terminal, site: str, old: set[Path]) -> int:
    """All that are not among the old ones. Returns how many."""
    gone = _shards(terminal, site) - old
    for path in gone:
        path.unlink()
    return len(gone)


def test_a_shard_that_is_gone_counts_against_the_sites_that_have_the_others(terminal: Terminal, created: Path) -> None:
    first = _save(terminal)
    old = _shards(terminal, "aps1")
    (terminal.folder / "ckpt/noise.bin").write_bytes(np.random.default_rng(2).bytes(1 << 20))
    second = _save(terminal)
    gone = _remove_newest_shards(terminal, "aps1", old)
    assert old and gone
    stores, losing = _status(terminal)
    assert stores["aps1"]["packs"] == gone
    assert (losing["use1"]["snapshot"], losing["aps1"]["snapshot"]) == (first, second)
    planned = terminal.json("site-sync", "site", "sync", "--dry-run")
    assert (planned["settled"], planned["healed"][0]["packs"]) == (False, gone)
    synced = terminal.json("site-sync", "site", "sync")
    assert (synced["settled"], synced["healed"][0]["packs"]) == (True, gone)
    assert _status(terminal)[1]["use1"]["snapshot"] == second
    assert terminal.json("site-sync", "site", "sync")["healed"][0]["packs"] == 0


def test_with_two_sites_gone_the_error_names_them(terminal: Terminal, created: Path) -> None:
    _save(terminal)
    _lose(terminal, "euw4", "aps1")
    for arguments in (
        ("restore", "llama", "x", "--vault", _url(terminal)),
        ("restore", "llama", "x"),
        ("site", "status"),
    ):
        done = terminal.run(*arguments)
        assert done.code in (4, 8), done
        assert "/euw4" in done.err and "/aps1" in done.err
    refused = terminal.run("site", "rebuild", "aps1", "--reason", "x", "--force")
    assert refused.code in (4, 5, 8)
    assert "Traceback" not in refused.err


def test_what_stripes_cannot_do_is_refused_in_the_plan(terminal: Terminal, created: Path) -> None:
    for change in ("drain", "add"):
        done = terminal.run("site", change, "euw4", "--reason", "x", "--force")
        assert done.code == 5
        assert "need all of their sites" in done.err
    assert terminal.run("site", "rebuild", "euw4", "--reason", "x").code == 5  # it is whole
    assert terminal.run("vault", "info", "stripes:a,b").code == 2
    text = (
        created.read_text() + "  other:\n    class: training\n    place: {synchronous: [use1], asynchronous: [euw4]}\n"
    )
    created.write_text(text)
    done = terminal.run("snapshot", "save", "ckpt", "--asset", "llama")
    assert done.code == 2
    assert "holdfast.yaml, line 10: euw4/warm" in done.err.replace("\n", " ") or "cannot hold both" in done.err


def test_stripes_and_whole_copies_live_beside_each_other(terminal: Terminal, declared: Path) -> None:
    more = """\
  use2: {{cloud: aws, region: us-west-2, jurisdiction: US, stores: {{warm: {{url: {folder}/use2}}}}}}
  euw9: {{cloud: gcp, region: europe-west9, jurisdiction: EU, stores: {{warm: {{url: {folder}/euw9}}}}}}
assets:
  other: {{class: training, place: {{synchronous: [use2], asynchronous: [euw9]}}}}
"""
    text = declared.read_text().replace("assets:\n", more.format(folder=terminal.folder))
    declared.write_text(text)
    terminal.ok("vault", "create", terminal.folder / "use2", "--no-encryption")
    terminal.ok("site", "create", "llama", "--no-encryption")
    for asset in ("llama", "other"):
        terminal.ok("snapshot", "save", "ckpt/sub", "--asset", asset, "--no-verify")
    synced = terminal.json("site-sync", "site", "sync")
    assert (synced["settled"], synced["copied"][0]["target"], len(synced["healed"])) == (True, "euw9/warm", 1)
    _lose(terminal, "use1", "aps1")  # what happens to the one must not hide the other
    status = terminal.json("site-status", "site", "status")
    assert {one["store"]: one["there"] for one in status["arrivals"]} == {"use2/warm": 1, "euw9/warm": 1}
    assert "use1" in status["stripes"][0]["problem"]
    losing = {(one["asset"], one["site"]): one["protection"] for one in status["exposures"]}
    assert (losing["other", "use2"], losing["llama", "euw4"]) == ("verified", "none")
    assert terminal.run("site", "sync").code == 1


def test_rounds_take_up_a_set_that_comes_back(terminal: Terminal, created: Path) -> None:
    """Also what an interrupted save left, too few shards of a pack, does not keep rounds from being settled."""
    saved = _save(terminal)
    for site in ("euw4", "aps1"):
        (terminal.folder / site).rename(terminal.folder / f"{site}.away")
    sites = DeclaredSites(load_config(str(created)))
    found = StripedAssets(sites, list(sites.assets.values()))
    assert [one.settled for one in found.heal()] == [False]
    for site in ("euw4", "aps1"):
        (terminal.folder / f"{site}.away").rename(terminal.folder / site)
    old = {site: _shards(terminal, site) for site in SITES}
    data = np.random.default_rng(3).bytes(1 << 17)
    store_at(_url(terminal)).put(pack_key(PackId(blake3(data).hexdigest())), data)
    assert all(_remove_newest_shards(terminal, site, old[site]) == 1 for site in ("euw4", "aps1"))
    assert [one.settled for one in found.heal()] == [True]
    status = found.status()[0]
    assert status.survey is not None and status.survey.fragments == 1
    assert {one.snapshot for one in status.exposures} == {saved}
