"""Break-glass sessions of this machine: begun, found again by the commands that follow, ended."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import msgspec

from holdfast.authority.break_glass import Session, decode_session, elevated_by
from holdfast.authority.principals import Principal
from holdfast.control.authority.authority_home import AuthorityHome
from holdfast.errors import CredentialError, FailedError, RefusedError
from holdfast.trust.keyfile import create_private_file, read_private_file

__all__ = ["session_of", "keep_session", "end_session", "in_session"]


def _file(home: AuthorityHome) -> Path:
    if home.state is None:
        raise CredentialError("there is no place to keep a break-glass session", hint="set XDG_STATE_HOME")
    return home.state / "break-glass.json"


def session_of(home: AuthorityHome) -> Session | None:
    """The session that is kept, over or not. Raises CredentialError for one that is damaged."""
    if home.state is None or not _file(home).exists():
        return None
    return decode_session(read_private_file(_file(home)), str(_file(home)))


def in_session(home: AuthorityHome, principal: Principal) -> Principal:
    """The principal, elevated where a session of theirs is in force. One that cannot be read elevates nobody."""
    try:
        session = session_of(home)
    except CredentialError as error:
        home.progress.note(f"{error.message}: no break-glass session is in force")
        return principal
    return principal if session is None else elevated_by(principal, session, home.clock.now_ns())


def keep_session(home: AuthorityHome, session: Session) -> None:
    """From now on it is in force. Raises RefusedError while another one is, FailedError, PermissionDeniedError."""
    before = session_of(home)
    if before is not None:
        if before.until > home.clock.now_ns():
            raise RefusedError(
                f"the break-glass session {before.id} is in force already",
                hint="end it first: holdfast policy break-glass --end",
            )
        end_session(home)
    create_private_file(_file(home), msgspec.json.encode(session) + b"\n")


def end_session(home: AuthorityHome) -> Session | None:
    """The session that was kept, if there was one. Raises FailedError when it cannot be removed."""
    ended: Session | None = None
    with suppress(CredentialError):  # a damaged one goes, too
        ended = session_of(home)
    try:
        _file(home).unlink(missing_ok=True)
    except OSError as error:
        raise FailedError(f"{_file(home)} cannot be removed ({error.strerror})") from error
    return ended
