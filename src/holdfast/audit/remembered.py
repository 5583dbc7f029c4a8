"""What this machine remembers of logs: that there is one, its last checkpoint, the last entry of its own members.

The first look at a log is trusted; from then on it must continue what was seen. Files below
`$XDG_STATE_HOME/holdfast/audit/`, replaced whole. A state that cannot be read is told, never taken as "all is well".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import msgspec

from holdfast.audit.checkpoint_text import Checkpoint, parse_checkpoint_text
from holdfast.audit.spool import NO_HEAD, Head
from holdfast.durable import replace_file
from holdfast.errors import DamageError, FailedError
from holdfast.events import SILENT, Progress
from holdfast.homes import state_home
from holdfast.stores.protocol import Store, store_identity

__all__ = ["Met", "Remembered", "Seen", "MemberMemory", "decode_remembered"]

_BYTES_MAX = 64 << 10
_HASH = re.compile(r"[0-9a-f]{64}")
_FORGET = "if you know why, delete the file: the log is then trusted as it is now"


class _Seen(msgspec.Struct, frozen=True, kw_only=True):
    """`text`: of the checkpoint, or empty. `keys`: the log's verifier keys; `declared`: generation that said so."""

    place: str
    declared: int
    text: str
    keys: list[str]


class Seen(NamedTuple):
    """What was verified last. `checkpoint`: None where the log had none. `declared`: generation of its declaration."""

    checkpoint: Checkpoint | None
    keys: list[str]
    declared: int


def decode_remembered(data: bytes, name: str) -> Seen:
    """Raises DamageError."""
    try:
        seen = msgspec.json.decode(data, type=_Seen)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise DamageError(f"{name} is no memory of an audit log", hint=_FORGET, object_name=name) from None
    return Seen(parse_checkpoint_text(seen.text, name) if seen.text else None, seen.keys, seen.declared)


class Remembered:
    """The last checkpoint of one log at one store that this machine has verified."""

    def __init__(self, environment: Mapping[str, str], store: Store, origin: str) -> None:
        """Raises FailedError for a user without a home."""
        self.path = _folder(environment) / f"{_short(f'{origin} {store_identity(store)}')}.log.json"
        self._place = f"{origin} at {store.url}"

    def recall(self) -> Seen | None:
        """None: never seen. Raises DamageError when what was seen cannot be read any more."""
        try:
            with self.path.open("rb") as file:
                data = file.read(_BYTES_MAX)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise DamageError(
                f"what was seen of the log before cannot be read from {self.path} ({error.strerror})",
                hint=_FORGET,
                object_name=str(self.path),
            ) from error
        return decode_remembered(data, str(self.path))

    def remember(self, seen_now: Seen) -> None:
        """Raises FailedError: a look that is not remembered protects nobody later.

        Never goes back: another process of this machine may have seen more meanwhile.
        """
        before = self.recall()
        if before is not None and _size(before) > _size(seen_now):
            return
        text = seen_now.checkpoint.text if seen_now.checkpoint is not None else ""
        seen = _Seen(place=self._place, declared=seen_now.declared, text=text, keys=seen_now.keys)
        _replace(self.path, msgspec.json.encode(seen))


class Met:
    """That this machine has met a log of this vault at this store: one that is gone is told, not taken for none."""

    def __init__(self, environment: Mapping[str, str], store: Store, vault_id: str) -> None:
        self._path: Path | None = None  # of a user without a home nothing is remembered
        self._url = store.url
        with suppress(FailedError):
            self._path = _folder(environment) / f"{_short(f'{vault_id} {store_identity(store)}')}.met.json"

    def note(self) -> None:
        """There is one now. Costs a look at a file, but for the first time."""
        with suppress(FailedError):  # `Remembered` and `MemberMemory` say what is wrong with the folder
            if self._path is not None and not self._path.exists():
                _replace(self._path, msgspec.json.encode(self._url))

    def require_never(self) -> None:
        """There is none now. Raises DamageError where there was one."""
        if self._path is not None and self._path.exists():
            raise DamageError(
                f"the audit log in {self._url} is gone: this machine saw one there before",
                hint=f"get it back from another site; if it was taken away on purpose, delete {self._path}",
                object_name=self._url,
            )


class MemberMemory:
    """The last entry that a member of a log wrote from this machine. Losing it costs nothing but what it would show."""

    def __init__(self, environment: Mapping[str, str], store: Store, origin: str, progress: Progress = SILENT) -> None:
        self._folder = _folder(environment)
        self._log = f"{origin} {store_identity(store)}"
        self._progress = progress

    def recall(self, member: str) -> Head:
        try:
            number, hashed = msgspec.json.decode(self._path(member).read_bytes(), type=tuple[int, str])
        except FileNotFoundError:
            return NO_HEAD
        except (OSError, msgspec.MsgspecError, ValueError, RecursionError) as error:
            self._progress.note(f"the last entry written here is not remembered: {self._path(member)} ({error})")
            return NO_HEAD
        sound = 0 < number < 10**10 - 1 and _HASH.fullmatch(hashed)  # else nobody could read what follows on it
        return Head(number, hashed) if sound else NO_HEAD

    def remember(self, member: str, head: Head) -> None:
        try:
            _replace(self._path(member), msgspec.json.encode((head.number, head.hash)))
        except FailedError as error:
            self._progress.note(error.message)

    def _path(self, member: str) -> Path:
        return self._folder / f"{_short(f'{self._log} {member}')}.member.json"


def _folder(environment: Mapping[str, str]) -> Path:
    state = state_home(environment)
    if state is None:
        raise FailedError(
            "there is no home folder in which to remember audit logs", hint="set XDG_STATE_HOME to an absolute path"
        )
    return state / "holdfast" / "audit"


def _size(seen: Seen) -> int:
    return seen.checkpoint.size if seen.checkpoint is not None else 0


def _short(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:32]


def _replace(path: Path, data: bytes) -> None:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        replace_file(path, data, mode=0o600)
    except OSError as error:
        raise FailedError(
            f"what was seen of the audit log cannot be remembered in {path} ({error.strerror})"
        ) from error
