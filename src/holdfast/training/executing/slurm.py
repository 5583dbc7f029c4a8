"""Slurm, as a job sees it: its id in the environment, and `scontrol requeue`.

A job is requeued by `scontrol requeue JOB` (slurm.schedmd.com/scontrol.html) unless it was submitted with
`--no-requeue`; or, without a call, when its batch script ends with a code that `RequeueExit` of slurm.conf lists. With
`RequeueExitHold` it is held as well, until somebody releases it. `SLURM_RESTART_COUNT` counts the former starts.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping

from holdfast.errors import FailedError, StoreUnreachableError

__all__ = ["job_of", "label_of", "restart_count", "has_scontrol", "requeue"]

_SECONDS_MAX = 60.0


def job_of(environment: Mapping[str, str]) -> str:
    """The id of the job in which this runs, empty outside of one. An element of an array has an id of its own."""
    job = environment.get("SLURM_JOB_ID", "")
    return job if job.isascii() and job.isdigit() else ""


def restart_count(environment: Mapping[str, str]) -> int:
    """How many times Slurm has started this job before."""
    count = environment.get("SLURM_RESTART_COUNT", "")
    return int(count) if count.isascii() and count.isdigit() and len(count) < 9 else 0


def label_of(environment: Mapping[str, str]) -> str:
    """`17.2`: job 17, started for the third time; empty outside of a job."""
    job = job_of(environment)
    return f"{job}.{restart_count(environment)}" if job else ""


def has_scontrol() -> bool:
    return shutil.which("scontrol") is not None


def requeue(job: str) -> None:
    """Raises FailedError with what scontrol said, StoreUnreachableError when it does not answer."""
    try:
        done = subprocess.run(
            ["scontrol", "requeue", job], capture_output=True, text=True, timeout=_SECONDS_MAX, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise StoreUnreachableError(f"scontrol requeue {job} did not answer in {_SECONDS_MAX:g} s") from error
    except OSError as error:
        raise FailedError(f"scontrol cannot be run ({error.strerror})") from error
    if done.returncode:
        said = " ".join((done.stderr or done.stdout).split())[:200]
        raise FailedError(
            f"scontrol requeue {job} failed: {said}", hint="was the job submitted with --no-requeue, or JobRequeue=0?"
        )
