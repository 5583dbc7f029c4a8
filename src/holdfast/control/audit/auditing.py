"""The audit log of a vault, wired: its keys on this machine, its members, its store, what was seen of it before."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from holdfast.audit.declaration import Declared, declare, find_declared, read_declared
from holdfast.audit.entries import Entry, encode
from holdfast.audit.layout import DECLARATIONS
from holdfast.audit.members import Member
from holdfast.audit.reading import LogReader
from holdfast.audit.remembered import Met, Remembered, Seen
from holdfast.audit.verifier_keys import VerifierKey
from holdfast.clock import SYSTEM_CLOCK, Clock
from holdfast.control.audit.log_key_files import AUDIT_KEY_VARIABLE, audit_key_path, load_log_key
from holdfast.errors import DamageError, FailedError, RefusedError, StoreUnreachableError, UntrustedError
from holdfast.events import SILENT, Progress
from holdfast.stores.protocol import Store
from holdfast.trust.signing import SigningKey, fingerprint
from holdfast.vault.format.records import Config
from holdfast.vault.handle import Handle

if TYPE_CHECKING:  # who only records something needs none of these
    from holdfast.audit.checkpoint_text import Checkpoint
    from holdfast.audit.reading import Signed
    from holdfast.audit.sequencing import Sequenced
    from holdfast.audit.signing_keys import NoteKey
    from holdfast.audit.verifying import Verified
    from holdfast.audit.writing import Appended, LogWriter

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


def members_of(config: Config) -> dict[str, Member]:
    """Who may sign entries and declarations, by fingerprint: the signers of the vault's configuration."""
    return {
        fingerprint(signer.public): Member(signer.label, signer.role, signer.public, signer.revoked)
        for signer in config.signers
    }


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
        self.reader = LogReader(store, declared.origin, declared.all_keys, witnesses=declared.witnesses)
        self._environment = environment
        self._clock = clock
        self._progress = progress

    def writer(self) -> LogWriter:
        """For who holds the log's key. Raises CredentialError."""
        from holdfast.audit.writing import LogWriter

        key = load_log_key(audit_key_path(self.vault_id, self._environment), self.declared.keys)
        return LogWriter(self.store, key, clock=self._clock, progress=self._progress, reader=self.reader)

    def has_key(self) -> bool:
        """Whether the log's key lies on this machine."""
        return audit_key_path(self.vault_id, self._environment).exists()

    def append(self, entries: Sequence[Entry]) -> Appended | None:
        """Entries in the log's own name, without a member's signature. Raises CredentialError, ConflictError, …

        Like `sequence`, nothing is added to a log that this machine saw in another state: DamageError.
        """
        writer = self.writer()
        self._require_continued(writer)
        done = writer.append([encode(entry) for entry in entries])
        self._remember_signed()
        return done

    def hand_over(self, key: NoteKey, entry: bytes, *, anew: bool = False) -> Signed:
        """See `LogWriter.hand_over`. Raises CredentialError without the log's key, and what that raises."""
        writer = self.writer()
        self._require_continued(writer)
        signed = writer.hand_over(key, entry, anew=anew)
        self._remember_signed()
        return signed

    def sequence(self, *, grace_seconds: float | None = None) -> Sequenced:
        """Take what members wrote into the log. Raises CredentialError without the log's key.

        `grace_seconds`: how long an entry waits for the one before it; None for what is usual.
        """
        from holdfast.audit.sequencing import GAP_GRACE_SECONDS, sequence_pending

        writer = self.writer()
        self._require_continued(writer)
        done = sequence_pending(
            self.store,
            writer,
            self.members,
            clock=self._clock,
            grace_seconds=GAP_GRACE_SECONDS if grace_seconds is None else grace_seconds,
            progress=self._progress,
        )
        if done.appended:
            self._remember_signed()
        return done

    def _memory(self) -> Remembered | None:
        try:
            return Remembered(self._environment, self.store, self.declared.origin)
        except FailedError as error:
            self._progress.note(error.message)
            return None

    def _require_continued(self, writer: LogWriter) -> None:
        memory = self._memory()
        seen = memory.recall() if memory is not None else None
        if seen is not None:
            self._require_declared(seen)
        if memory is not None and seen is not None and seen.checkpoint is not None:
            from holdfast.audit.continuing import require_continued

            require_continued(seen.checkpoint, self.reader, writer, memory.path)

    def require_declared(self) -> None:
        """That what says whose log this is was not put back: else a key that was given up would count again.

        Raises DamageError.
        """
        memory = self._memory()
        seen = memory.recall() if memory is not None else None
        if seen is not None:
            self._require_declared(seen)

    def _require_declared(self, seen: Seen) -> None:
        if seen.declared > self.declared.newest.generation:
            raise DamageError(
                f"the log was described anew before ({seen.declared}), and now as it was earlier "
                f"({self.declared.newest.generation})",
                hint="keep what is there as evidence; compare with the copies at other sites",
                object_name=DECLARATIONS,
            )

    def remember_declared(self) -> None:
        """This machine has seen which keys count now; of the entries, it has seen no more than before."""
        memory = self._memory()
        if memory is not None:
            seen = memory.recall()
            memory.remember(self._seen(seen.checkpoint if seen is not None else None))

    def _remember_signed(self) -> None:
        newest, memory = self.reader.newest(), self._memory()
        if newest is None or memory is None:
            return
        try:
            memory.remember(self._seen(newest.checkpoint))
        except (DamageError, FailedError) as error:  # what was signed stays
            self._progress.note(error.message)

    def _seen(self, checkpoint: Checkpoint | None) -> Seen:
        keys = [key.vkey for key in self.declared.all_keys]
        return Seen(checkpoint, keys, self.declared.newest.generation)

    def ask_witnesses(self, urls: Sequence[str]) -> list[str]:
        """Have the newest checkpoint cosigned over HTTP, and publish it with all cosignatures; returns by whom.

        A witness that cannot be asked is noted. Raises DamageError where one saw another history.
        """
        from holdfast.audit.cosigning import store_cosignatures, witness_at
        from holdfast.audit.tlog_proofs import witness_names

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
        from holdfast.audit.key_changes import check_changes
        from holdfast.audit.verifying import Finding, verify_log

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
        now = self._seen(report.newest.checkpoint if report.newest is not None else None)
        report.findings += [Finding(*one) for one in check_changes(self.reader)]
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
        from holdfast.audit.tlog_proofs import TlogProof, encode_proof

        newest = self.reader.get_newest()
        entry, hashes = self.reader.proven_entry(number, newest.checkpoint)
        note = newest.note.with_signatures(self.reader.cosignatures(newest.generation))
        return encode_proof(TlogProof(number, hashes, note, entry))


def find_log(handle: Handle, *, environment: Mapping[str, str] = os.environ) -> AuditLog | None:
    """The log of an opened vault, or None where it has none. Raises UntrustedError, DamageError (it is gone)."""
    members = members_of(handle.keys.config)
    declared = find_declared(handle.store, members)
    met = Met(environment, handle.store, handle.keys.vault.hex())
    if declared is None:
        met.require_never()
        return None
    met.note()
    return _log(handle, members, declared, environment)


def log_of(handle: Handle, *, environment: Mapping[str, str] = os.environ) -> AuditLog:
    """The same; raises NotFoundError where there is none."""
    found = find_log(handle, environment=environment)
    if found is None:
        members = members_of(handle.keys.config)
        return _log(handle, members, read_declared(handle.store, members), environment)
    return found


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
    from holdfast.audit.signing_keys import NoteKey, load_note_key, write_note_key

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
