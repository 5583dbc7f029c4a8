"""GET_COMPUTE, START and WAIT_HEALTHY: machines, what runs on them, and whether it is good at capacity."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from holdfast.clock import Clock
from holdfast.control.recovering.actors.services import Services
from holdfast.control.recovering.places import Places
from holdfast.errors import FailedError, HoldfastError
from holdfast.events import Progress
from holdfast.infra.calling.commands import AgainError
from holdfast.infra.compute.port import CapacityError, Handle, Machines
from holdfast.infra.health import filled, health_problem
from holdfast.recovery.plans import Kind, Plan
from holdfast.recovery.running.actors import Facts, Task

__all__ = ["Getting", "Starting", "WaitingHealthy", "give_back_all", "leave_home", "service_keys"]

_ROUND: Final = 6
_STOP_SECONDS: Final = 30.0


def key_of(run: str, kind: str, asset: str) -> str:
    """As the executor makes it: for what other steps of a run did."""
    return f"{run}/{kind}-{asset}"


def service_keys(run: str, asset: str) -> tuple[str, str]:
    """Of the two steps that may have started a service: on the first machines, and on those that joined."""
    return key_of(run, Kind.START, asset), key_of(run, "grow", asset)


def give_back_all(services: Services, plan: Plan, run: str, progress: Progress) -> None:
    """A rehearsal has passed: what it started ends, and its machines are given back. What cannot be is noted."""
    for step in reversed(plan.steps):
        if step.kind not in (Kind.START, Kind.GET_COMPUTE):
            continue
        key = f"{run}/{step.id}"
        try:
            machines = services.machines(step.site, str(step.with_["shape"]))
            if step.kind is Kind.GET_COMPUTE:
                machines.give_back(key)
                continue
            stop = services.of(step.asset).stop
            for handle in machines.services(step.asset):
                if handle.key == key:
                    machines.stop(handle, f"{key}/settled", stop.within, stop.signal)
        except HoldfastError as error:
            progress.note(f"{step.id} of the rehearsal {run} could not be put in order: {error.message}")


def leave_home(services: Services, plan: Plan, run: str, progress: Progress) -> None:
    """A graceful recovery has passed: machines that were got for what it stopped are given back."""
    for step in plan.steps:
        if step.kind is not Kind.STOP or services.declared(step.asset) is None:
            continue
        try:
            for machines in services.pools(step.site, step.asset):
                for handle in machines.stopped(f"{run}/{step.id}"):
                    machines.give_back(key_of(handle.key.partition("/")[0], Kind.GET_COMPUTE, step.asset))
        except HoldfastError as error:
            progress.note(f"machines at {step.site} could not be given back: {error.message}")


class _OnMachines:
    def __init__(self, services: Services, places: Places, clock: Clock) -> None:
        self._services, self._places, self._clock = services, places, clock

    def _machines(self, task: Task) -> Machines:
        return self._services.machines(task.step.site, str(task.step.with_["shape"]))

    def _number(self, task: Task) -> int:
        return int(str(task.step.with_["number"]))


class Getting(_OnMachines):
    """The actor of GET_COMPUTE: what is free is looked at once more, and taken whole or not at all."""

    def check(self, task: Task) -> str | None:
        machines = self._machines(task)
        if machines.held(task.key) is not None:
            return None
        probed, number = machines.probe(), self._number(task)
        there = f"{probed.free} × {task.step.with_['shape']} are to be had at {task.step.site}"
        return None if probed.free >= number else f"{there}, and {number} are needed"

    def act(self, task: Task) -> Facts:
        """Raises CapacityError."""
        began = self._clock.monotonic()
        machines, number = self._machines(task), self._number(task)
        held = machines.held(task.key)
        if held is None or len(held.machines) < number:
            problem = self.check(task)
            if problem is not None:
                raise CapacityError(problem, hint="plan again: to other machines", object_name=task.step.asset)
            held = machines.get(number, task.key, task.seconds)
        seconds = round(self._clock.monotonic() - began, _ROUND)
        return {"machines": len(held.machines), "shape": str(task.step.with_["shape"]), "seconds": seconds}

    def done(self, task: Task) -> Facts | None:
        held = self._machines(task).held(task.key)
        if held is None or len(held.machines) < self._number(task):
            return None
        return {"machines": len(held.machines), "shape": str(task.step.with_["shape"])}

    def undo(self, task: Task) -> None:
        self._machines(task).give_back(task.key)


class Starting(_OnMachines):
    """The actor of START."""

    def check(self, task: Task) -> str | None:
        asset = task.step.asset
        target = self._places.of(asset)
        launch = self._services.launch(asset, task.step.site, task.run, target, self._number(task))
        program = launch.command[0]
        found = shutil.which(program, path=launch.environment.get("PATH"))
        if found is None and not (Path(launch.folder, program).exists() or program.startswith(str(target))):
            return f"there is no program {program} on this machine"
        self._machines(task).probe()
        return None

    def act(self, task: Task) -> Facts:
        """Raises CapacityError, FailedError."""
        began = self._clock.monotonic()
        asset, machines, number = task.step.asset, self._machines(task), self._number(task)
        first = int(str(task.step.with_.get("first", 0)))
        target = self._places.of(asset)
        launch = self._services.launch(asset, task.step.site, task.run, target, number, first)
        handle = machines.start(launch, number, task.key, held=(key_of(task.run, Kind.GET_COMPUTE, asset),))
        running = machines.running(handle)
        if running.problems:
            raise AgainError("; ".join(running.problems), object_name=asset)
        return {"machines": len(handle.machines), "seconds": round(self._clock.monotonic() - began, _ROUND)}

    def done(self, task: Task) -> Facts | None:
        handle = self._machines(task).find(task.key)
        return None if handle is None else {"machines": len(handle.machines)}

    def undo(self, task: Task) -> None:
        """Stop what this step started, and nothing else. Raises FailedError."""
        machines, service = self._machines(task), self._services.declared(task.step.asset)
        for handle in machines.services(task.step.asset):
            if handle.key == task.key:
                seconds = service.stop.within if service is not None else _STOP_SECONDS
                machines.stop(handle, f"{task.key}/undo", seconds, service.stop.signal if service else "TERM")


class WaitingHealthy(_OnMachines):
    """The actor of WAIT_HEALTHY: good so many times in a row, on all machines."""

    def check(self, task: Task) -> str | None:
        self._services.of(task.step.asset)
        return None

    def act(self, task: Task) -> Facts:
        """Raises FailedError: it ended on some machine, or is not good in time."""
        asset, machines, number = task.step.asset, self._machines(task), self._number(task)
        service, target = self._services.of(asset), self._places.of(asset)
        health = filled(
            service.health,
            lambda text: self._services.fill(text, asset, task.step.site, task.run, target, number),
        )
        began = self._clock.monotonic()
        until = began + min(task.seconds, service.health.within)
        good, why = 0, "nobody looked yet"
        while True:
            handles = [one for one in machines.services(asset) if one.key in service_keys(task.run, asset)]
            problem = _capacity_problem(machines, handles, number) or health_problem(health, self._services.given)
            good, why = (0, problem) if problem is not None else (good + 1, "")
            seconds = round(self._clock.monotonic() - began, _ROUND)
            if good >= service.health.times:
                return {"machines": number, "good": good, "seconds": seconds}
            if self._clock.monotonic() + service.health.every > until:
                raise FailedError(f"{asset} is not good after {seconds:.0f} s: {why or 'too few good answers'}")
            self._clock.sleep(service.health.every)

    def done(self, task: Task) -> Facts | None:
        """It is looked at again."""
        return None

    def undo(self, task: Task) -> None:
        """It only looked."""


def _capacity_problem(machines: Machines, handles: list[Handle], number: int) -> str | None:
    """Raises FailedError where it has ended: waiting will not help."""
    running = 0
    for handle in handles:
        found = machines.running(handle)
        if found.problems:
            raise FailedError("; ".join(found.problems), object_name=handle.launch.asset)
        if found.ended_well:
            raise FailedError(
                f"it ended on {found.ended_well} of its machines, with the exit code 0", object_name=handle.launch.asset
            )
        running += found.running
    return None if running == number else f"it runs on {running} of {number} machines"
