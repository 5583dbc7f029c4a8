"""How commands take a reference to a snapshot."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["Reference"]

Reference = Annotated[
    str,
    typer.Argument(
        metavar="REF",
        help="asset, asset@validated, asset@step=500, asset@2026-11-20T10:00Z, asset@TAG, or an id's start.",
    ),
]
