"""Evidence at the stores of a run: two who write it at once, a store that is lost, a writer's key, a full disk."""

from __future__ import annotations

import json
import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from numpy import ones

from holdfast.cli.objective import objective_status
from holdfast.cli.schemas.objectives import StandingFacts
from holdfast.clock import ManualClock, to_rfc3339
from holdfast.config.finding import load_config
from holdfast.control.evidencing.crediting import drills_at
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
from holdfast.errors import CredentialError, DamageError, HoldfastError, RefusedError, StoreUnreachableError
from holdfast.evidence.bundle import verify_files
from holdfast.evidence.drill_facts import DrillFacts, Instant
from holdfast.evidence.manifest import make_manifest, sign_manifest
from holdfast.evidence.record_outcome import Check, CheckLevel, CheckResult, Moment, MomentKind, Outcome
from holdfast.evidence.record_setting import Disruption, Environment, Exclusion, Exercise
from holdfast.recovery.plans import Plan
from holdfast.recovery.running.progress import Progress
from holdfast.stores.local import LocalStore
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


def test_copies_are_sites_that_read_it_back_within_30_days(world: tuple[Path, str]) -> None:
    folder, run = world  # proofs are of stores at their places
    for name in _SITES:
        opened(folder).open_at(f"{name}/warm").verify("run")
    for days, copies in ((0, 3), (29, 3), (31, 1)):  # 1: the run itself has read it at one site
        clock = ManualClock(time.time_ns() + days * 86_400 * 10**9)
        sites = DeclaredSites(load_config(folder / "holdfast.yaml"), dict(opened(folder).environment), clock)
        try:
            assert write_evidence_of(sites, run).record.results.measured.copies == copies
        finally:
            for name in _SITES:
                shutil.rmtree(folder / name / "evidence", ignore_errors=True)


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
        why = Recoveries(opened(folder)).write_evidence(run)  # as whoever ran it does: in words, and the verdict stays
        assert why.startswith(f"the evidence of {run} was not written: ")
        assert Recoveries(opened(folder)).status(run).state.verdict == "PASSED"
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


def drill(at: int, outcome: Outcome, **changes: object) -> DrillFacts:
    """A drill on copies that ends at `at` (ns): fault, noticed 1 s later, decided 2 s, executed 5 s, verified 9 s after
    it where it PASSED.
    """
    began = at - 20 * 10**9

    def instant(offset: float) -> Instant:
        return Instant(at_ns=began + round(offset * 1e9), offset_seconds=offset)

    passed = outcome is Outcome.PASSED
    kinds = ("fault", "detected", "decided", "executed", "verified") if passed else ("fault",)
    moments = [
        Moment(kind=MomentKind(kind), utc=to_rfc3339(instant(offset).at_ns), offset_seconds=offset, text=kind)
        for kind, offset in zip(kinds, (1.0, 2.0, 3.0, 6.0, 10.0), strict=False)
    ]
    check = Check(name="content", level=CheckLevel.HASHES, result=CheckResult.PASSED, detail="SHA-256")
    facts: dict[str, object] = {
        "drill_id": f"{at:020x}"[-20:],
        "scenario": "site-lost",
        "recovery": "run",
        "disruption": Disruption.SITE,
        "summary": "The site use1 is lost.",
        "environment": Environment.ISOLATED,
        "exercise": Exercise.FUNCTIONAL_FAILOVER,
        "outcome": outcome,
        "started": instant(0.0),
        "ended": instant(20.0),
        "moments": tuple(moments),
        "checks": (check,) if passed else (),
    }
    return DrillFacts(**(facts | changes))  # type: ignore[arg-type]


def test_drills_give_an_asset_credit_and_a_later_failure_takes_it(world: tuple[Path, str], tmp_path: Path) -> None:
    folder, run = copied(world, tmp_path)

    def standing() -> StandingFacts:
        [asset] = objective_status(opened(folder), ["run"]).assets
        assert asset.standing is not None
        return asset.standing

    def held(outcome: Outcome, **changes: object) -> str:
        facts = drill(time.time_ns(), outcome, **changes)
        write_evidence_of(opened(folder), facts.drill_id, drill=facts)
        return facts.drill_id

    rehearsed = standing().values["drilled"]
    assert rehearsed is not None and run in standing().sources["drilled"]
    for changes in ({"outcome": Outcome.ERROR}, {"outcome": Outcome.STOPPED}):
        held(**changes)
        assert standing().values["drilled"] == rehearsed  # they say nothing, either way
    held(Outcome.FAILED, planted="wrong-checksum")  # neither does what was made to fail, to try the drill
    assert standing().values["drilled"] == rehearsed
    failed = held(Outcome.FAILED)
    taken = standing()
    assert taken.values["drilled"] is None and taken.rto.state == "NOT_MEASURED"
    assert failed[:12] in taken.rto.reason and "FAILED" in taken.rto.reason
    held(Outcome.PASSED, scenario="keys-lost")
    held(Outcome.PASSED, exercise=Exercise.COMPONENT_RESTORE)
    held(Outcome.PASSED, environment=Environment.SIMULATED, exercise=Exercise.SIMULATION)
    assert standing().values["drilled"] is None  # another scenario; not as far; other data
    held(Outcome.PASSED, exclusions=(Exclusion(what="run", reason="it is large", owner="ada"),))
    assert standing().values["drilled"] is None  # who is excluded gains nothing
    passed = held(Outcome.PASSED)
    given = standing()
    assert given.values["drilled"] == pytest.approx(9.0)
    assert passed[:12] in given.sources["drilled"] and "site-lost, functional" in given.sources["drilled"]
    shutil.rmtree(folder / "use1")  # the evidence is at other sites, too
    assert drills_at(opened(folder), opened(folder).open_at("euw4/warm")).attempts


