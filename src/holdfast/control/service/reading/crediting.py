"""Drills that count for assets, or against them, kept for a minute: what the catalog has no rows of."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Final

from holdfast.control.evidencing.crediting import NO_DRILLS, Drills, read_drills
from holdfast.control.service.reading.keeping import kept

if TYPE_CHECKING:
    from holdfast.control.service.context import Service

__all__ = ["drills_of"]

_FRESH_S: Final = 60.0
_WAIT_S: Final = 1.0
_waited: weakref.WeakSet[Service] = weakref.WeakSet()  # a request waits for the first look alone, and not for long


def drills_of(service: Service) -> Drills:
    """By the evidence at the stores, which are asked beside the request. What was read last stands while no store
    answers; where none ever did, no run is credited.
    """

    def read() -> Drills:
        return read_drills(service.sites(), service.vault())

    wait = 0.0 if service in _waited else _WAIT_S
    _waited.add(service)
    told = kept(service, "credit of drills", read, NO_DRILLS, seconds=_FRESH_S, wait=wait)
    if told.problem is not None and told.problem.code != "waiting" and told.value is NO_DRILLS:
        return Drills(unknown=told.problem.message)
    return told.value
