"""What a damaged vault may do, and may not: right bytes or an error that helps; never anything else."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import TypeVar

from holdfast.errors import HoldfastError
from holdfast.testing.damage import (
    Append,
    DamageDone,
    Delete,
    FutureVersion,
    Replace,
    Resealed,
    Swap,
    Truncate,
    put_back,
)
from holdfast.testing.invariants import read_tree, trees_are_equal
from holdfast.vault.checking.whole_vault import CheckReport
from holdfast.vault.vault import Vault

from .sample_vault import ASSET, Sample

__all__ = ["WHOLE_OBJECT_DAMAGES", "Verdict", "judge", "must_be_found"]

_EXIT_CODES = (3, 4, 7)
T = TypeVar("T")


class Verdict:
    """What was seen of one damage. Whatever must not happen raises AssertionError at once."""

    def __init__(self, sample: Sample, damage: DamageDone) -> None:
        self._sample = sample
        self._damage = damage
        self.errors: list[HoldfastError] = []
        self.hurt: set[str] = set()  # snapshots that did not restore
        self.report: CheckReport | None = None

    @property
    def found(self) -> bool:
        """Whether `check` (or opening, before it) named the damage."""
        if self.report is None:
            return True
        named = [f"{damage.object} {damage.message}" for damage in self.report.damages]
        return any(key in text for key in self._damage.keys for text in named)

    @property
    def noted(self) -> bool:
        """Whether `check` at least said something."""
        return self.found or bool(self.report and self.report.notes)

    def attempt(self, what: str, work: Callable[[], T]) -> T | None:
        """Do it; an error must be one of ours, of a code that says so, and help."""
        try:
            return work()
        except HoldfastError as error:
            self.allow(what, error)
            return None

    def allow(self, what: str, error: HoldfastError) -> None:
        told = f"{what} after {self._damage}: {type(error).__name__}: {error} (hint: {error.hint})"
        assert error.exit_code in _EXIT_CODES, told
        assert error.hint, f"no hint: {told}"
        # What is gone cannot be told from what never was: then the message repeats what was asked for.
        asked_for = error.exit_code == 3 and what in error.message
        assert asked_for or self._names_the_object(error), f"does not say what is damaged: {told}"
        self.errors.append(error)

    def _names_the_object(self, error: HoldfastError) -> bool:
        text = f"{error.object_name} {error.message}"
        names = [name for key in self._damage.keys for name in (key, key.rsplit("/", 1)[-1])]
        return any(name in text for name in names) or (
            self._damage.keys[0].startswith("config/") and self._sample.trial.store.url in text
        )


def judge(sample: Sample, damage: DamageDone, scratch: Path) -> Verdict:
    """Apply the damage, try everything with a fresh opening each, and put the vault back as it was."""
    store, verdict = sample.trial.store, Verdict(sample, damage)
    damage.apply(store)
    try:
        opened = verdict.attempt("open", sample.trial.open)
        if opened is not None:
            _look_around(sample, verdict)
            for snapshot in sample.expected:
                _restore(sample, verdict, snapshot, scratch / "out")
            for reference in (ASSET, f"{ASSET}@validated", f"{ASSET}@step=2"):
                _follow(sample, verdict, reference)
            report = verdict.attempt("check", lambda: sample.trial.open().check(read_data=True))
            assert report is not None, f"check itself failed after {damage}"
            verdict.report = report
            _compare_with_check(verdict, damage)
    finally:
        put_back(store, sample.contents)
    return verdict


def must_be_found(damage: DamageDone, sample: Sample) -> bool:
    """Whether check must report the damage. This is the whole list of what it cannot know.

    The absence of an object is only known where something else refers to it: nothing refers to the newest generation
    of a series, to a root that no pointer leads to (it may have been dropped), to an index (a cache; what it lacks
    is noted).
    """
    if not isinstance(damage, Delete):
        return True
    key = damage.key
    if key.startswith(("config/", "refs/")):
        series = [other for other in sample.contents if other.startswith(key[:-10])]
        return key != max(series)
    if key.startswith("snapshots/"):
        return key.rsplit("/", 1)[-1] in _pointed_at(sample)
    return not key.startswith("index/")


def _foreign(sample: Sample, key: str) -> bytes:
    """An object of another vault, of the same kind."""
    prefix = key.partition("/")[0]
    return next(data for other, data in sorted(sample.foreign.items()) if other.startswith(prefix))


def _neighbour(sample: Sample, key: str) -> str:
    keys = sample.keys(key.partition("/")[0])
    return keys[keys.index(key) - 1]


WHOLE_OBJECT_DAMAGES: tuple[Callable[[Sample, str, Random], DamageDone], ...] = (
    lambda sample, key, random: Truncate(key, 0),
    lambda sample, key, random: Truncate(key, random.randrange(1, len(sample.contents[key]))),
    lambda sample, key, random: Append(key, random.randbytes(1 + random.randrange(40))),
    lambda sample, key, random: Delete(key),
    lambda sample, key, random: Replace(key, _foreign(sample, key)),
    lambda sample, key, random: Replace(key, random.randbytes(len(sample.contents[key]))),
    lambda sample, key, random: Replace(key, bytes(len(sample.contents[key]))),
    lambda sample, key, random: FutureVersion(key),
    lambda sample, key, random: Resealed(key, random.randrange(len(sample.contents[key]))),
    lambda sample, key, random: Swap(key, _neighbour(sample, key)),
)


def _pointed_at(sample: Sample) -> set[str]:
    vault = sample.trial.open()
    return {ref.target for asset in (ASSET, "notes") for ref in vault.tags(asset).values()}


def _look_around(sample: Sample, verdict: Verdict) -> None:
    listed = verdict.attempt("snapshots", lambda: sample.trial.open().snapshots())
    assert listed is not None, f"listing failed as a whole: {verdict.errors[-1]}"
    for one in listed:
        assert (one.root is None) != (one.error is None)
        if one.error is not None:
            verdict.allow("snapshots", one.error)
        elif one.root is not None:
            assert one.root.id in sample.expected, f"a snapshot that was never made: {one.root}"


def _restore(sample: Sample, verdict: Verdict, snapshot: str, target: Path) -> None:
    vault = sample.trial.open()
    restored = verdict.attempt("restore", lambda: vault.restore(snapshot, target))
    if restored is None:
        verdict.hurt.add(snapshot)
        left = target.iterdir() if target.is_dir() else ()
        assert all(".partial" in path.name for path in left), f"a restore failed and left {target} visible"
    else:
        trees_are_equal(read_tree(restored.target), sample.expected[snapshot], f"snapshot {snapshot}")
    for path in target.parent.iterdir():
        _remove(path)
    verified = verdict.attempt("verify", lambda: _verify(vault, snapshot))
    assert (verified is None) == (restored is None), f"restoring and verifying {snapshot} disagree"


def _verify(vault: Vault, snapshot: str) -> bool:
    # Not `vault.verify`: it would move `validated`, and the next look would see another vault.
    from holdfast.vault.checking.verifying import verify_decoded

    verify_decoded(vault.handle, vault.find(snapshot))
    return True


def _follow(sample: Sample, verdict: Verdict, reference: str) -> None:
    found = verdict.attempt(reference, lambda: sample.trial.open().find(reference))
    assert found is None or found.id in sample.expected


def _compare_with_check(verdict: Verdict, damage: DamageDone) -> None:
    """What does not restore, check knows: an unreadable root by its key, everything else by the snapshot's id."""
    assert verdict.report is not None
    known = {snapshot for one in verdict.report.damages for snapshot in one.snapshots}
    unreadable = {one.object.rsplit("/", 1)[-1] for one in verdict.report.damages}
    gone = {key.rsplit("/", 1)[-1] for key in damage.keys}
    assert verdict.hurt <= known | unreadable | gone, f"check does not know of {verdict.hurt - known} after {damage}"


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        os.unlink(path)
