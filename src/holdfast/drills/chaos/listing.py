"""All that an experiment would run, in its order, before anything is: what a person reads who answers for it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec

from holdfast.drills.chaos.model import Activity, Experiment, Http, Process, Provider

__all__ = ["Planned", "listed"]


class Planned(NamedTuple):
    """`does`: the words of the process, the request without what its headers say, or the call. `missing`: why it would
    be refused; empty: it would not. `background`: it is not waited for.
    """

    section: str
    name: str
    kind: str
    provider: str
    does: str
    timeout: float
    background: bool
    missing: str


def listed(experiment: Experiment, modules: Sequence[str]) -> list[Planned]:
    """`modules`: those whose functions may be called. Probes that a tolerance asks come after what they judge."""
    sections = (
        ("steady-state", experiment.steady),
        ("method", experiment.method),
        ("steady-state again", experiment.steady),
        (f"rollbacks ({experiment.rollback_strategy})", experiment.rollbacks),
    )
    return [
        _planned(section, one, modules)
        for section, activities in sections
        for activity in activities
        for one in _with_judges(activity)
    ]


def _with_judges(activity: Activity) -> Iterator[Activity]:
    yield activity
    if activity.tolerance is not None and activity.tolerance.probe is not None:
        yield from _with_judges(activity.tolerance.probe)


def _planned(section: str, activity: Activity, modules: Sequence[str]) -> Planned:
    provider = activity.provider
    does, missing = _does(provider), ""
    if not isinstance(provider, Process | Http) and provider.module not in modules:
        missing = f"--python {provider.module} was not said"
    kind = "process" if isinstance(provider, Process) else "http" if isinstance(provider, Http) else "python"
    return Planned(section, activity.name, activity.kind, kind, does, provider.timeout, activity.background, missing)


def _does(provider: Provider) -> str:
    if isinstance(provider, Process):
        return shlex.join([provider.path, *provider.arguments])
    if isinstance(provider, Http):
        headers = f" with {', '.join(provider.headers)}" if provider.headers else ""
        body = " and a body" if provider.arguments is not None and provider.method != "GET" else ""
        return f"{provider.method} {provider.url}{headers}{body}"
    return f"{provider.module}.{provider.func}({_arguments(provider.arguments)})"


def _arguments(given: dict[str, object]) -> str:
    return ", ".join(f"{name}={msgspec.json.encode(value).decode()}" for name, value in given.items())
