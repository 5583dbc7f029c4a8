"""`holdfast snapshot save`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from holdfast.cli.exit_codes import exit_codes
from holdfast.cli.help import Command
from holdfast.cli.options import DeclaredVaultOption, Json, NoVerify, Policy, Quiet, StoreOptions, pairs
from holdfast.cli.output import Output
from holdfast.cli.phrases import count
from holdfast.errors import UsageError

if TYPE_CHECKING:
    from holdfast.training.groups.declared import DeclaredGroup
    from holdfast.vault.vault import SaveReport, Vault

__all__ = ["add_to"]


def save(
    context: typer.Context,
    path: Annotated[str, typer.Argument(metavar="[PATH]", help="A file or a folder; not with --group.")] = "",
    asset: Annotated[
        str | None, typer.Option("--asset", metavar="NAME", help="The asset that this is a state of; needed for PATH.")
    ] = None,
    group: Annotated[
        str | None, typer.Option("--group", metavar="NAME", help="All assets of this group of holdfast.yaml, as one.")
    ] = None,
    vault: DeclaredVaultOption = None,
    step: Annotated[int | None, typer.Option("--step", metavar="N", help="The training step.")] = None,
    meta: Annotated[
        list[str] | None, typer.Option("--meta", metavar="K=V", help="A fact to keep with it; repeatable.")
    ] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option("--metric", metavar="K=N", help="A number to keep and to watch, like loss=1.9; repeatable."),
    ] = None,
    tag: Annotated[list[str] | None, typer.Option("--tag", metavar="T", help="A name for it; repeatable.")] = None,
    policy: Policy = "warn",
    no_verify: NoVerify = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be read; write nothing.")] = False,
    store_option: StoreOptions = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Save a file or a folder as a new snapshot, and read it back.

    Only what the vault lacks is stored. `validated` moves to the snapshot when it was read back and nothing was found
    wrong with it (NaN, changed shapes, missing tensors, norms that jump, weights or a loss unlike the last snapshots').
    Without --vault it is saved as holdfast.yaml declares the asset: at its home, and if its class owes that, at other
    sites before any pointer moves. With --group, hooks run, all its members are cut at one moment, and saved as one.
    """
    from holdfast.cli.declared import vault_for_saving
    from holdfast.control.authority.guarding import guard

    output: Output = context.obj
    facts, metrics = pairs(meta, "--meta"), _numbers(metric)
    if group is not None:
        if path or asset is not None or dry_run:
            raise UsageError("--group says what is saved: PATH, --asset and --dry-run are for one asset")
    elif not path or asset is None:
        raise UsageError("save takes a PATH and its --asset, or a --group", hint="see `holdfast snapshot save --help`")
    declared = _declared(group) if group is not None else None
    asset = declared.asset if declared is not None else asset
    assert asset is not None
    opened, committed, reached = vault_for_saving(vault, asset, pairs(store_option, "--store-option"), output)
    guard(opened, "save", asset=asset)
    if dry_run:
        from holdfast.cli.facts.plans import save_plan_facts
        from holdfast.cli.views.snapshots import planned_lines
        from holdfast.control.snapshots.save_plans import plan_save

        output.give(save_plan_facts(plan_save(opened, asset, Path(path))), planned_lines)
        output.finish("dry run: nothing was written,")
        return
    from holdfast.cli.facts.snapshots import saved_facts
    from holdfast.cli.views.snapshots import saved_lines

    tags = tag or []
    said: dict[str, Any] = {
        "metadata": facts,
        "tags": tags,
        "policy": policy,
        "verify": not no_verify,
        "metrics": metrics,
        "committed": committed,
    }
    if declared is not None:
        report = _save_group(opened, declared, step, said, output)
    else:
        report = opened.save(asset, Path(path), step=step, **said)
    record = saved_facts(report, opened.handle.clock.now_ns())
    output.give(record, saved_lines)
    if record.findings:
        output.warn(f"{count(len(record.findings), 'finding')}: `validated` did not move to this snapshot")
    state = "quarantined" if record.snapshot.verdict == "quarantined" else "saved"
    where = f" at {' and '.join(reached[0].sites)}" if reached else ""
    output.finish(f"{state} {record.snapshot.id}{where}")


def _declared(group: str) -> DeclaredGroup:
    from holdfast.config.finding import load_config
    from holdfast.training.groups.declared import declared_group

    return declared_group(load_config(), group)


def _save_group(
    opened: Vault, declared: DeclaredGroup, step: int | None, said: dict[str, Any], output: Output
) -> SaveReport:
    """Hold, cut, release, save. A hook that could not release is told loudly: what it holds may still be held."""
    from holdfast.training.groups.saving import save_group

    at = declared.step if step is None else step
    done = save_group(
        opened,
        declared.asset,
        declared.members,
        hooks=declared.hooks,
        hold_seconds=declared.hold_seconds,
        staging=declared.staging,
        circumstances=declared.circumstances(at),
        step=at,
        **said,
    )
    for run in done.unreleased:
        output.warn(f"hook {run.hook} failed after the cut: {run.why}; look whether what it holds is free")
    return done.report


def _numbers(given: list[str] | None) -> dict[str, float]:
    """`["loss=1.9", …]` → numbers. Raises UsageError."""
    found = {}
    for name, text in pairs(given, "--metric").items():
        try:
            found[name] = float(text)
        except ValueError as error:
            raise UsageError(f"--metric {name} needs a number", hint="for example --metric loss=1.9") from error
    return found


def add_to(app: typer.Typer) -> None:
    """Make it part of the noun."""
    app.command(
        cls=Command,
        epilog=exit_codes(
            0,
            1,
            2,
            7,
            8,
            _3="not found: no such vault or PATH",
            _4="damage found: it did not read back as saved",
            _5="refused: validation found something and the policy is `refuse`",
            _6="lost a race: save again",
            _9="objective not met: fewer sites have it than holdfast.yaml says",
        ),
    )(save)
