"""A worker: claims work, does it, says that it is alive, takes over from those that are not, submits what is due.

It may run in a process of its own (`holdfast worker run`) or beside others in a server. Several may share a queue.
"""

from __future__ import annotations

import os
import secrets
import socket
import threading
from collections.abc import Callable, Sequence
from typing import Any, Final

from holdfast.clock import NANOSECONDS
from holdfast.config.finding import LoadedConfig, load_config
from holdfast.control.hooks.following import HookFollower
from holdfast.control.sites.declared import DeclaredSites
from holdfast.control.workflows import Phase
from holdfast.control.working.beats import Beating, Watch
from holdfast.control.working.dbos_workflows import DbosWorkflows
from holdfast.control.working.happenings import Happened, Told
from holdfast.control.working.hosting import Host
from holdfast.control.working.jobs import Job, Leaving
from holdfast.control.working.kinds import KINDS, Kind
from holdfast.control.working.sayings import said_done, said_failed
from holdfast.control.working.schedules import Scheduler
from holdfast.errors import HoldfastError

__all__ = ["Worker"]

_FORGET_AFTER_NS: Final = 30 * 86_400 * NANOSECONDS
_FORGET_EVERY_S: Final = 3600.0
_DUE_EVERY_S: Final = 5.0
_HELD_UP_S: Final = 2.0


