"""A server's own databases, saved into the vault as a declared asset: encrypted, copied and kept as its class says."""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import socket
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from holdfast.clock import to_rfc3339
from holdfast.config.effective import effective
from holdfast.control.authority.guarding import guard
from holdfast.control.service.databases import MANIFEST, Part, StateManifest, copy_databases
from holdfast.control.service.kept import kept_place
from holdfast.control.sites.saving import declared_save
from holdfast.errors import ConflictError, FailedError, HoldfastError, NotFoundError, StorageFullError
from holdfast.homes import state_home
from holdfast.version import VERSION

if TYPE_CHECKING:
    from holdfast.control.service.context import Service

__all__ = ["BackedUp", "Backups", "back_up", "interval_of"]

_LOG: Final = logging.getLogger("holdfast.backup")
_USUAL_S: Final = 3600.0
_FIRST_S: Final = 10.0  # a server that has just begun answers people first
_AGAIN_S: Final = 60.0
_LOOK_S: Final = 5.0


class BackedUp(NamedTuple):
    """`snapshot`: its id. `parts`: also of what was left out, and why."""

    snapshot: str
    parts: list[Part]


def interval_of(service: Service) -> float:
    """Seconds between two backups: `save_every` of the asset, by default an hour."""
    config = service.loaded.config
    return effective(config, config.serve.backup).save_every.value or _USUAL_S


def back_up(service: Service) -> BackedUp:
    """Once, now. Raises NotFoundError where no asset is declared for it, ConflictError while another server of this
    machine does it, FailedError, StorageFullError, DamageError, and what saving raises.
    """
    asset = service.loaded.config.serve.backup
    if not asset:
        raise NotFoundError("no asset is declared for it", hint="`serve: {backup: ASSET}` in holdfast.yaml")
    home = state_home(service.environment)
    if home is None:
        raise FailedError("there is no home folder to copy databases in", hint="set XDG_STATE_HOME")
    place = home / "holdfast" / "backup" / service.organisation
    lock = _locked(place)
    folder = place / "state"
    try:
        shutil.rmtree(folder, ignore_errors=True)  # of a server that was killed
        folder.mkdir(mode=0o700)
        kept = kept_place(service.organisation, service.environment)
        parts = copy_databases(service, kept, folder)
        at = service.clock.now_ns()
        manifest = StateManifest(
            organisation=service.organisation,
            host=socket.gethostname()[:200],
            at=to_rfc3339(at),
            software=VERSION,
            parts=parts,
        )
        (folder / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=2))
        saving = declared_save(service.sites(), asset)
        guard(saving.vault, "save", asset=asset, environment=service.environment)
        metadata = {"host": manifest.host, "holds": "databases of a server"}
        report = saving.vault.save(asset, folder, metadata=metadata, committed=saving.committed)
        return BackedUp(report.root.id, parts)
    except OSError as error:
        kind = StorageFullError if error.errno in (28, 122) else FailedError
        raise kind(f"databases cannot be copied to {folder} ({error.strerror})", object_name=str(folder)) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _locked(place: Path) -> int:
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(place / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise FailedError(f"{place} cannot be used ({error.strerror})", object_name=str(place)) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(lock)
        raise ConflictError(
            "another server of this machine backs up the same databases", hint="wait a moment"
        ) from error
    return lock


class Backups:
    """A thread that backs up again and again, while an asset is declared for it; why the last one failed stands in
    `backup_problem` of the service.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._gone = threading.Event()
        self._thread = threading.Thread(target=self._run, name="backup", daemon=True)
        self._due = service.clock.monotonic() + _FIRST_S
        self._last_ns: int | None = None

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Begin no other one; the one that is under way is waited for, for a little."""
        self._gone.set()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        while not self._gone.wait(_LOOK_S):
            if self._service.loaded.config.serve.backup and self._service.clock.monotonic() >= self._due:
                self._once()

    def _once(self) -> None:
        began = self._service.clock.monotonic()
        wait = _AGAIN_S
        try:
            done = back_up(self._service)
            self._last_ns, self._service.backup_problem = self._service.clock.now_ns(), ""
            wait = interval_of(self._service)
            left = "; ".join(f"{one.name}: {one.left_out}" for one in done.parts if one.left_out)
            _LOG.info("databases were backed up as %s%s", done.snapshot, f" without {left}" if left else "")
        except HoldfastError as error:
            self._failed(error.message)
            _LOG.warning("databases were not backed up: %s", error.message)
        except Exception as error:  # noqa: BLE001 - whatever it is, the next one comes
            self._failed(f"unexpected {type(error).__name__}")
            _LOG.exception("databases were not backed up")
        self._due = began + wait

    def _failed(self, why: str) -> None:
        last = "there is none" if self._last_ns is None else f"the last one is of {to_rfc3339(self._last_ns)}"
        self._service.backup_problem = f"{why}; {last} of this server"
