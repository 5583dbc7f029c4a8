"""What training frameworks leave in folders: trackers, states in JSON, indexes of shards, single files; ours too."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from fuzz import world
from fuzz.model import Broken, Target
from fuzz.targets.regions import _npz_file, _pickles, _safetensors
from holdfast.checkpoints.candidates import Candidate, Marker
from holdfast.checkpoints.layouts import scan
from holdfast.checkpoints.ledger import Ledger
from holdfast.checkpoints.listing import read_entry
from holdfast.checkpoints.steps import step_in_name
from holdfast.checkpoints.structure import file_problem
from holdfast.checkpoints.trackers import trackers_beside
from holdfast.drills.trainer.checkpoint_files import TrainerState
from holdfast.drills.trainer.files import read_json
from holdfast.drills.trainer.safetensors import read_tensors

__all__ = ["TARGETS"]

_SUFFIXES = (".safetensors", ".pt", ".npz", ".ckpt", ".pkl")
_FILES = (*[f"model{suffix}" for suffix in _SUFFIXES], ".metadata", "trainer_state.json")
_INDEX = b'{"metadata":{},"weight_map":{"a":"model-00001-of-00002.safetensors","b":"model-00002-of-00002.safetensors"}}'


_NAME_PIECES = (b"\n", b"checkpoint_", b"random_states_", b".pkl", b"-of-", b"00003", b"zero_pp_rank_", b"_mp_rank_")
_NAME_PIECES += (b".tmp", b"\xff", b"\xd9\xa3", b".", b"step", b".distcp", b".metadata", b"config.json")
_NAMES_MOST, _NAME_BYTES_MOST = 40, 200


def _fresh(name: str) -> Path:
    folder = world.scratch() / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


def _single_file(data: bytes) -> None:
    """First byte: which name."""
    folder = _fresh("single")
    path = folder / _FILES[(data[0] if data else 0) % len(_FILES)]
    path.write_bytes(data[1:])
    entry = read_entry(path)
    if entry is None or not isinstance(file_problem(path, entry), str):
        raise Broken("a file was not judged")
    if len(scan(folder).candidates) > 1:
        raise Broken("one file is several checkpoints")


def _single_file_seeds() -> list[bytes]:
    contents = (_safetensors(), _npz_file(), _npz_file(), _npz_file(), _pickles()[0], _pickles()[0], b'{"step": 1}')
    return [bytes([number]) + data for number, data in enumerate(contents)]


def _index_of_shards(data: bytes) -> None:
    folder = _fresh("sharded")
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors.index.json").write_bytes(data)
    for number in (1, 2):
        (folder / f"model-0000{number}-of-00002.safetensors").write_bytes(_safetensors())
    _judged(folder)


def _trackers(data: bytes) -> None:
    """Tracker files beside checkpoints of two frameworks, and a state inside of a third."""
    folder = _fresh("tracked")
    for name in ("latest_checkpointed_iteration.txt", "latest"):
        (folder / name).write_bytes(data)
    (folder / "iter_0000500").mkdir()
    (folder / "iter_0000500" / "model.pt").write_bytes(_npz_file())
    (folder / "global_step500").mkdir()
    (folder / "global_step500" / "mp_rank_00_model_states.pt").write_bytes(_npz_file())
    (folder / "checkpoint-7").mkdir()
    (folder / "checkpoint-7" / "trainer_state.json").write_bytes(data)
    (folder / "checkpoint-7" / "model.safetensors").write_bytes(_safetensors())
    trackers_beside(folder / "iter_0000500")
    _judged(folder)


def _names(data: bytes) -> None:
    """First line: the name of a folder; the others: the names of the files in it."""
    folder = _fresh("names")
    checkpoint, *files = (_as_name(line) for line in data.split(b"\n")[:_NAMES_MOST])
    (folder / (checkpoint or "x")).mkdir()
    for name in filter(None, files):
        (folder / (checkpoint or "x") / name).write_bytes(b"")
    _judged(folder)


def _as_name(line: bytes) -> str:
    """One that a file can have, and a run of the tests take away again."""
    name = line.replace(b"/", b"").replace(b"\0", b"")[:_NAME_BYTES_MOST]
    return "" if name in (b".", b"..") else os.fsdecode(name)


def _names_seeds() -> list[bytes]:
    return [
        b"checkpoint_7\nmodel.safetensors\noptimizer.bin\nrandom_states_0.pkl\nrandom_states_1.pkl",
        b"checkpoint-500\ntrainer_state.json\nmodel-00001-of-00002.safetensors\nmodel-00002-of-00002.safetensors",
        b"checkpoint-7\nmodel.safetensors\noptimizer.bin\nrandom_states_0.pkl",
        b"global_step500\nzero_pp_rank_0_mp_rank_00_optim_states.pt\nmp_rank_00_model_states.pt",
        b"step-5\n.metadata\n__0_0.distcp",
        b"iter_0000500\nmodel_optim_rng.pt",
    ]


def _judged(folder: Path) -> None:
    found = scan(folder)
    if found.unreadable:
        raise Broken(f"{found.unreadable} could be read")
    for candidate in found.candidates:
        if candidate.complete == bool(candidate.reason):
            raise Broken(f"{candidate} is both complete and not")


def _step(data: bytes) -> None:
    step = step_in_name(data.decode("utf-8", "replace"))
    if step is not None and not 0 <= step < 10**18:
        raise Broken(f"step {step}")


def _ledger(data: bytes) -> None:
    """The file of a watch, as somebody or something left it."""
    path = _fresh("ledger") / "state.json"
    path.write_bytes(data)
    ledger = Ledger(path)
    one = Candidate(
        path=Path("a"),
        step=1,
        framework="file",
        complete=True,
        reason="",
        files=(),
        changed_ns=1,
        marker=Marker("m", 1, 1, ""),
    )
    ledger.holds("a", one)
    ledger.is_torn("a", one)
    ledger.forget_lost(["x"])
    ledger.record("b", one, 1_700_000_000_000_000_000, "x")
    if Ledger(path).problem:
        raise Broken("a ledger cannot read what it wrote")


def _ledger_seed() -> bytes:
    return (
        b'{"format":1,"protected":{"a":{"fingerprint":"f","time":"2023-11-14T22:13:20.000Z",'
        b'"marker":"m 1 1","vouches":"v","snapshot":"s"}}}'
    )


def _trainer_file(data: bytes) -> None:
    """The demo's trainer reads what was restored: its own few lines for safetensors, and its state."""
    path = _fresh("trainer") / "x"
    path.write_bytes(data[1:])
    if data[:1] == b"\1":
        read_json(path, TrainerState)
    else:
        read_tensors(path)


