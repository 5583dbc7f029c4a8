"""What a save is told of its circumstances, by whoever gathers them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from holdfast.training.saving.ledger import LOG

__all__ = ["Circumstances", "gathered_by"]


class Circumstances(NamedTuple):
    """Files that go into the snapshot, and lines for its root."""

    files: dict[str, bytes]
    versions: dict[str, str]


def gathered_by(source: Any, step: int | None) -> Circumstances:
    """From a `training.circumstances.Gatherer`, or a function that gives what such a one gathers, or a mapping of plain
    values. What fails is told, and left out: no save fails for it.
    """
    nothing = Circumstances({}, {})
    if source is None:
        return nothing
    try:
        found = source.gather(step) if hasattr(source, "gather") else source()
        if isinstance(found, Mapping):  # in the form that `snapshot show --circumstances` and `diff` read
            from holdfast.training.circumstances.gathering import gathered
            from holdfast.training.circumstances.hyperparameters import flattened
            from holdfast.training.circumstances.model import Circumstances as Told

            found = gathered(Told(step=step, hyperparameters=flattened(found)))
        return Circumstances(dict(found.files), dict(found.versions))
    except Exception as error:  # noqa: BLE001 - the user's code, and training goes on
        LOG.warning("the circumstances of step %s are not saved: %s: %s", step, type(error).__name__, error)
        return nothing
