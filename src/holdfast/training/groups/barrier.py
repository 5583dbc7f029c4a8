"""Ranks that wait for each other at the end of a step, for a limited time, and agree on what came of it.

It lives on a store: a folder that all ranks see, or a bucket. No rank and no server has to be alive for it. Each rank
announces itself by an object that is created once; whoever sees that all are there creates the decision, and so does
whoever waited long enough or sees that one failed. Of several decisions one is created: that one counts for all, so
that no rank goes on as if the others had agreed when they had not. Where the store does not answer, nothing is agreed,
and training goes on.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import NamedTuple, TypeVar

import msgspec

from holdfast.clock import SYSTEM_CLOCK, Clock
from holdfast.errors import AlreadyExistsError, HoldfastError, UsageError
from holdfast.stores.protocol import Store

__all__ = ["Barrier", "Meeting", "run_of"]

_POLL_SECONDS = 0.05
_POLL_MOST = 1.0
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class Meeting(NamedTuple):
    """What came of it. `missing`, `failed`: ranks. `why`: a sentence where nothing was agreed, empty where it was.

    `decided`: False where the others may have agreed all the same, as this rank could not ask.
    """

    agreed: bool
    missing: tuple[int, ...] = ()
    failed: tuple[int, ...] = ()
    why: str = ""
    decided: bool = True


class _Announced(msgspec.Struct, frozen=True):
    ok: bool
    why: str = ""


class _Decided(msgspec.Struct, frozen=True):
    agreed: bool
    missing: list[int] = []
    failed: list[int] = []
    by: int = 0


class Barrier:
    """One rank's side of the barriers of a job. All ranks give the same `run`, `name` and `world`."""

    def __init__(
        self, store: Store, *, run: str, rank: int, world: int, name: str = "group", clock: Clock = SYSTEM_CLOCK
    ) -> None:
        """`run`: another one for each start of the job (`run_of`), as steps are met once in each. Raises UsageError."""
        for what, text in (("run", run), ("name", name)):
            if not _NAME.fullmatch(text) or text.endswith("."):
                raise UsageError(f"the {what} of a barrier is letters, digits, '.', '_' and '-': {text!r} is not")
        if not 0 <= rank < world:
            raise UsageError(f"of {world} ranks there is no rank {rank}")
        self.rank, self.world = rank, world
        self._store, self._clock = store, clock
        self._prefix = f"{run}/{name}"

    def meet(self, point: str, step: int, *, seconds: float, ok: bool = True, why: str = "") -> Meeting:
        """Wait for all ranks at this point of this step, for so many seconds at most. `ok`: this rank can go on.

        Never raises for what happens elsewhere, nor for a store that does not answer. Raises UsageError.
        """
        if not 0 <= seconds < math.inf:
            raise UsageError(f"a barrier waits for a number of seconds, not {seconds!r}")
        until = self._clock.monotonic() + seconds
        folder = self._folder(point, step)
        trouble = self._announce(folder, _Announced(ok, why[:500]))
        if trouble:
            return Meeting(False, why=trouble, decided=False)
        poll = _POLL_SECONDS
        seen: Mapping[int, bool] = {}
        while True:
            try:
                seen = self._seen(folder, seen)
                failed = sorted(rank for rank, good in seen.items() if not good)
                late = self._clock.monotonic() >= until
                if failed or late or len(seen) == self.world:
                    return self._decide(folder, seen, failed)
                decided = self._decision(folder)
                if decided is not None:
                    return self._meeting(decided)
            except HoldfastError as error:
                if self._clock.monotonic() >= until:
                    why = f"whether all ranks agree cannot be known: {error.message}"
                    return Meeting(False, why=why, decided=False)
            self._clock.sleep(min(poll, max(0.0, until - self._clock.monotonic())))
            poll = min(_POLL_MOST, 1.5 * poll)

    @property
    def job(self) -> str:
        """What tells this run's meetings from all others."""
        return self._prefix.replace("/", "-")

    def first(self, point: str, step: int) -> bool:
        """Whether this rank is the first to ask: one of all gets True. False also where the store does not answer."""
        try:
            self._store.create(f"{self._folder(point, step)}/first", str(self.rank).encode())
        except HoldfastError:
            return False
        return True

    def tell(self, point: str, step: int, text: str) -> None:
        """Leave a line for the others. Raises what the store raises."""
        self._store.put(f"{self._folder(point, step)}/told", text.encode())

    def told(self, point: str, step: int, *, seconds: float) -> str | None:
        """The line that another rank left; None where there is none within that time."""
        until = self._clock.monotonic() + seconds
        while True:
            try:
                return self._store.get(f"{self._folder(point, step)}/told").decode("utf-8", "replace")
            except HoldfastError:
                if self._clock.monotonic() >= until:
                    return None
            self._clock.sleep(_POLL_SECONDS)

    def forget(self, before: int) -> None:
        """Remove what earlier steps left on the store. Fails nothing."""
        try:
            for info in list(self._store.list(f"{self._prefix}/")):
                step = info.key.removeprefix(f"{self._prefix}/").partition("/")[0]
                if step.isdigit() and int(step) < before:
                    self._store.delete(info.key)
        except HoldfastError:
            return  # the next one removes it

    def _folder(self, point: str, step: int) -> str:
        if not _NAME.fullmatch(point) or step < 0:
            raise UsageError(f"{point!r} of step {step} is no point at which ranks could meet")
        return f"{self._prefix}/{step}/{point}"

    def _announce(self, folder: str, announced: _Announced) -> str:
        """What keeps this rank from announcing itself; empty where nothing does."""
        key, data = f"{folder}/rank-{self.rank}", msgspec.json.encode(announced)
        try:
            self._store.create(key, data)
        except AlreadyExistsError:
            return f"rank {self.rank} was at {folder} before: a step is met once in each run"
        except HoldfastError as error:
            return f"rank {self.rank} cannot announce itself: {error.message}"
        return ""

    def _seen(self, folder: str, known: Mapping[int, bool]) -> dict[int, bool]:
        """Rank → whether it can go on. What was read once is not read again."""
        found = dict(known)
        for info in self._store.list(f"{folder}/rank-"):
            number = info.key.removeprefix(f"{folder}/rank-")
            if number.isdigit() and int(number) < self.world and int(number) not in found:
                found[int(number)] = _read(self._store.get(info.key), _Announced, _Announced(False)).ok
        return found

    def _decide(self, folder: str, seen: Mapping[int, bool], failed: list[int]) -> Meeting:
        missing = [rank for rank in range(self.world) if rank not in seen]
        decided = _Decided(agreed=not missing and not failed, missing=missing, failed=failed, by=self.rank)
        try:
            self._store.create(f"{folder}/decision", msgspec.json.encode(decided))
        except AlreadyExistsError:
            decided = self._decision(folder) or _Decided(agreed=False)
        return self._meeting(decided)

    def _decision(self, folder: str) -> _Decided | None:
        for info in self._store.list(f"{folder}/decision"):
            return _read(self._store.get(info.key), _Decided, _Decided(agreed=False))
        return None

    def _meeting(self, decided: _Decided) -> Meeting:
        parts = []
        if decided.missing:
            parts.append(f"{_ranks(decided.missing)} did not come in time")
        if decided.failed:
            parts.append(f"{_ranks(decided.failed)} failed")
        why = "" if decided.agreed else "; ".join(parts) or "the decision cannot be read"
        return Meeting(decided.agreed, tuple(decided.missing), tuple(decided.failed), why)


