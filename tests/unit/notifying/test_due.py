"""What is to be sent when: escalation, quiet hours, silences, deadlines; nothing twice, and an end to all."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.config.notify_model import Channel, Deadline, Escalation, Notify, Quiet
from holdfast.config.words import Day, Reference
from holdfast.notifying.due import AUTHORITY, Due, due, is_quiet, next_due, timers
from holdfast.notifying.model import Action, Notice, Sent, Silence

S = 1_000_000_000
T0 = int(datetime(2026, 11, 20, 12, 0, tzinfo=UTC).timestamp()) * S  # a Friday
SECRET = Reference("environment", "KEY")
NOTIFY = Notify(
    channels={
        "page": Channel(kind="pagerduty", secret=SECRET),
        "chat": Channel(kind="slack", secret=SECRET),
        "mail": Channel(kind="email", server="h:25", sender="a@b", to=("c@d",)),
    },
    escalation=(
        Escalation(to=("page", "chat")),
        Escalation(to=("mail",), after=900.0, severities=("critical",)),
    ),
)


def _notice(**changed: object) -> Notice:
    said = {"key": "i-1", "kind": "probe", "subject": "p", "severity": "critical", "title": "t", "text": "x"}
    return Notice(**(said | {"noticed_at": T0} | changed))  # type: ignore[arg-type]


def _steps(found: list[Due]) -> list[tuple[str, str]]:
    return [(one.step, one.channel) for one in found]


def _sent(*steps: tuple[str, str], at: int = T0) -> tuple[Sent, ...]:
    return tuple(Sent(step, channel, at) for step, channel in steps)


def test_steps_come_in_their_time_and_each_once() -> None:
    first = due(_notice(), NOTIFY, (), T0)
    assert _steps(first) == [("escalation:0", "chat"), ("escalation:0", "page")]
    assert next_due(_notice(), NOTIFY, T0) == T0 + 900 * S
    told = _notice(sent=_sent(*_steps(first)))
    assert due(told, NOTIFY, (), T0 + 899 * S) == []
    assert _steps(due(told, NOTIFY, (), T0 + 900 * S)) == [("escalation:1", "mail")]
    assert _steps(due(_notice(severity="warning", sent=told.sent), NOTIFY, (), T0 + 900 * S)) == []


def test_who_takes_it_in_hand_ends_the_escalation_and_the_pager_hears_of_it() -> None:
    told = _notice(sent=_sent(("escalation:0", "chat"), ("escalation:0", "page")), acknowledged_at=T0 + 60 * S)
    assert due(told, NOTIFY, (), T0 + 3600 * S) == [Due("acknowledged", "page", Action.ACKNOWLEDGE, T0 + 60 * S)]


def test_nobody_is_woken_in_the_morning_for_what_somebody_took_in_hand_at_night() -> None:
    quiet = Quiet(begin=22 * 60, end=7 * 60, severities=("critical",))
    night = T0 + 11 * 3600 * S  # 23:00
    held = _notice(noticed_at=night, acknowledged_at=night + 600 * S)
    assert due(held, msgspec.structs.replace(NOTIFY, quiet=(quiet,)), (), night + 9 * 3600 * S) == []
    assert due(held, NOTIFY, (), night + 700 * S) == []  # nor where the first attempt did not get through


def test_the_end_is_told_to_whom_the_beginning_was_and_to_nobody_else() -> None:
    over = _notice(sent=_sent(("escalation:0", "chat")), resolved_at=T0 + 60 * S)
    assert due(over, NOTIFY, (), T0 + 3600 * S) == [Due("resolved", "chat", Action.RESOLVE, T0 + 60 * S)]
    assert due(_notice(resolved_at=T0 + 60 * S), NOTIFY, (), T0 + 60 * S) == []


def test_repairs_are_waited_for() -> None:
    assert due(_notice(held_until=T0 + 300 * S), NOTIFY, (), T0 + 299 * S) == []
    assert len(due(_notice(held_until=T0 + 300 * S), NOTIFY, (), T0 + 300 * S)) == 2


@pytest.mark.parametrize(
    ("day", "time", "zone", "days", "quiet"),
    [
        (20, "21:59", "UTC", (), False),
        (20, "22:00", "UTC", (), True),
        (20, "03:00", "UTC", (), True),
        (20, "07:00", "UTC", (), False),
        (20, "21:30", "Europe/Berlin", (), True),  # 22:30 there
        (20, "06:30", "Europe/Berlin", (), False),
        (21, "03:00", "UTC", (Day.FRI,), True),  # the night that began on Friday
        (21, "23:00", "UTC", (Day.FRI,), False),
        (20, "03:00", "UTC", (Day.FRI,), False),  # the night that began on Thursday
    ],
)
def test_quiet_hours(day: int, time: str, zone: str, days: tuple[Day, ...], quiet: bool) -> None:
    hour, minute = map(int, time.split(":"))
    now = int(datetime(2026, 11, day, hour, minute, tzinfo=UTC).timestamp()) * S
    hours = [Quiet(begin=22 * 60, end=7 * 60, severities=("warning",), timezone=zone, days=days)]
    assert is_quiet(hours, "warning", now) is quiet
    assert not is_quiet(hours, "critical", now)


def test_what_is_open_at_the_end_of_the_night_is_sent_then() -> None:
    notify = Notify(channels=NOTIFY.channels, quiet=(Quiet(begin=0, end=13 * 60, severities=("critical",)),))
    assert due(_notice(), notify, (), T0) == []
    assert len(due(_notice(), notify, (), T0 + 3600 * S)) == 3
    assert due(_notice(resolved_at=T0 + 60 * S), notify, (), T0 + 3600 * S) == []


def test_a_silence_holds_messages_until_it_ends_and_no_deadline() -> None:
    silence = Silence(id="x", matches="p", reason="work", owner="ann", since=T0 - S, until=T0 + 3600 * S)
    notify = Notify(
        channels=NOTIFY.channels, deadlines={"law": Deadline(within=1800.0, authority="regulator", to=("mail",))}
    )
    assert due(_notice(), notify, [silence], T0 - 1) == []
    at_work = due(_notice(), notify, [silence], T0 + 1800 * S)
    assert _steps(at_work) == [("deadline:law:passed", "mail"), ("deadline:law:soon", "mail")]
    assert len(due(_notice(), notify, [silence], T0 + 3600 * S)) == 5
    other = Silence(id="y", matches="q", reason="work", owner="ann", since=T0 - S, until=T0 + 3600 * S)
    assert len(due(_notice(), notify, [other], T0)) == 4


def test_deadlines_count_from_noticing_outlive_the_incident_and_end_when_somebody_says_so() -> None:
    notify = Notify(
        channels=NOTIFY.channels,
        escalation=NOTIFY.escalation,
        deadlines={
            "initial": Deadline(within=4 * 3600.0, authority="BaFin", severities=("critical",), to=("mail",)),
            "final": Deadline(within=72 * 3600.0, authority="DPA", to=("mail",), remind=0.0),
        },
    )
    over = _notice(resolved_at=T0 + 60 * S)
    first, second = timers(over, notify)
    assert (first.name, first.ends, second.ends) == ("initial", T0 + 4 * 3600 * S, T0 + 72 * 3600 * S)
    assert first.left_s(T0 + 5 * 3600 * S) == -3600.0
    assert _steps(due(over, notify, (), T0 + 3 * 3600 * S)) == [("deadline:initial:soon", "mail")]
    told = _notice(resolved_at=T0 + 60 * S, sent=_sent(("deadline:initial", AUTHORITY), at=T0 + 7200 * S))
    assert timers(told, notify)[0].told_at == T0 + 7200 * S
    assert due(told, notify, (), T0 + 5 * 3600 * S) == []
    assert [one.name for one in timers(_notice(severity="warning"), notify)] == ["final"]


EVENTS = st.lists(st.tuples(st.integers(1, 2000), st.booleans()), max_size=12)


@given(EVENTS, st.integers(0, 4000), st.integers(0, 6000), st.integers(0, 3000))
def test_nothing_is_sent_twice_and_all_that_began_ends(
    rounds: list[tuple[int, bool]], acknowledged: int, resolved: int, held: int
) -> None:
    """Rounds at any times; in some of them the channels take what is due, in others they do not."""
    now, sent = T0, []
    for step, works in [*rounds, (10_000, True)]:
        now += step * S
        notice = _notice(
            acknowledged_at=T0 + acknowledged * S if acknowledged and T0 + acknowledged * S <= now else 0,
            resolved_at=T0 + resolved * S if resolved and T0 + resolved * S <= now else 0,
            held_until=T0 + held * S,
            sent=tuple(sent),
        )
        found = due(notice, NOTIFY, (), now)
        if works:
            sent += [Sent(one.step, one.channel, now) for one in found]
    keys = [(one.step, one.channel) for one in sent]
    assert len(keys) == len(set(keys))
    if resolved:
        began = {one.channel for one in sent if one.step.startswith("escalation:")}
        notice = _notice(resolved_at=T0 + resolved * S, sent=tuple(sent))
        last = {one.channel for one in due(notice, NOTIFY, (), now)} | {
            one.channel for one in sent if one.step == "resolved"
        }
        assert last == began
