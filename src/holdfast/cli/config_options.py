"""Options of commands that work from `holdfast.yaml`."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["ConfigFile"]

ConfigFile = Annotated[
    str | None,
    typer.Option(
        "--config",
        metavar="FILE",
        envvar="HOLDFAST_CONFIG",
        show_envvar=True,
        help="holdfast.yaml; else the one in this folder or above.",
    ),
]
