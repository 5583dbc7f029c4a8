"""`holdfast config`: what holdfast.yaml declares."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from holdfast.cli.config_options import ConfigFile
from holdfast.cli.exit_codes import exit_codes
from holdfast.cli.help import Command, Group
from holdfast.cli.options import Json, Quiet
from holdfast.cli.output import Output
from holdfast.cli.phrases import count
from holdfast.errors import NotFoundError

__all__ = ["app"]

app = typer.Typer(cls=Group, help="What holdfast.yaml declares.", rich_markup_mode=None, no_args_is_help=True)


@app.command(
    cls=Command,
    epilog=exit_codes(0, 1, _2="something is wrong with the file", _3="no such file", _5="found, but somebody else's",
                      _7="the file may not be read"),
)  # fmt: skip
def check(
    context: typer.Context,
    file: Annotated[
        str | None,
        typer.Argument(metavar="FILE", help="By default HOLDFAST_CONFIG, else holdfast.yaml here or above."),
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Read holdfast.yaml, and say everything that is wrong with it: file, line, and a sentence. Nothing is contacted.

    A placement that a rule forbids (jurisdiction, copies in one failure domain, stripes over too few sites) is wrong,
    and so is a promise that cannot be kept.
    """
    from holdfast.cli.facts.configs import config_checked_facts
    from holdfast.cli.views.configs import config_checked_lines
    from holdfast.config.finding import find_config, read_config_file
    from holdfast.config.parsing import check_config

    output: Output = context.obj
    path = Path(file) if file is not None else find_config(os.environ)
    record = config_checked_facts(str(path), check_config(read_config_file(path), str(path)))
    output.give(record, config_checked_lines)
    output.finish(f"checked {path}: {count(len(record.problems), 'problem')},")
    if record.problems:
        raise typer.Exit(2)


@app.command(
    cls=Command,
    epilog=exit_codes(0, 1, _2="something is wrong with the file", _3="no such file or asset",
                      _5="found, but somebody else's", _7="the file may not be read"),
)  # fmt: skip
def show(
    context: typer.Context,
    asset: Annotated[
        str | None, typer.Option("--asset", metavar="NAME", help="Only this one: each value, and whence it comes.")
    ] = None,
    config: ConfigFile = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Show what counts in the end: sites, and for each asset its objectives and where it lies."""
    from holdfast.cli.facts.configs import config_shown_facts
    from holdfast.cli.views.configs import config_asset_lines, config_shown_lines
    from holdfast.config.finding import load_config
    from holdfast.config.values import nearest

    output: Output = context.obj
    loaded = load_config(config)
    if asset is not None and asset not in loaded.config.assets:
        raise NotFoundError(
            f"{loaded.path} has no asset {asset!r}{nearest(asset, loaded.config.assets)}",
            hint="`holdfast config show` lists those that there are",
        )
    record = config_shown_facts(loaded, [asset] if asset is not None else [])
    output.give(record, config_asset_lines if asset is not None else config_shown_lines)
    output.finish(f"showed {count(len(record.assets), 'asset')} of {loaded.path}")


@app.command(cls=Command, epilog=exit_codes(0, 1, 2))
def schema(context: typer.Context, json: Json = False, quiet: Quiet = False) -> None:
    """Print the JSON Schema of holdfast.yaml, for editors and other programs."""
    from holdfast.cli.schemas.configs import ConfigSchema
    from holdfast.config.schema import config_schema, schema_text

    output: Output = context.obj
    output.give(ConfigSchema(definition=config_schema()), lambda record, page: schema_text().splitlines())
    output.finish("printed the schema")
