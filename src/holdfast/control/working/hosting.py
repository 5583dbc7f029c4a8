"""DBOS running in this process: it claims work from the queues, and calls `act` for it in threads of its own."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from holdfast.control.working.database import WorkDatabase
from holdfast.control.working.engine import APPLICATION, VERSION, queue_name, serializer
from holdfast.control.working.happenings import QuietLog
from holdfast.control.working.kinds import KINDS, QUEUES, Kind
from holdfast.errors import FailedError, RefusedError

if TYPE_CHECKING:
    from dbos import DBOSClient

__all__ = ["Act", "Host", "hand_on"]

Act = Callable[[Kind, str, dict[str, Any], int], dict[str, object]]
"""Kind, key, arguments and number of this attempt → what `sayings` makes."""

_POLL_S: Final = 0.5
_ONE_A_PROCESS: Final = threading.Lock()


class Host:
    """One a process: DBOS keeps itself in globals."""

    def __init__(self, database: WorkDatabase, worker: str, slots: int, act: Act, told: Callable[[str], None]) -> None:
        self._database, self._worker, self._slots, self._act = database, worker, slots, act
        self._told = told
        self._log: logging.Handler | None = None
        self._claimed: Counter[str] = Counter()
        self._lock = threading.Lock()

    @property
    def claimed(self) -> set[str]:
        """Keys of what it is at: between two attempts, too."""
        with self._lock:
            return {key for key, times in self._claimed.items() if times}

    def start(self) -> None:
        """Raises RefusedError where one runs in this process already, and what the database says."""
        if not _ONE_A_PROCESS.acquire(blocking=False):
            raise RefusedError("a worker runs in this process already", hint="one worker a process")
        try:
            self._listen()
            with self._database.speaking():
                self._launch()
        except BaseException:  # also a Ctrl-C: the next worker of this process has to be able to begin
            self.stop(0.0)
            raise

    def _listen(self) -> None:
        log = logging.getLogger("dbos")
        self._log = QuietLog(self._told)
        for handler in list(log.handlers):
            log.removeHandler(handler)
        log.addHandler(self._log)
        log.propagate = False
        log.setLevel(logging.WARNING)

    def _launch(self) -> None:
        from dbos import DBOS

        DBOS(
            config={
                "name": APPLICATION,
                "system_database_engine": self._database.engine,
                "serializer": serializer(),
                "application_version": VERSION,
                "executor_id": self._worker,
                "use_listen_notify": False,
                "log_level": "WARNING",
                "scheduler_polling_interval_sec": 3600.0,  # DBOS's own schedules are not used
            }
        )
        for kind in KINDS.values():
            DBOS.workflow(name=kind.name, max_recovery_attempts=kind.deaths)(self._workflow(kind))
        DBOS.launch()
        for queue, at_once in QUEUES.items():
            DBOS.register_queue(
                queue_name(queue),
                partition_concurrency=1,
                worker_concurrency=at_once(self._slots),
                polling_interval_sec=_POLL_S,
                on_conflict="always_update",
            )

    def _workflow(self, kind: Kind) -> Callable[[dict[str, Any]], dict[str, object]]:
        """What DBOS replays after a death: attempts whose end was written down are not made again."""
        from dbos import DBOS

        def work(arguments: dict[str, Any]) -> dict[str, object]:
            key = str(DBOS.workflow_id)
            self._count(key, 1)
            try:
                number = 0
                while True:
                    number += 1
                    said = DBOS.run_step({"name": "attempt"}, self._act, kind, key, arguments, number)
                    if not said.get("again") or number > len(kind.pauses):
                        return {name: value for name, value in said.items() if name != "again"}
                    DBOS.sleep(kind.pauses[number - 1])
            finally:
                self._count(key, -1)

        work.__qualname__ = work.__name__ = kind.name
        return work

    def _count(self, key: str, by: int) -> None:
        with self._lock:
            self._claimed[key] += by
            if self._claimed[key] <= 0:
                del self._claimed[key]

    def stop(self, patience_s: float) -> None:
        """Claim nothing more, and wait so long (whole seconds) for what runs. Raises nothing."""
        from dbos import DBOS

        try:
            DBOS.destroy(destroy_registry=True, workflow_completion_timeout_sec=int(patience_s))
        except Exception as error:  # noqa: BLE001 - on the way out: whatever it is must not keep the process
            self._told(f"DBOS did not end in good order: {type(error).__name__}: {error}")
        finally:
            if self._log is not None:
                logging.getLogger("dbos").removeHandler(self._log)
                self._log = None
            if _ONE_A_PROCESS.locked():
                _ONE_A_PROCESS.release()


def hand_on(client: DBOSClient, gone: Sequence[str]) -> list[str]:
    """Put back into their queues what these workers had: keys. What somebody else has claimed since is left alone."""
    from dbos._utils import INTERNAL_QUEUE_NAME

    handed = []
    for worker in gone:
        for one in client._sys_db.get_pending_workflows(worker, VERSION):
            key = getattr(one, "workflow_id", None)
            if not isinstance(key, str):
                raise FailedError("this version of DBOS lists work in another way")
            if client._sys_db.reenqueue_for_recovery(key, [worker], INTERNAL_QUEUE_NAME):
                handed.append(key)
    return handed
