"""Rules and dashboard against a real Prometheus; an alert, through a real Alertmanager, to a run by itself."""

from __future__ import annotations

import http.server
import json
import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from incident_world import World
from prometheus_servers import AlertmanagerProcess, PrometheusProcess

from holdfast.control.incidents.monitoring import (
    alerting_rules,
    dashboard,
    exposed_names,
    files,
    names_in,
    recording_rules,
    rules_text,
)
from holdfast.control.incidents.reading import list_incidents
from holdfast.control.incidents.receiving import receive_alerts
from holdfast.control.incidents.watching import Watch
from holdfast.control.recovering.recovering import Recoveries
from holdfast.control.service.measuring import Sample
from holdfast.control.service.metrics import METRICS, Type
from holdfast.errors import HoldfastError
from holdfast.web.api.metrics import Metrics

ROOT = Path(__file__).parents[2]


def _dashboard_exprs() -> list[str]:
    return [target["expr"] for panel in dashboard()["panels"] for target in panel["targets"]]


def test_the_published_files_are_those_of_the_table() -> None:
    found = {path.name: path.read_bytes() for path in (ROOT / "monitoring").iterdir()}
    assert found == files(), "run: python -m holdfast.control.incidents.monitoring monitoring"


def test_rules_and_panels_ask_for_metrics_that_exist_and_panels_for_all_of_them() -> None:
    known = {metric.name for metric in METRICS}
    exprs = [rule.expr for rule in alerting_rules()] + [expr for _, expr in recording_rules()]
    assert set().union(*map(names_in, exprs)) <= known
    assert set().union(*map(names_in, _dashboard_exprs())) == known
    for expr in (*exprs, *_dashboard_exprs()):
        assert set(re.findall(r"\bholdfast_[a-z0-9_]+", expr)) <= exposed_names(), expr


def test_prometheus_takes_what_the_panels_ask(tmp_path: Path) -> None:
    rules = [{"record": f"panel:{number}", "expr": expr} for number, expr in enumerate(_dashboard_exprs())]
    (tmp_path / "panels.yml").write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))
    done = subprocess.run(["promtool", "check", "rules", str(tmp_path / "panels.yml")], capture_output=True, text=True)
    assert done.returncode == 0 and f"{len(rules)} rules found" in done.stdout, done.stdout + done.stderr


def _series(name: str, labels: str, *values: str) -> dict[str, str]:
    return {"series": f"{name}{{{labels}}}", "values": " ".join(values)}