TARGETS = [
    Target(
        "checkpoint-file",
        "`file_problem` (safetensors, zip, pickle, JSON), `file_candidate`",
        _single_file,
        _single_file_seeds,
        (b"PK\x05\x06", b"PK\x03\x04", b'"data_offsets"', b"[0,", b"\x80", b".", b"1e400", b"[" * 2000),
    ),
    Target(
        "checkpoint-index",
        "`_shards_named`, `tree_problem`, `read_json`",
        _index_of_shards,
        lambda: [_INDEX],
        (b'"weight_map"', b"null", b"[", b"{", b"../", b"1e400", b"[" * 2000),
    ),
    Target(
        "trackers",
        "`scan`, `read_small_text`, `trackers_beside`, the layouts of Megatron, DeepSpeed and Hugging Face",
        _trackers,
        lambda: [b"500", b"release", b"global_step500", b'{"global_step": 500}'],
        (b"iter_", b"global_step", b"release", b"\xff", b"\xd9\xa3", b"9" * 20, b"\0", b"\n"),
    ),
    Target(
        "folder-names",
        "`scan`: the layouts' patterns for names of folders and files, accelerate's among them",
        _names,
        _names_seeds,
        _NAME_PIECES,
        max_bytes=2000,
    ),
    Target(
        "step-name",
        "`step_in_name`, `step_in_words`",
        _step,
        lambda: [b"checkpoint-500", b"epoch=1-step=500.ckpt", b"iter_0000500", b"ep1-ba500-rank0.pt"],
        (b"step", b"iter", b"ba", b"_", b"-", b"=", b"epoch", b"\xd9\xa3", b"9" * 30),
    ),
    Target(
        "ledger", "`Ledger`", _ledger, lambda: [_ledger_seed()], (b'"format"', b"2", b"null", b"[" * 2000, b'"\\ud800"')
    ),
    Target(
        "trainer-file",
        "`drills.trainer.safetensors.read_tensors`, `drills.trainer.files.read_json`",
        _trainer_file,
        lambda: [b"\0" + _trainer_tensors(), b'\1{"step": 1}'],
        (b"Infinity", b"NaN", b"1e400", b'"F32"', b'"data_offsets"', b"[" * 2000, b"null"),
    ),
]


def _trainer_tensors() -> bytes:
    text = b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}'
    return len(text).to_bytes(8, "little") + text + bytes(8)
