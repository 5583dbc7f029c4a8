"""What may happen next in a scene, as rules of a Hypothesis state machine; and what a run of it has seen."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import Flaky
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from holdfast.testing.cast import AT_THE_REPLICA, COLLECTOR, DROPPER, OLDER, REPLICATOR, WRITERS
from holdfast.testing.invariants import BrokenInvariant
from holdfast.testing.machine import Member, Scene
from holdfast.testing.single_thread import without_pools
from holdfast.testing.stage import Blueprint, predictable
from holdfast.testing.workspace import own_memory

__all__ = ["EVERYBODY", "Tally", "play"]

EVERYBODY: Sequence[Member] = (*WRITERS, OLDER, REPLICATOR, DROPPER, COLLECTOR, AT_THE_REPLICA)
_WAITS = (1.0, 120.0, 1200.0, 3000.0, 7500.0, 90_000.0)  # seconds: below and above each of the safety delays

_MOMENTS = ("snapshots/", "packs/", "trash/", "parts/", "refs/", "index/")


@dataclass
class Tally:
    """What a run has seen: `steps` are rules, `turns` operations on stores."""

    scenes: int = 0
    steps: int = 0
    turns: int = 0
    looks: int = 0
    seconds: float = 0.0
    ended: Counter[str] = field(default_factory=Counter)
    broken: BrokenInvariant | None = None  # the first one


def play(
    members: Sequence[Member],
    *,
    scenes: int,
    steps: int,
    number: int,
    explain: bool = False,
    faulty: bool = True,
    encrypted: bool = False,
) -> Tally:
    """So many scenes of so many steps each, by Hypothesis with that seed. Raises BrokenInvariant, with the story.

    With `explain`, a failure is first made as small as Hypothesis can make it: that takes its time.
    """
    tally, began = Tally(), time.monotonic()
    phases = (Phase.generate, Phase.shrink) if explain else (Phase.generate,)
    with tempfile.TemporaryDirectory() as place, own_memory(Path(place) / "memory"), without_pools():
        blueprint = Blueprint(Path(place) / "blueprint", encrypted=encrypted)
        machine = seed(number)(_machine(blueprint, members, Path(place) / "scene", tally, faulty))
        try:
            run_state_machine_as_test(
                machine,
                settings=settings(
                    max_examples=scenes,
                    stateful_step_count=steps,
                    deadline=None,
                    database=None,
                    phases=phases,
                    suppress_health_check=list(HealthCheck),
                    print_blob=False,
                    report_multiple_bugs=False,
                ),
            )
        except Flaky:  # in an encrypted vault, it may not happen in the same way again
            if tally.broken is None:
                raise
            raise tally.broken from None
        finally:
            tally.seconds = time.monotonic() - began
    return tally


def _machine(
    blueprint: Blueprint, members: Sequence[Member], folder: Path, tally: Tally, faulty: bool
) -> Callable[[], RuleBasedStateMachine]:
    # By way of a generator: what Hypothesis draws is not evenly spread, and everybody should get his turns.
    names = st.integers(0, 2**32 - 1).map(lambda drawn: Random(drawn).choice(members).name)

    class Machine(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            self._stack = ExitStack()
            self.scene: Scene | None = None

        @initialize(number=st.integers(0, 2**32 - 1), lags=st.booleans(), trouble=st.sampled_from([0.0, 0.005, 0.03]))
        def prepare(self, number: int, lags: bool, trouble: float) -> None:
            shutil.rmtree(folder, ignore_errors=True)
            self._stack.enter_context(own_memory(folder / "memory"))
            self._stack.enter_context(predictable(number))
            self.scene = Scene(blueprint, list(members), folder, seed=number, lags=lags and faulty)
            if trouble and faulty:
                self.scene.faults.fail("*", chance=trouble).lose_answer("*", chance=trouble)
                self.scene.faults.throttle("*", chance=trouble)
            self.scene.story.append(f"seed {number}, lags {lags}, trouble {trouble}")

        @rule(name=names, count=st.integers(1, 60))
        def work(self, name: str, count: int) -> None:
            """The actor goes on with what it does, or begins something."""
            scene = self._scene()
            scene.begin(name)
            scene.step(name, count)

        @rule(name=names)
        def finish(self, name: str) -> None:
            """The actor ends what it does, or does something from beginning to end."""
            scene = self._scene()
            scene.begin(name)
            scene.finish(name)

        @rule(name=names, prefix=st.sampled_from(_MOMENTS))
        def approach(self, name: str, prefix: str) -> None:
            """The actor goes on to the moment before a write of that kind, where it is left."""
            scene = self._scene()
            scene.begin(name)
            scene.approach(name, prefix)

        @rule(number=st.integers(0, 2**32 - 1), turns=st.integers(1, 80))
        def mingle(self, number: int, turns: int) -> None:
            self._scene().mingle(turns, Random(number))

        @rule(name=names, after=st.booleans())
        def die(self, name: str, after: bool) -> None:
            self._scene().die(name, after=after)

        @rule(seconds=st.sampled_from(_WAITS))
        def wait(self, seconds: float) -> None:
            self._scene().wait(seconds)

        def teardown(self) -> None:
            try:
                if self.scene is not None and self.scene.broken is None:
                    self.scene.settle()
                    tally.scenes += 1
            finally:
                if self.scene is not None:
                    tally.broken = tally.broken or self.scene.broken
                    tally.turns += self.scene.turns
                    tally.looks += self.scene.looks
                    tally.ended += self.scene.ended
                    self.scene.abandon()
                self._stack.close()

        def _scene(self) -> Scene:
            assert self.scene is not None
            tally.steps += 1
            return self.scene

    return Machine
