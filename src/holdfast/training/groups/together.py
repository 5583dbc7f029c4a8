"""Where the ranks of a job put their parts of one cut: a folder that all of them see, one for each step.

`<staging>/ranks-<job>-<step>/content/` is what is saved; `rank-<n>.json` beside it tells what that rank cut.
"""

from __future__ import annotations

import contextlib
import shutil
import time
from pathlib import Path

import msgspec

from holdfast.errors import FailedError
from holdfast.training.groups.barrier import Barrier
from holdfast.training.groups.cutting import MemberCut, require_name

__all__ = ["SharedCut"]

_LEFT_SECONDS = 86_400.0  # what other starts of the job left is removed after that


class SharedCut:
    """One rank's side of it. Errors of the operating system are FailedError."""

    def __init__(self, staging: Path, barrier: Barrier, step: int) -> None:
        self._rank, self._world, self._step = barrier.rank, barrier.world, step
        self._staging, self._prefix = staging, f"ranks-{barrier.job}-"
        self._folder = staging / f"{self._prefix}{step}"
        self.content = self._folder / "content"
        self._own: list[str] = []

    def begin(self, members: list[str]) -> Path:
        """The folder for this rank's members. Call it when all ranks are ready: what earlier steps left goes."""
        self._own = members
        try:
            self._remove_left()
            self.content.mkdir(mode=0o700, parents=True, exist_ok=True)
            taken = [name for name in members if (self.content / name).exists()]
        except OSError as error:
            raise FailedError(f"{self._folder} cannot hold a cut: {error.strerror}") from error
        if taken:
            self._own = []
            raise FailedError(f"member {taken[0]!r} is of another rank, too", hint="names that no other rank has")
        return self.content

    def tell(self, cuts: tuple[MemberCut, ...]) -> None:
        """What this rank cut, for the one that commits."""
        try:
            (self._folder / f"rank-{self._rank}.json").write_bytes(msgspec.json.encode(cuts))
        except OSError as error:
            raise FailedError(f"{self._folder} cannot hold a cut: {error.strerror}") from error

    def all_cuts(self) -> tuple[MemberCut, ...]:
        """What all ranks cut. Raises FailedError where one cannot be seen here: the folder is not the same for all."""
        found: list[MemberCut] = []
        for rank in range(self._world):
            try:
                data = (self._folder / f"rank-{rank}.json").read_bytes()
                cuts = msgspec.json.decode(data, type=list[MemberCut])
            except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
                raise FailedError(
                    f"what rank {rank} cut is not at {self._folder}: nothing is saved",
                    hint="staging= is a folder that all ranks see",
                ) from error
            found += cuts
        try:
            missing = [one.name for one in found if not (self.content / require_name(one.name)).exists()]
        except (OSError, ValueError) as error:
            raise FailedError(f"what the ranks cut cannot be looked at: {type(error).__name__}") from error
        if missing:
            raise FailedError(f"member {missing[0]!r} is not at {self.content}: nothing is saved")
        return tuple(found)

    def give_up(self) -> None:
        """Remove what this rank cut, and the folder if it was the last."""
        for name in self._own:
            shutil.rmtree(self.content / name, ignore_errors=True)
        (self._folder / f"rank-{self._rank}.json").unlink(missing_ok=True)
        for folder in (self.content, self._folder):
            with contextlib.suppress(OSError):
                folder.rmdir()

    def remove(self) -> None:
        """All of it: it was committed, or cannot be."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _remove_left(self) -> None:
        for folder in self._staging.glob("ranks-*"):
            step = folder.name.removeprefix(self._prefix)
            own = folder.name.startswith(self._prefix) and step.isdigit()
            with contextlib.suppress(OSError):
                old = time.time() - folder.stat().st_mtime > _LEFT_SECONDS
                if (own and int(step) < self._step) or (not own and old):
                    shutil.rmtree(folder, ignore_errors=True)
