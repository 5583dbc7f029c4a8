"""The catalog of real vaults: notices, journals, pointers and proofs; an update leaves the rows of a rebuild."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from numpy.random import default_rng

from holdfast.catalog.asking import asset_known, contents
from holdfast.catalog.database import Database
from holdfast.catalog.opening import open_catalog
from holdfast.catalog.projecting import Projection
from holdfast.catalog.seen import Declared, DeclaredAsset, DeclaredSite, DeclaredStore
from holdfast.clock import SYSTEM_CLOCK
from holdfast.control.cataloguing.meaning import Meanings
from holdfast.control.cataloguing.reading import VaultReader
from holdfast.control.recovering.seals import VaultSeal
from holdfast.ids import SnapshotId
from holdfast.recovery.estimates import Estimate, Source
from holdfast.recovery.intents import Intent, Strategy
from holdfast.recovery.journal.entries import Deed
from holdfast.recovery.journal.journal import Journal
from holdfast.recovery.plans import Chosen, Kind, Plan, Step, plan_hash
from holdfast.replication.following.rounds import Follower
from holdfast.replication.following.routes import Route
from holdfast.replication.following.views import SiteStore
from holdfast.stores.local import LocalStore
from holdfast.stores.protocol import Store
from holdfast.testing.workspace import new_trial_vault, own_memory
from holdfast.vault.access.site_notices import SiteNotice, notice_key, seal_notice
from holdfast.vault.vault import Vault

_SITES = ("use1", "euw4", "aps1")
_DECLARED = Declared(
    tuple(DeclaredSite(name, "aws", name, "EU") for name in _SITES),
    tuple(DeclaredStore(f"{name}/warm", name, "warm") for name in _SITES),
    (DeclaredAsset("llama", "training", "use1", 3600.0, 3600.0, 5),),
)


class World:
    """A vault at three sites in folders, and its catalog."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.stores: dict[str, Store] = {site: LocalStore(folder / site) for site in _SITES}
        self.vault: Vault = new_trial_vault(self.stores["use1"]).open()
        self.follower = Follower(
            self.vault.handle,
            [SiteStore(f"{site}/warm", site, store) for site, store in self.stores.items()],
            [Route("llama", "use1/warm", ("euw4/warm", "aps1/warm"))],
        )
        self.database = self.opened("catalog")
        self._random = default_rng(7)

    def opened(self, name: str) -> Database:
        return open_catalog(str(self.folder / f"{name}.sqlite"), "acme")

    def save(self, step: int) -> str:
        state = {"w": self._random.normal(size=5_000).astype("float32")}
        return self.vault.save("llama", state, step=step).root.id

    def update(self, database: Database, *, anew: bool = False) -> int:
        made = Projection(database, Meanings(), SYSTEM_CLOCK)
        made.declare(_DECLARED)
        read = 0
        for site, store in self.stores.items():
            taken = made.take(VaultReader(self.vault.handle, SiteStore(f"{site}/warm", site, store)), anew=anew)
            assert not taken.problem
            read += taken.read
        return read

    def rows(self, database: Database) -> dict[str, list[object]]:
        with database.reading() as connection:
            return {name: list(rows) for name, rows in contents(connection).items()}

    def require_as_rebuilt(self) -> dict[str, list[object]]:
        rebuilt = self.opened("rebuilt")
        self.update(rebuilt, anew=True)
        rows = self.rows(self.database)
        assert rows == self.rows(rebuilt)
        rebuilt.close()
        return rows


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with own_memory(tmp_path / "own"):
        made = World(tmp_path)
        yield made
        made.database.close()


def test_snapshots_pointers_and_proofs(world: World) -> None:
    first = world.save(1)
    assert world.update(world.database) > 0
    world.follower.run_round()
    second = world.save(2)
    world.update(world.database)
    assert world.update(world.database) == 0
    rows = world.require_as_rebuilt()
    assert len(rows["snapshots"]) == 2
    with world.database.reading() as connection:
        known = asset_known(connection, "llama", SYSTEM_CLOCK.now_ns())
    assert [(one.id, one.step, len(one.stores)) for one in known.snapshots] == [(second, 2, 1), (first, 1, 3)]
    assert known.snapshots[1].proven == ("aps1/warm", "euw4/warm", "use1/warm")
    key = world.vault.handle.keys.names.snapshot_key("llama", SnapshotId(first))
    for store in world.stores.values():
        store.delete(key)
    world.update(world.database)
    assert len(world.require_as_rebuilt()["snapshots"]) == 1


