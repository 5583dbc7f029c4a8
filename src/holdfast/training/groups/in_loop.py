"""Saving a group from a training loop: at the end of a step, with all ranks, and without ever stopping training."""

from __future__ import annotations

import contextlib
import os
import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from holdfast.clock import SYSTEM_CLOCK, Clock
from holdfast.errors import HoldfastError, UsageError
from holdfast.training.circumstances.gathering import Gatherer
from holdfast.training.groups.barrier import Barrier, Meeting
from holdfast.training.groups.cutting import MemberCut, Source, check_members, require_space
from holdfast.training.groups.hooks import HOLD_SECONDS, Hook
from holdfast.training.groups.saving import GroupCut, commit_group, cut_group
from holdfast.training.groups.staging import own_staging
from holdfast.training.groups.together import SharedCut
from holdfast.vault.vault import Vault

__all__ = ["GroupSaver", "Outcome", "Exposure"]

State = Literal["committing", "committed", "handed over", "abandoned", "failed", "skipped"]
_BARRIER_SECONDS = 30.0
_TOLD_SECONDS = 600.0


class Outcome(NamedTuple):
    """What became of one save. Only `committed` is durable: `snapshot` is its id then.

    `handed over`: another rank commits it. `abandoned`: the ranks did not agree. `failed`: here, or at the committing
    rank. `skipped`: the save before was still being committed. `why` says it in words.
    """

    step: int
    state: State
    why: str = ""
    snapshot: str = ""


class Exposure(NamedTuple):
    """What can be lost. `last_durable_step` is None before the first; `age_seconds`: since its cut, on this machine."""

    last_durable_step: int | None
    age_seconds: float | None
    not_saved: int
    last_trouble: str