def test_rules_fire_when_they_should_and_not_before(tmp_path: Path) -> None:
    """`promtool test rules`: a minute a step. `bad` breaches from hour 2 on, `blip` for two minutes, `good` never."""
    (tmp_path / "rules.yml").write_text(rules_text())
    hours = 60
    series = [
        _series("holdfast_rpo_target_seconds", 'asset="bad"', "3600x500"),
        _series("holdfast_exposure_seconds", 'asset="bad"', f"60x{2 * hours - 1}", "7200x380"),
        _series("holdfast_rpo_target_seconds", 'asset="blip"', "3600x500"),
        _series("holdfast_exposure_seconds", 'asset="blip"', f"60x{2 * hours - 1}", "7200x1", "60x378"),
        _series("holdfast_rpo_target_seconds", 'asset="good"', "3600x500"),
        _series("holdfast_exposure_seconds", 'asset="good"', "3600x500"),
        _series("holdfast_rpo_target_seconds", 'asset="dark"', "3600x500"),
        _series("holdfast_rto_target_seconds", 'asset="slow"', "60x500"),
        _series("holdfast_rto_actual_seconds", 'asset="slow"', "90x500"),
        _series("holdfast_build_info", 'version="1"', "1x500"),
        # Of a second server, which sees the same.
        _series("holdfast_rpo_target_seconds", 'asset="bad",instance="b"', "3600x500"),
        _series("holdfast_exposure_seconds", 'asset="bad",instance="b"', f"60x{2 * hours - 1}", "7200x380"),
        _series("holdfast_rto_target_seconds", 'asset="slow",instance="b"', "60x500"),
        _series("holdfast_rto_actual_seconds", 'asset="slow",instance="b"', "90x500"),
        _series("holdfast_rto_target_seconds", 'asset="drilled"', "60x5000"),
        _series("holdfast_drill_last_success_timestamp_seconds", 'asset="drilled"', "0x5000"),
        _series("holdfast_rto_target_seconds", 'asset="lasting"', "60x5000"),
        _series("holdfast_catalog_age_seconds", "", "7200x500"),
    ]

    def fires(at: str, name: str, *expected: dict[str, str]) -> dict[str, Any]:
        rules = {rule.window or rule.name: rule for rule in alerting_rules() if rule.name == name}
        alerts = []
        for labels in expected:
            rule = rules[labels.get("window", name)]
            values = {"HoldfastExposureBreached": "2h 0m 0s", "HoldfastRtoMissed": "1m 30s"}
            value = (values | {"HoldfastCatalogStale": "2h 0m 0s"}).get(name, "")
            said = {
                key: text.replace("{{ $labels.asset }}", labels.get("asset", "")).replace(
                    "{{ $value | humanizeDuration }}", value
                )
                for key, text in (("summary", rule.summary), ("description", rule.description))
            }
            alerts.append({"exp_labels": labels, "exp_annotations": said})
        return {"eval_time": at, "alertname": name, "exp_alerts": alerts}

    def burn(asset: str, window: str, severity: str) -> dict[str, str]:
        return {"asset": asset, "window": window, "severity": severity}

    burns = [burn("bad", window, "critical") for window in ("1h", "6h")]
    burns += [burn("bad", window, "warning") for window in ("24h", "72h")]
    breached = {"asset": "bad", "severity": "critical"}
    tests = {
        "rule_files": ["rules.yml"],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": series,
                "alert_rule_test": [
                    fires("119m", "HoldfastExposureBreached"),
                    fires("119m", "HoldfastExposureBudgetBurn"),
                    fires("123m", "HoldfastExposureBreached"),
                    fires("126m", "HoldfastExposureBreached", breached),
                    # Both use up the budget of a month fast: but the short windows of the blip forget it.
                    fires("135m", "HoldfastExposureBudgetBurn", *burns, burn("blip", "6h", "critical"),
                          burn("blip", "24h", "warning"), burn("blip", "72h", "warning")),
                    fires("300m", "HoldfastExposureBudgetBurn", *burns, burn("blip", "72h", "warning")),
                    fires("10m", "HoldfastExposureUnknown"),
                    fires("16m", "HoldfastExposureUnknown", {"asset": "dark", "severity": "warning"}),
                    fires("60m", "HoldfastNeverDrilled"),
                    fires("1500m", "HoldfastNeverDrilled", {"asset": "lasting", "severity": "warning"}),
                    fires("60m", "HoldfastCatalogStale", {"severity": "warning"}),
                    fires("1m", "HoldfastRtoMissed", {"asset": "slow", "severity": "warning"}),
                    fires("400m", "HoldfastServerGone"),
                ],
            },
            {
                "interval": "1m",
                "input_series": [_series("up", 'job="holdfast"', "0x10")],
                "alert_rule_test": [
                    {
                        "eval_time": "6m",
                        "alertname": "HoldfastServerGone",
                        "exp_alerts": [
                            {
                                "exp_labels": {"severity": "critical"},
                                "exp_annotations": {
                                    "summary": "no server of Holdfast answers",
                                    "description": "Nobody sees exposure now, and these rules see nothing either.",
                                },
                            }
                        ],
                    }
                ],
            },
        ],
    }  # fmt: skip
    (tmp_path / "tests.yml").write_text(json.dumps(tests))
    ran = subprocess.run(["promtool", "test", "rules", "tests.yml"], cwd=tmp_path, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr


class _Web(http.server.ThreadingHTTPServer):
    """`GET /metrics` as a server of Holdfast gives it; `POST` hands an alert in."""

    daemon_threads = True

    def __init__(self, metrics: Metrics, take: Callable[[bytes], None]) -> None:
        web = self
        self.posts = 0

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                text = metrics.text()
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                web.posts += 1
                try:
                    take(body)
                    self.send_response(200)
                except HoldfastError:
                    self.send_response(500)  # Alertmanager sends it again
                self.end_headers()

            def log_message(self, *args: Any) -> None: ...

        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"


@contextmanager
def _served(metrics: Metrics, take: Callable[[bytes], None]) -> Iterator[_Web]:
    with _Web(metrics, take) as web:
        thread = threading.Thread(target=web.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield web
        finally:
            web.shutdown()
            thread.join()


def _wait_for(true: Callable[[], Any], seconds: float = 90.0) -> None:
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, "it never came"
        time.sleep(0.05)


def _samples(exposure: float) -> list[Sample]:
    """A value of every metric that is a state."""
    made = [
        Sample(metric.name, tuple("x" for _ in metric.labels), 1.0)
        for metric in METRICS
        if metric.state and metric.type is Type.GAUGE and "asset" not in metric.labels
    ]
    made += [Sample("holdfast_objective_state", ("run", "rpo", "BREACHED"), 1.0)]
    for name in (metric.name for metric in METRICS if metric.labels == ("asset",)):
        made.append(Sample(name, ("run",), {"holdfast_exposure_seconds": exposure}.get(name, 60.0)))
    return made


def test_an_exposure_that_is_planted_fires_opens_one_incident_begins_a_run_and_resolves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path)
    fast = {"open_after": 1, "of": 1, "close_after": 1}
    world.declare(
        detect={
            "quorum": 1,
            "every": "1s",
            "probes": {
                "breach": {"kind": "alert", "alert": "HoldfastExposureBreached", **fast},
                "stores": {"kind": "store", "site": "second", **fast},
            },
        },
        recoveries={
            "rehearse": {
                "asset": "run",
                "strategy": "BACKUP_AND_RESTORE",
                "to": ["second"],
                "automatic": {
                    "when": "breach AND NOT stores",
                    "target": str(tmp_path / "back"),
                    "wait": "0s",
                    "isolated": True,
                },
            }
        },
    )
    watch = Watch(world.machine("keeper"))
    metrics = Metrics()
    metrics.take(_samples(10.0))
    metrics.answered("GET", "/", 200, 0.1)
    folders = [tmp_path / name for name in ("am", "prometheus")]
    for folder in folders:
        folder.mkdir()

    def take(body: bytes) -> None:
        receive_alerts(world.machine("keeper"), body)

    with (
        _served(metrics, take) as web,
        AlertmanagerProcess(folders[0], f"http://{web.address}/alerts", "HoldfastExposureBreached") as manager,
        PrometheusProcess(
            folders[1], web.address, rules_text(scale=1 / 300, interval_s=0.2), f"127.0.0.1:{manager.port}"
        ) as prometheus,
    ):
        _wait_for(lambda: prometheus.query("holdfast_exposure_seconds == 10"))
        for name, _ in recording_rules(1 / 300):
            _wait_for(lambda name=name: prometheus.query(name))  # type: ignore[misc]
        watch.look()
        assert list_incidents(world.machine("keeper")) == []
        # Every expression is understood, and panels have something to show.
        empty = [expr for expr in _dashboard_exprs() if not prometheus.query(expr) and "rate(" not in expr]
        assert empty == []
        for rule in alerting_rules(scale=1 / 300):
            prometheus.query(rule.expr)

        metrics.take(_samples(7200.0))  # the breach
        _wait_for(lambda: bool(list_incidents(world.machine("keeper"))))
        [incident] = list_incidents(world.machine("keeper"))
        assert incident.kind == "alert" and incident.asset == "run" and incident.severity == "critical"
        assert incident.title == "HoldfastExposureBreached: run would lose more than its RPO allows"
        begun = [decision for _ in range(3) for decision in watch.look().decisions if decision.begins]
        for thread in watch.starter.threads:
            thread.join()
        assert [one.incident for one in begun] == [incident.id]
        posts = web.posts
        _wait_for(lambda: web.posts > posts)  # Alertmanager repeats itself, and nothing comes of it
        assert len(list_incidents(world.machine("keeper"))) == 1

        metrics.take(_samples(10.0))
        _wait_for(lambda: list_incidents(world.machine("keeper"))[0].state == "resolved")
        watch.look()
        [over] = list_incidents(world.machine("ann"))
        assert over.id == incident.id and over.runs == (begun[0].run,)
        status = Recoveries(world.machine("keeper")).status(begun[0].run)
        assert status.state.verdict == "PASSED" and (tmp_path / "back" / incident.id).is_dir()
        assert status.plan.intent.reason == f"by itself: incident {incident.id}"
