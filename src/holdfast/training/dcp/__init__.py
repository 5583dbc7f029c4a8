"""PyTorch's distributed checkpoints (`torch.distributed.checkpoint`) in a vault. docs/dcp.md.

`VaultWriter` and `VaultReader` are given to `dcp.save`, `dcp.async_save` and `dcp.load`; `load` is `dcp.load` with the
newest snapshot that is good. They need torch, and are loaded when they are first asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from holdfast.errors import MissingExtraError

if TYPE_CHECKING:
    from holdfast.training.dcp.loading import load
    from holdfast.training.dcp.reader import Skipped, VaultReader
    from holdfast.training.dcp.writer import VaultWriter

__all__ = ["VaultWriter", "VaultReader", "Skipped", "load"]

_HOMES = {"VaultWriter": "writer", "VaultReader": "reader", "Skipped": "reader", "load": "loading"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    try:
        import torch.distributed.checkpoint  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(
            "PyTorch's distributed checkpoints need torch, which is not installed", hint="pip install 'holdfast[torch]'"
        ) from error
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
