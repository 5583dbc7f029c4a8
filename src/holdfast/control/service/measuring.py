"""The values behind the metrics of state: from the catalog, the queue of work, incidents and health. Asks no store.

They are worked out by one thread at a time, at most every `_EVERY_S`; whoever asks meanwhile gets the last ones, whose
age is a metric, too.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from holdfast.clock import NANOSECONDS
from holdfast.control.service.health import Health
from holdfast.errors import HoldfastError

if TYPE_CHECKING:
    from holdfast.control.service.context import Service
    from holdfast.objectives.standing import Standing

__all__ = ["Measuring", "Sample"]

_EVERY_S: Final = 10.0
_WORK_LISTED: Final = 1000


class Sample(NamedTuple):
    """A value of the metric `name` (`metrics.METRICS`); `labels` in the order of the table."""

    name: str
    labels: tuple[str, ...]
    value: float


class Taking(Protocol):
    """What keeps the values until somebody scrapes them."""

    def take(self, samples: Sequence[Sample]) -> None: ...


class Measuring:
    """Of one server."""

    def __init__(self, service: Service, health: Health) -> None:
        self._service, self._health = service, health
        self._lock = threading.Lock()
        self._samples: list[Sample] = []
        self._at: float | None = None

    def freshen(self, metrics: Taking) -> None:
        """Hand the newest values to `metrics`. Never raises an error of ours: what cannot be known has no sample."""
        clock = self._service.clock
        if self._lock.acquire(blocking=self._at is None):
            try:
                if self._at is None or clock.monotonic() - self._at >= _EVERY_S:
                    self._samples = list(self._measured())
                    self._at = clock.monotonic()
            finally:
                self._lock.release()
        age = 0.0 if self._at is None else clock.monotonic() - self._at
        metrics.take([*self._samples, Sample("holdfast_state_age_seconds", (), age)])

    def _measured(self) -> Iterator[Sample]:
        for part in (self._of_assets, self._of_catalog, self._of_work, self._of_incidents, self._of_health):
            yield from _tried(part)

    def _of_assets(self) -> Iterator[Sample]:
        from holdfast.catalog.judging import observe
        from holdfast.control.service.reading.crediting import drills_of
        from holdfast.objectives.standing import stand

        drills = drills_of(self._service)
        with self._service.catalog() as connection:
            observed = observe(connection, self._service.clock.now_ns(), None, drills.joined)
        for one in observed:
            yield from _of_standing(stand(one))
            if one.drilled is not None:
                name = "holdfast_drill_last_success_timestamp_seconds"
                yield Sample(name, (one.asset,), one.drilled.at / NANOSECONDS)

    def _of_catalog(self) -> Iterator[Sample]:
        from sqlalchemy import select

        from holdfast.catalog.models import Asset, Run, StoreRow

        now = self._service.clock.now_ns()
        with self._service.catalog() as connection:
            stores = connection.execute(
                select(StoreRow.name, StoreRow.looked_at, StoreRow.answered_at, StoreRow.problem)
            ).all()
            counts = connection.execute(select(Asset.name, Asset.snapshots).where(Asset.declared)).all()
            runs = connection.execute(select(Run.verdict)).all()
        for name, number in counts:
            yield Sample("holdfast_snapshots", (name,), number)
        looked = [row.looked_at for row in stores if row.looked_at is not None]
        if looked:
            yield Sample("holdfast_catalog_age_seconds", (), max(0.0, (now - min(looked)) / NANOSECONDS))
        for row in stores:
            if row.looked_at is not None:
                yield Sample("holdfast_store_up", (row.name,), 0.0 if row.problem else 1.0)
            if row.answered_at is not None:
                yield Sample("holdfast_store_answered_timestamp_seconds", (row.name,), row.answered_at / NANOSECONDS)
        for state, number in Counter(verdict or "OPEN" for (verdict,) in runs).items():
            yield Sample("holdfast_runs", (state,), number)

    def _of_work(self) -> Iterator[Sample]:
        workflows = self._service.workflows
        if workflows is None:
            return
        listed = workflows.list("", _WORK_LISTED)
        for (kind, state), number in Counter((one.kind, one.state.value) for one in listed).items():
            yield Sample("holdfast_work", (kind, state), number)
        yield Sample("holdfast_workers", (), len(workflows.workers()))

    def _of_incidents(self) -> Iterator[Sample]:
        from holdfast.control.incidents.reading import open_incidents

        open_ones = open_incidents(self._service.sites())
        for severity, number in Counter(str(one.severity) for one in open_ones).items():
            yield Sample("holdfast_incidents_open", (severity,), number)
        if not open_ones:
            yield Sample("holdfast_incidents_open", ("none",), 0.0)

    def _of_health(self) -> Iterator[Sample]:
        for one in self._health.look():
            yield Sample("holdfast_ready", (f"{one.kind}:{one.name}",), float(one.well))


def _of_standing(one: Standing) -> Iterator[Sample]:
    for objective, target, wanted in (("rpo", one.rpo, "rpo"), ("rto", one.rto, "rto")):
        if isinstance(target.target, (int, float)):
            yield Sample(f"holdfast_{wanted}_target_seconds", (one.asset,), float(target.target))
        yield Sample("holdfast_objective_state", (one.asset, objective, target.state.value), 1.0)
    if isinstance(one.rpo.current, (int, float)):
        yield Sample("holdfast_exposure_seconds", (one.asset,), float(one.rpo.current))
    if isinstance(one.rto.current, (int, float)):
        yield Sample("holdfast_rto_actual_seconds", (one.asset,), float(one.rto.current))


def _tried(part: Callable[[], Iterator[Sample]]) -> list[Sample]:
    try:
        return list(part())
    except HoldfastError:
        return []  # `holdfast_ready` says what is ill
