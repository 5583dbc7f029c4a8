"""What differs between two sets of circumstances, and how much that matters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import NamedTuple

from holdfast.training.circumstances.digests import COMPUTING, code_line, dataset_line
from holdfast.training.circumstances.model import Circumstances, Code, Environment, Layout

__all__ = ["Severity", "Change", "compare", "not_compared", "worst"]


class Severity(StrEnum):
    """From what matters most to what matters least."""

    RESULTS = "results"
    MAYBE = "maybe"
    HARMLESS = "harmless"


class Change(NamedTuple):
    """One thing that differs; an empty side does not have it."""

    area: str
    name: str
    before: str
    after: str
    severity: Severity


# Of those that are installed but not in the path from data to weights, these do not even run in training.
_TOOLS = frozenset({"pip", "setuptools", "wheel", "uv", "pytest", "ruff", "mypy", "black", "coverage", "hypothesis"})
_TOOLS |= {
    "ipython",
    "jupyter",
    "jupyterlab",
    "notebook",
    "matplotlib",
    "seaborn",
    "plotly",
    "rich",
    "tqdm",
    "holdfast",
}
_TOOLS |= {"wandb", "tensorboard", "mlflow", "pre-commit", "sphinx", "tox", "nox", "build", "twine", "flake8", "isort"}
_HARMLESS_VARIABLES = frozenset({"SLURM_JOB_ID", "SLURM_RESTART_COUNT", "SLURM_JOB_PARTITION", "NCCL_DEBUG"})
_HARMLESS_VARIABLES |= {"TORCHELASTIC_RESTART_COUNT", "TORCHELASTIC_MAX_RESTARTS"}


def compare(before: Circumstances, after: Circumstances) -> list[Change]:
    """All that differs, what matters most first. What either side did not gather at all is not compared."""
    changes = [
        *_code(before.code, after.code),
        *_packages(before.packages, after.packages),
        *_environment(before.environment, after.environment),
        *_layout(before.layout, after.layout),
        *_datasets(before, after),
        *_hyperparameters(before, after),
        *_states(before, after),
    ]
    order = list(Severity)
    return sorted(changes, key=lambda change: order.index(change.severity))


def not_compared(before: Circumstances, after: Circumstances) -> list[str]:
    """What only one of the two tells, so that nobody knows whether it differs."""
    old, new = before.environment or Environment(), after.environment or Environment()
    pairs: dict[str, tuple[object, object]] = {
        "code": (before.code, after.code),
        "packages": (before.packages, after.packages),
        "environment": (before.environment, after.environment),
        "layout": (before.layout, after.layout),
        "datasets": (before.datasets, after.datasets),
        "hyperparameters": (before.hyperparameters, after.hyperparameters),
        "states": (before.states, after.states),
        "settings": (old.settings, new.settings),
    }
    return [name for name, (one, other) in pairs.items() if bool(one) != bool(other)]


def worst(changes: list[Change]) -> Severity | None:
    """The most severe one; None where nothing differs."""
    order = list(Severity)
    return min((change.severity for change in changes), key=order.index, default=None)


def _code(before: Code | None, after: Code | None) -> Iterator[Change]:
    if before is None or after is None:
        return
    if (before.commit, before.diff_sha256) != (after.commit, after.diff_sha256):
        yield Change("code", "revision", _revision(before), _revision(after), Severity.RESULTS)
    if before.branch != after.branch:
        yield Change("code", "branch", before.branch, after.branch, Severity.HARMLESS)
    if (before.untracked, before.untracked_count) != (after.untracked, after.untracked_count):
        names = (_names(before), _names(after))
        yield Change("code", "untracked files", *names, Severity.MAYBE)


def _revision(code: Code) -> str:
    return code_line(Code(commit=code.commit, diff_sha256=code.diff_sha256))


def _names(code: Code) -> str:
    more = code.untracked_count - len(code.untracked)
    return ", ".join([*code.untracked, *([f"and {more} more"] if more > 0 else [])])


def _packages(before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[Change]:
    if not before or not after:
        return
    for name, old, new in _differing(before, after):
        computing = name in COMPUTING or name.startswith(("nvidia-", "torch", "jax"))
        usual = Severity.HARMLESS if name in _TOOLS else Severity.MAYBE
        yield Change("package", name, old, new, Severity.RESULTS if computing else usual)


def _environment(before: Environment | None, after: Environment | None) -> Iterator[Change]:
    if before is None or after is None:
        return
    series = [".".join(one.python.split(".")[:2]) for one in (before, after)]
    python = Severity.HARMLESS if series[0] == series[1] else Severity.MAYBE
    fields = (
        ("python", before.python, after.python, python),
        ("implementation", before.implementation, after.implementation, Severity.MAYBE),
        ("system", before.system, after.system, Severity.HARMLESS),
        ("libc", before.libc, after.libc, Severity.MAYBE),
        ("machine", before.machine, after.machine, Severity.MAYBE),
        ("host", before.host, after.host, Severity.HARMLESS),
        ("cpu", before.cpu, after.cpu, Severity.MAYBE),
        ("cpus", str(before.cpus), str(after.cpus), Severity.MAYBE),
        ("gpus", ", ".join(before.gpus), ", ".join(after.gpus), Severity.MAYBE),
        ("driver", before.driver, after.driver, Severity.MAYBE),
        ("cuda", before.cuda, after.cuda, Severity.MAYBE),
    )
    for name, old, new, severity in fields:
        unknown = name == "cuda" and not (old and new)  # a program without torch cannot tell
        if old != new and not unknown:
            yield Change("environment", name, old, new, severity)
    if before.settings and after.settings:  # a program that has not imported the framework says nothing
        for name, old, new in _differing(before.settings, after.settings):
            yield Change("setting", name, old, new, Severity.MAYBE if name.endswith(".threads") else Severity.RESULTS)
    for name, old, new in _differing(before.variables, after.variables):
        yield Change("variable", name, old, new, Severity.HARMLESS if name in _HARMLESS_VARIABLES else Severity.MAYBE)


def _layout(before: Layout | None, after: Layout | None) -> Iterator[Change]:
    if before is None or after is None:
        return
    if before.world != after.world:
        yield Change("layout", "world", str(before.world), str(after.world), Severity.MAYBE)
    if before.dims and after.dims:
        for name, old, new in _differing(_texts(before.dims), _texts(after.dims)):
            yield Change("layout", name, old, new, Severity.MAYBE)
    if before.local_world != after.local_world:
        yield Change("layout", "local world", str(before.local_world), str(after.local_world), Severity.HARMLESS)
    if before.backend != after.backend and before.backend and after.backend:
        yield Change("layout", "backend", before.backend, after.backend, Severity.MAYBE)


def _datasets(before: Circumstances, after: Circumstances) -> Iterator[Change]:
    if not before.datasets or not after.datasets:
        return
    old = {name: dataset_line(one) for name, one in before.datasets.items()}
    new = {name: dataset_line(one) for name, one in after.datasets.items()}
    for name, was, now in _differing(old, new):
        yield Change("dataset", name, was, now, Severity.RESULTS)


def _hyperparameters(before: Circumstances, after: Circumstances) -> Iterator[Change]:
    if not before.hyperparameters or not after.hyperparameters:
        return
    for name, was, now in _differing(before.hyperparameters, after.hyperparameters):
        yield Change("hyperparameter", name, was, now, Severity.RESULTS)


def _states(before: Circumstances, after: Circumstances) -> Iterator[Change]:
    if not before.states or not after.states:
        return
    for name, was, now in _differing(before.states, after.states):
        lost = Severity.RESULTS if not was or not now else Severity.MAYBE
        yield Change("resume", name, was, now, lost)


def _differing(before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) != after.get(name):
            yield name, before.get(name, ""), after.get(name, "")


def _texts(sizes: Mapping[str, int]) -> dict[str, str]:
    return {name: str(size) for name, size in sizes.items()}
