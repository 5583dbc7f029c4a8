"""Facts about circumstances."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from holdfast.cli.phrases import clean
from holdfast.cli.schemas.circumstances import CircumstanceChange, CircumstanceFacts
from holdfast.errors import HoldfastError, NotFoundError

if TYPE_CHECKING:
    from holdfast.cli.output import Output
    from holdfast.training.circumstances import Change, Circumstances
    from holdfast.vault.format.records import Root
    from holdfast.vault.vault import Vault

__all__ = ["circumstance_facts", "differences_between", "differences_here"]


def circumstance_facts(vault: Vault, root: Root) -> list[CircumstanceFacts]:
    """All circumstances of a snapshot; none where it has no file of them. Raises DamageError."""
    from holdfast.training.circumstances import circumstances_of

    found = circumstances_of(vault, root)
    if found is None:
        return []
    return [
        CircumstanceFacts(area=area, name=clean(name), value=clean(value))
        for area, name, value in _flat(found)
        if value
    ]


def differences_between(vault: Vault, before: Root, after: Root, output: Output) -> list[CircumstanceChange] | None:
    """How the circumstances of two snapshots differ; None where one has none, or they cannot be read: that is told."""
    from holdfast.training.circumstances import circumstances_of, compare

    try:
        old, new = circumstances_of(vault, before), circumstances_of(vault, after)
    except HoldfastError as error:
        output.warn(f"the circumstances are not compared: {error.message}")
        return None
    return None if old is None or new is None else _changes(compare(old, new))


def differences_here(vault: Vault, root: Root, file: str | None) -> tuple[list[CircumstanceChange], list[str]]:
    """How the circumstances of a snapshot differ from those of here, or of a program that wrote `file`; and what only
    one side tells.

    Raises NotFoundError (the snapshot has none, there is no such file), DamageError.
    """
    from holdfast.training.circumstances import circumstances_of, compare, not_compared

    saved = circumstances_of(vault, root)
    if saved is None:
        raise NotFoundError(
            f"snapshot {root.id} does not say under which circumstances it was made",
            hint="`holdfast.training` saves them with a state; restore without --check-env",
            object_name=root.id,
        )
    here = _of_file(file) if file is not None else _here()
    return _changes(compare(saved, here)), not_compared(saved, here)


def _of_file(file: str) -> Circumstances:
    from holdfast.training.circumstances.model import LARGEST, parsed

    try:
        with Path(file).open("rb") as opened:
            data = opened.read(LARGEST + 1)
    except OSError as error:
        raise NotFoundError(f"{file} cannot be read: {error.strerror}", object_name=file) from error
    return parsed(data, file)


def _here() -> Circumstances:
    """What can be known here without the program that trains: its interpreter is taken to be this one."""
    import msgspec

    from holdfast.training.circumstances import gather

    found = gather(code=Path.cwd()).circumstances
    alone = found.layout is not None and found.layout.source == "one process"  # no launcher: not a job at all
    return msgspec.structs.replace(found, layout=None) if alone else found


def _changes(changes: Iterable[Change]) -> list[CircumstanceChange]:
    return [
        CircumstanceChange(
            area=change.area,
            name=clean(change.name),
            before=clean(change.before),
            after=clean(change.after),
            matters=change.severity.value,
        )
        for change in changes
    ]


def _flat(found: Circumstances) -> Iterator[tuple[str, str, str]]:
    from holdfast.training.circumstances.digests import code_line, dataset_line, layout_line

    if found.code is not None:
        code = found.code
        yield from (("code", "revision", code_line(code)), ("code", "branch", code.branch))
        yield from (("code", "remote", code.remote), ("code", "untracked", ", ".join(code.untracked)))
    if found.layout is not None:
        yield "layout", "processes", f"{layout_line(found.layout)} ({found.layout.source})"
        yield "layout", "backend", found.layout.backend
    yield from (("dataset", name, f"{dataset_line(one)} {one.location}") for name, one in found.datasets.items())
    yield from (("hyperparameter", name, value) for name, value in found.hyperparameters.items())
    yield from (("resume", name, what) for name, what in found.states.items())
    here = found.environment
    if here is not None:
        for name in ("python", "implementation", "system", "libc", "machine", "host", "cpu", "driver", "cuda"):
            yield "environment", name, str(getattr(here, name))
        yield "environment", "cpus", str(here.cpus)
        yield "environment", "gpus", ", ".join(here.gpus)
        yield from (("setting", name, value) for name, value in here.settings.items())
        yield from (("variable", name, value) for name, value in here.variables.items())
    yield from (("package", name, version) for name, version in found.packages.items())
    yield from (("missing", name, why) for name, why in found.missing.items())
