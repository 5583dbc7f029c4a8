"""What torch writes into the file that TORCHELASTIC_ERROR_FILE names when a rank, or torchrun itself, ends by an error.

`torch.distributed.elastic.multiprocessing.errors.ErrorHandler` writes
`{"message": {"message": "RuntimeError: CUDA error: …", "extraInfo": {"py_callstack": …, "timestamp": …}}}`, or
`{"message": "…"}` for a process that died without one; torchrun copies that of the rank that failed first. It is read
as text of a stranger: bounded, and nothing in it is believed but that it names a device.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec

__all__ = ["ERROR_FILE_VARIABLE", "read_device_error", "device_error_in"]

ERROR_FILE_VARIABLE = "TORCHELASTIC_ERROR_FILE"
_BYTES_MAX = 4 << 20  # call stacks of a large job
_TEXT_MAX = 160
_DEVICE = re.compile(
    r"CUDA error|CUDA out of memory|CUDA driver|cudaError\w*|cuDNN error|CUBLAS_STATUS_\w+|NCCL error"
    r"|ncclUnhandledCudaError|HIP error|hipError\w*|RCCL error|\bXid\b|uncorrectable ECC"
    r"|AcceleratorError|device-side assert",
    re.IGNORECASE,
)


def read_device_error(path: Path) -> str:
    """The line that names a device, empty where there is none or no file that can be read."""
    try:
        with path.open("rb") as file:
            return device_error_in(file.read(_BYTES_MAX))
    except OSError:
        return ""


def device_error_in(data: bytes) -> str:
    """The line of an error file that names a device, cut to 160 characters and printable; else empty."""
    try:
        decoded: Any = msgspec.json.decode(data)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return ""
    text = _text_of(decoded)
    for line in text.splitlines():
        found = _DEVICE.search(line)
        if found is not None:
            begin = max(0, found.start() - 40)
            cut = line[begin : begin + _TEXT_MAX].strip()
            return "".join(character if character.isprintable() else " " for character in cut)
    return ""


def _text_of(decoded: Any) -> str:
    message = decoded.get("message") if isinstance(decoded, dict) else None
    if isinstance(message, dict):
        message = message.get("message")
    return message if isinstance(message, str) else ""
