"""A Slurm cluster of one node on this machine, for tests: munged, slurmctld and slurmd of Debian's packages.

::

    with SlurmCluster(folder) as cluster:
        job = cluster.submit("#!/bin/sh\\nexec train\\n", "--time=1")
        cluster.wait_for(job, "COMPLETED")

Nothing of the system's own Slurm is used or touched: configuration, key, sockets, state and logs are in `folder`, ports
are free ones. As root, since slurmd starts jobs as other users; without systemd and cgroups (`proctrack/linuxproc`
follows parents: a job's processes have groups and sessions of their own). Daemons are children of this process and are
ended by their pids.

Slurm counts time limits in minutes and looks at them every 30 s; `--signal=B:USR1@N` comes at the first look that is
less than N + 30 s before the end. A job that was requeued would wait two minutes: `hurry` ends that.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from holdfast.errors import FailedError, MissingExtraError
from holdfast.testing.ports import free_ports

__all__ = ["SlurmCluster"]

_PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "scontrol", "squeue", "scancel")
_START_SECONDS_MAX = 120.0  # a node that came back is believed again after half a minute
_STOP_SECONDS_MAX = 5.0
_POLL_SECONDS = 0.1
_HURRY_SECONDS = 3.0
_CONF = """\
ClusterName=holdfast
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={control_port}
SlurmdPort={node_port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,bf_interval=1,sched_min_interval=0
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
MpiDefault=none
SwitchType=switch/none
PrologFlags=NoHold
ReturnToService=2
KillWait=2
MessageTimeout=5
SlurmctldTimeout=10
SlurmdTimeout={node_timeout}
InactiveLimit=0
MinJobAge=600
JobRequeue=1
RequeueExit={requeue_exit}
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP OverSubscribe=FORCE:4
"""


class SlurmCluster:
    """Start with `with`. Raises MissingExtraError where the programs are not installed, FailedError with the end of a
    log when a daemon does not come up.
    """

    def __init__(self, folder: Path, *, requeue_exit: int = 99, node_timeout_seconds: int = 10) -> None:
        self.folder = folder
        self.config = folder / "slurm.conf"
        self._requeue_exit = requeue_exit
        self._node_timeout = node_timeout_seconds
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def environment(self) -> dict[str, str]:
        """For Slurm's commands."""
        return {**os.environ, "SLURM_CONF": str(self.config)}

    def start(self) -> None:
        """Write the configuration, start the daemons, and return when the node takes jobs."""
        for name in _PROGRAMS:
            if _program(name) is None:
                raise MissingExtraError(
                    f"{name} is not installed", hint="apt-get install slurmctld slurmd slurm-client munge"
                )
        for name in ("state", "spool"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        key = self.folder / "munge.key"
        key.touch(mode=0o600)
        key.write_bytes(secrets.token_bytes(128))
        control_port, node_port = free_ports(2)
        host = socket.gethostname().partition(".")[0]
        self.config.write_text(
            _CONF.format(
                host=host,
                control_port=control_port,
                node_port=node_port,
                folder=self.folder,
                cpus=os.cpu_count() or 1,
                node_timeout=self._node_timeout,
                requeue_exit=self._requeue_exit,
            )
        )
        self._launch(
            "munged",
            "--foreground",
            "--force",
            f"--key-file={key}",
            f"--socket={self.folder}/munge.socket",
            f"--pid-file={self.folder}/munged.pid",
            f"--log-file={self.folder}/munged.log",
            f"--seed-file={self.folder}/munged.seed",
            "--num-threads=1",
        )
        self._until((self.folder / "munge.socket").exists, "munged")
        self._launch("slurmctld", "-D", "-c", "-f", str(self.config))
        self.start_node()

    def start_node(self) -> None:
        """Start slurmd, and wait until the node takes jobs."""
        self._launch("slurmd", "-D", "-f", str(self.config))
        self._until(lambda: self.node_state() in ("idle", "mixed", "allocated"), "slurmd")

    def kill_node(self) -> None:
        """What a node looks like that lost power: slurmd and everything below it are gone at once."""
        daemon = self._daemons.pop("slurmd")
        victims = [daemon.pid, *_descendants(daemon.pid), *self._steps()]
        for pid in victims:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        daemon.wait()

    def stop(self) -> None:
        """End jobs, then the daemons, by their pids."""
        if "slurmctld" in self._daemons:
            with suppress(FailedError):
                self.command("scancel", "--state=RUNNING", "--state=PENDING", "--quiet", "--full", "--user=root")
        for pid in self._steps():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for name in ("slurmd", "slurmctld", "munged"):
            daemon = self._daemons.pop(name, None)
            if daemon is None:
                continue
            daemon.terminate()
            try:
                daemon.wait(_STOP_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()

    def submit(self, script: str, *options: str) -> str:
        """The id of the job."""
        file = self.folder / f"job-{secrets.token_hex(4)}.sh"
        file.write_text(script)
        file.chmod(0o700)
        return self.command("sbatch", "--parsable", *options, str(file)).strip()

    def state(self, job: str) -> str:
        """`RUNNING`, `COMPLETED`, … as `scontrol show job` has it."""
        return self.fact(job, "JobState")

    def fact(self, job: str, name: str) -> str:
        """One field of `scontrol show job`, empty where there is none."""
        for word in self.command("scontrol", "--oneliner", "show", "job", job).split():
            key, _, value = word.partition("=")
            if key == name:
                return value
        return ""

    def node_state(self) -> str:
        """`idle`, `mixed`, `down*`, …; empty while nobody answers."""
        with suppress(FailedError):
            return self.command("sinfo", "--noheader", "--format=%t").strip()
        return ""

    def wait_for(self, job: str, *states: str, seconds: float) -> str:
        """Wait until the job is in one of these states. Raises FailedError with what it was in at the end."""
        deadline = time.monotonic() + seconds
        state = ""
        while time.monotonic() < deadline:
            state = self.state(job)
            if state in states:
                return state
            time.sleep(_POLL_SECONDS)
        raise FailedError(f"job {job} is {state} after {seconds:g} s, not {' or '.join(states)}")

    def hurry(self, job: str) -> None:
        """A job that was requeued some seconds ago starts as soon as it can; nothing where it has started.

        Not at once: slurmd counts in seconds, and takes a job that is launched in the second in which it was killed for
        the one that was killed ("Job credential revoked").
        """
        with suppress(FailedError, ValueError):
            requeued = datetime.fromisoformat(self.fact(job, "SubmitTime")).timestamp()
            if time.time() - requeued < _HURRY_SECONDS:
                return
            self.command("scontrol", "update", f"JobId={job}", "StartTime=now")

    def command(self, name: str, *arguments: str) -> str:
        """One of Slurm's commands. Raises FailedError with what it said."""
        done = subprocess.run(
            [_program(name) or name, *arguments], env=self.environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise FailedError(f"{name} {' '.join(arguments)} failed: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout

    def _launch(self, name: str, *arguments: str) -> None:
        with (self.folder / f"{name}.out").open("ab") as out:
            self._daemons[name] = subprocess.Popen(
                [_program(name) or name, *arguments],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _until(self, done: Callable[[], bool], name: str) -> None:
        deadline = time.monotonic() + _START_SECONDS_MAX
        while not done():
            ended = self._daemons[name].poll()
            if ended is not None or time.monotonic() > deadline:
                raise FailedError(f"{name} did not come up: {self._end_of_logs(name)}")
            time.sleep(_POLL_SECONDS)

    def _end_of_logs(self, name: str) -> str:
        texts = []
        for path in (self.folder / f"{name}.out", self.folder / f"{name}.log"):
            with suppress(OSError):
                texts.append(" | ".join(path.read_text(errors="replace").splitlines()[-5:]))
        return "; ".join(texts)

    def _steps(self) -> list[int]:
        """slurmstepd of this cluster lead sessions of their own: they are known by their spool folder."""
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            with suppress(OSError):
                environment = (entry / "environ").read_bytes().split(b"\0")
                ours = f"SLURM_CONF={self.config}".encode() in environment
                if ours and entry.joinpath("comm").read_text().strip() == "slurmstepd":
                    found += [int(entry.name), *_descendants(int(entry.name))]
        return found


def _program(name: str) -> str | None:
    """Daemons lie where the path of a user does not lead."""
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin:/usr/local/sbin")


def _descendants(pid: int) -> list[int]:
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError, IndexError, ValueError):
                text = (entry / "stat").read_text(errors="replace")
                parents.setdefault(int(text[text.rindex(")") + 2 :].split()[1]), []).append(int(entry.name))
    found, waiting = [], [pid]
    while waiting:
        for child in parents.get(waiting.pop(), []):
            found.append(child)
            waiting.append(child)
    return found
