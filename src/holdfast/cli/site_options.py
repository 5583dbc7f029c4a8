"""What the commands about sites share: the file of declarations, and what is chosen of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from holdfast.cli.output import Output
    from holdfast.control.sites.declared import DeclaredAsset, DeclaredSites

__all__ = ["ConfigOption", "AssetOption", "PricesOption", "SiteName", "open_declared", "chosen_assets"]

ConfigOption = Annotated[
    str | None,
    typer.Option(
        "--config",
        metavar="FILE",
        envvar="HOLDFAST_CONFIG",
        show_envvar=True,
        help="What is declared; by default holdfast.yaml here or above.",
    ),
]
AssetOption = Annotated[
    list[str] | None, typer.Option("--asset", metavar="NAME", help="Only this asset; repeatable. By default all.")
]
PricesOption = Annotated[
    Path | None,
    typer.Option(
        "--prices",
        metavar="FILE",
        envvar="HOLDFAST_PRICES",
        show_envvar=True,
        help="Your own prices (YAML), before the list prices.",
    ),
]
SiteName = Annotated[str, typer.Argument(metavar="SITE", help="A site of the file.")]


def open_declared(config: str | None, output: Output, *, ask: bool = True) -> DeclaredSites:
    """What the file declares. `ask`: the stores, which sites have failed by what other machines were told.

    Raises UsageError, NotFoundError, RefusedError for a placement that a rule forbids.
    """
    from holdfast.config.finding import load_config
    from holdfast.control.sites.declared import DeclaredSites

    sites = DeclaredSites(load_config(config), progress=output.progress)
    if ask:
        sites.learn()
    return sites


def chosen_assets(sites: DeclaredSites, names: list[str] | None) -> list[DeclaredAsset]:
    """Those that were named, or all. Raises NotFoundError."""
    return [sites.asset(name) for name in names] if names else list(sites.assets.values())
