"""Namespaces, wires and what they do to packets. As root on Linux, which is how CI runs; there is nothing to skip."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from holdfast.errors import UsageError
from holdfast.stores.opening import open_store
from holdfast.testing.networks import HERE, Network, Site
from holdfast.testing.site_servers import GcsAt, SeaweedAt

PORT = 7000


@pytest.fixture
def network():
    with Network("a", "b") as made:
        yield made


def listening(site: Site) -> socket.socket:
    with site.inside():
        return socket.create_server((site.address, PORT))


def echoing(site: Site) -> socket.socket:
    """Echoes the first connection's bytes until that ends or the socket is closed."""
    server = listening(site)

    def echo() -> None:
        connection, _ = server.accept()
        with connection, suppress(OSError):  # the network may be gone before the connection is
            while data := connection.recv(1 << 16):
                connection.sendall(data)

    threading.Thread(target=echo, daemon=True).start()
    return server


def connected(sender: Site, receiver: Site, timeout: float = 5.0) -> socket.socket:
    with sender.inside():
        return socket.create_connection((receiver.address, PORT), timeout=timeout)


def round_trip(client: socket.socket) -> float:
    begun = time.monotonic()
    client.sendall(b"?")
    assert client.recv(1) == b"?"
    return time.monotonic() - begun


def test_sites_reach_each_other_and_us(network: Network) -> None:
    for sender, receiver in (("a", "b"), ("b", "a"), (HERE, "a"), ("b", HERE)):
        with echoing(network[receiver]), connected(network[sender], network[receiver]) as client:
            assert round_trip(client) < 0.5
            assert client.getpeername()[0] == network[receiver].address
            assert client.getsockname()[0] == network[sender].address


def test_a_site_is_a_world_of_its_own(network: Network) -> None:
    with socket.create_server(("127.0.0.1", 0)) as ours:
        with network["a"].inside(), pytest.raises(ConnectionRefusedError):
            socket.create_connection(ours.getsockname(), timeout=2)
        socket.create_connection(ours.getsockname(), timeout=2).close()  # and we are back


def test_delay_is_one_way(network: Network) -> None:
    with echoing(network["b"]), connected(network["a"], network["b"]) as client:
        at_once = round_trip(client)
        network.link("a", "b").set(delay_s=0.05, jitter_s=0.01)
        delayed = round_trip(client)
    assert at_once < 0.05
    assert 0.1 <= delayed < 0.2


def test_a_slow_line_is_as_slow_as_said(network: Network) -> None:
    network.link("a", "b").set(bits_per_s=20e6, queue_s=0.2)
    size = 2_000_000
    with listening(network["b"]) as server, connected(network["a"], network["b"]) as client:
        receiver, _ = server.accept()
        threading.Thread(target=client.sendall, args=(b"\0" * size,), daemon=True).start()
        begun, got = time.monotonic(), 0
        while got < size:
            got += len(receiver.recv(1 << 16))
        took = time.monotonic() - begun
        receiver.close()
    counts = network.link("a", "b").counts("a")
    assert counts.bytes > size  # headers count
    assert counts.bytes * 8 / 20e6 * 0.9 < took < counts.bytes * 8 / 20e6 * 1.3


