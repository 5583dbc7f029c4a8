"""`holdfast catalog`: what is known of the sites, in a database that is made by looking and may be lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from holdfast.cli.exit_codes import exit_codes
from holdfast.cli.help import Command, Group
from holdfast.cli.options import Json, Quiet
from holdfast.cli.output import Output
from holdfast.cli.phrases import count
from holdfast.cli.site_options import ConfigOption, open_declared

if TYPE_CHECKING:
    from holdfast.control.cataloguing.filling import Cataloguing

__all__ = ["app"]

app = typer.Typer(
    cls=Group,
    help="See what is known of all sites at once, without asking them.",
    rich_markup_mode=None,
    no_args_is_help=True,
)

PlaceOption = Annotated[
    str | None,
    typer.Option(
        "--catalog",
        metavar="PLACE",
        envvar="HOLDFAST_CATALOG",
        show_envvar=True,
        help="A file, or postgresql://USER@HOST/NAME; by default a file in the state folder.",
    ),
]
_FILLING = {
    "_1": "failed: no space is left for it, or the extra is missing",
    "_3": "not found: no holdfast.yaml, no vault",
    "_4": "damage found: the database, where it cannot be set aside",
    "_6": "another process writes it all the time",
    "_8": "a store, or the database, does not answer; the output names it",
}


@app.command(cls=Command, epilog=exit_codes(0, 2, 5, 7, **_FILLING))
def update(
    context: typer.Context,
    catalog: PlaceOption = None,
    config: ConfigOption = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Take in what is new at the stores that holdfast.yaml declares. Makes the catalog where there is none.

    Stores are listed, and only what is new is read. A store that does not answer keeps its rows, marked with that.
    """
    _fill(context.obj, catalog, config, afresh=False)


@app.command(cls=Command, epilog=exit_codes(0, 2, 5, 7, **_FILLING))
def rebuild(
    context: typer.Context,
    catalog: PlaceOption = None,
    config: ConfigOption = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Make the catalog anew, from the sites alone: the same rows that updates made, whatever was in it.

    A file that is damaged is set aside. Of a store that does not answer nothing is known afterwards.
    """
    _fill(context.obj, catalog, config, afresh=True)


@app.command(
    cls=Command,
    epilog=exit_codes(
        0,
        1,
        2,
        5,
        7,
        8,
        _3="not found: no holdfast.yaml, no catalog",
        _4="damage found: in the catalog; rebuild it",
    ),
)
def status(
    context: typer.Context,
    catalog: PlaceOption = None,
    config: ConfigOption = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Show what the catalog holds, how old it is, and how many objectives are met by it. Asks no store.

    Nothing is decided from it: a recovery asks the stores before it plans.
    """
    from holdfast.cli.facts.catalogs import status_facts
    from holdfast.cli.views.catalogs import catalog_status_lines
    from holdfast.clock import SYSTEM_CLOCK

    output: Output = context.obj
    known = _opened(output, catalog, config)
    record = status_facts(known.place, known.overview(), known.standings(), SYSTEM_CLOCK.now_ns())
    output.give(record, catalog_status_lines)
    silent = sum(bool(one.problem) for one in record.stores)
    output.finish(f"{count(record.rows['assets'], 'asset')}, {count(silent, 'store')} without an answer,")


@app.command(
    cls=Command,
    epilog=exit_codes(
        0,
        1,
        2,
        5,
        7,
        8,
        _3="not found: no holdfast.yaml, no catalog, no such asset",
        _4="damage found: in the catalog; rebuild it",
    ),
)
def show(
    context: typer.Context,
    asset: Annotated[str, typer.Argument(metavar="ASSET", help="An asset, declared or found at a store.")],
    catalog: PlaceOption = None,
    config: ConfigOption = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Show one asset: how it stands, where its snapshots lie, its recoveries and drills. Asks no store."""
    from holdfast.cli.facts.catalogs import shown_facts
    from holdfast.cli.views.catalogs import catalog_shown_lines

    output: Output = context.obj
    known = _opened(output, catalog, config)
    record = shown_facts(known.place, known.asset(asset))
    output.give(record, catalog_shown_lines)
    output.finish(f"{count(record.total, 'snapshot')} of {record.asset}")


def _fill(output: Output, catalog: str | None, config: str | None, *, afresh: bool) -> None:
    from holdfast.cli.facts.catalogs import updated_facts
    from holdfast.cli.views.catalogs import catalog_updated_lines

    done = _opened(output, catalog, config, ask=True).update(afresh=afresh)
    record = updated_facts(done, rebuilt=afresh)
    output.give(record, catalog_updated_lines)
    read = sum(one.read for one in record.stores)
    output.finish(f"{count(len(record.stores), 'store')}, {count(read, 'object')} read")
    if not done.complete:
        raise typer.Exit(8)


def _opened(output: Output, catalog: str | None, config: str | None, *, ask: bool = False) -> Cataloguing:
    from holdfast.control.cataloguing.filling import Cataloguing

    return Cataloguing(open_declared(config, output, ask=ask), catalog)
