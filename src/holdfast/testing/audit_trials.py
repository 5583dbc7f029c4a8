"""Audit logs to try things out on: a store, the log's key, members who write to the spool. No vault is needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from holdfast.audit.checkpoint_text import Checkpoint
from holdfast.audit.entries import Actor, Entry, encode
from holdfast.audit.layout import TILES
from holdfast.audit.reading import LogReader
from holdfast.audit.sequencing import Sequenced, sequence_pending
from holdfast.audit.signing_keys import NoteKey
from holdfast.audit.spool import Member, Spool
from holdfast.audit.verifier_keys import VerifierKey
from holdfast.audit.verifying import Verified, verify_log
from holdfast.audit.writing import LogWriter
from holdfast.clock import SYSTEM_CLOCK, Clock
from holdfast.ids import new_snapshot_id
from holdfast.stores.protocol import Store
from holdfast.trust.signing import SigningKey, fingerprint

__all__ = ["TrialLog", "new_trial_log", "an_entry", "put_back"]


def an_entry(actor: Actor, action: str = "snapshot.save", *, at_ns: int = 1_700_000_000_000_000_000) -> Entry:
    """An entry with an id of its own."""
    return Entry(
        id=new_snapshot_id(at_ns),
        at_ns=at_ns,
        actor=actor,
        action=action,
        decision="allowed",
        policies=[],
        objects={"snapshot": "01hf7yat00000g40r40m30e209"},
        outcome="done",
        origin="",
    )


@dataclass(frozen=True)
class TrialLog:
    """`signers`: label → key of a member. Each method starts afresh, as another process would."""

    store: Store
    key: NoteKey
    signers: dict[str, SigningKey] = field(default_factory=dict)
    clock: Clock = SYSTEM_CLOCK

    @property
    def members(self) -> dict[str, Member]:
        return {
            fingerprint(signer.public): Member(label, "writer", signer.public) for label, signer in self.signers.items()
        }

    def on(self, store: Store) -> TrialLog:
        """The same log, as another store has it: a replica, or one where things go wrong."""
        return replace(self, store=store)

    def reader(self) -> LogReader:
        return LogReader(self.store, self.key.name, self.key.keys)

    def writer(self) -> LogWriter:
        return LogWriter(self.store, self.key, clock=self.clock, reader=self.reader())

    def spool(self, label: str) -> Spool:
        return Spool(self.store, self.key.name, self.signers[label])

    def actor(self, label: str) -> Actor:
        return Actor(fingerprint=fingerprint(self.signers[label].public), label=label, role="writer")

    def write(self, label: str, action: str = "snapshot.save") -> str:
        """A member records something; returns the key of the object."""
        return self.spool(label).append(an_entry(self.actor(label), action, at_ns=self.clock.now_ns()))

    def append(self, count: int) -> None:
        """Entries in the log's own name."""
        program = Actor(fingerprint="", label="program", role="log")
        self.writer().append([encode(an_entry(program, at_ns=self.clock.now_ns())) for _ in range(count)])

    def sequence(self, *, grace_seconds: float = 300.0) -> Sequenced:
        return sequence_pending(self.store, self.writer(), self.members, clock=self.clock, grace_seconds=grace_seconds)

    def verify(
        self, *, remembered: Checkpoint | None = None, witnesses: Sequence[VerifierKey] = (), quorum: int = 0
    ) -> Verified:
        return verify_log(self.reader(), self.members, remembered=remembered, witnesses=witnesses, quorum=quorum)

    def checkpoint(self) -> Checkpoint:
        return self.reader().get_newest().checkpoint


def new_trial_log(store: Store, *labels: str, clock: Clock = SYSTEM_CLOCK) -> TrialLog:
    """A log without entries, and members of these names."""
    signers = {label: SigningKey.generate() for label in labels}
    return TrialLog(store, NoteKey.generate("log", "holdfast.test/log"), signers, clock)


def put_back(store: Store, earlier: Store) -> None:
    """The log on `store` becomes what it is on `earlier`, as whoever owns the store can make it."""
    wanted = {info.key: earlier.get(info.key) for info in earlier.list("audit/")}
    for info in list(store.list("audit/")):
        if info.key not in wanted:
            store.delete(info.key)
    for key, data in wanted.items():
        store.put(key, data)


def tile_keys(store: Store) -> list[str]:
    """The tiles and bundles that the store has."""
    return [info.key for info in store.list(TILES)]
