"""Drills: experiments that others wrote, answers of what they call, reports and manifests that this machine keeps."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec

from fuzz import world
from fuzz.model import Broken, Target
from holdfast.control.drilling.stop_notices import RELEASES, STOPS, Release, Stop, decode_release, decode_stop
from holdfast.control.hooks.finding import drill_event
from holdfast.drills.chaos.calling import as_json
from holdfast.drills.chaos.model import Activity, Process, Tolerance
from holdfast.drills.chaos.reading import read_experiment
from holdfast.drills.chaos.tolerating import within
from holdfast.drills.lever import Lever, drills_home
from holdfast.drills.manifest import Manifest
from holdfast.drills.outcomes import DrillOutcome, decode_outcome
from holdfast.evidence.drill_facts import DrillFacts, Instant
from holdfast.evidence.record_outcome import Outcome
from holdfast.evidence.record_setting import Disruption, Environment, Exercise
from holdfast.objectives import AssetClass, Measured, Objective, Placement, judge

__all__ = ["TARGETS"]

_EXPERIMENT = {
    "title": "t",
    "description": "d",
    "steady-state-hypothesis": {
        "title": "s",
        "probes": [
            {
                "type": "probe",
                "name": "p",
                "tolerance": {"type": "jsonpath", "path": "$.a[0]", "expect": [1], "target": "body"},
                "provider": {"type": "http", "url": "http://127.0.0.1/", "headers": {"A": "b"}, "timeout": [1, 2]},
            }
        ],
    },
    "method": [
        {
            "type": "action",
            "name": "a",
            "pauses": {"before": 0, "after": 0.5},
            "background": True,
            "provider": {"type": "process", "path": "/bin/true", "arguments": {"--x": 1, "-v": None}},
        }
    ],
    "rollbacks": [
        {"type": "action", "name": "r", "provider": {"type": "python", "module": "m", "func": "f", "arguments": {}}}
    ],
    "runtime": {"rollbacks": {"strategy": "always"}},
}
_YAML = b"""title: t
description: d
method:
  - type: probe
    name: p
    tolerance: {type: range, range: [0, 1]}
    provider: {type: process, path: ls}
