"""What a scenario is."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

from holdfast.drills.stage import Stage
from holdfast.drills.trial.organisation import APPROVER
from holdfast.evidence.record_setting import Disruption

__all__ = ["Scenario"]


def _nothing(stage: Stage) -> AbstractContextManager[None]:
    return nullcontext()


class Scenario(NamedTuple):
    """`sites`: so many it needs. `people`: keys besides the operator's. `expects`: what has to come of it, in words.

    `play` is given a stage whose trial has snapshots at all its sites.
    """

    name: str
    disruption: Disruption
    summary: str
    expects: str
    real: str
    simulated: str
    play: Callable[[Stage], None]
    sites: int = 2
    people: tuple[str, ...] = (APPROVER,)
    around: Callable[[Stage], AbstractContextManager[None]] = _nothing
    """What surrounds all of it, from before the trial has anything in it: a network, say."""
    shares: bool = False
    """Whether the key is split before anything is copied (`trial.founding.SHARES`)."""
