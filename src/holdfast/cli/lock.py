"""`holdfast lock`: snapshots that nobody can destroy for a time, and the way back after an attack."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from holdfast.cli.exit_codes import exit_codes
from holdfast.cli.help import Command, Group
from holdfast.cli.lock_past import add_to as add_past
from holdfast.cli.lock_past import parse_time
from holdfast.cli.options import Json, Quiet, StoreOptions, VaultOption, pairs
from holdfast.cli.output import Output
from holdfast.cli.phrases import count
from holdfast.errors import ConflictError, RefusedError, UsageError
from holdfast.units import format_duration

__all__ = ["app"]

app = typer.Typer(
    cls=Group,
    help="Lock snapshots against everybody, and go back to before an attack.",
    rich_markup_mode=None,
    no_args_is_help=True,
)


@app.command(
    "set",
    cls=Command,
    epilog=exit_codes(
        1,
        2,
        3,
        8,
        _0="set, and everything there is locked",
        _4="some snapshots are damaged, or could not be locked: the output names them",
        _5="refused: this store cannot lock objects",
        _7="credentials or permission: this is not the keeper's key",
    ),
)
def set_(
    context: typer.Context,
    vault: VaultOption,
    period: Annotated[
        str | None,
        typer.Argument(metavar="[PERIOD]", help="30d, 30d:governance or 90d:compliance; or off, for what follows."),
    ] = None,
    from_policy: Annotated[
        str | None,
        typer.Option("--from-policy", metavar="FILE", help="Lock also for as long as this retention policy keeps."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be locked until when; set nothing.")] = (
        False
    ),
    store_option: StoreOptions = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Lock what the vault holds at this store, and all that will be saved, for PERIOD.

    With --from-policy each snapshot is locked for as long as the policy keeps it (docs/immutability.md has the rule),
    and for PERIOD at least, by default 30d or what the policy promises, if that is less. `lock extend` then keeps
    locks up with the policy. A lock never ends early by `off`: that is for what is saved later. Under compliance nobody
    can end it, you included. Needs the keeper's key, and a bucket that was made with object lock.
    """
    from holdfast.cli.facts.locks import lock_planned_facts, lock_set_facts
    from holdfast.cli.views.locks import lock_set_lines
    from holdfast.control.audit.audited_vault import recorded_on
    from holdfast.control.authority.guarding import guard
    from holdfast.control.vaults.locking import open_locked, period_of, plan_lock, set_lock, weakens
    from holdfast.control.vaults.retaining import read_policy
    from holdfast.objectives.lock_terms import longest_promise

    output: Output = context.obj
    policy = read_policy(Path(from_policy)) if from_policy is not None else None
    chosen = period_of(period, policy)
    longest = longest_promise(policy) if policy is not None else 0.0
    said = period or "off"
    if chosen is not None:
        said = f"{format_duration(chosen.seconds)}, {chosen.mode.value}" if period is None else period
        said += f", by {from_policy}" if policy is not None else ""
    opened = open_locked(vault, options=pairs(store_option, "--store-option"), progress=output.progress)
    if dry_run:
        if chosen is None:
            raise UsageError("there is nothing to show of `off`", hint="leave --dry-run away")
        guard(opened, "vault.info")
        planned = lock_planned_facts(opened, plan_lock(opened, chosen, policy), longest)
        output.give(planned, lock_set_lines)
        output.finish(f"would set the lock to {said}; nothing was changed,")
        return
    action = "unlock" if weakens(opened, chosen, policy) else "lock"
    guard(opened, action)
    with recorded_on(opened, action, objects={"period": period or f"{chosen.seconds:.0f}s" if chosen else "off"}):
        setting, done = set_lock(opened, chosen, policy)
    record = lock_set_facts(opened, setting, done, longest)
    output.give(record, lock_set_lines)
    output.finish(f"set the lock of vault {record.vault} to {said}")
    if record.locked is not None and (record.locked.failures or record.locked.unreadable):
        raise typer.Exit(4)


