"""What is done with a vault, recorded in its audit log: a journal for each opened vault, and a vault that keeps one."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import partial

from holdfast.audit.entries import Actor, check_entry
from holdfast.audit.heads import members_heads
from holdfast.audit.journal import Journal, NameHasher, SilentJournal, StoreJournal, Write, make_entry
from holdfast.audit.layout import DECLARATIONS
from holdfast.audit.remembered import MemberMemory
from holdfast.audit.spool import NO_HEAD, Head, Spool
from holdfast.control.auditing import AuditLog, find_log
from holdfast.errors import CredentialError, HoldfastError
from holdfast.trust.signing import fingerprint
from holdfast.vault.handle import Handle

__all__ = ["ORIGIN_VARIABLE", "journal_of", "record_by_hand"]

ORIGIN_VARIABLE = "HOLDFAST_ORIGIN"


def journal_of(handle: Handle, *, environment: Mapping[str, str] = os.environ) -> Journal:
    """The journal of who opened this vault. Costs one listing; where there is no log, that is all it ever costs.

    A member that signs writes to the spool. A reader, and who opened with a passphrase, has no key that signs: where
    the log's own key lies on this machine its entries go into the log, and else nothing can be written (and each
    record says so). Never raises: a vault whose log cannot be had is used all the same, loudly.
    """
    try:
        log = find_log(handle, environment=environment)
    except HoldfastError as error:
        handle.progress.note(f"the audit log of this vault cannot be used: {error.message}")
        return _journal(handle, None, environment, error)
    return SilentJournal() if log is None else _journal(handle, log, environment, None)


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
    mark = fingerprint(keys.signer.public) if keys.signer is not None else ""
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
        memory = MemberMemory(environment, log.store, log.declared.origin, handle.progress)
        mark = fingerprint(signer.public)
        sequenced = partial(_last_in_log, log, mark)
        return Spool(log.store, log.declared.origin, signer, memory=memory, sequenced=sequenced).append
    if log.has_key():
        return lambda entry: log.append([entry])
    return None


def _last_in_log(log: AuditLog, member: str) -> Head:
    """Where the store has no other trace of this member: its last entry in the log itself."""
    newest = log.reader.newest()
    if newest is None:
        return NO_HEAD
    return members_heads(log.reader, newest).get(member, NO_HEAD)
