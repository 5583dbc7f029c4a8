"""A state is taken apart, its files are written as they would be, read by safetensors itself, and rebuilt."""

from __future__ import annotations

import enum
import math
import random
import struct
from collections import OrderedDict, namedtuple
from typing import Any

import msgspec
import numpy as np
import pytest
import safetensors.numpy
import torch

from holdfast.errors import DamageError, MissingExtraError, UnsupportedFormatError, UsageError
from holdfast.training.states.arrays import form_of, host_view
from holdfast.training.states.files import STATE_FILE, StateFiles, plan_files
from holdfast.training.states.rebuilding import read_tree, rebuild, tensors_of
from holdfast.vault.tensors.dtypes import SAFETENSORS, numpy_dtype

FORMATS = {safetensors: numpy_dtype(ours) for ours, safetensors in SAFETENSORS.items()}


def written(state: Any) -> tuple[dict[str, bytes], StateFiles]:
    """The files of a state, put together by plain NumPy."""
    files = plan_files(state)
    found = {STATE_FILE: files.document}
    for file in files.files:
        data = bytearray(file.data_bytes)
        for piece in file.pieces:
            array = np.ascontiguousarray(host_view(piece.value, piece.name)).reshape(-1).view(np.uint8)
            data[piece.offset : piece.offset + array.nbytes] = array.tobytes()
        found[file.name] = file.header + bytes(data)
    return found, files


def again(state: Any) -> Any:
    files, _ = written(state)
    tree = read_tree(files.pop(STATE_FILE))
    loaded: dict[str, Any] = {}
    for name, data in files.items():
        size = int.from_bytes(data[:8], "little")
        header = msgspec.json.decode(data[8 : 8 + size])
        for key, said in header.items():
            begin, end = said["data_offsets"]
            dtype = FORMATS[said["dtype"]]
            raw = np.frombuffer(bytearray(data[8 + size + begin : 8 + size + end]), np.uint8)
            loaded[name, key] = raw.view(dtype).reshape(said["shape"])
    assert set(tensors_of(tree)) == set(loaded)
    return rebuild(tree, lambda key: loaded[key])


class Colour(enum.Enum):
    RED = "red"


Pair = namedtuple("Pair", "first second")


def test_plain_values_come_back_exactly() -> None:
    state = {
        "none": None,
        "flags": [True, False],
        "numbers": [0, -1, 2**53, 2**53 + 1, -(2**200), 0.1, -0.0, 5e-324, 1.0],
        "text": ["", "é", "\ud800", "\x00"],
        "bytes": b"\x00\xff",
        "tuple": (1, (2, [3])),
        "keys": {1: "a", "1": "b", None: "c", (1, "x"): "d", 2.5: "e", True and "$odd": "f"},
        "dollar": {"$tensor": ["not", "one"]},
        "set": {3, 1, 2},
        "complex": complex(1, math.inf),
        "numpy": [np.float32(0.1), np.int64(7), np.bool_(True), np.dtype("<f4")],
        "torch": [torch.bfloat16, torch.device("cuda:1"), torch.Size([2, 3])],
    }
    got = again(state)
    assert got == state
    assert math.copysign(1, got["numbers"][6]) == -1
    assert type(got["numbers"][8]) is float
    assert [type(one) for one in got["numpy"]] == [np.float32, np.int64, np.bool, type(np.dtype("<f4"))]
    assert type(got["tuple"]) is tuple
    assert type(got["torch"][2]) is torch.Size


def test_every_bit_of_a_nan_stays() -> None:
    odd = struct.unpack(">d", bytes.fromhex("7ff800000000beef"))[0]
    got = again([odd, math.inf, -math.inf])
    assert struct.pack(">d", got[0]).hex() == "7ff800000000beef"
    assert got[1:] == [math.inf, -math.inf]


