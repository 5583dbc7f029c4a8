"""What every case is given."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from ..setting import Setting

__all__ = ["Context"]


class Context(NamedTuple):
    """`workload`: a folder that `benchmarks.workload` made. `sizes`: bytes of the saves whose time is to be linear."""

    setting: Setting
    workload: Path
    rounds: int
    sizes: tuple[int, ...]
    quick: bool

    def part(self, *names: str) -> Path:
        """A folder of the workload, links followed: tools that record paths see the real one."""
        return self.workload.joinpath(*names).resolve()