def run_of(variables: Mapping[str, str]) -> str:
    """A name for this start of a job, the same for all of its ranks: of torchrun or Slurm. Raises UsageError."""
    for job, restart in (
        ("TORCHELASTIC_RUN_ID", "TORCHELASTIC_RESTART_COUNT"),
        ("SLURM_JOB_ID", "SLURM_RESTART_COUNT"),
    ):
        if variables.get(job) and variables[job] != "none":  # torchrun's default, which is the same for each start
            name = re.sub(r"[^A-Za-z0-9._-]", "_", variables[job])[:60].strip("._-") or "run"
            again = [variables.get(one, "") for one in ("SLURM_STEP_ID", "HOLDFAST_RESTART")]
            parts = [name, variables.get(restart, "0"), variables.get("MASTER_PORT", "0"), *filter(None, again)]
            return "-".join(re.sub(r"[^A-Za-z0-9]", "_", part)[:9] if part is not name else part for part in parts)
    raise UsageError(
        "nothing tells this start of the job from the one before",
        hint="torchrun --rdzv-id (another one for each start) or --standalone, or give the barrier such a run=",
    )


T = TypeVar("T")


def _read(data: bytes, kind: type[T], otherwise: T) -> T:
    """What cannot be understood counts as the other one: another program wrote there."""
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return otherwise


def _ranks(ranks: list[int]) -> str:
    named = ", ".join(map(str, ranks[:10])) + (f" and {len(ranks) - 10} more" if len(ranks) > 10 else "")
    return f"rank{'s' if len(ranks) > 1 else ''} {named}"
