"""One run of a collection, from its lease to its report. `design/003-collecting.md`, "A collection, step by step"."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple

from holdfast.clock import to_rfc3339
from holdfast.errors import PermissionDeniedError
from holdfast.stores.protocol import ObjectInfo
from holdfast.stores.retention.port import locks_of
from holdfast.units import format_duration, format_size
from holdfast.vault.collecting.announced import remove_announcements
from holdfast.vault.collecting.helping import PackHelpers, rewrite_spread
from holdfast.vault.collecting.invalidating import invalidate
from holdfast.vault.collecting.leases import HeldLease, SeenLease, remove_lease, seen_leases
from holdfast.vault.collecting.marking import SeenPack, mark
from holdfast.vault.collecting.repacking import Rewriting, Rewritten, plan_rewriting, rewrite
from holdfast.vault.collecting.report import Amount, CollectReport, Waiting
from holdfast.vault.collecting.safety import FULL, Safety
from holdfast.vault.collecting.superseding import Copies
from holdfast.vault.collecting.trash import SeenCollection, close, condemn, read_trash, remove_collection
from holdfast.vault.format.names import PACKS, pack_key
from holdfast.vault.handle import Handle
from holdfast.vault.index import pack_of_key, read_pack_table
from holdfast.vault.locking.state import locked_until
from holdfast.vault.saving.preparing import renew_keys

__all__ = ["CollectOptions", "collect"]

_NANOSECONDS = 1_000_000_000
_PASSES_WITHOUT_DELAYS = 3  # condemn, close and delete, remove the series


class CollectOptions(NamedTuple):
    """`rewrite_below`: packs with a smaller share of live bytes are rewritten (0: none), up to `budget` bytes a run.
    `merge`: put small index objects together. `give_up`: keys of roots, parts and packs that cannot be read and may be
    lost.
    """

    safety: Safety = FULL
    rewrite_below: float = 0.5
    budget: int = 4 << 30
    merge: bool = True
    give_up: frozenset[str] = frozenset()


def collect(
    handle: Handle,
    options: CollectOptions | None = None,
    *,
    dry_run: bool = False,
    helpers: PackHelpers | None = None,
) -> CollectReport:
    """Condemn what nothing reaches; delete what was condemned long enough ago and is still not reached.

    Beside writers: nothing that a root reaches is deleted, whenever its save began. A run that ends early is taken up
    by the next. `helpers`: who reads and rewrites packs, by default this process. Needs a keeper's key that reads.

    Raises CredentialError, RefusedError when it cannot be told what a snapshot needs, ConflictError when the run was
    out of touch with the store for too long, and what the store raises.
    """
    options = options or CollectOptions()
    handle.keys.require_keeper("collecting")
    handle.keys.require_reader("collecting")
    renew_keys(handle, "collecting")  # whose leases and roots count
    report = CollectReport(dry_run)
    if dry_run:
        _Run(handle, options, report, None, helpers).go()
        return report
    with HeldLease(handle, "collecting") as lease:
        for _ in range(_PASSES_WITHOUT_DELAYS if not options.safety.grace else 1):
            before = (report.condemned, report.deleted)
            report.waiting.clear()
            _Run(handle, options, report, lease, helpers).go()
            if before == (report.condemned, report.deleted):
                break
    handle.refresh()
    return report


class _Run:
    def __init__(
        self,
        handle: Handle,
        options: CollectOptions,
        report: CollectReport,
        lease: HeldLease | None,
        helpers: PackHelpers | None,
    ) -> None:
        self._handle = handle
        self._helpers = helpers
        self._options = options
        self._safety = options.safety
        self._report = report
        self._lease = lease
        # The order counts: what time it is, who is writing, what is condemned, then (in `mark`) which roots there are.
        self._now = handle.clock.now_ns() if lease is None else lease.now_ns()
        self._leases = [one for one in seen_leases(handle) if lease is None or one.session != lease.session]
        self._active = [
            one for one in self._leases if one.is_active(self._now, self._safety.lease, self._safety.listing)
        ]
        self._trash = read_trash(handle)
        self._marked = mark(handle, options.give_up)
        self._copies = Copies(handle, self._marked, self._helpers)
        self._locked: dict[str, int] = {}

    def go(self) -> None:
        self._tell_what_there_is()
        for collection in self._trash.collections:
            if collection.is_closed:
                self._finish(collection)
            else:
                self._close_if_due(collection)
        rewritten = self._rewrite()
        self._condemn(rewritten)
        self._tell_what_is_locked()
        if self._lease is not None:
            self._merge_index()
            self._remove_announcements()
            self._remove_leases()

    def _tell_what_there_is(self) -> None:
        report, marked = self._report, self._marked
        packs, parts = marked.packs.values(), marked.parts.values()
        report.snapshots = len(marked.roots)
        report.stored = _amount([seen.info for seen in packs]) + _amount(parts)
        needed = [seen for seen in packs if not seen.is_dead]
        reached = _amount(marked.parts[key] for key in marked.reached_parts if key in marked.parts)
        report.reached = _amount(seen.info for seen in needed) + reached
        report.dead_bytes = sum(seen.info.size - seen.live_bytes for seen in needed if seen.table is not None)
        for key in sorted(self._options.give_up - marked.given_up):
            self._note(f"{key} was not given up: it can be read, or is not there")
        report.active_leases = [_named(lease) for lease in self._active if not lease.is_over]

    def _finish(self, collection: SeenCollection) -> None:
        """Delete what a run that ended early left; remove the series when its names may be used again."""
        self._delete(collection.keys)
        if self._lease is None or self._now - collection.closed_ns < self._safety.settle * _NANOSECONDS:
            return
        self._must_hold()
        remove_collection(self._handle, collection)

    def _close_if_due(self, collection: SeenCollection) -> None:
        due = collection.condemned_ns + round(self._safety.grace * _NANOSECONDS)
        early = self._handle.clock.now_ns() - collection.created_ns < self._safety.grace * _NANOSECONDS
        if self._now < due or early:
            reason = f"condemned less than {format_duration(self._safety.grace)} ago"
            self._wait(collection, reason, due if self._now < due else None)
            return
        seen_by = collection.condemned_ns + round(self._safety.listing * _NANOSECONDS)
        holding = [lease for lease in self._active if lease.start_ns <= seen_by]
        if holding:
            self._wait(collection, f"{', '.join(map(_named, holding))} began before it was condemned", None)
            return
        going = self._unlocked(self._still_unneeded(collection.keys))
        if self._lease is None:
            self._report.deleted += self._amount_of(going)
            return
        self._must_hold()
        if not close(self._handle, collection, going):
            self._wait(collection, "somebody rescued something meanwhile: it is looked at anew next time", None)
            return
        self._report.rescued += len(collection.keys) - len(going)
        self._delete(going)

    def _wait(self, collection: SeenCollection, reason: str, until_ns: int | None) -> None:
        self._report.waiting.append(Waiting(collection.id, self._amount_of(collection.keys), reason, until_ns))

    def _still_unneeded(self, keys: Iterable[str]) -> list[str]:
        """Those that nothing reaches; packs also whose live chunks were found good elsewhere, in packs that stay."""
        marked = self._marked
        going, doubled = [], []
        for key in keys:
            seen = self._pack(key)
            if seen is not None and seen.table is not None and seen.live_bytes:
                doubled.append(seen.id)
            elif (seen is None or seen.is_dead) and key not in marked.reached_parts:
                going.append(key)
        return going + [pack_key(pack) for pack in self._copies.proven(doubled, self._trash.keys)]

    def _unlocked(self, keys: list[str]) -> list[str]:
        """Those that are not locked. The others take their room until their locks end, and wait for a later run."""
        locked = locked_until(self._handle, keys)
        self._locked |= locked
        return [key for key in keys if key not in locked]

    def _tell_what_is_locked(self) -> None:
        report, locked = self._report, self._locked
        report.locked, report.locked_until_ns = self._amount_of(locked), max(locked.values(), default=None)
        if report.locked_until_ns is not None:
            self._note(
                f"{report.locked.objects} objects ({format_size(report.locked.bytes)}) that nothing needs are locked, "
                f"the last of them until {to_rfc3339(report.locked_until_ns)[:16]}Z: a later run collects them"
            )

    def _delete(self, keys: Collection[str]) -> None:
        """Index, then packs and parts. What is needed after all is not touched, whoever said that it goes."""
        there = [key for key in keys if self._is_there(key)]
        wanted = set(self._still_unneeded(there))
        for key in sorted(set(there) - wanted):
            self._note(f"{key} was to be deleted, but a snapshot needs it: it stays")
        if not wanted:
            return
        if self._lease is None:
            self._report.deleted += self._amount_of(wanted)
            return
        handle = self._handle
        packs = [bytes.fromhex(pack) for key in wanted if (pack := pack_of_key(key)) is not None]
        self._must_hold()
        self._count_index(frozenset(packs), merge=False)  # of those who listed them since
        handle.progress.phase("deleting", None)
        refused: dict[str, PermissionDeniedError] = {}
        for key in sorted(wanted):
            self._must_hold()
            try:
                handle.store.delete(key)
            except PermissionDeniedError as error:
                if locks_of(handle.store) is None:
                    raise
                refused[key] = error  # a hold at the store, which no lock tells; one object must not stop all others
        self._report.deleted += self._amount_of(wanted - refused.keys())
        for why in refused.values():
            self._note(f"not deleted, a later run tries again: {why.message}")

    def _rewrite(self) -> Rewritten | None:
        """Write live chunks of mostly dead packs anew, and take the new packs into account."""
        options, handle = self._options, self._handle
        if not options.rewrite_below or not options.budget:
            return None
        plan = self._plan_rewriting()
        if not plan.packs:
            return None
        self._report.rewrite_frees += plan.frees
        if self._lease is None:
            self._report.rewritten += Amount(len(plan.packs), plan.bytes)
            return None
        self._must_hold()
        if self._helpers is None:
            done = rewrite(handle, self._marked, plan, self._lease.keep)
        else:
            done = rewrite_spread(handle, self._marked, plan, self._lease.keep, self._helpers)
        self._report.rewritten += Amount(done.chunks, done.bytes)
        packs = dict(self._marked.packs)
        for name in done.names:
            info = handle.store.head(pack_key(name))
            table = read_pack_table(handle.store, handle.keys, info)
            handle.index.add(name, info.size, table)  # others may have written it
            packs[name] = SeenPack(name, info, table, info.size)
        self._marked = self._marked._replace(packs=packs)
        self._copies = Copies(handle, self._marked, self._helpers)
        return done

    def _plan_rewriting(self) -> Rewriting:
        """Of packs that are not locked: the others would take their room beside what was written anew."""
        leaving = set(self._trash.keys)
        while True:
            plan = plan_rewriting(
                self._handle,
                self._marked,
                below=self._options.rewrite_below,
                budget=self._options.budget,
                leaving=leaving,
            )
            locked = locked_until(self._handle, map(pack_key, plan.packs))
            if not locked:
                return plan
            leaving |= locked.keys()

    def _condemn(self, rewritten: Rewritten | None) -> None:
        marked, listed = self._marked, self._trash.keys
        before = self._now - round(self._safety.fresh * _NANOSECONDS)
        # What a save that is under way has stored is not reached yet.
        limit = min([before, *(lease.start_ns - 1 for lease in self._active)])
        new = frozenset(rewritten.names if rewritten is not None else ())

        def is_old(info: ObjectInfo) -> bool:
            return info.key not in listed and info.modified_ns <= limit

        going = [key for key, info in marked.parts.items() if key not in marked.reached_parts and is_old(info)]
        going += [seen.info.key for seen in marked.packs.values() if seen.is_dead and is_old(seen.info)]
        emptied = rewritten.emptied if rewritten is not None else ()
        leaving = listed | set(going)
        candidates = [pack for pack in emptied if pack not in new and is_old(marked.packs[pack].info)]
        if self._lease is not None:
            doubled = self._copies.doubled(leaving | {pack_key(pack) for pack in candidates}, self._options.budget)
            candidates += [pack for pack in doubled if pack not in new and is_old(marked.packs[pack].info)]
            going += [pack_key(pack) for pack in self._copies.proven(candidates, leaving)]
        going = self._unlocked(going)
        if not going:
            return
        self._report.condemned += self._amount_of(going)
        if self._lease is not None:
            self._must_hold()
            packs = [bytes.fromhex(pack) for key in going if (pack := pack_of_key(key)) is not None]
            self._count_index(frozenset(packs), merge=False)  # first: programs that know no trash go by the index
            condemn(self._handle, going)

    def _merge_index(self) -> None:
        if self._options.merge:
            self._must_hold()
            self._count_index(frozenset(), merge=True)

    def _count_index(self, gone: Collection[bytes], *, merge: bool) -> None:
        done = invalidate(self._handle, gone, merge=merge)
        self._report.index_written += done.written
        self._report.index_removed += done.removed

    def _remove_announcements(self) -> None:
        """Of saves that are over: while one of their leases goes on, somebody may still make a snapshot of them."""
        before = self._now - round((self._safety.listing + self._safety.settle) * _NANOSECONDS)
        active = {lease.session for lease in self._active if not lease.is_over}
        self._report.announcements_removed += remove_announcements(self._handle, active, before, self._must_hold)

    def _remove_leases(self) -> None:
        for lease in self._leases:
            if lease not in self._active:
                self._must_hold()
                remove_lease(self._handle, lease)
                self._report.leases_removed += 1

    def _must_hold(self) -> None:
        if self._lease is not None:
            self._lease.keep()
            self._lease.require()

    def _pack(self, key: str) -> SeenPack | None:
        pack = pack_of_key(key) if key.startswith(PACKS) else None
        return self._marked.packs.get(pack) if pack is not None else None

    def _is_there(self, key: str) -> bool:
        return self._pack(key) is not None or key in self._marked.parts

    def _amount_of(self, keys: Iterable[str]) -> Amount:
        seen = [self._pack(key) for key in keys]
        infos = [one.info for one in seen if one is not None]
        return _amount([*infos, *(self._marked.parts[key] for key in keys if key in self._marked.parts)])

    def _note(self, text: str) -> None:
        if text in self._report.notes:
            return
        self._report.notes.append(text)
        self._handle.progress.note(text)


def _amount(infos: Iterable[ObjectInfo]) -> Amount:
    sizes = [info.size for info in infos]
    return Amount(len(sizes), sum(sizes))


def _named(lease: SeenLease) -> str:
    who = lease.record.label if lease.record is not None else "somebody"
    what = lease.record.purpose if lease.record is not None else "writing"
    return f"{who}, {what}{', over by now' if lease.is_over else ''} (lease {lease.session})"