@app.command(
    cls=Command,
    epilog=exit_codes(
        1,
        2,
        3,
        7,
        8,
        _0="every snapshot is locked now",
        _5="refused: this store cannot lock objects",
        _9="not met: some snapshot could be destroyed, the table says which",
    ),
)
def show(
    context: typer.Context,
    vault: VaultOption,
    store_option: StoreOptions = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Show until when each snapshot is locked, with all that it needs, as the store itself says.

    Asks for the lock of every object that a snapshot reaches: a request for each. Needs a key that reads.
    """
    from holdfast.cli.facts.locks import locks_facts
    from holdfast.cli.views.locks import locks_lines
    from holdfast.control.authority.guarding import guard
    from holdfast.control.vaults.locking import open_locked, show_locks

    output: Output = context.obj
    opened = open_locked(vault, options=pairs(store_option, "--store-option"), progress=output.progress)
    guard(opened, "vault.info")
    record = locks_facts(opened, show_locks(opened))
    output.give(record, locks_lines)
    if record.overwritten:
        output.warn(f"{count(len(record.overwritten), 'object')} with several versions: an attack, or a repair")
    if record.hidden:
        output.warn(f"{count(len(record.hidden), 'object')} hidden while locked: an attack, or a recovery's doing")
    output.finish(f"{len(record.snapshots) - record.unprotected} of {count(len(record.snapshots), 'snapshot')} locked,")
    if record.unprotected:
        raise typer.Exit(9)


@app.command(
    cls=Command,
    epilog=exit_codes(
        1,
        2,
        3,
        7,
        8,
        _0="every snapshot is locked",
        _4="some snapshots are damaged, or could not be locked: the output names them",
        _5="refused: the vault has no lock setting, or the store cannot lock objects",
    ),
)
def extend(
    context: typer.Context,
    vault: VaultOption,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what is wanted, and why; lock nothing.")] = False,
    store_option: StoreOptions = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Lock what is not locked, and renew what has less than half of the period left: run it every day.

    Where the lock was set from a policy, it says for how long, and what it lets go is not renewed. Needs a key that
    reads, and the store's permission to lock. Never shortens a lock.
    """
    from holdfast.cli.facts.locks import extended_facts, extension_planned_facts
    from holdfast.cli.views.locks import locks_extended_lines
    from holdfast.control.audit.audited_vault import recorded_on
    from holdfast.control.authority.guarding import guard
    from holdfast.control.vaults.locking import extend_vault_locks, open_locked, show_locks

    output: Output = context.obj
    opened = open_locked(vault, options=pairs(store_option, "--store-option"), progress=output.progress)
    if dry_run:
        guard(opened, "vault.info")
        report = show_locks(opened)
        if report.setting is None:
            raise RefusedError("this vault has no lock setting", hint="set one: `holdfast lock set 30d --vault URL`")
        output.give(extension_planned_facts(opened, report), locks_extended_lines)
        short = sum(one.is_short for one in report.snapshots)
        output.finish(f"{count(short, 'snapshot')} to lock for longer; nothing was changed,")
        return
    guard(opened, "lock")
    with recorded_on(opened, "lock", objects={"change": "extended"}):
        done = extend_vault_locks(opened)
    record = extended_facts(opened, done)
    output.give(record, locks_extended_lines)
    if record.hidden:
        output.warn(f"{count(len(record.hidden), 'snapshot')} hidden while locked: look with `holdfast lock moments`")
    output.finish(f"extended the locks of {count(record.snapshots, 'snapshot')}")
    if record.failures or record.unreadable:
        raise typer.Exit(4)


@app.command(
    cls=Command,
    epilog=exit_codes(
        0,
        1,
        2,
        7,
        8,
        _3="not found: there was no vault at that time",
        _4="something stays damaged: the output names it",
        _5="refused: this store keeps no versions",
        _6="the plan is another one by now, or somebody still writes: plan again",
    ),
)
def recover(
    context: typer.Context,
    vault: VaultOption,
    before: Annotated[
        str, typer.Option("--before", metavar="TIME", help="A time before the attack: 2026-11-20T10:00Z.")
    ],
    apply: Annotated[
        str | None, typer.Option("--apply", metavar="DIGEST", help="Carry out the plan that had this digest.")
    ] = None,
    store_option: StoreOptions = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Go back to what the vault held at TIME, by the store's clock: first the plan, then, with --apply, for real.

    Overwritten and deleted objects come back from older versions; what was added since is hidden. Nothing is destroyed.
    Take the attacker's credentials away first. The vault need not open as it is now. `lock moments` finds a TIME.
    """
    from holdfast.cli.facts.locks import recovery_facts
    from holdfast.cli.views.locks import recovery_lines
    from holdfast.control.audit.audited_vault import audited, recorded_on
    from holdfast.control.authority.guarding import guard
    from holdfast.control.vaults.locking import go_back, lock_again, plan_going_back
    from holdfast.stores.retention.opening import open_lockable
    from holdfast.vault.handle import Handle
    from holdfast.vault.vault import Vault

    output: Output = context.obj
    before_ns = parse_time(before)
    options = pairs(store_option, "--store-option")
    store = open_lockable(vault, options=options, note=output.progress.note)
    planned = plan_going_back(store, before_ns, progress=output.progress)
    past = audited(planned.past)
    guard(past, "vault.info" if apply is None else "versions.recover", logs=())
    done = extended = None
    if apply is not None:
        if apply != planned.plan.digest:
            raise ConflictError("the plan is another one by now", hint="look at it again, without --apply")
        done = go_back(store, planned, output.progress)
        extended = lock_again(store, planned, output.progress)
        back = audited(Vault(Handle(store, past.handle.keys, past.handle.clock, output.progress)))
        with recorded_on(back, "versions.recover", objects={"plan": apply, "before": before}):
            pass  # into the log that came back: the one of a moment ago may be the attacker's
    record = recovery_facts(planned.plan, done, extended)
    output.give(record, recovery_lines)
    if done is None:
        output.say(f"to do it: holdfast lock recover --before {before} --apply {record.digest} …")
        output.finish(f"planned {count(len(record.steps), 'step')}, nothing was changed,")
    else:
        output.finish(f"went back to {record.before}: {count(done.restored, 'object')} restored")
    if record.damages or (done is not None and done.failures):
        raise typer.Exit(4)


add_past(app)
