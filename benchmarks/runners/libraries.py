"""Peers that are Python libraries: ZipNN, torch.save, PyTorch DCP. Each call is made in a fresh process."""

from __future__ import annotations

import json
from pathlib import Path

from ..measuring import Took, Word, run
from ..setting import Setting
from .base import Runner, first_line

__all__ = ["ZipNN", "TorchSave", "DistributedCheckpoint"]


class _PeerLibrary(Runner):
    library = True
    remembers = False
    module: str
    worker: str

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self._number = 0
        self._source = Path()

    def available(self) -> bool:
        return self.setting.peer_has(self.module)

    def version(self) -> str:
        python = self.setting.peer_python() or "python"
        distribution = self.module.split(".", maxsplit=1)[0]
        code = f"from importlib.metadata import version; print('{distribution}', version('{distribution}'))"
        return first_line(python, "-c", code)

    def start(self, folder: Path) -> None:
        super().start(folder)
        self._number = 0

    def save(self, source: Path) -> Took:
        self._number += 1
        self._source = source
        return self._work("save", source)

    def restore(self, target: Path) -> Took:
        return self._work("restore", target)

    def _work(self, verb: str, path: Path) -> Took:
        python = self.setting.peer_python() or "python"
        place = self.repository / str(self._number)
        command: list[Word] = [
            python,
            "-m",
            "benchmarks.runners.peer_worker",
            self.worker,
            verb,
            place,
            path,
            self._source,
        ]
        ran = run(command, env=self.environment)
        told = json.loads(ran.output.splitlines()[-1])
        self._wrong = told.get("wrong", [])
        return Took(seconds=told["seconds"], cpu_seconds=told["cpu_seconds"], peak_bytes=ran.took["peak_bytes"])

    def restored_differences(self, source: Path, target: Path) -> list[str]:
        """The worker has compared what it loaded with the source, value by value."""
        return list(self._wrong)


class ZipNN(_PeerLibrary):
    """Compresses and decompresses in memory with two threads; reading and writing the files is not measured."""

    name = "ZipNN, in memory"
    note = "compression alone, two threads; no file is read or written in the measured part"
    module = "zipnn"
    worker = "zipnn"


class TorchSave(_PeerLibrary):
    """`torch.save` of the tensors in memory to one file, `torch.load` of it."""

    name = "torch.save"
    note = "from tensors in memory to a file without fsync"
    module = "torch"
    worker = "torch"


class DistributedCheckpoint(_PeerLibrary):
    """`torch.distributed.checkpoint.save` and `load` in one process."""

    name = "torch DCP"
    note = "from tensors in memory to files with fsync (its default), one process"
    module = "torch.distributed.checkpoint"
    worker = "dcp"
