"""The audit log of a vault, wired: its keys on this machine, its members, its store, what was seen of it before."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from holdfast.audit.cosigning import store_cosignatures, witness_at
from holdfast.audit.declaration import Declared, declare, find_declared, read_declared
from holdfast.audit.entries import Entry, encode
from holdfast.audit.layout import DECLARATIONS
from holdfast.audit.reading import LogReader
from holdfast.audit.remembered import Remembered, Seen
from holdfast.audit.sequencing import GAP_GRACE_SECONDS, Sequenced, sequence_pending
from holdfast.audit.signing_keys import NoteKey, load_note_key, write_note_key
from holdfast.audit.spool import Member
from holdfast.audit.tlog_proofs import TlogProof, encode_proof, witness_names
from holdfast.audit.verifier_keys import VerifierKey
from holdfast.audit.verifying import Finding, Verified, verify_log
from holdfast.audit.writing import Appended, LogWriter
from holdfast.clock import SYSTEM_CLOCK, Clock
from holdfast.errors import FailedError, RefusedError, StoreUnreachableError, UntrustedError
from holdfast.events import SILENT, Progress
from holdfast.stores.protocol import Store
from holdfast.trust.keyring import key_folder
from holdfast.trust.signing import SigningKey, fingerprint
from holdfast.vault.format.records import Config
from holdfast.vault.handle import Handle

__all__ = [
    "AUDIT_KEY_VARIABLE",
    "AuditLog",
    "audit_key_path",
    "create_log",
    "declare_anew",
    "find_log",
    "log_of",
    "members_of",
]

AUDIT_KEY_VARIABLE = "HOLDFAST_AUDIT_KEY_FILE"


def members_of(config: Config) -> dict[str, Member]:
    """Who may sign entries and declarations, by fingerprint: the signers of the vault's configuration."""
    return {
        fingerprint(signer.public): Member(signer.label, signer.role, signer.public, signer.revoked)
        for signer in config.signers
    }


def audit_key_path(vault_id: str, environment: Mapping[str, str] = os.environ) -> Path:
    """Where the private key of a vault's log lies: HOLDFAST_AUDIT_KEY_FILE, else beside the folder of key files.

    `$XDG_CONFIG_HOME/holdfast/audit/<vault id>.log.key`. Raises CredentialError where there is no such folder.
    """
    named = environment.get(AUDIT_KEY_VARIABLE, "")
    return Path(named) if named else key_folder(environment).parent / "audit" / f"{vault_id}.log.key"


class AuditLog:
    """The log of one vault on one store, as this machine may use it."""

    def __init__(
        self,
        store: Store,
        vault_id: str,
        members: Mapping[str, Member],
        declared: Declared,
        *,
        environment: Mapping[str, str] = os.environ,
        clock: Clock = SYSTEM_CLOCK,
        progress: Progress = SILENT,
    ) -> None:
        self.store = store
        self.vault_id = vault_id
        self.members = members
        self.declared = declared
        self.reader = LogReader(store, declared.origin, declared.all_keys)
        self._environment = environment
        self._clock = clock
        self._progress = progress

    def writer(self) -> LogWriter:
        """For who holds the log's key. Raises CredentialError."""
        path = audit_key_path(self.vault_id, self._environment)
        key = load_note_key(path, "log")
        return LogWriter(self.store, key, clock=self._clock, progress=self._progress, reader=self.reader)

    def has_key(self) -> bool:
        """Whether the log's key lies on this machine."""
        return audit_key_path(self.vault_id, self._environment).exists()

    def append(self, entries: Sequence[Entry]) -> Appended | None:
        """Entries in the log's own name, without a member's signature. Raises CredentialError, ConflictError, …"""
        return self.writer().append([encode(entry) for entry in entries])

    def sequence(self, *, grace_seconds: float = GAP_GRACE_SECONDS) -> Sequenced:
        """Take what members wrote into the log. Raises CredentialError without the log's key."""
        return sequence_pending(
            self.store,
            self.writer(),
            self.members,
            clock=self._clock,
            grace_seconds=grace_seconds,
            progress=self._progress,
        )

    def ask_witnesses(self, urls: Sequence[str]) -> list[str]:
        """Have the newest checkpoint cosigned over HTTP, and publish it with all cosignatures; returns by whom.

        A witness that cannot be asked is noted. Raises DamageError where one saw another history.
        """
        newest = self.reader.newest()
        if newest is None:
            return []
        for url in urls:
            try:
                lines = witness_at(url, self.reader, newest, self.declared.witnesses)
            except (StoreUnreachableError, FailedError, UntrustedError) as error:
                self._progress.note(error.message)
                continue
            store_cosignatures(self.store, newest.generation, lines)
        self.writer().publish()
        note = newest.note.with_signatures(self.reader.cosignatures(newest.generation))
        return sorted(witness_names(note, self.declared.witnesses, "the newest checkpoint"))

    def verify(self, *, witnesses: Sequence[VerifierKey] = (), quorum: int | None = None) -> Verified:
        """Look at everything, also against what this machine saw before; what is sound is remembered.

        `witnesses`: others than those that the keeper declared. `quorum`: None for the declared one.
        """
        memory = Remembered(self._environment, self.store, self.declared.origin)
        seen = memory.recall()
        report = verify_log(
            self.reader,
            self.members,
            remembered=seen.checkpoint if seen is not None else None,
            witnesses=list(dict.fromkeys([*self.declared.witnesses, *witnesses])),
            quorum=self.declared.newest.quorum if quorum is None else quorum,
            progress=self._progress,
        )
        now = Seen(
            report.newest.checkpoint if report.newest is not None else None,
            [key.vkey for key in self.declared.all_keys],
            self.declared.newest.generation,
        )
        if seen is not None and not set(seen.keys) <= set(now.keys):
            message = "the log's keys are others than this machine saw before"
            report.findings.insert(0, Finding("fork", DECLARATIONS, message))
        if seen is not None and now.declared < seen.declared:
            message = f"the log was described anew before ({seen.declared}), and now as it was earlier ({now.declared})"
            report.findings.insert(0, Finding("rollback", DECLARATIONS, message))
        if report.sound:
            memory.remember(now)
        return report

    def entries(self) -> Iterator[tuple[int, bytes]]:
        """Number and bytes of all entries, oldest first, bundle by bundle compared with the tree that was signed.

        Raises DamageError: no entry is given that was not signed.
        """
        newest = self.reader.newest()
        if newest is not None:
            yield from self.reader.checked_entries(newest.checkpoint)

    def prove(self, number: int) -> bytes:
        """A `.tlog-proof` of an entry, with the entry in it. Raises UsageError, NotFoundError, DamageError."""
        newest = self.reader.get_newest()
        entry, hashes = self.reader.proven_entry(number, newest.checkpoint)
        note = newest.note.with_signatures(self.reader.cosignatures(newest.generation))
        return encode_proof(TlogProof(number, hashes, note, entry))


