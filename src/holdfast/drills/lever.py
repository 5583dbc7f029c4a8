"""The lever that stops every drill of this installation: a file in the state home. While it is there, no drill begins,
by hand or by schedule, and whatever drill is under way stops at its next step, at the latest after a second.

Beside it lies, for each organisation, what was heard of stops at its stores: that counts as much, also when no store
answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from holdfast.clock import Clock, to_rfc3339
from holdfast.durable import replace_file
from holdfast.errors import FailedError
from holdfast.homes import state_home

__all__ = ["Lever", "drills_home"]

_HEARD: Final = "STOP-"
_unwritten: dict[
    Path, dict[str, str]
] = {}  # heard by this process, and it could not be written down: it counts as much


def drills_home(environment: Mapping[str, str]) -> Path:
    """`$XDG_STATE_HOME/holdfast/drills`: reports, manifests, the lever. Raises FailedError without a home."""
    state = state_home(environment)
    if state is None:
        raise FailedError("there is no home folder for drills", hint="set XDG_STATE_HOME to an absolute path")
    return state / "holdfast" / "drills"


class Lever:
    """Pulled: everybody stops. `drill`: besides, one drill alone can be asked to stop.

    `organisation`: whose stops at stores count, besides; by default all that were heard of.
    """

    def __init__(self, environment: Mapping[str, str], organisation: str = "") -> None:
        self._home, self._organisation = drills_home(environment), organisation

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
        if self._organisation:
            heard = [self._heard(self._organisation)]
        else:
            heard = sorted({*self._home.glob(f"{_HEARD}*"), *(one for one in _unwritten if one.parent == self._home)})
        for path in heard:
            for why in _known(path).values():
                return why or "somebody pulled the lever"
        return ""

    def heard(self, organisation: str) -> dict[str, str]:
        """Stops that count at the stores of an organisation, as far as this machine heard: id → who said why."""
        return _known(self._heard(organisation))

    def hear(self, organisation: str, stops: Mapping[str, str]) -> None:
        """Remember these, and no other. Raises FailedError."""
        path = self._heard(organisation)
        _unwritten.pop(path, None)
        if stops:
            if _read(path) != stops:
                try:
                    self._write(path, msgspec.json.encode(stops, order="sorted").decode())
                except FailedError:
                    _unwritten[path] = dict(stops)
                    raise
            return
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise FailedError(f"{path} cannot be removed ({error.strerror})") from error

    def _heard(self, organisation: str) -> Path:
        return self._home / f"{_HEARD}{organisation}"

    def _of(self, drill: str) -> Path:
        return self._home / drill / "STOP"

    def _write(self, path: Path, text: str) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            replace_file(path, f"{text}\n".encode())
        except OSError as error:
            raise FailedError(f"{path} cannot be written ({error.strerror})", object_name=str(path)) from error


def _known(path: Path) -> dict[str, str]:
    return _read(path) | _unwritten.get(path, {})


def _read(path: Path) -> dict[str, str]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, str])
    except FileNotFoundError:
        return {}
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        return {"": f"the lever {path} cannot be read ({error})"}
