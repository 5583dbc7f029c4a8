"""Trainers that write their checkpoints as the frameworks do: in the same order, the same way, one operation at a time.

Each writer is a generator. It yields after every operation on the file system, so that a test can look at every
intermediate state that a watcher could ever see: a file just created, half a file, the moment before a rename. The
sources of each order are named with the recognisers.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from safetensors.numpy import save as safetensors_bytes

Writer = Callable[[Path], Iterator[None]]


def safetensors(seed: int = 0) -> bytes:
    rng = np.random.default_rng(seed)
    return safetensors_bytes({"weight": rng.normal(size=(8, 4)).astype(np.float32), "bias": np.zeros(4, np.float32)})


def torch_zip(seed: int = 0) -> bytes:
    """A stored ZIP archive laid out as `torch.save` does."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02}q\x00.")
        archive.writestr("archive/data/0", np.random.default_rng(seed).bytes(256))
        archive.writestr("archive/version", b"3\n")
    return buffer.getvalue()


def npz() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, weight=np.arange(32.0))
    return buffer.getvalue()


def as_json(value: object) -> bytes:
    return json.dumps(value, indent=2).encode()


def write(path: Path, data: bytes) -> Iterator[None]:
    """In place: created empty, then half of it, then all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb", buffering=0) as file:
        yield
        file.write(data[: len(data) // 2])
        yield
        file.write(data[len(data) // 2 :])
    yield


def write_and_rename(path: Path, temporary: Path, data: bytes) -> Iterator[None]:
    yield from write(temporary, data)
    temporary.rename(path)
    yield


def write_all(folder: Path, files: dict[str, bytes]) -> Iterator[None]:
    for name, data in files.items():
        yield from write(folder / name, data)


def dcp(folder: Path, seed: int = 0) -> Iterator[None]:
    rng = np.random.default_rng(seed)
    yield from write_all(folder, {"__0_0.distcp": rng.bytes(400), "__1_0.distcp": rng.bytes(300)})
    yield from write(folder / ".metadata.tmp", b"\x80\x02}q\x00(K\x01K\x02u.")
    (folder / ".metadata").unlink(missing_ok=True)
    yield
    (folder / ".metadata.tmp").rename(folder / ".metadata")
    yield


_INDEX = as_json(
    {
        "metadata": {"total_size": 288},
        "weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"},
    }
)
_SHARDED = {
    "config.json": as_json({"model_type": "llama"}),
    "model-00001-of-00002.safetensors": safetensors(1),
    "model-00002-of-00002.safetensors": safetensors(2),
    "model.safetensors.index.json": _INDEX,
}
_TRAINER_STATE = as_json({"global_step": 500, "log_history": [{"loss": 1.5, "step": 500}]})


def _trainer_files(*middle: str) -> dict[str, bytes]:
    return {"training_args.bin": torch_zip(), **{name: torch_zip() for name in middle}}


def huggingface(root: Path) -> Iterator[None]:
    yield from write_all(
        root / "checkpoint-500",
        {
            **_SHARDED,
            "tokenizer.json": b"{}",
            **_trainer_files("optimizer.pt", "scheduler.pt", "scaler.pt", "rng_state.pth"),
            "trainer_state.json": _TRAINER_STATE,
        },
    )


def huggingface_lora(root: Path) -> Iterator[None]:
    files = {"adapter_config.json": b"{}", "adapter_model.safetensors": safetensors()}
    files |= _trainer_files("optimizer.pt", "scheduler.pt", "rng_state.pth")
    yield from write_all(root / "checkpoint-500", files | {"trainer_state.json": _TRAINER_STATE})


def huggingface_fsdp(root: Path) -> Iterator[None]:
    folder = root / "checkpoint-500"
    yield from write_all(folder, _trainer_files())
    yield from dcp(folder / "pytorch_model_fsdp_0", 1)
    yield from dcp(folder / "optimizer_0", 2)
    yield from write_all(folder, _trainer_files("scheduler.pt", "rng_state_0.pth", "rng_state_1.pth"))
    yield from write(folder / "trainer_state.json", _TRAINER_STATE)


def huggingface_deepspeed(root: Path) -> Iterator[None]:
    folder = root / "checkpoint-500"
    yield from write_all(folder, _trainer_files())
    yield from deepspeed(folder)
    yield from write_all(folder, {"rng_state.pth": torch_zip(), "trainer_state.json": _TRAINER_STATE})


def huggingface_staged(root: Path) -> Iterator[None]:
    """transformers 4.36 wrote everything into `tmp-checkpoint-N` and renamed."""
    staged = root / "tmp-checkpoint-500"
    files = {"model.safetensors": safetensors(), **_trainer_files("optimizer.pt"), "trainer_state.json": _TRAINER_STATE}
    yield from write_all(staged, files)
    staged.rename(root / "checkpoint-500")
    yield


def huggingface_model(root: Path) -> Iterator[None]:
    yield from write_all(root / "model_500", _SHARDED)


def accelerate(root: Path) -> Iterator[None]:
    yield from write_all(
        root / "checkpoints" / "checkpoint_500",
        {"model.safetensors": safetensors(), "optimizer.bin": torch_zip(), "scheduler.bin": torch_zip()}
        | {"sampler.bin": torch_zip(), "scaler.pt": torch_zip(), "random_states_0.pkl": torch_zip()},
    )


def accelerate_diffusers(root: Path) -> Iterator[None]:
    files = {"model.safetensors": safetensors(), "optimizer.bin": torch_zip(), "random_states_0.pkl": torch_zip()}
    yield from write_all(root / "checkpoint-500", files)


def torchtitan(root: Path) -> Iterator[None]:
    yield from dcp(root / "step-500")


def torchtitan_huggingface(root: Path) -> Iterator[None]:
    files = {name: data for name, data in _SHARDED.items() if name != "config.json"}
    yield from write_all(root / "step-500", files)


def step_folder_with_trainer_state(root: Path) -> Iterator[None]:
    folder = root / "step-500"
    files = {"model.safetensors": safetensors(), "optimizer.safetensors": safetensors(3), "rng.json": b"{}"}
    yield from write_all(folder, files)
    yield from write_and_rename(folder / "trainer_state.json", folder / "trainer_state.json.tmp", _TRAINER_STATE)


def megatron(root: Path) -> Iterator[None]:
    (root / "latest_checkpointed_iteration.txt").write_text("400")
    folder = root / "iter_0000500"
    yield from write(folder / "common.pt", torch_zip())
    yield from dcp(folder)
    yield from write(folder / "metadata.json", b"{}")
    yield from write(root / "latest_checkpointed_iteration.txt", b"500")


def megatron_first(root: Path) -> Iterator[None]:
    """The first save of a run: there is no tracker before."""
    for rank in ("mp_rank_00", "mp_rank_01"):
        files = {"distrib_optim.pt": torch_zip(), "model_optim_rng.pt": torch_zip()}
        yield from write_all(root / "iter_0000500" / rank, files)
    yield from write(root / "latest_checkpointed_iteration.txt", b"500")


def verl(root: Path) -> Iterator[None]:
    folder = root / "global_step_500"
    yield from write_all(folder / "actor", {"model_world_size_1_rank_0.pt": torch_zip(), "extra_state.pt": torch_zip()})
    yield from write(folder / "data.pt", torch_zip())
    yield from write(root / "latest_checkpointed_iteration.txt", b"500")


def deepspeed(root: Path) -> Iterator[None]:
    yield from write_all(
        root / "global_step500",
        {
            "mp_rank_00_model_states.pt": torch_zip(),
            "bf16_zero_pp_rank_0_mp_rank_00_optim_states.pt": torch_zip(1),
            "bf16_zero_pp_rank_1_mp_rank_00_optim_states.pt": torch_zip(2),
        },
    )
    yield from write(root / "zero_to_fp32.py", b"print()\n")
    yield from write(root / "latest", b"global_step500")


def torch_dcp(root: Path) -> Iterator[None]:
    yield from dcp(root / "ep1-ba500")


def lightning_file(root: Path) -> Iterator[None]:
    yield from write(root / "lightning_logs" / "version_0" / "checkpoints" / "epoch=1-step=500.ckpt", torch_zip())


def lightning_sharded(root: Path) -> Iterator[None]:
    folder = root / "epoch=1-step=500.ckpt"
    yield from dcp(folder)
    yield from write(folder / "meta.pt", torch_zip())


def lightning_deepspeed(root: Path) -> Iterator[None]:
    folder = root / "epoch=1-step=500.ckpt"
    yield from write(folder / "checkpoint" / "mp_rank_00_model_states.pt", torch_zip())
    yield from write(folder / "latest", b"checkpoint")


def composer(root: Path) -> Iterator[None]:
    yield from write(root / "ep1-ba500-rank0.pt", torch_zip())
    (root / "latest-rank0.pt").symlink_to("ep1-ba500-rank0.pt")
    yield


def _orbax_items(folder: Path) -> Iterator[None]:
    yield from write(
        folder / "_CHECKPOINT_METADATA", as_json({"init_timestamp_nsecs": 1, "commit_timestamp_nsecs": None})
    )
    yield from write_all(folder / "state", {"manifest.ocdbt": b"\x0c\xdb\x00", "d/0a": b"data", "_METADATA": b"{}"})
    yield from write(folder / "_CHECKPOINT_METADATA", as_json({"init_timestamp_nsecs": 1, "commit_timestamp_nsecs": 2}))


def orbax(root: Path) -> Iterator[None]:
    temporary = root / "500.orbax-checkpoint-tmp"
    yield from _orbax_items(temporary)
    temporary.rename(root / "500")
    yield


def orbax_numbered_suffix(root: Path) -> Iterator[None]:
    """Older versions added a number, staged the items too, and wrote no step metadata."""
    temporary = root / "checkpoint_500.orbax-checkpoint-tmp-1700000000"
    item = temporary / "state.orbax-checkpoint-tmp-1700000001"
    yield from write_all(item, {"_METADATA": b"{}", "manifest.ocdbt": b"\x0c\xdb\x00"})
    item.rename(temporary / "state")
    yield
    temporary.rename(root / "checkpoint_500")
    yield


def orbax_commit_file(root: Path) -> Iterator[None]:
    """What a mounted bucket shows: written in place under its final name, `commit_success.txt` at the end.

    The commit time is written just before; a checkpoint counts from then on.
    """
    yield from _orbax_items(root / "500")
    (root / "500" / "commit_success.txt").write_text("Checkpoint commit was successful")
    yield


def plain_npz(root: Path) -> Iterator[None]:
    yield from write(root / "weights_500.npz", npz())


def plain_safetensors(root: Path) -> Iterator[None]:
    yield from write(root / "model_500.safetensors", safetensors())


def hidden_then_renamed(root: Path) -> Iterator[None]:
    """How rsync and careful scripts bring a file of any format."""
    yield from write_and_rename(root / "model_500.gguf", root / ".model_500.gguf.Xy12", b"GGUF" + bytes(100))
