"""A thread of a worker that looks for events and submits a message for each receiver that wants it.

The key of the work is made of the receiver and the event, so that whoever finds an event once more submits nothing new.
Of several workers one looks at a time. What is older than a receiver's `trying` when it is found is not told any more.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Final

from holdfast.clock import NANOSECONDS
from holdfast.config.finding import LoadedConfig
from holdfast.config.webhooks_model import Webhook, matches
from holdfast.control.hooks.events import Event
from holdfast.control.hooks.finding import Finder
from holdfast.control.hooks.states import KIND, note_since, takes_turn
from holdfast.control.sites.declared import DeclaredSites
from holdfast.control.workflows import Value, Workflows
from holdfast.control.working.database import WorkDatabase
from holdfast.errors import ConflictError, HoldfastError, UsageError

__all__ = ["HookFollower", "key_of_message"]

_EVERY_S: Final = 15.0
_BUSY_S: Final = 2.0  # while this worker does something, and a little longer
_ANEW_S: Final = 300.0  # stores are opened anew: members of the vault, or routes, may have changed
_STOP_S: Final = 10.0


class HookFollower:
    """`declared`: the file as it is now. `busy`: whether something is being done here."""

    def __init__(
        self,
        sites: DeclaredSites,
        database: WorkDatabase,
        workflows: Workflows,
        declared: Callable[[], LoadedConfig],
        busy: Callable[[], bool],
        told: Callable[[str], None],
    ) -> None:
        self._sites, self._database, self._workflows = sites, database, workflows
        self._declared, self._busy, self._told = declared, busy, told
        self._finder: tuple[Finder, LoadedConfig, float] | None = None
        self._submitted: dict[tuple[str, str], int] = {}
        self._gone, self._hurry = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="webhooks", daemon=True)
        self._said = ""

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """What was not found yet is found by another worker, or when this one is started again."""
        self._gone.set()
        self._hurry.set()
        self._thread.join(_STOP_S)

    def hurry(self) -> None:
        """Something has just ended: look at once."""
        self._hurry.set()

    def look(self) -> int:
        """Look once, and submit what is new: how many messages. Raises what opening the vault and the queue raise."""
        loaded = self._declared()
        hooks = loaded.config.webhooks
        if not hooks:
            return 0
        clock = self._sites.clock
        since = note_since(self._database, list(hooks), clock.now_ns())
        finder = self._found(loaded)
        now = clock.now_ns()
        submitted = 0
        from_ns = {name: max(since[name], now - round(hook.trying * NANOSECONDS)) for name, hook in hooks.items()}
        try:
            events = finder.look(min(from_ns.values()))
            for event in events:
                try:
                    submitted += self._submit(event, hooks, from_ns, loaded.config.organisation)
                except (UsageError, ValueError, OverflowError, OSError) as error:
                    # Somebody wrote down what cannot be told (a time after the year 9999): the others are told.
                    finder.problems[event.id[:80]] = f"it cannot be told ({type(error).__name__})"
        except BaseException:
            finder.forget()  # what was found and is not submitted is to be found once more
            raise
        self._say("; ".join(f"{what}: {why}" for what, why in sorted(finder.problems.items()))[:1000])
        self._prune(min(from_ns.values()))
        return submitted

    def _found(self, loaded: LoadedConfig) -> Finder:
        now = self._sites.clock.monotonic()
        known = self._finder
        if known is None or known[1] is not loaded or now - known[2] > _ANEW_S:
            sites = DeclaredSites(loaded, self._sites.environment, self._sites.clock, self._sites.progress)
            sites.learn()
            known = self._finder = (Finder(sites, known[0] if known else None), loaded, now)
        return known[0]

    def _submit(self, event: Event, hooks: Mapping[str, Webhook], from_ns: Mapping[str, int], whose: str) -> int:
        submitted = 0
        for name, hook in hooks.items():
            wanted = event.at_ns > from_ns[name] and any(matches(one, event.kind) for one in hook.events)
            if not wanted or (name, event.id) in self._submitted:
                continue
            key = key_of_message(name, event)
            if self._workflows.look(key) is None:
                until = event.at_ns + round(hook.trying * NANOSECONDS)
                given: dict[str, Value] = {"hook": name, "event": event.id, "body": event.body(whose), "until": until}
                try:
                    self._workflows.submit(KIND, given, key=key, by="webhooks")
                    submitted += 1
                except ConflictError:
                    pass  # another worker found the same, in other words
            self._submitted[name, event.id] = event.at_ns
        return submitted

    def _prune(self, before_ns: int) -> None:
        for key in [key for key, at in self._submitted.items() if at <= before_ns]:
            del self._submitted[key]

    def _run(self) -> None:
        while not self._gone.is_set():
            hurried = self._hurry.is_set()
            self._hurry.clear()
            try:
                if self._declared().config.webhooks and (hurried or self._is_turn()):
                    self.look()
            except HoldfastError as error:
                self._say(f"nothing can be found that receivers of webhooks are told: {error.message}")
            except Exception as error:  # noqa: BLE001 - whatever it is, the next look comes
                self._say(f"looking for what receivers of webhooks are told failed: {type(error).__name__}: {error}")
            self._hurry.wait(_BUSY_S if self._busy() else _EVERY_S)

    def _is_turn(self) -> bool:
        seconds = (_BUSY_S if self._busy() else _EVERY_S) * 0.9
        return takes_turn(self._database, self._sites.clock.now_ns(), round(seconds * NANOSECONDS))

    def _say(self, text: str) -> None:
        """Once, while it stays so."""
        if text != self._said:
            self._said = text
            if text:
                self._told(text)


def key_of_message(name: str, event: Event) -> str:
    """In the order of time: of two that were submitted within one second the lesser key is sent first."""
    return f"webhook/{name}/{max(event.at_ns, event.order_ns, 0):020d}/{event.id}"
