"""`slow-network`: the home is gone, and the line to what is left is slow."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from holdfast.drills.recovering import compare, plan, recover
from holdfast.drills.scenarios.places import lose_home
from holdfast.drills.scenarios.scenario import Scenario
from holdfast.drills.stage import Stage
from holdfast.drills.trial.organisation import OPERATOR
from holdfast.drills.troubles import DrillBroken
from holdfast.errors import FailedError, PermissionDeniedError
from holdfast.evidence.record_outcome import MomentKind
from holdfast.evidence.record_setting import Disruption
from holdfast.units import format_duration

if TYPE_CHECKING:
    from holdfast.testing.networks import Conditions

__all__ = ["SLOW_NETWORK"]

_DELAY_SECONDS: Final = 0.005
_SLOW_SECONDS: Final = 0.6  # at least so long a restore of the newest snapshot takes then


def play(stage: Stage) -> None:
    """Where nobody may make networks, Holdfast's own limit of a line stands for the line."""
    trial = stage.trial
    newest = max(stage.sources.values(), key=lambda source: source.content_ns)
    rate = max(1024, int(newest.digest.bytes / _SLOW_SECONDS))
    before = _rehearsed(stage, "before")
    seen: list[float] = []

    def bit() -> str:
        seen.append(_rehearsed(stage, "after"))
        slower = seen[-1] > before + _SLOW_SECONDS / 4
        return f"a restore takes {format_duration(seen[-1])}, and took {format_duration(before)}" if slower else ""

    with stage.phase("fault") as said:
        home = lose_home(stage)
        what, slow, heal = _ways(stage, rate)
        site = trial.terms.sites[1].name
        stage.inject(what, slow, bit, site=site, real=stage.line is not None, heal=heal)
        said.append(
            f"{home} is lost, and a restore takes {format_duration(seen[-1])}: it took {format_duration(before)}"
        )
    with stage.phase("failover") as said:
        ran = recover(stage)
        compare(stage, ran.plan.snapshot, ran.target)
        said += [f"step {ran.plan.step} at {ran.plan.site}, late, and equal to the source", ran.plan.run]


def _ways(stage: Stage, rate: int) -> tuple[str, Callable[[], None], Callable[[], None]]:
    """What is done, in words; doing it; taking it back."""
    line, trial = stage.line, stage.trial
    if line is not None:
        what = f"the line to the other sites carries {rate} bytes a second, and {_DELAY_SECONDS * 1000:.0f} ms late"
        conditions: Conditions = {"bits_per_s": rate * 8.0, "delay_s": _DELAY_SECONDS}
        return what, lambda: line.set(**conditions), lambda: line.set(bits_per_s=0.0, delay_s=0.0)
    limit = {"up": f"{rate}B/s", "down": f"{rate}B/s"}
    slow = tuple(
        msgspec.structs.replace(one, link=limit) if number else one for number, one in enumerate(trial.terms.sites)
    )
    usual = trial.terms.sites
    what = f"the other sites give {rate} bytes a second (a throttle stands for the line)"
    return what, lambda: trial.declare(sites=slow), lambda: trial.declare(sites=usual)


@contextmanager
def network(stage: Stage) -> Iterator[None]:
    """As root: a namespace of its own for the sites that are left, with an object store, behind a line that can be
    made slow. Without root there is none.
    """
    from holdfast.testing.networks import HERE, Network
    from holdfast.testing.site_servers import GcsAt

    with ExitStack() as held:
        if os.geteuid() == 0 and Path("/dev/net/tun").exists():
            try:
                made = held.enter_context(Network("far"))
            except (PermissionDeniedError, FailedError) as error:
                stage.tell(f"no network of its own: {error.message}")
            else:
                server = held.enter_context(GcsAt(made["far"]))
                stage.line = made.link(HERE, "far")
                home, *others = stage.trial.terms.sites
                far = [
                    msgspec.structs.replace(one, url=f"{server.url}/{one.name}", options=dict(server.options))
                    for one in others
                ]
                stage.trial.know(server.environment)
                stage.trial.declare(sites=(home, *far))
        yield


def _rehearsed(stage: Stage, when: str) -> float:
    """How long a rehearsal's step `restore` takes now, in seconds."""
    target = stage.trial.folder / "restored" / f"rehearsed-{when}-{len(stage.recorder.timeline())}"
    planned = plan(stage, isolated=target)
    said = stage.trial.run(OPERATOR, "recover", "run", planned.file, "--yes")
    if said.code != 0:
        raise DrillBroken(f"a rehearsal that measures the line did not pass: {said.error}")
    seconds = [one["seconds"] for one in said.data["steps"] if str(one["id"]).startswith("restore")]
    stage.mark(MomentKind.CHECK, f"{when} the fault a restore takes {format_duration(seconds[0] or 0.0)}")
    return float(seconds[0] or 0.0)


SLOW_NETWORK = Scenario(
    name="slow-network",
    disruption=Disruption.NETWORK,
    summary="The home is gone, and the lines to the sites that are left are slow.",
    expects="the recovery passes late, with the same content, and its time is measured",
    real="the content travels at that rate, and the recovery waits for it",
    simulated="the line leads to a namespace; where none may be made, Holdfast's own limit stands for the line",
    play=play,
    around=network,
)