class GroupSaver:
    """Saves a group at ends of steps. Nothing that goes wrong leaves `save`: it warns, counts, and training goes on.

    With a barrier every rank calls `save` for the same steps. Each cuts its own members, by names that no other rank
    has, below a `staging` folder that all see; the first that sees that all have cut commits, in a thread.
    """

    def __init__(
        self,
        vault: Vault,
        asset: str,
        members: Mapping[str, Source],
        *,
        hooks: Sequence[Hook] = (),
        barrier: Barrier | None = None,
        barrier_seconds: float = _BARRIER_SECONDS,
        hold_seconds: float = HOLD_SECONDS,
        staging: str | os.PathLike[str] | None = None,
        circumstances: Gatherer | None = None,
        on_trouble: Callable[[str], None] | None = None,
        clock: Clock = SYSTEM_CLOCK,
        **options: Any,
    ) -> None:
        """`options`: as for `Vault.save`. `on_trouble`: is told in one line; by default `warnings.warn`.

        Raises UsageError for members or hooks that make no sense.
        """
        self._vault, self._asset, self._hooks = vault, asset, [hook.checked() for hook in hooks]
        self._members = dict(members)
        self._barrier, self._barrier_seconds, self._hold = barrier, barrier_seconds, hold_seconds
        self._staging = Path(staging) if staging is not None else None
        if barrier is not None and staging is None:
            raise UsageError("ranks that save one group need a staging= folder that all of them see")
        self._circumstances, self._options, self._clock = circumstances, options, clock
        self._tell = on_trouble or (lambda text: warnings.warn(text, RuntimeWarning, stacklevel=3))
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._follower: threading.Thread | None = None
        self._durable: tuple[int, float] | None = None
        self._not_saved = 0
        self._trouble = ""
        self.outcomes: list[Outcome] = []

    def save(self, step: int) -> Outcome:
        """Meet, hold, cut, release; then training goes on while the cut is committed. Raises nothing of ours."""
        if self._thread is not None and self._thread.is_alive() and self._barrier is None:
            return self._note(Outcome(step, "skipped", "the save before is still being committed"))
        stack = contextlib.ExitStack()
        try:
            outcome = self._save(step, stack)
        except HoldfastError as error:
            outcome = Outcome(step, "failed", error.message)
        except BaseException:  # also a Ctrl-C: what is held has to go on
            stack.close()
            raise
        if outcome.state != "committing":
            stack.close()
        return outcome if outcome.state in ("committing", "handed over") else self._note(outcome)

    def wait(self, seconds: float | None = None) -> bool:
        """Until nothing is being committed, here or by the rank that it was handed to; whether that was so in time.

        At the end of a program: what is being committed then is not, otherwise.
        """
        until = None if seconds is None else self._clock.monotonic() + seconds
        threads = [one for one in (self._thread, self._follower) if one is not None]
        for thread in threads:
            thread.join(None if until is None else max(0.0, until - self._clock.monotonic()))
        return not any(thread.is_alive() for thread in threads)

    @property
    def exposure(self) -> Exposure:
        with self._lock:
            step, since = self._durable or (None, None)
            age = None if since is None else self._clock.monotonic() - since
            return Exposure(step, age, self._not_saved, self._trouble)

    def _save(self, step: int, stack: contextlib.ExitStack) -> Outcome:
        barrier = self._barrier
        busy = self._thread is not None and self._thread.is_alive()
        if barrier is None:
            members = check_members(self._members)
            folder = stack.enter_context(own_staging(self._staging))
            require_space(members, folder)
            cut = self._cut(members, folder, step, None)
            return self._commit(step, folder, cut, stack)
        why = "the save before is still being committed" if busy else self._not_ready()
        meeting = barrier.meet("ready", step, seconds=self._barrier_seconds, ok=not why, why=why)
        if not meeting.agreed:
            return Outcome(step, "abandoned", why or meeting.why)
        return self._cut_together(step, barrier, stack)

    def _not_ready(self) -> str:
        """What keeps this rank from saving, before anybody holds anything."""
        try:
            if self._members:
                check_members(self._members)
            if self._staging is not None:
                self._staging.mkdir(mode=0o700, parents=True, exist_ok=True)
                require_space(self._members, self._staging)
        except HoldfastError as error:
            return error.message
        except OSError as error:
            return f"{self._staging} cannot hold a cut: {error.strerror}"
        return ""

    def _cut_together(self, step: int, barrier: Barrier, stack: contextlib.ExitStack) -> Outcome:
        """All ranks cut, and stay held until all have: so what they cut is of one moment."""
        assert self._staging is not None
        shared = SharedCut(self._staging, barrier, step)
        meeting: list[Meeting] = []

        def agree(cuts: tuple[MemberCut, ...], left: float) -> None:
            shared.tell(cuts)
            # Who waits no longer decides against it: so what is agreed was held by all until then.
            meeting.append(barrier.meet("cut", step, seconds=min(self._barrier_seconds, left)))

        try:
            cut = self._cut(self._members, shared.begin(list(self._members)), step, agree)
        except HoldfastError as error:
            if not meeting:  # the others need not wait
                barrier.meet("cut", step, seconds=0.0, ok=False, why=error.message)
                shared.give_up()
            return Outcome(step, "failed", error.message)
        if not meeting[0].agreed:
            if meeting[0].decided:
                shared.give_up()
            return Outcome(step, "abandoned", meeting[0].why)
        if not barrier.first("commit", step):
            handed = self._note(Outcome(step, "handed over"))
            self._follow(step, barrier)
            return handed
        stack.callback(shared.remove)
        stack.callback(barrier.forget, step)
        try:
            whole = cut._replace(members=shared.all_cuts())
        except HoldfastError as error:
            self._tell_others(Outcome(step, "failed", error.message))
            return Outcome(step, "failed", error.message)
        return self._commit(step, shared.content, whole, stack)

    def _cut(
        self,
        members: Mapping[str, Source],
        folder: Path,
        step: int,
        agreed: Callable[[tuple[MemberCut, ...], float], None] | None,
    ) -> GroupCut:
        return cut_group(
            members,
            folder,
            self._hooks,
            hold_seconds=self._hold,
            asset=self._asset,
            step=step,
            clock=self._clock,
            agreed=agreed,
        )

    def _commit(self, step: int, folder: Path, cut: GroupCut, stack: contextlib.ExitStack) -> Outcome:
        gathered = self._circumstances.gather(step) if self._circumstances is not None else None
        since = self._clock.monotonic()

        def commit() -> None:
            with stack:
                try:
                    report = commit_group(
                        self._vault, self._asset, folder, cut, circumstances=gathered, step=step, **self._options
                    )
                    done = Outcome(step, "committed", snapshot=report.root.id)
                except HoldfastError as error:
                    done = Outcome(step, "failed", error.message)
                except Exception as error:  # noqa: BLE001 - a thread's last frame: it is told, and training goes on
                    done = Outcome(step, "failed", f"unexpected {type(error).__name__}")
                self._ended(done, since)

        begun = self._note(Outcome(step, "committing"))
        self._thread = threading.Thread(target=commit, name="holdfast-group", daemon=True)
        self._thread.start()
        return begun

    def _follow(self, step: int, barrier: Barrier) -> None:
        """What the rank that commits says of it, in a thread."""
        since = self._clock.monotonic()

        def follow() -> None:
            told = barrier.told("commit", step, seconds=_TOLD_SECONDS)
            if told is None:
                self._note(Outcome(step, "failed", "the rank that was to commit it says nothing"))
                return
            snapshot, _, why = told.partition(" ")
            self._ended(
                Outcome(step, "failed" if why else "committed", why, "" if why else snapshot), since, tell=False
            )

        self._follower = threading.Thread(target=follow, name="holdfast-group-news", daemon=True)
        self._follower.start()

    def _ended(self, done: Outcome, since: float, *, tell: bool = True) -> None:
        if done.state == "committed":
            with self._lock:
                self._durable = (done.step, since)
        if tell:
            self._tell_others(done)
        self._note(done)

    def _tell_others(self, done: Outcome) -> None:
        if self._barrier is not None:
            with contextlib.suppress(HoldfastError):
                self._barrier.tell("commit", done.step, f"{done.snapshot or '-'} {done.why}".strip())

    def _note(self, outcome: Outcome) -> Outcome:
        with self._lock:
            self.outcomes.append(outcome)
            if outcome.state in ("abandoned", "failed", "skipped"):
                self._not_saved += 1
                self._trouble = f"step {outcome.step} of {self._asset} was not saved: {outcome.why}"
                text = self._trouble
            else:
                text = ""
        if text:
            self._tell(text)
        return outcome