def test_a_run_whose_evidence_nobody_can_read_gives_no_credit(
    world: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else whoever damages the record of a failed drill gives back what it took."""
    folder, run = copied(world, tmp_path)

    def credited() -> tuple[float | None, str]:
        [asset] = objective_status(opened(folder), ["run"]).assets
        assert asset.standing is not None
        return asset.standing.values["drilled"], asset.standing.sources["drilled"]

    assert credited()[0] is not None
    for site in _SITES:
        place = folder / site / "evidence" / run
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{0:010d}").write_bytes(b"rubbish")
    worth, why = credited()
    assert worth is None and "cannot be read" in why
    vault = opened(folder).open_at("euw4/warm")

    def silent(*said: object, **named: object) -> None:
        raise StoreUnreachableError("nobody there")

    monkeypatch.setattr(LocalStore, "list", silent)
    monkeypatch.setattr(LocalStore, "folders", silent)
    drills = drills_at(opened(folder), vault)
    assert drills.unknown and not drills.attempts


def test_the_journal_in_the_evidence_is_held_against_the_stores(world: tuple[Path, str], tmp_path: Path) -> None:
    folder, run = copied(world, tmp_path)
    write_evidence_of(opened(folder), run)
    places = [path / f"{3:010d}" for site in _SITES if (path := folder / site / "runs" / run).exists()]
    whole = show(opened(folder), run).journal
    assert whole is not None and whole.problems == () and whole.same == whole.entries >= 6
    first, second = places  # of three stores: it was written until a majority had it
    original = second.read_bytes()
    second.chmod(0o600)
    second.unlink()
    gone = show(opened(folder), run).journal
    assert gone is not None and gone.problems == ("entry 3 lies at use1/warm alone, of 3",)
    assert gone.same == gone.entries - 1
    second.write_bytes(original[:-1] + b"x")
    other = show(opened(folder), run).journal
    assert other is not None and other.problems[0] == "entry 3 is another one at euw4/warm"
    first.chmod(0o600)
    first.write_bytes(original[:-1] + b"x")  # now a majority has another entry than the evidence
    with pytest.raises(DamageError, match=r"entry 3 of the run [0-9a-f]+ is another one at euw4/warm, use1/warm"):
        show(opened(folder), run)
    assert export(opened(folder), run, tmp_path / "out").shown.verified.record.identity.run == run  # the files hold


def test_a_signer_who_rewrites_an_entry_is_found_by_a_member(world: tuple[Path, str], tmp_path: Path) -> None:
    """The hashes are right, what stands beside them is not: a stranger cannot see it, a member does."""
    folder, run = copied(world, tmp_path)
    write_evidence_of(opened(folder), run)
    sites = opened(folder)
    keys = sites.open_at("use1/warm").handle.keys
    files = dict(show(sites, run).files)
    journal = json.loads(files["journal.json"])
    entry = next(one["entry"] for one in journal["entries"] if one["entry"]["deed"] == "taken")
    entry["by"] = "plane:0000000000000000"
    for one in journal["entries"][entry["number"] :]:
        one["entry"]["by"] = "plane:0000000000000000"
    files["journal.json"] = json.dumps(journal).encode()
    rest = {name: data for name, data in files.items() if not name.startswith(("manifest", "proofs"))}
    record = json.loads(rest["evidence.json"])
    signer = keys.require_keeper("lying")
    manifest = make_manifest(record["identity"]["record_id"], run, rest, signer)
    lie = {**rest, "manifest.json": manifest, "manifest.sig": sign_manifest(manifest, signer)}
    verify_files(lie)  # a stranger believes whoever signed
    name = f"evidence/{run}/{0:010d}"
    for site in _SITES:
        path = folder / site / name
        if path.exists():
            path.chmod(0o600)
            path.write_bytes(seal_kept(keys, name, Kept(run=run, at=1, files=lie)))
    with pytest.raises(DamageError, match=r"entry \d+ of the run [0-9a-f]+ says something else in its evidence"):
        show(sites, run)
