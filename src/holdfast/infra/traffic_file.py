"""A small file that a proxy reads: to which site the requests of an asset go. Replaced whole, and read back."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import msgspec

from holdfast.errors import DamageError, FailedError
from holdfast.infra.compute.slots import replace_file, translated

__all__ = ["Sent", "TrafficFile", "decode_sent"]


class Sent(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the file says. `run`, `key`: of the step that wrote it. `before`: the whole of what it said before, so that
    it can be taken back; null: there was no file.
    """

    version: Literal[1] = 1
    asset: str
    site: str
    run: str = ""
    key: str = ""
    before: str | None = None


class TrafficFile:
    """The file at `path`; a file beside it is locked while it is changed."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def problem(self) -> str | None:
        """Why it could not be written now."""
        folder = self._path.parent
        if not folder.is_dir():
            return f"there is no folder {folder}"
        return None if os.access(folder, os.W_OK | os.X_OK) else f"{folder} may not be written"

    def read(self) -> Sent | None:
        """None: there is no file. Raises DamageError for one that somebody else wrote in another form."""
        data = self._bytes()
        return None if data is None else decode_sent(data, str(self._path))

    def send(self, asset: str, site: str, run: str, key: str) -> str:
        """The requests go to `site`. Returns where they went before, empty where nobody knows. Raises FailedError."""
        with self._changing():
            data = self._bytes()
            now = None if data is None else decode_sent(data, str(self._path))
            if now is not None and now.key == key and now.site == site:
                was = None if now.before is None else decode_sent(now.before.encode(), str(self._path))
                return was.site if was is not None else ""
            before = None if now is None else msgspec.json.encode(msgspec.structs.replace(now, before=None)).decode()
            self._write(Sent(asset=asset, site=site, run=run, key=key, before=before))
            return now.site if now is not None else ""

    def undo(self, key: str) -> None:
        """As it was before `key` wrote it; nothing where it did not, or where somebody else wrote it since."""
        with self._changing():
            now = self.read()
            if now is None or now.key != key:
                return
            if now.before is None:
                self._path.unlink(missing_ok=True)
                return
            self._write(decode_sent(now.before.encode(), str(self._path)))

    def _write(self, sent: Sent) -> None:
        data = msgspec.json.format(msgspec.json.encode(sent), indent=2) + b"\n"
        replace_file(self._path, data)
        if self._bytes() != data:
            raise FailedError(f"{self._path} does not read back as it was written", object_name=str(self._path))

    def _bytes(self) -> bytes | None:
        try:
            return self._path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise translated(error, self._path) from error

    @contextmanager
    def _changing(self) -> Iterator[None]:
        beside = self._path.with_name(f".{self._path.name}.lock")
        try:
            descriptor = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise translated(error, beside) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def decode_sent(data: bytes, name: str) -> Sent:
    """Raises DamageError."""
    try:
        return msgspec.json.decode(data, type=Sent)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError, ValueError) as error:
        raise DamageError(
            f"{name} does not say where traffic goes",
            hint="Holdfast replaces only what it wrote: move the file away, or name another one",
            object_name=name,
        ) from error
