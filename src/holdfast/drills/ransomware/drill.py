"""The drill from beginning to end: a vault in daily use, the attack, the way back, every byte compared."""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypeVar

from holdfast.clock import SYSTEM_CLOCK, Clock
from holdfast.drills.ransomware.attack import Damage, destroy, forge
from holdfast.drills.ransomware.surface import Surface
from holdfast.errors import HoldfastError
from holdfast.stores.protocol import Store
from holdfast.stores.retention.past import PastStore
from holdfast.stores.retention.port import Period, locks_of
from holdfast.testing.workspace import TrialVault, new_trial_vault
from holdfast.vault.access.members import admit_writer, revoke_signer
from holdfast.vault.handle import Handle
from holdfast.vault.locking.extending import extend_locks
from holdfast.vault.locking.memory import memory_of
from holdfast.vault.locking.moments import find_moments
from holdfast.vault.locking.protecting import protect_snapshot
from holdfast.vault.locking.recovering import apply_recovery, plan_recovery
from holdfast.vault.locking.setting import write_setting
from holdfast.vault.locking.state import lock_report
from holdfast.vault.vault import Vault

__all__ = ["Setting", "Outcome", "run_drill"]

_ASSET = "model"
_T = TypeVar("_T")


class Setting(NamedTuple):
    """Where it is played. `store`: with its locks; each call opens it again, as another process would.
    `surface`: what the attacker can reach. `lock`: None plays it without the guard. `clock`: the store's.
    """

    store: Callable[[], Store]
    surface: Surface
    lock: Period | None
    snapshots: int = 4
    megabytes: float = 1.0
    clock: Clock = SYSTEM_CLOCK


class Outcome(NamedTuple):
    """`restored`: snapshots from before the attack that came back byte for byte, of `snapshots`. `forged_left`: whether
    the attacker's snapshot is still among those that are listed. Times in seconds; `first_s`: from the beginning of the
    recovery until the newest snapshot was restored straight from the old versions, before anything was written.
    `found`: snapshots that are whole at the newest whole moment that the versions tell of, where nobody knows when the
    attack began.
    """

    damage: Damage
    broken: bool
    snapshots: int
    restored: int
    found: int
    lost: tuple[str, ...]
    set_aside: int
    made_current: int
    forged_left: bool
    unprotected_before: int
    unprotected_after: int
    attack_s: float
    find_s: float
    first_s: float
    plan_s: float
    apply_s: float
    relock_s: float
    check_s: float
    restore_s: float
    bytes: int
    note: str = ""

    @property
    def succeeded(self) -> bool:
        """Everything older than the attack is there, and nothing of the attacker's."""
        return self.broken and self.restored == self.snapshots and not self.lost and not self.forged_left


def run_drill(setting: Setting, folder: Path) -> Outcome:
    """Play it in `folder`, which is new. Raises HoldfastError only for what goes wrong before the attack."""
    return _Drill(setting, folder).run()


