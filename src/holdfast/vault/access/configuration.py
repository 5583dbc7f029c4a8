"""Creating a vault, and opening its configuration: which keys there are, and whom to trust."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple, TypeAlias

from holdfast.clock import Clock
from holdfast.errors import (
    ConflictError,
    CredentialError,
    DamageError,
    NotFoundError,
    RefusedError,
    UnsupportedFormatError,
    UntrustedError,
    WrongKeyError,
)
from holdfast.ids import VaultId
from holdfast.stores.protocol import Store
from holdfast.trust.credentials import Credential
from holdfast.trust.kms.services import KeyServices
from holdfast.trust.recipients import (
    KMS,
    keyfile_recipient,
    passphrase_recipient,
    unwrap_with_private,
    wrap_for_public,
)
from holdfast.trust.sealing import SealingKey, sealing_suite
from holdfast.trust.signing import SigningKey, fingerprint
from holdfast.trust.suites import Suite, suite_of
from holdfast.vault.access.epochs import (
    OTHER_KEY,
    RECIPIENTS_MAX,
    AnyOpener,
    epoch_info,
    likely_recipients,
    opened_secret,
    private_keys,
    secrets_info,
)
from holdfast.vault.format.documents import body_max, read_config, write_config
from holdfast.vault.format.header import Kind
from holdfast.vault.format.keys import VaultKeys
from holdfast.vault.format.names import CONFIG, PACKS, config_key, generation_of
from holdfast.vault.format.records import Config, Epoch, Signer, decode_record, encode_record
from holdfast.vault.format.series import append_generation, create_once, series_of

__all__ = [
    "Created",
    "StoredConfig",
    "create_vault",
    "load_config",
    "trusted_generations",
    "read_generation",
    "require_possible_size",
    "unlock",
    "append_config",
    "read_vault_id",
    "read_suite",
    "read_keepers",
    "wants_key_service",
    "pins_for_passphrase",
]

_STORED_MAX = body_max(Kind.CONFIG) + (64 << 10)  # zstd, header, signature and checksum add a few kilobytes at most
_REMOVE = "if no keeper wrote it, the owner of the store can remove it: the generations below it are intact"


class Created(NamedTuple):
    """A new vault's id and the keeper's credential."""

    vault: VaultId
    keeper: Credential


class StoredConfig(NamedTuple):
    """One generation of the configuration, the vault's id in its header, and its signer's fingerprint."""

    vault: bytes
    config: Config
    signer: str


_Generation: TypeAlias = tuple[StoredConfig, Callable[[bytes], None]]


def create_vault(
    store: Store,
    *,
    suite: Suite,
    label: str,
    passphrase: str | None,
    clock: Clock,
    keep: Callable[[Credential], None],
) -> Created:
    """Write generation 1 of a new vault's configuration into an empty store.

    `keep` is given the keeper's credential and must make it durable before it returns: only then is the vault made.
    With a passphrase, it becomes a second recipient of the epoch key: it reads, it does not write.
    Raises RefusedError when there is a vault already.
    """
    if next(iter(store.list(CONFIG)), None) is not None:
        raise RefusedError(f"there is a vault at {store.url} already", hint="use it, or choose another place")
    _refuse_orphans(store)
    vault, now = os.urandom(16), clock.now_ns()
    keys_of = Suite.HYBRID_1 if suite is Suite.PLAIN else suite
    signer, opener = SigningKey.generate(keys_of), SealingKey.generate(keys_of)
    secrets = os.urandom(64)
    epochs: list[Epoch] = []
    if suite is not Suite.PLAIN:
        epoch = SealingKey.generate(suite)
        wrapped = epoch.to_bytes() + bytes.fromhex(fingerprint(signer.public))
        recipients = [keyfile_recipient(opener.public, label, wrapped, epoch_info(vault, 1))]
        if passphrase is not None:
            recipients.append(passphrase_recipient(passphrase, "passphrase", wrapped, epoch_info(vault, 1)))
        epochs.append(Epoch(1, epoch.public, recipients))
        stored_secrets = wrap_for_public(secrets, epoch.public, secrets_info(vault))
    else:
        stored_secrets = secrets
    config = Config(
        generation=1,
        created=now,
        suite=int(suite),
        epochs=epochs,
        secrets=stored_secrets,
        signers=[Signer("keeper", label, signer.public, now)],
    )
    keeper = Credential(
        role="keeper",
        vault_id=vault.hex(),
        label=label,
        signer=signer,
        opener=opener if epochs else None,
        keepers=(fingerprint(signer.public),),
    )
    keep(keeper)
    key = config_key(1)
    if not create_once(store, key, write_config(vault, int(suite), key, encode_record(config), signer)):
        raise RefusedError(f"somebody else has just created a vault at {store.url}")
    return Created(VaultId(vault.hex()), keeper)


def read_vault_id(store: Store) -> VaultId:
    """The id that a vault's configuration claims, to find a key by. Nothing is verified yet."""
    config, _ = _load_generations(store)[-1]
    return VaultId(config.vault.hex())


