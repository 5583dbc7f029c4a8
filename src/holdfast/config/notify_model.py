"""`notify` of `holdfast.yaml`: who is told of an incident, how, when, and until when. Durations are seconds."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from holdfast.config.section import Section
from holdfast.config.words import Clock, Day, Duration, FilePath, Name, Reference, Text, Zone

__all__ = ["Channel", "Contact", "Deadline", "Escalation", "Notify", "Pagerduty", "Quiet"]

Severity = Literal["critical", "warning", "info"]


class Pagerduty(Section, frozen=True, kw_only=True):
    """An integration of PagerDuty."""

    routing_key: Reference


class Channel(Section, frozen=True, kw_only=True):
    """A way to tell somebody. Secrets are references only.

    `pagerduty`: `secret` is the routing key (Events API v2). `slack`: `secret` is the address of the incoming webhook.
    `webhook`: a signed POST to `url`, `secret` is the key. `alertmanager`: its address in `url`. `email`: from `sender`
    to `to`, over `server` (`host:port`) with `tls`, as `user` with the password `secret`. `ca`: a file of certificates
    beside those of the system. `at_most`: messages in an hour; what is more is told together.
    """

    kind: Literal["pagerduty", "slack", "webhook", "alertmanager", "email"]
    secret: Reference | None = None
    url: Reference | Text = ""
    server: Text = ""
    tls: Literal["starttls", "tls", "none"] = "starttls"
    user: Text = ""
    sender: Text = ""
    to: tuple[Text, ...] = ()
    ca: FilePath = ""
    at_most: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 30


class Contact(Section, frozen=True, kw_only=True):
    """Somebody who is shown to whoever deals with an incident."""

    role: Text
    reach: Text


class Escalation(Section, frozen=True, kw_only=True):
    """One step: `after` so long without an answer `to` these channels. `severities`: of which incidents; none: of all.

    `contacts`: whom the message names.
    """

    to: tuple[Name, ...]
    after: Duration = 0.0
    severities: tuple[Severity, ...] = ()
    contacts: tuple[Name, ...] = ()


class Quiet(Section, frozen=True, kw_only=True):
    """From `begin` to `end` nothing is sent of these severities; what is still open then is sent at the end."""

    begin: Clock = msgspec.field(name="from")
    end: Clock = msgspec.field(name="to")
    severities: tuple[Severity, ...]
    timezone: Zone = "UTC"
    days: tuple[Day, ...] = ()


class Deadline(Section, frozen=True, kw_only=True):
    """Somebody has to be told `within` so long of noticing an incident: `authority` says who, `basis` by which rule.

    `remind`: so long before its end `to` is told, and again when it has passed.
    """

    within: Duration
    authority: Text
    basis: Text = ""
    severities: tuple[Severity, ...] = ()
    remind: Duration = 3600.0
    to: tuple[Name, ...] = ()


class Notify(Section, frozen=True, kw_only=True):
    """Who is told. `pagerduty`, `slack`: channels of these names, written shortly. Without `escalation` all
    channels are told at once. `group_within`: what is due within that time of each other goes into one message.
    """

    pagerduty: Pagerduty | None = None
    slack: Reference | None = None
    channels: dict[Name, Channel] = {}
    escalation: tuple[Escalation, ...] = ()
    quiet: tuple[Quiet, ...] = ()
    deadlines: dict[Name, Deadline] = {}
    contacts: dict[Name, Contact] = {}
    group_within: Duration = 10.0

    def all_channels(self) -> dict[str, Channel]:
        """With those that are written shortly."""
        found = dict(self.channels)
        if self.pagerduty is not None:
            found.setdefault("pagerduty", Channel(kind="pagerduty", secret=self.pagerduty.routing_key))
        if self.slack is not None:
            found.setdefault("slack", Channel(kind="slack", secret=self.slack))
        return found
