"""Break-glass: a session for an emergency, begun by somebody who is listed for it, with a reason and an end.

It opens the actions of the group `emergency` and no others, lifts no rule but the need of an approval, and every record
of what is done under it carries its id and its reason.
"""

from __future__ import annotations

import os
from typing import Final

import msgspec

from holdfast.authority.principals import BREAK_GLASS_ROLE, Elevation, Principal
from holdfast.clock import NANOSECONDS, to_rfc3339
from holdfast.errors import CredentialError, UsageError
from holdfast.units import format_duration, parse_duration

__all__ = ["Session", "begin_session", "elevated_by", "decode_session", "banner", "checked_reason"]

_TIME_END: Final = 253_402_300_800 * NANOSECONDS  # since the epoch: the year 10000, which no calendar here has
_REASON_MIN: Final = 10
_REASON_MAX: Final = 500


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of a session while it lasts. `principal`: whose it is (kind and id), and nobody else's."""

    id: str
    principal: str
    person: str
    reason: str
    since: int
    until: int


def begin_session(principal: Principal, reason: str, *, lasts: str, longest: str, now_ns: int) -> Session:
    """A session from now on. That the principal is listed was decided before, by the policies.

    Raises UsageError for a reason that says nothing, and for a time that is too long.
    """
    said = checked_reason(reason)
    seconds, allowed = parse_duration(lasts), parse_duration(longest)
    if not 0 < seconds <= allowed:
        raise UsageError(f"a break-glass session lasts up to {format_duration(allowed)}, not {lasts}")
    return Session(
        id=os.urandom(8).hex(),
        principal=_name(principal),
        person=principal.person,
        reason=said,
        since=now_ns,
        until=now_ns + round(seconds * NANOSECONDS),
    )


def checked_reason(reason: str) -> str:
    """One line, as it will stand in the records. Raises UsageError."""
    said = " ".join(reason.split())
    if not _REASON_MIN <= len(said) <= _REASON_MAX or not said.isprintable() or len(set(said)) < 4:
        raise UsageError(
            f"a break-glass session needs a reason that others understand: {_REASON_MIN} to {_REASON_MAX} characters",
            hint="name the incident, and what you are going to do",
        )
    return said


def elevated_by(principal: Principal, session: Session, now_ns: int) -> Principal:
    """The principal in its session; as it was where that is over, somebody else's, or they are no longer listed."""
    if BREAK_GLASS_ROLE not in principal.roles(now_ns):
        return principal
    if session.principal != _name(principal) or not session.since <= now_ns < session.until:
        return principal
    return principal.elevated(Elevation(session.id, session.reason, session.since, session.until))


def decode_session(data: bytes, name: str) -> Session:
    """Raises CredentialError for what is no session."""
    try:
        session = msgspec.json.decode(data, type=Session)
        checked_reason(session.reason)
        if not 0 <= session.since <= session.until < _TIME_END:
            raise ValueError("times that no calendar has")
    except (msgspec.MsgspecError, ValueError, RecursionError, UsageError) as error:
        raise CredentialError(
            f"{name} is no break-glass session, or a damaged one", hint="delete it, and begin another", object_name=name
        ) from error
    return session


def banner(principal: Principal) -> str:
    """What stands on stderr of whatever is done under it. Empty without a session."""
    elevation = principal.elevation
    if elevation is None:
        return ""
    return (
        f"BREAK-GLASS session {elevation.id} of {principal}, until {to_rfc3339(elevation.until_ns)}: "
        f"{elevation.reason}. All that is done is recorded under it."
    )


def _name(principal: Principal) -> str:
    return f"{principal.kind}:{principal.id}"