def read_suite(store: Store) -> Suite:
    """The suite that a vault's configuration claims. Nothing is verified yet."""
    stored, _ = _load_generations(store)[-1]
    return suite_of(stored.config.suite)


def read_keepers(store: Store) -> tuple[str, ...]:
    """Fingerprints of the keepers that a vault's configuration claims. Nothing is verified: for people to compare."""
    stored, _ = _load_generations(store)[-1]
    return tuple(mark for mark, keeper in _keepers(stored.config).items() if keeper.revoked is None)


def wants_key_service(store: Store) -> bool:
    """Whether the configuration claims that a key management service opens the vault. Nothing is verified."""
    stored, _ = _load_generations(store)[-1]
    return any(one.kind == KMS for epoch in stored.config.epochs for one in epoch.recipients)


def load_config(store: Store, pinned: Sequence[str], *, expected_vault: str = "") -> StoredConfig:
    """The highest generation, if it counts: its signer is pinned, or listed as keeper by one before it that counts.

    With no pins (a public vault without any key), generation 1 is taken at its word. Raises NotFoundError when there is
    no vault, WrongKeyError when it is not the expected one, UntrustedError when the highest generation is not signed by
    a trusted keeper, DamageError. A damaged older generation only matters where trust has to be followed through it.
    """
    damaged: list[DamageError] = []
    generations = _load_generations(store, damaged)
    newest = generations[-1][0]
    if expected_vault and newest.vault.hex() != expected_vault:
        raise _key_of_another_vault(expected_vault, newest)
    error = _doubts(generations, pinned)[-1]
    if error is not None and damaged:
        raise damaged[-1]
    if error is not None:
        raise error
    return newest


def trusted_generations(store: Store, pins: Sequence[str]) -> list[int]:
    """The generations that count, lowest first, given the fingerprints that a key pins. Others are of no keeper's.

    Raises what `load_config` raises, but for a highest generation that does not count: it is just not among them.
    """
    generations = _load_generations(store)
    doubts = _doubts(generations, pins)
    return [stored.config.generation for (stored, _), doubt in zip(generations, doubts, strict=True) if doubt is None]


def _doubts(generations: list[_Generation], pinned: Sequence[str]) -> list[UntrustedError | None]:
    """For each generation, oldest first: why it does not count, or None."""
    trusted = set(pinned)
    if not trusted and generations[-1][0].config.suite != Suite.PLAIN:
        raise CredentialError(
            "this key names no keeper whose signature would make the configuration count",
            hint="ask the keeper for a key file made by `holdfast key export-reader` or `export-writer`",
        )
    if not trusted:
        trusted = set(_keepers(generations[0][0].config))
    doubts = []
    for generation in generations:
        doubt = _doubt(generation, trusted)
        if doubt is None:
            config = generation[0].config
            trusted = {mark for mark, keeper in _keepers(config).items() if keeper.revoked is None}
        doubts.append(doubt)
    return doubts


def _doubt(generation: _Generation, trusted: set[str]) -> UntrustedError | None:
    stored, verify_signature = generation
    name = config_key(stored.config.generation)
    keeper = _keepers(stored.config).get(stored.signer)
    if stored.signer not in trusted or keeper is None:
        return UntrustedError(
            f"{name} is not signed by a keeper that this key trusts",
            hint=f"either the key is of another vault, or somebody else put it there; {_REMOVE}",
            object_name=name,
        )
    try:
        verify_signature(keeper.public)
    except UntrustedError as error:
        return UntrustedError(error.message, hint=_REMOVE, object_name=name)
    return None


def _keepers(config: Config) -> dict[str, Signer]:
    return {fingerprint(signer.public): signer for signer in config.signers if signer.role == "keeper"}


def unlock(stored: StoredConfig, credential: Credential | None, passphrase: str | KeyServices | None) -> VaultKeys:
    """All keys that the credential (or passphrase, or key service) opens. Raises WrongKeyError, CredentialError, and
    what key services raise.
    """
    vault, config = stored.vault, stored.config
    other = "key service" if isinstance(passphrase, KeyServices) else "passphrase"
    role, label = (credential.role, credential.label) if credential else ("reader", other)
    signer = credential.signer if credential else None
    private: dict[int, SealingKey] = {}
    if credential is not None and credential.vault_id != vault.hex():
        raise _key_of_another_vault(credential.vault_id, stored)
    if config.suite == Suite.PLAIN:
        secrets = config.secrets
        label = label if credential else "anyone"
    elif credential is not None and credential.role == "writer":
        if credential.chunk_id_key is None or credential.index_key is None:
            raise CredentialError("this writer's key lacks the vault's chunk-id and index keys")
        secrets = credential.chunk_id_key + credential.index_key
    else:
        opener: AnyOpener | None = credential.opener if credential is not None else passphrase
        private = private_keys(stored.vault, config, opener)
        last = config.epochs[-1].number
        if last not in private:
            raise WrongKeyError(f"this key opens no epoch of vault {vault.hex()} that is in use", hint=OTHER_KEY)
        secrets = unwrap_with_private(private[last], config.secrets, secrets_info(vault))
    if len(secrets) != 64:
        raise DamageError("the vault's configuration holds no valid secrets", object_name=CONFIG)
    return VaultKeys(vault, config, secrets[:32], secrets[32:], private, signer, label, role)


