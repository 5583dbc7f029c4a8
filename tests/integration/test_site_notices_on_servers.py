"""What becomes of a site is told through stores of every dialect at once."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from numpy.random import default_rng

from holdfast.config.finding import load_config
from holdfast.control.sites.changing import apply_change, plan_change
from holdfast.control.sites.declared import DeclaredSites
from holdfast.control.sites.following import SiteFollower
from holdfast.control.sites.saving import declared_save
from holdfast.control.sites.states import Change, Condition
from holdfast.control.vaults.opening import create
from holdfast.testing.gcs_double import GcsDouble
from holdfast.testing.servers import AzuriteServer, SeaweedServer
from holdfast.vault.format.names import SITES

pytestmark = pytest.mark.servers

_NAMES = ("seaweed", "azurite", "gcs", "folder")


@pytest.fixture
def environment(
    seaweed: SeaweedServer,
    azurite: AzuriteServer,
    gcs: GcsDouble,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[dict[str, str]]:
    """Four sites, each of another dialect, and the variables of a machine that has the keys."""
    for kind in ("CONFIG", "STATE", "CACHE"):
        monkeypatch.setenv(f"XDG_{kind}_HOME", str(tmp_path / kind))
    with ExitStack() as stack:
        stores = {"folder": {"url": str(tmp_path / "folder")}}
        for name, server in (("seaweed", seaweed), ("azurite", azurite), ("gcs", gcs)):
            stack.enter_context(server.in_environment())
            stores[name] = {"url": f"{server.url}/{tmp_path.name}", "options": dict(server.options)}
        sites = {
            name: {"cloud": "onprem", "region": name, "jurisdiction": "EU", "stores": {"warm": stores[name]}}
            for name in _NAMES
        }
        asset = {"class": "training", "place": {"synchronous": ["seaweed"], "asynchronous": list(_NAMES[1:])}}
        file = {"version": 1, "organisation": "acme", "sites": sites, "assets": {"run": asset}}
        (tmp_path / "holdfast.yaml").write_text(json.dumps(file))
        yield dict(os.environ)


def test_one_machine_says_it_and_another_saves_elsewhere(environment: dict[str, str], tmp_path: Path) -> None:
    def machine(name: str) -> DeclaredSites:
        own = environment | {f"XDG_{kind}_HOME": str(tmp_path / f"{name}-{kind}") for kind in ("STATE", "CACHE")}
        return DeclaredSites(load_config(tmp_path / "holdfast.yaml"), own)

    one, two = machine("one"), machine("two")
    home = one.store("seaweed/warm").store
    create(home.url, options=dict(one.config.sites["seaweed"].stores["warm"].options), environment=environment)
    saving = declared_save(one, "run")
    saving.vault.save("run", {"w": default_rng(1).normal(size=1 << 12).astype("<f4")}, committed=saving.committed)
    assert SiteFollower(one, [one.asset("run")], verify=False).run_round().settled
    old = declared_save(two, "run")
    assert old.asset.home_site == "seaweed"
    done = apply_change(one, plan_change(one, "seaweed", Change.FAIL), "it is to be replaced", force=True)
    assert (done.told.places, dict(done.told.problems)) == (tuple(f"{name}/warm" for name in _NAMES), {})
    objects = {name: {info.key for info in one.store(f"{name}/warm").store.list(SITES)} for name in _NAMES}
    assert len(objects["seaweed"]) == 1 and len({frozenset(keys) for keys in objects.values()}) == 1
    new = declared_save(two, "run")
    assert two.states["seaweed"].condition is Condition.FAILED
    assert new.asset.home_site == "azurite"
    saved = new.vault.save("run", {"w": default_rng(2).normal(size=1 << 12).astype("<f4")}, committed=new.committed)
    assert two.open_at("azurite/warm").find("run").id == saved.root.id
    assert SiteFollower(one, [one.asset("run")], verify=False).run_round().settled
