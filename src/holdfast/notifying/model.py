"""What is told, apart from how: a notice about an incident, and one message of it."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

import msgspec

__all__ = ["Action", "Message", "Notice", "Outcome", "Sent", "Silence"]


class Action(StrEnum):
    """What a message says of the incident whose `dedup_key` it has."""

    TRIGGER = "trigger"
    ACKNOWLEDGE = "acknowledge"
    RESOLVE = "resolve"


class Sent(msgspec.Struct, frozen=True):
    """What was sent already: which step, over which channel, when (ns)."""

    step: str
    channel: str
    at: int


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """An incident, as it is told of. `key`: its id, from the first message to the last. Times are ns, 0: not yet.

    `held_until`: repairs are tried until then, and nobody is woken before.
    """

    key: str
    kind: str
    subject: str
    severity: str
    title: str
    text: str
    asset: str = ""
    site: str = ""
    fault_at: int = 0
    noticed_at: int
    acknowledged_at: int = 0
    acknowledged_by: str = ""
    resolved_at: int = 0
    resolution: str = ""
    runs: tuple[str, ...] = ()
    sent: tuple[Sent, ...] = ()
    held_until: int = 0


class Silence(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Maintenance: nobody is woken of what `matches` (`*`, an asset, a site, a kind, a subject) until `until` (ns)."""

    id: str
    matches: str
    reason: str
    owner: str
    since: int
    until: int

    def covers(self, notice: Notice, now_ns: int) -> bool:
        named = ("*", notice.asset, notice.site, notice.kind, notice.subject)
        return self.since <= now_ns < self.until and bool(self.matches) and self.matches in named


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One message. `id`: the same for each attempt to send it, so that who gets it twice can tell. `facts`: shown below
    the text. `at`: ns, when what it tells of came about.
    """

    id: str
    action: Action
    notice: Notice
    summary: str
    text: str
    at: int
    facts: dict[str, str] = {}


class Outcome(NamedTuple):
    """`sent` false: `why`, without secrets; whether trying again can help, and after how many seconds at least."""

    sent: bool
    why: str = ""
    again: bool = True
    after_s: float = 0.0
