"""FENCE and PROMOTE: which site an asset is written at, said to all stores in the notices that every save asks for.

Fencing takes the whole site for lost (`site fail`), for every asset that is written there: a notice is what savers and
readers ask today (`control/sites/telling.py`). A save that runs at the site when it is fenced moves no pointer, and one
that begins later goes to the next home. What holds nobody who can reach none of the stores that were told: what such a
machine saves at the fenced site is nobody's `latest` elsewhere, and comes to the others by `site rebuild`.

The next home of an asset is the next of its sites in holdfast.yaml that is sound. Promoting makes sure that this is the
site of the plan; another order is for people to declare.
"""

from __future__ import annotations

import threading

from holdfast.control.audit.audited_vault import recorded_on
from holdfast.control.sites.declared import DeclaredSites
from holdfast.control.sites.states import Condition
from holdfast.control.sites.telling import say, spread
from holdfast.errors import ConflictError, FailedError, HoldfastError, RefusedError
from holdfast.recovery.running.actors import Facts, Task
from holdfast.vault.access.site_notices import SiteNotice
from holdfast.vault.vault import Vault

__all__ = ["Fencing", "Promoting", "next_home"]


class _Said:
    """What both need: one who speaks at a time, as several assets of a run may have one home."""

    lock = threading.Lock()

    def __init__(self, sites: DeclaredSites, vault: Vault) -> None:
        self._sites, self._vault = sites, vault

    def _mark(self, task: Task) -> str:
        return f"fenced by the recovery {task.run}"

    def _fenced_by(self, task: Task, site: str) -> SiteNotice | None:
        """The notice of this run about the site, if it said one."""
        mark = self._mark(task)
        for kept in self._sites.kept_states.notices().values():
            if kept.notice.site == site and kept.notice.reason == mark:
                return kept.notice
        return None


class Fencing(_Said):
    """The actor of FENCE. An epoch never goes back, so nothing is taken back."""

    def check(self, task: Task) -> str | None:
        self._vault.handle.keys.require_keeper("fencing a site")
        for name in self._also_there(task):
            self._sites.progress.note(f"{name} is written at {task.step.site}, too, and goes to its next home")
        return None

    def act(self, task: Task) -> Facts:
        """Raises FailedError where no store could be told, ConflictError where somebody else spoke meanwhile."""
        site = task.step.site
        with self.lock:
            self._sites.learn()
            if self._fenced_by(task, site) is None:
                self._require_epoch(task)
                names = {"site": site, "reason": self._mark(task)}
                with recorded_on(self._vault, "site.change", objects={"change": "fail"}, names=names):
                    say(self._sites, site, Condition.FAILED, self._mark(task), self._vault.handle.keys.label)
                self._sites.forget_states()
            return self._tell(task)

    def done(self, task: Task) -> Facts | None:
        """The notice counts where a store has it."""
        with self.lock:
            self._sites.learn()
            return None if self._fenced_by(task, task.step.site) is None else self._tell(task)

    def undo(self, task: Task) -> None:
        """Nothing: the plan says why."""

    def _tell(self, task: Task) -> Facts:
        if any(asset.set_name for asset in self._sites.assets.values()):
            from holdfast.control.recovering.striped_copies import move_set_homes

            move_set_homes(self._sites, task.step.site, self._mark(task))
        told = spread(self._sites)
        if not told.places:
            silent = "; ".join(f"{place}: {why}" for place, why in told.problems.items())
            raise FailedError(
                f"no store could be told that {task.step.site} is fenced ({silent})",
                hint="`holdfast recover resume` once a store answers",
                object_name=task.step.site,
            )
        return {"told": ", ".join(told.places), "not_told": ", ".join(told.problems)}

    def _require_epoch(self, task: Task) -> None:
        """Another asset of this run may have fenced the same site; nobody else may have spoken since the plan."""
        from holdfast.control.recovering.probing import epoch_of

        wanted = task.step.with_.get("epoch")
        mark = self._mark(task)
        asset = self._sites.asset(task.step.asset)
        mine = sum(
            kept.notice.reason == mark and kept.notice.site in asset.placement.sites
            for kept in self._sites.kept_states.notices().values()
        )
        now = epoch_of(self._sites, asset) - mine
        if isinstance(wanted, int) and now + 1 != wanted:
            raise ConflictError(
                f"somebody said something of the sites of {asset.name} since this was planned: epoch {now}, not"
                f" {wanted - 1}",
                hint="plan again",
                object_name=asset.name,
            )

    def _also_there(self, task: Task) -> list[str]:
        return [
            one.name
            for one in self._sites.assets.values()
            if one.name != task.step.asset and one.placement.sites[0] == task.step.site
        ]


class Promoting(_Said):
    """The actor of PROMOTE."""

    def check(self, task: Task) -> str | None:
        home = next_home(self._sites, task.step.asset, self._leaving(task))
        return None if home == task.step.site else _elsewhere(task, home)

    def act(self, task: Task) -> Facts:
        """Raises RefusedError where another site is the next home."""
        with self.lock:
            self._sites.learn()
            home = next_home(self._sites, task.step.asset, ())
        if home != task.step.site:
            raise RefusedError(_elsewhere(task, home), object_name=task.step.asset)
        return {"home": home}

    def done(self, task: Task) -> Facts | None:
        with self.lock:
            self._sites.learn()
            home = next_home(self._sites, task.step.asset, ())
        return {"home": home} if home == task.step.site else None

    def undo(self, task: Task) -> None:
        """The site that this run fenced is the home again, if it answers. Raises RefusedError, FailedError."""
        with self.lock:
            self._sites.learn()
            for site in self._leaving(task):
                if self._fenced_by(task, site) is None or site not in self._sites.states:
                    continue
                self._require_answer(site, task.step.asset)
                reason = f"taken back: the recovery {task.run} did not come to its end"
                say(self._sites, site, None, reason, self._vault.handle.keys.label)
                self._sites.forget_states()
                spread(self._sites)

    def _leaving(self, task: Task) -> tuple[str, ...]:
        return self._sites.asset(task.step.asset).placement.sites[:1]

    def _require_answer(self, site: str, asset: str) -> None:
        try:
            self._sites.open_at(self._sites.asset(asset).at(site))
        except HoldfastError as error:
            raise RefusedError(
                f"{site} does not answer, so it stays fenced ({error.message})",
                hint=f"`holdfast site rebuild {site}` brings it back",
                object_name=site,
            ) from error


def next_home(sites: DeclaredSites, asset: str, without: tuple[str, ...]) -> str:
    """Where the asset is written once these sites are fenced; empty: nowhere."""
    for site in sites.asset(asset).placement.sites:
        if site not in sites.states and site not in without:
            return site
    return ""


def _elsewhere(task: Task, home: str) -> str:
    name, site = task.step.asset, task.step.site
    return (
        f"the home of {name} would be {home or 'nowhere'}, not {site}: holdfast.yaml has the order; put {site} before"
        f" it in `place`, or recover to {home or 'another site'}"
    )
