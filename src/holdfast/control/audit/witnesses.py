"""Witnesses, wired: their key file, their own store, the log they look at, and the address they listen at."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from holdfast.audit.cosigning import store_cosignatures, witness_here
from holdfast.audit.notes import NoteSignature
from holdfast.audit.reading import Signed
from holdfast.audit.signing_keys import load_note_key
from holdfast.audit.witness_http import WitnessServer
from holdfast.audit.witnessing import Witness
from holdfast.control.audit.auditing import AuditLog
from holdfast.control.sites.ruled_places import find_rules
from holdfast.errors import PermissionDeniedError, RefusedError, UsageError
from holdfast.events import SILENT, Progress
from holdfast.stores.opening import open_store
from holdfast.stores.protocol import store_identity

__all__ = ["Witnessed", "serve_witness", "witness_log", "witness_of"]


class Witnessed(NamedTuple):
    """What a witness cosigned. `stored`: the lines lie on the log's store; else somebody has to bring them there."""

    signed: Signed
    lines: list[NoteSignature]
    stored: bool


def witness_of(
    log: AuditLog,
    key: Path,
    state: str,
    *,
    environment: Mapping[str, str] = os.environ,
    progress: Progress = SILENT,
) -> Witness:
    """The witness with that key file, whose memory is the store at `state`.

    Raises CredentialError, PermissionDeniedError, RefusedError (its memory would lie on the log's own store: who can
    roll the log back could roll back the witness, too; or it would lie where a rule of the vault's assets forbids).
    """
    store = open_store(state, note=progress.note)
    if store_identity(store) == store_identity(log.store):
        raise RefusedError(
            "a witness keeps its memory on a store of its own, not on the log's", hint="name another one: --state URL"
        )
    loaded = load_note_key(key, "witness")
    rules = find_rules(log.store, environment)
    if rules is not None:
        rules.require_state(loaded.name, store)
    return Witness(loaded, store, {log.declared.origin: log.declared.keys})


def witness_log(log: AuditLog, witness: Witness) -> Witnessed:
    """Look at the log on its store and cosign its newest checkpoint.

    Raises DamageError (it does not continue what the witness saw, or is not whole), NotFoundError (no checkpoint yet).
    """
    signed = log.reader.get_newest()
    lines = witness_here(witness, log.reader, signed)
    try:
        store_cosignatures(log.store, signed.generation, lines)
    except PermissionDeniedError:
        return Witnessed(signed, lines, stored=False)
    return Witnessed(signed, lines, stored=True)


def serve_witness(witness: Witness, address: str, say: Callable[[str], None]) -> None:
    """Answer at `HOST:PORT` until interrupted. Raises UsageError, FailedError."""
    host, colon, port = address.rpartition(":")
    if not colon or not host or not port.isdigit() or not port.isascii() or int(port) > 65535:
        raise UsageError(f"{address!r} is no address to listen at", hint="HOST:PORT, for example 127.0.0.1:8080")
    server = WitnessServer(witness, host.strip("[]"), int(port))
    say(f"listening at {server.url}/add-checkpoint")
    try:
        server.serve()
    finally:
        server.close()
