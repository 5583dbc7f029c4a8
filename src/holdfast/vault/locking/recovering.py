"""Going back to before an attack: plan, then apply.

The plan lists the versions of every object, opens the vault as it was at a time by the store's clock (`PastStore`),
checks it as `vault check` does (signatures, references, names), and compares it with what is current. Applying it makes
older versions current again where something was overwritten or deleted, and sets aside (hides by a delete marker, which
can be taken off again) what was added since. Nothing is destroyed, so a plan with another time can follow.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from blake3 import blake3

from holdfast.errors import ConflictError, DamageError, HoldfastError, NotFoundError, ObjectNotFoundError
from holdfast.events import SILENT, Progress
from holdfast.stores.protocol import Store
from holdfast.stores.retention.past import PastStore, current_at, versions_by_key
from holdfast.stores.retention.port import ObjectLocks, Version
from holdfast.vault.checking.whole_vault import Damage, check_vault
from holdfast.vault.format.names import CONFIG, INDEX, LEASES, PACKS, PARTS, REFS, SAVES, SNAPSHOTS, THINNED, TRASH
from holdfast.vault.format.records import Root
from holdfast.vault.format.scrubbing import scrub_object
from holdfast.vault.handle import Handle
from holdfast.vault.locking.reach import IMMUTABLE, reach_of
from holdfast.vault.locking.setting import LOCKS
from holdfast.vault.snapshots.finding import list_roots

__all__ = ["Step", "RecoveryPlan", "Recovered", "plan_recovery", "apply_recovery", "RESTORE", "SET_ASIDE"]

RESTORE, SET_ASIDE = "restore", "set aside"
# Data before what refers to it, and the configuration at the end: until then no program opens half of a vault.
_ORDER = (PACKS, INDEX, PARTS, THINNED, SNAPSHOTS, REFS, LEASES, SAVES, TRASH, LOCKS, CONFIG)
_WORKERS = 16

Opener = Callable[[Store], Handle]


class Step(NamedTuple):
    """One object. RESTORE: `version` becomes current again. SET_ASIDE: it is hidden. `why`: what happened to it."""

    action: str
    key: str
    version: str
    modified_ns: int
    size: int
    why: str


class RecoveryPlan(NamedTuple):
    """`snapshots`: ids of those that are whole in it. `damages`: what is not, and whom it hurts. `first_ns`: when an
    object that is written once was first overwritten or deleted, as far as versions tell. `digest`: of the steps.
    """

    vault: str
    url: str
    before_ns: int
    objects: int
    steps: tuple[Step, ...]
    snapshots: tuple[str, ...]
    damages: tuple[Damage, ...]
    first_ns: int | None

    @property
    def digest(self) -> str:
        """What the plan would do, in 32 hex digits: equal plans have equal ones."""
        said = "\n".join(f"{one.action}\t{one.key}\t{one.version}" for one in self.steps)
        return blake3(f"{self.vault}\n{self.before_ns}\n{said}".encode()).hexdigest(16)

    def count(self, action: str) -> int:
        return sum(step.action == action for step in self.steps)


class Recovered(NamedTuple):
    """What applying a plan did. `failures`: steps that the store refused, and why."""

    restored: int
    set_aside: int
    bytes: int
    failures: tuple[tuple[Step, str], ...]


def plan_recovery(
    store: Store, locks: ObjectLocks, open_past: Opener, before_ns: int, progress: Progress = SILENT
) -> tuple[RecoveryPlan, Handle]:
    """How to get back to what stood at `before_ns` by the store's clock, and the vault as it was then, opened to read.

    `open_past` opens the vault on a store. Changes nothing. Raises NotFoundError when there was no vault then, and what
    opening raises.
    """
    progress.phase("listing versions", None)
    stacks = versions_by_key(locks.versions(""))
    instead = _sound_instead(locks, stacks, before_ns)
    past = PastStore(store, locks, before_ns, instead)
    handle = open_past(past)
    progress.phase("checking the vault as it was", None)
    report = check_vault(handle)
    roots = [one.root for one in list_roots(handle) if one.root is not None]
    steps = _steps(past, locks, stacks, progress)
    known = {one.object for one in report.damages}
    damages = [*report.damages, *_damages(handle, roots, _unsound_packs(past, locks, steps, known))]
    hurt = {snapshot for damage in damages for snapshot in damage.snapshots}
    whole = tuple(root.id for root in roots if root.id not in hurt)
    plan = RecoveryPlan(
        handle.keys.vault.hex(),
        store.url,
        before_ns,
        len(past.chosen()),
        tuple(steps),
        whole,
        tuple(damages),
        _first_change(stacks),
    )
    return plan, handle


def apply_recovery(store: Store, locks: ObjectLocks, plan: RecoveryPlan, progress: Progress = SILENT) -> Recovered:
    """Carry a plan out. Steps that fail do not keep the others from being done; the same plan can be made again.

    Raises ConflictError when somebody has written since the plan was made: whoever attacks must be locked out first.
    """
    now = {key: stack[0].version for key, stack in versions_by_key(locks.versions("")).items()}
    for step in plan.steps:
        if step.action == SET_ASIDE and now.get(step.key) != step.version:
            raise ConflictError(
                f"{step.key} changed since the plan was made: somebody writes to this store still",
                hint="take the credentials of whoever attacks away, then plan again",
            )
    failures: list[tuple[Step, str]] = []
    done: Counter[str] = Counter()
    restored_bytes = 0

    def one(step: Step) -> str:
        try:
            if step.action == SET_ASIDE:
                store.delete(step.key)
            else:
                version = Version(step.key, step.version, step.size, step.modified_ns, is_current=False)
                locks.restore_version(version)
        except HoldfastError as error:
            return error.message
        return ""

    progress.phase("going back", None)
    with ThreadPoolExecutor(_WORKERS) as pool:
        for prefix in (*_ORDER, ""):
            chosen = [step for step in plan.steps if _kind(step.key) == prefix]
            for step, trouble in zip(chosen, pool.map(one, chosen), strict=True):
                if trouble:
                    failures.append((step, trouble))
                    continue
                done[step.action] += 1
                restored_bytes += step.size if step.action == RESTORE else 0
    return Recovered(done[RESTORE], done[SET_ASIDE], restored_bytes, tuple(failures))


def _kind(key: str) -> str:
    return next((prefix for prefix in _ORDER if key.startswith(prefix)), "")


def _sound_instead(locks: ObjectLocks, stacks: Mapping[str, Sequence[Version]], before_ns: int) -> dict[str, Version]:
    """Where several versions stood before that time, the newest one that is sound, if that is not the newest."""
    instead: dict[str, Version] = {}
    for key, stack in stacks.items():
        before = [one for one in stack if one.modified_ns <= before_ns and not one.is_marker]
        if current_at(stack, before_ns) is None or len(before) < 2 or not key.startswith(IMMUTABLE):
            continue
        sound = next((one for one in before if _is_sound(locks, one)), None)
        if sound is not None and sound is not before[0]:
            instead[key] = sound
    return instead


def _is_sound(locks: ObjectLocks, version: Version) -> bool:
    try:
        scrub_object(version.key, locks.read_version(version.key, version.version))
    except (DamageError, NotFoundError):
        return False
    return True


def _steps(
    past: PastStore, locks: ObjectLocks, stacks: Mapping[str, Sequence[Version]], progress: Progress
) -> list[Step]:
    chosen = past.chosen()
    candidates: list[tuple[Version, Version | None]] = []
    steps: list[Step] = []
    for key, stack in stacks.items():
        now = next((one for one in stack if one.is_current), None)
        current = None if now is None or now.is_marker else now
        wanted = chosen.get(key)
        if wanted is not None and key.startswith(LEASES) and (current is None or current.version != wanted.version):
            wanted = None  # whoever was writing then is not any more; garbage in its place would hold collections up
        if wanted is None:
            if current is not None:
                why = "added since"
                steps.append(Step(SET_ASIDE, key, current.version, current.modified_ns, current.size, why))
        elif current is None or current.version != wanted.version:
            candidates.append((wanted, current))
    progress.phase("comparing versions", None)
    with ThreadPoolExecutor(_WORKERS) as pool:
        same = pool.map(lambda pair: pair[1] is not None and _same_content(locks, pair[0], pair[1]), candidates)
        for (wanted, current), is_same in zip(candidates, same, strict=True):
            if not is_same:
                why = "deleted" if current is None else "overwritten"
                steps.append(Step(RESTORE, wanted.key, wanted.version, wanted.modified_ns, wanted.size, why))
    return sorted(steps, key=lambda step: (step.action, step.key))


def _same_content(locks: ObjectLocks, wanted: Version, current: Version) -> bool:
    """Whether an object was only written again as it was: by a repair, or by an earlier run of this."""
    if wanted.size != current.size:
        return False
    try:
        return locks.read_version(current.key, current.version) == locks.read_version(wanted.key, wanted.version)
    except ObjectNotFoundError:
        return False


def _damages(handle: Handle, roots: Iterable[Root], packs: Collection[str]) -> list[Damage]:
    """What these packs, which are not sound, hurt."""
    if not packs:
        return []
    hurt: dict[str, list[str]] = {pack: [] for pack in packs}
    for root in roots:
        for pack in reach_of(handle, root).packs & hurt.keys():
            hurt[pack].append(root.id)
    said = "does not hash to its name in the version that was current then"
    return [Damage(pack, f"{pack} {said}", snapshots) for pack, snapshots in sorted(hurt.items())]


def _unsound_packs(past: PastStore, locks: ObjectLocks, steps: Iterable[Step], known: set[str]) -> list[str]:
    """Packs to be restored whose bytes are not what their name says. (All else was opened by the check.)"""
    packs = [past.chosen()[one.key] for one in steps if one.action == RESTORE and one.key.startswith(PACKS)]
    packs = [one for one in packs if one.key not in known]
    with ThreadPoolExecutor(_WORKERS) as pool:
        sound = list(pool.map(lambda one: _is_sound(locks, one), packs))
    return [one.key for one, is_sound in zip(packs, sound, strict=True) if not is_sound]


def _first_change(stacks: Mapping[str, Sequence[Version]]) -> int | None:
    """When something that is written once was first written again or deleted. Collections delete, too."""
    times = [
        one.modified_ns
        for key, stack in stacks.items()
        if key.startswith((CONFIG, SNAPSHOTS, PACKS, PARTS, REFS)) and len(stack) > 1
        for one in stack[:-1]
    ]
    return min(times, default=None)
