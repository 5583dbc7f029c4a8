"""Rules for Prometheus and a dashboard for Grafana, made from the metrics that a server really has.

``python -m holdfast.control.incidents.monitoring monitoring`` writes them.

The budget is time: an asset may be exposed by more than its RPO for a share of 1 - objective. How fast it is used up is
looked at over two windows at once, a long one so that a blip is nothing, and a short one so that the alert ends soon
after the trouble: multi-window, multi-burn-rate alerts, with the windows and factors of B. Beyer et al., "The Site
Reliability Workbook" (2018), chapter 5, "Alerting on SLOs", table 5-8.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from holdfast.control.service.metrics import METRICS, Type

__all__ = ["Burn", "Rule", "alerting_rules", "dashboard", "files", "names_in", "recording_rules", "rules_text"]

OBJECTIVE: Final = 0.999
_MISSED: Final = "holdfast:exposure_missed:bool"
_SHARE: Final = "holdfast:exposure_missed:ratio"


class Burn(NamedTuple):
    """`factor`: so many times as fast as the budget would last for 30 days. Windows in seconds."""

    long: int
    short: int
    factor: float
    severity: str


BURNS: Final = (
    Burn(3600, 300, 14.4, "critical"),
    Burn(6 * 3600, 1800, 6.0, "critical"),
    Burn(24 * 3600, 2 * 3600, 3.0, "warning"),
    Burn(72 * 3600, 6 * 3600, 1.0, "warning"),
)


class Rule(NamedTuple):
    """An alert. `lasting`: seconds for which its expression has to be true. `window`: a label, of several of a name."""

    name: str
    expr: str
    lasting: float
    severity: str
    summary: str
    description: str
    window: str = ""


def recording_rules(scale: float = 1.0) -> list[tuple[str, str]]:
    """Name → expression. `scale`: of all windows, for trials."""
    missed = f"{_worst('holdfast_exposure_seconds')} > bool {_worst('holdfast_rpo_target_seconds', 'min')}"
    made = [(_MISSED, missed)]
    windows = sorted({window for burn in BURNS for window in (burn.long, burn.short)})
    return made + [(_ratio(window), f"avg_over_time({_MISSED}[{_span(window * scale)}])") for window in windows]


def _worst(metric: str, of: str = "max") -> str:
    """Of each asset, over all servers that tell of it: two with one name could not be compared with two others."""
    return f"{of} by (asset) ({metric})"


def _ratio(window: int) -> str:
    return f"{_SHARE}{window // 3600}h" if window % 3600 == 0 else f"{_SHARE}{window // 60}m"


def _span(seconds: float) -> str:
    return f"{max(1, round(seconds * 1000))}ms" if seconds % 1 else f"{round(seconds)}s"


def alerting_rules(objective: float = OBJECTIVE, scale: float = 1.0) -> list[Rule]:
    """`objective`: share of the time in which the RPO is to be kept."""
    budget = 1.0 - objective
    found = [
        Rule(
            "HoldfastExposureBudgetBurn",
            f"{_ratio(burn.long)} > {burn.factor * budget:.6g} and on (asset) "
            f"{_ratio(burn.short)} > {burn.factor * budget:.6g}",
            0.0,
            burn.severity,
            "{{ $labels.asset }} is exposed beyond its RPO too often",
            f"At this rate the budget of 30 days is used up in {30 / burn.factor:.3g} days "
            f"(windows of {burn.long // 3600} h and {burn.short // 60} min).",
            f"{burn.long // 3600}h",
        )
        for burn in BURNS
    ]
    found += [
        Rule(
            "HoldfastExposureBreached",
            f"{_worst('holdfast_exposure_seconds')} > {_worst('holdfast_rpo_target_seconds', 'min')}",
            300 * scale,
            "critical",
            "{{ $labels.asset }} would lose more than its RPO allows",
            "{{ $value | humanizeDuration }} of work would be lost now: holdfast site exposure --asset ...",
        ),
        Rule(
            "HoldfastExposureUnknown",
            f"{_worst('holdfast_rpo_target_seconds')} unless {_worst('holdfast_exposure_seconds')}",
            900 * scale,
            "warning",
            "nobody knows what {{ $labels.asset }} would lose",
            "Its exposure is not measured, and what is not measured does not count as good.",
        ),
        Rule(
            "HoldfastRtoMissed",
            f"{_worst('holdfast_rto_actual_seconds')} > {_worst('holdfast_rto_target_seconds', 'min')}",
            0.0,
            "warning",
            "the last recovery of {{ $labels.asset }} took longer than its RTO",
            "It took {{ $value | humanizeDuration }}: holdfast objective status says what would help.",
        ),
        Rule(
            "HoldfastDrillOverdue",
            f"time() - {_worst('holdfast_drill_last_success_timestamp_seconds')} > 35 * 86400",
            0.0,
            "warning",
            "no drill of {{ $labels.asset }} has passed for 35 days",
            "Credit for a recovery that was shown ends after 30 days.",
        ),
        Rule(
            "HoldfastNeverDrilled",
            f"{_worst('holdfast_rto_target_seconds')} unless {_worst('holdfast_drill_last_success_timestamp_seconds')}",
            86400 * scale,
            "warning",
            "no drill of {{ $labels.asset }} has ever passed",
            "It owes an RTO, and nobody has shown that it can be kept: holdfast drill run.",
        ),
        Rule(
            "HoldfastObjectiveBreached",
            'holdfast_objective_state{state=~"BREACHED|UNATTAINABLE"} == 1',
            300 * scale,
            "warning",
            "{{ $labels.objective }} of {{ $labels.asset }} is {{ $labels.state }}",
            "holdfast objective status says why, and what would meet it.",
        ),
        Rule(
            "HoldfastStoreSilent",
            "holdfast_store_up == 0",
            600 * scale,
            "warning",
            "{{ $labels.store }} does not answer",
            "What lies there counts as lost until it answers: holdfast site status.",
        ),
        Rule(
            "HoldfastIncidentUnattended",
            'holdfast_incidents_open{severity="critical"} > 0',
            1800 * scale,
            "critical",
            "critical incidents have been open for half an hour",
            "holdfast incident list",
        ),
        Rule(
            "HoldfastDependencyIll",
            "holdfast_ready == 0",
            300 * scale,
            "warning",
            "the server's {{ $labels.dependency }} is ill",
            "/health/ready says what is the matter.",
        ),
        Rule(
            "HoldfastValuesStale",
            "holdfast_state_age_seconds > 900",
            0.0,
            "warning",
            "what the server tells of objectives is {{ $value | humanizeDuration }} old",
            "Nothing that these rules see is newer.",
        ),
        Rule(
            "HoldfastCatalogStale",
            "min(holdfast_catalog_age_seconds) > 3600",
            300 * scale,
            "warning",
            "the catalog is {{ $value | humanizeDuration }} old",
            "What these rules see of snapshots and stores is as old: holdfast catalog update.",
        ),
        Rule(
            "HoldfastServerGone",
            "absent(holdfast_build_info)",
            300 * scale,
            "critical",
            "no server of Holdfast answers",
            "Nobody sees exposure now, and these rules see nothing either.",
        ),
    ]
    return found


def rules_text(objective: float = OBJECTIVE, scale: float = 1.0, interval_s: float = 30.0) -> str:
    """A file of rules for Prometheus (YAML)."""
    lines = ["# Made by: python -m holdfast.control.incidents.monitoring monitoring", "groups:"]
    lines += ["  - name: holdfast-exposure", f"    interval: {_span(interval_s)}", "    rules:"]
    for name, expr in recording_rules(scale):
        lines += [f"      - record: {name}", f"        expr: {_quoted(expr)}"]
    lines += ["  - name: holdfast-alerts", f"    interval: {_span(interval_s)}", "    rules:"]
    for rule in alerting_rules(objective, scale):
        lines += [f"      - alert: {rule.name}", f"        expr: {_quoted(rule.expr)}"]
        if rule.lasting:
            lines.append(f"        for: {_span(rule.lasting)}")
        lines += ["        labels:", f"          severity: {rule.severity}"]
        lines += [f"          window: {rule.window}"] if rule.window else []
        lines += ["        annotations:"]
        lines += [f"          summary: {_quoted(rule.summary)}", f"          description: {_quoted(rule.description)}"]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    return msgspec.json.encode(text).decode()


def names_in(expr: str) -> set[str]:
    """The metrics of Holdfast that an expression asks for, as the table calls them."""
    found = set(re.findall(r"\bholdfast_[a-z0-9_]+", expr))
    return {re.sub(r"_(total|bucket|sum|count)$", "", name) if name not in _NAMES else name for name in found}


_NAMES: Final = frozenset(metric.name for metric in METRICS)


_USED: Final = f"{_worst('holdfast_exposure_seconds')} / {_worst('holdfast_rpo_target_seconds', 'min')}"


class _Panel(NamedTuple):
    title: str
    exprs: tuple[tuple[str, str], ...]  # expression, legend
    unit: str
    kind: str = "timeseries"
    width: int = 12


def panels() -> list[_Panel]:
    """Of every metric at least one; most first, as one reads a page at night."""
    return [
        _Panel(
            "Exposure against RPO",
            (("holdfast_exposure_seconds", "{{asset}}"), ("holdfast_rpo_target_seconds", "RPO of {{asset}}")),
            "s",
        ),
        _Panel(
            "Share of the RPO that is used",
            ((_USED, "{{asset}}"),),
            "percentunit",
        ),
        _Panel(
            "How fast the budget is used up, of an hour (1: it lasts for 30 days)",
            ((f"{_ratio(3600)} / {1 - OBJECTIVE:.6g}", "{{asset}}"),),
            "none",
        ),
        _Panel(
            "Objectives that are not met",
            (('holdfast_objective_state{state!="MET"} == 1', "{{asset}} {{objective}} {{state}}"),),
            "none",
        ),
        _Panel("Incidents that are open", (("holdfast_incidents_open", "{{severity}}"),), "none", "stat", 6),
        _Panel("Stores that answer", (("holdfast_store_up", "{{store}}"),), "none", "stat", 6),
        _Panel(
            "RTO of the last recovery or drill",
            (("holdfast_rto_actual_seconds", "{{asset}}"), ("holdfast_rto_target_seconds", "RTO of {{asset}}")),
            "s",
        ),
        _Panel("RPO of the last recovery or drill", (("holdfast_rpo_actual_seconds", "{{asset}}"),), "s"),
        _Panel(
            "Since the last drill that passed",
            (("time() - holdfast_drill_last_success_timestamp_seconds", "{{asset}}"),),
            "s",
        ),
        _Panel(
            "Since a store last answered", (("time() - holdfast_store_answered_timestamp_seconds", "{{store}}"),), "s"
        ),
        _Panel("Snapshots", (("holdfast_snapshots", "{{asset}}"),), "none"),
        _Panel("Runs", (("holdfast_runs", "{{state}}"),), "none"),
        _Panel("Work", (("holdfast_work", "{{kind}} {{state}}"), ("holdfast_workers", "workers")), "none"),
        _Panel(
            "Age of what is shown",
            (("holdfast_catalog_age_seconds", "catalog"), ("holdfast_state_age_seconds", "objectives")),
            "s",
        ),
        _Panel("Dependencies", (("holdfast_ready", "{{dependency}}"),), "none", "stat", 6),
        _Panel("Server", (("holdfast_build_info", "{{version}}"),), "none", "stat", 6),
        _Panel("Requests", (("sum by (status) (rate(holdfast_http_requests_total[5m]))", "{{status}}"),), "reqps"),
        _Panel(
            "Time to answer (99 of 100)",
            (
                (
                    "histogram_quantile(0.99, sum by (le, route) "
                    "(rate(holdfast_http_request_duration_seconds_bucket[5m])))",
                    "{{route}}",
                ),
            ),
            "s",
        ),
        _Panel(
            "Viewers",
            (
                ("holdfast_event_viewers", "open"),
                ("rate(holdfast_event_viewers_dropped_total[5m])", "dropped per second"),
            ),
            "none",
        ),
        _Panel("Credentials refused", (("rate(holdfast_credentials_refused_total[5m])", "per second"),), "none"),
    ]


def dashboard() -> dict[str, Any]:
    """As Grafana imports it; its data source is chosen there."""
    made: list[dict[str, Any]] = []
    x = y = 0
    for number, panel in enumerate(panels(), 1):
        if x + panel.width > 24:
            x, y = 0, y + 8
        source = {"type": "prometheus", "uid": "${datasource}"}
        made.append(
            {
                "id": number,
                "type": panel.kind,
                "title": panel.title,
                "datasource": source,
                "gridPos": {"x": x, "y": y, "w": panel.width, "h": 8},
                "fieldConfig": {"defaults": {"unit": panel.unit}, "overrides": []},
                "targets": [
                    {"refId": chr(ord("A") + place), "datasource": source, "expr": expr, "legendFormat": legend}
                    for place, (expr, legend) in enumerate(panel.exprs)
                ],
            }
        )
        x += panel.width
    variable = {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Prometheus"}
    return {
        "title": "Holdfast",
        "uid": "holdfast",
        "schemaVersion": 39,
        "timezone": "utc",
        "refresh": "1m",
        "time": {"from": "now-24h", "to": "now"},
        "templating": {"list": [variable]},
        "panels": made,
    }


def exposed_names() -> set[str]:
    """Names of samples, as Prometheus gets them."""
    ends = {Type.GAUGE: ("",), Type.COUNTER: ("_total",), Type.HISTOGRAM: ("_bucket", "_sum", "_count")}
    return {f"{metric.name}{end}" for metric in METRICS for end in ends[metric.type]}


def files() -> dict[str, bytes]:
    """File name → content."""
    made = msgspec.json.format(msgspec.json.encode(dashboard()), indent=2) + b"\n"
    return {"prometheus-rules.yml": rules_text().encode(), "grafana-dashboard.json": made}


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files().items():
        (folder / name).write_bytes(data)
