"""Ansible playbooks, run by ansible-runner and ansible-core (the extra `ansible`), as programs of their own."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, NamedTuple

from holdfast.errors import FailedError, MissingExtraError, NotFoundError
from holdfast.infra.calling.commands import AgainError, scrubbed

__all__ = ["Played", "play", "require_ansible"]

_WELL: Final = "successful"
_THIS_MACHINE: Final = {
    "all": {"hosts": {"localhost": {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}}}
}


class Played(NamedTuple):
    """Of all hosts: tasks that were in order, that changed something; hosts that failed or did not answer."""

    ok: int
    changed: int
    failed: tuple[str, ...]


def require_ansible() -> str:
    """The folder of `ansible-playbook`. Raises MissingExtraError."""
    program = shutil.which("ansible-playbook", path=str(Path(sys.executable).parent)) or shutil.which(
        "ansible-playbook"
    )
    if program is None or find_spec("ansible_runner") is None:
        raise MissingExtraError(
            "steps of the kind ansible need the extra `ansible`", hint='pip install "holdfast[ansible]"'
        )
    return str(Path(program).parent)


def play(
    playbook: Path,
    inventory: str,
    given: Mapping[str, str],
    environment: Mapping[str, str],
    seconds: float,
    *,
    check: bool = False,
    over: Callable[[], bool] | None = None,
) -> Played:
    """Run it. `inventory`: a file, or hosts as in `host1,host2,`; empty: this machine alone. `given`: extra variables.
    `check`: nothing is changed (`--check`). It is ended when `over` says so.

    Raises MissingExtraError, NotFoundError (no such file), FailedError with the first task that failed.
    """
    programs = require_ansible()
    if not playbook.is_file():
        raise NotFoundError(f"there is no playbook {playbook}", object_name=str(playbook))
    import ansible_runner  # type: ignore[import-untyped]

    events: list[dict[str, Any]] = []

    def heard(event: dict[str, Any]) -> bool:
        events.append(event)
        return False  # it is kept nowhere else

    with tempfile.TemporaryDirectory(prefix="holdfast-ansible-") as place:
        path = f"{programs}:{environment.get('PATH', '')}"
        try:
            runner = ansible_runner.interface.init_runner(
                private_data_dir=place,
                playbook=str(playbook),
                inventory=inventory or _THIS_MACHINE,
                extravars=dict(given),
                envvars=dict(environment) | {"PATH": path, "ANSIBLE_LOCALHOST_WARNING": "False", "ANSIBLE_HOME": place},
                cmdline="--check" if check else "",
                project_dir=str(playbook.parent),
                settings={"job_timeout": int(seconds) + 1, "idle_timeout": int(seconds) + 1},
                suppress_env_files=True,
                quiet=True,
                event_handler=heard,
                cancel_callback=over,
            )
            # The runner begins with all of this process's own environment: what was not given is taken out again.
            runner.config.env = {
                name: value
                for name, value in runner.config.env.items()
                if name in environment or os.environ.get(name) != value
            }
            runner.run()
        except (OSError, ValueError, RuntimeError) as error:
            raise FailedError(f"{playbook.name} cannot be run ({scrubbed(str(error))})") from error
        stats: dict[str, Any] = next(
            (one["event_data"] for one in events if one.get("event") == "playbook_on_stats"), {}
        )
        status = str(runner.status)
    failed = tuple(sorted({*stats.get("failures", {}), *stats.get("dark", {})}))
    if status == "canceled":
        raise AgainError(f"{playbook.name} was ended: nobody waits for it any more", object_name=playbook.name)
    if status == "timeout":
        raise AgainError(f"{playbook.name} took longer than {seconds:.0f} s", object_name=playbook.name)
    if status != _WELL or failed:
        raise AgainError(f"{playbook.name}: {_first_failure(events) or status}", object_name=playbook.name)
    return Played(sum(stats.get("ok", {}).values()), sum(stats.get("changed", {}).values()), failed)


def _first_failure(events: list[dict[str, Any]]) -> str:
    for event in events:
        if event.get("event") in ("runner_on_failed", "runner_on_unreachable"):
            data = event.get("event_data", {})
            if data.get("ignore_errors"):
                continue
            why = data.get("res", {})
            why = why.get("msg", "") if isinstance(why, dict) else ""
            return scrubbed(f"{data.get('task', 'a task')} on {data.get('host', 'a host')}: {why}")
    for event in reversed(events):
        text = str(event.get("stdout", "")).strip()
        if text:
            return scrubbed(text)
    return ""