def find_log(handle: Handle, *, environment: Mapping[str, str] = os.environ) -> AuditLog | None:
    """The log of an opened vault, or None where it has none. Raises UntrustedError."""
    members = members_of(handle.keys.config)
    declared = find_declared(handle.store, members)
    return None if declared is None else _log(handle, members, declared, environment)


def log_of(handle: Handle, *, environment: Mapping[str, str] = os.environ) -> AuditLog:
    """The same; raises NotFoundError where there is none."""
    members = members_of(handle.keys.config)
    return _log(handle, members, read_declared(handle.store, members), environment)


def _log(handle: Handle, members: Mapping[str, Member], declared: Declared, environment: Mapping[str, str]) -> AuditLog:
    vault_id = handle.keys.vault.hex()
    return AuditLog(
        handle.store,
        vault_id,
        members,
        declared,
        environment=environment,
        clock=handle.clock,
        progress=handle.progress,
    )


def create_log(
    handle: Handle,
    *,
    origin: str = "",
    witnesses: Sequence[VerifierKey] = (),
    quorum: int = 0,
    names: bool = False,
    environment: Mapping[str, str] = os.environ,
) -> AuditLog:
    """Make the log of a vault: its key on this machine, then its declaration. Needs the keeper's key.

    `origin`: the name of the log, for ever; by default made of the vault's id. Raises RefusedError when there is one.
    """
    keeper = handle.keys.require_keeper("making an audit log")
    vault_id = handle.keys.vault.hex()
    if find_declared(handle.store, members_of(handle.keys.config)) is not None:
        raise RefusedError(
            f"{handle.store.url} has an audit log already",
            hint="to name its witnesses: `holdfast audit create --again`",
        )
    path = audit_key_path(vault_id, environment)
    key = NoteKey.generate("log", origin or f"holdfast/{vault_id}")
    if path.exists():  # a declaration that failed, or whose answer was lost: the key was made for it
        key = load_note_key(path, "log")
        if origin and key.name != origin:
            raise RefusedError(f"{path} holds the key of the log {key.name!r} already", object_name=str(path))
    else:
        write_note_key(key, path)
    _declare(handle, keeper, key.name, key.keys, witnesses, quorum, names, None)
    return log_of(handle, environment=environment)


def declare_anew(
    handle: Handle,
    *,
    witnesses: Sequence[VerifierKey],
    quorum: int,
    names: bool | None = None,
    environment: Mapping[str, str] = os.environ,
) -> AuditLog:
    """Name other witnesses, another quorum; the log and its key stay. Needs the keeper's key. Raises NotFoundError."""
    keeper = handle.keys.require_keeper("describing an audit log anew")
    before = read_declared(handle.store, members_of(handle.keys.config))
    plain = before.newest.names if names is None else names
    _declare(handle, keeper, before.origin, before.keys, witnesses, quorum, plain, before)
    return log_of(handle, environment=environment)


def _declare(
    handle: Handle,
    keeper: SigningKey,
    origin: str,
    keys: Sequence[VerifierKey],
    witnesses: Sequence[VerifierKey],
    quorum: int,
    names: bool,
    before: Declared | None,
) -> None:
    declare(
        handle.store,
        keeper,
        origin=origin,
        keys=keys,
        witnesses=witnesses,
        quorum=quorum,
        names=names,
        created_ns=handle.clock.now_ns(),
        before=before,
    )
