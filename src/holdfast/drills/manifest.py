"""What a drill makes, written down before it is made: so that whoever comes after one that died can clear it away, and
touches nothing else.

A folder is removed only if it bears the mark of that drill; a process is killed only if it began when the manifest
says, by the kernel's clock.
"""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from holdfast.durable import replace_file
from holdfast.errors import DamageError, FailedError, RefusedError

__all__ = ["Manifest", "Made", "began", "is_running", "remove_folder"]

_MARK: Final = ".holdfast-drill"
_BYTES_MAX: Final = 1 << 20
_NOBODY: Final = "it is not known whether it has ended; `holdfast drill clear` beside its holdfast.yaml sees to it"


class Made(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A `folder` (of that path), a `process` (of that pid, which `began` then), or a `run` at the declared stores (of
    that id, in `path`).
    """

    kind: str
    what: str
    path: str = ""
    pid: int = 0
    began: int = 0


class _Kept(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`scope`: where its process numbers mean something; elsewhere, and after a boot, they are somebody else's."""

    version: int = 1
    drill: str
    pid: int
    began: int
    scope: str = ""
    made: tuple[Made, ...] = ()
    cleared: bool = False


class Manifest:
    """Of one drill. Every change is durable before the method returns."""

    def __init__(self, path: Path, kept: _Kept) -> None:
        self._path, self._kept = path, kept

    @classmethod
    def begin(cls, path: Path, drill: str) -> Manifest:
        """Raises FailedError, RefusedError where that drill has one."""
        if path.exists():
            raise RefusedError(f"{path} says that this drill was begun already", object_name=str(path))
        made = cls(path, _Kept(drill=drill, pid=os.getpid(), began=began(os.getpid()), scope=_scope()))
        made._write()
        return made

    @classmethod
    def read(cls, path: Path) -> Manifest:
        """Raises DamageError for what is no manifest, FailedError."""
        try:
            with path.open("rb") as file:
                return cls.decode(file.read(_BYTES_MAX), path)
        except OSError as error:
            raise FailedError(f"{path} cannot be read ({error.strerror})", object_name=str(path)) from error

    @classmethod
    def decode(cls, data: bytes, path: Path) -> Manifest:
        """Raises DamageError."""
        try:
            return cls(path, msgspec.json.decode(data, type=_Kept))
        except (msgspec.MsgspecError, UnicodeDecodeError, ValueError, RecursionError) as error:
            raise DamageError(
                f"{path} does not say what a drill made",
                hint="look at what lies beside it, and remove it by hand",
                object_name=str(path),
            ) from error

    @property
    def drill(self) -> str:
        return self._kept.drill

    @property
    def made(self) -> tuple[Made, ...]:
        return self._kept.made

    @property
    def cleared(self) -> bool:
        """Whether all of it was removed."""
        return self._kept.cleared

    @property
    def abandoned(self) -> bool:
        """Whether the process that made it is gone, and it was not cleared."""
        return not self.cleared and not (self._here and is_running(self._kept.pid, self._kept.began))

    @property
    def _here(self) -> bool:
        return self._kept.scope in ("", _scope())

    def make_folder(self, path: Path, what: str) -> Path:
        """Written down, then made, with the mark in it. Raises RefusedError where it is there, FailedError."""
        if os.path.lexists(path):
            raise RefusedError(f"{path} is there already, and a drill makes its own", object_name=str(path))
        self._add(Made(kind="folder", what=what, path=str(path)))
        try:
            path.mkdir(parents=True, mode=0o700)
            (path / _MARK).write_text(self.drill)
        except OSError as error:
            raise FailedError(f"{path} cannot be made ({error.strerror})", object_name=str(path)) from error
        return path

    def note_process(self, pid: int, what: str) -> None:
        """A process that was just started by this one."""
        self._add(Made(kind="process", what=what, pid=pid, began=began(pid)))

    def note_run(self, run: str, what: str) -> None:
        """A run that is about to begin: it has to end before what it made may go."""
        self._add(Made(kind="run", what=what, path=run))

    def clear(self, take_back: Callable[[str], str] | None = None) -> tuple[list[str], list[str]]:
        """End and remove all of it, the last first: what was removed, and what is left over, in words.

        `take_back`: sees to it that a run has ended, and nothing of it is in effect; why not, or empty. What was made
        before a run that has not ended stays, as it needs that.
        """
        removed: list[str] = []
        left: list[str] = []
        for one in reversed(self.made):
            try:
                if one.kind == "run":
                    why = _NOBODY if take_back is None else take_back(one.path)
                    if why:
                        left.append(f"the run {one.path} ({one.what}): {why}")
                        break
                    removed.append(f"the run {one.path} ({one.what}): it has ended")
                elif one.kind == "process":
                    how = "was ended" if self._here and _end(one) else "had ended"
                    removed.append(f"process {one.pid} ({one.what}): {how}")
                elif remove_folder(Path(one.path), self.drill):
                    removed.append(f"{one.path} ({one.what})")
            except (FailedError, RefusedError) as error:
                left.append(error.message)
            except OSError as error:
                left.append(f"{one.path} could not be removed ({error.strerror})")
        if not left:
            self._kept = msgspec.structs.replace(self._kept, cleared=True)
            with suppress(FailedError):
                self._write()
        return removed, left

    def _add(self, one: Made) -> None:
        self._kept = msgspec.structs.replace(self._kept, made=(*self._kept.made, one))
        self._write()

    def _write(self) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            replace_file(self._path, msgspec.json.encode(self._kept))
        except OSError as error:
            raise FailedError(
                f"{self._path} cannot be written ({error.strerror})", object_name=str(self._path)
            ) from error


def began(pid: int) -> int:
    """When a process began, in clock ticks since the machine did (proc(5), field 22); 0: there is none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return 0 if fields[0] in ("Z", "X") else int(fields[19])


def _scope() -> str:
    """This boot of the kernel, and this namespace of process numbers; empty where nobody says."""
    try:
        return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def is_running(pid: int, since: int) -> bool:
    """Whether that process is still there, and no later one of that number."""
    return since != 0 and began(pid) == since


def remove_folder(path: Path, drill: str) -> bool:
    """Whether there was one. Raises RefusedError where it is not this drill's, FailedError where something stays."""
    if not os.path.lexists(path):
        return False
    mark = path / _MARK
    try:
        own = not path.is_symlink() and mark.is_file() and mark.read_text() == drill
    except OSError:
        own = False
    if not own and any(path.iterdir() if path.is_dir() and not path.is_symlink() else [path]):
        raise RefusedError(f"{path} does not bear the mark of this drill, and is left alone", object_name=str(path))
    for child in path.iterdir():  # the mark goes last: a removal that is interrupted goes on another time
        if child.name != _MARK:
            _remove(child)
    with suppress(OSError):
        mark.unlink(missing_ok=True)
        path.rmdir()
    if os.path.lexists(path):
        raise FailedError(f"{path} could not be removed", object_name=str(path))
    return True


def _remove(path: Path) -> None:
    problems: list[str] = []
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, onerror=lambda function, name, info: problems.append(f"{name}: {info[1]}"))
    else:
        try:
            path.unlink()
        except OSError as error:
            problems.append(f"{path}: {error.strerror}")
    if problems:
        raise FailedError(f"{problems[0]}, and could not be removed", object_name=str(path))


def _end(one: Made) -> bool:
    """SIGKILL for its group, if it leads one, else for itself. Raises FailedError when it stays."""
    if not is_running(one.pid, one.began):
        return False
    with suppress(ProcessLookupError):
        if os.getpgid(one.pid) == one.pid:
            os.killpg(one.pid, signal.SIGKILL)
        else:
            os.kill(one.pid, signal.SIGKILL)
    for _ in range(500):
        if not is_running(one.pid, one.began):
            return True
        with suppress(ChildProcessError):
            os.waitpid(one.pid, os.WNOHANG)
        select_sleep()
    raise FailedError(f"process {one.pid} ({one.what}) does not end")


def select_sleep(seconds: float = 0.01) -> None:
    """Wait a moment, whatever clock a drill has."""
    from holdfast.clock import SYSTEM_CLOCK

    SYSTEM_CLOCK.sleep(seconds)
