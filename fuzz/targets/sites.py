"""What this machine remembers of sites: their states, and the series of exposures."""

from __future__ import annotations

from fuzz import world
from fuzz.model import Broken, Target
from holdfast.control.sites.states import Condition, SiteState, SiteStates
from holdfast.replication.following.exposing import Exposure, Protection
from holdfast.replication.following.series import ExposureSeries

__all__ = ["TARGETS"]


def _states(data: bytes) -> None:
    states = SiteStates("acme", {"XDG_STATE_HOME": str(world.scratch())})
    path = world.scratch() / "holdfast/sites/acme.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    before = states.read()
    states.set("added", SiteState(Condition.FAILED, 1, "a reason"))
    if states.read() != before | {"added": SiteState(Condition.FAILED, 1, "a reason")}:
        raise Broken("a state was lost or made up when another one was set")


def _series(data: bytes) -> None:
    """What is broken is passed over; what is appended after it is there."""
    series = ExposureSeries(world.scratch() / "series.jsonl")
    series.path.write_bytes(data + b"\n")
    before = len(list(series.read()))
    series.append([Exposure("a", "s", 5, Protection.ARRIVED, None, 2.5, "id", "s/warm")])
    after = list(series.read())
    if len(after) != before + 1 or after[-1].arrived != 2.5:
        raise Broken(f"{len(after) - before} samples were appended")


def _state_seeds() -> list[bytes]:
    return [
        b'{"use1": {"condition": "failed", "at": 1700000000000000000, "reason": "fire"}}',
        b'{"a": {"condition": "draining", "at": 0, "reason": ""}}',
        b"{}",
    ]


def _series_seeds() -> list[bytes]:
    line = b'{"at":1,"asset":"llama","site":"use1","protection":"verified","seconds":3.5,"arrived":3.5,"snapshot":"01"}'
    return [line, line + b"\n" + line[:40], b""]


TARGETS = [
    Target(
        "site-states",
        "`SiteStates.read`, `SiteStates.set`",
        _states,
        _state_seeds,
        (b'"condition"', b'"failed"', b'"at"', b'"reason"', b"{", b"}", b"null", b"1e400"),
    ),
    Target(
        "exposure-series",
        "`ExposureSeries.read`, `ExposureSeries.append`",
        _series,
        _series_seeds,
        (b'"at"', b'"protection"', b'"none"', b'"seconds"', b"\n", b"{", b"}", b"NaN", b"[" * 40),
    ),
]
