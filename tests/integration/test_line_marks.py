"""What routers see of a line's packets."""

from __future__ import annotations

import socket
import struct
from urllib.parse import urlsplit

from holdfast.stores.lines.line import Line
from holdfast.stores.lines.terms import LineTerms
from holdfast.stores.opening import open_store
from holdfast.testing.networks import HERE, Network
from holdfast.testing.site_servers import GcsAt


def test_every_packet_is_marked() -> None:
    """As seen on the wire, at the other site: all that we send over the line, and nothing else."""
    with Network("far") as network, GcsAt(network["far"]) as gcs, gcs.in_environment():
        with network["far"].inside():
            wire = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))
        with wire, Line(LineTerms("far", dscp=10)) as line:
            wire.settimeout(0.3)
            line.open_store(gcs.url, options=gcs.options).put("a", bytes(100_000))
            marked = sent_to(wire, network["far"].address)
            open_store(gcs.url, options=gcs.options).put("b", bytes(100_000))
            plain = sent_to(wire, network["far"].address)
    assert len(marked) > 60
    assert {tos >> 2 for tos in marked} == {10}
    assert {tos >> 2 for tos in plain} == {0}


def test_packets_are_marked_over_ipv6_too() -> None:
    with Network("far") as network:
        address = network.link(HERE, "far").address6("far")
        with network["far"].inside():
            wire = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x86DD))
            server = socket.create_server((address, 7000), family=socket.AF_INET6)
        with wire, server, Line(LineTerms("far", dscp=46)) as line:
            wire.settimeout(0.3)
            host = urlsplit(line.forward([f"[{address}]:7000"], 5))
            with socket.create_connection((host.hostname, host.port)) as client:
                accepted, _ = server.accept()
                client.sendall(b"x" * 50_000)
                while len(accepted.recv(1 << 20)) == 0:
                    pass
                accepted.close()
            target = socket.inet_pton(socket.AF_INET6, address)
            classes = set()
            while True:
                try:
                    packet = wire.recv(1 << 16)
                except TimeoutError:
                    break
                if packet[24:40] == target and packet[6] == socket.IPPROTO_TCP:
                    classes.add(struct.unpack(">H", packet[:2])[0] >> 4 & 0xFF)
    assert {each >> 2 for each in classes} == {46}


def sent_to(wire: socket.socket, address: str) -> list[int]:
    """The TOS bytes of all TCP packets to `address` that have arrived."""
    found, target = [], socket.inet_aton(address)
    while True:
        try:
            packet = wire.recv(1 << 16)
        except TimeoutError:
            return found
        if packet[16:20] == target and packet[9] == socket.IPPROTO_TCP:
            found.append(packet[1])
