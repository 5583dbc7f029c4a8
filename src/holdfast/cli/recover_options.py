"""What the commands of `holdfast recover` share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from holdfast.cli.site_options import open_declared

if TYPE_CHECKING:
    from holdfast.cli.output import Output
    from holdfast.control.recovering.recovering import Recoveries

__all__ = ["PlanOrRun", "PlanPath", "Run", "opened"]

PlanPath = Annotated[Path, typer.Argument(metavar="FILE", help="A plan, as `recover plan --out` wrote it.")]
PlanOrRun = Annotated[Path, typer.Argument(metavar="FILE", help="A plan; with --without a run: 20 hex digits.")]
Run = Annotated[str, typer.Argument(metavar="RUN", help="A run: 20 hex digits.")]


def opened(config: str | None, output: Output) -> Recoveries:
    """What the file declares, and what the stores say of its sites now. Raises what loading raises."""
    from holdfast.control.recovering.recovering import Recoveries

    return Recoveries(open_declared(config, output, ask=False), told=output.say)
