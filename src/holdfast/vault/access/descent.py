"""Whether a configuration goes on from one that was seen before, so that what was seen cannot be taken back.

A number alone does not tell: who owns the store can put a generation away and let a keeper, who never saw it, write
another of that number; and where no key pins a keeper, or one that was revoked signs again, all of the history can be
another.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import NamedTuple

from blake3 import blake3

from holdfast.errors import DamageError, NotFoundError, UntrustedError
from holdfast.stores.protocol import Store
from holdfast.trust.signing import fingerprint
from holdfast.vault.access.generations import StoredConfig, read_generation, require_possible_size
from holdfast.vault.format.names import CONFIG, config_key
from holdfast.vault.format.records import Config
from holdfast.vault.format.series import series_of

__all__ = ["SeenConfig", "seen_config", "require_descent"]

_CONTEXT = "holdfast 1 configuration that was seen"


class SeenConfig(NamedTuple):
    """`mark`: 32 hex digits of what it says about members and epochs; empty where only the number is known."""

    generation: int
    mark: str = ""


def seen_config(config: Config) -> SeenConfig:
    """What to remember of it. The mark is the same in all versions of this program, whatever a record has besides."""
    parts = [f"{config.generation} {config.created} {config.suite}".encode(), config.secrets]
    for epoch in config.epochs:
        parts += [f"{epoch.number} {len(epoch.recipients)}".encode(), epoch.public]
        for one in epoch.recipients:
            parts += [one.kind.encode(), one.label.encode(), one.id.encode(), one.public, one.wrapped]
    for signer in config.signers:
        times = f"{signer.added} {signer.revoked}".encode()
        parts += [signer.role.encode(), signer.label.encode(), signer.public, times]
    parts.append(f"{len(config.epochs)} {len(config.signers)}".encode())
    framed = b"".join(struct.pack("<I", len(part)) + part for part in parts)
    return SeenConfig(config.generation, blake3(framed, derive_key_context=_CONTEXT).hexdigest(16))


def require_descent(store: Store, seen: SeenConfig, config: Config) -> None:
    """Returns if `config`, which was read from the store and counts, is the one that was seen, or descends from it:
    through keepers that it, and those after it, list. Reads nothing where the number is the same.

    Raises UntrustedError when it does not, and what the store raises.
    """
    if config.generation < seen.generation:
        raise UntrustedError(
            f"the configuration of the vault at {store.url} went back from {seen.generation} to "
            f"{config.generation}: who was revoked since would count again",
            hint="somebody removed a generation of config/: compare with another replica",
            object_name=config_key(seen.generation),
        )
    if not seen.mark or seen_config(config) == seen:
        return
    if config.generation == seen.generation or not _descends(store, seen, config):
        raise UntrustedError(
            f"the configuration of the vault at {store.url} does not go on from generation {seen.generation} as it "
            "was: that one is missing, damaged or another one now, or what follows is not its keepers'",
            hint="compare with another replica; who was revoked in it would count again",
            object_name=config_key(seen.generation),
        )


def _descends(store: Store, seen: SeenConfig, config: Config) -> bool:
    generations = _sound_between(store, seen.generation, config.generation)  # others may have written meanwhile
    first = next(generations, None)
    if first is None or seen_config(first[0].config) != seen:
        return False
    last, trusted = first[0].config, _keepers(first[0].config)
    for stored, verify_signature in generations:
        keepers = _keepers(stored.config, revoked_too=True)
        if stored.signer not in trusted or stored.signer not in keepers:
            continue
        try:
            verify_signature(keepers[stored.signer])
        except UntrustedError:
            continue
        last, trusted = stored.config, _keepers(stored.config)
    return seen_config(last) == seen_config(config)


def _sound_between(store: Store, first: int, last: int) -> Iterator[tuple[StoredConfig, Callable[[bytes], None]]]:
    sizes = {info.key: info.size for info in store.list(CONFIG)}
    for key in series_of(sizes, CONFIG).keys:
        if config_key(first) <= key <= config_key(last):
            with suppress(DamageError, NotFoundError):
                require_possible_size(key, sizes[key])
                yield read_generation(store, key)


def _keepers(config: Config, *, revoked_too: bool = False) -> dict[str, bytes]:
    return {
        fingerprint(signer.public): signer.public
        for signer in config.signers
        if signer.role == "keeper" and (revoked_too or signer.revoked is None)
    }
