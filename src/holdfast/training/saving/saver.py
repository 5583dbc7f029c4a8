"""`Saver`: saves the state of a training, which stands still for no longer than one copy takes."""

from __future__ import annotations

import atexit
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from msgspec.structs import replace

from holdfast.errors import FailedError, HoldfastError, UsageError
from holdfast.objectives.intervals import SaveCost
from holdfast.training.intervals import Interval
from holdfast.training.saving.circumstances import gathered_by
from holdfast.training.saving.dispatching import Dispatcher, WhenBusy
from holdfast.training.saving.ledger import as_ours, log_failure
from holdfast.training.saving.messages import SaveOrder, Settings
from holdfast.training.saving.restoring import restore_state
from holdfast.training.saving.staging import ExtraFile, plan_staging, read_extra_files, stage, undisturbed
from holdfast.training.saving.tickets import Exposure, Stats, Ticket
from holdfast.training.saving.writing import check_tags
from holdfast.training.states.files import plan_files
from holdfast.vault.saving.options import save_options
from holdfast.vault.saving.validation import NORM_JUMP, Policy
from holdfast.vault.vault import Vault

__all__ = ["Saver"]

_SPOOL_BYTES = 64 << 30
_RETRY_SECONDS = 60.0  # after a save that failed the interval says sooner than usual that the next one is due
_FAR_SECONDS = 365 * 24 * 3600.0


