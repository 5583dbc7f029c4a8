"""What a server depends on, and which of it is ill: looked at when somebody asks, at most every few seconds."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from functools import partial
from typing import TYPE_CHECKING, Final

import msgspec

from holdfast.clock import NANOSECONDS
from holdfast.errors import HoldfastError, NotFoundError, ObjectNotFoundError

if TYPE_CHECKING:
    from holdfast.control.service.context import Service
    from holdfast.control.service.kept import Kept

__all__ = ["Dependency", "Health"]

_FRESH_S: Final = 5.0
_WAIT_S: Final = 3.0
_CLOCK_S: Final = 5.0  # wall and monotonic time may part so far in a minute
_AT_ONCE: Final = 8


class Dependency(msgspec.Struct, frozen=True, kw_only=True):
    """`kind`: store, catalog, work, webhook, backup, sessions, policies, declarations, vault or clock. `needed`:
    without it nothing is decided here; one store of several is not. `problem`: words.
    """

    kind: str
    name: str
    well: bool
    needed: bool
    problem: str = ""


class Health:
    """Of one server. Looking never takes longer than a few seconds: who has not answered then is ill."""

    def __init__(self, service: Service, kept: Kept) -> None:
        self._service, self._kept = service, kept
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="health")
        self._found: list[Dependency] = []
        self._at: float | None = None
        clock = service.clock
        self._clock_began = (clock.now_ns(), clock.monotonic())

    def look(self) -> list[Dependency]:
        """One look for all who ask within a few seconds."""
        with self._lock:
            now = self._service.clock.monotonic()
            if self._at is None or now - self._at >= _FRESH_S:
                self._found = self._looked()
                self._at = self._service.clock.monotonic()
            return self._found

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _looked(self) -> list[Dependency]:
        asked: dict[tuple[str, str, bool], Callable[[], str]] = {}
        service = self._service
        stores: list[str] = []
        try:
            sites = service.sites()
            stores = _stores(sites)
        except HoldfastError as error:
            return [
                Dependency(
                    kind="declarations", name=str(service.config_path), well=False, needed=True, problem=error.message
                )
            ]
        for name in stores:
            asked["store", name, False] = partial(_ask_store, service, name)
        asked["catalog", service.catalog_place.rpartition("@")[2], False] = self._ask_catalog
        asked["work", "the queue of work" if service.workflows is None else service.workflows.shown, False] = (
            self._ask_work
        )
        for name in service.loaded.config.webhooks:
            asked["webhook", name, False] = partial(self._ask_hook, name)
        if service.loaded.config.serve.backup:
            asked["backup", service.loaded.config.serve.backup, False] = lambda: service.backup_problem
        asked["sessions", str(self._kept.path), True] = self._ask_sessions
        asked["policies", "who may do what", True] = self._ask_policies
        asked["declarations", str(service.config_path), False] = lambda: service.problem
        asked["clock", "this machine's clock", False] = self._ask_clock
        # Those that are needed go first: nothing that hangs before them makes this server look as if it could not work.
        first = sorted(asked, key=lambda about: not about[2])
        futures = {about: self._pool.submit(_told, asked[about]) for about in first}
        wait(futures.values(), timeout=_WAIT_S)
        found = []
        for kind, name, needed in asked:
            future = futures[kind, name, needed]
            problem = future.result() if future.done() else f"no answer within {_WAIT_S:g} s"
            future.cancel()
            found.append(Dependency(kind=kind, name=name, well=not problem, needed=needed, problem=problem))
        any_store = any(one.well for one in found if one.kind == "store")
        found.append(
            Dependency(
                kind="stores",
                name="at least one store",
                well=any_store,
                needed=True,
                problem="" if any_store else "no store answers",
            )
        )
        return found

    def _ask_catalog(self) -> str:
        from sqlalchemy import text

        try:
            with self._service.catalog() as connection:
                connection.execute(text("SELECT 1"))
        except NotFoundError:
            return "no catalog was made yet"
        return ""

    def _ask_work(self) -> str:
        workflows = self._service.workflows
        if workflows is None:
            return self._service.work_problem or "there is no queue of work"
        workflows.look("health")
        return ""

    def _ask_hook(self, name: str) -> str:
        """Nothing is sent: whether it took the last message."""
        from holdfast.clock import to_rfc3339

        workflows = self._service.workflows
        if workflows is None:
            return "nothing is sent to it without a queue of work"
        [state] = workflows.hooks([name])
        if state.failing_since_ns is None:
            return ""
        return f"it takes nothing since {to_rfc3339(state.failing_since_ns)}, {state.waiting} wait: {state.problem}"

    def _ask_sessions(self) -> str:
        self._kept.session("health")
        return ""

    def _ask_policies(self) -> str:
        problem = self._service.authority().home.in_force.problem
        return "" if problem is None else problem.message

    def _ask_clock(self) -> str:
        wall, monotonic = self._clock_began
        clock = self._service.clock
        now, then = clock.now_ns(), clock.monotonic()
        parted = abs((now - wall) / NANOSECONDS - (then - monotonic))
        if parted > _CLOCK_S:
            self._clock_began = (now, then)
            return f"the clock was set by {parted:.0f} s"
        return ""


def _stores(sites: object) -> list[str]:
    from holdfast.control.recovering.journals import landing_stores
    from holdfast.control.sites.declared import DeclaredSites

    assert isinstance(sites, DeclaredSites)
    return landing_stores(sites)


def _ask_store(service: Service, name: str) -> str:
    from holdfast.vault.format.names import CONFIG

    store = service.sites().store(name).store
    try:
        store.get(f"{CONFIG}health")  # whether it answers, not what
    except ObjectNotFoundError:
        return ""
    return ""


def _told(ask: Callable[[], str]) -> str:
    try:
        return ask()
    except HoldfastError as error:
        return error.message
    except Exception as error:  # noqa: BLE001 - whatever it is, this dependency is ill, and the others are looked at
        return f"unexpected {type(error).__name__}"
