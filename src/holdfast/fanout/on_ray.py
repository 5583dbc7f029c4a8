"""Pieces of work as tasks of a Ray cluster (extra `ray`), spread over its machines."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any, Final, TypeVar

from holdfast.errors import FailedError, HoldfastError, MissingExtraError, StoreUnreachableError, UsageError
from holdfast.fanout.port import Outcome
from holdfast.version import VERSION

__all__ = ["RayFanout"]

Piece = TypeVar("Piece")
Result = TypeVar("Result")

_RETRIES: Final = 5  # how many workers or machines may die over one piece before that is no accident any more
_AHEAD: Final = 2  # pieces handed out for each processor: while one is done, the next is there already
_CONNECT_SECONDS: Final = 5.0
_LOOK_SECONDS: Final = 5.0  # so often it is looked whether the cluster still has machines
_EMPTY_SECONDS: Final = 60.0  # so long a cluster may be without any


class RayFanout:
    """A cluster that runs already, with the same Holdfast, Ray and Python on each machine.

    The machines find stores and keys by themselves (`HOLDFAST_KEY_FILE`, the clouds' environment): no secret travels.
    A program that is connected to a cluster stays connected to that one.
    """

    def __init__(self, address: str) -> None:
        """`address`: `HOST:PORT`, `auto`, or `ray://HOST:PORT`. Raises what `open_fanout` raises."""
        try:
            import ray
        except ImportError as error:
            raise MissingExtraError("fanning out on Ray needs the extra `ray`: pip install 'holdfast[ray]'") from error
        self._ray: Any = ray
        if not ray.is_initialized():
            _require_answer(address)
            # What the cluster tells of dead workers would go to stdout, in the middle of a command's JSON, and there is
            # no public way to say otherwise (`log_to_driver` is about something else).
            ray._private.worker._worker_logs_enabled = False
            try:
                ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, ignore_reinit_error=True)
            except (OSError, RuntimeError, ValueError, AssertionError, ray.exceptions.RayError) as error:
                raise _not_connected(address, error) from error
        self._task: Any = ray.remote(_one).options(
            num_cpus=1, max_retries=_RETRIES, retry_exceptions=False, scheduling_strategy="SPREAD"
        )

    @property
    def width(self) -> int:
        """The processors of the cluster, as it is now."""
        return max(1, self._processors())

    def each(self, work: Callable[[Piece], Result], pieces: Sequence[Piece]) -> Iterator[Outcome[Piece, Result]]:
        """As `Fanout.each`. Raises FailedError when a piece kills every worker that it is given to, or the machines run
        another Holdfast, StoreUnreachableError when no machine is left.
        """
        waiting = list(reversed(pieces))
        running: dict[Any, Piece] = {}
        ahead, looked = _AHEAD * self.width, time.monotonic()
        manned = looked
        try:
            while running or waiting:
                while waiting and len(running) < ahead:
                    piece = waiting.pop()
                    running[self._task.remote(VERSION, work, piece)] = piece
                ready, _ = self._ray.wait(list(running), num_returns=1, timeout=_LOOK_SECONDS)
                now = time.monotonic()
                if now - looked >= _LOOK_SECONDS:
                    processors, looked = self._processors(), now
                    manned = now if processors or ready else manned
                    ahead = _AHEAD * max(1, processors)
                    self._require_machines(now - manned)
                for reference in ready:
                    yield self._outcome(reference, running.pop(reference))
        finally:
            for reference in running:
                with suppress(self._ray.exceptions.RayError, OSError, RuntimeError):  # the cluster may be gone
                    self._ray.cancel(reference, force=True)  # nobody goes on writing when the caller has given up

    def _processors(self) -> int:
        return int(self._ray.cluster_resources().get("CPU", 0))

    def _require_machines(self, seconds: float) -> None:
        if seconds >= _EMPTY_SECONDS:
            raise StoreUnreachableError(
                f"for {seconds:.0f} s the Ray cluster has had no machine with a processor for tasks",
                hint="start one, and run it again: what was done is not done twice",
            )

    def _outcome(self, reference: Any, piece: Piece) -> Outcome[Piece, Result]:
        errors = self._ray.exceptions
        try:
            result, error, worker, seconds = self._ray.get(reference)
        except errors.RayTaskError as fault:
            cause = getattr(fault, "cause", None)
            text = str(fault)
            if "holdfast" in text and ("ModuleNotFoundError" in text or "failed to import" in text):
                raise FailedError(
                    "a machine of the Ray cluster cannot load Holdfast's work",
                    hint=f"install holdfast {VERSION} on every machine of the cluster",
                ) from fault
            raise (cause if isinstance(cause, Exception) else fault) from fault
        except (errors.WorkerCrashedError, errors.NodeDiedError, errors.OutOfMemoryError) as crash:
            raise FailedError(
                f"a piece of work ended {_RETRIES + 1} workers one after the other: it is given up",
                hint="the logs of the cluster say what they died of; too little memory is the most common reason",
            ) from crash
        except errors.RayError as trouble:
            raise FailedError(f"the Ray cluster lost a piece of work ({_first_line(trouble)})") from trouble
        return Outcome(piece, result, error, worker, seconds)


def _one(
    version: str, work: Callable[[Piece], Result], piece: Piece
) -> tuple[Result | None, HoldfastError | None, str, float]:
    """On a machine of the cluster: the result or the error of ours, who did it, and the seconds it took."""
    worker, began = _named(), time.monotonic()
    if version != VERSION:
        other: HoldfastError = FailedError(
            f"{worker} runs holdfast {VERSION}, and was asked by {version}",
            hint="install the same version on every machine of the cluster",
        )
        return None, other, worker, 0.0
    try:
        return work(piece), None, worker, time.monotonic() - began
    except HoldfastError as error:
        # Without the frames, which do not travel.
        told = type(error)(f"{error.message} (on {worker})", hint=error.hint, object_name=error.object_name)
        return None, told, worker, time.monotonic() - began


def _named() -> str:
    """Machine, the beginning of the node's id in the cluster (several may share a machine), and process."""
    import ray

    return f"{socket.gethostname()}/{ray.get_runtime_context().get_node_id()[:8]}/{os.getpid()}"


def _require_answer(address: str) -> None:
    """Ray itself goes on trying for minutes. Raises UsageError, StoreUnreachableError."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if address == "auto":
        return
    if not colon or not host or not port.isdigit() or not 0 < int(port) < 1 << 16:
        raise UsageError(f"{address!r} is no address of a Ray cluster", hint="write ray:HOST:PORT, or ray:auto")
    try:
        socket.create_connection((host.strip("[]"), int(port)), _CONNECT_SECONDS).close()
    except OSError as error:
        raise _silent(address, error.strerror or str(error)) from error


def _silent(address: str, why: str) -> StoreUnreachableError:
    where = "on this machine" if address == "auto" else f"at {address}"
    return StoreUnreachableError(
        f"no Ray cluster answers {where} ({why})",
        hint="`ray status` on its head says whether it runs; this machine must be one of the cluster's",
    )


def _not_connected(address: str, error: BaseException) -> HoldfastError:
    text = str(error)
    if "Version mismatch" in text:
        there, _, here = text.partition("This process")
        return FailedError(
            f"the Ray cluster at {address} runs {_versions(there)}, and this is {_versions(here)}",
            hint="use the same versions of Ray and Python on every machine",
        )
    if "ray[client]" in text:
        return MissingExtraError("ray:// needs Ray's client: pip install 'ray[client]', or use ray:HOST:PORT")
    return _silent(address, _first_line(error))


def _versions(text: str) -> str:
    """Of the lines `    Ray: 2.60.0` and `    Python: 3.11.2`."""
    found = [line.strip().replace(": ", " ") for line in text.splitlines() if line.startswith("    ")]
    return " and ".join(found) or "another version"


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__).rstrip(".")
