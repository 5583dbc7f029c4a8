"""Observers, incidents and claims at a folder, SeaweedFS and Azurite: canaries are cleaned, one incident."""

from __future__ import annotations

import json
import os
from contextlib import ExitStack
from pathlib import Path

import pytest
from incident_world import NAMES, World

from holdfast.config.finding import load_config
from holdfast.control.incidents.claims import Claims
from holdfast.control.incidents.reading import list_incidents
from holdfast.control.incidents.watching import Watch
from holdfast.detection.probes.canary import CANARIES
from holdfast.errors import RefusedError
from holdfast.testing.servers import AzuriteServer, SeaweedServer

pytestmark = pytest.mark.servers


class _Servers(World):
    stores: dict[str, dict[str, object]]

    def declare(self, **sections: object) -> None:
        super().declare(**sections)
        path = self.folder / "holdfast.yaml"
        file = json.loads(path.read_text())
        for name, store in self.stores.items():
            file["sites"][name]["stores"]["warm"] = store
        path.write_text(json.dumps(file))


def test_one_incident_and_one_claim_over_three_kinds_of_stores(
    seaweed: SeaweedServer, azurite: AzuriteServer, tmp_path: Path
) -> None:
    fast = {"open_after": 1, "of": 1, "close_after": 1, "timeout": "20s"}
    probes = {name: {"kind": "store", "site": name, **fast} for name in NAMES}
    probes["trainer"] = {"kind": "tcp", "address": "127.0.0.1:9", "fault_site": "home", **fast}
    automatic = {"when": "trainer AND NOT second", "target": str(tmp_path / "back"), "wait": "0s", "isolated": True}
    recovery = {"asset": "run", "strategy": "BACKUP_AND_RESTORE", "to": ["second"], "automatic": automatic}
    with ExitStack() as stack:
        stores: dict[str, dict[str, object]] = {}
        for name, server in (("second", seaweed), ("third", azurite)):
            stack.enter_context(server.in_environment())
            stores[name] = {"url": f"{server.url}/{tmp_path.name}", "options": dict(server.options)}
        made = type("Made", (_Servers,), {"stores": stores})
        world: World = made(tmp_path)
        world.base = dict(os.environ)
        world.declare(detect={"quorum": 2, "probes": probes}, recoveries={"back": recovery})
        assert load_config(tmp_path / "holdfast.yaml").config.recoveries["back"].automatic is not None
        one, two = Watch(world.machine("keeper")), Watch(world.machine("ann"))
        two.look(), one.look()
        done = two.look()
        states = {name: verdict.state.value for name, verdict in done.verdicts.items()}
        assert states == {"home": "good", "second": "good", "third": "good", "trainer": "bad"}, done.verdicts
        for watch in (one, two):
            for thread in watch.starter.threads:
                thread.join()
        [incident] = list_incidents(world.machine("third-machine"))
        assert incident.subject == "trainer" and len(incident.runs) == 1
        sites = world.machine("keeper")
        for name in NAMES:
            store = sites.store(f"{name}/warm").store
            assert list(store.list(CANARIES)) == []
            assert list(store.list(f"incidents/{incident.id}/"))
            assert len(list(store.list("observations/said/ann/"))) <= 3
        claims = Claims(sites, one.vault.handle.keys, sites.clock)
        assert len(claims.read()) == 1
        with pytest.raises(RefusedError, match="1 began by themselves"):
            claims.claim("back", incident.id, "another plan")
