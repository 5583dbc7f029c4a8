"""Creating a vault, and opening its configuration: which keys there are, and whom to trust."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import NamedTuple

from holdfast.clock import Clock
from holdfast.errors import (
    ConflictError,
    CredentialError,
    DamageError,
    RefusedError,
    UntrustedError,
    WrongKeyError,
)
from holdfast.ids import VaultId
from holdfast.stores.protocol import Store
from holdfast.trust.credentials import Credential
from holdfast.trust.kms.services import KeyServices
from holdfast.trust.recipients import (
    keyfile_recipient,
    passphrase_recipient,
    unwrap_with_private,
    wrap_for_public,
)
from holdfast.trust.sealing import SealingKey
from holdfast.trust.signing import SigningKey, fingerprint
from holdfast.trust.suites import Suite
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
from holdfast.vault.access.generations import (
    REMOVE,
    Generation,
    Generations,
    StoredConfig,
    read_generations,
    refuse_orphans,
)
from holdfast.vault.format.documents import write_config
from holdfast.vault.format.keys import VaultKeys
from holdfast.vault.format.names import CONFIG, config_key
from holdfast.vault.format.records import Config, Epoch, Signer, encode_record
from holdfast.vault.format.series import append_generation, create_once

__all__ = [
    "Created",
    "create_vault",
    "claimed_config",
    "load_config",
    "trusted_config",
    "trusted_generations",
    "unlock",
    "append_config",
    "read_vault_id",
    "read_suite",
    "read_keepers",
    "pins_for_passphrase",
]


class Created(NamedTuple):
    """A new vault's id and the keeper's credential."""

    vault: VaultId
    keeper: Credential


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
    refuse_orphans(store)
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
    return read_generations(store).vault_id


def claimed_config(store: Store) -> StoredConfig:
    """The highest generation, as it says itself. Nothing is verified yet."""
    return read_generations(store).claimed


def read_suite(store: Store) -> Suite:
    """The suite that a vault's configuration claims. Nothing is verified yet."""
    return read_generations(store).suite


def read_keepers(store: Store) -> tuple[str, ...]:
    """Fingerprints of the keepers that a vault's configuration claims. Nothing is verified: for people to compare."""
    claimed = read_generations(store).claimed
    return tuple(mark for mark, keeper in _keepers(claimed.config).items() if keeper.revoked is None)


def load_config(store: Store, pinned: Sequence[str], *, expected_vault: str = "") -> StoredConfig:
    """`trusted_config` of what the store has now. Raises NotFoundError when there is no vault, too."""
    return trusted_config(read_generations(store), pinned, expected_vault=expected_vault)


def trusted_config(generations: Generations, pinned: Sequence[str], *, expected_vault: str = "") -> StoredConfig:
    """The highest generation, if it counts: its signer is pinned, or listed as keeper by one before it that counts.

    With no pins (a public vault without any key), generation 1 is taken at its word. Raises WrongKeyError when it is
    not the expected vault, UntrustedError when the highest generation is not signed by a trusted keeper, DamageError. A
    damaged older generation only matters where trust has to be followed through it.
    """
    newest = generations.claimed
    if expected_vault and newest.vault.hex() != expected_vault:
        raise _key_of_another_vault(expected_vault, newest)
    error = _doubts(generations.found, pinned)[-1]
    if error is not None and generations.damaged:
        raise generations.damaged[-1]
    if error is not None:
        raise error
    return newest


def trusted_generations(store: Store, pins: Sequence[str]) -> list[int]:
    """The generations that count, lowest first, given the fingerprints that a key pins. Others are of no keeper's.

    Raises what `load_config` raises, but for a highest generation that does not count: it is just not among them.
    """
    found = read_generations(store).found
    doubts = _doubts(found, pins)
    return [stored.config.generation for (stored, _), doubt in zip(found, doubts, strict=True) if doubt is None]


def _doubts(generations: list[Generation], pinned: Sequence[str]) -> list[UntrustedError | None]:
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


def _doubt(generation: Generation, trusted: set[str]) -> UntrustedError | None:
    stored, verify_signature = generation
    name = config_key(stored.config.generation)
    keeper = _keepers(stored.config).get(stored.signer)
    if stored.signer not in trusted or keeper is None:
        return UntrustedError(
            f"{name} is not signed by a keeper that this key trusts",
            hint=f"either the key is of another vault, or somebody else put it there; {REMOVE}",
            object_name=name,
        )
    try:
        verify_signature(keeper.public)
    except UntrustedError as error:
        return UntrustedError(error.message, hint=REMOVE, object_name=name)
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


def pins_for_passphrase(generations: Generations, passphrase: str | KeyServices) -> tuple[str, ...]:
    """The keeper's fingerprint that was wrapped together with the epoch key: where trust starts without a key file.

    Nobody who does not know the passphrase can wrap another one. For key services this proves nothing, as the
    configuration names their keys, and may be anybody's: there the fingerprint comes with the opener.
    """
    if isinstance(passphrase, KeyServices):
        return passphrase.keepers
    stored = generations.claimed
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


def _key_of_another_vault(vault_id: str, stored: StoredConfig) -> WrongKeyError:
    name = config_key(stored.config.generation)
    return WrongKeyError(
        f"this key is of vault {vault_id}, and {name} is of vault {stored.vault.hex()}",
        hint="use a key of that vault; or, if it should be the same, somebody replaced its configuration",
        object_name=name,
    )