@pytest.mark.parametrize(
    "dtype",
    [
        torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.bool, torch.uint8,
        torch.int8, torch.int16, torch.int32, torch.int64, torch.uint16, torch.complex64, torch.complex128,
    ],
)  # fmt: skip
def test_tensors_of_every_dtype_and_odd_shapes(dtype: torch.dtype) -> None:
    base = (torch.rand(6, 4) * 8).to(dtype)
    state = {"m": {"plain": base, "zero-d": base[0, 0].clone(), "empty": base[:0].clone(), "other": base.clone().t()}}
    got = again(state)["m"]
    for name, tensor in state["m"].items():
        assert got[name].dtype == dtype
        assert got[name].shape == tensor.shape
        assert host_view(got[name], name).tobytes() == host_view(tensor.contiguous(), name).tobytes()


def test_tied_weights_are_saved_once_and_stay_tied() -> None:
    model = torch.nn.Sequential(torch.nn.Embedding(50, 8), torch.nn.Linear(8, 50, bias=False))
    model[1].weight = model[0].weight
    _, files = written({"model": model})
    assert files.tensor_bytes == 50 * 8 * 4
    got = again({"model": model})["model"]
    got["0.weight"][3, 3] = 42
    assert got["1.weight"][3, 3] == 42
    assert got["0.weight"].untyped_storage().data_ptr() == got["1.weight"].untyped_storage().data_ptr()


def test_views_of_one_buffer_share_it_again() -> None:
    flat = torch.arange(24, dtype=torch.float32)
    state = {"m": {"flat": flat, "rows": flat[4:16].view(3, 4), "columns": flat.view(6, 4).t()}}
    _, files = written(state)
    assert files.tensor_bytes == 24 * 4
    got = again(state)["m"]
    assert all(torch.equal(got[name], state["m"][name]) for name in got)
    got["flat"][5] = -1
    assert got["rows"][0, 1] == -1
    assert got["columns"][1, 1] == -1


def test_overlapping_views_without_their_buffer_share_what_they_share() -> None:
    flat = torch.arange(100, dtype=torch.int16)
    got = again({"a": flat[10:60], "b": flat[40:90]})
    assert torch.equal(got["b"], flat[40:90])
    got["a"][30] = -7
    assert got["b"][0] == -7
    array = np.arange(100, dtype=np.float64)
    both = again({"a": array[10:60], "b": array[40:90]})
    both["a"][49] = -7
    assert both["b"][19] == -7


def test_neighbours_in_one_buffer_are_saved_each_for_itself() -> None:
    flat = torch.arange(1000, dtype=torch.float32)
    _, files = written({"a": flat[:10], "b": flat[990:]})
    assert files.tensor_bytes == 80


def test_an_expanded_tensor_is_as_small_as_it_is() -> None:
    wide = torch.ones(1, 4).expand(10_000, 4)
    _, files = written({"m": {"wide": wide}})
    assert files.tensor_bytes == 16
    assert torch.equal(again({"m": {"wide": wide}})["m"]["wide"], wide)


def test_two_columns_of_a_large_matrix_do_not_bring_it_along() -> None:
    matrix = torch.rand(100, 1000)
    state = {"a": matrix[:, 0], "b": matrix[:, 999], "c": matrix[:, 0]}
    _, files = written(state)
    assert files.tensor_bytes == 2 * 400
    assert all(torch.equal(one, state[name]) for name, one in again(state).items())


def test_numpy_arrays_big_endian_and_backwards() -> None:
    state = {"big": np.arange(5, dtype=">f4"), "back": np.arange(6)[::-1], "fortran": np.asfortranarray(np.eye(3))}
    got = again(state)
    assert all(np.array_equal(got[name], state[name]) for name in state)
    assert got["big"].dtype == np.dtype("<f4")


