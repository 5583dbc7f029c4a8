"""`/metrics`: what `control.service.metrics` lists, in the text format of Prometheus."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from litestar import Request, Response, get
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest

from holdfast.control.service.metrics import METRICS, Type
from holdfast.version import VERSION
from holdfast.web.security.policies import needs

if TYPE_CHECKING:
    from holdfast.control.service.measuring import Sample

__all__ = ["Metrics", "metrics_page"]

_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


disable_created_metrics()  # type: ignore[no-untyped-call] # the same time for each series, twice as many lines


class Metrics:
    """Of one server: a registry of its own, so that several live in one process."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._made: dict[str, Any] = {}
        for one in METRICS:
            match one.type:
                case Type.GAUGE:
                    made: Any = Gauge(one.name, one.text, one.labels, registry=self._registry)
                case Type.COUNTER:
                    made = Counter(one.name, one.text, one.labels, registry=self._registry)
                case Type.HISTOGRAM:
                    made = Histogram(one.name, one.text, one.labels, registry=self._registry, buckets=_SECONDS)
            self._made[one.name] = made
        self._made["holdfast_build_info"].labels(VERSION).set(1)
        self._state = [one.name for one in METRICS if one.state]

    def answered(self, method: str, route: str, status: int, seconds: float | None) -> None:
        """`seconds`: None for a stream, whose length says nothing of the server."""
        verb = method if method in _METHODS else "other"
        self._made["holdfast_http_requests"].labels(verb, route, str(status)).inc()
        if seconds is not None:
            self._made["holdfast_http_request_duration_seconds"].labels(verb, route).observe(seconds)

    def refused(self) -> None:
        self._made["holdfast_credentials_refused"].inc()

    def viewers(self, number: int) -> None:
        self._made["holdfast_event_viewers"].set(number)

    def dropped(self) -> None:
        self._made["holdfast_event_viewers_dropped"].inc()

    def take(self, samples: Sequence[Sample]) -> None:
        """The values of the state now: what is not among them any more has no sample."""
        listed: dict[str, dict[tuple[str, ...], float]] = {name: {} for name in self._state}
        for one in samples:
            listed[one.name][one.labels] = one.value
        for name, values in listed.items():
            made = self._made[name]
            if not made._labelnames:
                if () in values:
                    made.set(values[()])
                continue
            made.clear()
            for labels, value in values.items():
                made.labels(*labels).set(value)

    def text(self) -> bytes:
        return generate_latest(self._registry)


def gauge_values(metrics: Metrics, name: str) -> Mapping[tuple[str, ...], float]:
    """For tests: the samples of a gauge."""
    made = metrics._made[name]
    return {tuple(sample.labels.values()): sample.value for family in made.collect() for sample in family.samples}


@get("/metrics", opt=needs("objective.show"), sync_to_thread=True, include_in_schema=False)
def metrics_page(request: Request[Any, Any, Any]) -> Response[bytes]:
    """What Prometheus scrapes, with a bearer token like everybody."""
    state = request.app.state
    state.measuring.freshen(state.metrics)
    return Response(state.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")