"""


def _experiment(data: bytes) -> None:
    found = read_experiment(data, "experiment")
    msgspec.json.encode(found.raw)  # a journal has it
    again = read_experiment(msgspec.json.encode(found.raw), "experiment")
    if again != found:
        raise Broken("an experiment that is written down is another one")


def _answer(data: bytes) -> None:
    found = as_json(data)
    answer = {"status": 0, "stdout": found if isinstance(found, str) else data.decode(errors="replace"), "stderr": ""}
    activity = Activity(kind="probe", name="p", provider=Process(path="/bin/true"))
    for tolerance in (
        Tolerance(kind="equal", value=0),
        Tolerance(kind="any of", values=(0, "a", None)),
        Tolerance(kind="range", lower=0, upper=1),
        Tolerance(kind="regex", pattern="^a"),
        Tolerance(kind="jsonpath", pattern="$.a[0].b", target="stdout"),
    ):
        if not isinstance(within(tolerance, answer, activity, lambda probe: None), bool):
            raise Broken(f"{tolerance.kind} is neither met nor not")


def _report(data: bytes) -> None:
    found = decode_outcome(data, "report")
    if found.exit_code not in (0, 1, 9):
        raise Broken(f"exit code {found.exit_code}")
    if decode_outcome(msgspec.json.encode(found), "report") != found:
        raise Broken("a report that is written again is another one")
    msgspec.json.decode(drill_event(found).body("acme"))


def _lever(data: bytes) -> None:
    """What was heard of stops: what cannot be read stops drills, and what is heard next replaces it."""
    environment = {"XDG_STATE_HOME": str(world.scratch())}
    home = drills_home(environment)
    home.mkdir(parents=True, exist_ok=True)
    (home / "STOP-acme").write_bytes(data)
    lever = Lever(environment, "acme")
    known, why = lever.heard("acme"), lever.pulled()
    if bool(known) != bool(why) or bool(Lever(environment).pulled()) != bool(why):
        raise Broken(f"{known!r} was heard, and drills stop because of {why!r}")
    lever.hear("acme", known | {"x": "ada: r"})
    if lever.heard("acme") != known | {"x": "ada: r"}:
        raise Broken("what was heard is not what was written down")
    lever.hear("acme", {})
    if lever.pulled():
        raise Broken("drills stop although nobody says so")


def _manifest(data: bytes) -> None:
    found = Manifest.decode(data, Path("/nowhere/manifest.json"))
    if not isinstance(found.abandoned, bool) or not isinstance(found.drill, str):
        raise Broken("a manifest that says nothing")


def _outcome() -> bytes:
    moment = Instant(at_ns=1, offset_seconds=0.0)
    facts = DrillFacts(
        drill_id="0" * 20,
        scenario="site-lost",
        disruption=Disruption.SITE,
        summary="s",
        environment=Environment.ISOLATED,
        exercise=Exercise.SIMULATION,
        outcome=Outcome.PASSED,
        started=moment,
        ended=moment,
    )
    objective = Objective(
        asset_class=AssetClass.TRAINING, rpo_seconds=1.0, rto_seconds=None, copies=2, placement=Placement.SITES
    )
    one = DrillOutcome(
        facts=facts,
        recovery="r",
        asset="a",
        level="simulation",
        objective=objective,
        measured=Measured(),
        verdict=judge(objective, Measured()),
    )
    return msgspec.json.encode(one)


def _kept() -> bytes:
    made = [{"kind": "folder", "what": "trial", "path": "/x"}, {"kind": "process", "what": "p", "pid": 1, "began": 2}]
    return json.dumps({"version": 1, "drill": "abc", "pid": 1, "began": 1, "made": made, "cleared": False}).encode()


def _stop(data: bytes) -> None:
    made = decode_stop(f"{STOPS}x", data)
    if decode_stop(f"{STOPS}x", msgspec.json.encode(made)) != made or not made.by:
        raise Broken("it is another stop when it is written again")


def _release(data: bytes) -> None:
    made = decode_release(f"{RELEASES}x", data)
    if decode_release(f"{RELEASES}x", msgspec.json.encode(made)) != made or "" in made.over:
        raise Broken("it is another release when it is written again")


TARGETS = (
    Target(
        "drill-stop",
        "`decode_stop`",
        _stop,
        lambda: [msgspec.json.encode(Stop(id="x", by="ada", at=1, reason="r"))],
        (b'"id"', b'"at"', b"-1", b"\\u0000"),
    ),
    Target(
        "lever-heard",
        "`Lever.heard`, `Lever.pulled`, `Lever.hear`",
        _lever,
        lambda: [b'{"x":"2026-11-22T03:00:00.000Z ada: r","y":""}\n', b"{}"],
        (b"{}", b"null", b'""', b"\\ud800", b"\xff", b"[" * 2000),
    ),
    Target(
        "drill-release",
        "`decode_release`",
        _release,
        lambda: [msgspec.json.encode(Release(id="x", by="ada", at=1, reason="r", over=("y",)))],
        (b'"over"', b"[]", b'""', b"-1", b"\\u0000"),
    ),
    Target(
        "experiment",
        "`read_experiment`",
        _experiment,
        lambda: [json.dumps(_EXPERIMENT).encode(), _YAML],
        (b'"tolerance"', b'"type": "regex"', b'"pattern": "("', b"&a", b"*a", b"!!python/object", b"1e999", b"NaN"),
    ),
    Target(
        "experiment-answer",
        "`as_json`, `within`",
        _answer,
        lambda: [b'{"a": [{"b": 1}]}', b"abc", b"[1, true, null]"],
        (b"[" * 100, b"1e400", b"true"),
    ),
    Target(
        "drill-report",
        "`decode_outcome`, `drill_event`",
        _report,
        lambda: [_outcome()],
        (b"NOT_MEASURED", b"PASSED", b"null"),
    ),
    Target(
        "drill-manifest", "`Manifest.decode`", _manifest, lambda: [_kept()], (b'"pid"', b"-1", b"99999999999999999999")
    ),
)
