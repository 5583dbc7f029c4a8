"""The pool `local`: slots of this machine as machines, processes in groups of their own.

What is taken and what runs is in files below the state home, so that any control plane of this user on this machine
finds it. Whether a process runs is known by a lock that it holds (`launch.py`), never by its pid alone; signals go to a
group only if one of the two processes that were recorded for it is there, with the time at which it started.
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from holdfast.clock import SYSTEM_CLOCK, Clock
from holdfast.errors import DamageError, FailedError
from holdfast.infra.compute import launch as launching
from holdfast.infra.compute.port import CapacityError, Handle, Held, Launch, Pool, Probed, Running, digest_of
from holdfast.infra.compute.slots import Slots, replace_file, translated

__all__ = ["LocalMachines"]

_BEGIN_SECONDS: Final = 60.0
_BEGINNING_SECONDS: Final = 5.0  # from holding the lock to saying which processes run
_RUNS_ALREADY: Final = 75
_KILL_SECONDS: Final = 10.0
_POLL_SECONDS: Final = 0.02
_LAST_BYTES: Final = 2000


class _Record(msgspec.Struct, frozen=True):
    pids: tuple[int, int]
    started: tuple[str, str]


class _Ended(msgspec.Struct, frozen=True):
    code: int


class LocalMachines:
    """`slots` of this machine, `ready` of which stand there for recoveries alone. State lies in `folder`."""

    def __init__(
        self,
        pool: Pool,
        folder: Path,
        slots: int,
        ready: int = 0,
        clock: Clock = SYSTEM_CLOCK,
        *,
        kill_seconds: float = _KILL_SECONDS,
    ) -> None:
        """`kill_seconds`: what was killed has ended by then, or somebody has to look."""
        self._pool, self._folder, self._clock, self._kill_seconds = pool, folder, clock, kill_seconds
        self._ready, self._free = range(ready), range(ready, slots)
        self._slots = Slots(folder)

    def probe(self) -> Probed:
        taken = self._slots.taken()
        return Probed(
            ready=sum(number not in taken for number in self._ready),
            free=sum(number not in taken for number in self._free),
            taken=len(taken),
            at=self._clock.now_ns(),
            getting=0.0,
            taken_by=tuple(dict.fromkeys(taken.values())),
        )

    def get(self, number: int, key: str, seconds: float) -> Held:
        with self._slots.changing() as keep:
            taken = self._slots.taken()
            mine = [slot for slot, owner in taken.items() if owner == key]
            free = [slot for slot in self._free if slot not in taken]
            lacking = number - len(mine)
            if lacking > len(free):
                raise CapacityError(
                    f"{number} × {self._pool} are needed, and {len(free) + len(mine)} are to be had",
                    object_name=str(self._pool),
                )
            mine += free[: max(0, lacking)]
            keep(taken | dict.fromkeys(mine, key))
        return Held(key, self._names(mine))

    def held(self, key: str) -> Held | None:
        mine = [slot for slot, owner in self._slots.taken().items() if owner == key]
        return Held(key, self._names(mine)) if mine else None

    def give_back(self, key: str) -> None:
        if key not in self._slots.taken().values():
            return
        with self._slots.changing() as keep:
            keep({slot: owner for slot, owner in self._slots.taken().items() if owner != key})

    def start(self, launch: Launch, number: int, key: str, *, held: tuple[str, ...] = ()) -> Handle:
        with self._slots.changing() as keep:
            handle = self._read(key)
            if handle is None or handle.stopped_by:
                taken = self._slots.taken()
                got = [slot for slot, owner in taken.items() if owner in (key, *held) and not self._in_use(slot, key)]
                got += [slot for slot in (*self._ready, *self._free) if slot not in taken][: max(0, number - len(got))]
                if len(got) < number:
                    raise CapacityError(
                        f"{launch.asset} starts on {number} × {self._pool}, and {len(got)} are to be had",
                        object_name=launch.asset,
                    )
                got = got[:number]
                keep(taken | {slot: key for slot in got if slot not in taken})
                handle = Handle(key=key, machines=self._names(got), launch=launch, begun=self._clock.now_ns())
                for path in [one for kind in ("run", "exit") for one in self._of(key).glob(f"*.{kind}")]:
                    path.unlink(missing_ok=True)  # of an earlier one of this key, which was stopped
                self._write(handle)
            for place in range(len(handle.machines)):
                self._run(handle, place)
        return handle

    def find(self, key: str) -> Handle | None:
        handle = self._read(key)
        if handle is None or handle.stopped_by:
            return None
        running = self.running(handle)
        return handle if running.running + running.ended_well == running.wanted else None

    def services(self, asset: str) -> list[Handle]:
        return [one for one in self._all() if one.launch.asset == asset and not one.stopped_by]

    def stopped(self, by: str) -> list[Handle]:
        return [one for one in self._all() if one.stopped_by == by]

    def running(self, handle: Handle) -> Running:
        runs, well, problems = 0, 0, []
        for place, machine in enumerate(handle.machines):
            if self._runs(handle.key, place):
                runs += 1
            elif (code := self._code(handle.key, place)) == 0:
                well += 1
            elif code is not None:
                said = self._last_words(handle.key, place)
                problems.append(f"{machine} ended with the exit code {code}" + (f": {said}" if said else ""))
            elif self._path(handle.key, place, "run").exists():
                problems.append(f"{machine} was killed")
        return Running(len(handle.machines), runs, well, tuple(problems))

    def stop(self, handle: Handle, by: str, seconds: float, name: str = "TERM") -> Handle:
        with self._slots.changing():
            if not handle.stopped_by:
                handle = msgspec.structs.replace(handle, stopped_by=by)
                self._write(handle)
        places = range(len(handle.machines))
        for place in places:
            self._signal(handle.key, place, getattr(signal, f"SIG{name}"))
        if not self._until_ended(handle, seconds):
            for place in places:
                self._signal(handle.key, place, signal.SIGKILL)
            if not self._until_ended(handle, self._kill_seconds):
                raise FailedError(f"{handle.launch.asset} goes on although it was killed", object_name=handle.key)
        with self._slots.changing() as keep:
            keep({slot: owner for slot, owner in self._slots.taken().items() if owner != handle.key})
        return handle

    def _names(self, slots: list[int]) -> tuple[str, ...]:
        return tuple(f"{self._pool.site}/{self._pool.shape}/{slot}" for slot in sorted(slots))

    def _in_use(self, slot: int, key: str) -> bool:
        """By another service, on machines that were got for both."""
        [name] = self._names([slot])
        return any(one.key != key and not one.stopped_by and name in one.machines for one in self._all())

    def _of(self, key: str) -> Path:
        return self._folder / "services" / digest_of(key)

    def _path(self, key: str, place: int, kind: str) -> Path:
        return self._of(key) / f"{place}.{kind}"

    def _all(self) -> list[Handle]:
        found = [self._decoded(path) for path in (self._folder / "services").glob("*/service.json")]
        return sorted((one for one in found if one is not None), key=lambda one: one.begun)

    def _read(self, key: str) -> Handle | None:
        return self._decoded(self._of(key) / "service.json")

    def _decoded(self, path: Path) -> Handle | None:
        try:
            return decode_handle(path.read_bytes(), str(path))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise translated(error, path) from error

    def _write(self, handle: Handle) -> None:
        place = self._of(handle.key)
        try:
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise translated(error, place) from error
        replace_file(place / "service.json", msgspec.json.encode(handle))

    def _run(self, handle: Handle, place: int) -> None:
        """On one machine, if it does not run there, and did not end well there already. Raises FailedError."""
        key, launch = handle.key, handle.launch
        if self._runs(key, place) or self._code(key, place) == 0:
            return
        paths = [self._path(key, place, kind) for kind in ("lock", "run", "exit")]
        for path in paths[1:]:
            path.unlink(missing_ok=True)
        number = str(launch.first + place)
        command = [one.replace("{machine}", number) for one in launch.command]
        more = {"HOLDFAST_MACHINE": number, "HOLDFAST_MACHINES": str(launch.of or len(handle.machines))}
        try:
            with self._path(key, place, "log").open("ab") as log:
                code = subprocess.run(
                    [
                        sys.executable,
                        "-I",
                        "-S",
                        launching.__file__,
                        *map(str, paths),
                        str(os.getpid()),
                        "--",
                        *command,
                    ],
                    cwd=launch.folder,
                    env=launch.environment | more,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    timeout=_BEGIN_SECONDS,
                    check=False,
                ).returncode
        except (OSError, ValueError) as error:
            raise FailedError(f"{launch.asset} cannot be run in {launch.folder} ({error})") from error
        except subprocess.TimeoutExpired as error:
            raise FailedError(f"{launch.asset} could not be begun within {_BEGIN_SECONDS:.0f} s") from error
        if code not in (0, _RUNS_ALREADY):
            raise FailedError(f"{launch.asset} could not be begun in {launch.folder}: {self._last_words(key, place)}")

    def _runs(self, key: str, place: int) -> bool:
        """Whether somebody holds the lock. It is looked at in a way that holds up no launcher."""
        try:
            descriptor = os.open(self._path(key, place, "lock"), os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise translated(error, self._path(key, place, "lock")) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False

    def _code(self, key: str, place: int) -> int | None:
        try:
            return msgspec.json.decode(self._path(key, place, "exit").read_bytes(), type=_Ended).code
        except (OSError, msgspec.MsgspecError, ValueError):
            return None

    def _last_words(self, key: str, place: int) -> str:
        with suppress(OSError), self._path(key, place, "log").open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _LAST_BYTES))
            lines = file.read(_LAST_BYTES).decode(errors="replace").strip().splitlines()
            return "".join(one if one.isprintable() else "?" for one in lines[-1])[:300] if lines else ""
        return ""

    def _record(self, key: str, place: int) -> bytes:
        """Which processes run there: written a moment after they have begun to. Raises OSError."""
        until = time.monotonic() + _BEGINNING_SECONDS
        while True:
            try:
                return self._path(key, place, "run").read_bytes()
            except FileNotFoundError:
                if time.monotonic() >= until or not self._runs(key, place):
                    raise
                time.sleep(_POLL_SECONDS)

    def _signal(self, key: str, place: int, number: int) -> None:
        """To the group of the process, if it is the one that was started."""
        if not self._runs(key, place):
            return
        try:
            record = msgspec.json.decode(self._record(key, place), type=_Record)
        except (OSError, msgspec.MsgspecError, ValueError) as error:
            if not self._runs(key, place):
                return  # it ended meanwhile
            raise FailedError(f"nobody can tell which process {self._of(key)} is about ({error})") from error
        leader = record.pids[0]
        for pid, started in zip(record.pids, record.started, strict=True):
            with suppress(OSError, ValueError, IndexError):
                if launching.started_at(pid) == started and os.getpgid(pid) == leader:
                    os.killpg(leader, number)
                    return

    def _until_ended(self, handle: Handle, seconds: float) -> bool:
        until = time.monotonic() + seconds
        while True:
            if not any(self._runs(handle.key, place) for place in range(len(handle.machines))):
                return True
            if time.monotonic() >= until:
                return False
            time.sleep(_POLL_SECONDS)


def decode_handle(data: bytes, name: str) -> Handle:
    """Raises DamageError."""
    try:
        return msgspec.json.decode(data, type=Handle)
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        raise DamageError(f"{name} does not say which service it is about", object_name=name) from error
