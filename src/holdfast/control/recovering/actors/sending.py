"""TRAFFIC: where requests go, said to a proxy by a file, to a command or a webhook; taken back to where they went.

A file keeps what it said before. What a command is asked to `show` is kept with the step's end, in the journal. Of a
webhook nobody can ask where requests went: they are sent back to the asset's home, as a plan begins from there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from holdfast.config.compute_model import Traffic
from holdfast.config.references import resolve
from holdfast.control.recovering.actors.services import Services
from holdfast.errors import FailedError, RefusedError
from holdfast.infra.calling.commands import AgainError, Ran, run_command
from holdfast.infra.calling.webhooks import post_signed, url_problem
from holdfast.infra.traffic_file import TrafficFile
from holdfast.recovery.journal.entries import Deed, Entry
from holdfast.recovery.running.actors import Facts, Task

__all__ = ["Sending"]

_LOOKING_SECONDS: Final = 60.0


class Sending:
    """The actor."""

    def __init__(self, services: Services, entries: Callable[[], Sequence[Entry]]) -> None:
        """`entries`: of the journal, as it is now."""
        self._services, self._entries = services, entries

    def check(self, task: Task) -> str | None:
        traffic = self._traffic(task)
        if traffic.file:
            return self._file(traffic).problem()
        if traffic.webhook:
            self._secret(traffic)
            return url_problem(self._filled(task, traffic.webhook, task.step.site))
        if traffic.show:
            self._shown(task, traffic)
        return None

    def act(self, task: Task) -> Facts:
        """Raises FailedError."""
        traffic, site = self._traffic(task), task.step.site
        was = self._send(task, traffic, site, task.key)
        if was == site and len(self._said(task, Deed.BEGUN)) > 1:
            was = ""  # an earlier attempt may have sent them there
        return {"site": site, "was": was}

    def done(self, task: Task) -> Facts | None:
        traffic, site = self._traffic(task), task.step.site
        if traffic.file:
            now = self._file(traffic).read()
            return {"site": site} if now is not None and (now.site, now.key) == (site, task.key) else None
        if traffic.show:
            return {"site": site} if self._shown(task, traffic) == site else None
        return None

    def undo(self, task: Task) -> None:
        """As it was before this step: where that is not known, to the asset's home. Nothing where requests do not go to
        the step's site, because they never did, or because somebody sent them elsewhere since.
        """
        traffic = self._traffic(task)
        if traffic.file:
            self._file(traffic).undo(task.key)
            return
        if traffic.show and self._shown(task, traffic) != task.step.site:
            return
        was = "".join(str(one.facts.get("was", "")) for one in self._said(task, Deed.DONE)[-1:])
        before = was or str(task.step.with_.get("home", ""))
        if not before:
            raise RefusedError(f"nobody knows where the traffic of {task.step.asset} went before")
        if before != task.step.site:
            self._send(task, traffic, before, f"{task.key}/undo")

    def _said(self, task: Task, deed: Deed) -> list[Entry]:
        return [one for one in self._entries() if one.step == task.step.id and one.deed is deed]

    def _send(self, task: Task, traffic: Traffic, site: str, key: str) -> str:
        asset = task.step.asset
        if traffic.file:
            return self._file(traffic).send(asset, site, task.run, key)
        if traffic.webhook:
            body = {"asset": asset, "site": site, "run": task.run}
            post_signed(self._filled(task, traffic.webhook, site), body, self._secret(traffic), key, task.seconds)
            return ""
        was = self._shown(task, traffic) if traffic.show else ""
        ran = self._run(task, traffic.command, site, task.seconds)
        if ran.code != 0:
            raise AgainError(f"{traffic.command[0]}: exit code {ran.code}: {ran.said}", object_name=asset)
        if traffic.show and (now := self._shown(task, traffic)) != site:
            raise AgainError(f"{traffic.show[0]} says that the traffic goes to {now or 'nowhere'}, and not to {site}")
        return was

    def _traffic(self, task: Task) -> Traffic:
        traffic = self._services.of(task.step.asset).traffic
        if traffic is None:
            raise RefusedError(f"nothing says how the traffic of {task.step.asset} is sent", hint="`service: traffic`")
        return traffic

    def _file(self, traffic: Traffic) -> TrafficFile:
        return TrafficFile(Path(self._services.folder, traffic.file))

    def _secret(self, traffic: Traffic) -> str:
        if traffic.secret is None:
            raise RefusedError("a webhook has a secret, with which it is signed", hint="`secret` of `traffic`")
        return resolve(traffic.secret, self._services.folder, self._services.environment).reveal()

    def _shown(self, task: Task, traffic: Traffic) -> str:
        ran = self._run(task, traffic.show, task.step.site, _LOOKING_SECONDS)
        if ran.code != 0:
            raise FailedError(f"{traffic.show[0]}: exit code {ran.code}: {ran.said}", object_name=task.step.asset)
        return ran.said

    def _run(self, task: Task, command: tuple[str, ...], site: str, seconds: float) -> Ran:
        filled = tuple(self._filled(task, one, site) for one in command)
        given = {"HOLDFAST_RUN": task.run, "HOLDFAST_STEP": task.step.id}
        environment = self._services.given | given
        return run_command(filled, environment, seconds, str(self._services.folder), over=task.over)

    def _filled(self, task: Task, text: str, site: str) -> str:
        return self._services.fill(text, task.step.asset, site, task.run, self._services.folder, 0)
