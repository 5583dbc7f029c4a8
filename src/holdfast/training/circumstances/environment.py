"""What computes here: interpreter, system, processors, GPUs, switches of frameworks. Nothing is imported for it."""

from __future__ import annotations

import os
import platform
import re
import sys
from collections.abc import Callable, Mapping
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from holdfast.training.circumstances.model import Environment
from holdfast.training.circumstances.scrubbing import is_secret_name, scrubbed

__all__ = ["environment_here", "packages_here", "VARIABLES"]

# What may change results, or tells how a job was started. A list of what is kept: everything else may be secret.
VARIABLES = re.compile(
    r"CUDA_VISIBLE_DEVICES|CUDA_LAUNCH_BLOCKING|CUDA_DEVICE_MAX_CONNECTIONS|CUBLAS_WORKSPACE_CONFIG|CUBLASLT_\w+"
    r"|NVIDIA_TF32_OVERRIDE|NCCL_(?:ALGO|PROTO|DEBUG|P2P_DISABLE|IB_DISABLE|SHM_DISABLE|NVLS_ENABLE|MIN_NCHANNELS)"
    r"|(?:OMP|MKL|OPENBLAS|NUMEXPR)_NUM_THREADS|MKL_CBWR|KMP_(?:AFFINITY|BLOCKTIME)|PYTHONHASHSEED"
    r"|(?:TORCH|PYTORCH)_(?:CUDA_ALLOC_CONF|ALLOC_CONF|ENABLE_\w+|ALLOW_\w+|NUM_THREADS|DETERMINISTIC|BLAS_\w+)"
    r"|TORCHINDUCTOR_\w+|TORCHDYNAMO_\w+|XLA_FLAGS|JAX_(?:ENABLE_X64|DEFAULT_MATMUL_PRECISION|PLATFORMS|THREEFRY_\w+)"
    r"|TF_(?:DETERMINISTIC_OPS|CUDNN_DETERMINISTIC|ENABLE_ONEDNN_OPTS|FORCE_GPU_ALLOW_GROWTH)"
    r"|TOKENIZERS_PARALLELISM|ACCELERATE_(?:MIXED_PRECISION|USE_\w+)|HIP_VISIBLE_DEVICES|ROCR_VISIBLE_DEVICES"
    r"|SLURM_(?:JOB_ID|JOB_NUM_NODES|NNODES|NTASKS|NTASKS_PER_NODE|RESTART_COUNT|JOB_PARTITION)"
    r"|(?:LOCAL_|GROUP_)?WORLD_SIZE|TORCHELASTIC_(?:RESTART_COUNT|MAX_RESTARTS)"
)
_VALUE_MOST = 500
_NAME_MOST = 200


def packages_here() -> dict[str, str]:
    """Every installed distribution: normalised name → version, with ` (editable)` for those that can change."""
    found: dict[str, str] = {}
    for one in distributions():
        head = one.read_text("METADATA") or one.read_text("PKG-INFO") or ""
        name, version = _NAME_LINE.search(head), _VERSION_LINE.search(head)
        if name is None:
            continue  # a folder that pip left behind
        key = re.sub(r"[-_.]+", "-", name[1]).lower()[:_NAME_MOST]
        editable = " (editable)" if _EDITABLE.search(one.read_text("direct_url.json") or "") else ""
        told = f"{version[1] if version else '?'}{editable}"
        found.setdefault(key, told[:_NAME_MOST])  # the first one of the path is what is imported
    return dict(sorted(found.items()))


# `distribution.metadata` parses all of a file, descriptions of many kilobytes among it, for these two lines.
_NAME_LINE = re.compile(r"^Name:[ \t]*(\S+)", re.MULTILINE)
_VERSION_LINE = re.compile(r"^Version:[ \t]*(\S+)", re.MULTILINE)
_EDITABLE = re.compile(r'"editable"\s*:\s*true')


def environment_here(variables: Mapping[str, str] = os.environ) -> Environment:
    """Of this process and this machine. What cannot be had is empty."""
    torch = sys.modules.get("torch")
    return Environment(
        python=platform.python_version(),
        implementation=platform.python_implementation(),
        system=f"{platform.system()} {platform.release()}",
        libc=" ".join(platform.libc_ver()).strip(),
        machine=platform.machine(),
        host=platform.node(),
        cpu=_cpu(),
        cpus=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 0,
        gpus=_gpus(torch),
        driver=_driver(),
        cuda=_cuda(torch),
        settings=_settings(torch),
        variables={
            name: scrubbed(value)[:_VALUE_MOST]
            for name, value in sorted(variables.items())
            if VARIABLES.fullmatch(name) and not is_secret_name(name)
        },
    )


def _cpu() -> str:
    match = re.search(r"^model name\s*:\s*(.+)$", _text("/proc/cpuinfo"), re.MULTILINE)
    return match[1].strip() if match else platform.processor()


def _gpus(torch: Any) -> list[str]:
    """As torch names them where it has started CUDA, else as the driver does: CUDA is never started for this."""
    cuda = getattr(torch, "cuda", None)
    if cuda is not None and _asked(cuda.is_initialized, default=False):
        return [str(cuda.get_device_name(number)) for number in range(_asked(cuda.device_count, default=0))]
    names = []
    for file in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information")):
        match = re.search(r"^Model:\s*(.+)$", _text(file), re.MULTILINE)
        names.append(match[1].strip() if match else "NVIDIA GPU")
    return names


def _driver() -> str:
    match = re.search(r"Kernel Module(?: for \S+)?\s+([0-9.]+)", _text("/proc/driver/nvidia/version"))
    return f"nvidia {match[1]}" if match else ""


def _cuda(torch: Any) -> str:
    version = getattr(torch, "version", None)
    cuda, hip = getattr(version, "cuda", None), getattr(version, "hip", None)
    if cuda is None:
        return f"ROCm {hip}" if hip else ""
    cudnn = _asked(torch.backends.cudnn.version, default=None)
    return f"{cuda}, cuDNN {cudnn}" if cudnn else str(cuda)


def _settings(torch: Any) -> dict[str, str]:
    """The switches of torch that change what a step computes; empty where the program has not imported it."""
    if torch is None:
        return {}
    backends = torch.backends
    switches: dict[str, Callable[[], Any]] = {
        "torch.deterministic_algorithms": torch.are_deterministic_algorithms_enabled,
        "torch.default_dtype": torch.get_default_dtype,
        "torch.float32_matmul_precision": torch.get_float32_matmul_precision,
        "torch.threads": torch.get_num_threads,
        "torch.cudnn.deterministic": lambda: backends.cudnn.deterministic,
        "torch.cudnn.benchmark": lambda: backends.cudnn.benchmark,
    }
    found = {name: _asked(ask, default=None) for name, ask in switches.items()}
    return {name: str(value) for name, value in found.items() if value is not None}


def _asked(ask: Callable[[], Any], *, default: Any) -> Any:
    """What a framework answers; the default where this build of it has no such thing."""
    try:
        return ask()
    except (AttributeError, RuntimeError, AssertionError, ImportError, NotImplementedError):
        return default


def _text(path: str | Path) -> str:
    try:
        return Path(path).read_bytes().decode("utf-8", "replace")
    except OSError:
        return ""
