"""A Saver that asks holdfast.yaml where its asset goes, and waits for the sites that its class demands."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import holdfast
from holdfast.training import Saver

_FILE = """\
version: 1
organisation: acme
sites:
  use1:
    {{cloud: aws, region: us-east-1, jurisdiction: US, stores: {{warm: {{url: {folder}/use1}}}}}}
  euw4:
    {{cloud: gcp, region: europe-west4, jurisdiction: EU, stores: {{warm: {{url: {folder}/euw4}}}}}}
assets:
  llama: {{class: development, place: {{synchronous: [use1, euw4]}}}}
"""


def test_durable_means_at_both_sites(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("STATE", "CONFIG", "CACHE"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / name.lower()))
    monkeypatch.setenv("HOLDFAST_KEY_FILE", str(tmp_path / "key"))
    monkeypatch.setenv("HOLDFAST_CONFIG", str(tmp_path / "holdfast.yaml"))
    holdfast.create(tmp_path / "use1")
    (tmp_path / "holdfast.yaml").write_text(_FILE.format(folder=tmp_path))
    with Saver(None, asset="llama") as saver:
        ticket = saver.save({"w": np.arange(9)}, step=4)
        assert ticket.require(120)
        assert (saver.restore()["w"] == np.arange(9)).all()
    for site in ("use1", "euw4"):
        assert holdfast.open(tmp_path / site).find("llama").step == 4


def test_a_saver_loads_no_framework() -> None:
    code = "import sys; from holdfast.training import Saver; print(*{'torch', 'jax', 'obstore'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == ""
