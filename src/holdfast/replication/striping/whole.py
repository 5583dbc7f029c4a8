"""Objects that lie whole at every site: everything but large packs.

Whether a create wins is decided at the home. An object is there while any site has it: so what a crash leaves half
created or half deleted is there, and the next attempt finds it.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from blake3 import blake3

from holdfast.errors import (
    AlreadyExistsError,
    ConflictError,
    DamageError,
    HoldfastError,
    ObjectNotFoundError,
    StoreUnreachableError,
)
from holdfast.replication.striping.sites import Member, Outcome, Sites
from holdfast.replication.striping.voids import Voids
from holdfast.stores.protocol import Buffer, ObjectInfo
from holdfast.vault.format.names import CONFIG, INDEX, LEASES, PACKS, PARTS, REFS, SAVES, SNAPSHOTS, THINNED, TRASH
from holdfast.vault.format.scrubbing import scrub_object

__all__ = ["WholeObjects", "is_sound", "raise_unless_enough", "unused"]

_Result = TypeVar("_Result")

_FROZEN_SECONDS = 30.0

# What anybody can tell to be whole or not, by its bytes. Packs, too: by their names.
_CHECKED = (CONFIG, INDEX, PARTS, SNAPSHOTS, REFS, LEASES, SAVES, TRASH, THINNED)


class WholeObjects:
    """Reading and writing whole objects at all sites of a set."""

    def __init__(self, sites: Sites) -> None:
        self._sites = sites
        self._frozen: tuple[float, Voids] | None = None

    # ---- reading ----

    def get(self, key: str) -> bytes:
        """The bytes at the first site that has them sound; where none has, as they are at the first that has any."""
        unsound: bytes | None = None
        for member, data in self._found(key, lambda one: one.store.get(key)):
            if is_sound(key, data):
                if unsound is not None:
                    self._sites.progress.note(f"{key} was damaged, and read at {member.name}")
                return data
            unsound = data if unsound is None else unsound
        if unsound is None:
            raise self.not_found(key)
        return unsound

    def get_ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        for _, pieces in self._found(key, lambda one: one.store.get_ranges(key, ranges)):
            return pieces
        raise self.not_found(key)

    def head(self, key: str) -> ObjectInfo:
        for _, info in self._found(key, lambda one: one.store.head(key)):
            return info
        raise self.not_found(key)

    def listed(self, prefix: str, after: str, hidden: Callable[[str], bool]) -> Iterator[ObjectInfo]:
        """The union of what the sites list, without what is `hidden`. Of an object at several, what the first says."""
        members = self._sites.ready()
        self.check_enough_listed(prefix)
        home = self._sites.home
        voids = self.voids()
        listings = [self.listing(rank, member, prefix, after) for rank, member in enumerate(members)]
        last = ""
        for key, _, member, info in heapq.merge(*listings, key=lambda entry: entry[:2]):
            if key == last or hidden(key):
                continue
            if member is not home and voids.covers(member.position, key):
                continue
            last = key
            yield info
        self.check_enough_listed(prefix)

    def check_enough_listed(self, prefix: str) -> None:
        """Raise StoreUnreachableError when what some site alone has may be missing."""
        layout, absent = self._sites.layout, self._sites.absent()
        if len(absent) > layout.n - layout.k:
            raise StoreUnreachableError(
                f"cannot list {prefix or 'everything'}: too few sites answer: {self._sites.told(absent)}",
                hint=f"at least {layout.k} of the {layout.n} sites are needed",
                object_name=prefix,
            )

    def voids(self) -> Voids:
        """The marks as they are now. While the home is away nobody can add one, so they are read once in a while."""
        if not self._sites.home.trouble:
            self._frozen = None
            return Voids(self._sites)
        now = self._sites.clock.monotonic()
        if self._frozen is None or now >= self._frozen[0]:
            self._frozen = now + _FROZEN_SECONDS, Voids(self._sites)
        return self._frozen[1]

    def not_found(self, key: str) -> HoldfastError:
        """What to say of a key that no site has: that it is not there, or that too few were asked."""
        layout, absent = self._sites.layout, self._sites.absent()
        if len(absent) > layout.n - layout.k:
            return StoreUnreachableError(
                f"cannot read {key}: too few sites answer: {self._sites.told(absent)}",
                hint=f"at least {layout.k} of the {layout.n} sites are needed",
                object_name=key,
            )
        return ObjectNotFoundError(f"there is no {key} in {self._sites.url}", object_name=key)

    def _found(self, key: str, read: Callable[[Member], _Result]) -> Iterator[tuple[Member, _Result]]:
        """What each site that has the object answers, the home first; sites that do not answer are passed over."""
        voids = self.voids()
        for member in self._sites.ready():
            outcome = self._sites.attempt(member, read)
            if isinstance(outcome.error, ObjectNotFoundError) or outcome.failed:
                continue
            if member is not self._sites.home and voids.covers(member.position, key):
                continue
            if outcome.error is not None:
                raise outcome.error
            assert outcome.value is not None
            yield member, outcome.value

    def listing(
        self, rank: int, member: Member, prefix: str, after: str
    ) -> Iterator[tuple[str, int, Member, ObjectInfo]]:
        """What one site lists; a site that fails in the middle ends there, and is among the absent then."""
        try:
            for info in member.store.list(prefix, after):
                yield info.key, rank, member, info
        except HoldfastError as error:
            self._sites.note_failure(member, error)
            if not member.trouble:
                raise

    # ---- writing ----

    def put(self, key: str, data: Buffer) -> ObjectInfo:
        """At all sites, the home first. A site that missed it has an old copy, perhaps: it is marked."""
        home = self._sites.writing_home()
        info = self._at_home(home, lambda one: one.store.put(key, data))
        outcomes = self._others(home, lambda one: one.store.put(key, data))
        missed = [outcome for outcome in outcomes if not outcome.ok]
        raise_unless_enough(self._sites, key, [Outcome(home, info), *outcomes], 1)
        if missed:
            self._mark(missed, key)
        return info

    def create(self, key: str, data: Buffer) -> ObjectInfo:
        """At the home, which decides; then at the others. Raises AlreadyExistsError, ConflictError."""
        home = self._sites.writing_home()
        taken: AlreadyExistsError | None = None
        info = ObjectInfo(key, 0, 0)
        try:
            info = self._at_home(home, lambda one: one.store.create(key, data))
        except AlreadyExistsError as error:
            if self._sites.attempt(home, lambda one: one.store.get(key)).value != data:
                raise
            taken = error  # perhaps by this caller, whose answer was lost: then it must also be where it would be else
        outcomes = self._others(home, lambda one: self._create_copy(one, key, data))
        differing = [outcome.member.name for outcome in outcomes if isinstance(outcome.error, AlreadyExistsError)]
        if differing and taken is None:
            # The home had lost it, or a site comes from a past of its own: what was there before stands.
            for member in (home, *(outcome.member for outcome in outcomes if outcome.value)):
                self._sites.attempt(member, lambda one: one.store.delete(key))
            raise ConflictError(
                f"{key} was not at the home, and there is one at {', '.join(differing)}: it was left alone",
                hint="verify and heal the stripes, then try again",
                object_name=key,
            )
        raise_unless_enough(self._sites, key, [Outcome(home, info), *outcomes], 1)
        if taken is not None:
            raise taken
        return info

    def delete(self, key: str, more: Callable[[Member], None] = lambda member: None) -> None:
        """At the others first, where it cannot be done marks it; the home's copy goes last, and the object with it.

        `more` deletes what else belongs to the object at a site.
        """
        home = self._sites.writing_home()

        def delete_at(member: Member) -> None:
            member.store.delete(key)
            more(member)

        outcomes = self._others(home, delete_at)
        missed = [outcome for outcome in outcomes if not outcome.ok]
        if missed:
            raise_unless_enough(self._sites, key, [Outcome(home), *outcomes], 1, "deleted")
            self._mark(missed, key)
        self._at_home(home, delete_at)

    def _create_copy(self, member: Member, key: str, data: Buffer) -> bool:
        """Whether it was not there before."""
        try:
            member.store.create(key, data)
        except AlreadyExistsError:
            if member.store.get(key) == data:
                return False
            if not Voids(self._sites).covers(member.position, key):
                raise
            member.store.put(key, data)
        return True

    def _at_home(self, home: Member, action: Callable[[Member], ObjectInfo | None]) -> ObjectInfo:
        outcome = self._sites.attempt(home, action)
        if outcome.error is not None:
            raise outcome.error
        return outcome.value or ObjectInfo("", 0, 0)

    def _others(self, home: Member, action: Callable[[Member], object]) -> list[Outcome[object]]:
        """The same at every other site; those that are left alone for now have failed."""
        ready = [member for member in self._sites.ready() if member is not home]
        done = self._sites.each(ready, action)
        left = [member for member in self._sites.members if member is not home and member not in ready]
        return done + [Outcome(member, error=unused(member)) for member in left]

    def _mark(self, missed: Sequence[Outcome[object]], key: str) -> None:
        Voids(self._sites).add((outcome.member for outcome in missed), key, self._put_mark)

    def _put_mark(self, key: str, data: Buffer) -> None:
        home = self._sites.home
        info = self._at_home(home, lambda one: one.store.put(key, data))
        outcomes = self._others(home, lambda one: one.store.put(key, data))
        raise_unless_enough(self._sites, key, [Outcome(home, info), *outcomes], 1)


def is_sound(key: str, data: bytes) -> bool:
    """Whether the bytes are what was written under this key, as far as anybody can tell without keys."""
    if key.startswith(PACKS):
        return blake3(data).hexdigest() == key.rpartition("/")[2]
    if not key.startswith(_CHECKED):
        return True
    try:
        scrub_object(key, data)
    except DamageError:
        return False
    return True


def unused(member: Member) -> StoreUnreachableError:
    """The error of a site that was not even asked."""
    return StoreUnreachableError(member.trouble or "it was not asked")


def raise_unless_enough(
    sites: Sites, key: str, outcomes: Sequence[Outcome[object]], needed: int, did: str = "stored"
) -> None:
    """Raise the error of a site, in more words, unless so many did it that the set keeps what it promises.

    `needed`: how many sites must be left with it. Of those that did it, one whose copy of the key is marked as void
    does not count: the mark may also lie at a site that is away, and come back with it. Where it was enough, that
    something is owed is told.
    """
    failed = [outcome for outcome in outcomes if not outcome.ok]
    if not failed:
        return  # enough copies are not void: that is seen to when one is marked
    marked = Voids(sites).positions(key)
    done = sum(outcome.ok and outcome.member.position not in marked for outcome in outcomes)
    spares = sites.layout.spares
    names = "; ".join(f"{one.member.name}: {one.error}" for one in failed)
    if done >= needed + spares:
        sites.progress.note(
            f"{key} is owed to {len(failed)} of {sites.layout.n} sites: {names}; heal the stripes later"
        )
        return
    errors = [one.error for one in failed if one.error is not None]
    # Of an error that waiting does not mend (a full disk, no permission) the caller must hear first.
    worst = next((error for error in errors if not error.retry), errors[0])
    before = "; others are owed what they missed before" if marked else ""
    raise type(worst)(
        f"{key} was {did} at {done} of {sites.layout.n} sites, and {needed + spares} are needed to survive the loss of "
        f"{spares}: {names}{before}",
        hint=worst.hint or "wait for the site, or rebuild it onto a new one" + (", and heal the others" * bool(marked)),
        object_name=key,
    )
