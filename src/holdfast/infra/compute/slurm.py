"""The pool `slurm`: nodes of a partition, by Slurm's own commands (22.05 and later).

A job of so many nodes is named by its key, and has the dependency `singleton`: of two jobs of one name Slurm runs the
second only when the first has ended, and it is cancelled before, so that a service runs once, whoever submitted it
twice. What is submitted when machines are *got* waits, on its nodes, for a file that says what to run; `start` writes
that file. The folder with these files, the target of a restore and the service's program lie where login node and
compute nodes both see them. What was submitted is kept there as well, so that what was stopped can be started again.

Slurm forgets a job some minutes after its end (MinJobAge). How it ended is read then where the job itself wrote it, and
else in Slurm's accounting (`sacct`), where there is one: what ended well is not begun once more.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from holdfast.clock import SYSTEM_CLOCK, Clock
from holdfast.config.compute_model import Compute
from holdfast.errors import DamageError, FailedError, MissingExtraError, StoreUnreachableError
from holdfast.infra.calling.commands import scrubbed, without_keys
from holdfast.infra.compute.port import CapacityError, Handle, Held, Launch, Pool, Probed, Running, digest_of
from holdfast.infra.compute.slots import replace_file, translated
from holdfast.infra.compute.slurm_texts import (
    Job,
    ended_of,
    jobs_of,
    nodes_of,
    service_script,
    start_of,
    waiting_script,
)

__all__ = ["SlurmMachines", "decode_kept"]

_COMMAND_SECONDS: Final = 30.0
_POLL_SECONDS: Final = 0.5
_PREFIX: Final = "holdfast-"
_LIVE: Final = ("PENDING", "CONFIGURING", "RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "REQUEUED")
_WELL: Final = "COMPLETED"
_RUNS: Final = ("RUNNING", "COMPLETING", "STOPPED")
_FORMAT: Final = "%i|%T|%D|%j|%r"
_ACCOUNTED: Final = "now-30days"


class _Kept(msgspec.Struct, frozen=True, kw_only=True):
    """A service, and the key under which its job was submitted: its own, or the one of its machines."""

    handle: Handle
    owner: str


class SlurmMachines:
    """Jobs of the partition that `declared` names; what is kept of them lies in `folder`."""

    def __init__(
        self,
        pool: Pool,
        folder: Path,
        declared: Compute,
        environment: Mapping[str, str],
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._pool, self._folder, self._declared, self._clock = pool, folder, declared, clock
        self._environment = without_keys(environment)

    def probe(self) -> Probed:
        """Raises MissingExtraError (no Slurm here), StoreUnreachableError (its controller does not answer)."""
        now = self._clock.now_ns()
        text = self._slurm("sinfo", "--noheader", f"--partition={self._declared.partition}", "--format=%t|%D|%G")
        idle, others = nodes_of(text, self._declared.gres)
        mine = self._jobs()
        taken = sum(one.nodes for one in mine if one.state in _LIVE)
        waiting = sum(one.nodes for one in mine if one.state == "PENDING")
        there = max(0, idle - waiting)
        if self._declared.machines:
            there = min(there, max(0, self._declared.machines - taken))
        ready = min(self._declared.ready, there)
        names = tuple(dict.fromkeys(one.name for one in mine if one.state in _LIVE))
        return Probed(ready, there - ready, max(taken, others), now, self._foreseen(now) if there else None, names)

    def get(self, number: int, key: str, seconds: float) -> Held:
        until = self._clock.monotonic() + seconds
        if self._live(key) is None:
            probed = self.probe()
            if probed.free < number:
                raise CapacityError(
                    f"{number} × {self._pool} are needed, and {probed.free} are to be had", object_name=str(self._pool)
                )
            self._submit(key, number, waiting_script(self._go(key)))
        while (held := self.held(key)) is None:
            if self._clock.monotonic() > until:
                self.give_back(key)
                raise CapacityError(f"{number} × {self._pool} did not begin to run within {seconds:.0f} s")
            self._clock.sleep(_POLL_SECONDS)
        return held

    def held(self, key: str) -> Held | None:
        job = self._live(key)
        if job is None or job.state not in _RUNS:
            return None
        return Held(key, self._names(job))

    def give_back(self, key: str) -> None:
        for job in self._jobs(key):
            if job.state in _LIVE:
                self._slurm("scancel", str(job.id))
        self._go(key).unlink(missing_ok=True)

    def start(self, launch: Launch, number: int, key: str, *, held: tuple[str, ...] = ()) -> Handle:
        kept = self._read(key)
        if kept is None or kept.handle.stopped_by or not self._lives_or_did_well(kept):
            got = next((one for one in held if (found := self.held(one)) and len(found.machines) == number), "")
            handle = Handle(key=key, machines=(), launch=launch, begun=self._clock.now_ns())
            kept = _Kept(handle=handle, owner=got or key)
            self._write(kept)  # first whose job it is, then what it does
        if kept.owner != key:
            if not self._go(kept.owner).exists():
                self._forget_end(kept.owner)
                self._write_script(self._go(kept.owner), service_script(launch, number, self._ended(kept.owner)))
        elif not self._lives_or_did_well(kept):
            self._forget_end(key)
            self._submit(key, number, service_script(launch, number, self._ended(key)))
        return self._named(kept)

    def find(self, key: str) -> Handle | None:
        kept = self._read(key)
        if kept is None:
            return self._elsewhere(key)
        job = None if kept.handle.stopped_by else self._job_of(kept)
        if job is None or (kept.owner != key and not self._go(kept.owner).exists()):
            return None
        return self._named(kept) if job.state in (*_LIVE, _WELL) else None

    def services(self, asset: str) -> list[Handle]:
        return [
            self._named(one) for one in self._all() if one.handle.launch.asset == asset and not one.handle.stopped_by
        ]

    def stopped(self, by: str) -> list[Handle]:
        return [self._named(one) for one in self._all() if one.handle.stopped_by == by]

    def running(self, handle: Handle) -> Running:
        kept = self._kept(handle)
        job = self._job_of(kept)
        if job is None:
            return Running(max(1, len(handle.machines)), 0, problems=("its job is gone",))
        if job.state == "RUNNING":
            return Running(job.nodes, job.nodes)
        if job.state in _LIVE:
            return Running(job.nodes, 0)
        if job.state == _WELL:
            return Running(job.nodes, 0, job.nodes)
        return Running(job.nodes, 0, problems=(f"job {job.id} is {job.state}{self._last_words(kept)}",))

    def stop(self, handle: Handle, by: str, seconds: float, name: str = "TERM") -> Handle:
        kept = self._kept(handle)
        if not kept.handle.stopped_by:
            named = self._named(kept)  # Slurm forgets a job soon after its end, and on how many nodes it ran
            kept = _Kept(handle=msgspec.structs.replace(named, stopped_by=by), owner=kept.owner)
            self._write(kept)
        self._signal(kept.owner, name)
        until = self._clock.monotonic() + seconds
        while self._live(kept.owner) is not None and self._clock.monotonic() < until:
            self._clock.sleep(_POLL_SECONDS)
        self.give_back(kept.owner)
        until = self._clock.monotonic() + _COMMAND_SECONDS
        while self._live(kept.owner) is not None:
            if self._clock.monotonic() > until:
                raise FailedError(f"the job of {kept.handle.launch.asset} goes on although it was cancelled")
            self._clock.sleep(_POLL_SECONDS)
        return kept.handle

    def _signal(self, owner: str, name: str) -> None:
        for job in self._jobs(owner):
            if job.state in _RUNS:
                self._slurm("scancel", f"--signal={name}", "--full", str(job.id))
            elif job.state in _LIVE:
                self._slurm("scancel", str(job.id))

    def _submit(self, key: str, number: int, script: str) -> None:
        """Whoever is killed meanwhile may have submitted it or not: the next one looks, and a second one never runs."""
        file = self._of(key) / "job.sh"
        self._write_script(file, script)
        declared = self._declared
        options = [
            f"--job-name={_PREFIX}{digest_of(key)}",
            f"--partition={declared.partition}",
            f"--nodes={number}",
            "--dependency=singleton",
            "--no-requeue",
            "--export=NONE",
            "--open-mode=append",
            f"--output={self._of(key)}/output",
        ]
        for field in ("gres", "account", "qos"):
            if getattr(declared, field):
                options.append(f"--{field}={getattr(declared, field)}")
        self._slurm("sbatch", "--parsable", *options, str(file))

    def _foreseen(self, now: int) -> float | None:
        """Seconds until a job of one node would begin, as Slurm itself says."""
        try:
            done = self._run(
                ["sbatch", "--test-only", f"--partition={self._declared.partition}", "--nodes=1", "--wrap=true"]
            )
        except (FailedError, StoreUnreachableError):
            return None
        return start_of(done.stdout + done.stderr, now)

    def _elsewhere(self, key: str) -> Handle | None:
        """Of a control plane whose files are not seen here: the job alone tells that it was started."""
        job = self._live(key)
        launch = Launch(asset="", command=("?",), folder="/")
        return None if job is None else Handle(key=key, machines=self._names(job), launch=launch, begun=0)

    def _lives_or_did_well(self, kept: _Kept) -> bool:
        job = self._job_of(kept)
        return job is not None and job.state in (*_LIVE, _WELL)

    def _job_of(self, kept: _Kept) -> Job | None:
        """One that lives before one that has ended; of what Slurm has forgotten, what is noted of its end."""
        return (
            self._live(kept.owner)
            or max(self._jobs(kept.owner), key=lambda one: one.id, default=None)
            or self._forgotten(kept)
        )

    def _forgotten(self, kept: _Kept) -> Job | None:
        handle = kept.handle
        try:
            text = self._ended(kept.owner).read_text(errors="replace")
        except FileNotFoundError:
            text = ""
        except OSError as error:
            raise translated(error, self._ended(kept.owner)) from error
        noted = ended_of(text, len(handle.machines) or handle.launch.of or 1)
        return noted if noted is not None else self._accounted(kept.owner)

    def _accounted(self, owner: str) -> Job | None:
        """The newest job of a key that the accounting knows; None without accounting, or where it knows none."""
        name = f"--name={_PREFIX}{digest_of(owner)}"
        fields = "--format=JobIDRaw,State,NNodes,JobName,Reason"
        command = ["sacct", "--allocations", "--noheader", "--parsable2", name, f"--starttime={_ACCOUNTED}", fields]
        try:
            done = self._run(command)
        except (MissingExtraError, StoreUnreachableError):
            return None
        jobs = jobs_of(done.stdout) if done.returncode == 0 else []
        newest = max(jobs, key=lambda one: one.id, default=None)
        return None if newest is None else newest._replace(state=newest.state.partition(" ")[0])

    def _live(self, key: str) -> Job | None:
        """The job of a key that runs or is about to: of several the first. The others wait for its end; they go."""
        live = sorted((one for one in self._jobs(key) if one.state in _LIVE), key=lambda one: one.id)
        for more in live[1:]:
            self._slurm("scancel", str(more.id))
        return live[0] if live else None

    def _jobs(self, key: str = "") -> list[Job]:
        """Of a key, or all of ours, also those that ended lately. Another user's job of such a name is none."""
        chosen = [f"--name={_PREFIX}{digest_of(key)}"] if key else []
        text = self._slurm("squeue", "--me", "--noheader", "--states=all", f"--format={_FORMAT}", *chosen)
        partition = [one for one in jobs_of(text) if one.name.startswith(_PREFIX)]
        mine = {f"{_PREFIX}{path.name}" for path in (self._folder / "jobs").glob("*")}
        return partition if key else [one for one in partition if one.name in mine]

    def _names(self, job: Job) -> tuple[str, ...]:
        return tuple(f"{self._pool.site}/{self._pool.shape}/{job.id}.{number}" for number in range(job.nodes))

    def _named(self, kept: _Kept) -> Handle:
        """With its machines, as far as its job has some, or had when it was stopped."""
        job = self._job_of(kept)
        machines = kept.handle.machines if job is None else self._names(job)
        return msgspec.structs.replace(kept.handle, machines=machines)

    def _of(self, key: str) -> Path:
        return self._folder / "jobs" / digest_of(key)

    def _ended(self, key: str) -> Path:
        return self._of(key) / "ended"

    def _forget_end(self, key: str) -> None:
        """Of an earlier job of this key, before another one is begun."""
        self._ended(key).unlink(missing_ok=True)

    def _go(self, key: str) -> Path:
        return self._of(key) / "go.sh"

    def _write_script(self, path: Path, script: str) -> None:
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise translated(error, path) from error
        replace_file(path, script.encode())

    def _write(self, kept: _Kept) -> None:
        self._write_script(self._of(kept.handle.key) / "service.json", msgspec.json.encode(kept).decode())

    def _kept(self, handle: Handle) -> _Kept:
        return self._read(handle.key) or _Kept(handle=handle, owner=handle.key)

    def _read(self, key: str) -> _Kept | None:
        return _decoded(self._of(key) / "service.json")

    def _all(self) -> list[_Kept]:
        found = [_decoded(path) for path in (self._folder / "jobs").glob("*/service.json")]
        return sorted((one for one in found if one is not None), key=lambda one: one.handle.begun)

    def _last_words(self, kept: _Kept) -> str:
        try:
            text = (self._of(kept.owner) / "output").read_text(errors="replace")
        except OSError:
            return ""
        lines = text.strip().splitlines()
        return f": {scrubbed(lines[-1])}" if lines else ""

    def _slurm(self, *command: str) -> str:
        done = self._run(list(command))
        if done.returncode != 0:
            said = scrubbed(done.stderr or done.stdout)
            unreachable = "Unable to contact" in said or "Connection refused" in said or "timed out" in said
            kind = StoreUnreachableError if unreachable else FailedError
            raise kind(f"{command[0]}: {said or f'exit code {done.returncode}'}", object_name=str(self._pool))
        return done.stdout

    def _run(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run(
                command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_COMMAND_SECONDS,
                check=False,
            )
        except FileNotFoundError as error:
            raise MissingExtraError(
                f"{command[0]} is not installed here", hint="run this where Slurm's commands are"
            ) from error
        except (OSError, subprocess.TimeoutExpired) as error:
            raise StoreUnreachableError(f"{command[0]} does not answer", object_name=str(self._pool)) from error


def _decoded(path: Path) -> _Kept | None:
    try:
        return decode_kept(path.read_bytes(), str(path))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise translated(error, path) from error


def decode_kept(data: bytes, name: str) -> _Kept:
    """Raises DamageError."""
    try:
        return msgspec.json.decode(data, type=_Kept)
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        raise DamageError(f"{name} does not say which service it is about", object_name=name) from error
