"""Evidence at the stores of a run: two who write it at once, a store that is lost, a writer's key, a full disk."""

from __future__ import annotations

import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from numpy import ones

from holdfast.config.finding import load_config
from holdfast.control.evidencing.keeping import newest_kept
from holdfast.control.evidencing.reading import export, show
from holdfast.control.evidencing.sealing import Kept, decode_kept, encode_kept, seal_kept
from holdfast.control.evidencing.writing import write_evidence_of
from holdfast.control.keys.key_files import export_writer
from holdfast.control.recovering.intending import Wanted
from holdfast.control.recovering.recovering import Recoveries
from holdfast.control.sites.declared import DeclaredSites
from holdfast.control.sites.following import SiteFollower
from holdfast.control.sites.saving import declared_save
from holdfast.control.vaults.opening import create
from holdfast.errors import CredentialError, DamageError, HoldfastError, RefusedError
from holdfast.recovery.plans import Plan
from holdfast.recovery.running.progress import Progress
from holdfast.stores.protocol import Store

_SITES = ("use1", "euw4", "aps1")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Three sites, and a rehearsal that has passed, without its evidence."""
    folder = tmp_path_factory.mktemp("world")
    sites = {
        name: {
            "cloud": "onprem",
            "region": name,
            "jurisdiction": "EU",
            "stores": {"warm": {"url": str(folder / name)}},
        }
        for name in _SITES
    }
    asset = {"class": "training", "place": {"synchronous": ["use1"], "asynchronous": ["euw4", "aps1"]}}
    file = {"version": 1, "organisation": "acme", "sites": sites, "assets": {"run": asset}}
    (folder / "holdfast.yaml").write_text(json.dumps(file))
    declared = opened(folder)
    made = create(str(folder / "use1"), environment=declared.environment)
    export_writer(made.vault, "trainer", folder / "trainer.key")
    saving = declared_save(declared, "run")
    saving.vault.save("run", {"w": ones(1 << 12, "<f4")}, step=5, committed=saving.committed)
    assert SiteFollower(declared, [declared.asset("run")]).run_round().settled

    def quiet(plan: Plan, progress: Progress) -> None: ...

    recoveries = Recoveries(declared)
    file_ = recoveries.plan(Wanted("run", isolated=True, target=str(folder / "rehearsal")))
    assert recoveries.run(file_, "", quiet).state.verdict == "PASSED"
    for name in _SITES:  # the run has left its evidence: this is about writing it
        shutil.rmtree(folder / name / "evidence", ignore_errors=True)
    return folder, file_.run


def opened(folder: Path, **more: str) -> DeclaredSites:
    homes = {f"XDG_{kind}_HOME": str(folder / kind) for kind in ("CONFIG", "STATE", "CACHE")}
    return DeclaredSites(load_config(folder / "holdfast.yaml"), dict(os.environ) | homes | more)


def copied(world: tuple[Path, str], tmp_path: Path) -> tuple[Path, str]:
    """The world in a place of its own."""
    folder = Path(shutil.copytree(world[0], tmp_path / "world"))
    file = (folder / "holdfast.yaml").read_text().replace(str(world[0]), str(folder))
    (folder / "holdfast.yaml").write_text(file)
    return folder, world[1]


def test_two_who_write_at_once_keep_one_and_the_same(world: tuple[Path, str], tmp_path: Path) -> None:
    folder, run = copied(world, tmp_path)
    with ThreadPoolExecutor(3) as pool:
        written = [one.result() for one in [pool.submit(write_evidence_of, opened(folder), run) for _ in range(3)]]
    assert len({one.record.identity.record_id for one in written}) == 1
    objects = [path.read_bytes() for path in sorted(folder.glob(f"*/evidence/{run}/0000000000"))]
    assert len(objects) >= 2 and len(set(objects)) == 1
    again = write_evidence_of(opened(folder), run, folder=tmp_path / "out")
    assert again.record == written[0].record and again.evidence is not None and again.evidence.exists()


def test_it_is_found_and_exported_when_sites_are_lost(world: tuple[Path, str], tmp_path: Path) -> None:
    folder, run = copied(world, tmp_path)
    stores = write_evidence_of(opened(folder), run).stores
    [listed] = newest_kept(opened(folder), 10)
    assert listed.run == run and set(listed.stores) == set(stores)
    shutil.rmtree(folder / stores[0].partition("/")[0])
    sites = opened(folder)
    assert set(show(sites, run).stores) == set(stores[1:])
    assert export(sites, run, tmp_path / "out").shown.verified.record.identity.run == run
    assert (tmp_path / "out" / "manifest.sig").exists()


def test_a_copy_that_was_altered_is_not_the_one_that_is_read(world: tuple[Path, str], tmp_path: Path) -> None:
    folder, run = copied(world, tmp_path)
    write_evidence_of(opened(folder), run)
    first, *others = sorted(folder.glob(f"*/evidence/{run}/0000000000"))
    first.chmod(0o600)
    first.write_bytes(first.read_bytes()[:-1] + b"x")
    assert show(opened(folder), run).verified.record.identity.run == run
    for path in others:
        path.chmod(0o600)
        path.write_bytes(b"HOLDFASTE nothing")
    with pytest.raises(DamageError):
        show(opened(folder), run)


def test_a_trainer_can_neither_write_nor_forge_it(world: tuple[Path, str], tmp_path: Path) -> None:
    folder, run = copied(world, tmp_path)
    trainer = opened(folder, HOLDFAST_KEY_FILE=str(folder / "trainer.key"))
    with pytest.raises(CredentialError, match="keeper"):
        write_evidence_of(trainer, run)
    keys = trainer.open_at("use1/warm").handle.keys
    with pytest.raises(CredentialError, match="keeper"):
        seal_kept(keys, f"evidence/{run}/0000000000", Kept(run=run, at=1, files={"evidence.json": b"{}"}))
    assert list(folder.glob("*/evidence")) == []


def test_a_full_disk_is_an_error_and_another_try_helps(
    world: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from holdfast.errors import StorageFullError
    from holdfast.stores.local import LocalStore

    folder, run = copied(world, tmp_path)
    create_ = LocalStore.create

    def full(self: Store, key: str, data: bytes, *rest: object, **more: object) -> object:
        if key.startswith("evidence/"):
            raise StorageFullError("there is no space left", object_name=key)
        return create_(self, key, data, *rest, **more)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(LocalStore, "create", full)
        with pytest.raises(HoldfastError):
            write_evidence_of(opened(folder), run)
    assert write_evidence_of(opened(folder), run).record.identity.run == run


def test_what_a_document_holds_is_checked_before_it_is_used() -> None:
    name = f"evidence/{'a' * 20}/0000000000"
    good = Kept(run="a" * 20, at=1, files={"evidence.json": b"{}", "proofs/1.tlog-proof": b"x"})
    assert decode_kept(name, encode_kept(good)) == good
    for files in ({"../x": b""}, {"/etc/passwd": b""}, {"a/b/c": b""}, {".ssh": b""}, {"a\0": b""}, {"": b""}):
        with pytest.raises(DamageError):
            decode_kept(name, encode_kept(Kept(run="a" * 20, at=1, files=files)))
    with pytest.raises(DamageError):
        decode_kept(name, encode_kept(Kept(run="b" * 20, at=1, files={})))
    with pytest.raises(RefusedError, match="too large"):
        encode_kept(Kept(run="a" * 20, at=1, files={"x": os.urandom(33 << 20)}))
