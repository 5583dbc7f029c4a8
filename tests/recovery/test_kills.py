"""Kill -9 at any moment costs at most the save that was under way. The long form is `campaigns/kills.py`."""

from __future__ import annotations

from pathlib import Path

from .killing import kill_savers


def test_savers_killed_at_random_moments(tmp_path: Path) -> None:
    tallies = [kill_savers(tmp_path / str(seed), kills=5, seed=seed) for seed in range(5)]
    assert sum(tally.kills for tally in tallies) == 25
    assert sum(tally.in_save for tally in tallies) >= 3, f"the kills met too few saves to show anything: {tallies}"
    assert sum(tally.snapshots for tally in tallies) > 25, tallies
