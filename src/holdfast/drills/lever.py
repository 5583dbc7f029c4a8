"""The lever that stops every drill of this installation: a file in the state home. While it is there, no drill begins,
no schedule submits one, and whatever drill is under way stops at its next step, at the latest after a second.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from holdfast.clock import Clock, to_rfc3339
from holdfast.errors import FailedError
from holdfast.homes import state_home

__all__ = ["Lever", "drills_home"]


def drills_home(environment: Mapping[str, str]) -> Path:
    """`$XDG_STATE_HOME/holdfast/drills`: reports, manifests, the lever. Raises FailedError without a home."""
    state = state_home(environment)
    if state is None:
        raise FailedError("there is no home folder for drills", hint="set XDG_STATE_HOME to an absolute path")
    return state / "holdfast" / "drills"


class Lever:
    """Pulled: everybody stops. `drill`: besides, one drill alone can be asked to stop."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._home = drills_home(environment)

    @property
    def path(self) -> Path:
        return self._home / "STOP"

    def pull(self, clock: Clock, reason: str, by: str = "") -> None:
        """Raises FailedError."""
        self._write(self.path, f"{to_rfc3339(clock.now_ns())} {by}: {reason}".strip())

    def release(self) -> bool:
        """Whether it was pulled. Raises FailedError."""
        try:
            self.path.unlink()
        except FileNotFoundError:
            return False
        except OSError as error:
            raise FailedError(f"{self.path} cannot be removed ({error.strerror})") from error
        return True

    def stop(self, drill: str, reason: str) -> None:
        """Ask one drill to stop. Raises FailedError."""
        self._write(self._of(drill), reason)

    def pulled(self, drill: str = "") -> str:
        """Why everybody, or this drill, is to stop; empty: nobody is. A lever that cannot be read is pulled."""
        for path in (self.path, *([self._of(drill)] if drill else [])):
            try:
                return path.read_text(errors="replace").strip() or "somebody pulled the lever"
            except FileNotFoundError:
                continue
            except OSError as error:
                return f"the lever {path} cannot be read ({error.strerror})"
        return ""

    def _of(self, drill: str) -> Path:
        return self._home / drill / "STOP"

    def _write(self, path: Path, text: str) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            beside = path.with_name(f".{path.name}.{os.getpid()}")
            beside.write_text(text + "\n")
            beside.replace(path)
        except OSError as error:
            raise FailedError(f"{path} cannot be written ({error.strerror})", object_name=str(path)) from error
