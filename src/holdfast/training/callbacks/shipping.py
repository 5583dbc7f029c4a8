"""One saver behind a framework's hooks: opened when the first save is near, never raising into training."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from inspect import signature
from pathlib import Path
from typing import Any

from holdfast.errors import (
    DamageError,
    NotFoundError,
    SourceChangedError,
    UnsupportedFormatError,
    UntrustedError,
    UsageError,
)
from holdfast.training.callbacks.holding import hold, release, release_abandoned
from holdfast.training.callbacks.ranks import has_group, told_by_first, world_size
from holdfast.training.callbacks.reporting import Troubles
from holdfast.training.circumstances import Gatherer
from holdfast.training.newest_good import good_candidates
from holdfast.training.saving.circumstances import gathered_by
from holdfast.training.saving.restoring import open_for_restoring, restore_state
from holdfast.training.saving.saver import Saver
from holdfast.training.saving.tickets import Ticket
from holdfast.vault.snapshots.thinning import dropped_components
from holdfast.vault.vault import Vault

__all__ = ["Shipper", "Where"]

Where = Vault | str | os.PathLike[str] | None
"""A vault, its path or URL, or None: where `holdfast.yaml` says that the asset goes."""

_TRIES = 3
_HELD_MAX = 2  # folders: one that is being saved, and the newest
_GATHER = "gather"  # in place of circumstances: what this process can tell of itself


class Shipper:
    """Sends states and folders of one asset. `saver`: arguments of `holdfast.training.Saver`.

    Every method but `vault`, `has_candidates`, `newest_state` and `state_of_save` is for hooks: call them inside
    `troubles.caught(...)`. Opened lazily and tried again with each save, so that a vault that cannot be reached when
    training begins costs the first snapshots, and not the training.
    """

    def __init__(self, vault: Where, asset: str, **saver: Any) -> None:
        """Raises UsageError for what is no argument of a Saver: now, and not when the first save fails."""
        if not isinstance(asset, str) or not asset:
            raise UsageError("an asset is needed: the name that the checkpoints have in the vault")
        try:
            signature(Saver).bind(vault, asset, **saver)
        except TypeError as error:
            raise UsageError(f"that is no option: {error}", hint="see `holdfast.training.Saver`") from error
        self.asset = asset
        self.troubles = Troubles()
        self._where = vault
        self._circumstances = saver.pop("circumstances", _GATHER)
        self._arguments = saver
        self._hyperparameters: Any = None
        self._sends_folders = False
        self._saver: Saver | None = None
        self._vault: Vault | None = None
        self._lock = threading.Lock()
        self._followers: list[_Follower] = []
        self._cleaned: set[Path] = set()
        self._given_way: set[int] = set()

    def vault(self) -> Vault:
        """The opened vault, for reading. Raises what opening raises."""
        if isinstance(self._where, Vault):
            return self._where
        if self._vault is None:
            url = "" if self._where is None else os.fspath(self._where)
            self._vault = open_for_restoring(url, self._arguments.get("store_options") or {}, self.asset)
        return self._vault

    def start(self, beside: Path | None = None, hyperparameters: Any = None) -> None:
        """Get ready before the first save. `beside`: where folders will be held; what dead processes held is freed.
        `hyperparameters`: as for `training.circumstances.Gatherer`.
        """
        self._hyperparameters = hyperparameters
        self._sends_folders = beside is not None
        if beside is not None and beside not in self._cleaned:
            self._cleaned.add(beside)
            release_abandoned(beside)
        self._opened()

    def send_state(self, state: Any, *, step: int, metrics: Mapping[str, float], metadata: Mapping[str, str]) -> Ticket:
        """Stage a state; it is free to change when this returns."""
        return self._opened().save(state, step=step, metrics=metrics, metadata=metadata)

    def send_folder(
        self,
        folder: Path,
        *,
        step: int,
        metrics: Mapping[str, float],
        metadata: Mapping[str, str],
        beside: Path | None = None,
    ) -> None:
        """Save a finished folder in the background, also if the framework deletes it meanwhile.

        `beside`: where its second names go, a folder on the same file system; by default the one that it lies in.
        """
        self._sends_folders = True
        saver = self._opened()
        self._make_room()
        held = hold(folder, beside or folder.parent)
        source = folder if held is None else held
        if held is not None:
            self._describe(held, step)

        def send() -> Ticket:
            return saver.save_folder(source, step=step, metrics=metrics, metadata=metadata)

        if held is None:
            send()
        else:
            follower = _Follower(held, step, send, self._after)
            self._followers.append(follower)
            follower.start()

    def settle(self, seconds: float) -> bool:
        """Wait until all is durable, or the time is over: then what is missing is noted. Whether all is durable."""
        deadline = time.monotonic() + seconds
        for follower in list(self._followers):
            follower.join(max(0.0, deadline - time.monotonic()))
        saver = self._saver
        if saver is None:
            return True
        saver.wait(max(0.0, deadline - time.monotonic()))
        if saver.pending:
            self.troubles.note("late", f"not all is durable after {seconds:g} s: {saver.exposure}")
        return not saver.pending

    def close(self) -> None:
        """End the saving process, when what it was given is done (with a limit)."""
        if self._saver is not None:
            self._saver.close()

    def stats(self) -> dict[str, Any]:
        """`asset`, `last_durable_step` (None: none yet), `exposure` (what would be lost now: a sentence), `troubles`
        (how often, by kind), `last_trouble` (a sentence), and the numbers of `Saver.stats()`: `saves`, `durable`,
        `failed`, `skipped`, `stalled_seconds`, …
        """
        saver = self._saver
        numbers = {} if saver is None else saver.stats()._asdict()
        return {
            "asset": self.asset,
            "last_durable_step": None if saver is None else saver.last_durable_step,
            "exposure": "nothing was saved yet" if saver is None else str(saver.exposure),
            "troubles": self.troubles.counts,
            "last_trouble": self.troubles.last,
            **numbers,
        }

    def has_candidates(self) -> bool:
        """Whether the vault has any snapshot of the asset, good or not. Raises what reading raises.

        Those that are newer than the newest good one are noted: training goes back behind them.
        """
        found = good_candidates(self.vault(), self.asset)
        newest = found.roots[0].id if found.roots else ""
        for one in found.passed_over:
            if one.snapshot.rpartition("/")[2] > newest:  # ids sort by time
                self._pass_over(one.step, one.snapshot, one.reason)
        return bool(found.roots or found.passed_over)

    def newest_state(self) -> Any:
        """The newest state that reads back whole; every rank of a process group gets the one that rank 0 found.

        Raises NotFoundError, DamageError, and what reading raises.
        """
        if world_size() == 1 or not has_group():
            return self._newest_state()[1]
        mine: list[Any] = []

        def find() -> str:
            snapshot, state = self._newest_state()
            mine.append(state)
            return snapshot

        chosen = told_by_first(find)
        return mine[0] if mine else self._state_of(chosen)

    def _newest_state(self) -> tuple[str, Any]:
        vault = self.vault()
        roots, passed_over = good_candidates(vault, self.asset)
        for root in roots:
            try:
                given_up = dropped_components(vault.handle, root)
                if given_up:
                    raise NotFoundError(f"retention took {', '.join(given_up)} from it")
                return root.id, self._state_of(root.id)
            except UnsupportedFormatError:
                raise
            except (DamageError, NotFoundError, UntrustedError) as error:
                self._pass_over(root.step, root.id, error.message)
        if roots or passed_over:
            raise DamageError(
                f"there are {len(roots) + len(passed_over)} snapshots of {self.asset!r} in {vault.url}, and none of "
                "them can be gone on from",
                hint="`holdfast snapshot list` shows them; `holdfast vault repair`, or another replica",
            )
        raise NotFoundError(f"there is no snapshot of {self.asset!r} in {vault.url}", hint="training begins anew")

    def _state_of(self, snapshot: str) -> Any:
        return restore_state(
            self.vault(), self.asset, None, snapshot
        )  # without a saving process, on ranks that only read

    def _pass_over(self, step: int | None, snapshot: str, reason: str) -> None:
        message = f"passed over: step {step}, snapshot {snapshot}: {reason}"
        self.troubles.note("passed-over", message, "`holdfast snapshot list` shows all of them")

    def state_of_save(self, save: str, name: object) -> Any:
        """The state that was handed over with `save` in its metadata. Raises NotFoundError, DamageError."""
        for one in reversed(self.vault().snapshots(self.asset)):
            if one.root is not None and one.root.meta.get("save") == save:
                return self._state_of(one.root.id)
        raise NotFoundError(
            f"the snapshot that {name} points to is not in {self.vault().url}",
            hint="its save failed, or it was dropped; `newest()` loads the newest good one",
        )

    def _opened(self) -> Saver:
        with self._lock:
            if self._saver is None:
                if self._circumstances is _GATHER:
                    self._circumstances = Gatherer(hyperparameters=self._hyperparameters)
                arguments = {"on_failure": self._failed, "circumstances": self._circumstances} | self._arguments
                if self._sends_folders:
                    gathered = gathered_by(self._circumstances, None)
                    arguments["versions"] = gathered.versions | dict(self._arguments.get("versions") or {})
                self._saver = Saver(self._where, asset=self.asset, **arguments)
            return self._saver

    def _describe(self, held: Path, step: int) -> None:
        """The circumstances as one more file, as old as the newest of the others: the content is not newer for it."""
        with self.troubles.caught("gathering the circumstances"):
            newest = max((file.stat().st_mtime_ns for file in held.rglob("*")), default=held.stat().st_mtime_ns)
            for name, data in gathered_by(self._circumstances, step).files.items():
                if not (held / name).exists():
                    (held / name).write_bytes(data)
                    os.utime(held / name, ns=(newest, newest))
            os.utime(held, ns=(newest, newest))

    def _failed(self, ticket: Ticket) -> None:
        if ticket.error is None:
            self.troubles.note(ticket.state, f"the save of step {ticket.step} was {ticket.state}")
        elif ticket.step not in self._given_way and not (_changed(ticket) and self._followers):
            self._note(ticket)  # what changed is tried again, and noted when it is given up

    def _note(self, ticket: Ticket) -> None:
        error = ticket.error
        if error is not None:
            message = f"step {ticket.step} is not in the vault, training goes on: {error.message}"
            self.troubles.note(error.code, message, error.hint)

    def _make_room(self) -> None:
        """While the store is away or slow, held folders would fill the disk. What is being saved stays, and the newest
        comes: what waits between the two gives way.
        """
        self._followers = [one for one in self._followers if one.is_alive()]
        if len(self._followers) >= _HELD_MAX:
            between = self._followers.pop()
            self._given_way.add(between.step)
            between.give_way()
            self.troubles.note("superseded", f"step {between.step} was not saved: a newer checkpoint took its place")

    def _after(self, follower: _Follower) -> None:
        if _changed(follower.ticket):
            self._note(follower.ticket)


class _Follower(threading.Thread):
    """Stays with a folder until it is saved: saves it anew if it changed while it was read, and frees what was held."""

    def __init__(self, held: Path, step: int, send: Callable[[], Ticket], after: Callable[[_Follower], None]) -> None:
        super().__init__(name=f"holdfast-step-{step}", daemon=True)
        self.step = step
        self.ticket = send()
        self.superseded = False
        self._held, self._send, self._after = held, send, after

    def give_way(self) -> None:
        self.superseded = True
        release(self._held)

    def run(self) -> None:
        tries = 1
        # Second names that lose their first count as a change; nothing is lost, and it happens once.
        while not self.ticket.wait() and _changed(self.ticket) and tries < _TRIES and not self.superseded:
            tries += 1
            self.ticket = self._send()
        if not self.superseded:
            self._after(self)
        release(self._held)


def _changed(ticket: Ticket) -> bool:
    return ticket.error is not None and ticket.error.code == SourceChangedError.code
