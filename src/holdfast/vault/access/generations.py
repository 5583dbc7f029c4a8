"""A vault's configuration as its store has it: generation by generation, read in one go; nothing is verified here."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Final, NamedTuple, TypeAlias

from holdfast.errors import DamageError, HoldfastError, NotFoundError, UnsupportedFormatError
from holdfast.fanout.beside import for_each
from holdfast.ids import VaultId
from holdfast.stores.protocol import Store
from holdfast.trust.recipients import KMS
from holdfast.trust.sealing import sealing_suite
from holdfast.trust.suites import Suite, suite_of
from holdfast.vault.format.documents import body_max, read_config
from holdfast.vault.format.header import Kind
from holdfast.vault.format.names import CONFIG, PACKS, generation_of
from holdfast.vault.format.records import Config, decode_record
from holdfast.vault.format.series import series_of

__all__ = [
    "REMOVE",
    "Generation",
    "Generations",
    "StoredConfig",
    "read_generation",
    "read_generations",
    "refuse_orphans",
    "require_possible_size",
]

REMOVE: Final = "if no keeper wrote it, the owner of the store can remove it: the generations below it are intact"
_STORED_MAX: Final = body_max(Kind.CONFIG) + (64 << 10)  # zstd, header, signature and checksum add a few kilobytes


class StoredConfig(NamedTuple):
    """One generation of the configuration, the vault's id in its header, and its signer's fingerprint."""

    vault: bytes
    config: Config
    signer: str


Generation: TypeAlias = tuple[StoredConfig, Callable[[bytes], None]]
"""And what verifies its signature, given a keeper's public key."""


class Generations(NamedTuple):
    """What one look at a store found, the oldest first: whoever opens a vault decides by it alone, however many
    questions they have. At least one. `damaged`: what is wrong with older ones, which are not among them.
    """

    found: list[Generation]
    damaged: list[DamageError]

    @property
    def claimed(self) -> StoredConfig:
        """The highest, as it says itself."""
        return self.found[-1][0]

    @property
    def vault_id(self) -> VaultId:
        """The id that it claims, to find a key by."""
        return VaultId(self.claimed.vault.hex())

    @property
    def suite(self) -> Suite:
        """The suite that it claims."""
        return suite_of(self.claimed.config.suite)

    @property
    def wants_key_service(self) -> bool:
        """Whether it claims that a key management service opens the vault."""
        return any(one.kind == KMS for epoch in self.claimed.config.epochs for one in epoch.recipients)


def read_generations(store: Store) -> Generations:
    """All generations; the newest must be sound. In two round trips.

    Generations that leap (see `series_of`) are nobody's, and are left to `check`. Raises NotFoundError when there is no
    vault, DamageError, UnsupportedFormatError, and as the store.
    """
    sizes = {info.key: info.size for info in store.list(CONFIG)}
    keys = series_of(sizes, CONFIG).keys
    if not keys:
        refuse_orphans(store)
        raise NotFoundError(
            f"there is no vault at {store.url}", hint=f"make one with `holdfast vault create {store.url}`"
        )

    def read(key: str) -> Generation | HoldfastError:
        try:
            require_possible_size(key, sizes[key])
            return read_generation(store, key)
        except HoldfastError as error:
            return error

    # Over a line all answers are waited for together; of a folder one after the other is faster.
    *older, newest = for_each(read, keys) if store.capabilities.remote else map(read, keys)
    if isinstance(newest, HoldfastError):
        raise _of_the_newest(newest, keys[-1])
    found: list[Generation] = []
    damaged: list[DamageError] = []
    for key, one in zip(keys, older, strict=False):
        if isinstance(one, DamageError):
            damaged.append(one)
        elif isinstance(one, HoldfastError):
            raise one
        elif one[0].vault != newest[0].vault:
            damaged.append(DamageError(f"{key} and {keys[-1]} belong to different vaults", object_name=key))
        else:
            found.append(one)
    return Generations([*found, newest], damaged)


def read_generation(store: Store, key: str) -> Generation:
    """One generation, and what verifies its signature, given a keeper's public key. Raises DamageError."""
    header, opened, verify_signature = read_config(key, store.get(key))
    config = decode_record(opened.body, Config, key)
    if config.generation != generation_of(key) or config.suite != header.suite or not _coherent(config):
        raise DamageError(f"{key} contradicts itself", object_name=key)
    return StoredConfig(header.vault, config, opened.signer), verify_signature


def require_possible_size(key: str, size: int) -> None:
    """Before it is fetched: whoever writes to a store can make an object of any size. Raises DamageError."""
    if size > _STORED_MAX:
        raise DamageError(f"{key} is too large to be a configuration ({size} bytes)", object_name=key)


def refuse_orphans(store: Store) -> None:
    """Packs without a configuration are a damaged vault: nobody must be led to make a new one over them."""
    if next(iter(store.list(PACKS)), None) is not None:
        raise DamageError(
            f"{store.url} holds packs, but its config/ is missing",
            hint="copy config/ from another replica of the vault; without it nothing can be opened",
            object_name=CONFIG,
        )


def _of_the_newest(error: HoldfastError, key: str) -> HoldfastError:
    if not isinstance(error, DamageError) or isinstance(error, UnsupportedFormatError):
        return error
    hint = f"copy it from another replica of the vault; {REMOVE}"
    return DamageError(error.message, hint=hint, object_name=key)


def _coherent(config: Config) -> bool:
    if config.suite not in tuple(Suite):
        return False
    try:
        suites = [sealing_suite(epoch.public) for epoch in config.epochs]
    except DamageError:
        return False
    if sorted(suites) != suites or (suites and suites[-1] != config.suite):
        return False  # a vault's suite is that of its newest epoch, and never goes back
    numbers = [0, *(epoch.number for epoch in config.epochs), 1 << 32]  # a header gives them four bytes
    rising = all(one < following for one, following in pairwise(numbers))
    return rising and bool(config.epochs) != (config.suite == Suite.PLAIN) and len(config.secrets) >= 64
