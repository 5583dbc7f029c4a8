"""Traffic for tests of lines: ends that receive or send without end, and who saturates them."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

from holdfast.stores.lines.line import Line
from holdfast.stores.protocol import Store

MIB = 1 << 20


class Sink:
    """Listens on the loopback interface; counts what it receives, or sends without end when asked with `down`."""

    def __init__(self, *, down: bool = False) -> None:
        self.received = 0
        self._down = down
        self._lock = threading.Lock()
        self._server = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.endpoint = f"http://127.0.0.1:{self._server.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            threading.Thread(
                target=self._send if self._down else self._receive, args=(connection,), daemon=True
            ).start()

    def _receive(self, connection: socket.socket) -> None:
        with connection:
            while True:
                try:
                    count = len(connection.recv(MIB))
                except OSError:
                    return
                if not count:
                    return
                with self._lock:
                    self.received += count

    def _send(self, connection: socket.socket) -> None:
        with connection:
            try:
                while True:
                    connection.sendall(bytes(MIB))
            except OSError:
                return


@contextmanager
def saturating(
    line: Line, endpoint: str, connections: int, priority: int, *, down: bool = False
) -> Iterator[list[int]]:
    """Meanwhile so many connections over the line send (or receive) all they can; the bytes of each."""
    host = urlsplit(line.forward([endpoint], priority))
    counts = [0] * connections
    clients = [socket.create_connection((host.hostname, host.port), timeout=30) for _ in range(connections)]
    ended = threading.Event()

    def work(number: int) -> None:
        block = bytes(256 << 10)
        try:
            while not ended.is_set():
                counts[number] += len(clients[number].recv(MIB)) if down else clients[number].send(block)
        except OSError:
            return

    threads = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(connections)]
    for thread in threads:
        thread.start()
    try:
        yield counts
    finally:
        ended.set()
        for client in clients:
            with suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
            client.close()
        for thread in threads:
            thread.join(5)


def over(count: Callable[[], int], seconds: float) -> float:
    """Bytes per second."""
    begun, before = time.monotonic(), count()
    time.sleep(seconds)
    return (count() - before) / (time.monotonic() - begun)


def brief(line: Line, url: str, options: dict[str, str]) -> Store:
    """A store that does not try again for long."""
    from holdfast.stores.retrying import RetryingStore, RetryPolicy

    store = line.open_store(url, options=options)
    assert isinstance(store, RetryingStore)
    store._policy = RetryPolicy(attempts_max=1)
    return store
