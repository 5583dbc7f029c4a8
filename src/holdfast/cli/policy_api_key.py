"""`holdfast policy api-key`: keys for machines and programs that no identity provider knows."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from holdfast.cli.exit_codes import exit_codes
from holdfast.cli.help import Command, Group
from holdfast.cli.options import Json, Quiet
from holdfast.cli.output import Output
from holdfast.cli.phrases import clean

__all__ = ["app"]

app = typer.Typer(
    cls=Group, help="API keys: create, list, revoke.", rich_markup_mode=None, no_args_is_help=True
)  # fmt: skip


@app.command(
    cls=Command, epilog=exit_codes(0, 1, 2, _5="refused: FILE exists", _7="the register cannot be read or trusted")
)
def create(
    context: typer.Context,
    label: Annotated[str, typer.Argument(metavar="LABEL", help="Its name: letters, digits, `.`, `_`, `-`.")],
    role: Annotated[
        list[str] | None, typer.Option("--role", metavar="ROLE", help="A role that it has; repeatable.")
    ] = None,
    scope: Annotated[
        list[str] | None,
        typer.Option("--scope", metavar="ACTION", help="Limit it to an action or a group of them; repeatable."),
    ] = None,
    expires: Annotated[
        str, typer.Option("--expires", metavar="TIME", show_default=True, help="From now on; `never` for no end.")
    ] = "90d",
    person: Annotated[
        str, typer.Option("--person", metavar="WHO", help="Who answers for it, as user:ISSUER#SUBJECT.")
    ] = "",
    to: Annotated[str | None, typer.Option("--to", metavar="FILE", help="A new file for the key; mode 600.")] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Create an API key. It is shown this once, or put into FILE; kept is a hash of it.

    Whoever has it sends it as `Authorization: Bearer hfk_…`, or names its file in HOLDFAST_API_KEY_FILE.
    """
    from holdfast.cli.facts.policies import api_key_facts
    from holdfast.cli.schemas.policies import ApiKeyCreated
    from holdfast.cli.views.policies import created_lines
    from holdfast.control.authority.api_key_files import create_api_key
    from holdfast.control.authority.authority_home import AuthorityHome

    output: Output = context.obj
    home = AuthorityHome(os.environ, progress=output.progress)
    file = None if to is None else Path(to)
    made, key = create_api_key(
        home,
        label,
        roles=role or (),
        scopes=scope,
        expires=None if expires == "never" else expires,
        person=person,
        to=file,
    )
    record = ApiKeyCreated(
        api_key=api_key_facts(made, home.clock.now_ns()),
        key=key.text if file is None else None,
        file=None if file is None else clean(str(file.absolute())),
    )
    output.give(record, created_lines)
    if file is None:
        output.warn("this is the only time that the key is shown")
    output.finish(f"created API key {made.id}")


@app.command("list", cls=Command, epilog=exit_codes(0, 1, 2, _7="the register cannot be read or trusted"))
def list_(context: typer.Context, json: Json = False, quiet: Quiet = False) -> None:
    """List the API keys: whose, which roles, until when. No secret is shown, as none is kept."""
    from holdfast.cli.facts.policies import api_key_facts
    from holdfast.cli.schemas.policies import ApiKeyList
    from holdfast.cli.views.policies import list_lines
    from holdfast.control.authority.api_key_files import list_api_keys
    from holdfast.control.authority.authority_home import AuthorityHome

    output: Output = context.obj
    home = AuthorityHome(os.environ, progress=output.progress)
    keys = [api_key_facts(one, home.clock.now_ns()) for one in list_api_keys(home)]
    output.give(ApiKeyList(register=clean(str(home.register)), keys=keys), list_lines)
    output.finish(f"listed {len(keys):,} API key{'' if len(keys) == 1 else 's'}")


@app.command(
    cls=Command,
    epilog=exit_codes(
        0, 1, 2, _3="not found: no such key", _5="refused: it is revoked", _7="the register cannot be read or trusted"
    ),
)
def revoke(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="KEY", help="Its id, or its label.")],
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Revoke an API key: from now on it counts no more."""
    from holdfast.cli.facts.policies import api_key_facts
    from holdfast.cli.schemas.policies import ApiKeyRevoked
    from holdfast.cli.views.policies import revoked_lines
    from holdfast.control.authority.api_key_files import revoke_api_key
    from holdfast.control.authority.authority_home import AuthorityHome

    output: Output = context.obj
    home = AuthorityHome(os.environ, progress=output.progress)
    gone = revoke_api_key(home, name)
    output.give(ApiKeyRevoked(api_key=api_key_facts(gone, home.clock.now_ns())), revoked_lines)
    output.finish(f"revoked API key {gone.id}")
