"""Memory does not grow with what is saved. The long form, 8 GB, is `campaigns/memory.py`."""

from __future__ import annotations

from pathlib import Path

import pytest

from .memory_use import measure, prepare, write_checkpoint

SIZE = 256 << 20
MIB_MAX = 280  # Python and its libraries take 46, a save 165 more; one copy of the source would be 256 more


@pytest.mark.slow
def test_memory_stays_bounded(tmp_path: Path) -> None:
    prepare(tmp_path, SIZE)
    seen = [measure(tmp_path, verb) for verb in ("save", "verify", "check", "restore")]
    model, restored = tmp_path / "source" / "model.safetensors", tmp_path / "out" / "model.safetensors"
    assert model.read_bytes() == restored.read_bytes()
    write_checkpoint(model, SIZE, step=1)
    seen += [measure(tmp_path, verb) for verb in ("save", "verify")]  # deltas, and their bases
    assert all(one.mib_most < MIB_MAX for one in seen), seen
    assert seen[0].mib_most > seen[0].mib_before + 30, "the measurement does not see the work"
