"""`holdfast snapshot`: save, list, show, compare, verify, tag and drop."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from holdfast.cli.exit_codes import exit_codes
from holdfast.cli.fanning import FanoutOption, bulk_on
from holdfast.cli.help import Command, Group
from holdfast.cli.holding import add_to as add_holds
from holdfast.cli.options import DeclaredVaultOption, Json, NoVerify, Policy, Quiet, StoreOptions, VaultOption, pairs
from holdfast.cli.output import Output, no_collection
from holdfast.cli.phrases import count
from holdfast.cli.rota import verify_in_turn
from holdfast.errors import UsageError

__all__ = ["app"]

app = typer.Typer(
    cls=Group,
    help="Save snapshots, look at them, verify, tag and drop them.",
    rich_markup_mode=None,
    no_args_is_help=True,
)

Reference = Annotated[
    str,
    typer.Argument(
        metavar="REF",
        help="asset, asset@validated, asset@step=500, asset@2026-11-20T10:00Z, asset@TAG, or an id's start.",
    ),
]


@app.command(
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
)
def save(
    context: typer.Context,
    path: Annotated[str, typer.Argument(metavar="PATH", help="A file or a folder.")],
    asset: Annotated[str, typer.Option("--asset", metavar="NAME", help="The asset that this is a state of.")],
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
    sites before any pointer moves.
    """
    from holdfast.cli.declared import vault_for_saving
    from holdfast.control.authority.guarding import guard

    output: Output = context.obj
    facts, metrics = pairs(meta, "--meta"), _numbers(metric)
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
    report = opened.save(
        asset,
        Path(path),
        step=step,
        metadata=facts,
        tags=tags,
        policy=policy,
        verify=not no_verify,
        metrics=metrics,
        committed=committed,
    )
    record = saved_facts(report, opened.handle.clock.now_ns())
    output.give(record, saved_lines)
    if record.findings:
        output.warn(f"{count(len(record.findings), 'finding')}: `validated` did not move to this snapshot")
    state = "quarantined" if record.snapshot.verdict == "quarantined" else "saved"
    where = f" at {' and '.join(reached[0].sites)}" if reached else ""
    output.finish(f"{state} {record.snapshot.id}{where}")


def _numbers(given: list[str] | None) -> dict[str, float]:
    """`["loss=1.9", …]` → numbers. Raises UsageError."""
    found = {}
    for name, text in pairs(given, "--metric").items():
        try:
            found[name] = float(text)
        except ValueError as error:
            raise UsageError(f"--metric {name} needs a number", hint="for example --metric loss=1.9") from error
    return found


