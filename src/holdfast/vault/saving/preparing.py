"""What is looked at before a save begins: may this key still write, where is the source, what did others leave."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Protocol, runtime_checkable

from holdfast.errors import HoldfastError, RefusedError, UntrustedError, WrongKeyError
from holdfast.trust.signing import fingerprint
from holdfast.vault.access.configuration import load_config
from holdfast.vault.access.descent import require_descent, seen_config
from holdfast.vault.format.header import Kind
from holdfast.vault.format.keys import MAY_SIGN
from holdfast.vault.format.records import Config
from holdfast.vault.handle import Handle
from holdfast.vault.saving.tree import Tree
from holdfast.vault.saving.unfinished import Marks, SaveMark

__all__ = ["prepare_save", "renew_keys"]

_SEARCHED, _TIDIED = "searched", "tidied"
_LEFTOVER_AGE_NS = 24 * 3600 * 10**9  # longer than any write of one object takes


@runtime_checkable
class _InFolder(Protocol):
    """A store whose objects lie in a folder of this machine."""

    @property
    def path(self) -> Path: ...


@runtime_checkable
class _KeepsLeftovers(Protocol):
    """A store on which a killed writer leaves unfinished objects."""

    def remove_leftovers(self, *, written_before_ns: int) -> int: ...


def prepare_save(handle: Handle, tree: Tree | None) -> SaveMark:
    """Bring configuration and index up to date, and tidy up. The mark is to be held (`with`) while the save runs.

    Raises CredentialError (UntrustedError when this key's signatures do not count any more), RefusedError when source
    and vault lie in each other, and what the store raises.
    """
    handle.keys.require_writer("saving")
    if tree is not None:
        _refuse_overlap(handle, tree)
    renew_keys(handle, "saving")
    handle.refresh()  # what others have stored since is not stored twice, what is gone is not relied upon
    marks = Marks(handle.keys.vault, handle.store)
    unfinished = marks.unfinished()
    mark = marks.begin()
    _look_for_leftovers(handle, marks, killed=bool(unfinished))
    if handle.keys.can_read:  # else nobody looked for what these saves left
        marks.remove(unfinished)
    return mark


def _look_for_leftovers(handle: Handle, marks: Marks, *, killed: bool) -> None:
    """Packs and temporary files of saves that were killed: the whole store is listed for them, so not at every save.

    A save of this machine that was killed is known of; for those of others, once a day is enough.
    """
    now = handle.clock.now_ns()
    if handle.keys.can_read and (killed or marks.is_due(_SEARCHED, now)):
        handle.index.add_unlisted(handle.store, handle.keys, handle.progress)
        marks.note(_SEARCHED, now)
    if killed or marks.is_due(_TIDIED, now):
        _remove_leftovers(handle)
        marks.note(_TIDIED, now)


def renew_keys(handle: Handle, what: str) -> None:
    """A vault may stay open for weeks: who may write, and for whom it is sealed, is read anew. `what` needs it.

    Raises CredentialError, UntrustedError when this key's signatures do not count any more, and what the store raises.
    """
    keys = handle.keys
    signer = keys.require_writer(what)
    # Also revoked keepers: the chain of generations may begin with them. The last one that counts says who is trusted.
    pins = [fingerprint(known.public) for known in keys.config.signers if known.role == "keeper"]
    config = load_config(handle.store, pins, expected_vault=keys.vault.hex()).config
    require_descent(handle.store, seen_config(keys.config), config)
    _require_counted(config, fingerprint(signer.public), keys.label, handle.clock.now_ns())
    if keys.private and config.epochs[-1].number not in keys.private:
        raise WrongKeyError("the vault has a new epoch, which this key was not opened for", hint="open the vault anew")
    handle.keys = replace(keys, config=config)


def _require_counted(config: Config, mark: str, label: str, now_ns: int) -> None:
    mine = next((known for known in config.signers if fingerprint(known.public) == mark), None)
    if mine is None or mine.role not in MAY_SIGN[Kind.ROOT]:
        raise UntrustedError(f"the vault's configuration does not list {label!r} as a writer", hint="ask the keeper")
    if mine.revoked is not None and mine.revoked <= now_ns:
        raise UntrustedError(
            f"the key of {label!r} was revoked: nothing that it signs counts any more",
            hint="ask the keeper for a new key file",
        )


def _refuse_overlap(handle: Handle, tree: Tree) -> None:
    if not isinstance(handle.store, _InFolder):
        return
    vault, source = handle.store.path.resolve(), tree.items[0].path.resolve()
    if source == vault or vault in source.parents:
        what = f"{source} lies in the vault {vault}"
    elif source in vault.parents:
        what = f"{source} holds the vault {vault}, which would grow with what is saved"
    else:
        return
    raise RefusedError(f"not saved: {what}", hint="keep vault and source in folders apart", object_name=str(source))


def _remove_leftovers(handle: Handle) -> None:
    if not isinstance(handle.store, _KeepsLeftovers):
        return
    try:
        handle.store.remove_leftovers(written_before_ns=handle.clock.now_ns() - _LEFTOVER_AGE_NS)
    except HoldfastError as error:
        handle.progress.note(f"unfinished objects of killed saves stay: {error.message}")
