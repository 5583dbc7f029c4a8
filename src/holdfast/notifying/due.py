"""What is to be sent now: escalation, quiet hours, silences, deadlines. Pure: the same notice, the same answer.

Nothing is remembered here: what was sent is in the notice, so whoever starts anew knows what is still due.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from holdfast.config.notify_model import Deadline, Escalation, Notify, Quiet
from holdfast.config.words import Day
from holdfast.notifying.model import Action, Notice, Silence

__all__ = ["Due", "Timer", "due", "is_quiet", "next_due", "timers"]

_NS: Final = 1_000_000_000
_DAYS: Final = tuple(Day)
AUTHORITY: Final = "authority"  # as a channel: somebody says that an authority was told


class Due(NamedTuple):
    """One message that is to go out over one channel. `at`: since when (ns)."""

    step: str
    channel: str
    action: Action
    at: int
    contacts: tuple[str, ...] = ()


class Timer(NamedTuple):
    """A deadline of an incident. `ends`: ns. `told_at`: when somebody said that the authority was told; 0: not yet."""

    name: str
    authority: str
    basis: str
    ends: int
    told_at: int

    def left_s(self, now_ns: int) -> float:
        """Negative once it has passed."""
        return (self.ends - now_ns) / _NS


def due(notice: Notice, notify: Notify, silences: Iterable[Silence], now_ns: int) -> list[Due]:
    """In the order in which they came to be due."""
    done = {(one.step, one.channel) for one in notice.sent}
    found = [one for one in _all(notice, notify) if one.at <= now_ns and (one.step, one.channel) not in done]
    silenced = any(one.covers(notice, now_ns) for one in silences)
    return sorted(one for one in found if _may(one, notice, notify, silenced, now_ns))


def next_due(notice: Notice, notify: Notify, now_ns: int) -> int | None:
    """When the next message comes to be due (ns) if nothing happens; None: none does."""
    done = {(one.step, one.channel) for one in notice.sent}
    later = [one.at for one in _all(notice, notify) if one.at > now_ns and (one.step, one.channel) not in done]
    return min(later, default=None)


def timers(notice: Notice, notify: Notify) -> list[Timer]:
    """The deadlines that an incident sets, the first to end first. They do not end with the incident."""
    told = {one.step: one.at for one in notice.sent if one.channel == AUTHORITY}
    found = [
        Timer(
            name, one.authority, one.basis, notice.noticed_at + int(one.within * _NS), told.get(f"deadline:{name}", 0)
        )
        for name, one in notify.deadlines.items()
        if not one.severities or notice.severity in one.severities
    ]
    return sorted(found, key=lambda one: one.ends)


def is_quiet(quiet: Sequence[Quiet], severity: str, now_ns: int) -> bool:
    """Whether it is a time at which nobody is woken for this."""
    return any(severity in one.severities and _within(one, now_ns) for one in quiet)


def _within(quiet: Quiet, now_ns: int) -> bool:
    zone = UTC if quiet.timezone == "UTC" else ZoneInfo(quiet.timezone)
    local = datetime.fromtimestamp(now_ns // _NS, UTC).astimezone(zone)
    minute = local.hour * 60 + local.minute
    over_night = quiet.end <= quiet.begin
    if over_night:
        inside, begun = minute >= quiet.begin or minute < quiet.end, local
        if minute < quiet.end:
            begun = local - timedelta(days=1)
    else:
        inside, begun = quiet.begin <= minute < quiet.end, local
    return inside and (not quiet.days or _DAYS[begun.weekday()] in quiet.days)


def _all(notice: Notice, notify: Notify) -> Iterator[Due]:
    yield from _escalated(notice, notify)
    yield from _deadlines(notice, notify)
    yield from _endings(notice, notify)


def _escalated(notice: Notice, notify: Notify) -> Iterator[Due]:
    steps = notify.escalation or (Escalation(to=tuple(notify.all_channels())),)
    ended = min((at for at in (notice.acknowledged_at, notice.resolved_at) if at), default=0)
    for number, step in enumerate(steps):
        if step.severities and notice.severity not in step.severities:
            continue
        at = max(notice.noticed_at, notice.held_until) + int(step.after * _NS)
        if ended and ended <= at:
            continue
        for channel in step.to:
            yield Due(f"escalation:{number}", channel, Action.TRIGGER, at, step.contacts)


def _deadlines(notice: Notice, notify: Notify) -> Iterator[Due]:
    for timer in timers(notice, notify):
        declared: Deadline = notify.deadlines[timer.name]
        if timer.told_at:
            continue
        channels = declared.to or tuple(notify.all_channels())
        for channel in channels:
            soon = max(notice.noticed_at, timer.ends - int(declared.remind * _NS))
            yield Due(f"deadline:{timer.name}:soon", channel, Action.TRIGGER, soon)
            yield Due(f"deadline:{timer.name}:passed", channel, Action.TRIGGER, timer.ends)


def _endings(notice: Notice, notify: Notify) -> Iterator[Due]:
    """Who was told of it is told of its end; a pager also that somebody has it in hand."""
    channels = notify.all_channels()
    told = dict.fromkeys(one.channel for one in notice.sent if one.step.startswith("escalation:"))
    for channel in told:
        if channel not in channels:
            continue
        if notice.resolved_at:
            yield Due("resolved", channel, Action.RESOLVE, notice.resolved_at)
        elif notice.acknowledged_at and channels[channel].kind == "pagerduty":
            yield Due("acknowledged", channel, Action.ACKNOWLEDGE, notice.acknowledged_at)


def _may(one: Due, notice: Notice, notify: Notify, silenced: bool, now_ns: int) -> bool:
    """Deadlines are law: neither silence nor night holds them. What was told of is told to be over."""
    if one.step.startswith("deadline:") or one.action is not Action.TRIGGER:
        return True
    if notice.resolved_at or notice.acknowledged_at:
        return False  # over, or in somebody's hands, before anybody was told of this step
    return not silenced and not is_quiet(notify.quiet, notice.severity, now_ns)
