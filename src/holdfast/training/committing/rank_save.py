"""One rank's part in a save: store, read back, announce, and hold the lease until the snapshot is there or given up."""

from __future__ import annotations

import threading
from collections.abc import Callable

from holdfast.errors import ConflictError, DamageError, HoldfastError, RefusedError, UntrustedError
from holdfast.training.committing.assembling import assemble_on
from holdfast.training.committing.known import Known, known_of, rank_memory
from holdfast.training.committing.terms import SaveTerms
from holdfast.vault.collecting.leases import HeldLease
from holdfast.vault.format.names import normalised
from holdfast.vault.format.records import Announcement, Check
from holdfast.vault.saving.announcing import Announced, announce, read_announcements
from holdfast.vault.saving.assembling import Assembled
from holdfast.vault.saving.committing import snapshot_versions
from holdfast.vault.saving.memory import remember
from holdfast.vault.saving.options import SaveOptions
from holdfast.vault.saving.partial import Share, ShareSource, save_share
from holdfast.vault.saving.preparing import prepare_save
from holdfast.vault.vault import Vault

__all__ = ["DEPUTIES", "RankSave"]

DEPUTIES = 3  # ranks that look whether the snapshot was made, and make it where nobody else did
_TAKEOVER_S = 20.0  # after which the first of them looks: by then the coordinator has done it, or will not
_POLL_S = 1.0
_NANOSECONDS = 1_000_000_000


class RankSave:
    """The save of one rank. Use it once: `store`, `announce`, then `finish` (one rank does) or `watch` (the others)."""

    def __init__(self, vault: Vault, asset: str, terms: SaveTerms, options: SaveOptions) -> None:
        """Raises CredentialError."""
        handle = vault.handle
        self._vault = vault
        self.terms = terms
        self.assembled: Assembled | None = None
        self.share: Share | None = None
        self._handle = handle
        self._asset = normalised(asset)
        self._options = options
        self._lease = HeldLease(handle, "saving")
        self._deadline = handle.clock.now_ns() + round(terms.deadline_s * _NANOSECONDS)
        self._known: Known | None = None
        self._over = threading.Event()
        self._held = False
        self._lock = threading.Lock()

    def known_of(self, *, whole: bool = False) -> Known:
        """What is known of the newest snapshot before this one: see `known_of`."""
        return known_of(self._handle, self._asset, self.terms.rank, self.terms.world, whole=whole)

    def store(self, source: Callable[[Known], ShareSource], known: Callable[[], Known]) -> Share:
        """Store the share durably, and read it back. Nothing refers to it yet.

        The lease is taken before `known` looks at the vault, and kept after this returns. After an error it is given
        back. Raises as `save_share`.
        """
        with prepare_save(self._handle, None):
            self._lease.__enter__()
            self._held = True
            try:
                self._known = known()
                self.share = save_share(self._handle, self._asset, source(self._known), self._options, self._lease)
            except BaseException as error:  # also a Ctrl-C: others would wait for the lease
                self.release(error)
                raise
        return self.share

    def announce(self, source: str, name: str) -> Announcement:
        """Say that the share is stored. Raises ConflictError, RefusedError when the deadline is over."""
        share, terms, options, now = self.share, self.terms, self._options, self._handle.clock.now_ns()
        assert share is not None and self._known is not None, "announced before it was stored"
        try:
            if now > self._deadline:
                raise RefusedError(
                    f"rank {terms.rank} was not done with its share of the save {terms.save} in time",
                    hint="give the save a longer deadline",
                )
            self._lease.keep()
            self._lease.require()
            record = Announcement(
                save=terms.save,
                asset=self._asset,
                rank=terms.rank,
                world=terms.world,
                signers=list(terms.signers),
                lease=self._lease.session,
                created=now,
                content=now if options.content_ns is None else options.content_ns,
                deadline=self._deadline,
                step=options.step,
                parents=[self._known.snapshot] if self._known.snapshot else [],
                source=source,
                name=name,
                parts=share.links,
                meta=dict(options.meta),
                versions={**snapshot_versions(), **options.versions},
                tags=list(options.tags),
                stats=share.stats,
                policy=options.policy.value,
                checks=share.checks,
                findings=share.findings[:_FINDINGS_MAX],
                check=None if share.verified is None else Check(share.verified.level, share.verified.bytes, now),
            )
            announce(self._handle, record, terms.secret)
        except BaseException as error:  # also a Ctrl-C: others would wait for the lease
            self.release(error)
            raise
        self._remember(record, share)
        return record

    def finish(self, timeout_s: float) -> Assembled:
        """Wait for the announcements of all ranks and make the snapshot, or find it made.

        Raises RefusedError when they do not come in time, and as `assemble`.
        """
        handle = self._handle
        began = handle.clock.monotonic()
        try:
            while (announced := self._announced()) is None:
                waited = handle.clock.monotonic() - began
                if waited >= timeout_s or handle.clock.now_ns() > self._deadline:
                    raise RefusedError(
                        f"the save {self.terms.save} is not complete: after {waited:.0f} s not all of its "
                        f"{self.terms.world} ranks have announced their shares",
                        hint="no snapshot was made; save again",
                    )
                handle.clock.sleep(_POLL_S)
            return self._assemble(announced)
        finally:
            if self.assembled is not None:
                self.release()

    def watch(self) -> None:
        """Behind the training: hold the lease until the snapshot is there or the deadline is over; a deputy makes it
        where nobody else does.
        """
        threading.Thread(target=self._watch, name="holdfast-rank", daemon=True).start()

    def look(self) -> Assembled | None:
        """Whether the snapshot is there; made now, where all have announced. None: not yet, or never."""
        if self.assembled is None and (announced := self._announced()) is not None:
            return self._assemble(announced)
        return self.assembled

    def release(self, error: BaseException | None = None) -> None:
        """Give the lease back: nothing that was stored is relied upon any more, or the snapshot is there."""
        self._over.set()
        with self._lock:
            if self._held:
                self._held = False
                self._lease.__exit__(type(error) if error is not None else None, error, None)

    def _watch(self) -> None:
        rank, clock = self.terms.rank, self._handle.clock
        pause = _TAKEOVER_S * (rank + 1) if rank < DEPUTIES else float("inf")
        while not self._over.is_set():
            left = (self._deadline - clock.now_ns()) / _NANOSECONDS
            if left <= 0:
                break
            if self._over.wait(min(pause, left)):
                return
            if rank < DEPUTIES:
                try:
                    if self.look() is not None:
                        break
                except (RefusedError, DamageError, UntrustedError, ConflictError) as error:
                    self._handle.progress.note(error.message)
                    break
                except HoldfastError as error:  # a store that does not answer may do so again
                    self._handle.progress.note(error.message)
        self.release()

    def _announced(self) -> Announced | None:
        return read_announcements(self._handle, self.terms.save, self.terms.secret, asset=self._asset)

    def _assemble(self, announced: Announced) -> Assembled:
        known = self._known.content if self._known is not None else 0
        self.assembled = assemble_on(
            self._vault, announced, self._lease, known_content=known, committed=self._options.committed
        )
        return self.assembled

    def _remember(self, record: Announcement, share: Share) -> None:
        """For the next save of this rank: whether a snapshot comes of it does not matter, it is only what to compare
        with.
        """
        path = rank_memory(self._handle, self._asset, self.terms.rank, self.terms.world)
        ages = share.anchors.ages(share.parts)
        remember(path, "", record.content, share.parts, [], ages, share.history)


_FINDINGS_MAX = 200  # as in a root
