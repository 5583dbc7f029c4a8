"""The metrics of a server: one table, from which `/metrics`, the documentation and the alerts' rules are made.

Seconds and bytes are base units, as Prometheus has it; names of what runs are those of docs/evidence.md. A value that
nobody measured has no sample: it is not 0.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, NamedTuple

__all__ = ["METRICS", "Metric", "Type"]


class Type(StrEnum):
    GAUGE = "gauge"
    COUNTER = "counter"
    HISTOGRAM = "histogram"


class Metric(NamedTuple):
    """`text`: what it says. `state`: worked out now and then from the catalog and the stores, not by requests.

    The samples of a counter end in `_total`, those of a histogram in `_bucket`, `_sum` and `_count`.
    """

    name: str
    type: Type
    labels: tuple[str, ...]
    text: str
    state: bool = True


METRICS: Final = (
    Metric("holdfast_exposure_seconds", Type.GAUGE, ("asset",), "Work that would be lost now: age of the newest copy."),
    Metric("holdfast_rpo_target_seconds", Type.GAUGE, ("asset",), "How much work may be lost, as declared."),
    Metric("holdfast_rpo_actual_seconds", Type.GAUGE, ("asset",), "Lost in the last drill or recovery that passed."),
    Metric("holdfast_rto_target_seconds", Type.GAUGE, ("asset",), "How long a recovery may take, as declared."),
    Metric("holdfast_rto_actual_seconds", Type.GAUGE, ("asset",), "How long the last one that passed took."),
    Metric(
        "holdfast_objective_state",
        Type.GAUGE,
        ("asset", "objective", "state"),
        "1 for the state that an asset's RPO or RTO is in: MET, AT_RISK, BREACHED, NOT_MEASURED, UNATTAINABLE.",
    ),
    Metric("holdfast_snapshots", Type.GAUGE, ("asset",), "Snapshots of an asset that the catalog knows."),
    Metric("holdfast_store_answered_timestamp_seconds", Type.GAUGE, ("store",), "When a store last answered."),
    Metric("holdfast_store_up", Type.GAUGE, ("store",), "1 if the store answered when it was looked at last."),
    Metric("holdfast_catalog_age_seconds", Type.GAUGE, (), "How long ago the catalog looked at all stores."),
    Metric("holdfast_runs", Type.GAUGE, ("state",), "Runs of recoveries and drills that the catalog knows, by state."),
    Metric("holdfast_drill_last_success_timestamp_seconds", Type.GAUGE, ("asset",), "When a drill of it last passed."),
    Metric("holdfast_incidents_open", Type.GAUGE, ("severity",), "Incidents that are open."),
    Metric("holdfast_work", Type.GAUGE, ("kind", "state"), "Work in the queue, by kind and state."),
    Metric("holdfast_workers", Type.GAUGE, (), "Workers that said they are there in the last minute."),
    Metric("holdfast_ready", Type.GAUGE, ("dependency",), "1 if what the server depends on is well."),
    Metric("holdfast_state_age_seconds", Type.GAUGE, (), "How old the values are that are not counted by requests."),
    Metric(
        "holdfast_http_requests", Type.COUNTER, ("method", "route", "status"), "Requests that were answered.", False
    ),
    Metric(
        "holdfast_http_request_duration_seconds",
        Type.HISTOGRAM,
        ("method", "route"),
        "Time until the whole answer was handed on; streams are not counted.",
        False,
    ),
    Metric("holdfast_event_viewers", Type.GAUGE, (), "Streams of events that are open.", False),
    Metric("holdfast_event_viewers_dropped", Type.COUNTER, (), "Viewers that were too slow, and come back.", False),
    Metric("holdfast_credentials_refused", Type.COUNTER, (), "Credentials that count for nothing.", False),
    Metric("holdfast_build_info", Type.GAUGE, ("version",), "1, with the version of the server.", False),
)