def pins_for_passphrase(store: Store, passphrase: str | KeyServices) -> tuple[str, ...]:
    """The keeper's fingerprint that was wrapped together with the epoch key: where trust starts without a key file.

    Nobody who does not know the passphrase can wrap another one. For key services this proves nothing, as the
    configuration names their keys, and may be anybody's: there the fingerprint comes with the opener.
    """
    if isinstance(passphrase, KeyServices):
        return passphrase.keepers
    stored, _ = _load_generations(store)[-1]
    wrong: WrongKeyError | None = None
    # Nothing is verified yet, so the epochs together may not list more than a few. The last one is in use.
    candidates = [
        (epoch.number, one) for epoch in stored.config.epochs[::-1] for one in likely_recipients(epoch, passphrase)
    ]
    for number, recipient in candidates[:RECIPIENTS_MAX]:
        try:
            _, keeper = opened_secret(recipient, passphrase, stored.vault, number)
        except WrongKeyError as error:
            wrong = error
            continue
        return (keeper,)
    if wrong is not None:
        raise wrong
    raise CredentialError("this vault cannot be opened by a passphrase", hint="set HOLDFAST_KEY_FILE to a key file")


def append_config(store: Store, keys: VaultKeys, config: Config) -> None:
    """Write the next generation. Raises ConflictError when somebody else wrote one in between."""
    signer = keys.require_keeper("changing the vault's configuration")

    def make(generation: int) -> bytes:
        if generation != config.generation:
            raise ConflictError("somebody else changed the vault's configuration meanwhile", hint="try again")
        return write_config(keys.vault, config.suite, config_key(generation), encode_record(config), signer)

    append_generation(store, CONFIG, make)


def read_generation(store: Store, key: str) -> _Generation:
    """One generation, and what verifies its signature, given a keeper's public key. Raises DamageError."""
    header, opened, verify_signature = read_config(key, store.get(key))
    config = decode_record(opened.body, Config, key)
    if config.generation != generation_of(key) or config.suite != header.suite or not _coherent(config):
        raise DamageError(f"{key} contradicts itself", object_name=key)
    return StoredConfig(header.vault, config, opened.signer), verify_signature


def _load_generations(store: Store, damaged: list[DamageError] | None = None) -> list[_Generation]:
    """All generations, oldest first; what is wrong with older ones goes to `damaged`. The newest must be sound.

    Generations that leap (see `series_of`) are nobody's, and are left to `check`.
    """
    sizes = {info.key: info.size for info in store.list(CONFIG)}
    keys = series_of(sizes, CONFIG).keys
    if not keys:
        _refuse_orphans(store)
        raise NotFoundError(
            f"there is no vault at {store.url}", hint=f"make one with `holdfast vault create {store.url}`"
        )
    newest = _read_newest(store, keys[-1], sizes[keys[-1]])
    generations = []
    for key in keys[:-1]:
        try:
            require_possible_size(key, sizes[key])
            generation = read_generation(store, key)
            if generation[0].vault != newest[0].vault:
                raise DamageError(f"{key} and {keys[-1]} belong to different vaults", object_name=key)
            generations.append(generation)
        except DamageError as error:
            if damaged is not None:
                damaged.append(error)
    return [*generations, newest]


def require_possible_size(key: str, size: int) -> None:
    """Before it is fetched: whoever writes to a store can make an object of any size. Raises DamageError."""
    if size > _STORED_MAX:
        raise DamageError(f"{key} is too large to be a configuration ({size} bytes)", object_name=key)


def _read_newest(store: Store, key: str, size: int) -> _Generation:
    try:
        require_possible_size(key, size)
        return read_generation(store, key)
    except UnsupportedFormatError:
        raise
    except DamageError as error:
        hint = f"copy it from another replica of the vault; {_REMOVE}"
        raise DamageError(error.message, hint=hint, object_name=key) from error


def _refuse_orphans(store: Store) -> None:
    """Packs without a configuration are a damaged vault: nobody must be led to make a new one over them."""
    if next(iter(store.list(PACKS)), None) is not None:
        raise DamageError(
            f"{store.url} holds packs, but its config/ is missing",
            hint="copy config/ from another replica of the vault; without it nothing can be opened",
            object_name=CONFIG,
        )


def _key_of_another_vault(vault_id: str, stored: StoredConfig) -> WrongKeyError:
    name = config_key(stored.config.generation)
    return WrongKeyError(
        f"this key is of vault {vault_id}, and {name} is of vault {stored.vault.hex()}",
        hint="use a key of that vault; or, if it should be the same, somebody replaced its configuration",
        object_name=name,
    )


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