class Saver:
    """Saves states of one asset from a training loop, in the background. Safe for several threads of one process.

    ```python
    with Saver("s3://bucket/vault", asset="llm") as saver:
        for step in range(steps):
            …
            if step % 500 == 0:
                saver.save({"model": model, "optimizer": optimizer, "step": step}, step=step)
    ```
    """

    def __init__(
        self,
        vault: str | os.PathLike[str] | Vault | None,
        asset: str,
        *,
        store_options: Mapping[str, str] | None = None,
        spool: str | os.PathLike[str] | None = None,
        spool_bytes_max: int = _SPOOL_BYTES,
        max_pending: int = 1,
        when_busy: WhenBusy = "wait",
        busy_seconds_max: float = 60.0,
        policy: Policy | str = Policy.WARN,
        verify: bool = True,
        metadata: Mapping[str, Any] | None = None,
        versions: Mapping[str, str] | None = None,
        circumstances: Any = None,
        interval: Interval | None = None,
        on_failure: Callable[[Ticket], None] = log_failure,
        niceness: int = 10,
        close_seconds: float = 120.0,
        orphan_seconds: float = 300.0,
    ) -> None:
        """Starts the saving process, which opens the vault; does not wait for it.

        `vault`: its path or URL, or an opened one; None: `holdfast.yaml` says where the asset goes. `spool`: a folder
        on a local disk for what cannot be sent, sealed as the vault is. `max_pending`: staged copies at a time; each
        takes as much memory as the state. `when_busy`: with so many pending, a save waits (for `busy_seconds_max`) or
        is skipped. `policy`, `verify`, `metadata`, `versions`: as of `Vault.save`. `circumstances`: a
        `training.circumstances.Gatherer`, or a function that gives a mapping, called with every save. `interval`:
        asked by the loop when to save (`interval.due(step)`), told here what each save cost. `on_failure`:
        told of each save that failed or was skipped, from any thread; by default it is logged as a warning.

        `niceness`: of the saving process. `close_seconds`: how long `close` and the end of the program wait.
        `orphan_seconds`: how long the saving process goes on when training was killed. Raises UsageError, FailedError.
        """
        if when_busy not in ("wait", "skip"):
            raise UsageError(f"when_busy is wait or skip, not {when_busy!r}")
        if isinstance(max_pending, bool) or not isinstance(max_pending, int) or max_pending < 1:
            raise UsageError("max_pending is a number of staged copies, at least 1")
        if not isinstance(asset, str) or not asset:
            raise UsageError("an asset is needed: the name that the states have in the vault")
        self.asset = asset
        self._vault = vault if isinstance(vault, Vault) else None
        self._url = _url_of(vault)
        self._options = dict(store_options or {})
        self._policy, self._verify = policy, verify
        self._metadata, self._versions = dict(metadata or {}), dict(versions or {})
        self._order(None, None, (), {}, 0)  # raises for options that no snapshot can have
        self._circumstances = circumstances
        self._interval = interval
        self._on_failure = on_failure
        self._close_seconds = close_seconds
        self._closed = False
        self._pid = os.getpid()
        place = "" if spool is None else str(Path(spool).absolute())
        settings = Settings(self._url, asset, self._options, place, spool_bytes_max, niceness, orphan_seconds)
        self._dispatcher = Dispatcher(settings, max_pending, when_busy, busy_seconds_max, self._failed, self._durable)
        _savers.add(self)

    # Saving.

    def save(
        self,
        state: Any,
        *,
        step: int | None = None,
        metrics: Mapping[str, float] | None = None,
        tags: Sequence[str] = (),
        metadata: Mapping[str, Any] | None = None,
        extra_files: Mapping[str, ExtraFile] | None = None,
    ) -> Ticket:
        """Copy the state, and save the copy in the background. The state may change when this returns.

        `state`: a tree of dicts, lists and tuples with tensors, plain values, generators, and objects that have a
        `state_dict()`. `extra_files`: name → path or bytes, saved beside it. Raises UsageError for a state with
        something in it that has no safe form, and for options that make no sense: nothing was written then. Whatever
        else goes wrong is in the ticket, and `on_failure` is told.
        """
        began = time.perf_counter()
        self._require_open()
        metadata = {**self._begun(), **(metadata or {})}
        order = self._order(step, metrics, tags, metadata, 0)
        try:
            extra = read_extra_files(extra_files or {})
        except FailedError as error:
            return self._unread(step, tags, error)
        circumstances = gathered_by(self._circumstances, step)
        with undisturbed():
            plan = plan_staging(plan_files(state), circumstances.files | extra)
        dispatcher, ledger = self._dispatcher, self._dispatcher.ledger
        ticket = dispatcher.new_ticket(step, tags)
        asked = time.perf_counter()
        slot = dispatcher.take_slot(ticket)
        waited = time.perf_counter() - asked
        if slot is not None:
            content_ns = dispatcher.new_content_ns()
            try:
                slot.fill(plan.size, lambda memory: stage(plan, memory))
            except Exception as error:  # noqa: BLE001 - whatever it is, training goes on
                dispatcher.release(slot)
                dispatcher.refuse(ticket, content_ns, as_ours(error, "the state cannot be copied"))
            except BaseException:  # a Ctrl-C: the save that may follow it needs the memory
                dispatcher.release(slot)
                raise
            else:
                versions = {**order.versions, **circumstances.versions}
                staged = replace(order, ticket=ticket.number, memory=slot.number, files=plan.files, versions=versions)
                dispatcher.give(ticket, replace(staged, content_ns=content_ns))
        with dispatcher.changed:
            ledger.stalled(ticket, time.perf_counter() - began, waited)
        ledger.tell()
        return ticket

    def save_folder(
        self,
        path: str | os.PathLike[str],
        *,
        step: int | None = None,
        metrics: Mapping[str, float] | None = None,
        tags: Sequence[str] = (),
        metadata: Mapping[str, Any] | None = None,
    ) -> Ticket:
        """Save a folder or file that is finished, in the background. It must stay as it is until the ticket is done.

        Raises UsageError for options that make no sense.
        """
        self._require_open()
        metadata = {**self._begun(), **(metadata or {})}
        order = self._order(step, metrics, tags, metadata, self._dispatcher.new_content_ns())
        ticket = self._dispatcher.new_ticket(step, tags)
        place = str(Path(path).absolute())
        self._dispatcher.give(ticket, replace(order, ticket=ticket.number, path=place))
        return ticket

    def prepare(self, state: Any) -> int:
        """Get the shared memory for states like this one, so that the first save does not wait for it; its bytes.

        Raises UsageError as `save` does, StorageFullError when there is no such memory.
        """
        self._require_open()
        size = plan_staging(plan_files(state), {}).size
        with self._dispatcher.changed:
            for slot in self._dispatcher.slots.all:
                if slot.ticket is None:
                    slot.prepare(size + (size >> 4))
        return size

    def restore(self, into: Any = None, reference: str = "newest good") -> Any:
        """The state of a snapshot. By default of the newest one that is good: found good when it was saved, and every
        byte of it reads back; what is damaged is passed over, and told of.

        `into`: a state like the one that was saved. Its objects get their state (`load_state_dict`), its tensors their
        values in place, and it is what is returned. `reference`: as for `Vault.load`, for one snapshot. Raises
        NotFoundError when there is none, DamageError when none reads back, UsageError when `into` does not fit.
        """
        return restore_state(self._opened_vault(), self.asset, into, reference)

    # What became of it.

    @property
    def pending(self) -> list[Ticket]:
        """Saves that are not durable yet, and may become so, oldest first."""
        with self._dispatcher.changed:
            return self._dispatcher.ledger.open

    @property
    def last_durable_step(self) -> int | None:
        """The step of the newest state that is durable; None: none of this saver's."""
        return self._dispatcher.ledger.last_durable_step

    @property
    def exposure(self) -> Exposure:
        """What would be lost now."""
        with self._dispatcher.changed:
            return self._dispatcher.ledger.exposure()

    @property
    def process(self) -> int | None:
        """The id of the saving process, None while there is none."""
        return self._dispatcher.process

    def stats(self) -> Stats:
        """Numbers since the saver began."""
        with self._dispatcher.changed:
            return self._dispatcher.ledger.stats(self._dispatcher.slots.bytes)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until nothing is pending, for at most `timeout` seconds. Whether nothing is."""
        return self._dispatcher.wait(timeout, lambda: not self._dispatcher.ledger.open)

    def close(self, timeout: float | None = None) -> None:
        """Wait for what is under way, for `timeout` (by default `close_seconds`), and end the saving process."""
        if self._closed or os.getpid() != self._pid:
            return
        self._closed = True
        _savers.discard(self)
        self._dispatcher.finish(self._close_seconds if timeout is None else timeout)

    def __enter__(self) -> Saver:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _begun(self) -> dict[str, str]:
        """A save begins: the interval's next one, too. What its snapshot says of the interval."""
        if self._interval is None:
            return {}
        self._interval.saving()
        return self._interval.metadata()

    def _durable(self, ticket: Ticket, seconds: float) -> None:
        if self._interval is not None:
            self._interval.saved(SaveCost(stopped_seconds=ticket.stalled_seconds, durable_seconds=seconds))

    def _failed(self, ticket: Ticket) -> None:
        if self._interval is not None:
            self._interval.failed(_RETRY_SECONDS)
        self._on_failure(ticket)

    def __repr__(self) -> str:
        return f"<Saver {self.asset!r}: {self.exposure}>"

    def _unread(self, step: int | None, tags: Sequence[str], error: HoldfastError) -> Ticket:
        """A save that failed before anything was staged."""
        ticket = self._dispatcher.new_ticket(step, tags)
        self._dispatcher.refuse(ticket, self._dispatcher.new_content_ns(), error)
        self._dispatcher.ledger.tell()
        return ticket

    def _order(
        self,
        step: int | None,
        metrics: Mapping[str, float] | None,
        tags: Sequence[str],
        metadata: Mapping[str, Any],
        content_ns: int,
    ) -> SaveOrder:
        """What is said about a snapshot, checked. Raises UsageError."""
        options = save_options(
            step=step,
            metadata={**self._metadata, **metadata},
            versions=self._versions,
            tags=tags,
            policy=self._policy,
            norm_jump=NORM_JUMP,
            verify=self._verify,
            metrics=metrics,
        )
        measured = dict(options.metrics)
        meta = {key: value for key, value in options.meta.items() if not key.startswith("metric.")}
        kept = list(check_tags(options.tags))
        versions, policy = dict(options.versions), str(options.policy.value)
        return SaveOrder(
            0, -1, [], "", options.step, content_ns, measured, meta, versions, kept, policy, options.verify
        )

    def _opened_vault(self) -> Vault:
        if self._vault is None:
            from holdfast.training.saving.restoring import open_for_restoring

            self._vault = open_for_restoring(self._url, self._options, self.asset)
        return self._vault

    def _require_open(self) -> None:
        if self._closed:
            raise UsageError("this saver is closed")
        if os.getpid() != self._pid:
            raise UsageError("this saver belongs to the process that made it", hint="make one in this process")


def _url_of(vault: str | os.PathLike[str] | Vault | None) -> str:
    if vault is None:
        return ""
    url = vault.url if isinstance(vault, Vault) else os.fspath(vault)
    if url.startswith("memory:"):
        raise UsageError("a vault in memory cannot be reached from the saving process", hint="use a folder")
    is_path = "://" not in url and not url.startswith("stripes:")
    return str(Path(url).absolute()) if is_path else url


_savers: set[Saver] = set()  # those that are open: kept, so that the end of the program waits for their saves


def _close_all() -> None:
    for saver in list(_savers):
        saver.close()


def _forget_all() -> None:
    """A forked child keeps neither the line nor the memory: both are to be gone when training is."""
    for saver in list(_savers):
        saver._dispatcher.forget()
        saver._closed = True
    _savers.clear()


atexit.register(_close_all)
os.register_at_fork(after_in_child=_forget_all)
