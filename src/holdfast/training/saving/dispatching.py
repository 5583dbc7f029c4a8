"""Between training and the saving process: who may stage now, what was handed over, what to do when it dies."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Literal

from holdfast.errors import FailedError, HoldfastError
from holdfast.training.saving.ledger import LOG, Ledger
from holdfast.training.saving.messages import Report, SaveOrder, Settings, Trouble, Waiting
from holdfast.training.saving.slots import Slot, Slots
from holdfast.training.saving.tickets import Ticket
from holdfast.training.saving.worker import Worker

__all__ = ["Dispatcher", "WhenBusy"]

WhenBusy = Literal["wait", "skip"]
_ATTEMPTS = 3  # saving processes that one state may see die
_TROUBLE_SECONDS = 1.0  # that training waits for an earlier save that is known to be stuck
_WITHDRAW_SECONDS = 5.0  # in which the saving process lets go of what it only holds
_KILL_SECONDS = 5.0


class Dispatcher:
    """Safe for several threads. `changed` is its lock; whoever holds it may look at `ledger`."""

    def __init__(
        self,
        settings: Settings,
        max_pending: int,
        when_busy: WhenBusy,
        busy_seconds_max: float,
        on_failure: Callable[[Ticket], None],
        on_durable: Callable[[Ticket, float], None] | None = None,
    ) -> None:
        """Starts the saving process. Raises FailedError."""
        self._settings = settings
        self._when_busy, self._busy_seconds_max = when_busy, busy_seconds_max
        self.changed = threading.Condition(threading.RLock())
        self.ledger = Ledger(on_failure, on_durable)
        self.slots = Slots(max_pending)
        self._orders: dict[int, SaveOrder] = {}  # what the saving process has, and may have to be given again
        self._deaths: dict[int, int] = {}  # ticket → saving processes that died with it
        self._number = self._content_ns = 0
        self._troubled = False
        self._closing = False
        self._worker: Worker | None = Worker(settings, self._take, self._ended)

    @property
    def process(self) -> int | None:
        """The saving process's id; None while there is none."""
        return None if self._worker is None else self._worker.pid

    def new_ticket(self, step: int | None, tags: Sequence[str]) -> Ticket:
        with self.changed:
            self._number += 1
            return Ticket(self._number, step, tuple(tags))

    def new_content_ns(self) -> int:
        """Now, later than every one before: it tells states apart."""
        with self.changed:
            self._content_ns = max(time.time_ns(), self._content_ns + 1)
            return self._content_ns

    def take_slot(self, ticket: Ticket) -> Slot | None:
        """Memory to stage into; None when the save is skipped, which the ticket then says."""
        deadline = time.monotonic() + (self._busy_seconds_max if self._when_busy == "wait" else 0.0)
        with self.changed:
            while True:
                slot = self.slots.take(ticket.number)
                if slot is not None:
                    return slot
                stuck = self._withdraw_stuck()
                limit = deadline
                if stuck:
                    limit = max(deadline, time.monotonic() + _WITHDRAW_SECONDS)
                elif self._troubled:
                    limit = min(deadline, time.monotonic() + _TROUBLE_SECONDS)
                if not self._await_slot(limit):
                    hint = "save less often, or allow `max_pending=2`"
                    self.ledger.skip(ticket, FailedError(self._why_busy(), hint=hint))
                    return None

    def refuse(self, ticket: Ticket, content_ns: int, error: HoldfastError) -> None:
        """It could not be staged."""
        with self.changed:
            self.ledger.begin(ticket, content_ns)
            self.ledger.fail(ticket, error)

    def give(self, ticket: Ticket, order: SaveOrder) -> None:
        """Hand a save over."""
        with self.changed:
            self.ledger.begin(ticket, order.content_ns)
            self._orders[ticket.number] = order
            self._send([order])

    def release(self, slot: Slot) -> None:
        """Nothing was staged into it."""
        with self.changed:
            slot.ticket = None
            self.changed.notify_all()

    def wait(self, seconds: float | None, is_over: Callable[[], bool]) -> bool:
        """Wait for `is_over`, which is asked under the lock. Whether it is."""
        with self.changed:
            return self.changed.wait_for(is_over, seconds)

    def finish(self, seconds: float) -> None:
        """Wait for what is under way, and end the saving process, in the end by force. What is left has failed."""
        deadline = time.monotonic() + seconds
        with self.changed:
            self._closing = True
            self.changed.wait_for(lambda: not self._is_active(), seconds)
            worker = self._worker
        if worker is not None:
            left = max(0.0, deadline - time.monotonic())
            worker.finish(left)
            if not worker.wait(left + _KILL_SECONDS):
                worker.kill()
                worker.wait(_KILL_SECONDS)
        with self.changed:
            for ticket in self.ledger.open:
                where = "it stays in the spool" if ticket.state == "spooled" else "it is lost"
                why = f": {ticket.error.message}" if ticket.error is not None else ""
                self.ledger.fail(ticket, FailedError(f"the saver was closed before it was durable, {where}{why}"))
            for slot in self.slots.all:
                slot.close()
            self.changed.notify_all()
        self.ledger.tell()

    def forget(self) -> None:
        """In a forked child: nothing of this is its own."""
        if self._worker is not None:
            self._worker.forget()
        self._worker = None
        for slot in self.slots.all:
            slot.close()

    def _is_active(self) -> bool:
        """Whether something is being saved now, or may be in a moment; what waits for a store is not."""
        return any(ticket.state == "pending" for ticket in self.ledger.open)

    def _withdraw_stuck(self) -> bool:
        """Ask for the memory of a state that only waits: the newer one is worth more. Whether there is such a one."""
        stuck = [ticket for ticket in self.ledger.open if ticket.state == "waiting" and self.slots.of(ticket.number)]
        if not stuck or self._worker is None:
            return False
        self._worker.withdraw(stuck[0].number)
        return True

    def _await_slot(self, deadline: float) -> bool:
        """Whether something changed before that."""
        left = deadline - time.monotonic()
        return left > 0 and self.changed.wait(left)

    def _why_busy(self) -> str:
        before = next((ticket for ticket in self.ledger.open if self.slots.of(ticket.number)), None)
        return f"the save of step {before.step if before is not None else None} is still under way"

    def _send(self, orders: list[SaveOrder]) -> None:
        """To the saving process, a new one if there is none. Where that is gone, `_ended` follows and does it again."""
        if self._worker is None:
            for slot in self.slots.all:
                slot.forget_process()
            try:
                self._worker = Worker(self._settings, self._take, self._ended)
            except HoldfastError as error:
                for order in orders:
                    self._give_up(order.ticket, error)
                return
        for order in orders:
            staged = self.slots.of(order.ticket)
            if staged is not None:
                staged.share(self._worker.share)
            self._worker.order(order)

    def _take(self, report: Report) -> None:
        """From the listening thread."""
        with self.changed:
            if isinstance(report, Trouble | Waiting):
                self._troubled = True
            freed = self.ledger.take(report)
            if freed is not None:
                self._troubled = False
                self._let_go(freed)
            self.changed.notify_all()
        self.ledger.tell()

    def _ended(self, worker: Worker, how: str) -> None:
        """From the listening thread: the process is gone. What it had is still in shared memory, for another one."""
        with self.changed:
            if worker is not self._worker:
                return
            self._worker = None
            self._troubled = False
            unfinished = [order for number, order in sorted(self._orders.items()) if self.ledger.find(number)]
            if not self._closing or unfinished:
                self.ledger.counts["restarts"] += 1
                LOG.warning("the saving process is gone (%s); %d saves are begun again", how, len(unfinished))
            again = []
            for order in unfinished:
                deaths = self._deaths[order.ticket] = self._deaths.get(order.ticket, 0) + 1
                if deaths >= _ATTEMPTS:
                    self._give_up(order.ticket, FailedError(f"the saving process died {deaths} times with it: {how}"))
                else:
                    again.append(order)
            if again or (self.ledger.open and not self._closing):  # what is spooled needs a process, too
                self._send(again)
            self.changed.notify_all()
        self.ledger.tell()

    def _give_up(self, number: int, error: HoldfastError) -> None:
        ticket = self.ledger.find(number)
        if ticket is not None:
            self.ledger.fail(ticket, error)
        self._let_go(number)

    def _let_go(self, number: int) -> None:
        self._orders.pop(number, None)
        self._deaths.pop(number, None)
        slot = self.slots.of(number)
        if slot is not None:
            slot.ticket = None
