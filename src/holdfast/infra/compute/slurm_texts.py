"""What Slurm's commands say, read strictly, and the scripts that it is given. Pure."""

from __future__ import annotations

import re
import shlex
from datetime import datetime
from pathlib import Path
from typing import Final, NamedTuple

from holdfast.clock import NANOSECONDS
from holdfast.infra.compute.port import Launch

__all__ = ["Job", "ended_of", "jobs_of", "nodes_of", "service_script", "start_of", "waiting_script"]

_IDLE: Final = re.compile(r"idle[~#%]?")  # with what Slurm puts behind the state of nodes that it powers up
_STARTS: Final = re.compile(r"to start at (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)")


class Job(NamedTuple):
    """`state` as `squeue` has it in full; `why`: the reason of what waits or failed."""

    id: int
    state: str
    nodes: int
    name: str
    why: str


def nodes_of(text: str, gres: str) -> tuple[int, int]:
    """Of `sinfo --format=%t|%D|%G`: how many nodes are idle, and how many others there are. With `gres` (`gpu:h100:8`)
    only nodes that have it count. What cannot be read counts for nothing.
    """
    idle = others = 0
    for line in text.splitlines():
        state, _, rest = line.strip().partition("|")
        number, _, has = rest.partition("|")
        if not (number.isascii() and number.isdigit()) or len(number) > 7 or (gres and not _has(has, gres)):
            continue
        if _IDLE.fullmatch(state):
            idle += int(number)
        else:
            others += int(number)
    return idle, others


def _has(there: str, gres: str) -> bool:
    return any(one.partition("(")[0] == gres or one.startswith(f"{gres}:") for one in there.split(","))


def jobs_of(text: str) -> list[Job]:
    """Of `squeue --format=%i|%T|%D|%j|%r`. What cannot be read is left out."""
    found = []
    for line in text.splitlines():
        parts = line.strip().split("|", 4)
        if len(parts) == 5 and all(one.isascii() and one.isdigit() and len(one) < 12 for one in (parts[0], parts[2])):
            found.append(Job(int(parts[0]), parts[1], int(parts[2]), parts[3], parts[4]))
    return found


def start_of(text: str, now_ns: int) -> float | None:
    """Of `sbatch --test-only`: seconds until it would begin. Its times are those of this machine's zone."""
    match = _STARTS.search(text)
    if match is None:
        return None
    try:
        at = datetime.fromisoformat(match[1]).timestamp()
    except (ValueError, OverflowError, OSError):
        return None
    return max(0.0, at - now_ns / NANOSECONDS)


def waiting_script(go: Path) -> str:
    """Holds its nodes until the file is there, and becomes what it says."""
    path = shlex.quote(str(go))
    return f"#!/bin/sh\nwhile [ ! -e {path} ]; do sleep 1; done\nexec /bin/sh {path}\n"


def service_script(launch: Launch, number: int, ended: Path) -> str:
    """The command on each node; of one node without srun. When it has ended, the job's number and its exit code are
    written to the file `ended`, as Slurm soon forgets both. Signals of the job reach the command as well as the shell,
    which waits for it; a trap that does something is not inherited.
    """
    lines = ["#!/bin/sh", "trap : HUP INT QUIT TERM USR1 USR2", f"cd {shlex.quote(launch.folder)} || exit 126"]
    lines += [
        f"export {name}={shlex.quote(value)}" for name, value in sorted(launch.environment.items()) if _sound(name)
    ]
    lines.append(f"export HOLDFAST_MACHINES={launch.of or number}")
    first = launch.first
    if number == 1:
        command = shlex.join([one.replace("{machine}", str(first)) for one in launch.command])
        return "\n".join([*lines, f"export HOLDFAST_MACHINE={first}", command, *_noted(ended), ""])
    parts = " ".join(_with_machine(one) for one in launch.command)
    inner = f"HOLDFAST_MACHINE=$(({first} + SLURM_NODEID)); export HOLDFAST_MACHINE; exec {parts}"
    srun = f"srun --ntasks-per-node=1 --kill-on-bad-exit=0 /bin/sh -c {shlex.quote(inner)}"
    return "\n".join([*lines, srun, *_noted(ended), ""])


def _noted(ended: Path) -> list[str]:
    path, part = shlex.quote(str(ended)), shlex.quote(f"{ended}.part")
    return ["code=$?", f'echo "$SLURM_JOB_ID $code" > {part} && mv {part} {path}', "exit $code"]


def ended_of(text: str, nodes: int) -> Job | None:
    """What a job wrote of its own end (`service_script`). None: nothing that can be read."""
    parts = text.split()
    if len(parts) != 2 or not all(one.isascii() and one.isdigit() and len(one) < 12 for one in parts):
        return None
    job, code = int(parts[0]), int(parts[1])
    return Job(job, "COMPLETED" if code == 0 else "FAILED", nodes, "", "None" if code == 0 else f"exit code {code}")


def _with_machine(word: str) -> str:
    """A word of a command for a shell that knows HOLDFAST_MACHINE."""
    return '"$HOLDFAST_MACHINE"'.join(shlex.quote(part) if part else "" for part in word.split("{machine}")) or "''"


def _sound(name: str) -> bool:
    """Names that a shell can export, but for those that are Slurm's own and say what another job was."""
    usable = name.isidentifier() and name.isascii()
    return usable and not (name.startswith(("SLURM_", "SBATCH_", "SRUN_")) and name != "SLURM_CONF")
