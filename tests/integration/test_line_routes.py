"""Endpoints and paths that fail, while something is going on."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from line_traffic import MIB, Sink

from holdfast.stores.lines.line import Line
from holdfast.stores.lines.terms import LineTerms
from holdfast.stores.lines.terms import Path as LinePath
from holdfast.testing.networks import HERE, Network
from holdfast.testing.site_servers import SeaweedAt


@pytest.mark.servers
def test_an_endpoint_that_dies_in_the_middle_is_replaced_and_comes_back(tmp_path: Path) -> None:
    """One store behind two gateways: relays in two sites, as load balancers are. One is cut off while we write."""
    with Network("east", "west") as network, SeaweedAt(network[HERE], tmp_path / "weed") as weed, weed.in_environment():
        target = urlsplit(weed.endpoint)
        with (
            relay(network, "east", target.port),
            relay(network, "west", target.port),
            Line(LineTerms("x", patience_s=2)) as line,
        ):
            endpoints = [f"http://{network[name].address}:7000" for name in ("east", "west")]
            options = dict(weed.options) | {"endpoint": endpoints[0], "timeout": "20s"}
            store = line.open_store(weed.url, options=options, endpoints=endpoints[1:])
            contents = {f"packs/{number}": os.urandom(2 * MIB) for number in range(24)}
            with ThreadPoolExecutor(4) as pool:
                writes = [pool.submit(store.put, key, content) for key, content in contents.items()]
                while sum(write.done() for write in writes) < 8:
                    time.sleep(0.005)
                used = {endpoint.endpoint: endpoint.up_bytes for endpoint in line.snapshot().endpoints}
                network.link(HERE, "east").cut()
                cut_at = time.monotonic()
                for write in writes:
                    write.result(60)
            took = time.monotonic() - cut_at
            assert min(used.values()) > 0  # both were in use
            assert took < 15
            for key, content in contents.items():
                assert store.get(key) == content
            east, west = line.snapshot().endpoints
            assert not east.up
            assert east.failures
            assert west.up
            assert any(
                "east" not in trouble and network["east"].address in trouble for trouble in line.snapshot().troubles
            )
            network.heal()
            deadline = time.monotonic() + 30
            while not line.snapshot().endpoints[0].up and time.monotonic() < deadline:
                time.sleep(0.05)
            assert line.snapshot().endpoints[0].up  # asked in the background, without a transfer


def test_a_refusing_endpoint_is_passed_over_at_once() -> None:
    sink = Sink()
    dead = Sink()
    dead.close()
    with Line(LineTerms("x")) as line, saturating_once(line, [dead.endpoint, sink.endpoint]) as took:
        assert took < 1
        (failed, alive) = sorted(line.snapshot().endpoints, key=lambda each: -each.failures)
        assert (failed.failures > 0, alive.connections) == (True, 1)
    sink.close()


@contextmanager
def saturating_once(line: Line, endpoints: list[str]) -> Iterator[float]:
    """Seconds until an endpoint has received a byte over the line."""
    host = urlsplit(line.forward(endpoints, 5))
    begun = time.monotonic()
    with socket.create_connection((host.hostname, host.port)) as client:
        client.sendall(b"x")
        while sum(endpoint.up_bytes for endpoint in line.snapshot().endpoints) == 0:
            assert time.monotonic() - begun < 5
            time.sleep(0.01)
        yield time.monotonic() - begun


def test_paths_leave_from_their_own_addresses() -> None:
    """Two paths; the first leaves from an address that cannot reach the site, and is passed over."""
    with Network("far") as network:
        with network["far"].inside():
            server = socket.create_server((network["far"].address, 7000))
        paths = (LinePath("broken", "192.0.2.1"), LinePath("good", network[HERE].address))
        with server, Line(LineTerms("far", paths=paths)) as line:
            host = urlsplit(line.forward([f"http://{network['far'].address}:7000"], 5))
            with socket.create_connection((host.hostname, host.port)):
                accepted, (source, _) = server.accept()
                deadline = time.monotonic() + 5
                while not any(endpoint.active for endpoint in line.snapshot().endpoints):
                    assert time.monotonic() < deadline
            accepted.close()
            assert source == network[HERE].address
            found = {endpoint.path: (endpoint.connections, endpoint.failures) for endpoint in line.snapshot().endpoints}
            assert found["good"] == (1, 0)
            assert found["broken"][0] == 0
            assert found["broken"][1] >= 1


@contextmanager
def relay(network: Network, site: str, port: int) -> Iterator[None]:
    """A gateway: what connects to port 7000 of `site` reaches the port of ours."""
    script = (
        "import socket, sys, threading\n"
        "def copy(a, b):\n"
        "    try:\n"
        "        while data := a.recv(1 << 16): b.sendall(data)\n"
        "        b.shutdown(socket.SHUT_WR)\n"
        "    except OSError: pass\n"
        "server = socket.create_server((sys.argv[1], 7000), backlog=64)\n"
        "print('ready', flush=True)\n"
        "while True:\n"
        "    client, _ = server.accept()\n"
        "    upstream = socket.create_connection((sys.argv[2], int(sys.argv[3])))\n"
        "    for pair in ((client, upstream), (upstream, client)):\n"
        "        threading.Thread(target=copy, args=pair, daemon=True).start()\n"
    )
    command = [sys.executable, "-c", script, network[site].address, network[HERE].address, str(port)]
    with network[site].popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        try:
            yield
        finally:
            process.kill()


def test_an_endpoint_that_takes_everything_and_says_nothing_is_left() -> None:
    """Its kernel is alive, so only the missing answer tells. One that is still being sent to owes none."""
    mute = Sink()
    with Line(LineTerms("x", up=MIB, answer_s=1)) as line:
        where = urlsplit(line.forward([mute.endpoint], 5))
        with socket.create_connection((where.hostname, where.port)) as client:
            client.settimeout(10)
            client.sendall(bytes(2 * MIB))  # takes 2 s
            sent_at = time.monotonic()
            with pytest.raises(ConnectionError):
                client.recv(1)
            assert 0.5 < time.monotonic() - sent_at < 5
        assert mute.received == 2 * MIB
        assert "no answer for 1 s" in line.snapshot().troubles[-1]
    mute.close()
