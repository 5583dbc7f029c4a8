"""The far end, or a client, as a process of its own. `python -m benchmarks.network.peer sink|source|client …`.

A sink receives and counts, a source sends without end; both print their port, and answer each line on stdin with the
bytes moved so far. A client (PORT, CONNECTIONS) sends without end. They end with their stdin.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count

BLOCK = 256 << 10


class Peer:
    """A running peer: where it is, and what it has moved."""

    def __init__(self, process: subprocess.Popen[str], port: int) -> None:
        self.port = port
        self._process = process

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def moved(self) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())


@contextmanager
def running(kind: str) -> Iterator[Peer]:
    """`kind`: sink or source."""
    command = [sys.executable, "-m", "benchmarks.network.peer", kind]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield Peer(process, int(process.stdout.readline()))
        finally:
            process.kill()


@contextmanager
def client(port: int, connections: int) -> Iterator[None]:
    """Meanwhile so many connections from another process send all they can."""
    command = [sys.executable, "-m", "benchmarks.network.peer", "client", str(port), str(connections)]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        try:
            yield
        finally:
            process.kill()


def send(port: int, connections: int) -> None:
    def work() -> None:
        buffer = bytearray(BLOCK)
        with suppress(OSError), socket.create_connection(("127.0.0.1", port)) as connection:
            while connection.send(buffer):
                pass

    for _ in range(connections):
        threading.Thread(target=work, daemon=True).start()
    sys.stdin.read()


def main(kind: str) -> None:
    moved: dict[int, int] = {}
    server = socket.create_server(("127.0.0.1", 0), backlog=64)
    print(server.getsockname()[1], flush=True)

    def serve(connection: socket.socket, number: int) -> None:
        buffer = bytearray(BLOCK)
        with connection, suppress(OSError):
            while size := connection.recv_into(buffer) if kind == "sink" else connection.send(buffer):
                moved[number] += size

    def accept() -> None:
        for number in count():
            connection, _ = server.accept()
            moved[number] = 0
            threading.Thread(target=serve, args=(connection, number), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    for _ in sys.stdin:
        print(sum(moved.values()), flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "client":
        send(int(sys.argv[2]), int(sys.argv[3]))
    else:
        main(sys.argv[1])
