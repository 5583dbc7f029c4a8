"""A new key for a vault's log: handed over by the old one in the log itself, then declared by a keeper.

Steps, each of which may be the last one of a process; who begins again goes on from there:

1. the new key is written beside the old one;
2. the log's last entry under its old key names the new one, its checkpoint signed by both: from here on the old key
   appends nothing (`LogWriter`), so nothing of what it signs is lost;
3. witnesses that are given by URL cosign that checkpoint: they know the old key, and learn the new one from 4;
4. a keeper declares the new keys, and that checkpoint as the last one of the old: from here on the new key counts;
5. the new key takes the old one's place on this machine.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from holdfast.audit.declaration import declare
from holdfast.audit.entries import Actor, encode
from holdfast.audit.journal import make_entry
from holdfast.audit.key_changes import KEY_CHANGE, change_objects
from holdfast.audit.log_keys import Change
from holdfast.audit.merkle import EMPTY_ROOT
from holdfast.audit.signing_keys import NoteKey
from holdfast.control.audit.auditing import AuditLog, log_of
from holdfast.control.audit.log_key_files import (
    audit_key_path,
    install_next_key,
    load_log_key,
    next_key,
    next_key_path,
)
from holdfast.errors import CredentialError, RefusedError
from holdfast.vault.handle import Handle

__all__ = ["Rotated", "rotate_log_key"]


class Rotated(NamedTuple):
    """`size`: the last one that the old key may sign. `retired`: where the old key is kept, if it was here."""

    log: AuditLog
    size: int
    handed_over: bool
    key_file: Path
    retired: Path | None
    cosigned: list[str]


def rotate_log_key(
    handle: Handle,
    *,
    lost: bool = False,
    anew: bool = False,
    witness_urls: Sequence[str] = (),
    environment: Mapping[str, str] = os.environ,
) -> Rotated:
    """Give the log of this vault a new key. Needs the keeper's key and, unless it is `lost`, the log's.

    `anew`: another change was begun, and its new key is gone; this one takes its place. Raises NotFoundError (no log),
    CredentialError, RefusedError (the key is not lost; a change was begun elsewhere), and what appending raises.
    """
    keeper = handle.keys.require_keeper("changing the key of an audit log")
    log = log_of(handle, environment=environment)
    path = audit_key_path(log.vault_id, environment)
    if _is_declared(path, log):  # who began died before the key took its place
        return _installed(log, path, [])
    if lost and _has_key(path, log):
        raise RefusedError(f"the log's key is not lost: it is in {path}", hint="leave --lost away")
    if lost:
        key, cosigned = next_key(path, log.declared.origin), list[str]()
        newest = log.reader.largest()
        change = Change(0, 0, EMPTY_ROOT, handed_over=False)
        if newest is not None:
            change = Change(newest.generation, newest.checkpoint.size, newest.checkpoint.root, handed_over=False)
    else:
        load_log_key(path, log.declared.keys)  # says what is wrong with it before a new one is made
        key = next_key(path, log.declared.origin)
        signed = log.hand_over(key, _entry(handle, key), anew=anew)
        change = Change(signed.generation, signed.checkpoint.size, signed.checkpoint.root)
        cosigned = log.ask_witnesses(witness_urls) if witness_urls else []
    said = log.declared.newest
    declare(
        handle.store,
        keeper,
        origin=log.declared.origin,
        keys=key.keys,
        witnesses=log.declared.witnesses,
        quorum=said.quorum,
        names=said.names,
        created_ns=handle.clock.now_ns(),
        before=log.declared,
        since=change,
    )
    return _installed(log_of(handle, environment=environment), path, cosigned)


def _entry(handle: Handle, key: NoteKey) -> bytes:
    keys = handle.keys
    # In the log's own name: the keeper's signature is below the declaration, and `verify` misses it below an entry.
    actor = Actor(fingerprint="", label=keys.label, role=keys.role or "unknown")
    return encode(
        make_entry(actor, KEY_CHANGE, "allowed", [], change_objects(key.keys), "done", "", handle.clock.now_ns())
    )


def _is_declared(path: Path, log: AuditLog) -> bool:
    following = next_key_path(path)
    return following.exists() and set(next_key(path, log.declared.origin).keys) == set(log.declared.keys)


def _has_key(path: Path, log: AuditLog) -> bool:
    try:
        return bool(load_log_key(path, log.declared.keys))
    except CredentialError:
        return False


def _installed(log: AuditLog, path: Path, cosigned: list[str]) -> Rotated:
    era = log.declared.all_keys.eras[-1]
    assert era.since is not None
    retired = install_next_key(path, log.declared.newest.generation)
    return Rotated(log, era.since.size, era.since.handed_over, path, retired, cosigned)
