"""What a copy does about a collection at its target: it holds a lease, and rescues what it needs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from holdfast.replication.copying.asking import AskedStore
from holdfast.vault.collecting.leases import COPYING, HeldLease
from holdfast.vault.collecting.trash import Trash, read_trash, rescue
from holdfast.vault.handle import Handle

__all__ = ["Claims"]


class Claims:
    """Objects keep their names when they are copied, so what is condemned under one of them is taken back.

    With a key that only reads there is neither lease nor rescue: then the collection's grace is all there is, as for
    copies without any key.
    """

    def __init__(self, target: Handle, look_again: Callable[[], None]) -> None:
        """`look_again`: forget what was seen at the target, and look anew; called when the lease has begun and what is
        condemned is known: a collection that ended in between has deleted what it was about to.
        """
        self._target = target
        self._lock = threading.Lock()
        self._look_again = look_again
        self._begun = False
        self._lease: HeldLease | None = None
        self._trash = Trash(())
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, traceback)

    def claim(self, keys: Iterable[str]) -> bool:
        """See that these objects stay. False, with a note, when some are being deleted: another time, then.

        The first claim opens the lease: a copy that finds everything there writes nothing.
        """
        self.begin()
        self.keep()
        wanted = self._trash.keys.intersection(keys)
        if not wanted:
            return True
        late = wanted & self._trash.closed if self._lease is None else rescue(self._target, self._trash, wanted)
        for key in sorted(late)[:1]:
            self._target.progress.note(f"{key} is being collected at {self._target.store.url}: copied the next time")
        return not late

    def begin(self) -> None:
        """Open the lease, if that was not done yet. By it, who looks at the target knows that a copy goes on."""
        with self._lock:
            if self._begun:
                return
            if self._target.keys.can_write:
                # The store's answer to a create holds the time that the lease asks for next.
                leasing = Handle(
                    AskedStore(self._target.store), self._target.keys, self._target.clock, self._target.progress
                )
                self._lease = self._stack.enter_context(HeldLease(leasing, COPYING))
            self._trash = read_trash(self._target)  # after the lease: what is condemned from now on waits for it
            self._look_again()
            self._begun = True

    def keep(self) -> None:
        """Renew the lease when it is time. Raises ConflictError when it is too late."""
        if self._lease is not None:
            self._lease.keep()
            self._lease.require()
