"""A Ray cluster on this machine: a head without processors, and nodes that can be killed. Needs the extra `ray`."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from holdfast.fanout import Fanout, Outcome

__all__ = ["RayCluster", "ray_cluster", "LoggedFanout", "Begun"]

_OBJECT_STORE_BYTES = 80 << 20  # the least that Ray takes: pieces and their results are small
_DEAD_SECONDS = 20.0


class RayCluster:
    """`address`: for `ray:…`. `nodes`: ids of those that work, one processor each."""

    def __init__(self, cluster: Any) -> None:
        self._cluster = cluster
        self._nodes: dict[str, Any] = {}

    @property
    def address(self) -> str:
        return str(self._cluster.address)

    @property
    def nodes(self) -> list[str]:
        return list(self._nodes)

    def add_node(self, core: int | None = None) -> str:
        """One more machine, as far as Ray is concerned; on that core of this one only. Returns its id."""
        before = os.sched_getaffinity(0)
        if core is not None:
            os.sched_setaffinity(0, {core})  # what is started now keeps it
        try:
            node = self._cluster.add_node(num_cpus=1, object_store_memory=_OBJECT_STORE_BYTES)
        finally:
            os.sched_setaffinity(0, before)
        self._nodes[node.node_id] = node
        return str(node.node_id)

    def kill_node(self, node: str) -> None:
        """SIGKILL to its raylet and to all that runs below it, as when a machine loses its power."""
        raylet = self._nodes.pop(node).all_processes["raylet"][0].process.pid
        below = _children(raylet)
        for pid in (raylet, *below):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def leave(self) -> None:
        """Disconnect this process, and stop all that was started."""
        import ray

        ray.shutdown()
        self._cluster.shutdown()


@contextmanager
def ray_cluster(nodes: int, environment: Mapping[str, str]) -> Iterator[RayCluster]:
    """Start a cluster, and stop all of it at the end, whatever happens.

    `environment`: added to that of the workers. Paths of sockets have to be short: the folder of the cluster is made
    below the system's folder for temporary files, not below that of a test.
    """
    folder = Path(tempfile.mkdtemp(prefix="hf-"))
    own = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_TMPDIR": str(folder), **environment}
    before = {name: os.environ.get(name) for name in own}
    os.environ.update(own)
    (folder / "ray").mkdir()
    started: RayCluster | None = None
    try:
        from ray.cluster_utils import Cluster

        head = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": _OBJECT_STORE_BYTES}
        started = RayCluster(Cluster(initialize_head=True, head_node_args=head))
        for _ in range(nodes):
            started.add_node()
        yield started
    finally:
        try:
            if started is not None:
                started.leave()
        finally:
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value
            shutil.rmtree(folder, ignore_errors=True)


class Begun(NamedTuple):
    """A time that somebody began a piece. `ended`: whether it came to its end there."""

    piece: str
    node: str
    pid: int
    ended: bool


class LoggedFanout:
    """A fan-out whose pieces are written down by those who do them, and take a little longer than they would."""

    def __init__(self, inner: Fanout, folder: Path, seconds: float) -> None:
        self._inner = inner
        self._folder = folder
        self._seconds = seconds
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def width(self) -> int:
        return self._inner.width

    def each(self, work: Callable[[Any], Any], pieces: Sequence[Any]) -> Iterator[Outcome[Any, Any]]:
        return self._inner.each(partial(_logged, str(self._folder), self._seconds, work), pieces)

    def begun(self) -> list[Begun]:
        """All that was begun so far."""
        names = {path.name for path in self._folder.iterdir()}
        found = []
        for name in sorted(names):
            if name.endswith(".began"):
                piece, node, pid, _, _ = name.split(".")
                found.append(Begun(piece, node, int(pid), f"{name.removesuffix('.began')}.ended" in names))
        return found

    def stop_one(self, node: str = "") -> Begun:
        """Stop (SIGSTOP) a worker (on that node) in the middle of a piece. Waits for one."""
        while True:
            running = self._running(node)
            os.kill(running.pid, signal.SIGSTOP)
            if running in self.begun():
                return running
            os.kill(running.pid, signal.SIGCONT)  # it came to its end meanwhile

    def _running(self, node: str) -> Begun:
        until = time.monotonic() + _DEAD_SECONDS
        while time.monotonic() < until:
            for one in self.begun():
                if not one.ended and one.node.startswith(node[:8]) and _lives(one.pid):
                    return one
            time.sleep(0.01)
        raise AssertionError("nothing is under way")


def _logged(folder: str, seconds: float, work: Callable[[Any], Any], task: Any) -> Any:
    from blake3 import blake3

    try:
        import ray

        node = ray.get_runtime_context().get_node_id()[:8]
    except Exception:  # noqa: BLE001 - not on a cluster
        node = "here"
    piece = blake3(repr(task).encode()).hexdigest(8)
    name = f"{piece}.{node}.{os.getpid()}.{time.time_ns()}{threading.get_ident()}"
    Path(folder, f"{name}.began").touch()
    time.sleep(seconds)
    result = work(task)
    Path(folder, f"{name}.ended").touch()
    return result


def _children(parent: int) -> list[int]:
    """Of Linux: the processes that this one has started."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            # The name, in parentheses, may hold anything; after it come the state and the parent.
            if int(stat.read_text().rpartition(")")[2].split()[1]) == parent:
                found.append(int(stat.parent.name))
    return found


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
