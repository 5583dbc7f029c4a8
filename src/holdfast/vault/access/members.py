"""Who may do what: letting writers and readers into a vault, revoking writers, and new keys. Only a keeper can."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import msgspec

from holdfast.errors import CredentialError, NotFoundError, RefusedError, UsageError, WrongKeyError
from holdfast.trust.credentials import Credential
from holdfast.trust.recipients import KEYFILE, PASSPHRASE, Recipient
from holdfast.trust.sealing import SealingKey
from holdfast.trust.signing import SigningKey, fingerprint
from holdfast.trust.suites import Suite
from holdfast.vault.access.configuration import append_config, load_config
from holdfast.vault.access.epochs import opens_epoch, wrap_epoch, wrap_epoch_under, wrap_secrets
from holdfast.vault.format.keys import VaultKeys
from holdfast.vault.format.records import Config, Epoch, Signer
from holdfast.vault.handle import Handle

__all__ = ["admit_writer", "admit_reader", "revoke_signer", "rotate_epoch"]


def admit_writer(handle: Handle, label: str, *, keep: Callable[[Credential], None] | None = None) -> Credential:
    """A new writer's credential: it adds snapshots, and neither reads nor deletes.

    `keep` is given the credential and must make it durable before it returns: only then is the writer admitted.
    Raises CredentialError, RefusedError (the label is taken), ConflictError.
    """
    config = _newest(handle, "admitting a writer")
    _require_free(config, label)
    signer = SigningKey.generate()
    credential = Credential(
        role="writer",
        vault_id=handle.keys.vault.hex(),
        label=label,
        signer=signer,
        chunk_id_key=handle.keys.chunk_id_key,
        index_key=handle.keys.index_key,
        keepers=_keepers(config),
    )
    if keep is not None:
        keep(credential)
    entry = Signer("writer", label, signer.public, handle.clock.now_ns())
    _write(handle, msgspec.structs.replace(config, signers=[*config.signers, entry]))
    return credential


def admit_reader(handle: Handle, label: str, *, keep: Callable[[Credential], None] | None = None) -> Credential:
    """A new reader's credential: it reads everything of the epochs so far, and writes nothing.

    `keep` and errors are those of `admit_writer`; UsageError when the vault is not encrypted.
    """
    config = _newest(handle, "admitting a reader")
    if handle.keys.suite is Suite.PLAIN:
        raise UsageError("this vault is not encrypted: everybody who reaches it can read it")
    _require_free(config, label)
    opener = SealingKey.generate()
    credential = Credential(
        role="reader", vault_id=handle.keys.vault.hex(), label=label, opener=opener, keepers=_keepers(config)
    )
    if keep is not None:
        keep(credential)
    epochs = [
        Epoch(
            epoch.number,
            epoch.public,
            [*epoch.recipients, wrap_epoch(handle.keys, epoch.number, label, opener.public)],
        )
        for epoch in config.epochs
    ]
    _write(handle, msgspec.structs.replace(config, epochs=epochs))
    return credential


def revoke_signer(handle: Handle, label: str) -> None:
    """From now on, what that writer signs does not count. What it signed before stays.

    Raises NotFoundError, RefusedError for a keeper and for a reader (who has the keys), CredentialError, ConflictError.
    """
    config = _newest(handle, "revoking a writer")
    found = [signer for signer in config.signers if signer.label == label and signer.revoked is None]
    if not found and any(label == one.label for epoch in config.epochs for one in epoch.recipients):
        raise RefusedError(
            f"{label!r} can read, which cannot be taken back: what it opened once it may have kept",
            hint="only writers are revoked",
        )
    if not found:
        raise NotFoundError(f"there is no writer {label!r} whose signatures count", hint="see `holdfast vault info`")
    if found[0].role == "keeper":
        raise RefusedError(f"{label!r} is a keeper, and a keeper is not revoked this way")
    now = handle.clock.now_ns()
    signers = [msgspec.structs.replace(s, revoked=now) if s is found[0] else s for s in config.signers]
    _write(handle, msgspec.structs.replace(config, signers=signers))


def rotate_epoch(handle: Handle, *, passphrase: str | None = None) -> int:
    """Open a new epoch: what is written by those who open the vault from now on is sealed to a new key pair.

    Whoever opens the last epoch opens the new one. Nothing that is stored is rewritten: it stays under the epoch that
    it was written in, whose key its readers keep. Returns the new epoch's number. `passphrase`: the vault's, if it has
    one. Raises CredentialError, WrongKeyError, UsageError (the vault is not encrypted), RefusedError, ConflictError.
    """
    config = _newest(handle, "opening a new epoch")
    if handle.keys.suite is Suite.PLAIN:
        raise UsageError("this vault is not encrypted: it has no keys to rotate")
    last = config.epochs[-1]
    if last.number not in handle.keys.private:
        raise WrongKeyError("the vault has a new epoch, which this key was not opened for", hint="open the vault anew")
    number, key = last.number + 1, SealingKey.generate()
    keys = _keys(handle, config, {**handle.keys.private, number: key})
    recipients = [_wrapped_anew(keys, last, one, number, passphrase) for one in last.recipients]
    epochs = [*config.epochs, Epoch(number, key.public, recipients)]
    secrets = wrap_secrets(keys, key.public)
    _write(handle, msgspec.structs.replace(config, epochs=epochs, secrets=secrets), {number: key})
    return number


def _wrapped_anew(keys: VaultKeys, last: Epoch, recipient: Recipient, number: int, passphrase: str | None) -> Recipient:
    if recipient.kind == KEYFILE:
        return wrap_epoch(keys, number, recipient.label, recipient.public)
    if recipient.kind != PASSPHRASE:
        raise RefusedError(
            f"{recipient.label!r} opens the vault in a way that this version does not know, and would be shut out",
            hint="update holdfast",
        )
    if passphrase is None:
        raise CredentialError(
            "the vault opens by a passphrase, too, which would not open what is written from now on",
            hint="set HOLDFAST_PASSPHRASE to it",
        )
    if not opens_epoch(keys, last.number, recipient, passphrase):
        raise WrongKeyError("HOLDFAST_PASSPHRASE is not the passphrase that opens the vault now")
    return wrap_epoch_under(keys, number, recipient.label, passphrase)


def _require_free(config: Config, label: str) -> None:
    taken = {signer.label for signer in config.signers}
    taken |= {recipient.label for epoch in config.epochs for recipient in epoch.recipients}
    if label in taken:
        raise RefusedError(f"there is a member {label!r} of this vault already", hint="choose another label")


def _newest(handle: Handle, what: str) -> Config:
    signer = handle.keys.require_keeper(what)
    return load_config(handle.store, [fingerprint(signer.public)]).config


def _write(handle: Handle, config: Config, new: Mapping[int, SealingKey] = MappingProxyType({})) -> None:
    following = msgspec.structs.replace(config, generation=config.generation + 1, created=handle.clock.now_ns())
    append_config(handle.store, handle.keys, following)
    handle.keys = _keys(handle, following, {**handle.keys.private, **new})


def _keys(handle: Handle, config: Config, private: Mapping[int, SealingKey]) -> VaultKeys:
    keys = handle.keys
    return VaultKeys(keys.vault, config, keys.chunk_id_key, keys.index_key, private, keys.signer, keys.label, keys.role)


def _keepers(config: Config) -> tuple[str, ...]:
    keepers = (signer for signer in config.signers if signer.role == "keeper" and signer.revoked is None)
    return tuple(fingerprint(signer.public) for signer in keepers)
