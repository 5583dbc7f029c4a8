"""Running commands in this process, as the program's entry point does, and looking at what they say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pytest
from safetensors.numpy import save_file

from holdfast.cli.main import main
from holdfast.cli.schemas import OUTPUTS

TWO_SITES = """\
version: 1
organisation: acme
sites:
  use1: {{cloud: aws, region: us-east-1, jurisdiction: US, stores: {{warm: {{url: {folder}/use1}}}}}}
  euw4: {{cloud: gcp, region: europe-west4, jurisdiction: EU, stores: {{warm: {{url: {folder}/euw4}}}}}}
"""
"""The beginning of a holdfast.yaml, to be formatted with `folder`: where the stores lie."""


class Said(NamedTuple):
    """What one command left behind."""

    code: int
    out: str
    err: str

    @property
    def last(self) -> str:
        """The last line on stderr: the outcome."""
        return self.err.splitlines()[-1]

    def fact(self, name: str) -> str:
        """The value of a labelled line on stdout, with its continuation lines."""
        lines = self.out.splitlines()
        at = next(i for i, line in enumerate(lines) if line.startswith(f"{name}  "))
        value = [lines[at][len(name) :].strip()]
        for line in lines[at + 1 :]:
            if not line.startswith("    "):
                break
            value.append(line.strip())
        return " ".join(value)


class Terminal:
    """A person at a terminal of 80 columns, in a folder and with a home of their own."""

    def __init__(self, folder: Path, capture: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self._capture = capture

    def run(self, *arguments: str | Path) -> Said:
        self._capture.readouterr()
        code = main([str(argument) for argument in arguments])
        out, err = self._capture.readouterr()
        return Said(code, out, err)

    def ok(self, *arguments: str | Path) -> Said:
        said = self.run(*arguments)
        assert said.code == 0, said
        return said

    def json(self, schema: str, *arguments: str | Path, code: int = 0) -> Any:
        """Run with `--json`; the one line of output, checked against the type that its schema is made of."""
        said = self.run(*arguments, "--json")
        assert said.code == code, said
        lines = said.out.splitlines()
        assert len(lines) == 1, lines
        return checked(schema, lines[0])


def checked(schema: str, line: str) -> Any:
    """The object in a line of JSON, which must hold all that its type has, and nothing else."""
    decoded = msgspec.json.decode(line, type=OUTPUTS[schema])
    found = json.loads(line)
    assert json.loads(msgspec.json.encode(decoded)) == found
    return found


def write_checkpoint(folder: Path, seed: int, *, bad: bool = False, tensors: int = 3) -> dict[str, Any]:
    """Weights and moments as safetensors files, a config, a link. Returns the weights. `bad`: one value is NaN."""
    rng = np.random.default_rng(seed)
    base = np.random.default_rng(99)
    weights = {f"layers.{i}.weight": base.normal(size=(64, 128)).astype("f4") for i in range(tensors)}
    weights = {name: value + 1e-4 * rng.normal(size=value.shape).astype("f4") for name, value in weights.items()}
    if bad:
        weights["layers.1.weight"][2, 3] = np.nan
    (folder / "sub").mkdir(parents=True, exist_ok=True)
    save_file(weights, folder / "model.safetensors")
    moments = {f"{name}.exp_avg": base.normal(size=value.shape).astype("f4") for name, value in weights.items()}
    save_file(moments, folder / "optimizer.safetensors")
    (folder / "sub/config.json").write_text('{"hidden": 128}')
    link = folder / "sub/link.json"
    if not link.is_symlink():
        link.symlink_to("config.json")
    return weights
