"""A world for runs: a plan of twelve steps, actors whose effects are counted outside, and control planes that die."""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from holdfast.clock import SYSTEM_CLOCK
from holdfast.errors import FailedError
from holdfast.recovery.estimates import NOTHING
from holdfast.recovery.intents import Intent, Strategy
from holdfast.recovery.journal.entries import Deed
from holdfast.recovery.journal.journal import Journal
from holdfast.recovery.journal.state import RunState
from holdfast.recovery.plans import Kind, Plan, Step, build_plan, plan_hash
from holdfast.recovery.reviewing.review import Review
from holdfast.recovery.running.actors import Facts, Task
from holdfast.recovery.running.executor import Executor
from holdfast.stores.protocol import Store
from holdfast.trust.signing import SIGNATURE_SIZES, SigningKey, verify

RUN = "r1"
STEPS = {
    "drain": (),
    "fence-a": ("drain",),
    "fence-b": ("drain",),
    "compute": (),
    "restore-a": ("fence-a",),
    "restore-b": ("fence-b",),
    "check-a": ("restore-a",),
    "check-b": ("restore-b",),
    "agree": ("check-a", "check-b"),
    "start": ("agree", "compute"),
    "probe": ("start",),
    "tell": ("probe",),
}
_NO_UNDO = ("fence-a", "fence-b", "check-a", "check-b", "probe")


class Died(BaseException):
    """The control plane is gone at this moment."""


class Signed:
    """Signatures over the name and the body, by the same key in every process."""

    def __init__(self) -> None:
        self._key = SigningKey(bytes(64))

    def seal(self, name: str, body: bytes) -> bytes:
        return self._key.sign(name.encode() + body) + body

    def open(self, name: str, data: bytes) -> bytes:
        size = min(SIGNATURE_SIZES)
        verify(self._key.public, name.encode() + data[size:], data[:size])
        return data[size:]


def twelve_steps(*, attempts: int = 2) -> Plan:
    steps = [
        Step(
            id=name,
            kind=Kind.SHELL,
            title=name,
            site="b",
            after=after,
            estimate=NOTHING,
            undo="" if name in _NO_UNDO else f"undo {name}",
            no_undo="it only looks, or cannot be" if name in _NO_UNDO else "",
            attempts=attempts,
            timeout=30.0,
        )
        for name, after in STEPS.items()
    ]
    intent = Intent(name="twelve", assets=("x",), to=("b",), strategy=Strategy.PILOT_LIGHT, by="ada")
    plan = Plan(
        intent=intent,
        site="b",
        facts_at=0,
        fresh_until=1,
        chosen=(),
        steps=tuple(steps),
        detecting=NOTHING,
        deciding=NOTHING,
    )
    return build_plan(plan, fenced={})


class Counting:
    """An actor that has no care of its own: each act leaves a line in a file, and `done` reads that file.

    `dies`: called at the seams (`before KEY`, `after KEY`): it may end the process, or raise Died.
    """

    def __init__(self, folder: Path, dies: Callable[[str], None] = lambda seam: None, broken: str = "") -> None:
        self._file = folder / "effects"
        self._dies = dies
        self._broken = broken
        self._lock = threading.Lock()

    def check(self, task: Task) -> str | None:
        return None

    def act(self, task: Task) -> Facts:
        self._dies(f"before {task.step.id}")
        if task.step.id == self._broken:
            raise FailedError(f"{task.step.id} is broken")
        self._write(f"act {task.key}")
        self._dies(f"after {task.step.id}")
        return {"effects": 1}

    def done(self, task: Task) -> Facts | None:
        return {"effects": 1} if self.effects().get(task.key, 0) > 0 else None

    def undo(self, task: Task) -> None:
        self._dies(f"before undo {task.step.id}")
        if self.effects().get(task.key, 0) > 0:
            self._write(f"undo {task.key}")
        self._dies(f"after undo {task.step.id}")

    def _write(self, line: str) -> None:
        with self._lock, self._file.open("a") as file:
            file.write(f"{line}\n")
            file.flush()
            os.fsync(file.fileno())

    def acts(self) -> Counter[str]:
        """Key → how often it was done, whatever was undone since."""
        return Counter(key for verb, _, key in self._lines() if verb == "act")

    def effects(self) -> Counter[str]:
        """Key → how often it is in effect: done less undone."""
        found: Counter[str] = Counter()
        for verb, _, key in self._lines():
            found[key] += 1 if verb == "act" else -1
        return found

    def _lines(self) -> list[tuple[str, str, str]]:
        return [line.partition(" ") for line in self._file.read_text().splitlines()] if self._file.exists() else []


def begin(stores: Sequence[Store]) -> None:
    """The run with its plan, not yet taken by anybody."""
    plan = msgspec.json.encode(twelve_steps(), order="sorted").decode()
    Journal(RUN, stores, Signed(), "ada").append(Deed.PLANNED, plan=plan)


def passes(plan: Plan, state: RunState) -> Review:
    return Review(plan=plan_hash(plan), at=0, refusals=())


def go_on(stores: Sequence[Store], actor: Counting, plane: str, *, workers: int = 4) -> RunState:
    """One control plane, until the run has ended or it has died."""
    journal = Journal(RUN, stores, Signed(), plane, SYSTEM_CLOCK)
    executor = Executor(journal, dict.fromkeys(Kind, actor), review=passes, poll=0.02, back_off=0.001, workers=workers)
    try:
        return executor.run()
    finally:
        for thread in threading.enumerate():  # in a process of its own they would be gone with it
            if thread.name.startswith("recovery"):
                thread.join(10)


def kill_at(seam: str) -> Callable[[str], None]:
    """Ends this process at a seam, as a power cut does."""

    def dies(at: str) -> None:
        if at == seam:
            os.kill(os.getpid(), signal.SIGKILL)

    return dies
