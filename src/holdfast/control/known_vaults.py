"""Which vault this machine has seen at which place: one that takes another's place must not go unnoticed.

A key proves what it opens; but a vault without encryption opens without any. So the first opening is trusted, and what
was seen then must be seen again: the vault's id, its suite, and a configuration that does not go back.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import msgspec

from holdfast.errors import FailedError, UntrustedError
from holdfast.events import Progress
from holdfast.homes import state_home
from holdfast.stores.protocol import Store
from holdfast.trust.suites import Suite
from holdfast.vault.vault import Vault

__all__ = ["KnownVaults", "known_vaults_file"]


class _Seen(msgspec.Struct, frozen=True):
    """What was seen at a place. `generation`: of the configuration, the highest so far."""

    vault: str
    suite: int
    generation: int


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

        Raises UntrustedError when its configuration went back.
        """
        store, config = vault.handle.store, vault.handle.keys.config
        if not store.capabilities.durable:
            return
        place, known = _place(store, options), self._read(quiet=not anew)
        seen = known.get(place)
        if seen is not None and not anew and config.generation < seen.generation:
            raise self._untrusted(
                store,
                f"the configuration of the vault at {store.url} went back from {seen.generation} to "
                f"{config.generation}: who was revoked since would count again",
            )
        now = _Seen(vault.id, config.suite, config.generation)
        if now != seen:
            self._write(known | {place: now})

    def _untrusted(self, store: Store, message: str) -> UntrustedError:
        return UntrustedError(
            message,
            hint=f"if you know why, delete the line of {store.url} in {self._path}, and open it again",
            object_name=store.url,
        )

    def _read(self, *, quiet: bool = False) -> dict[str, _Seen]:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=dict[str, _Seen])
        except FileNotFoundError:
            return {}
        except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            if not quiet:  # `check` said it
                self._progress.note(f"which vaults were seen before cannot be read from {self._path} ({error})")
            return {}

    def _write(self, known: Mapping[str, _Seen]) -> None:
        """One line for each place, so that a person can delete one. Never fails the opening."""
        lines = [f"{_json(place)}: {_json(seen)}" for place, seen in sorted(known.items())]
        temporary = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            temporary.write_text("{\n" + ",\n".join(lines) + "\n}\n", "utf-8")
            temporary.replace(self._path)
        except OSError as error:
            self._progress.note(f"which vault was seen cannot be remembered in {self._path} ({error.strerror})")
            with suppress(OSError):
                temporary.unlink()


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
