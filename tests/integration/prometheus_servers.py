"""Prometheus and Alertmanager as processes on free ports of the loopback interface, ended by their process ids."""

from __future__ import annotations

import json
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any

__all__ = ["AlertmanagerProcess", "PrometheusProcess", "free_port", "get_json"]


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def get_json(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.load(answer)


class _Process:
    def __init__(self, folder: Path, ready: str) -> None:
        self.folder, self._ready = folder, ready
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        raise NotImplementedError

    def __enter__(self) -> Any:
        self._log = (self.folder / "log").open("w")
        self._process = subprocess.Popen(self.command(), stdout=self._log, stderr=subprocess.STDOUT)
        until = time.monotonic() + 60
        while True:
            try:
                with urllib.request.urlopen(self.url + self._ready, timeout=5) as answer:
                    answer.read()
                return self
            except OSError:
                assert self._process.poll() is None, (self.folder / "log").read_text()
                assert time.monotonic() < until, "it never came up"
                time.sleep(0.05)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()


class AlertmanagerProcess(_Process):
    """Sends alerts of these names to `webhook`, all others nowhere."""

    def __init__(self, folder: Path, webhook: str, names: str) -> None:
        super().__init__(folder, "/-/ready")
        config = {
            "route": {
                "receiver": "nobody",
                "group_by": ["..."],
                "group_wait": "100ms",
                "group_interval": "300ms",
                "repeat_interval": "1s",
                "routes": [{"receiver": "holdfast", "matchers": [f'alertname=~"{names}"']}],
            },
            "receivers": [
                {"name": "nobody"},
                {"name": "holdfast", "webhook_configs": [{"url": webhook, "send_resolved": True}]},
            ],
        }
        (folder / "alertmanager.yml").write_text(json.dumps(config))

    def command(self) -> list[str]:
        return [
            "prometheus-alertmanager",
            f"--config.file={self.folder / 'alertmanager.yml'}",
            f"--storage.path={self.folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
            "--cluster.listen-address=",
        ]


class PrometheusProcess(_Process):
    """Scrapes `target` five times a second."""

    def __init__(self, folder: Path, target: str, rules: str, alertmanager: str = "") -> None:
        super().__init__(folder, "/-/ready")
        (folder / "rules.yml").write_text(rules)
        config: dict[str, Any] = {
            "global": {"scrape_interval": "200ms", "scrape_timeout": "200ms", "evaluation_interval": "200ms"},
            "rule_files": [str(folder / "rules.yml")],
            "scrape_configs": [{"job_name": "holdfast", "static_configs": [{"targets": [target]}]}],
        }
        if alertmanager:
            config["alerting"] = {"alertmanagers": [{"static_configs": [{"targets": [alertmanager]}]}]}
        (folder / "prometheus.yml").write_text(json.dumps(config))

    def command(self) -> list[str]:
        return [
            "prometheus",
            f"--config.file={self.folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={self.folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
            "--log.level=warn",
        ]

    def query(self, expr: str) -> list[dict[str, Any]]:
        """What an expression gives now. Raises AssertionError where Prometheus does not understand it."""
        try:
            answer = get_json(f"{self.url}/api/v1/query?{urllib.parse.urlencode({'query': expr})}")
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{expr}: {error.read().decode()}") from error
        assert answer["status"] == "success", answer
        found = answer["data"]["result"]
        return found if isinstance(found, list) else [found]
