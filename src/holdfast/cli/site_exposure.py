"""`holdfast site exposure`: what would have been lost with a site, over time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from holdfast.cli.exit_codes import exit_codes
from holdfast.cli.help import Command
from holdfast.cli.options import Json, Quiet
from holdfast.cli.site_options import ConfigOption, open_declared

if TYPE_CHECKING:
    from holdfast.cli.output import Output

__all__ = ["add_to"]


def exposure(
    context: typer.Context,
    asset: Annotated[
        str | None, typer.Argument(metavar="[ASSET]", help="An asset of the file; by default all of them.")
    ] = None,
    site: Annotated[
        str, typer.Option("--site", metavar="SITE", help="If this site were lost; by default the worst of all.")
    ] = "",
    since: Annotated[
        str | None, typer.Option("--since", metavar="TIME", help="Only the last 90min, 24h, 7d …; by default all.")
    ] = None,
    svg: Annotated[
        Path | None, typer.Option("--svg", metavar="FILE", help="Write the chart to this file, too, replacing it.")
    ] = None,
    plain: Annotated[bool, typer.Option("--plain", help="Draw with ASCII; so does NO_COLOR.")] = False,
    config: ConfigOption = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Draw how much would have been lost with a site, as rounds of `site sync` on this machine saw it.

    Each column is a stretch of time, its height the worst moment in it. The line is what the asset owes. Asks no store.
    """
    import os
    import sys
    from functools import partial

    from holdfast.cli.facts.exposures import site_exposure_facts
    from holdfast.cli.views.bars import ASCII as NO_BLOCKS
    from holdfast.cli.views.bars import strokes_for
    from holdfast.cli.views.exposures import ASCII, BLOCKS, site_exposure_lines
    from holdfast.clock import NANOSECONDS
    from holdfast.control.sites.exposed import exposure_histories
    from holdfast.errors import FailedError
    from holdfast.units import parse_duration

    output: Output = context.obj
    sites = open_declared(config, output, ask=False)
    now = sites.clock.now_ns()
    begin = None if since is None else now - int(parse_duration(since) * NANOSECONDS)
    names = [asset] if asset is not None else list(sites.assets)
    try:
        histories = exposure_histories(sites, names, site=site, since_ns=begin or 0)
    except OSError as error:
        raise FailedError(f"what was recorded cannot be read ({error.strerror})") from error
    record = site_exposure_facts(histories, begin, now, "" if svg is None else str(svg))
    if svg is not None:
        from holdfast.cli.views.exposures_svg import exposure_svg

        try:
            svg.write_text(exposure_svg(record), "utf-8")
        except OSError as error:
            raise FailedError(f"{svg} cannot be written ({error.strerror})", object_name=str(svg)) from error
    narrow = plain or bool(os.environ.get("NO_COLOR")) or strokes_for(sys.stdout) is NO_BLOCKS
    output.give(record, partial(site_exposure_lines, ink=ASCII if narrow else BLOCKS))
    missed = [one for one in record.assets if one.missed_seconds]
    said = f"{len(missed)} of {len(record.assets)} were exposed by more than they owe,"
    output.finish(f"wrote {svg}; {said}" if svg is not None else said)


def add_to(app: typer.Typer) -> None:
    """Make the command part of the program."""
    app.command(
        cls=Command,
        epilog=exit_codes(0, 1, 2, 5, _3="not found: no holdfast.yaml, no such asset or site"),
    )(exposure)
