"""Who opens a vault: letting recipients in and taking them out again. Only a keeper can.

Both write one generation of the configuration, a few kilobytes, and touch nothing else: no pack, and nothing that is
wrapped for others. Taking out says what is not wrapped any more from now on. It takes back nothing: earlier generations
of the configuration stay on the store, and whoever opened the vault may have kept its keys. `rotate_epoch` is what
protects what is written afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from holdfast.errors import NotFoundError, RefusedError, UsageError, WrongKeyError
from holdfast.trust.kms.port import parse_key_uri
from holdfast.trust.kms.services import KeyServices
from holdfast.trust.recipient_file import RecipientFile
from holdfast.trust.recipients import KMS, PASSPHRASE, SHARES, WITH_PUBLIC_KEY, Recipient, recipient_id
from holdfast.trust.shares import Share, split_key
from holdfast.trust.signing import fingerprint
from holdfast.trust.suites import Suite
from holdfast.vault.access.epochs import wrap_epoch, wrap_epoch_by, wrap_epoch_under
from holdfast.vault.access.governing import newest_config, require_free_label, require_open, write_generation
from holdfast.vault.format.keys import VaultKeys
from holdfast.vault.format.records import Config, Epoch
from holdfast.vault.handle import Handle

__all__ = [
    "Added",
    "Removed",
    "add_from_file",
    "add_passphrase",
    "add_key_service",
    "add_shares",
    "remove_recipient",
]

_KNOWN = (*WITH_PUBLIC_KEY, PASSPHRASE, KMS)
_Wrap = Callable[[VaultKeys, int], Recipient]


class Added(NamedTuple):
    """A new recipient: its kind, its id in the last epoch, and the numbers of the epochs that it opens."""

    label: str
    kind: str
    id: str
    epochs: list[int]


class Removed(NamedTuple):
    """Who is wrapped for no longer: the kind, the epochs that it opened, and who opens the last one now."""

    label: str
    kind: str
    epochs: list[int]
    remaining: list[str]


def add_from_file(handle: Handle, recipient: RecipientFile) -> Added:
    """Let in whoever made a recipient file. Raises WrongKeyError (of another vault), RefusedError (the label or the key
    is in the vault already), CredentialError, ConflictError, UsageError (the vault is not encrypted).
    """
    if recipient.vault != handle.keys.vault.hex():
        raise WrongKeyError(
            f"the recipient {recipient.label!r} is of vault {recipient.vault}, and this is {handle.keys.vault.hex()}",
            hint="make it for this vault: `holdfast key create LABEL --vault …`",
        )
    return _add(
        handle, recipient.label, lambda keys, number: wrap_epoch(keys, number, recipient.label, recipient.public)
    )


def add_passphrase(handle: Handle, label: str, passphrase: str) -> Added:
    """Let in whoever knows a passphrase. A vault has one at most, as rotating needs all of them. Errors as above."""
    config = newest_config(handle, "adding a recipient")
    if config.epochs and any(one.kind == PASSPHRASE for one in config.epochs[-1].recipients):
        raise RefusedError(
            "this vault opens by a passphrase already", hint="remove it first: `holdfast key remove-recipient`"
        )
    return _add(handle, label, lambda keys, number: wrap_epoch_under(keys, number, label, passphrase))


def add_key_service(handle: Handle, label: str, uri: str, services: KeyServices) -> Added:
    """Let in whoever may use a key of a key management service. The service is asked once for each epoch.

    Errors as above, and what the service raises.
    """
    parse_key_uri(uri)
    return _add(handle, label, lambda keys, number: wrap_epoch_by(keys, number, label, uri, services))


def add_shares(
    handle: Handle, label: str, *, shares: int, threshold: int, keep: Callable[[Sequence[Share]], None]
) -> Added:
    """Let in a key that exists in shares only. `keep` must make them durable before it returns: only then is it let in.

    Errors as above.
    """
    signer = handle.keys.require_keeper("splitting a key")
    _require_addable(newest_config(handle, "splitting a key"), handle, label)
    suite = Suite(handle.keys.suite)
    split = split_key(
        handle.keys.vault.hex(), label, fingerprint(signer.public), shares=shares, threshold=threshold, suite=suite
    )
    keep(split.shares)
    return _add(handle, label, lambda keys, number: wrap_epoch(keys, number, label, split.public, SHARES))


def _add(handle: Handle, label: str, wrap: _Wrap) -> Added:
    config = newest_config(handle, "adding a recipient")
    _require_addable(config, handle, label)
    epochs, opened, added = [], [], None
    for epoch in config.epochs:
        if epoch.number not in handle.keys.private:  # this keeper does not open it, so nobody gets it from here
            epochs.append(epoch)
            continue
        added = wrap(handle.keys, epoch.number)
        if added.kind in WITH_PUBLIC_KEY and any(one.public == added.public for one in epoch.recipients):
            raise RefusedError(f"the key {recipient_id(added.public)} opens this vault already, under another label")
        epochs.append(Epoch(epoch.number, epoch.public, [*epoch.recipients, added]))
        opened.append(epoch.number)
    assert added is not None, "the last epoch is open: it was asked for"
    write_generation(handle, msgspec.structs.replace(config, epochs=epochs))
    return Added(label, added.kind, added.id, opened)


def _require_addable(config: Config, handle: Handle, label: str) -> None:
    if handle.keys.suite is Suite.PLAIN:
        raise UsageError("this vault is not encrypted: everybody who reaches it can read it")
    require_free_label(config, label)
    require_open(handle, config)


def remove_recipient(handle: Handle, label: str) -> Removed:
    """Wrap nothing for a recipient any more. What it could open until now it still can; a new epoch it cannot.

    Raises NotFoundError, RefusedError (the last one that opens, the key in use), CredentialError, ConflictError.
    """
    config = newest_config(handle, "removing a recipient")
    found = [(epoch, one) for epoch in config.epochs for one in epoch.recipients if one.label == label]
    if not found:
        raise NotFoundError(f"there is no recipient {label!r}", hint="see `holdfast vault info`")
    gone = [one for _, one in found]
    _require_others(config, gone)
    own = handle.keys.label
    if any(one.label == own and one.kind in WITH_PUBLIC_KEY for one in gone):
        raise RefusedError(
            f"{label!r} is the key that this is done with: without it the keeper could not open the vault any more",
            hint="only others can be removed",
        )
    epochs = [
        Epoch(epoch.number, epoch.public, [one for one in epoch.recipients if one.label != label])
        for epoch in config.epochs
    ]
    write_generation(handle, msgspec.structs.replace(config, epochs=epochs), takes=True)
    remaining = [one.label for one in epochs[-1].recipients]
    return Removed(label, gone[-1].kind, [epoch.number for epoch, _ in found], remaining)


def _require_others(config: Config, gone: Sequence[Recipient]) -> None:
    for epoch in config.epochs:
        before = [one for one in epoch.recipients if one.kind in _KNOWN]
        if before and all(one in gone for one in before):
            raise RefusedError(
                f"{gone[0].label!r} is the last one that opens epoch {epoch.number}: "
                "what is sealed to it could never be read again",
                hint="add another recipient first: `holdfast key add-recipient`",
            )