def test_what_is_damaged_or_junk_is_counted_and_costs_nothing_else(world: World) -> None:
    world.save(1)
    world.save(2)
    store = world.folder / "use1"
    [damaged, _] = sorted((store / "snapshots").rglob("*"), key=lambda path: (path.is_dir(), path.name))[:2]
    damaged.chmod(0o600)
    damaged.write_bytes(b"\0" * 100)
    world.stores["use1"].put("runs/junk/0000000000", b"junk")
    world.stores["use1"].put("runs/junk/nonsense", b"junk")
    world.stores["use1"].put("sites/nonsense", b"junk")
    world.stores["use1"].put("snapshots/nonsense", b"junk")
    world.update(world.database)
    rows = world.require_as_rebuilt()
    assert len(rows["snapshots"]) == 1
    assert len(rows["runs"]) == 0
    assert len(rows["incidents"]) == 0
    assert sorted(str(row) for row in rows["replicas"] if "damage" in str(row)) != []


def test_incidents_and_runs_are_told_by_the_sites_that_are_left(world: World) -> None:
    snapshot = world.save(1)
    world.follower.run_round()
    now = SYSTEM_CLOCK.now_ns()
    notice = SiteNotice(id="01" + "a" * 24, site="use1", condition="failed", at=now, reason="flooded", by="x")
    sealed = seal_notice(world.vault.handle.keys, notice)
    for site in ("euw4", "aps1"):
        world.stores[site].create(notice_key(notice.id), sealed)
    plan = _plan(snapshot, now)
    seal = VaultSeal(world.vault.handle.keys)
    stores = [world.stores[site] for site in _SITES]
    journal = Journal("a" * 20, stores, seal, "plane:1")
    facts: dict[str, str | int | float | bool] = {"journal": " ".join(f"{site}/warm" for site in _SITES)}
    journal.append(Deed.PLANNED, plan=_text(plan), facts=facts)
    journal.append(Deed.TAKEN)
    world.update(world.database)
    assert world.rows(world.database)["runs"] != []
    journal.append(Deed.ENDED, text="PASSED")
    world.stores["use1"].delete(f"runs/{'a' * 20}/0000000002")  # one still has it, whom readers follow
    world.update(world.database)
    world.require_as_rebuilt()
    with world.database.reading() as connection:
        known = asset_known(connection, "llama", SYSTEM_CLOCK.now_ns())
    assert [(run.verdict, run.site) for run in known.runs] == [("PASSED", "euw4")]
    assert known.standing is not None
    assert known.standing.rto.achievable == 60.0
    assert isinstance(known.standing.rto.current, float)
    assert [(site, condition) for site, condition, _, _ in known.incidents] == [("use1", "failed")]
    world.stores["euw4"].delete(f"runs/{'a' * 20}/0000000002")  # now nobody has it
    world.update(world.database)
    world.require_as_rebuilt()
    with world.database.reading() as connection:
        [run] = asset_known(connection, "llama", SYSTEM_CLOCK.now_ns()).runs
    assert (run.verdict, run.ended) == ("", None)
    assert plan_hash(plan) in str(world.rows(world.database)["plans"])


def _text(plan: Plan) -> str:
    import msgspec

    return msgspec.json.encode(plan, order="sorted").decode()


def _plan(snapshot: str, now: int) -> Plan:
    estimate = Estimate(seconds=20.0, source=Source.MEASURED)
    step = Step(id="restore", kind=Kind.RESTORE, title="restore", site="euw4", estimate=estimate, no_undo="a copy")
    return Plan(
        intent=Intent(name="r", assets=("llama",), to=("euw4",), strategy=Strategy.BACKUP_AND_RESTORE, by="keeper"),
        site="euw4",
        facts_at=now,
        fresh_until=now + 10**12,
        chosen=(
            Chosen(
                asset="llama",
                snapshot=SnapshotId(snapshot),
                step=1,
                content=now,
                loss=0.0,
                site="euw4",
                store="euw4/warm",
            ),
        ),
        steps=(step,),
        detecting=estimate,
        deciding=estimate,
    )
