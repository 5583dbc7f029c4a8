"""SAVE: what was stopped is saved once more at its home, and copied to where it is restored from.

Of an asset with `path` all of it is saved, of one with `watch` the newest complete checkpoint. One that has neither is
saved by its training: then the newest snapshot at its home is taken. It is done when the snapshot lies whole at a site
other than the home, and was read back there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from holdfast.checkpoints.layouts import find_checkpoints
from holdfast.checkpoints.metrics import metrics_of
from holdfast.clock import Clock
from holdfast.control.authority.guarding import guard
from holdfast.control.recovering.actors.services import data_at_home
from holdfast.control.sites.declared import DeclaredAsset, DeclaredSites
from holdfast.control.sites.following import SiteFollower
from holdfast.control.sites.saving import declared_save
from holdfast.errors import FailedError, HoldfastError, NotFoundError
from holdfast.infra.calling.commands import AgainError
from holdfast.recovery.journal.state import RunState, StepPhase
from holdfast.recovery.running.actors import Facts, Task
from holdfast.vault.checking.proofs import Proofs
from holdfast.vault.format.records import Root
from holdfast.vault.snapshots.roots import content_time, list_roots

__all__ = ["MARK", "Saving", "saved_of"]

MARK: Final = "recovery"  # in the snapshot's metadata: the key of the step that made it
_POLL_SECONDS: Final = 1.0
_LOOKED_AT: Final = 20


class Saving:
    """The actor. `preferred`: asset → the store that the plan meant to read it from."""

    def __init__(self, sites: DeclaredSites, preferred: dict[str, str], clock: Clock) -> None:
        self._sites, self._preferred, self._clock = sites, preferred, clock

    def check(self, task: Task) -> str | None:
        asset = self._sites.asset(task.step.asset)
        vault = self._sites.open_at(asset.home)
        guard(vault, "save", asset=asset.name)
        vault.handle.keys.require_writer("saving it once more")
        if not self._stores(asset):
            return f"no other site gets copies of {asset.name}"
        return None

    def act(self, task: Task) -> Facts:
        """Raises what saving and copying raise; FailedError where no copy is complete in time."""
        began = self._clock.monotonic()
        asset = self._sites.asset(task.step.asset)
        root = self._made(asset, task.key) or self._save(asset, task.key)
        store = self._copied(asset, root, began + task.seconds)
        return _told(root, store) | {"seconds": round(self._clock.monotonic() - began, 6)}

    def done(self, task: Task) -> Facts | None:
        asset = self._sites.asset(task.step.asset)
        root = self._made(asset, task.key)
        store = self._whole_at(asset, root) if root is not None else ""
        return _told(root, store) if root is not None and store else None

    def undo(self, task: Task) -> None:
        """A snapshot more does no harm."""

    def _save(self, asset: DeclaredAsset, key: str) -> Root:
        declared = self._sites.config.assets[asset.name]
        saving = declared_save(self._sites, asset.name)
        guard(saving.vault, "save", asset=asset.name)
        if not declared.path and not declared.watch:
            return saving.vault.find(asset.name)
        place = data_at_home(self._sites, asset.name)
        step, metrics, meta = None, None, {MARK: key}
        if declared.watch:
            found = next((one for one in find_checkpoints(place) if one.complete), None)
            if found is not None:
                step, metrics = found.step, metrics_of(found.path)
                meta |= {"framework": found.framework, "checkpoint": found.name}
        return saving.vault.save(
            asset.name, place, step=step, metadata=meta, metrics=metrics, committed=saving.committed
        ).root

    def _made(self, asset: DeclaredAsset, key: str) -> Root | None:
        """What this step saved already, if it did."""
        handle = self._sites.open_at(asset.home).handle
        roots = [one.root for one in list_roots(handle, asset.name) if one.root is not None]
        newest = sorted(roots, key=lambda root: (content_time(root), root.id), reverse=True)[:_LOOKED_AT]
        return next((root for root in newest if root.meta.get(MARK) == key), None)

    def _copied(self, asset: DeclaredAsset, root: Root, until: float) -> str:
        """The store where it lies whole and was read back. Rounds are made until then."""
        trouble = "no copy is complete"
        while True:
            try:
                SiteFollower(self._sites, [asset]).run_round()
                store = self._whole_at(asset, root)
                if store:
                    return store
            except HoldfastError as error:
                if not error.retry:
                    raise
                trouble = error.message
            if self._clock.monotonic() + _POLL_SECONDS > until:
                raise AgainError(f"{root.id} of {asset.name} is nowhere but at its home: {trouble}")
            self._clock.sleep(_POLL_SECONDS)

    def _stores(self, asset: DeclaredAsset) -> list[str]:
        """Other sites' stores that get it, the one that the plan reads from first."""
        preferred = self._preferred.get(asset.name, "")
        return sorted(asset.targets, key=lambda name: name != preferred)

    def _whole_at(self, asset: DeclaredAsset, root: Root) -> str:
        for name in self._stores(asset):
            try:
                vault = self._sites.open_at(name)
                vault.find(root.id)
                if root.id in Proofs(vault.handle).snapshots():
                    return name
            except NotFoundError:
                continue
        return ""


def _told(root: Root, store: str) -> Facts:
    found: Facts = {"snapshot": root.id, "store": store, "content": content_time(root)}
    return found if root.step is None else found | {"step": root.step}


def saved_of(state: Callable[[], RunState], step: str) -> tuple[str, str] | None:
    """The store and the snapshot that this step of a run made; None where a person skipped it.

    Raises FailedError where it has not ended: a restore that comes after it was begun too early.
    """
    one = state().steps.get(step)
    if one is not None and one.phase is StepPhase.SKIPPED:
        return None
    if one is None or one.phase is not StepPhase.DONE:
        raise FailedError(f"the step {step} has not ended, and what it makes is to be restored", object_name=step)
    return str(one.facts["store"]), str(one.facts["snapshot"])