def test_generators_go_on_where_they_were() -> None:
    torch_generator, numpy_generator = torch.Generator().manual_seed(3), np.random.default_rng(3)
    plain = random.Random(3)
    torch.rand(5, generator=torch_generator), numpy_generator.random(5), plain.random()
    state = {"rng": [torch_generator, numpy_generator, plain.getstate(), torch.get_rng_state()]}
    first, second, third, fourth = again(state)["rng"]
    assert torch.equal(torch.rand(3, generator=first), torch.rand(3, generator=torch_generator))
    assert np.array_equal(second.random(3), numpy_generator.random(3))
    replayed = random.Random()
    replayed.setstate(third)
    assert replayed.random() == plain.random()
    assert torch.equal(fourth, torch.get_rng_state())


def test_a_model_and_its_optimizer_go_on_alike() -> None:
    def made() -> tuple[torch.nn.Module, torch.optim.Optimizer, Any]:
        torch.manual_seed(1)
        model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.BatchNorm1d(8), torch.nn.Linear(8, 1))
        optimizer = torch.optim.AdamW(model.parameters(), 0.1)
        return model, optimizer, torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)

    def train(model: Any, optimizer: Any, scheduler: Any, steps: int) -> float:
        loss = torch.tensor(0.0)
        for step in range(steps):
            batch = torch.full((4, 4), float(step)) + torch.arange(16.0).view(4, 4)
            optimizer.zero_grad()
            loss = model(batch).square().mean()
            loss.backward()
            optimizer.step()
            scheduler.step()
        return loss.item()

    one = made()
    train(*one, 3)
    got = again(dict(zip(("model", "optimizer", "scheduler"), one, strict=True)))
    two = made()
    for part, state in zip(two, got.values(), strict=True):
        part.load_state_dict(state)
    assert got["model"]._metadata == one[0].state_dict()._metadata
    assert train(*two, 3) == train(*one, 3)


def test_names_that_meet_are_told_apart() -> None:
    state = {"m": {"a": {"b": torch.tensor([1])}, "a.b": torch.tensor([2])}, "x/y": {"z": torch.tensor([3])},
             "x/y.z": torch.tensor([4]), "__metadata__": torch.tensor([5])}  # fmt: skip
    got = again(state)
    assert [got["m"]["a"]["b"], got["m"]["a.b"], got["x/y"]["z"], got["x/y.z"], got["__metadata__"]] == [1, 2, 3, 4, 5]


def test_named_tuples_and_enums_become_plain() -> None:
    got = again({"pair": Pair(1, torch.ones(2)), "colour": Colour.RED, "ordered": OrderedDict(b=1, a=2)})
    assert got["pair"][0] == 1
    assert torch.equal(got["pair"][1], torch.ones(2))
    assert got["colour"] == "red"
    assert list(got["ordered"]) == ["b", "a"]
    assert isinstance(got["ordered"], OrderedDict)


class Odd:
    pass


def _cycle() -> Any:
    cycle: list[Any] = []
    cycle.append(cycle)
    return cycle


