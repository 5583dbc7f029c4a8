"""Real processes that are killed, for some seconds. The long form, also on SeaweedFS, is `make soak-servers`."""

from __future__ import annotations

from pathlib import Path

from .traffic import Place, let_them_work


def test_writers_a_replicator_and_a_collector_that_are_killed(tmp_path: Path) -> None:
    place = Place(tmp_path, str(tmp_path / "vault"), {}, {}, lease_s=8.0)
    traffic = let_them_work(place, seconds=6.0, seed=1, kill_every=0.8)
    assert traffic.kills >= 3, traffic
    assert traffic.saved >= 4, traffic
    assert traffic.done.keys() >= {"left", "right", "replicator", "collector"}, traffic
