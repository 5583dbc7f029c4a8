"""Each reason for which a drill is refused, by its code: docs/drills.md lists them."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from numpy import ones

from holdfast.config.finding import load_config
from holdfast.control.drilling import refusing
from holdfast.control.drilling.refusing import Chosen, choose_snapshots, refusals_of
from holdfast.control.keys.key_files import export_writer
from holdfast.control.recovering.intending import Wanted
from holdfast.control.recovering.recovering import Recoveries
from holdfast.control.sites.declared import DeclaredSites
from holdfast.control.sites.following import SiteFollower
from holdfast.control.sites.saving import declared_save
from holdfast.control.vaults.opening import create
from holdfast.drills.scenarios.site_lost import SITE_LOST
from holdfast.errors import StoreUnreachableError
from holdfast.recovery.plans import Plan
from holdfast.recovery.running.progress import Progress
from holdfast.stores.local import LocalStore
from holdfast.stores.protocol import ObjectInfo

_SITES = ("use1", "euw4")
DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sites that hold a snapshot of `run`, and none of `other`."""
    folder = tmp_path_factory.mktemp("world")
    sites = {
        name: {"cloud": "onprem", "region": name, "jurisdiction": "EU", "stores": {"warm": {"url": str(folder / name)}}}
        for name in _SITES
    }
    asset = {"class": "training", "place": {"synchronous": ["use1"], "asynchronous": ["euw4"]}}
    file = {"version": 1, "organisation": "acme", "sites": sites, "assets": {"run": asset, "other": asset}}
    (folder / "holdfast.yaml").write_text(json.dumps(file))
    declared = opened(folder)
    made = create(str(folder / "use1"), environment=declared.environment)
    export_writer(made.vault, "trainer", folder / "trainer.key")
    saving = declared_save(declared, "run")
    saving.vault.save("run", {"w": ones(1 << 8, "<f4")}, step=5, committed=saving.committed)
    assert SiteFollower(declared, [declared.asset("run")]).run_round().settled
    return folder


def opened(folder: Path, **more: str) -> DeclaredSites:
    homes = {f"XDG_{kind}_HOME": str(folder / kind) for kind in ("CONFIG", "STATE", "CACHE")}
    return DeclaredSites(load_config(folder / "holdfast.yaml"), dict(os.environ) | homes | more)


def refused(folder: Path, where: Path, asset: str = "run", sites: int = 2, size: int = 0, **more: str) -> list[str]:
    """The codes. `sites`: that the scenario needs; `size`: of a snapshot, instead of its own."""
    declared = opened(folder, **more)
    vault, one = declared.open_at("euw4/warm"), declared.asset(asset)
    chosen = choose_snapshots(declared, vault, one)
    if size:
        parts = [msgspec.structs.replace(part, size=size) for part in chosen.snapshots[-1].parts[:1]]
        chosen = Chosen(chosen.store, [msgspec.structs.replace(chosen.snapshots[-1], parts=parts)], chosen.views)
    found = refusals_of(declared, vault, one, SITE_LOST._replace(sites=sites), chosen, where)
    assert all(each.reason for each in found)
    return [each.code for each in found]


def test_nothing_speaks_against_it(world: Path, tmp_path: Path) -> None:
    assert refused(world, tmp_path / "trial") == []


def test_what_is_missing_is_told_by_its_code(world: Path, tmp_path: Path) -> None:
    place = tmp_path / "trial"
    assert refused(world, place, sites=3) == ["TOO_FEW_SITES"]
    assert refused(world, place, asset="other") == ["NO_SNAPSHOT"]
    assert refused(world, place, size=1 << 60) == ["DISK_SPACE"]
    assert refused(world, place, HOLDFAST_KEY_FILE=str(world / "trainer.key"))[-1] == "NO_KEEPERS_KEY"


def test_a_store_that_does_not_answer_is_no_time_for_a_drill(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listing = LocalStore.list

    def silent(self: LocalStore, prefix: str, after: str = "") -> Iterator[ObjectInfo]:
        if self.url.endswith("use1") and prefix.startswith("snapshots/"):
            raise StoreUnreachableError("nobody answers there", object_name=self.url)
        return listing(self, prefix, after)

    monkeypatch.setattr(LocalStore, "list", silent)
    assert "STORE_SILENT" in refused(world, tmp_path / "trial")


def test_neither_is_a_recovery_that_is_under_way(world: Path, tmp_path: Path) -> None:
    def die(plan: Plan, progress: Progress) -> None:
        raise KeyboardInterrupt

    opened(world).open_at("euw4/warm").verify("run")  # here: what was read back is remembered for each test apart
    recoveries = Recoveries(opened(world))
    file = recoveries.plan(Wanted("run", isolated=True, target=str(tmp_path / "back")))
    with pytest.raises(KeyboardInterrupt):
        recoveries.run(file, "", die)
    assert refused(world, tmp_path / "trial") == ["RECOVERY_UNDER_WAY"]
    assert refused(world, tmp_path / "trial", asset="other") == ["NO_SNAPSHOT"]  # of another asset it says nothing


def test_the_page_lists_every_code_and_no_other() -> None:
    folder = Path(refusing.__file__).parent
    source = "".join(path.read_text() for path in folder.glob("*.py"))
    codes = set(re.findall(r'Refusal\(\s*"([A-Z_]+)"', source))
    text = (DOCS / "drills.md").read_text().partition("## When it is refused")[2].partition("## ")[0]
    assert len(codes) > 8 and codes == set(re.findall(r"`([A-Z_]{5,})`", text)) - {"STOPPED"} | codes & {"STOPPED"}
