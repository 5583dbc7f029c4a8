"""From the memory of an accelerator straight into the shared memory.

The shared memory is registered with CUDA once (page-locked), so that the copy engine writes into it without a buffer
between; copies are put on a stream of their own behind the work that made the values, and one event says when all are
there. Written after "How to optimise data transfers" in NVIDIA's guide and torch's notes on pinned memory. Where
registering fails (a limit on locked memory, another kind of accelerator) the copies are made one by one.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from holdfast.training.states.arrays import as_framework
from holdfast.training.states.files import Piece

__all__ = ["AcceleratorCopies", "forget_registered"]

_registered: dict[int, int] = {}  # address → size of what is page-locked for CUDA


class AcceleratorCopies:
    """Copies into `memory` that run while the processor does something else, until `finish`."""

    def __init__(self, memory: memoryview) -> None:
        import torch  # type: ignore[import-not-found,unused-ignore]  # it is there: one of its tensors is to be copied

        self._torch = torch
        self._target = np.frombuffer(memory, np.uint8)
        self._events: list[Any] = []
        self._kept: list[Any] = []

    def begin(self, pieces: list[tuple[int, Piece]]) -> None:
        """Each piece to its offset. The tensors must not be written before `finish` has returned."""
        by_device: dict[Any, list[tuple[int, Piece]]] = {}
        for offset, piece in pieces:
            by_device.setdefault(piece.value.device, []).append((offset, piece))
        for device, those in by_device.items():
            if device.type == "cuda" and self._register():
                self._begin_cuda(device, those)
            else:
                for offset, piece in those:
                    self._place(offset, piece).copy_(piece.value.detach())

    def finish(self) -> None:
        """Wait until everything has arrived."""
        for event in self._events:
            event.synchronize()
        self._kept.clear()

    def _begin_cuda(self, device: Any, pieces: list[tuple[int, Piece]]) -> None:
        cuda = self._torch.cuda
        with cuda.device(device):
            stream = cuda.Stream(device)
            stream.wait_stream(cuda.current_stream(device))  # what computes the values comes first
            with cuda.stream(stream):
                for offset, piece in pieces:
                    value = piece.value.detach().resolve_conj().resolve_neg().contiguous()
                    self._place(offset, piece).copy_(value, non_blocking=True)
                    self._kept.append(value)  # a copy made for its order must not be reused before it is read
                event = cuda.Event()
                event.record(stream)
            self._events.append(event)

    def _place(self, offset: int, piece: Piece) -> Any:
        place = self._target[offset : offset + piece.form.nbytes].view(piece.form.dtype).reshape(piece.form.shape)
        return as_framework(place, "torch")

    def _register(self) -> bool:
        address, size = int(self._target.ctypes.data), self._target.nbytes
        if _registered.get(address) == size:
            return True
        if _cuda_runtime().cudaHostRegister(address, size, 0):  # anything but 0 is an error
            return False
        _registered[address] = size
        return True


def forget_registered(memory: memoryview) -> None:
    """Before the memory is unmapped: CUDA lets go of its pages."""
    if not _registered:
        return
    address = int(np.frombuffer(memory, np.uint8).ctypes.data)
    if _registered.pop(address, None) is not None:
        _cuda_runtime().cudaHostUnregister(address)


def _cuda_runtime() -> Any:
    import torch  # type: ignore[import-not-found,unused-ignore]

    return torch.cuda.cudart()  # type: ignore[no-untyped-call,unused-ignore]
