"""Which vault this machine has seen at which place: one that takes another's place must not go unnoticed.

A key proves what it opens; but a vault without encryption opens without any. So the first opening is trusted, and what
was seen then must be seen again: the vault's id, its suite, and a configuration that goes on from the one of then.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import msgspec

from holdfast.durable import replace_file
from holdfast.errors import FailedError, UntrustedError
from holdfast.events import Progress
from holdfast.homes import state_home
from holdfast.stores.protocol import Store
from holdfast.trust.suites import Suite
from holdfast.vault.access.descent import SeenConfig, require_descent, seen_config
from holdfast.vault.vault import Vault

__all__ = ["KnownVaults", "known_vaults_file"]


class _Seen(msgspec.Struct, frozen=True):
    """What was seen at a place. `generation`, `mark`: of the configuration, the highest so far (`SeenConfig`)."""

    vault: str
    suite: int
    generation: int
    mark: str = ""


def known_vaults_file(environment: Mapping[str, str]) -> Path:
    """`$XDG_STATE_HOME/holdfast/known-vaults.json`, by default below `~/.local/state`. Raises FailedError."""
    state = state_home(environment)
    if state is None:
        raise FailedError(
            "there is no home folder in which to remember vaults", hint="set XDG_STATE_HOME to an absolute path"
        )
    return state / "holdfast" / "known-vaults.json"


class KnownVaults:
    """The file of one user on one machine. Places in memory are not remembered: they do not last."""

    def __init__(self, environment: Mapping[str, str], progress: Progress) -> None:
        self._path = known_vaults_file(environment)
        self._progress = progress

    def check(self, store: Store, options: Mapping[str, str] | None, vault_id: str, suite: Suite) -> None:
        """Before anything of the vault is believed. Raises UntrustedError when another one was there before."""
        if not store.capabilities.durable:
            return
        seen = self._read().get(_place(store, options))
        if seen is None or (seen.vault == vault_id and _may_follow(seen.suite, suite)):
            return
        raise self._untrusted(
            store,
            f"the vault at {store.url} is another one than before "
            f"({seen.vault} {_sealed(seen.suite)} → {vault_id} {_sealed(suite)})",
        )

    def remember(self, vault: Vault, options: Mapping[str, str] | None, *, anew: bool = False) -> None:
        """After it was opened. `anew`: it was just created, and whatever was there before is gone.

        Raises UntrustedError when its configuration went back, or does not go on from the one that was seen.
        """
        store, config = vault.handle.store, vault.handle.keys.config
        if not store.capabilities.durable:
            return
        place = _place(store, options)
        seen = self._read(quiet=not anew).get(place)
        if seen is not None and not anew:
            try:
                require_descent(store, SeenConfig(seen.generation, seen.mark), config)
            except UntrustedError as error:
                raise self._untrusted(store, error.message) from error
        now = _Seen(vault.id, config.suite, *seen_config(config))
        if now != seen:
            self._write(place, now, anew=anew)

    def _untrusted(self, store: Store, message: str) -> UntrustedError:
        return UntrustedError(
            message,
            hint=f"if you know why, delete the line of {store.url} in {self._path}, and open it again",
            object_name=store.url,
        )

    def _read(self, *, quiet: bool = False) -> dict[str, _Seen]:
        try:
            return _decoded(self._path.read_bytes())
        except FileNotFoundError:
            return {}
        except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            if not quiet:  # `check` said it
                self._progress.note(f"which vaults were seen before cannot be read from {self._path} ({error})")
            return {}

    def _write(self, place: str, now: _Seen, *, anew: bool) -> None:
        """One line for each place, so that a person can delete one. Never fails the opening."""
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with self._alone():
                known = self._read(quiet=True)
                meanwhile = known.get(place)
                if meanwhile is not None and not anew and meanwhile.generation > now.generation:
                    return  # another program has opened a newer one
                lines = [f"{_json(name)}: {_json(seen)}" for name, seen in sorted((known | {place: now}).items())]
                replace_file(self._path, ("{\n" + ",\n".join(lines) + "\n}\n").encode())
        except OSError as error:
            self._progress.note(f"which vault was seen cannot be remembered in {self._path} ({error.strerror})")

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """No other program or thread of this user writes meanwhile: it would forget what this one adds."""
        lock = self._path.with_name(f".{self._path.name}.lock")
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def _decoded(text: bytes) -> dict[str, _Seen]:
    try:
        return msgspec.json.decode(text, type=dict[str, _Seen])
    except msgspec.DecodeError:
        # Whoever deletes the last line by hand leaves the comma of the one before it.
        lines = [line.strip().rstrip(b",") for line in text.splitlines()]
        joined = b",".join(line for line in lines if line not in (b"", b"{", b"}"))
        return msgspec.json.decode(b"{" + joined + b"}", type=dict[str, _Seen])


def _json(value: str | _Seen) -> str:
    return msgspec.json.encode(value).decode()


def _place(store: Store, options: Mapping[str, str] | None) -> str:
    """The store's URL; one bucket's name may mean another bucket at another endpoint."""
    endpoint = (options or {}).get("endpoint", "")
    return f"{store.url} at {endpoint}" if endpoint else store.url


def _may_follow(before: int, now: int) -> bool:
    """Whether a vault of the one suite may have the other now: stronger keys may come, weaker or none may not."""
    return before == now or (before != Suite.PLAIN and now > before)


def _sealed(suite: int) -> str:
    return "plain" if suite == Suite.PLAIN else "encrypted"
