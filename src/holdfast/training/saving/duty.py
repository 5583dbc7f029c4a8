"""What the saving process does, in its order: what is staged first, then what waits, worth most first."""

from __future__ import annotations

import time
from pathlib import Path

from holdfast.errors import (
    DamageError,
    FailedError,
    HoldfastError,
    MissingExtraError,
    RefusedError,
    SourceChangedError,
    UsageError,
)
from holdfast.training.saving.channel import Channel
from holdfast.training.saving.inbox import Inbox
from holdfast.training.saving.ledger import as_ours
from holdfast.training.saving.messages import (
    Dropped,
    Durable,
    Failed,
    Opened,
    Order,
    SaveOrder,
    Sent,
    Settings,
    Spooled,
    Trouble,
    Waiting,
)
from holdfast.training.saving.reaching import Home, Reach
from holdfast.training.saving.spooling import Backlog
from holdfast.training.saving.spooling import Waiting as InSpool
from holdfast.training.saving.writing import Saved, StagedSource, write_folder, write_staged

__all__ = ["Duty"]

_NEVER_HELPS = (UsageError, RefusedError, SourceChangedError, MissingExtraError)
_GLANCE_SECONDS = 1.0  # how often it is looked whether training lives
_MOMENT_SECONDS = 0.05


class Duty:
    """The saving process's work, done by its main thread."""

    def __init__(self, channel: Channel[Order], settings: Settings, inbox: Inbox) -> None:
        self._channel = channel
        self._settings = settings
        self._inbox = inbox
        self._held: list[SaveOrder] = []  # staged, could neither be saved nor spooled
        self._backlog: Backlog | None = None
        self._reach = Reach(settings, _Notes(channel), inbox.notify)

    def run(self) -> None:
        """Work until there is nothing left to do and training wants no more, or is gone."""
        self._reach.look()
        while True:
            if self._reach.home is None and self._reach.trouble is None:
                self._inbox.rest(_GLANCE_SECONDS)  # the vault is being opened
                continue
            order = self._inbox.take()
            if order is not None:
                self._save(order)
                continue
            self._let_go_withdrawn()
            if self._reach.is_there and self._backlog is None:
                self._opened_backlog()  # an earlier run may have left something
            if self._reach.is_there and self._waits():
                self._send_one()
                continue
            if self._inbox.has_ended() and (self._inbox.is_late() or not self._waits()):
                self._end()
                return
            self._rest()

    def _rest(self) -> None:
        pause = _GLANCE_SECONDS
        if not self._reach.is_there and not self._reach.is_looking:
            pause = self._reach.seconds_until_due()
            if not pause:
                self._reach.look()
        self._inbox.rest(min(_GLANCE_SECONDS, max(_MOMENT_SECONDS, pause)))

    def _waits(self) -> bool:
        return bool(self._held) or (self._backlog is not None and len(self._backlog) > 0)

    def _save(self, order: SaveOrder) -> None:
        if not self._reach.is_there:
            self._keep(order, self._reach.trouble or FailedError("the vault is not open"))
            return
        error = self._attempt(order)
        if error is not None:
            self._keep(order, error)

    def _attempt(self, order: SaveOrder) -> HoldfastError | None:
        """Save it. None when it is settled, for good or bad; else why it is to be tried again."""
        home = self._home()
        began = time.monotonic()
        try:
            if order.path:
                saved = write_folder(home.vault, self._settings.asset, order, home.committed)
            else:
                memory = self._inbox.memory(order)
                sources = [StagedSource(memory[file.offset : file.offset + file.size]) for file in order.files]
                saved = write_staged(home.vault, self._settings.asset, order, sources, home.committed)
        except HoldfastError as error:
            return self._settled(order, error)
        except Exception as error:  # noqa: BLE001 - whatever it is, training is told, and this process goes on
            self._failed(order, FailedError(f"saving failed: {type(error).__name__}: {error}"))
            return None
        self._durable(order, saved, began)
        return None

    def _settled(self, order: SaveOrder, error: HoldfastError) -> HoldfastError | None:
        if isinstance(error, _NEVER_HELPS):
            self._failed(order, error)
            return None
        self._reach.lost(error)
        return error

    def _keep(self, order: SaveOrder, error: HoldfastError) -> None:
        """It cannot be saved now: to the local disk, or it stays where it is."""
        if order.path:
            if self._backlog is None:
                self._held.append(order)
            else:
                self._backlog.wait_for(order)
        else:
            try:
                backlog = self._opened_backlog()
                size = max((file.offset + file.size for file in order.files), default=0)
                written = backlog.spool(order, self._inbox.memory(order)[:size])
            except HoldfastError as why:
                self._held.append(order)
                if self._settings.spool:
                    self._channel.send(Trouble(f"not spooled: {why.message}"))
            else:
                self._channel.send(Spooled(order.ticket, written, error.code, error.message))
                return
        self._channel.send(Waiting(order.ticket, error.code, error.message))

    def _let_go_withdrawn(self) -> None:
        withdrawn = self._inbox.withdrawn()
        trouble = self._reach.trouble
        why = f" ({trouble.message})" if trouble is not None else ""
        for order in [order for order in self._held if order.ticket in withdrawn]:
            self._held.remove(order)
            self._failed(order, FailedError(f"a newer state took its place before it could be saved{why}"))

    def _send_one(self) -> None:
        """What is worth most of all that waits. What is held is newer than what is spooled."""
        if self._held:
            order = self._held.pop()
            error = self._attempt(order)
            if error is not None:
                self._held.append(order)
            return
        backlog = self._opened_backlog()
        waiting = backlog.next()
        if waiting is None:
            return
        if waiting.file is None:
            backlog.remove(waiting)
            error = self._attempt(waiting.order)
            if error is not None:
                backlog.wait_for(waiting.order)
            return
        self._send_spooled(backlog, waiting)

    def _send_spooled(self, backlog: Backlog, waiting: InSpool) -> None:
        home, began = self._home(), time.monotonic()
        try:
            reader = backlog.reader(waiting)
            try:
                reader.check()
            except HoldfastError:
                reader.close()
                raise
        except (DamageError, FailedError) as error:
            backlog.set_aside(waiting)
            self._failed(waiting.order, error, waiting.ticket)
            return
        try:
            saved = write_staged(home.vault, self._settings.asset, waiting.order, reader.sources(), home.committed)
        except HoldfastError as error:
            if isinstance(error, _NEVER_HELPS):
                backlog.set_aside(waiting)
                self._failed(waiting.order, error, waiting.ticket)
            else:
                self._reach.lost(error)
            return
        except Exception as error:  # noqa: BLE001 - this process goes on: the next one would end by it, too
            backlog.set_aside(waiting)
            self._failed(waiting.order, as_ours(error, "saving failed"), waiting.ticket)
            return
        finally:
            reader.close()
        backlog.sent(waiting)
        if waiting.ticket:
            self._durable(waiting.order, saved, began)
        else:
            self._reach.worked()
            self._channel.send(Sent(waiting.order.step, saved.snapshot, waiting.order.content_ns))

    def _home(self) -> Home:
        home = self._reach.home
        assert home is not None
        self._opened_backlog()
        return home

    def _opened_backlog(self) -> Backlog:
        """Raises FailedError: no vault is open, or the spool cannot be used (then there is none)."""
        if self._backlog is not None:
            return self._backlog
        if self._reach.home is None:
            raise FailedError("the vault was never open, so nothing can be sealed for it")
        keys, settings = self._reach.home.vault.handle.keys, self._settings
        folder = Path(settings.spool) if settings.spool else None
        try:
            self._backlog = Backlog(folder, settings.spool_bytes_max, keys, settings.asset, self._dropped)
        except HoldfastError as error:
            self._channel.send(Trouble(error.message))
            self._backlog = Backlog(None, 0, keys, settings.asset, self._dropped)
        self._channel.send(Opened(keys.vault.hex(), self._backlog.left_by_others))
        return self._backlog

    def _end(self) -> None:
        """What is held is lost with this process; what is spooled stays for the next one."""
        trouble = self._reach.trouble
        why = trouble.message if trouble is not None else "there was no time"
        for order in self._held:
            self._failed(order, FailedError(f"it could not be saved before the end: {why}"))

    # To training.

    def _durable(self, order: SaveOrder, saved: Saved, began: float) -> None:
        self._reach.worked()
        self._opened_backlog().durable(order)
        seconds = time.monotonic() - began
        self._channel.send(
            Durable(order.ticket, saved.snapshot, saved.verdict, seconds, saved.raw_bytes, saved.stored_bytes)
        )

    def _failed(self, order: SaveOrder, error: HoldfastError, ticket: int | None = None) -> None:
        number = order.ticket if ticket is None else ticket
        self._channel.send(Failed(number, error.code, error.message, error.hint))

    def _dropped(self, waiting: InSpool) -> None:
        self._channel.send(Dropped(waiting.ticket, waiting.order.step, waiting.bytes))


class _Notes:
    """What the vault has to say while it works. Progress itself is nobody's concern here."""

    def __init__(self, channel: Channel[Order]) -> None:
        self._channel = channel

    def phase(self, name: str, total_bytes: int | None) -> None:
        pass

    def advance(self, done_bytes: int, stored_bytes: int = 0) -> None:
        pass

    def note(self, message: str) -> None:
        self._channel.send(Trouble(message))
