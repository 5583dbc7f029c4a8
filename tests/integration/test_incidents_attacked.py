"""Who watches, against rubbish, clocks that are ahead, plans by hand, and kills between two steps; with real vaults."""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from incident_world import World

from holdfast.clock import ManualClock
from holdfast.control.incidents import watching
from holdfast.control.incidents.acting import preapprove
from holdfast.control.incidents.claims import CLAIMS, Claim, Claims, claim_stores
from holdfast.control.incidents.documents import seal_signed
from holdfast.control.incidents.preapproving import Standing, StandingApprovals
from holdfast.control.incidents.receiving import receive_alerts
from holdfast.control.incidents.watching import Watch, Watcher
from holdfast.control.recovering.intending import Wanted
from holdfast.control.recovering.recovering import Recoveries
from holdfast.control.sites.declared import DeclaredSites
from holdfast.errors import UsageError
from holdfast.recovery.plans import plan_hash

S = 1_000_000_000
FAST = {"open_after": 1, "of": 1, "close_after": 1, "timeout": "2s"}


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setenv("HOOK_KEY", "hush-hush")
    return World(tmp_path)


def _closed() -> str:
    """An address that nobody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as made:
        return f"127.0.0.1:{made.getsockname()[1]}"


def _declare(world: World, *, probes: dict[str, Any] | None = None, quorum: int = 2, **automatic: Any) -> None:
    trainer = {"kind": "tcp", "address": _closed(), "fault_site": "home", "asset": "run", **FAST}
    stores = {"kind": "store", "site": "second", **FAST}
    detect = {"quorum": quorum, "every": "100ms", "probes": probes or {"trainer": trainer, "stores": stores}}
    recovery: dict[str, Any] = {
        "asset": "run",
        "strategy": "BACKUP_AND_RESTORE",
        "to": ["second"],
        "steps": "book.yaml",
    }
    recovery["automatic"] = {"when": "trainer", "wait": "0s", "target": str(world.folder / "back")} | automatic
    (world.folder / "book.yaml").write_text("steps: []\n")
    world.declare(detect=detect, recoveries={} if probes else {"failover": recovery})


def _standing(world: World) -> list[Standing]:
    sites = world.machine("keeper")
    return StandingApprovals(sites, Watch(sites).vault.handle.keys).of("failover")


def test_an_alert_that_two_take_in_has_two_voices(world: World) -> None:
    _declare(world, probes={"hot": {"kind": "alert", "alert": "Hot", **FAST}})
    one, two = Watch(world.machine("keeper")), Watch(world.machine("ann"), acts=False)
    body = msgspec.json.encode(
        {"version": "4", "alerts": [{"status": "firing", "labels": {"alertname": "Hot"}, "fingerprint": "a1"}]}
    )
    for name in ("keeper", "ann", "ann"):
        [incident] = receive_alerts(world.machine(name), body)
    assert len(incident.entries) == 2
    two.look()
    assert one.look().verdicts["hot"].state.value == "bad"


def test_claims_of_the_future_do_not_get_round_the_limits(world: World) -> None:
    _declare(world)
    sites = world.machine("keeper")
    keys = Watch(sites).vault.handle.keys
    for number in range(3):
        at = time.time_ns() + number * 90_000 * S
        claim = Claim(recovery="failover", incident="i", plan=f"p{number}", by=keys.label, at=at)
        key = f"{CLAIMS}{number:010d}"
        sealed = seal_signed(keys, key, msgspec.json.encode(claim, order="sorted"))
        for store in claim_stores(sites):
            sites.store(store).store.create(key, sealed)
    claims = Claims(world.machine("ann"), keys, sites.clock)
    assert [bool(claims.within_limits(f"p{number}")) for number in range(3)] == [True, False, False]


def test_a_plan_of_another_point_is_not_what_was_approved_beforehand(world: World) -> None:
    _declare(world, at_most=5, cooldown="0s")
    world.machine("keeper")
    declared = msgspec.json.decode((world.folder / "holdfast.yaml").read_bytes())
    declared["recoveries"]["failover"].pop("steps")
    declared["detect"]["at_most"] = 5
    (world.folder / "holdfast.yaml").write_bytes(msgspec.json.encode(declared))
    preapprove(world.machine("ann"), "failover", starter="keeper", seconds=3600.0)
    sites = world.machine("keeper")
    claims = Claims(sites, Watch(sites).vault.handle.keys, sites.clock)
    recoveries = Recoveries(world.machine("keeper"))
    refused = []
    for wanted in (Wanted("failover"), Wanted("failover", as_of=time.time_ns())):
        plan = recoveries.plan(wanted)
        claims.claim("failover", f"incident {len(refused)}", plan_hash(plan.plan))
        refused.append([one.code for one in recoveries.review(plan).refusals])
    assert refused == [[], ["NOT_APPROVED"]]


def test_an_approval_is_of_the_runbook_too_and_is_withdrawn_whatever_the_clocks_say(world: World) -> None:
    _declare(world)
    world.clock = ManualClock(time.time_ns() + 120 * S)
    preapprove(world.machine("ann"), "failover", starter="keeper", seconds=3600.0)
    world.clock = ManualClock(time.time_ns() + 240 * S)
    assert [one.problem for one in _standing(world)] == [""]
    (world.folder / "book.yaml").write_text("steps: [ ]\n")
    assert [one.problem for one in _standing(world)] == ["what it approved was declared otherwise"]
    (world.folder / "book.yaml").write_text("steps: []\n")
    world.clock = ManualClock(time.time_ns())
    preapprove(world.machine("keeper"), "failover", starter="", seconds=0.0)
    world.clock = ManualClock(time.time_ns() + 240 * S)
    assert "withdrawn" in _standing(world)[0].problem


def test_rubbish_beside_an_observation_does_not_hide_it(world: World) -> None:
    _declare(world)
    one, two = Watch(world.machine("keeper")), Watch(world.machine("ann"), acts=False)
    two.look()
    for site in ("home", "second", "third"):
        store = world.machine("ann").store(f"{site}/warm").store
        for number in range(5):
            store.create(f"observations/said/ann/{time.time_ns() + 30 * S:020d}-{number:012x}", b"rubbish")
    assert one.look().opened


def test_a_claim_whose_watcher_was_killed_is_taken_up_by_the_next_one(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    _declare(world, isolated=True)
    (world.folder / "book.yaml").unlink()
    declared = msgspec.json.decode((world.folder / "holdfast.yaml").read_bytes())
    declared["recoveries"]["failover"].pop("steps")
    (world.folder / "holdfast.yaml").write_bytes(msgspec.json.encode(declared))

    class Killed(BaseException): ...

    claim = Claims.claim

    def killed(self: Claims, *of: str) -> Claim:
        claim(self, *of)
        raise Killed

    Watch(world.machine("ann"), acts=False).look()
    monkeypatch.setattr(Claims, "claim", killed)
    with pytest.raises(Killed):
        Watch(world.machine("keeper")).look()
    monkeypatch.setattr(Claims, "claim", claim)
    soon = Watch(world.machine("keeper")).look().decisions[0]
    assert not soon.begins and "is about to begin it" in soon.why
    world.clock = ManualClock(time.time_ns() + 90 * S)
    Watch(world.machine("ann"), acts=False).look()
    anew = Watch(world.machine("keeper"))
    decision = anew.look().decisions[0]
    for thread in anew.starter.threads:
        thread.join()
    assert decision.begins, decision.why
    assert [one.state.verdict for one in Recoveries(world.machine("keeper")).runs(5)] == ["PASSED"]
    assert "one incident, one run" in anew.look().decisions[0].why


def test_the_loop_outlives_a_source_that_fails_and_a_message_that_cannot_be_made(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    _declare(world, probes={"stores": {"kind": "store", "site": "second", **FAST}})
    sites, asked, enough = world.machine("keeper"), [0], threading.Event()

    class Source:
        workflows = None

        def sites(self) -> DeclaredSites:
            asked[0] += 1
            if asked[0] in (2, 3):
                raise UsageError("half a file")
            if asked[0] > 5:
                enough.set()
            return sites

    monkeypatch.setattr(watching, "_AGAIN_S", 0.1)
    watcher = Watcher(Source())
    watcher.start()
    assert enough.wait(30)
    watcher.stop()


def test_a_repair_gets_no_secret_that_the_file_refers_to(world: World) -> None:
    told = world.folder / "told"
    repair = {"do": "command", "command": ["/bin/sh", "-c", f"env > {told}"]}
    _declare(world, quorum=1, probes={"trainer": {"kind": "tcp", "address": _closed(), "repair": [repair], **FAST}})
    declared = msgspec.json.decode((world.folder / "holdfast.yaml").read_bytes())
    hook = {"kind": "webhook", "url": "http://127.0.0.1:1/", "secret": "${HOOK_KEY}"}
    (world.folder / "holdfast.yaml").write_bytes(msgspec.json.encode(declared | {"notify": {"channels": {"h": hook}}}))
    Watch(world.machine("keeper")).look()
    assert "PATH=" in told.read_text() and "hush-hush" not in told.read_text()