class Worker:
    """Of one process: `start` returns when it is ready, `stop` when it is gone."""

    def __init__(
        self,
        sites: DeclaredSites,
        workflows: DbosWorkflows,
        *,
        told: Told = lambda happened: None,
        slots: int = 0,
        schedules: bool = True,
        beat_s: float = 1.0,
        dead_after_s: float = 10.0,
    ) -> None:
        """`slots`: pieces side by side, by default as the file says. `schedules`: submit what is due, too.

        `dead_after_s`: how long others may be silent before their work is taken (a process of this machine that is
        gone is seen at once).
        """
        self.name = f"{socket.gethostname()[:60]}-{os.getpid()}-{secrets.token_hex(4)}"
        self._sites, self._queue, self._tell = sites, workflows, told
        self._loaded, self._stamp = sites.loaded, _stamp(sites.loaded)
        self._slots = slots or sites.config.work.slots
        self._beat_s = beat_s
        self._beating = Beating(workflows.database, self.name, self._slots)
        self._watch = Watch(self.name, dead_after_s)
        self._scheduler = Scheduler(workflows.database, workflows, self._note) if schedules else None
        self._hooks = HookFollower(sites, workflows.database, workflows, self._declared, self._is_busy, self._note)
        self._host = Host(workflows.database, self.name, self._slots, self._act, self._note)
        self._running: dict[str, Kind] = {}
        self._lost: set[str] = set()
        self._left: set[str] = set()
        self._unbegun: dict[str, float] = {}
        self._dead_after_s = dead_after_s
        self._lock = threading.Lock()
        self._ending, self._leaving = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None
        self._silent_since: float | None = None
        self._due_at = self._forget_at = float("-inf")

    @property
    def running(self) -> list[str]:
        """Keys of what it does now."""
        with self._lock:
            return sorted(self._running)

    def start(self) -> None:
        """Raises as opening the queue does, and RefusedError for a second worker in one process."""
        from holdfast.control.service.warming import warm_types

        warm_types()
        self._beating.beat(self._sites.clock.now_ns())
        try:
            self._host.start()
        except BaseException:  # also a Ctrl-C: nobody is to miss a worker that never began
            self._beating.bury([self.name])
            raise
        self._say("started", text=f"{self._slots} slots, {self._queue.shown}")
        self._thread = threading.Thread(target=self._attend, name="worker-watch", daemon=True)
        self._thread.start()
        if self._scheduler is not None:
            self._hooks.start()

    def stop(self, grace_s: float = 30.0) -> list[str]:
        """Claim nothing more, wait so long for what runs, and leave the rest to others. Returns what was left (keys).

        The threads of what was left stop at their next step: leave the process soon.
        """
        self._host.stop(grace_s if self.running else 0.0)
        if self._scheduler is not None:
            self._hooks.stop()
        self._leaving.set()
        with self._lock:
            left = sorted((self._host.claimed - self._lost) | self._left)
        self._ending.set()
        if self._thread is not None:
            self._thread.join(10.0)
        for key in left:
            self._say("handed-over", work=key, text="it had not ended: another worker goes on with it")
        try:
            if left:
                self._beating.beat(self._sites.clock.now_ns(), leaving=True)
            else:
                self._beating.bury([self.name])
        except HoldfastError as error:
            self._note(f"nobody could be told that this worker is gone: {error.message}")
        self._say("stopped", text=f"{len(left)} handed over" if left else "nothing was left")
        return left

    def is_idle(self) -> bool:
        """Whether nothing runs, and nothing waits that could be begun now, but for receivers of webhooks that take
        nothing. Raises as the queue does.
        """
        open_work = self._queue.open_work(("ENQUEUED", "PENDING"))
        waiting = [one for one in open_work if one.kind in KINDS and KINDS[one.kind].lingers]
        if waiting:
            names = list({str(one.arguments.get("hook", "")) for one in waiting})
            silent = {one.name for one in self._queue.hooks(names) if one.failing_since_ns is not None}
            open_work = [one for one in open_work if one not in waiting or one.arguments.get("hook") not in silent]
        return not open_work and not self.running

    def look_for_events(self) -> int:
        """What receivers of webhooks are to be told: how many messages were submitted."""
        return 0 if self._scheduler is None else self._hooks.look()

    def _is_busy(self) -> bool:
        with self._lock:
            return any(not kind.lingers for kind in self._running.values())

    def submit_due(self) -> int:
        """What the schedules want now. How many pieces were submitted."""
        if self._scheduler is None:
            return 0
        submitted = self._scheduler.submit_due(self._declared().config, self._sites.clock.now_ns())
        for state in submitted:
            self._say("due", work=state.key, kind=state.kind)
        return len(submitted)

    def _attend(self) -> None:
        while not self._ending.wait(self._beat_s):
            before = self._sites.clock.monotonic()
            try:
                self._look_around(before)
            except HoldfastError as error:
                self._database_failed(error, before)
            except Exception as error:  # noqa: BLE001 - a worker that watches nothing any more would be worse
                self._note(f"looking around failed: {type(error).__name__}: {error}")
            else:
                self._database_answered()
            if self._sites.clock.monotonic() - before > max(_HELD_UP_S, self._beat_s):
                self._watch.forget()  # whoever was held up cannot say that others were silent

    def _look_around(self, now: float) -> None:
        if not self._beating.beat(self._sites.clock.now_ns()):
            self._note("others took this worker for dead: it had been silent")
        self._look_at_own()
        running = self._queue.open_work(("PENDING",))
        self._drop_unreadable([one.key for one in running if one.worker == self.name], now)
        gone = self._watch.dead(self._beating.rows(), {one.worker for one in running}, now)
        if gone:
            for key in self._queue.hand_on(gone):
                self._say("took-over", work=key, text="its worker is gone: it is to be done by another one")
            self._beating.bury(gone)
        if self._scheduler is not None and now - self._due_at >= _DUE_EVERY_S:
            self._due_at = now
            self.submit_due()
        if now - self._forget_at >= _FORGET_EVERY_S:
            self._forget_at = now
            self._queue.forget(self._sites.clock.now_ns() - _FORGET_AFTER_NS)

    def _look_at_own(self) -> None:
        """What was cancelled, or is another worker's by now, ends at its next step."""
        for key in self.running:
            state = self._queue.look(key)
            if state is None or state.state is Phase.CANCELLED or state.worker != self.name:
                with self._lock:
                    new = key in self._running and key not in self._lost
                    self._lost.add(key)
                if new:
                    self._say("cancelled", work=key, text="it is not this worker's any more")

    def _drop_unreadable(self, own: Sequence[str], now: float) -> None:
        """What DBOS has claimed for this worker and cannot begin (a row that nobody can read) would wait for ever."""
        claimed = self._host.claimed
        self._unbegun = {key: self._unbegun.get(key, now) for key in own if key not in claimed}
        for key, since in list(self._unbegun.items()):
            if now - since > self._dead_after_s:
                self._queue.drop(key)
                self._say("cancelled", work=key, text="nobody can read in the queue what is to be done")

    def _database_failed(self, error: HoldfastError, now: float) -> None:
        self._watch.forget()
        if self._silent_since is None:
            self._silent_since = now
            self._say("waiting", text=f"{error.message}; what runs goes on")

    def _database_answered(self) -> None:
        if self._silent_since is not None:
            seconds = self._sites.clock.monotonic() - self._silent_since
            self._silent_since = None
            self._say("answering", text=f"the queue of work answers again, after {seconds:.0f} s")

    def _act(self, kind: Kind, key: str, arguments: dict[str, Any], number: int) -> dict[str, object]:
        """One attempt, in a thread of DBOS. Raises Leaving where another worker is to do it, and nothing else."""
        with self._lock:
            if self._leaving.is_set():
                self._left.add(key)
                raise Leaving
            self._running[key] = kind
            self._lost.discard(key)
        run = str(arguments.get("run", "")) if isinstance(arguments, dict) else ""
        about = {"work": key, "kind": kind.name, "run": run}

        def told(text: str) -> None:
            self._say("note", text=text, **about)

        try:
            self._say("taken", text="" if number == 1 else f"attempt {number}", **about)
            given = kind.require(arguments)
            job = Job(
                key=key,
                kind=kind.name,
                arguments=given,
                by="",
                attempt=number,
                sites=DeclaredSites(self._declared(), self._sites.environment, self._sites.clock, _Notes(told)),
                database=self._queue.database,
                told=told,
                is_leaving=self._leaving.is_set,
                is_cancelled=lambda: key in self._lost,
            )
            facts = kind.handler()(job)
        except HoldfastError as error:
            if error.retry and number <= len(kind.pauses):
                self._say("again", text=f"{error.message}; again in {kind.pauses[number - 1]:.0f} s", **about)
            else:
                self._say("failed", text=f"{error.code}: {error.message}", **about)
            return said_failed(error)
        except Leaving:
            with self._lock:
                if self._leaving.is_set() and key not in self._lost:
                    self._left.add(key)
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, somebody has to read it
            self._say("failed", text=f"{type(error).__name__}: {error}", **about)
            return said_failed(error)
        else:
            self._say(
                "done", text=", ".join(f"{name} {value}" for name, value in facts.items() if value != ""), **about
            )
            return said_done(facts)
        finally:
            with self._lock:
                self._running.pop(key, None)
                self._lost.discard(key)
            if not kind.lingers:
                self._hooks.hurry()

    def _declared(self) -> LoadedConfig:
        """The file as it is now; one with mistakes does not count."""
        with self._lock:
            stamp = _stamp(self._loaded)
            if stamp == self._stamp:
                return self._loaded
            self._stamp = stamp
        try:
            loaded = load_config(self._loaded.path, self._sites.environment)
        except HoldfastError as error:
            self._note(f"{error.message}: what was declared before counts")
            return self._loaded
        if loaded.config.organisation != self._loaded.config.organisation:
            self._note("the file is of another organisation now: what was declared before counts")
            return self._loaded
        self._loaded = loaded
        return loaded

    def _note(self, text: str) -> None:
        self._say("note", text=text)

    def _say(self, what: str, *, text: str = "", work: str = "", kind: str = "", run: str = "") -> None:
        self._tell(
            Happened(
                at_ns=self._sites.clock.now_ns(), what=what, worker=self.name, work=work, kind=kind, run=run, text=text
            )
        )


class _Notes:
    """`holdfast.events.Progress` of which only the notes are passed on."""

    def __init__(self, told: Callable[[str], None]) -> None:
        self._told = told

    def phase(self, name: str, total_bytes: int | None) -> None:
        pass

    def advance(self, done_bytes: int, stored_bytes: int = 0) -> None:
        pass

    def note(self, message: str) -> None:
        self._told(message)


def _stamp(loaded: LoadedConfig) -> tuple[int, ...]:
    try:
        status = loaded.path.stat()
    except OSError:
        return ()
    return status.st_mtime_ns, status.st_size, status.st_ino