@app.command("list", cls=Command, epilog=exit_codes(0, 1, 2, 3, 7, 8, _4="damage found: some snapshots cannot be read"))
def list_(
    context: typer.Context,
    vault: VaultOption,
    asset: Annotated[str | None, typer.Option("--asset", metavar="NAME", help="Only those of this asset.")] = None,
    limit: Annotated[int | None, typer.Option("--limit", metavar="N", min=1, help="Only the newest N.")] = None,
    store_option: StoreOptions = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """List snapshots, oldest first. The beginning of an id is enough to refer to it."""
    from holdfast.cli.facts.lists import list_facts
    from holdfast.cli.views.snapshots import list_lines
    from holdfast.control.authority.guarding import guard
    from holdfast.control.vaults.opening import open_at

    output: Output = context.obj
    opened = open_at(vault, options=pairs(store_option, "--store-option"), progress=output.progress)
    guard(opened, "list", asset=asset)
    with no_collection():
        record = list_facts(opened, asset, limit)
        output.give(record, list_lines)
    hurt = f", {count(len(record.damaged), 'damaged object')}," if record.damaged else ""
    older = f" (and {record.older:,} older)" if record.older else ""
    output.finish(f"listed {count(len(record.snapshots), 'snapshot')}{older}{hurt}")
    if record.damaged:
        raise typer.Exit(4)


@app.command(cls=Command, epilog=exit_codes(0, 1, 2, 3, 4, 7, 8))
def show(
    context: typer.Context,
    ref: Reference,
    vault: VaultOption,
    tensors: Annotated[bool, typer.Option("--tensors", help="List tensors with dtype, shape and norm.")] = False,
    files: Annotated[bool, typer.Option("--files", help="List files, folders and links.")] = False,
    codecs: Annotated[
        bool, typer.Option("--codecs", help="Tell where the bytes went, and what a restore reads.")
    ] = False,
    store_option: StoreOptions = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Show everything about one snapshot: what was checked and found, what it is made of, what points to it."""
    from holdfast.cli.facts.snapshots import shown_facts
    from holdfast.cli.views.bars import strokes_for
    from holdfast.cli.views.shown import shown_lines
    from holdfast.control.authority.guarding import guard
    from holdfast.control.vaults.opening import open_at

    output: Output = context.obj
    opened = open_at(vault, options=pairs(store_option, "--store-option"), progress=output.progress)
    ref = guard(opened, "show", reference=ref).reference
    record = shown_facts(opened, opened.find(ref), tensors=tensors, files=files, codecs=codecs)
    output.give(record, partial(shown_lines, strokes=strokes_for(sys.stdout)))
    output.finish(f"showed {record.snapshot.id}")


@app.command(cls=Command, epilog=exit_codes(0, 1, 2, 3, 4, 7, 8))
def diff(
    context: typer.Context,
    before: Annotated[str, typer.Argument(metavar="A", help="A snapshot, as for `show`.")],
    after: Annotated[str, typer.Argument(metavar="B", help="The snapshot to compare with it.")],
    vault: VaultOption,
    store_option: StoreOptions = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Compare two snapshots: files, tensors and their norms, facts. Reads manifests only."""
    from holdfast.cli.facts.differences import diff_facts
    from holdfast.cli.views.differences import diff_lines
    from holdfast.control.authority.guarding import guard
    from holdfast.control.vaults.opening import open_at

    output: Output = context.obj
    opened = open_at(vault, options=pairs(store_option, "--store-option"), progress=output.progress)
    before, after = (guard(opened, "diff", reference=one).reference for one in (before, after))
    record = diff_facts(opened.diff(before, after))
    output.give(record, diff_lines)
    output.finish(f"compared {record.before.id} with {record.after.id}")


@app.command(
    cls=Command,
    epilog=exit_codes(
        1,
        2,
        3,
        6,
        7,
        8,
        _0="it is good",
        _4="damage found: the message names it",
        _5="refused: with --fanout, a machine sees another vault",
    ),
)
def verify(
    context: typer.Context,
    vault: VaultOption,
    ref: Annotated[str, typer.Argument(metavar="[REF]", help="A snapshot, as for `show`; not with --rota.")] = "",
    accept_findings: Annotated[
        bool, typer.Option("--accept-findings", help="Let `validated` move to it in spite of what was found at save.")
    ] = False,
    deep: Annotated[
        bool, typer.Option("--deep", help="Compare statistics and headers with what the manifest says of them, too.")
    ] = False,
    rota: Annotated[bool, typer.Option("--rota", help="Verify those that most need it, and name none.")] = False,
    budget: Annotated[
        str | None, typer.Option("--budget", metavar="SIZE", help="With --rota: read back so much: 10GiB.")
    ] = None,
    number: Annotated[
        int | None, typer.Option("--count", metavar="N", min=1, help="With --rota: verify so many.")
    ] = None,
    worth: Annotated[
        list[str] | None,
        typer.Option("--worth", metavar="ASSET=N", help="With --rota: how much an asset matters (1); repeatable."),
    ] = None,
    replica: Annotated[
        list[str] | None,
        typer.Option("--replica", metavar="URL", help="With --rota: what is there, too, is less urgent; repeatable."),
    ] = None,
    fanout: FanoutOption = "threads",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="With --rota: show the order and why; read nothing.")
    ] = False,
    store_option: StoreOptions = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Read a snapshot back from the store, all of it, and compare it with what was saved.

    If it is good and the newest to be so, `validated` moves to it. A snapshot with findings moves it only with
    --accept-findings. With --rota, snapshots are verified in the order of worth x age of the last proof / copies.
    """
    from holdfast.cli.facts.snapshots import verified_facts
    from holdfast.cli.views.snapshots import verified_lines
    from holdfast.control.authority.guarding import guard
    from holdfast.control.vaults.opening import open_at

    output: Output = context.obj
    options = pairs(store_option, "--store-option")
    opened = open_at(vault, options=options, progress=output.progress)
    ref = guard(opened, "verify", reference=ref or None).reference
    if rota != (not ref) or (rota and (deep or accept_findings)):
        raise UsageError("verify takes a snapshot or --rota", hint="--deep and --accept-findings are for one snapshot")
    if fanout != "threads" and (rota or deep):
        raise UsageError("--fanout is for reading one snapshot back, without --rota and --deep")
    if not rota and (budget or number or worth or replica or dry_run):
        raise UsageError("--budget, --count, --worth, --replica and --dry-run are for --rota")
    if rota:
        verify_in_turn(
            output, opened, worth=worth, budget=budget, count=number, replicas=replica or (), dry_run=dry_run
        )
        return
    bulk = bulk_on(fanout, output)
    reading = None
    if bulk is not None:
        from holdfast.control.bulk.spreading import place_at

        reading = bulk.reading(opened, place_at(opened.handle.store, options))
    report = opened.verify(ref, accept_findings=accept_findings, deep=deep, reading=reading)
    record = verified_facts(opened, report, deep=deep, bulk=bulk)
    output.give(record, verified_lines)
    if record.deep:
        output.finish(f"verified {record.snapshot.id}: its manifest and its bytes differ,")
        raise typer.Exit(4)
    if record.findings and not record.validated:
        output.warn("`validated` did not move: --accept-findings would move it")
    output.finish(f"verified {record.snapshot.id}: it is what was saved,")


@app.command(cls=Command, epilog=exit_codes(0, 1, 2, 3, 4, 6, 7, 8))
def tag(
    context: typer.Context,
    ref: Reference,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The tag: asset@NAME then refers to the snapshot.")],
    vault: VaultOption,
    remove: Annotated[bool, typer.Option("--remove", help="Take the tag off again.")] = False,
    store_option: StoreOptions = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Give a snapshot a tag. A tag is on one snapshot of an asset at a time. A tagged snapshot is not dropped."""
    from holdfast.cli.facts.plans import tagged_facts
    from holdfast.cli.views.snapshots import tagged_lines
    from holdfast.control.authority.guarding import guard
    from holdfast.control.snapshots.tagging import change_tag
    from holdfast.control.vaults.opening import open_at

    output: Output = context.obj
    opened = open_at(vault, options=pairs(store_option, "--store-option"), progress=output.progress)
    ref = guard(opened, "tag", reference=ref).reference
    record = tagged_facts(change_tag(opened, ref, name, remove=remove))
    output.give(record, tagged_lines)
    output.finish(f"{'removed the tag from' if remove else 'tagged'} {record.snapshot}")


@app.command(
    cls=Command,
    epilog=exit_codes(0, 1, 2, 3, 4, 6, 7, 8, _5="refused: it is tagged, or it is what `validated` points to"),
)
def drop(
    context: typer.Context,
    ref: Reference,
    vault: VaultOption,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would happen; change nothing.")] = False,
    store_option: StoreOptions = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Drop a snapshot, for good. Its data stays until it is collected, and as long as another snapshot needs it.

    Needs the keeper's key. The newest validated snapshot and tagged ones are never dropped.
    """
    from holdfast.cli.facts.plans import dropped_facts
    from holdfast.cli.views.snapshots import dropped_lines
    from holdfast.control.authority.guarding import guard
    from holdfast.control.vaults.opening import open_at

    output: Output = context.obj
    opened = open_at(vault, options=pairs(store_option, "--store-option"), progress=output.progress)
    ref = guard(opened, "drop", reference=ref).reference
    plan = opened.plan_drop(ref)
    if not dry_run:
        opened.apply_drop(plan)
    record = dropped_facts(plan, dry_run=dry_run)
    output.give(record, dropped_lines)
    output.finish("dry run: nothing was changed," if dry_run else f"dropped {record.snapshot.id}")


@app.command(cls=Command, epilog=exit_codes(0, 1, 2, 3, 4, 6, 7, 8))
def quarantine(
    context: typer.Context,
    ref: Reference,
    vault: VaultOption,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why: whoever finds it aside reads this.")],
    store_option: StoreOptions = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Set a snapshot aside: nothing but its id (or a tag) refers to it, and asset@validated is the good one before it.

    Needs a key that writes; one that cannot read names the snapshot as ASSET@ID.
    """
    from holdfast.cli.facts.quarantines import quarantined_facts
    from holdfast.cli.views.quarantines import quarantined_lines
    from holdfast.control.authority.guarding import guard
    from holdfast.control.vaults.opening import open_at

    output: Output = context.obj
    opened = open_at(vault, options=pairs(store_option, "--store-option"), progress=output.progress)
    ref = guard(opened, "quarantine", reference=ref).reference
    record = quarantined_facts(opened.quarantine(ref, reason))
    output.give(record, quarantined_lines)
    output.finish(f"quarantined {record.snapshot}")


@app.command(cls=Command, epilog=exit_codes(0, 1, 2, 4, 6, 7, 8, _3="not found: no such snapshot, or it is not aside"))
def release(
    context: typer.Context,
    ref: Reference,
    vault: VaultOption,
    store_option: StoreOptions = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Take back that a snapshot was quarantined by hand, or demoted. Verifying it then moves `validated` to it.

    Needs a key that writes; one that cannot read names the snapshot as ASSET@ID.
    """
    from holdfast.cli.facts.quarantines import released_facts
    from holdfast.cli.views.quarantines import released_lines
    from holdfast.control.authority.guarding import guard
    from holdfast.control.vaults.opening import open_at

    output: Output = context.obj
    opened = open_at(vault, options=pairs(store_option, "--store-option"), progress=output.progress)
    ref = guard(opened, "release", reference=ref).reference
    record = released_facts(opened.release(ref))
    output.give(record, released_lines)
    output.finish(f"released {record.snapshot}")


add_holds(app)
