"""`holdfast serve`: the API and the dashboard, with a worker, in one process."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from holdfast.cli.exit_codes import exit_codes
from holdfast.cli.help import Command
from holdfast.cli.options import Json, Quiet
from holdfast.cli.site_options import ConfigOption
from holdfast.errors import MissingExtraError, UsageError

if TYPE_CHECKING:
    from holdfast.cli.output import Output

__all__ = ["add_to", "address_of", "require_server"]

_NEEDED = ("litestar", "uvicorn", "jinja2", "prometheus_client", "sqlalchemy", "alembic", "dbos")


def serve(
    context: typer.Context,
    address: Annotated[
        str,
        typer.Option("--address", metavar="HOST:PORT", show_default=True, help="Where to listen; 0: any free port."),
    ] = "127.0.0.1:8440",
    tls_cert: Annotated[
        Path | None, typer.Option("--tls-cert", metavar="FILE", help="Certificate chain (PEM); then TLS 1.3 only.")
    ] = None,
    tls_key: Annotated[Path | None, typer.Option("--tls-key", metavar="FILE", help="Its private key (PEM).")] = None,
    behind_proxy: Annotated[
        bool, typer.Option("--behind-proxy", help="A proxy on this machine ends TLS, and says whom it speaks for.")
    ] = False,
    worker: Annotated[
        bool, typer.Option("--worker/--no-worker", help="Whether to do work here, too, as `worker run` does.")
    ] = True,
    watch: Annotated[bool, typer.Option("--watch/--no-watch", help="Whether to look out for incidents here.")] = True,
    refresh: Annotated[
        str, typer.Option("--refresh", metavar="TIME", show_default=True, help="Between two looks at all stores.")
    ] = "60s",
    config: ConfigOption = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Serve the API, the dashboard and a worker, until it is told to end. Signs with this user's keeper's key.

    What people ask for over it is said for them in journals: it counts where holdfast.yaml lists the label of this
    key in `serve: {vouches: …}`. Each request is decided by the policies of docs/authority.md, and recorded.
    """
    require_server()
    from holdfast.cli.schemas.logins import Serving
    from holdfast.cli.serving import operations
    from holdfast.control.service.context import open_service
    from holdfast.units import parse_duration
    from holdfast.web.logs import begin_log
    from holdfast.web.serving import Listening, leave, serve

    output: Output = context.obj
    host, port = address_of(address)
    listening = Listening(host, port, tls_cert, tls_key, behind_proxy)
    listening.require_safe()
    begin_log(quiet=quiet)
    service = open_service(config)
    left = serve(
        service,
        listening,
        operations(),
        work=worker,
        watch=watch,
        refresh_s=parse_duration(refresh),
        told=lambda shown: output.give(Serving(address=shown), lambda record, page: [f"listening on {record.address}"]),
    )
    if left:
        output.say(f"handed over: {', '.join(left)}")
    output.finish("ended in good order,")
    leave(0)


def require_server() -> None:
    """Raises MissingExtraError without the packages that a server needs."""
    from importlib.util import find_spec

    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        raise MissingExtraError(f"the server needs {', '.join(missing)}", hint="pip install 'holdfast[server]'")


def address_of(text: str) -> tuple[str, int]:
    """Host and port. Raises UsageError."""
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdecimal() or int(port) > 65535:
        raise UsageError(f"{text!r} is no address", hint="for example 127.0.0.1:8440, or [::1]:8440")
    return host.strip("[]"), int(port)


def add_to(app: typer.Typer) -> None:
    """Make the command part of the program."""
    app.command(
        cls=Command,
        epilog=exit_codes(
            2,
            7,
            _0="ended in good order",
            _1="failed: the address is taken, or an extra is missing",
            _3="not found: no holdfast.yaml",
            _5="refused: plain HTTP to other machines, or a rule",
        ),
    )(serve)
