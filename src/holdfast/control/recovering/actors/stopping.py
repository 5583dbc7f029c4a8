"""STOP: what runs of an asset at its home ends in good order, so that nothing more is written there."""

from __future__ import annotations

from holdfast.clock import Clock
from holdfast.control.recovering.actors.services import Services, data_at_home
from holdfast.control.sites.declared import DeclaredSites
from holdfast.errors import HoldfastError, RefusedError
from holdfast.infra.calling.commands import AgainError, run_command
from holdfast.recovery.running.actors import Actor, Facts, Task

__all__ = ["Stopping"]


class Stopping:
    """The actor. Of an asset without a service a person stops what runs, and says so (`asking`).

    What was started through Holdfast is ended by its signal, and by force after its time; taking that back starts again
    as many as were ended, with the newest data. What was started by hand is ended by the command that is declared, and
    started again by hand.
    """

    def __init__(self, sites: DeclaredSites, services: Services, asking: Actor, clock: Clock) -> None:
        self._sites, self._services, self._asking, self._clock = sites, services, asking, clock

    def check(self, task: Task) -> str | None:
        asset, site = task.step.asset, task.step.site
        service = self._services.declared(asset)
        if service is None:
            self._sites.progress.note(f"{asset} has no `service`: somebody stops it, and says so by `recover skip`")
            return None
        if not service.stop.command and not self._services.at(site, asset):
            self._sites.progress.note(f"nothing of {asset} runs at {site} that was started through Holdfast")
        return None

    def act(self, task: Task) -> Facts:
        """Raises FailedError (it goes on), and where it cannot be known whether it runs."""
        asset, site = task.step.asset, task.step.site
        service = self._services.declared(asset)
        if service is None:
            return self._asking.act(task)
        began, ended = self._clock.monotonic(), 0
        for pool in self._services.pools(site, asset):
            for handle in (*pool.stopped(task.key), *pool.services(asset)):
                pool.stop(handle, task.key, service.stop.within, service.stop.signal)
                ended += len(handle.machines)
        if service.stop.command:
            self._by_command(task, service.stop.command, service.stop.within)
        return {"stopped": ended, "seconds": round(self._clock.monotonic() - began, 6)}

    def done(self, task: Task) -> Facts | None:
        """Whether nothing of it runs any more; of what a command stops nobody can tell, and it is run again."""
        asset, site = task.step.asset, task.step.site
        service = self._services.declared(asset)
        if service is None or service.stop.command:
            return None
        pools = self._services.pools(site, asset)
        ended = [handle for pool in pools for handle in pool.stopped(task.key)]
        goes_on = any(pool.running(handle).running for pool in pools for handle in pool.stopped(task.key))
        if not ended or goes_on or self._services.at(site, asset):
            return None
        return {"stopped": sum(len(handle.machines) for handle in ended)}

    def undo(self, task: Task) -> None:
        """What this step stopped runs again, with the newest that lies at the home. Raises what starting raises."""
        asset, site = task.step.asset, task.step.site
        service = self._services.declared(asset)
        if service is None:
            return
        for pool in self._services.pools(site, asset):
            for number, handle in enumerate(pool.stopped(task.key)):
                if pool.running(handle).running:
                    pool.stop(handle, task.key, service.stop.within, service.stop.signal)
                count = len(handle.machines)
                launch = self._services.launch(asset, site, task.run, data_at_home(self._sites, asset), count)
                pool.start(launch, count, f"{task.key}/again/{number}")
        if service.stop.command:
            raise RefusedError(
                f"{asset} was started by hand at {site}, and is started again by hand",
                hint="a service that is started through Holdfast is started again, too",
                object_name=asset,
            )

    def _by_command(self, task: Task, command: tuple[str, ...], seconds: float) -> None:
        asset, site = task.step.asset, task.step.site
        try:
            target = data_at_home(self._sites, asset)
        except HoldfastError:
            target = self._services.folder
        filled = tuple(self._services.fill(one, asset, site, task.run, target, 0) for one in command)
        ran = run_command(filled, self._services.given, seconds, str(self._services.folder), over=task.over)
        if ran.code != 0:
            raise AgainError(f"{command[0]}: exit code {ran.code}: {ran.said}", object_name=asset)