class _Drill:
    def __init__(self, setting: Setting, folder: Path) -> None:
        self._setting = setting
        self._folder = folder
        self._random = random.Random(2026)  # noqa: S311 - bytes to save, no secrets
        self._copies: dict[str, Path] = {}  # what each snapshot must restore to
        self._times: dict[str, float] = {}
        folder.mkdir(parents=True, exist_ok=True)

    def run(self) -> Outcome:
        trial = new_trial_vault(self._setting.store(), clock=self._setting.clock)
        keeper = trial.open()
        if self._setting.lock is not None:
            write_setting(keeper.handle, self._setting.lock)
        credential = admit_writer(keeper.handle, "trainer")
        trainer = trial.open(credential, store=self._setting.store())
        self._train(trainer)
        keeper = trial.open(store=self._setting.store())
        locks = locks_of(keeper.handle.store)
        assert locks is not None, "the drill is played on a store with versions"
        unprotected = len(lock_report(keeper.handle).unprotected)
        self._setting.clock.sleep(2.1)  # stores tell times to a second
        before_ns = locks.now_ns()
        self._setting.clock.sleep(2.1)
        began = time.perf_counter()
        forged = forge(trial.open(credential, store=self._setting.store()), _ASSET, self._folder / "forged")
        damage = destroy(self._setting.surface, self._setting.clock.sleep)
        self._times["attack"] = time.perf_counter() - began
        return self._recover(trial, before_ns, damage, forged, unprotected)

    def _train(self, trainer: Vault) -> None:
        source = self._folder / "training"
        source.mkdir()
        size = round(self._setting.megabytes * (1 << 20))
        (source / "frozen.bin").write_bytes(self._random.randbytes(size // 2))  # shared by all snapshots
        weights = bytearray(self._random.randbytes(size - size // 2))
        for step in range(1, self._setting.snapshots + 1):
            for _ in range(64):
                weights[self._random.randrange(len(weights))] ^= 1
            (source / "weights.bin").write_bytes(weights)
            (source / "step.txt").write_text(str(step))
            saved = trainer.save(_ASSET, source, step=step).root
            protect_snapshot(trainer.handle, saved)
            self._copies[saved.id] = self._folder / f"copy-{step}"
            shutil.copytree(source, self._copies[saved.id])
            self._setting.clock.sleep(0.01)

    def _recover(self, trial: TrialVault, before_ns: int, damage: Damage, forged: str, unprotected: int) -> Outcome:
        store = self._setting.store()
        locks = locks_of(store)
        assert locks is not None
        broken = not self._restores(lambda: trial.open(store=store), list(self._copies)[-1], "broken")
        found = self._timed("find", lambda: self._find(trial, store))
        first = self._timed("first", lambda: self._restore_from_the_past(trial, store, before_ns))
        restored, lost, left, after, aside, current, moved = 0, list(self._copies), True, 0, 0, 0, 0
        note = ""
        try:
            plan, _ = self._timed(
                "plan", lambda: plan_recovery(store, locks, lambda past: _reading(trial, past), before_ns)
            )
            done = self._timed("apply", lambda: apply_recovery(store, locks, plan))
            aside, current, moved = done.set_aside, done.restored, done.bytes
            if done.failures:
                note = f"{len(done.failures)} steps failed: {done.failures[0][1]}"
            vault = trial.open(store=self._setting.store())
            memory_of(vault.handle).forget()
            revoke_signer(vault.handle, "trainer")
            if self._setting.lock is not None:
                self._timed("relock", lambda: extend_locks(vault.handle))
                after = len(lock_report(vault.handle).unprotected)
            report = self._timed("check", lambda: vault.check(read_data=True))
            if report.damages:
                note = note or f"damage is left: {report.damages[0].message}"
            left = any(one.root is not None and one.root.id == forged for one in vault.snapshots())
            lost = self._timed("restore", lambda: self._restore_all(vault))
            restored = len(self._copies) - len(lost)
        except HoldfastError as error:
            note = error.message
        return Outcome(
            damage=damage,
            broken=broken,
            snapshots=len(self._copies),
            restored=restored,
            found=found,
            lost=tuple(lost),
            set_aside=aside,
            made_current=current,
            forged_left=left,
            unprotected_before=unprotected,
            unprotected_after=after,
            attack_s=self._times["attack"],
            find_s=self._times["find"],
            first_s=self._times["first"] if first else 0.0,
            plan_s=self._times.get("plan", 0.0),
            apply_s=self._times.get("apply", 0.0),
            relock_s=self._times.get("relock", 0.0),
            check_s=self._times.get("check", 0.0),
            restore_s=self._times.get("restore", 0.0),
            bytes=moved,
            note=note,
        )

    def _find(self, trial: TrialVault, store: Store) -> int:
        """How many of the snapshots are whole at the moment that is found without being told."""
        locks = locks_of(store)
        assert locks is not None
        for moment in find_moments(store, locks, lambda past: _reading(trial, past)):
            if moment.is_whole:
                return len(self._copies.keys() & set(moment.snapshots))
        return 0

    def _restore_from_the_past(self, trial: TrialVault, store: Store, before_ns: int) -> bool:
        locks = locks_of(store)
        assert locks is not None
        past = PastStore(store, locks, before_ns)
        return self._restores(lambda: trial.open(store=past), list(self._copies)[-1], "from-the-past")

    def _restore_all(self, vault: Vault) -> list[str]:
        return [one for one in self._copies if not self._restores(lambda: vault, one, f"restored-{one}")]

    def _restores(self, opening: Callable[[], Vault], snapshot: str, name: str) -> bool:
        """Whether the snapshot restores to what was saved, byte for byte."""
        target = self._folder / name
        try:
            opening().restore(snapshot, target)
        except HoldfastError:
            return False
        return _content(target) == _content(self._copies[snapshot])

    def _timed(self, what: str, work: Callable[[], _T]) -> _T:
        began = time.perf_counter()
        try:
            return work()
        finally:
            self._times[what] = time.perf_counter() - began


def _reading(trial: TrialVault, past: Store) -> Handle:
    return trial.open(store=past).handle


def _content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
