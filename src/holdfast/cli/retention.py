"""`holdfast retention`: what a policy would drop and thin, and doing it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from holdfast.cli.exit_codes import exit_codes
from holdfast.cli.help import Command, Group
from holdfast.cli.options import Json, Quiet, StoreOptions, VaultOption, pairs
from holdfast.cli.output import Output
from holdfast.cli.phrases import count
from holdfast.errors import UsageError

if TYPE_CHECKING:
    from holdfast.vault.retaining.planning import RetentionPlan
    from holdfast.vault.vault import Vault

__all__ = ["app"]

app = typer.Typer(
    cls=Group,
    help="Decide by a policy what is kept, and let the rest go.",
    rich_markup_mode=None,
    no_args_is_help=True,
)

_POLICY_HELP = "The policy: YAML, see docs/retention.md."


@app.command(
    cls=Command,
    epilog=exit_codes(
        0, 1, 4, 7, 8, _2="usage: the policy says what is not understood", _3=("not found: no such vault, or no FILE")
    ),
)
def plan(
    context: typer.Context,
    vault: VaultOption,
    policy: Annotated[str, typer.Option("--policy", metavar="FILE", help=_POLICY_HELP)],
    out: Annotated[
        str | None, typer.Option("--out", metavar="PLAN", help="Write the plan to this file, for `retention apply`.")
    ] = None,
    store_option: StoreOptions = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Show what the policy would drop and thin, why, and what that frees. Nothing in the vault changes."""
    from holdfast.cli.facts.retention import retention_plan_facts
    from holdfast.cli.views.retention import retention_plan_lines
    from holdfast.control.authority.guarding import guard
    from holdfast.control.vaults.opening import open_at
    from holdfast.control.vaults.retaining import read_policy, write_plan

    output: Output = context.obj
    rules = read_policy(Path(policy))
    opened = open_at(vault, options=pairs(store_option, "--store-option"), progress=output.progress)
    guard(opened, "retention.plan")
    made = opened.plan_retention(rules)
    if out is not None:
        write_plan(made, Path(out))
    record = retention_plan_facts(made, out)
    output.give(record, retention_plan_lines)
    for note in record.notes:
        output.warn(note)
    output.finish(f"planned {count(len(made.changes), 'change')}, {made.digest[:12]},")


@app.command(
    cls=Command,
    epilog=exit_codes(
        0,
        1,
        2,
        4,
        8,
        _3="not found: no such vault, or no such file",
        _5="refused: something that goes became protected meanwhile",
        _6="the vault changed since the plan was made: plan it again",
        _7="credentials or permission: this is not the keeper's key",
    ),
)
def apply(
    context: typer.Context,
    vault: VaultOption,
    plan: Annotated[str | None, typer.Argument(metavar="[PLAN]", help="What `retention plan --out` wrote.")] = None,
    policy: Annotated[
        str | None, typer.Option("--policy", metavar="FILE", help="Plan by this policy and apply at once; needs --yes.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="With --policy: nobody looks at the plan first.")] = False,
    store_option: StoreOptions = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Drop and thin what the plan says, if the vault is still as the plan saw it. `vault collect` frees the bytes.

    What the store keeps locked waits, and is named. An interrupted run goes on, and what waited goes after its lock,
    when the same PLAN is applied again. Needs the keeper's key.
    """
    from holdfast.cli.facts.retention import retention_applied_facts
    from holdfast.cli.views.retention import retention_applied_lines
    from holdfast.control.authority.guarding import guard
    from holdfast.control.vaults.opening import open_at

    output: Output = context.obj
    if (plan is None) == (policy is None):
        raise UsageError("apply takes a PLAN, or --policy FILE", hint="`holdfast retention plan --out PLAN` makes one")
    if policy is not None and not yes:
        raise UsageError("--policy without --yes", hint="look first: `holdfast retention plan --policy FILE`")
    opened = open_at(vault, options=pairs(store_option, "--store-option"), progress=output.progress)
    guard(opened, "retention.apply")
    made = _plan(opened, plan, policy)
    record = retention_applied_facts(made, opened.apply_retention(made))
    output.give(record, retention_applied_lines)
    waiting = f", {len(record.waiting)} wait for their locks" if record.waiting else ""
    changes = count(len(record.dropped) + len(record.thinned), "change")
    output.finish(f"applied {changes}{waiting}, {made.digest[:12]},")


def _plan(opened: Vault, plan: str | None, policy: str | None) -> RetentionPlan:
    from holdfast.control.vaults.retaining import read_plan, read_policy

    if plan is not None:
        return read_plan(Path(plan))
    if policy is None:
        raise AssertionError("one of them is given")
    return opened.plan_retention(read_policy(Path(policy)))
