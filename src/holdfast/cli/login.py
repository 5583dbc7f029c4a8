"""`holdfast login`: a short-lived token of a server, which a person confirms in a browser."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from holdfast.cli.exit_codes import exit_codes
from holdfast.cli.help import Command
from holdfast.cli.options import Json, Quiet
from holdfast.errors import CredentialError, FailedError, StoreUnreachableError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from holdfast.cli.output import Output, Page
    from holdfast.cli.schemas.logins import LoggedIn

__all__ = ["add_to"]

_GRANT = "urn:ietf:params:oauth:grant-type:device_code"


def login(
    context: typer.Context,
    server: Annotated[
        str,
        typer.Option(
            "--server", metavar="URL", envvar="HOLDFAST_SERVER", show_envvar=True, help="https://HOST[:PORT]."
        ),
    ],
    scope: Annotated[
        list[str] | None,
        typer.Option("--scope", metavar="WORD", help="Only this action, or group of actions; repeatable."),
    ] = None,
    end: Annotated[bool, typer.Option("--end", help="Log out: the token counts for nothing any more.")] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Show a code that you confirm in a browser where you are signed in; keep the token that the server then gives.

    The token is yours, for some hours, and lies in a file that only you can read. Commands with --server use it.
    """
    import os

    from holdfast.cli.schemas.logins import LoggedIn
    from holdfast.clock import NANOSECONDS, SYSTEM_CLOCK, to_rfc3339
    from holdfast.control.remote.client import RemoteServer
    from holdfast.control.remote.logins import Login, keep_login

    output: Output = context.obj
    if end:
        _end(output, server)
        return
    remote = RemoteServer(server)
    form = {"client_id": _machine()} | ({"scope": " ".join(scope)} if scope else {})
    waits = _answer(remote.form("/api/v1/device/code", form), remote.shown)
    output.say(f"open  {waits['verification_uri']}")
    output.say(f"code  {waits['user_code']}")
    until = SYSTEM_CLOCK.monotonic() + _seconds(waits, "expires_in")
    token = _wait(remote, str(waits["device_code"]), _seconds(waits, "interval"), until)
    ends = SYSTEM_CLOCK.now_ns() + int(_seconds(token, "expires_in") * NANOSECONDS)
    kept = Login(server=remote.shown, token=str(token["access_token"]), until=ends, scope=str(token.get("scope", "")))
    path = keep_login(kept, os.environ)
    record = LoggedIn(server=remote.shown, until=to_rfc3339(ends), scope=kept.scope, file=str(path), ended=False)
    output.give(record, _lines)
    output.finish(f"logged in at {remote.shown},")


def _end(output: Output, server: str) -> None:
    import os

    from holdfast.cli.schemas.logins import LoggedIn
    from holdfast.control.remote.client import RemoteServer
    from holdfast.control.remote.logins import forget_login, login_of

    found = login_of(server, os.environ)
    if found is None:
        raise CredentialError(f"nobody is logged in at {server}")
    remote = RemoteServer(server, found.token)
    try:
        remote.ask("POST", "/api/v1/device/end")
    except (CredentialError, StoreUnreachableError) as error:
        output.warn(f"{error.message}: the token is deleted here, and ends there by itself")
    forget_login(server, os.environ)
    output.give(LoggedIn(server=remote.shown, until=None, scope="", file=None, ended=True), _lines)
    output.finish(f"logged out at {remote.shown},")


def _wait(remote: object, code: str, interval: float, until: float) -> dict[str, object]:
    from holdfast.clock import SYSTEM_CLOCK
    from holdfast.control.remote.client import RemoteServer

    assert isinstance(remote, RemoteServer)
    while SYSTEM_CLOCK.monotonic() < until:
        SYSTEM_CLOCK.sleep(interval)
        answer = remote.form("/api/v1/device/token", {"grant_type": _GRANT, "device_code": code})
        found = _decoded(answer.content)
        if answer.status == 200 and isinstance(found.get("access_token"), str):
            return found
        match found.get("error"):
            case "authorization_pending":
                continue
            case "slow_down":
                interval += 5  # RFC 8628, 3.5
            case "access_denied":
                raise CredentialError("the person said no")
            case _:
                break
    raise CredentialError("nobody confirmed the code in time", hint="`holdfast login` shows another one")


def _answer(answer: object, shown: str) -> dict[str, object]:
    from holdfast.control.remote.client import Answer

    assert isinstance(answer, Answer)
    found = _decoded(answer.content)
    if answer.status != 200 or not {"device_code", "user_code", "verification_uri"} <= set(found):
        why = str(found.get("error_description") or found.get("detail") or f"status {answer.status}")
        raise FailedError(f"{shown} gives no code: {why[:300]}")
    return {"expires_in": 600, "interval": 5} | found


def _decoded(content: bytes) -> dict[str, object]:
    import msgspec

    try:
        found = msgspec.json.decode(content)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return {}
    return found if isinstance(found, dict) else {}


def _seconds(found: dict[str, object], name: str) -> float:
    value = found.get(name)
    if not isinstance(value, (int, float)) or not 0 <= value <= 86_400:
        raise FailedError(f"the server answers with what is no {name}")
    return float(value)


def _machine() -> str:
    import re
    import socket

    name = re.sub(r"[^A-Za-z0-9._ @-]", "-", socket.gethostname())[:50]
    return f"holdfast on {name or 'a machine'}"


def _lines(record: LoggedIn, page: Page) -> Iterator[str]:
    yield f"server  {record.server}"
    if record.ended:
        return
    yield f"until   {record.until}"
    yield f"scope   {record.scope or 'all that you may do'}"
    yield f"token   kept in {record.file}"


def add_to(app: typer.Typer) -> None:
    """Make the command part of the program."""
    app.command(
        cls=Command,
        epilog=exit_codes(0, 1, 2, _7="nobody confirmed it, or somebody said no", _8="the server does not answer"),
    )(login)
