"""The benchmark of `make bench-catalog`, small: figures of the right kind, within generous limits, and from indexes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path


def test_a_small_catalog_is_judged_whole() -> None:
    command = [sys.executable, "-m", "benchmarks.catalog", "--on", "sqlite"]
    command += ["--assets", "200", "--snapshots", "4000", "--sites", "8"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[3], check=True)
    found = json.loads(done.stdout)["sqlite"]
    assert found["objectives"] == 200
    assert found["rpo_states"] == {"UNATTAINABLE": 67, "MET": 133}, "every 12 hours, of two hours, a day and a week"
    assert found["memory_mib_peak"] < 1024
    assert any("COVERING INDEX ix_proofs_newest" in step for step in found["query_plan"])
