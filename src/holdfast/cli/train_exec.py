"""`holdfast train-exec`: a training command with a restore before it, saves beside it, and another start after it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from holdfast.cli.exit_codes import exit_codes
from holdfast.cli.help import Command
from holdfast.cli.options import DeclaredVaultOption, Json, NoVerify, Policy, Quiet, StoreOptions, pairs
from holdfast.cli.output import Output
from holdfast.errors import UsageError

if TYPE_CHECKING:
    from holdfast.training.executing.settings import Requeue

__all__ = ["add_to"]


class _Executing(Command):
    """Its argument is a command line of its own, and stands last."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        command, *options = super().collect_usage_pieces(ctx)
        return [*options, command]


def train_exec(
    context: typer.Context,
    command: Annotated[
        list[str], typer.Argument(metavar="-- CMD...", help="What trains: a program and its arguments.")
    ],
    asset: Annotated[
        str, typer.Option("--asset", metavar="NAME", help="The asset that the checkpoints are states of.")
    ],
    checkpoints: Annotated[
        str, typer.Option("--checkpoints", metavar="DIR", help="The folder that CMD writes checkpoints to, and reads.")
    ],
    vault: DeclaredVaultOption = None,
    replicate_to: Annotated[
        list[str] | None,
        typer.Option("--replicate-to", metavar="URL", help="Copy each snapshot there, too; repeatable."),
    ] = None,
    no_restore: Annotated[
        bool, typer.Option("--no-restore", help="Take nothing from the vault; only what lies in DIR counts.")
    ] = False,
    anew: Annotated[bool, typer.Option("--anew", help="Do not count earlier attempts.")] = False,
    requeue_on: Annotated[
        str,
        typer.Option(
            "--requeue-on",
            metavar="ENDS",
            help="Start again after these: exit codes, signals, kinds: 75,SIGKILL,GPU_ERROR; or any.",
        ),
    ] = "",
    requeue_by: Annotated[
        str,
        typer.Option(
            "--requeue-by",
            metavar="HOW",
            show_default=True,
            help="`auto` (Slurm in a job of it, else here), `place` (here), `slurm`, or `exit:CODE`.",
        ),
    ] = "auto",
    max_restarts: Annotated[
        int, typer.Option("--max-restarts", metavar="N", min=0, show_default=True, help="So often at most.")
    ] = 10,
    grace: Annotated[
        str,
        typer.Option("--grace", metavar="TIME", show_default=True, help="After SIGTERM, for CMD and the last save."),
    ] = "30s",
    save_signal: Annotated[
        str,
        typer.Option(
            "--save-signal", metavar="NAME", show_default=True, help="SIGUSR1 is passed on as that; `none`: it is not."
        ),
    ] = "USR1",
    save_wait: Annotated[
        str,
        typer.Option("--save-wait", metavar="TIME", show_default=True, help="After SIGUSR1, for a new checkpoint."),
    ] = "5m",
    after_notice: Annotated[
        str,
        typer.Option("--after-notice", metavar="WHAT", show_default=True, help="Then `continue`, `stop` or `requeue`."),
    ] = "continue",
    hang_after: Annotated[
        str,
        typer.Option("--hang-after", metavar="TIME", show_default=True, help="Without news from DIR; `auto`, `off`."),
    ] = "off",
    restart_hung: Annotated[
        bool, typer.Option("--restart-hung", help="End a command that hangs, and start it again.")
    ] = False,
    interval: Annotated[
        str, typer.Option("--interval", metavar="TIME", show_default=True, help="How often to look at DIR.")
    ] = "2s",
    settle: Annotated[
        str, typer.Option("--settle", metavar="TIME", show_default=True, help="How long a checkpoint must be quiet.")
    ] = "10s",
    pattern: Annotated[
        list[str] | None,
        typer.Option("--pattern", metavar="GLOB", help="Also protect files of such names; repeatable."),
    ] = None,
    policy: Policy = "warn",
    no_verify: NoVerify = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be done; start nothing.")] = False,
    events: Annotated[
        str | None, typer.Option("--events", metavar="FILE", help="Append what happens to FILE, as JSON lines.")
    ] = None,
    store_option: StoreOptions = None,
    to_store_option: Annotated[
        list[str] | None,
        typer.Option("--to-store-option", metavar="K=V", help="An option of the --replicate-to stores; repeatable."),
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Run CMD from the newest good checkpoint, save each that it completes, and start it again if it may be.

    Before CMD starts, the newest of what lies in DIR and what the vault holds is put where CMD's framework looks. While
    it runs, each complete checkpoint is saved, beside it and at low priority. SIGUSR1 asks for a checkpoint now,
    SIGTERM ends CMD and saves what can be saved in time. A run that gets nowhere falls back by one checkpoint, then
    stops. stdin, stdout and stderr are CMD's; with --json, one object per line on stderr says what happens.
    """
    from random import Random

    from holdfast.cli.views.train_exec import ExecTeller, plan_lines
    from holdfast.training.executing.asks import Place
    from holdfast.training.executing.commands.ends import Recoverable, parse_signal
    from holdfast.training.executing.settings import AfterNotice, Settings
    from holdfast.training.executing.supervising import Supervisor
    from holdfast.units import parse_duration

    output: Output = context.obj
    folder = Path(checkpoints).absolute()
    options = pairs(store_option, "--store-option")
    if vault is None and options:
        raise UsageError("--store-option needs --vault", hint="options of declared stores stand in holdfast.yaml")
    if policy not in ("warn", "refuse", "quarantine"):
        raise UsageError(f"{policy!r} is not a policy", hint="warn, refuse or quarantine")
    if after_notice not in {one.value for one in AfterNotice}:
        raise UsageError(f"{after_notice!r} is not what can follow", hint="continue, stop or requeue")
    how, code = _requeue(requeue_by)
    place = Place(
        asset=asset,
        folder=str(folder),
        vault=_absolute(vault or ""),
        options=options,
        replicas=[_absolute(url) for url in replicate_to or ()],
        replica_options=pairs(to_store_option, "--to-store-option"),
        patterns=pattern or [],
        policy=policy,
        verify=not no_verify,
    )
    settings = Settings(
        command=command,
        folder=folder,
        place=place,
        restore=not no_restore,
        anew=anew,
        interval=_positive(interval, "--interval"),
        settle=parse_duration(settle),
        grace=_positive(grace, "--grace"),
        save_signal=None if save_signal.lower() == "none" else parse_signal(save_signal),
        save_wait=parse_duration(save_wait),
        after_notice=AfterNotice(after_notice),
        recoverable=Recoverable.parse(requeue_on),
        requeue=how,
        requeue_code=code,
        max_restarts=max_restarts,
        hang_after=None if hang_after in ("auto", "off") else _positive(hang_after, "--hang-after"),
        hang_learned=hang_after == "auto",
        restart_hung=restart_hung,
    )
    if dry_run and not folder.is_dir():
        raise UsageError(f"there is no folder {folder}", hint="it is made by a run without --dry-run")
    if not dry_run:
        _make(folder)
    with ExecTeller(output, Path(events) if events is not None else None) as teller:
        supervisor = Supervisor(settings, teller, Random())  # noqa: S311 - jitter, no secret
        if dry_run:
            teller.data(plan_lines(settings, supervisor.plan()))
            output.finish("dry run: nothing was changed,")
            return
        ended = supervisor.run()
    if ended:
        raise typer.Exit(ended)


def _requeue(text: str) -> tuple[Requeue, int]:
    from holdfast.training.executing.settings import Requeue

    word, colon, number = text.partition(":")
    code = int(number) if number.isascii() and number.isdigit() and len(number) < 4 else 0
    known = {one.value: one for one in Requeue}
    if word not in known or (word == "exit") != bool(colon) or (word == "exit" and not 1 <= code <= 255):
        raise UsageError(f"{text!r} is no way to start again", hint="auto, place, slurm, or exit:CODE with 1 to 255")
    return known[word], code


def _positive(text: str, option: str) -> float:
    from holdfast.units import parse_duration

    seconds = parse_duration(text)
    if seconds <= 0:
        raise UsageError(f"{option} {text} is no time", hint="give more than nothing")
    return seconds


def _absolute(url: str) -> str:
    """A folder's path as it is meant here: other processes may be elsewhere."""
    return url if not url or ":" in url else str(Path(url).absolute())


def _make(folder: Path) -> None:
    from holdfast.errors import FailedError

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FailedError(f"folder {folder} cannot be made ({error.strerror})", object_name=str(folder)) from error


def add_to(app: typer.Typer) -> None:
    """Make the command part of the program."""
    app.command(
        "train-exec",
        cls=_Executing,
        context_settings={"allow_interspersed_args": False},
        epilog=exit_codes(
            2,
            8,
            _0="CMD's: others are passed on, too, and 128 + n for signal n",
            _1="failed before CMD ran",
            _3="not found: no such vault or program",
            _4="damage found: no snapshot of the asset can be restored; CMD did not run",
            _5="refused: starting again leads nowhere",
            _6="another train-exec is at work in DIR",
            _7="credentials: the vault has snapshots and this key cannot read them",
        ),
    )(train_exec)
