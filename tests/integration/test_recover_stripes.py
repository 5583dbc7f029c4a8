"""A recovery of an asset in stripes: its home, one of the set's sites, burns; the others give everything."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from numpy.random import default_rng

from holdfast.config.finding import load_config
from holdfast.control.keys.key_files import export_keeper
from holdfast.control.recovering.intending import Wanted
from holdfast.control.recovering.recovering import Recoveries
from holdfast.control.sites.creating import apply_creation, plan_creation
from holdfast.control.sites.declared import DeclaredSites
from holdfast.control.sites.saving import declared_save
from holdfast.errors import HoldfastError
from holdfast.recovery.plans import Plan
from holdfast.recovery.running.progress import Progress
from holdfast.trust.suites import Suite

_SITES = ("use1", "euw4", "aps1")


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    for kind in ("CONFIG", "STATE", "CACHE"):
        monkeypatch.setenv(f"XDG_{kind}_HOME", str(tmp_path / kind))
    sites = {
        name: {
            "cloud": "onprem",
            "region": name,
            "jurisdiction": "EU",
            "stores": {"warm": {"url": str(tmp_path / name)}},
        }
        for name in _SITES
    }
    asset = {"class": "dataset", "place": {"sites": list(_SITES), "stripes": "2+1"}}
    file = {"version": 1, "organisation": "acme", "sites": sites, "assets": {"web": asset}}
    (tmp_path / "holdfast.yaml").write_text(json.dumps(file))
    return dict(os.environ)


def _quiet(plan: Plan, progress: Progress) -> None: ...


@pytest.mark.parametrize("burns", [True, False])
def test_the_fenced_home_is_one_of_the_sites_of_the_set(
    environment: dict[str, str], tmp_path: Path, burns: bool
) -> None:
    def opened(**more: str) -> DeclaredSites:
        return DeclaredSites(load_config(tmp_path / "holdfast.yaml"), environment | more)

    sites = opened()
    made = apply_creation(sites, plan_creation(sites, "web"), encryption=True, suite=Suite.HYBRID_1)
    export_keeper(made.vault, "ann", tmp_path / "ann.key")
    (tmp_path / "data").mkdir()
    for number in range(3):
        (tmp_path / "data" / f"{number}.bin").write_bytes(default_rng(number).bytes(1 << 20))
    saving = declared_save(sites, "web")
    saved = saving.vault.save("web", tmp_path / "data", committed=saving.committed)
    opened().open_at(sites.asset("web").set_name).verify(saved.root.id)
    if burns:
        shutil.rmtree(tmp_path / "use1")
        (tmp_path / "use1").touch()

    rehearsal = Recoveries(opened())
    file = rehearsal.plan(Wanted("web", isolated=True, target=str(tmp_path / "drill")))
    assert rehearsal.run(file, "", _quiet).state.verdict == "PASSED"
    recoveries = Recoveries(opened())
    file = recoveries.plan(Wanted("web"))
    assert file.plan.site == "euw4" and file.plan.chosen[0].store == sites.asset("web").set_name
    assert set(file.journal) == ({"euw4/warm", "aps1/warm"} if burns else set(file.journal))
    Recoveries(opened(HOLDFAST_KEY_FILE=str(tmp_path / "ann.key"))).approve(file, 600)
    done = recoveries.run(file, str(tmp_path / "back"), _quiet)
    assert done.state.verdict == "PASSED", done.entries[-1]
    for name in ("drill", "back"):
        for path in (tmp_path / "data").iterdir():
            assert (tmp_path / name / path.name).read_bytes() == path.read_bytes()
    after = opened()
    after.learn()
    assert after.asset("web").home_site == "euw4"
    layout = after.stripes(after.asset("web").set_name).layout
    assert after.asset("web").placement.sites[layout.home] == "euw4", "the set has another home for good"

    # A second site lost: nothing can be read, and no plan is made.
    shutil.rmtree(tmp_path / "aps1")
    with pytest.raises(HoldfastError):
        Recoveries(opened()).plan(Wanted("web"))
