"""`holdfast policy`: who may do what, and why."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from holdfast.cli.exit_codes import exit_codes
from holdfast.cli.help import Command, Group
from holdfast.cli.options import Json, Quiet, StoreOptions, pairs
from holdfast.cli.output import Output
from holdfast.cli.phrases import count
from holdfast.cli.policy_api_key import app as api_key_app
from holdfast.errors import UsageError

__all__ = ["app"]

app = typer.Typer(cls=Group, help="Who may do what, and why.", rich_markup_mode=None, no_args_is_help=True)
app.add_typer(api_key_app, name="api-key")


@app.command(cls=Command, epilog=exit_codes(0, 1, 2, _7="some policy, or authority.yaml, cannot be in force"))
def check(
    context: typer.Context,
    folder: Annotated[
        str | None, typer.Argument(metavar="DIR", help="A folder of policies; by default the installation's own.")
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Read policies, and say what is wrong with them: file, line, and a sentence.

    For the installation's own ($XDG_CONFIG_HOME/holdfast/policies/*.cedar, with authority.yaml beside them) also
    what is in force now.
    """
    from holdfast.cli.facts.policies import checked_facts
    from holdfast.cli.views.policies import checked_lines
    from holdfast.control.authority.authorising import Authority
    from holdfast.control.authority.authority_home import AuthorityHome

    output: Output = context.obj
    if folder is not None and not Path(folder).is_dir():
        raise UsageError(f"there is no folder {folder}")
    home = AuthorityHome(os.environ)  # what it would note stands in the record
    record = checked_facts(Path(folder or home.policy_folder), Authority(home) if folder is None else None)
    output.give(record, checked_lines)
    for problem in record.problems:
        output.warn(problem.message)
    output.finish(f"checked {count(record.files, 'file')}: {count(len(record.problems), 'problem')},")
    if record.problems:
        raise typer.Exit(7)


@app.command(cls=Command, epilog=exit_codes(0, 1, 2, 3, _7="who it is, or what is in force, could not be found out"))
def explain(
    context: typer.Context,
    who: Annotated[
        str,
        typer.Option("--as", metavar="WHO", help="me, a role, user:ISSUER#SUBJECT, group:…, machine:…, api-key:…."),
    ],
    action: Annotated[str, typer.Option("--action", metavar="ACTION", help="As `policy table` lists them.")],
    resource: Annotated[
        str,
        typer.Option("--resource", metavar="WHAT", help="plane, vault[:ID], asset:A, snapshot:A@ID, site:S, plan:P."),
    ],
    fact: Annotated[
        list[str] | None,
        typer.Option("--fact", metavar="K=V", help="About the resource: held=yes, initiator=WHO, …; repeatable."),
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Say why something is allowed or denied, and by which policies. Nothing is done.

    `me` is whoever HOLDFAST_TOKEN_FILE or HOLDFAST_API_KEY_FILE proves.
    """
    from holdfast.authority.deciding import Circumstances, decide
    from holdfast.cli.facts.policies import explained_facts
    from holdfast.cli.views.policies import explained_lines
    from holdfast.control.authority.authorising import Authority
    from holdfast.control.authority.authority_home import AuthorityHome
    from holdfast.control.authority.explaining import principal_named, resource_named

    output: Output = context.obj
    home = AuthorityHome(os.environ, progress=output.progress)
    target = resource_named(resource, pairs(fact, "--fact"))
    vaults = [one.id for one in target.line() if one.kind == "Vault"]
    principal = principal_named(Authority(home), who, *vaults)
    now, policies = home.clock.now_ns(), home.in_force.policies
    decision = decide(policies, principal, action, target, Circumstances(now))
    output.give(explained_facts(policies, principal, action, target, decision, now), explained_lines)
    output.finish(f"{'allowed' if decision.allowed else 'denied'}: {action} on {target};")


@app.command(
    "table", cls=Command, epilog=exit_codes(0, 1, 2, _7="no policies are in force, as those that there are are wrong")
)
def table_(context: typer.Context, json: Json = False, quiet: Quiet = False) -> None:
    """List what each role may do by the policies in force, cell by cell from the decisions themselves.

    Resources are typical ones: sealed, not held; a plan of somebody else, approved by a third person.
    """
    from holdfast.cli.facts.policies import table_facts
    from holdfast.cli.views.policies import table_lines
    from holdfast.control.authority.authority_home import AuthorityHome

    output: Output = context.obj
    home = AuthorityHome(os.environ, progress=output.progress)
    record = table_facts(home.in_force.policies)
    output.give(record, table_lines)
    output.finish(f"decided {count(len(record.rows) * len(record.columns), 'case')}")


@app.command(
    "break-glass",
    cls=Command,
    epilog=exit_codes(
        0,
        1,
        2,
        3,
        8,
        _5="refused: a session is in force, or could not be recorded",
        _7="not listed for it, or not known",
    ),
)
def break_glass(
    context: typer.Context,
    reason: Annotated[
        str, typer.Argument(metavar="REASON", help="What for: a sentence that stands in every record.")
    ] = "",
    lasts: Annotated[
        str, typer.Option("--for", metavar="TIME", show_default=True, help="For how long; authority.yaml has a limit.")
    ] = "1h",
    end: Annotated[bool, typer.Option("--end", help="End the session of this machine.")] = False,
    vault: Annotated[
        str | None, typer.Option("--vault", metavar="URL", help="Prove who you are as a member of this vault.")
    ] = None,
    store_option: StoreOptions = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Begin a break-glass session: for an emergency, with a reason, and for a while.

    It opens what recovery needs, to those whom authority.yaml lists, also without an approval. It is loud: every
    command says so, and every record of what is done carries the reason. Nothing is destroyed under it.
    """
    from holdfast.cli.facts.policies import break_glass_facts
    from holdfast.cli.views.policies import break_glass_lines
    from holdfast.control.authority.authorising import Authority, member_of
    from holdfast.control.authority.authority_home import AuthorityHome

    output: Output = context.obj
    if end == bool(reason):
        raise UsageError("a break-glass session begins with REASON, and ends with --end")
    authority = Authority(AuthorityHome(os.environ, progress=output.progress))
    if end:
        ended = authority.end_break_glass()
        output.give(break_glass_facts(ended, "ended"), break_glass_lines)
        output.finish(f"ended break-glass session {ended.id}" if ended else "there was no break-glass session: looked")
        return
    member = None
    if vault is not None:
        from holdfast.control.vaults.opening import open_at

        opened = open_at(vault, options=pairs(store_option, "--store-option"), progress=output.progress)
        member = member_of(opened)
    session = authority.break_glass(authority.identify(member), reason, lasts=lasts)
    output.give(break_glass_facts(session, "begun"), break_glass_lines)
    output.warn("everything that you do from now on is recorded under this reason; end it with --end")
    output.finish(f"began break-glass session {session.id}")
