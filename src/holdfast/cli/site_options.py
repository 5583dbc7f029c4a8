"""What the commands about sites share: the file of declarations, and what is chosen of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from holdfast.cli.output import Output
    from holdfast.control.sites.declared import DeclaredAsset, DeclaredSites

__all__ = ["ConfigOption", "AssetOption", "SiteName", "open_declared", "chosen_assets"]

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
SiteName = Annotated[str, typer.Argument(metavar="SITE", help="A site of the file.")]


def open_declared(config: str | None, output: Output) -> DeclaredSites:
    """What the file declares. Raises UsageError, NotFoundError."""
    from holdfast.config.finding import load_config
    from holdfast.control.sites.declared import DeclaredSites

    return DeclaredSites(load_config(config), progress=output.progress)


def chosen_assets(sites: DeclaredSites, names: list[str] | None) -> list[DeclaredAsset]:
    """Those that were named, or all. Raises NotFoundError."""
    return [sites.asset(name) for name in names] if names else list(sites.assets.values())
