from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from region_files import FIXTURES, Call, entry, layout_of, safetensors_file, tensor_call, torch_file, weights, zip_file
from safetensors.numpy import save

from holdfast.errors import HoldfastError
from holdfast.vault.regions import propose
from holdfast.vault.regions.model import Source
from holdfast.vault.regions.proposal import Foreign, Malformed, Proposal
from holdfast.vault.regions.propose import propose_layout
from holdfast.vault.regions.source import BytesSource


def test_the_first_bytes_decide_before_the_name() -> None:
    torch_bytes = (FIXTURES / "torch" / "training.pt").read_bytes()
    for name in ("x.safetensors", "x.npy", "x", "pytorch_model.bin"):
        layout = layout_of(torch_bytes, name)
        assert (layout.format, layout.problems) == ("torch-zip", [])
    assert layout_of(save({"a": weights(3)}), "x.npy").format == "safetensors"
    assert layout_of((FIXTURES / "gguf" / "small.gguf").read_bytes(), "x.npz").format == "gguf"


@pytest.mark.parametrize("suffix", ["safetensors", "npy", "npz", "gguf", "SafeTensors"])
@pytest.mark.parametrize("data", [b"", b"x", b"plain text, surely" * 10])
def test_a_name_that_promises_a_format_makes_a_finding(suffix: str, data: bytes) -> None:
    layout = layout_of(data, f"model.{suffix}")
    assert layout.format == "opaque"
    assert len(layout.problems) == 1
    assert suffix.lower() in layout.problems[0] or suffix == "npz"


@pytest.mark.parametrize("name", ["x.pt", "x.bin", "x.distcp", "x.json", "x"])
def test_other_names_promise_nothing(name: str) -> None:
    assert layout_of(b"plain text", name).problems == []


def test_declines_are_errors_of_ours() -> None:
    assert issubclass(Malformed, HoldfastError)
    assert issubclass(Foreign, HoldfastError)


def test_names_are_unique_short_and_printable() -> None:
    header = {name: entry("F32", [4], 16 * i, 16 * i + 16) for i, name in enumerate(["n" * 5000, "m" * 5000, "ok"])}
    names = [tensor.name for tensor in layout_of(safetensors_file(header, bytes(48)), "x.safetensors").tensors]
    assert len(set(names)) == 3
    assert all(len(name) <= 512 for name in names)
    assert names[2] == "ok"
    tensors = [tensor_call("FloatStorage", str(index), 1, (1,), (1,)) for index in range(4)]
    value = {1: tensors[0], "1": tensors[1], "1~2": tensors[2], "bad\udc80": tensors[3]}
    layout = layout_of(torch_file(value, {str(index): weights(1, index).tobytes() for index in range(4)}))
    names = [tensor.name for tensor in layout.tensors]
    assert names[:3] == ["1", "1~2", "1~2~2"]
    assert len(set(names)) == 4
    json.dumps(names, ensure_ascii=False).encode()


def test_findings_about_names_with_surrogates_can_be_encoded() -> None:
    layout = layout_of(safetensors_file(b'{"\\ud800": 1}', b""), "caf\udce9.safetensors")
    assert len(layout.problems) == 1
    layout.problems[0].encode()


def test_a_parser_that_fails_costs_compression_and_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(source: Source) -> Proposal:
        raise IndexError

    monkeypatch.setattr(propose, "_GGUF", propose._GGUF._replace(parse=failing))
    layout = layout_of((FIXTURES / "gguf" / "small.gguf").read_bytes(), "x.gguf")
    assert layout.format == "opaque"
    assert layout.problems == ["the parser for gguf failed on it (IndexError)"]


def test_findings_are_limited() -> None:
    members = {f"{index}.npy": b"\x93NUMPY\x01\x00" for index in range(100)}
    assert len(layout_of(zip_file(members), "x.npz").problems) == 33


def test_an_error_of_the_source_is_not_hidden() -> None:
    class Failing(BytesSource):
        def read_at(self, offset: int, length: int) -> bytes:
            if offset:
                raise HoldfastError("the disk is gone")
            return super().read_at(offset, length)

    with pytest.raises(HoldfastError, match="the disk is gone"):
        propose_layout(Failing(save({"a": weights(3)})), "x.safetensors")


def test_the_same_bytes_give_the_same_layout() -> None:
    data = (FIXTURES / "torch" / "views.pt").read_bytes()
    assert layout_of(data) == layout_of(data)
    dump = np.concatenate([weights(1 << 18), weights(1 << 18, 1)]).tobytes()
    assert layout_of(dump) == layout_of(dump)


def test_reading_a_torch_file_imports_no_torch_and_runs_no_pickle() -> None:
    path = FIXTURES / "torch" / "wrapped.pt"
    code = f"""
import os, sys
from holdfast.vault.regions.propose import propose_layout
from holdfast.vault.regions.source import FileSource
seen = []
sys.addaudithook(lambda event, arguments: seen.append(event))
fd = os.open({str(path)!r}, os.O_RDONLY)
assert propose_layout(FileSource(fd), "wrapped.pt").format == "torch-zip"
assert "open" in seen
assert not {{"pickle.find_class", "import", "exec", "compile"}} & set(seen), seen
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_calls_that_would_hurt_are_only_remembered() -> None:
    value = {"w": tensor_call("FloatStorage", "0", 4, (4,), (1,)), "bad": Call(("os", "_exit"), 3)}
    assert [tensor.name for tensor in layout_of(torch_file(value, {"0": bytes(16)})).tensors] == ["w"]
