"""Who may do what: letting writers and readers into a vault, revoking writers, and new keys. Only a keeper can."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from holdfast.errors import CredentialError, NotFoundError, RefusedError, UsageError, WrongKeyError
from holdfast.trust.credentials import Credential
from holdfast.trust.kms.services import KeyServices, key_uri_of
from holdfast.trust.recipients import KMS, PASSPHRASE, WITH_PUBLIC_KEY, Recipient
from holdfast.trust.sealing import SealingKey
from holdfast.trust.signing import SigningKey, fingerprint
from holdfast.trust.suites import Suite
from holdfast.vault.access.epochs import opens_epoch, wrap_epoch, wrap_epoch_by, wrap_epoch_under, wrap_secrets
from holdfast.vault.access.governing import keys_with, newest_config, require_free_label, require_open, write_generation
from holdfast.vault.format.keys import VaultKeys
from holdfast.vault.format.records import Config, Epoch, Signer
from holdfast.vault.handle import Handle

__all__ = ["admit_keeper", "admit_writer", "admit_reader", "revoke_signer", "rotate_epoch"]


def admit_writer(handle: Handle, label: str, *, keep: Callable[[Credential], None] | None = None) -> Credential:
    """A new writer's credential: it adds snapshots, and neither reads nor deletes.

    `keep` is given the credential and must make it durable before it returns: only then is the writer admitted.
    Raises CredentialError, RefusedError (the label is taken), ConflictError.
    """
    config = newest_config(handle, "admitting a writer")
    require_free_label(config, label)
    signer = SigningKey.generate(_suite_of_keys(handle))
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
    write_generation(handle, msgspec.structs.replace(config, signers=[*config.signers, entry]))
    return credential


def admit_reader(handle: Handle, label: str, *, keep: Callable[[Credential], None] | None = None) -> Credential:
    """A new reader's credential: it reads everything of the epochs so far, and writes nothing.

    `keep` and errors are those of `admit_writer`; UsageError when the vault is not encrypted, WrongKeyError when it has
    an epoch that it was not opened for.
    """
    config = newest_config(handle, "admitting a reader")
    if handle.keys.suite is Suite.PLAIN:
        raise UsageError("this vault is not encrypted: everybody who reaches it can read it")
    require_free_label(config, label)
    require_open(handle, config)
    opener = SealingKey.generate(handle.keys.suite)
    credential = Credential(
        role="reader", vault_id=handle.keys.vault.hex(), label=label, opener=opener, keepers=_keepers(config)
    )
    if keep is not None:
        keep(credential)
    epochs = _wrapped_for_all(handle, config, label, opener)
    write_generation(handle, msgspec.structs.replace(config, epochs=epochs))
    return credential


def admit_keeper(handle: Handle, label: str, *, keep: Callable[[Credential], None] | None = None) -> Credential:
    """Another keeper's credential: it may all that this one may, and take its place.

    Its keys are of the vault's suite. `keep` and errors are those of `admit_reader`; where nothing is encrypted, it
    signs, and opens nothing.
    """
    config = newest_config(handle, "admitting a keeper")
    require_free_label(config, label)
    signer, opener, epochs = SigningKey.generate(_suite_of_keys(handle)), None, config.epochs
    if handle.keys.suite is not Suite.PLAIN:
        require_open(handle, config)
        opener = SealingKey.generate(handle.keys.suite)
        epochs = _wrapped_for_all(handle, config, label, opener)
    credential = Credential(
        role="keeper",
        vault_id=handle.keys.vault.hex(),
        label=label,
        signer=signer,
        opener=opener,
        keepers=(*_keepers(config), fingerprint(signer.public)),
    )
    if keep is not None:
        keep(credential)
    entry = Signer("keeper", label, signer.public, handle.clock.now_ns())
    write_generation(handle, msgspec.structs.replace(config, epochs=epochs, signers=[*config.signers, entry]))
    return credential


def _wrapped_for_all(handle: Handle, config: Config, label: str, opener: SealingKey) -> list[Epoch]:
    """The epochs, wrapped for one more. One that this keeper does not open, nobody gets from here."""
    epochs = []
    for epoch in config.epochs:
        recipients = list(epoch.recipients)
        if epoch.number in handle.keys.private:
            recipients.append(wrap_epoch(handle.keys, epoch.number, label, opener.public))
        epochs.append(Epoch(epoch.number, epoch.public, recipients))
    return epochs


def revoke_signer(handle: Handle, label: str) -> Signer:
    """From now on, what that writer or keeper signs does not count. What it signed before stays. Returns it, revoked.

    A keeper's key that opens goes on opening: it is a recipient's. Raises NotFoundError, RefusedError for the key that
    this is done with and for a reader (who has the keys), CredentialError, ConflictError.
    """
    config = newest_config(handle, "revoking a member")
    found = [signer for signer in config.signers if signer.label == label and signer.revoked is None]
    if not found and any(label == one.label for epoch in config.epochs for one in epoch.recipients):
        raise RefusedError(
            f"{label!r} can read, which cannot be taken back: what it opened once it may have kept",
            hint="`holdfast key remove-recipient`, then `holdfast key rotate`, protect what is written from then on",
        )
    if not found:
        raise NotFoundError(f"there is no writer {label!r} whose signatures count", hint="see `holdfast vault info`")
    if found[0].public == handle.keys.require_keeper("revoking a member").public:
        raise RefusedError(
            f"{label!r} is the key that this is done with: a keeper is revoked by another one",
            hint="a vault without a keeper could not be changed any more",
        )
    revoked = msgspec.structs.replace(found[0], revoked=handle.clock.now_ns())
    signers = [revoked if signer is found[0] else signer for signer in config.signers]
    write_generation(handle, msgspec.structs.replace(config, signers=signers), takes=True)
    return revoked


def rotate_epoch(
    handle: Handle,
    *,
    passphrase: str | None = None,
    services: KeyServices | None = None,
    suite: Suite | None = None,
) -> int:
    """Open a new epoch: what is written by those who open the vault from now on is sealed to a new key pair.

    `suite`: of that key pair, and of new members' keys; never a lower one. Who was a member before keeps its keys, and
    whoever opens the last epoch opens the new one. Nothing that is stored is rewritten: it stays under the epoch that
    it was written in, whose key its readers keep. Returns the new epoch's number. `passphrase`: the vault's, if it has
    one; `services` wrap for recipients that open by a key service. Raises CredentialError, WrongKeyError, UsageError
    (the vault is not encrypted), RefusedError, ConflictError, and what a key service raises: then nothing is changed.
    """
    config = newest_config(handle, "opening a new epoch")
    if handle.keys.suite is Suite.PLAIN:
        raise UsageError("this vault is not encrypted: it has no keys to rotate")
    last = config.epochs[-1]
    require_open(handle, config)
    suite = suite or Suite(config.suite)
    if suite < config.suite:
        raise RefusedError(f"this vault has suite {config.suite}, and a suite is never lowered")
    number, key = last.number + 1, SealingKey.generate(suite)
    keys = keys_with(handle, config, {**handle.keys.private, number: key})
    recipients = [_wrapped_anew(keys, last, one, number, passphrase, services) for one in last.recipients]
    epochs = [*config.epochs, Epoch(number, key.public, recipients)]
    secrets = wrap_secrets(keys, key.public)
    following = msgspec.structs.replace(config, epochs=epochs, secrets=secrets, suite=int(suite))
    write_generation(handle, following, {number: key})
    return number


def _suite_of_keys(handle: Handle) -> Suite:
    """Of the keys of new members: in a vault of public data, too, they sign."""
    return Suite.HYBRID_1 if handle.keys.suite is Suite.PLAIN else handle.keys.suite


def _wrapped_anew(
    keys: VaultKeys,
    last: Epoch,
    recipient: Recipient,
    number: int,
    passphrase: str | None,
    services: KeyServices | None,
) -> Recipient:
    if recipient.kind in WITH_PUBLIC_KEY:
        return wrap_epoch(keys, number, recipient.label, recipient.public, recipient.kind)
    if recipient.kind == KMS:
        return wrap_epoch_by(keys, number, recipient.label, key_uri_of(recipient), services or KeyServices())
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


def _keepers(config: Config) -> tuple[str, ...]:
    keepers = (signer for signer in config.signers if signer.role == "keeper" and signer.revoked is None)
    return tuple(fingerprint(signer.public) for signer in keepers)
