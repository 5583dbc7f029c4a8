"""Where a run restores to: one folder for one asset; for several, one in it for each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from holdfast.errors import RefusedError, UsageError

__all__ = ["Places"]


class Places(NamedTuple):
    """`target`: absolute. `assets`: of the plan."""

    target: Path
    assets: Sequence[str]

    def of(self, asset: str) -> Path:
        """Raises UsageError for an asset whose name is no name of a folder."""
        if len(self.assets) == 1:
            return self.target
        if asset in (".", "..") or "/" in asset or "\0" in asset:
            raise UsageError(f"no folder can be called {asset!r}", hint="recover this asset alone")
        return self.target / asset


def absolute(target: str) -> Path:
    """Raises UsageError, RefusedError for the root of the file system."""
    if not target.strip():
        raise UsageError("nobody said where to restore to", hint="--target DIR")
    path = Path(target).expanduser().absolute()
    if path == Path(path.anchor):
        raise RefusedError(f"{path} is left alone", hint="--target DIR, a folder that is not there yet")
    return path
