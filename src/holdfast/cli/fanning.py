"""`--fanout`: bulk work on the machines of a cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from holdfast.cli.output import Output
    from holdfast.control.bulk.spreading import Bulk
    from holdfast.fanout import Fanout

__all__ = ["FanoutOption", "bulk_on", "fanout_at"]

FanoutOption = Annotated[
    str,
    typer.Option(
        "--fanout",
        metavar="WHERE",
        show_default=True,
        help="Who does the work: `threads` of this machine, or a Ray cluster: ray:HOST:PORT, ray:auto.",
    ),
]


def bulk_on(where: str, output: Output) -> Bulk | None:
    """A run of bulk work there; None for `threads`, as everything is done by these without pieces.

    Raises what `open_fanout` raises.
    """
    fanout = fanout_at(where)
    if fanout is None:
        return None
    from holdfast.control.bulk.spreading import Bulk

    return Bulk(fanout, progress=output.progress)


def fanout_at(where: str) -> Fanout | None:
    """Who does the pieces; None for `threads`, as everything is done by these without pieces.

    Raises what `open_fanout` raises.
    """
    if where == "threads":
        return None
    from holdfast.fanout import open_fanout

    return open_fanout(where)
