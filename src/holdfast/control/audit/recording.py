"""What is done with a vault, recorded in its audit log: a journal for each opened vault, and a vault that keeps one."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from holdfast.audit.entries import Actor, check_entry, decode_leaf
from holdfast.audit.journal import Journal, NameHasher, SilentJournal, StoreJournal, Write, make_entry
from holdfast.audit.layout import DECLARATIONS
from holdfast.errors import CredentialError, DamageError, HoldfastError
from holdfast.homes import state_home
from holdfast.trust.signing import fingerprint
from holdfast.vault.handle import Handle

if TYPE_CHECKING:  # a vault without a log pays for none of it
    from holdfast.audit.groups import Head
    from holdfast.control.audit.auditing import AuditLog

__all__ = ["ORIGIN_VARIABLE", "journal_of", "record_by_hand"]

ORIGIN_VARIABLE = "HOLDFAST_ORIGIN"


def journal_of(handle: Handle, *, environment: Mapping[str, str] = os.environ) -> Journal:
    """The journal of who opened this vault. Costs one listing; where there is no log, and was none, that is all.

    A member that signs writes to the spool. A reader, and who opened with a passphrase, has no key that signs: where
    the log's own key lies on this machine its entries go into the log, and else nothing can be written (and each
    record says so). Never raises: a vault whose log cannot be had is used all the same, loudly.
    """
    try:
        if next(iter(handle.store.list(DECLARATIONS)), None) is None and not _met(handle, environment):
            return SilentJournal()
        from holdfast.control.audit.auditing import find_log

        log = find_log(handle, environment=environment)
    except HoldfastError as error:
        handle.progress.note(f"the audit log of this vault cannot be used: {error.message}")
        return _journal(handle, None, environment, error)
    return SilentJournal() if log is None else _journal(handle, log, environment, None)


def _met(handle: Handle, environment: Mapping[str, str]) -> bool:
    """Whether this machine saw a log there before; then it is looked for properly, and missed."""
    home = state_home(environment)
    if home is None or next((home / "holdfast" / "audit").glob("*.met.json"), None) is None:
        return False  # it never saw any
    from holdfast.audit.remembered import Met

    try:
        Met(environment, handle.store, handle.keys.vault.hex()).require_never()
    except DamageError:
        return True
    return False


def record_by_hand(
    handle: Handle,
    log: AuditLog,
    action: str,
    decision: str,
    policies: Sequence[str],
    objects: Mapping[str, str],
    outcome: str,
    *,
    environment: Mapping[str, str] = os.environ,
) -> str:
    """One entry in the name of whoever opened the vault; returns what was written, in words. Raises UsageError, …"""
    actor = _actor(handle)
    entry = make_entry(actor, action, decision, policies, objects, outcome, _origin(environment), handle.clock.now_ns())
    check_entry(entry)
    write = _writing(handle, log, environment)
    if write is None:
        raise _no_key(handle)
    written = write(entry)
    return written if isinstance(written, str) else f"entry {entry.id}"


def _journal(
    handle: Handle, log: AuditLog | None, environment: Mapping[str, str], trouble: HoldfastError | None
) -> Journal:
    plain_names = log is not None and log.declared.newest.names

    def refuse(entry: object) -> None:
        raise trouble or _no_key(handle)

    write = _writing(handle, log, environment) if log is not None else None
    return StoreJournal(
        _actor(handle),
        write or refuse,
        hasher=None if plain_names else NameHasher(handle.keys.chunk_id_key),
        origin=_origin(environment),
        clock=handle.clock,
        progress=handle.progress,
    )


def _actor(handle: Handle) -> Actor:
    keys = handle.keys
    # The fingerprint is for what the member signs itself: of others' word about it, `verify` says that it is not.
    mark = fingerprint(keys.signer.public) if keys.signer is not None and keys.can_write else ""
    return Actor(fingerprint=mark, label=keys.label, role=keys.role or "unknown")


def _origin(environment: Mapping[str, str]) -> str:
    return environment.get(ORIGIN_VARIABLE, "")[:200]


def _no_key(handle: Handle) -> CredentialError:
    return CredentialError(
        f"{handle.keys.label or 'this key'} has no key that signs, and the log's own key is not on this machine",
        hint="open the vault with a writer's or keeper's key, or through a server that keeps the log",
        object_name=DECLARATIONS,
    )


def _writing(handle: Handle, log: AuditLog, environment: Mapping[str, str]) -> Write | None:
    signer = handle.keys.signer
    if signer is not None and handle.keys.can_write:
        from holdfast.audit.remembered import MemberMemory
        from holdfast.audit.spool import Spool

        memory = MemberMemory(environment, log.store, log.declared.origin, handle.progress)
        mark = fingerprint(signer.public)
        return Spool(
            log.store,
            log.declared.origin,
            signer,
            memory=memory,
            sequenced=partial(_last_in_log, log, mark),
            holds=partial(_is_in_log, log, mark),
        ).append
    if log.has_key():
        return lambda entry: log.append([entry])
    return None


def _last_in_log(log: AuditLog, member: str) -> Head:
    """Where the store has no other trace of this member: its last entry in the log itself."""
    from holdfast.audit.groups import NO_HEAD
    from holdfast.audit.heads import members_heads

    newest = log.reader.newest()
    if newest is None:
        return NO_HEAD
    return members_heads(log.reader, newest).get(member, NO_HEAD)


def _is_in_log(log: AuditLog, member: str, head: Head) -> bool:
    """Whether that very entry is in the log. Reads all of it: asked where two machines with one key met, and lost."""
    from holdfast.audit.groups import head_of

    newest = log.reader.newest()
    if newest is None:
        return False
    for number, data in log.reader.checked_entries(newest.checkpoint):
        signed = decode_leaf(data, f"entry {number}").signed
        same = signed is not None and (signed.member, signed.number) == (member, head.number)
        if same and head_of(head.number, data) == head:
            return True
    return False