def test_loss_is_the_share_that_was_asked_for() -> None:
    def lost(seed: int) -> tuple[int, int]:
        with Network("a", "b", here=False, seed=seed) as network:
            link = network.link("a", "b")
            link.set(loss=0.2)
            with network["a"].inside(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                for _ in range(1000):
                    sender.sendto(b"x", (network["b"].address, PORT))
            deadline = time.monotonic() + 5
            while True:
                counts = link.counts("a")
                if counts.packets + counts.lost >= 1000 or time.monotonic() > deadline:
                    return counts.packets, counts.lost
                time.sleep(0.01)

    first = lost(1)
    assert 1000 <= sum(first) < 1010  # the kernel asks for IPv6 routers now and then
    assert 150 < first[1] < 250
    assert lost(2) != first


def test_a_cut_is_silent_and_heals(network: Network) -> None:
    with echoing(network["b"]), connected(network["a"], network["b"]) as client:
        round_trip(client)
        network.link("a", "b").cut()
        client.settimeout(0.2)
        client.sendall(b"!")
        with pytest.raises(TimeoutError):
            client.recv(1)
        with pytest.raises(TimeoutError):
            connected(network["a"], network["b"], timeout=0.1)
        network.link("a", "b").heal()
        client.settimeout(5)
        assert client.recv(1) == b"!"  # TCP sends it again


def test_partitions_cut_between_groups_only() -> None:
    with Network("a", "b", "c") as network:

        def up(one: str, other: str) -> bool:
            with listening(network[other]):
                try:
                    connected(network[one], network[other], timeout=0.15).close()
                except TimeoutError:
                    return False
                return True

        pairs = [("a", "b"), ("a", "c"), ("b", "c"), (HERE, "c")]
        network.partition(["a", "b"], ["c"])
        assert [up(*pair) for pair in pairs] == [True, False, False, False]
        network.heal()
        network.isolate("a")
        assert [up(*pair) for pair in pairs] == [False, False, True, True]
        network.heal()
        assert all(up(*pair) for pair in pairs)


def test_flapping_ends_with_the_link_up(network: Network) -> None:
    link = network.link("a", "b")
    with echoing(network["b"]), connected(network["a"], network["b"], timeout=10) as client:
        with link.flapping(up_s=0.05, down_s=0.05):
            time.sleep(0.12)
            for _ in range(3):
                round_trip(client)
        assert round_trip(client) < 5
    assert link.counts("a").lost + link.counts("b").lost > 0


def test_processes_run_at_a_site(network: Network) -> None:
    listing = network["a"].run(["cat", "/proc/net/dev"], capture_output=True, text=True, check=True).stdout
    devices = {line.split(":")[0].strip() for line in listing.splitlines()[2:]}
    assert "lo" in devices
    assert "eth0" not in devices
    assert len([name for name in devices if name.startswith("hf")]) == 2  # to `b` and to us


@pytest.mark.servers
def test_servers_at_sites_are_stores(tmp_path: Path) -> None:
    with (
        Network("west") as network,
        SeaweedAt(network["west"], tmp_path / "weed") as weed,
        GcsAt(network["west"]) as gcs,
    ):
        for server in (weed, gcs):
            with server.in_environment():
                store = open_store(server.url, options=server.options)
                store.put("a/b", b"there")
                network.link(HERE, "west").set(delay_s=0.02)
                begun = time.monotonic()
                assert store.get("a/b") == b"there"
                assert time.monotonic() - begun >= 0.04
                network.link(HERE, "west").set(delay_s=0.0)


def test_nothing_is_left_when_the_process_is_killed() -> None:
    script = (
        "import sys, time\n"
        "from holdfast.testing.networks import Network\n"
        "with Network('a', 'b') as network:\n"
        "    network.link('here', 'a').heal()\n"
        "    print(network['a'].address, network._wire.pid, flush=True)\n"
        "    time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address, wire = process.stdout.readline().split()
        assert _has_address(address)
        process.send_signal(signal.SIGKILL)
        process.wait()
    deadline = time.monotonic() + 5
    while (_has_address(address) or _runs(wire)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not _has_address(address)
    assert not _runs(wire)


def _runs(process: str) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().split()[2] != "Z"
    except OSError:
        return False


def _has_address(site: str) -> bool:
    """Whether this namespace has a way to that site."""
    return f"{site.rpartition('.')[0]}." in Path("/proc/net/fib_trie").read_text()


def test_a_failure_inside_cleans_up_too() -> None:
    with pytest.raises(ZeroDivisionError), Network("a") as network:
        address = network["a"].address
        raise ZeroDivisionError
    deadline = time.monotonic() + 5
    while _has_address(address) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not _has_address(address)


def test_names_are_checked() -> None:
    for names in ((), ("a", "a"), (HERE,)):
        with pytest.raises(UsageError):
            Network(*names)
    with pytest.raises(UsageError, match="not up"):
        Network("a")._order([], {})


def test_who_leaves_a_site_is_where_they_were(network: Network) -> None:
    before = os.readlink("/proc/thread-self/ns/net")
    with network["a"].inside():
        assert os.readlink("/proc/thread-self/ns/net") != before
        with network["b"].inside():
            pass
        assert os.readlink("/proc/thread-self/ns/net") != before
    assert os.readlink("/proc/thread-self/ns/net") == before
