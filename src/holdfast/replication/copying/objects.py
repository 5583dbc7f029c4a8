"""Copying single objects from store to store: each checked against its name or checksum, nothing sent twice."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from holdfast.errors import ConflictError, DamageError, NotFoundError, RefusedError
from holdfast.events import Progress
from holdfast.replication.copying.lanes import NORMAL, Lane
from holdfast.replication.copying.pieces import Carrier
from holdfast.replication.copying.trusting import Generations
from holdfast.stores.protocol import ObjectInfo, Store
from holdfast.vault.format.names import INDEX, PACKS, PARTS, REFS
from holdfast.vault.format.scrubbing import scrub_object
from holdfast.vault.format.series import create_once

__all__ = ["NAMED_BY_BYTES", "ObjectCopier", "check_same_config"]

_STREAMS = 4  # objects on their way at a time: what keeps a link busy while one waits for its answer
NAMED_BY_BYTES = (PACKS, INDEX)


class ObjectCopier:
    """Copies objects and counts them. `damaged`: key → what is wrong with it at the source.

    `lane`: what it shares with other copies to the same target.
    """

    def __init__(
        self,
        source: Store,
        target: Store,
        progress: Progress,
        lane: Lane | None = None,
        priority: int = NORMAL,
        carrier: Carrier | None = None,
        scopes: Mapping[str, str] | None = None,
    ) -> None:
        """`carrier`: who copies packs, by default threads of this process. `scopes`: prefix → the longer one to which
        this copy keeps, such as that of an asset; others of that prefix are not looked for.
        """
        self._carrier = carrier
        self._scopes = scopes or {}
        self.source = source
        self.target = target
        self.progress = progress
        self._lane = lane
        self._priority = priority
        self._present: dict[str, dict[str, int]] = {}
        self._lock = threading.Lock()
        self.objects = 0
        self.bytes = 0
        self.damaged: dict[str, str] = {}
        self._gone: set[str] = set()
        self._since = 0 if lane is None else lane.mark()  # when the target was looked at
        self.notes: list[str] = []

    def there(self, prefix: str) -> dict[str, int]:
        """Keys with that prefix at the target, and their sizes; listed once."""
        with self._lock:
            if prefix not in self._present:
                listed = self.target.list(self._scopes.get(prefix, prefix))
                self._present[prefix] = {info.key: info.size for info in listed}
            return self._present[prefix]

    def look_again(self) -> None:
        """List the target anew when it is asked for next. What others sent before this counts only if it is there."""
        with self._lock:
            self._present.clear()
            self._since = 0 if self._lane is None else self._lane.mark()

    def saw(self, listed: Iterable[ObjectInfo]) -> None:
        """The target has these, too: a later listing said so."""
        with self._lock:
            for info in listed:
                self._note(info.key, info.size)

    def has(self, key: str, size: int) -> bool:
        """Whether the target has it. What is named by its bytes and has another size there is damaged: it is not."""
        there = self.there(key.partition("/")[0] + "/").get(key)
        return there is not None and (there == size or not key.startswith(NAMED_BY_BYTES))

    def copy_all(self, prefix: str) -> set[str]:
        """Everything with that prefix that the target lacks. Returns what went meanwhile."""
        return self.copy_listed(prefix, self.source.list(prefix))

    def copy_listed(self, what: str, listed: Iterable[ObjectInfo]) -> set[str]:
        """Of these objects those that the target lacks. Returns those that were listed and are gone: dropped, or
        collected. That is no damage.
        """
        missing = [info for info in listed if not self.has(info.key, info.size)]
        self.progress.phase(f"copying {what.rstrip('/')}", sum(info.size for info in missing))
        gone = self.copy(info.key for info in missing) & self._gone
        for key in gone:
            del self.damaged[key]
        self._gone -= gone
        return gone

    def copy_config(self, generations: Generations) -> None:
        """The generations that count, in order; the others are reported.

        Raises RefusedError when the target was configured by itself, DamageError.
        """
        for key in generations.forged:
            self.damaged[key] = f"{key} is not signed by a keeper whom this vault trusts: it was not copied"
        for key in generations.counting:
            if self.has(key, 0):
                check_same_config(self.source, self.target, key)
                continue
            try:
                self.copy([key])
            except ConflictError as error:
                raise _configured_apart(self.target, key) from error
            if key in self.damaged:
                raise DamageError(self.damaged[key], object_name=key)

    def copy_series(self, generations: list[str], *, newest_first: bool = False) -> bool:
        """The generations of one pointer, given oldest first. False when the target wrote other ones, and keeps them.

        Later generations of the source must not bury what the target wrote; whoever can read them settles it.
        """
        there = self.there(REFS)
        missing = [key for key in generations if key not in there]
        common = [key for key in generations if key in there]
        if missing and common and self.source.get(common[-1]) != self.target.get(common[-1]):
            return False
        try:
            for key in reversed(missing) if newest_first else missing:
                self.copy([key])
        except ConflictError:
            return False
        return True

    def copy(self, keys: Iterable[str], *, replace: Collection[str] = ()) -> set[str]:
        """Copy these objects. Returns those that could not be, because they are damaged or gone at the source.

        `replace`: those of them that are damaged at the target, and are written anew there.
        """
        failed: set[str] = set()
        if self._carrier is not None:
            keys = list(keys)
            failed |= self._carry(self._carrier, [key for key in keys if key.startswith(PACKS) and key not in replace])
            keys = [key for key in keys if not key.startswith(PACKS) or key in replace]

        def one(key: str) -> None:
            try:
                size = self._copy_in_turn(key, key in replace)
            except (DamageError, NotFoundError) as error:
                self.damaged[key] = error.message
                failed.add(key)
                if isinstance(error, NotFoundError):
                    self._gone.add(key)
                return
            self.progress.advance(size, size)

        with ThreadPoolExecutor(_STREAMS) as pool:
            list(pool.map(one, keys))
        return failed

    def _carry(self, carrier: Carrier, keys: Sequence[str]) -> set[str]:
        failed: set[str] = set()
        for done in carrier(keys) if keys else ():
            if not done.problem:
                self._count(done.key, done.size)
                self.progress.advance(done.size, done.size)
                continue
            self.damaged[done.key] = done.problem
            failed.add(done.key)
            if done.gone:
                self._gone.add(done.key)
        return failed

    def put(self, key: str, data: bytes) -> None:
        """Write an object that the source does not have: an index of what was copied."""
        self.target.put(key, data)
        self._count(key, len(data))

    def _copy_in_turn(self, key: str, replace: bool) -> int:
        # Under other names than those of bytes, two copies may send different ones: only writing it tells.
        if self._lane is None or replace or not key.startswith(NAMED_BY_BYTES):
            return self._copy_one(key, replace)
        size = self._lane.once(key, self._priority, lambda: self._copy_one(key, replace), since=self._since)
        with self._lock:
            self._note(key, size)
        return size

    def _copy_one(self, key: str, replace: bool) -> int:
        data = self.source.get(key)
        scrub_object(key, data)
        if replace or key.startswith(NAMED_BY_BYTES):
            self.target.put(key, data)
        elif not create_once(self.target, key, data) and not key.startswith(PARTS):
            raise ConflictError(f"{key} differs at {self.target.url}", object_name=key)
        self._count(key, len(data))
        return len(data)

    def _count(self, key: str, size: int) -> None:
        with self._lock:
            self.objects += 1
            self.bytes += size
            self._note(key, size)

    def _note(self, key: str, size: int) -> None:
        """It is there now. Where nothing was listed yet, a listing will tell."""
        present = self._present.get(key.partition("/")[0] + "/")
        if present is not None:
            present[key] = size


def check_same_config(source: Store, target: Store, key: str) -> None:
    """Raises RefusedError when both sites wrote this generation, DamageError when one of them is damaged.

    Members that only one site knows would make the other distrust what they sign.
    """
    here, there = source.get(key), target.get(key)
    if here != there:
        scrub_object(key, here)
        scrub_object(key, there)
        raise _configured_apart(target, key)


def _configured_apart(target: Store, key: str) -> RefusedError:
    return RefusedError(
        f"the vault at {target.url} was configured by itself ({key} differs)",
        hint="replicate the other way round first, or choose another target",
        object_name=key,
    )
