"""One line for each field of the circumstances, for the root of a snapshot: lists and comparisons read no data then."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import msgspec

from holdfast.training.circumstances.model import Circumstances, Code, Dataset, Environment, Layout

__all__ = ["digests", "code_line", "layout_line", "hardware_line", "dataset_line", "COMPUTING"]

COMPUTING = (
    "torch",
    "jax",
    "jaxlib",
    "flax",
    "optax",
    "numpy",
    "tensorflow",
    "keras",
    "transformers",
    "accelerate",
    "lightning",
    "pytorch-lightning",
    "deepspeed",
    "megatron-core",
    "torchtitan",
    "torchao",
    "triton",
    "flash-attn",
    "xformers",
    "bitsandbytes",
    "transformer-engine",
    "apex",
    "peft",
    "trl",
    "datasets",
    "tokenizers",
    "sentencepiece",
    "tiktoken",
    "torchdata",
    "torchvision",
    "timm",
    "scipy",
)
"""Packages whose code is in the path from data to weights."""
_NAMED = ("torch", "jax", "tensorflow", "numpy", "transformers", "lightning", "deepspeed", "megatron-core")
_SHORT = 12


def digests(circumstances: Circumstances) -> dict[str, str]:
    """Name → line, for the `versions` of a snapshot."""
    found: dict[str, str] = {}
    if circumstances.code is not None:
        found["code"] = code_line(circumstances.code)
    if circumstances.packages:
        found["packages"] = f"{len(circumstances.packages)}, sha256:{_sha256(circumstances.packages)}"
        found |= {name: circumstances.packages[name] for name in _NAMED if name in circumstances.packages}
    if circumstances.environment is not None:
        found["hardware"] = hardware_line(circumstances.environment)
        if circumstances.environment.settings:
            found["settings"] = f"sha256:{_sha256(circumstances.environment.settings)}"
    if circumstances.layout is not None:
        found["layout"] = layout_line(circumstances.layout)
    found |= {f"dataset {name}": dataset_line(one) for name, one in circumstances.datasets.items()}
    if circumstances.hyperparameters:
        found["hyperparameters"] = (
            f"{len(circumstances.hyperparameters)}, sha256:{_sha256(circumstances.hyperparameters)}"
        )
    if circumstances.states:
        found["resume"] = ", ".join(sorted(circumstances.states))
    if circumstances.missing:
        found["not gathered"] = ", ".join(sorted(circumstances.missing))
    return found


def code_line(code: Code) -> str:
    """`1b3b0d83980f + changes 3a9f04c1d2e7`."""
    changed = f" + changes {code.diff_sha256[:_SHORT]}" if code.dirty else ""
    untracked = f" + {code.untracked_count} untracked" if code.untracked_count else ""
    return f"{code.commit[:_SHORT] or 'no commit'}{changed}{untracked}"


def layout_line(layout: Layout) -> str:
    """`world 8: dp 4 × tp 2`."""
    dims = " × ".join(f"{name} {size}" for name, size in layout.dims.items())
    return f"world {layout.world}{f': {dims}' if dims else ''}"


def hardware_line(environment: Environment) -> str:
    """`2 × NVIDIA H100 80GB HBM3, CUDA 12.4`, or the processor."""
    kinds = dict.fromkeys(environment.gpus)
    gpus = [f"{environment.gpus.count(kind)} × {kind}" for kind in kinds]
    cuda = [f"CUDA {environment.cuda}" if environment.cuda and not environment.cuda.startswith("ROCm") else ""]
    return ", ".join(one for one in (*gpus, *cuda) if one and environment.gpus) or (
        f"{environment.cpus} × {environment.cpu or environment.machine}"
    )


def dataset_line(dataset: Dataset) -> str:
    """`dvc md5:1a79a4d60de6718e8e5b326e338ae533`; what can move says so."""
    return f"{dataset.kind} {dataset.version}{'' if dataset.pinned else ' (not pinned)'}"


def _sha256(mapping: Mapping[str, str]) -> str:
    return hashlib.sha256(msgspec.json.encode(mapping, order="sorted")).hexdigest()[:_SHORT]
