"""Telling people of incidents: what is due goes out, what went out is written to the incident.

There is no other outbox. What is due follows from the incident as it lies at the stores and on this machine, so that a
process which is killed between two messages, or another one elsewhere, sends what is still owed. A message is marked
when it was taken; who dies in between sends it once more, with the same id and `dedup_key`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from holdfast.clock import NANOSECONDS, to_rfc3339
from holdfast.config.notify_model import Channel, Notify
from holdfast.control.incidents.log import IncidentLog
from holdfast.control.incidents.model import Deed, Incident
from holdfast.control.sites.declared import DeclaredSites
from holdfast.errors import HoldfastError, NotFoundError
from holdfast.notifying.channels.opening import open_channel
from holdfast.notifying.channels.port import Sender
from holdfast.notifying.due import Due, due, timers
from holdfast.notifying.model import Action, Message, Notice, Outcome, Sent, Silence
from holdfast.units import format_duration

__all__ = ["Teller", "message_of", "notice_of", "test_message"]

_HOUR_NS: Final = 3600 * NANOSECONDS
_FIRST_S: Final = 1.0
_LONGEST_S: Final = 300.0
_SELDOM_S: Final = 60.0


class _Tried(NamedTuple):
    times: int
    not_before: float


def notice_of(incident: Incident, held_until: int = 0) -> Notice:
    return Notice(
        key=incident.id,
        kind=incident.kind,
        subject=incident.subject,
        severity=incident.severity,
        title=incident.title,
        text=incident.why,
        asset=incident.asset,
        site=incident.site,
        fault_at=incident.fault_at,
        noticed_at=incident.noticed_at,
        acknowledged_at=incident.acknowledged_at,
        acknowledged_by=incident.acknowledged_by,
        resolved_at=incident.resolved_at,
        resolution=incident.resolution,
        runs=incident.runs,
        sent=tuple(Sent(one.step, one.channel, one.at) for one in incident.told),
        held_until=held_until,
    )


class Teller:
    """Sends over the channels of holdfast.yaml. Not for two threads at once."""

    def __init__(self, sites: DeclaredSites, log: IncidentLog) -> None:
        self._sites, self._log = sites, log
        self._senders: dict[str, tuple[Channel, Sender]] = {}
        self._tried: dict[tuple[str, str, str], _Tried] = {}
        self._pending: dict[tuple[str, str, str], int] = {}
        self._gathering: dict[str, float] = {}
        self.problems: dict[str, str] = {}
        """Channel → why the last message did not get through."""

    def take_over(self, other: Teller) -> None:
        """What was sent and is not written down, what is to be tried again, and when."""
        self._tried, self._pending = dict(other._tried), dict(other._pending)
        self._gathering = dict(other._gathering)

    def tell(self, incidents: Iterable[Incident], silences: Sequence[Silence], held: Mapping[str, int]) -> int:
        """Send what is due; `held`: incident → until when (ns) repairs keep people from being woken. How many messages
        went out. What does not get through is tried again, later and later.
        """
        notify, now = self._sites.config.notify, self._sites.clock.now_ns()
        known = list(incidents)
        self._settle()
        by_channel: dict[str, list[tuple[Due, Notice]]] = {}
        for incident in known:
            notice = notice_of(incident, held.get(incident.id, 0))
            for one in due(notice, notify, silences, now):
                if (incident.id, one.step, one.channel) not in self._pending:
                    by_channel.setdefault(one.channel, []).append((one, notice))
        sent = 0
        for name, owed in by_channel.items():
            sent += self._over(name, notify, owed, self._recent(name, known, now), now)
        return sent

    def _recent(self, channel: str, incidents: Iterable[Incident], now: int) -> int:
        return sum(
            one.channel == channel and 0 <= now - one.at < _HOUR_NS for incident in incidents for one in incident.told
        )

    def _over(self, name: str, notify: Notify, owed: list[tuple[Due, Notice]], recent: int, now: int) -> int:
        channel = notify.all_channels().get(name)
        if channel is None:
            return 0
        ready = sorted((one for one in owed if self._may_try(one)), key=_urgency)
        if not ready:
            return 0
        try:
            sender = self._sender(name, channel)
        except HoldfastError as error:
            self._failed(name, ready, Outcome(False, error.message, again=False))
            return 0
        room = channel.at_most - recent
        if room <= 0:
            self.problems[name] = f"{channel.at_most} messages went out within an hour: the others wait"
            return 0
        if not sender.together:
            return sum(self._send(name, sender, [one], now) for one in ready[:room])
        if not self._gathered(name, notify.group_within):
            return 0
        sent = 0
        for action in Action:
            batch = [one for one in ready if one[0].action is action]
            if batch:
                sent += self._send(name, sender, batch, now)
        return sent

    def _gathered(self, name: str, seconds: float) -> bool:
        """What comes within that time of the first goes into one message."""
        clock = self._sites.clock.monotonic()
        began = self._gathering.setdefault(name, clock)
        if clock - began < seconds:
            return False
        del self._gathering[name]
        return True

    def _may_try(self, one: tuple[Due, Notice]) -> bool:
        tried = self._tried.get(_key(one))
        return tried is None or self._sites.clock.monotonic() >= tried.not_before

    def _send(self, name: str, sender: Sender, batch: list[tuple[Due, Notice]], now: int) -> int:
        outcome = sender.send([message_of(one, notice, self._sites, now) for one, notice in batch])
        if not outcome.sent:
            self._failed(name, batch, outcome)
            return 0
        self.problems.pop(name, None)
        for one in batch:
            self._tried.pop(_key(one), None)
            self._pending[_key(one)] = now
        self._settle()
        return 1

    def _settle(self) -> None:
        """Write down what was sent; where that does not work now, it is not sent again by this process all the same."""
        for incident, step, channel in list(self._pending):
            try:
                self._log.say(incident, Deed.TOLD, step=step, channel=channel)
            except NotFoundError:
                pass
            except HoldfastError as error:
                self._sites.progress.note(f"{incident}: that {channel} was told is not written down: {error.message}")
                continue
            del self._pending[incident, step, channel]

    def _failed(self, name: str, batch: list[tuple[Due, Notice]], outcome: Outcome) -> None:
        self.problems[name] = outcome.why
        self._sites.progress.note(f"{name} was not told: {outcome.why}")
        for one in batch:
            times = self._tried.get(_key(one), _Tried(0, 0.0)).times + 1
            wait = min(_LONGEST_S, _FIRST_S * 2.0 ** min(times - 1, 16))
            wait = max(wait, outcome.after_s, 0.0 if outcome.again else _SELDOM_S)
            self._tried[_key(one)] = _Tried(times, self._sites.clock.monotonic() + wait)

    def _sender(self, name: str, channel: Channel) -> Sender:
        known = self._senders.get(name)
        if known is None or known[0] != channel:
            opened = open_channel(
                channel, self._sites.loaded.folder, self._sites.environment, self._sites.config.organisation
            )
            known = self._senders[name] = (channel, opened)
        return known[1]

    def test(self, name: str) -> Outcome:
        """One message that says that it is a test, over this channel, now. Raises NotFoundError, CredentialError."""
        channel = self._sites.config.notify.all_channels().get(name)
        if channel is None:
            known = ", ".join(self._sites.config.notify.all_channels()) or "none"
            raise NotFoundError(f"{self._sites.loaded.path} declares no channel {name!r}", hint=f"it declares {known}")
        sender = self._sender(name, channel)
        now = self._sites.clock.now_ns()
        outcome = sender.send([test_message(self._sites, Action.TRIGGER, now)])
        if outcome.sent and channel.kind in ("pagerduty", "alertmanager"):  # else it would stay open there
            outcome = sender.send([test_message(self._sites, Action.RESOLVE, now)])
        return outcome


def _urgency(one: tuple[Due, Notice]) -> tuple[bool, int, int]:
    """A deadline first, then the most severe, then what is due the longest: where not all may go out now."""
    severities = ("critical", "warning", "info")
    severity = one[1].severity
    rank = severities.index(severity) if severity in severities else len(severities)
    return not one[0].step.startswith("deadline:"), rank, one[0].at


def _key(one: tuple[Due, Notice]) -> tuple[str, str, str]:
    return one[1].key, one[0].step, one[0].channel


def message_of(one: Due, notice: Notice, sites: DeclaredSites, now_ns: int) -> Message:
    """What a person reads at night: what is the matter, since when, what is done about it, and what they can do."""
    notify = sites.config.notify
    facts = {"incident": notice.key, "severity": notice.severity, "noticed": to_rfc3339(notice.noticed_at)}
    if notice.asset:
        facts["asset"] = notice.asset
    if notice.site:
        facts["site"] = notice.site
    if notice.fault_at:
        facts["last seen good"] = to_rfc3339(notice.fault_at)
    for run in notice.runs:
        facts["recovery"] = f"run {run}: holdfast recover status {run}"
    for timer in timers(notice, notify):
        left = timer.left_s(now_ns)
        state = f"told at {to_rfc3339(timer.told_at)}" if timer.told_at else _left(left)
        facts[f"deadline {timer.name}"] = f"{timer.authority} by {to_rfc3339(timer.ends)} ({state})"
    for name in one.contacts:
        contact = notify.contacts[name]
        facts[f"contact {name}"] = f"{contact.role}, {contact.reach}"
    summary, text = notice.title, notice.text
    if one.step.startswith("deadline:"):
        name = one.step.split(":")[1]
        timer = next(timer for timer in timers(notice, notify) if timer.name == name)
        summary = f"{timer.authority} has to be told: {_left(timer.left_s(now_ns))}. {notice.title}"
        text = f"{timer.basis or name}. `holdfast incident ack {notice.key} --notified {name}` says that it was done."
    elif one.action is Action.RESOLVE:
        text = notice.resolution or notice.text
    elif one.action is Action.ACKNOWLEDGE:
        text = f"{notice.acknowledged_by} has it in hand"
    identity = f"{notice.key}/{one.step}/{one.channel}"
    return Message(
        id=identity, action=one.action, notice=notice, summary=summary, text=text, at=max(one.at, 0), facts=facts
    )


def _left(seconds: float) -> str:
    return f"{format_duration(seconds)} left" if seconds >= 0 else f"{format_duration(-seconds)} late"


def test_message(sites: DeclaredSites, action: Action, now: int) -> Message:
    """Says what it is. `now`: ns; the same for a test and its end."""
    notice = Notice(
        key=f"test-{now:020d}",
        kind="test",
        subject="test",
        severity="info",
        title=f"test of {sites.config.organisation}: nothing is the matter",
        text="somebody tries whether this channel works (`holdfast incident test-alert`)",
        noticed_at=now,
        resolved_at=now if action is Action.RESOLVE else 0,
        resolution="the test is over" if action is Action.RESOLVE else "",
    )
    return Message(id=notice.key, action=action, notice=notice, summary=notice.title, text=notice.text, at=now)