@pytest.mark.parametrize(
    ("state", "says"),
    [
        ({"model": {"x": Odd()}}, r"state\['model'\]\['x'\] is a .*Odd, which has no safe form"),
        ({"f": lambda: 1}, r"state\['f'\] is a function"),
        ({"t": torch.eye(3).to_sparse()}, r"state\['t'\] is sparse"),
        ({"t": torch.empty(3, device="meta")}, r"state\['t'\] is on the meta device"),
        ({"a": np.array(["x"])}, r"state\['a'\]"),
        ({"a": np.array([Odd()], dtype=object)}, r"state\['a'\]"),
        ({Odd(): 1}, r"Odd"),
        ({"s": {frozenset([Odd()])}}, r"state\['s'\] is a set"),
        (_cycle(), r"more than 100 deep"),
    ],
)
def test_what_has_no_safe_form_is_refused_by_path_and_class(state: Any, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        plan_files(state)


def test_a_distributed_tensor_is_refused_with_the_way_out() -> None:
    class DTensor(torch.Tensor):
        placements = ()

    with pytest.raises(UsageError) as caught:
        plan_files({"w": torch.ones(2).as_subclass(DTensor)})
    assert "dcp" in caught.value.hint


def test_the_files_are_read_by_safetensors_itself(tmp_path: Any) -> None:
    state = {"model": {"w": torch.rand(5, 3), "h": torch.rand(3).half(), "n": torch.arange(4)}}
    files, _ = written(state)
    loaded = safetensors.numpy.load(files["model.safetensors"])
    assert all(np.array_equal(loaded[name], tensor.numpy()) for name, tensor in state["model"].items())


def test_the_form_of_a_tensor_says_its_safetensors_name() -> None:
    assert form_of(torch.zeros(2, dtype=torch.bfloat16), "x").stored == "BF16"
    assert form_of(np.zeros(2, ">i4"), "x").stored == "I32"


@pytest.mark.parametrize(
    "tree",
    [
        {"$unknown": 1},
        {"$tensor": "x", "of": "torch"},
        {"$tensor": ["f", "n"], "of": "pickle"},
        {"$tensor": ["f", "n"], "of": "numpy", "dtype": "float32", "shape": [100], "strides": [4], "offset": 0},
        {"$tensor": ["f", "n"], "of": "numpy", "dtype": "float32", "shape": [2], "strides": [4], "offset": 4},
        {"$tensor": ["f", "n"], "of": "numpy", "dtype": "float32", "shape": [2], "strides": [-4], "offset": 4},
        {"$tensor": ["f", "n"], "of": "numpy", "dtype": "object", "shape": [1], "strides": [8], "offset": 0},
        {"$tensor": ["f", "n"], "of": "numpy", "dtype": "complex128"},
        {"$int": "zz"},
        {"$float": "7f"},
        {"$bytes": "!"},
        {"$scalar": ["object", "00"]},
        {"$dict": [[[1], 2]]},
        {"$tuple": 3},
        {"$ordered": []},
        {"$torch.dtype": "load"},
        {"$numpy.Generator": {"bit_generator": "os.system"}},
        {"$numpy.dtype": "O"},
    ],
)
def test_a_tree_that_nobody_wrote_is_refused(tree: Any) -> None:
    array = np.zeros(2, np.float32)
    with pytest.raises(DamageError):
        rebuild(tree, lambda key: array)


@pytest.mark.parametrize("document", [b"", b"[]", b"{", b'{"format":"holdfast-state-1"}', b"[" * 10_000])
def test_a_document_that_is_none(document: bytes) -> None:
    with pytest.raises(DamageError):
        read_tree(document)


def test_a_newer_format_is_told_as_such() -> None:
    with pytest.raises(UnsupportedFormatError):
        read_tree(b'{"format":"holdfast-state-2","tree":1}')


def test_without_torch_a_state_of_torch_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    with pytest.raises(MissingExtraError, match="PyTorch"):
        rebuild({"$torch.dtype": "float32"}, lambda key: np.zeros(1))


def test_arrays_of_jax_are_known_by_what_they_are_and_refused_where_they_are_not_here() -> None:
    """Like JAX's, without JAX: what real ones do is in examples/tests."""

    class Array:
        __module__ = "jaxlib._jax"

        def __init__(self, dtype: Any, *, here: bool = True) -> None:
            self.dtype, self.shape, self.is_fully_addressable = dtype, (3,), here

        def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
            return np.ones(3, np.float32)

    Array.shape = ()  # type: ignore[attr-defined]  # a property there
    assert form_of(Array(np.dtype("float32")), "x").framework == "jax"
    assert host_view(Array(np.dtype("float32")), "x").tolist() == [1, 1, 1]
    with pytest.raises(UsageError, match="several hosts"):
        plan_files({"a": Array(np.dtype("float32"), here=False)})
    with pytest.raises(UsageError, match="no number type"):
        plan_files({"a": Array("key<fry>")})
