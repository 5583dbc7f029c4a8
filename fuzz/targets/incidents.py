"""What is noticed and told: entries, observations, claims, approvals and silences from stores, alerts from the network,
conditions of the file, what a trainer writes into its heartbeat.
"""

from __future__ import annotations

from typing import Any

import msgspec

from fuzz.model import Broken, Target
from holdfast.config.conditions import parse_condition, shown_condition
from holdfast.config.notify_model import Deadline, Notify
from holdfast.control.hooks.finding import incident_events
from holdfast.control.incidents.claims import Claim, decode_claim
from holdfast.control.incidents.model import Deed, Entry, decode_entry, encode_entry, incident_of
from holdfast.control.incidents.preapproving import StandingApproval, decode_standing
from holdfast.control.incidents.silences import decode_silence
from holdfast.control.incidents.telling import notice_of
from holdfast.detection.looks import State
from holdfast.detection.observations import Observation, Seen, decode_observation, encode_observation
from holdfast.detection.probes.heartbeat import step_in
from holdfast.detection.quorum import Place, Report, judge
from holdfast.notifying.alertmanager import parse
from holdfast.notifying.due import due, timers
from holdfast.notifying.model import Silence

__all__ = ["TARGETS"]

_WORDS = (b'"at":', b"1e308", b"-1", b"9" * 30, b"\\ud800", b"[[[[", b'"deed":"resolved"', b"null")
_ID = "0123456789abcdef-000001"


def _json(value: Any) -> bytes:
    return msgspec.json.encode(value, order="sorted")


def _entries() -> list[bytes]:
    opened = Entry(incident=_ID, deed=Deed.OPENED, by="ada", at=1, kind="probe", subject="p", severity="critical")
    told = Entry(incident=_ID, deed=Deed.TOLD, by="ada", at=2, step="escalation:0", channel="c", labels={"a": "b"})
    return [encode_entry(opened), encode_entry(told)]


def _entry(data: bytes) -> None:
    entry = decode_entry("incidents/x/y", data)
    if decode_entry("again", encode_entry(entry)) != entry:
        raise Broken("it is another entry when it is written again")
    made = incident_of(entry.incident, [("a", entry), ("b", entry)])
    if made is not None:
        for event in incident_events(made):
            event.body("acme")
        notice = notice_of(made)
        notify = Notify(deadlines={"d": Deadline(within=60.0, authority="a")})
        due(notice, notify, (), 10**18)
        timers(notice, notify)


def _observation(data: bytes) -> None:
    said = decode_observation("observations/x/y", data)
    if decode_observation("again", encode_observation(said)) != said:
        raise Broken("it is another observation when it is written again")
    report = Report(observation=said, signer=said.label, found_at=("s",))
    if judge(Place(name="p", quorum=2), [report, report], said.at, 60.0).state is State.BAD:
        raise Broken("one observer made it bad")


def _claim(data: bytes) -> None:
    claim = decode_claim("automatic/runs/0", data)
    if decode_claim("again", _json(claim)) != claim:
        raise Broken("it is another claim when it is written again")


def _standing(data: bytes) -> None:
    made = decode_standing("automatic/approvals/r/x", data)
    if decode_standing("again", _json(made)) != made or made.until < made.at:
        raise Broken("it is another approval when it is written again")


def _silence(data: bytes) -> None:
    made = decode_silence("automatic/silences/x", data)
    if decode_silence("again", _json(made)) != made or made.until <= made.since:
        raise Broken("it is another silence when it is written again")


def _alerts(data: bytes) -> None:
    for alert in parse(data):
        if not alert.fingerprint.isalnum() or alert.starts < 0 or alert.ends < 0:
            raise Broken("an alert that cannot be")


def _condition(data: bytes) -> None:
    condition = parse_condition(data.decode(errors="replace"))
    text = shown_condition(condition)
    if len(text) <= 400 and parse_condition(text) != condition:
        raise Broken(f"it is another condition when it is read again: {text}")


def _alert_seeds() -> list[bytes]:
    alert = {
        "status": "firing",
        "labels": {"alertname": "A", "asset": "run"},
        "annotations": {"summary": "s"},
        "startsAt": "2026-11-20T10:00:00.5Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "fingerprint": "a1b2c3",
        "generatorURL": "http://p/graph",
    }
    return [_json({"version": "4", "groupKey": "g", "truncatedAlerts": 0, "status": "firing", "alerts": [alert]})]


TARGETS = [
    Target("incident-entry", "`decode_entry`, `incident_of`, `incident_events`, `due`", _entry, _entries, _WORDS),
    Target(
        "observation",
        "`decode_observation`, `judge`",
        _observation,
        lambda: [encode_observation(Observation(observer="a/b", at=7, probes={"p": Seen(state=State.BAD, value=1.0)}))],
        _WORDS,
    ),
    Target(
        "automatic-claim",
        "`decode_claim`",
        _claim,
        lambda: [_json(Claim(recovery="r", incident=_ID, plan="0" * 64, by="ada", at=1))],
        _WORDS,
    ),
    Target(
        "standing-approval",
        "`decode_standing`",
        _standing,
        lambda: [_json(StandingApproval(recovery="r", declaration="0" * 64, starter="bob", by="ada", at=1, until=2))],
        _WORDS,
    ),
    Target(
        "silence",
        "`decode_silence`",
        _silence,
        lambda: [_json(Silence(id="x", matches="*", reason="r", owner="ada", since=1, until=2))],
        _WORDS,
    ),
    Target(
        "alertmanager-webhook",
        "`notifying.alertmanager.parse`",
        _alerts,
        _alert_seeds,
        (b'"startsAt":"9999-12-31T23:59:59+14:00"', b'"fingerprint":""', b"1e308", b"\\ud800", b"[[[[", b"resolved"),
    ),
    Target(
        "condition",
        "`parse_condition`, `shown_condition`",
        _condition,
        lambda: [b"ATLEAST 2 OF (a, b, c) AND NOT d FOR 5m", b"(a OR b) FOR 1.5h"],
        (b" FOR ", b"NOT ", b"ATLEAST ", b" OF (", b"((((", b"999999999d", b"1e9s"),
    ),
    Target(
        "heartbeat",
        "`step_in`",
        lambda data: step_in(data) and None,
        lambda: [b'{"step": 12, "at": 1.5}', b'{"step": 1}\n{"step": 2}\n'],
        (b"1e999", b"NaN", b"9" * 400, b"\\ud800", b"[[[["),
    ),
]
