"""One connection: two streams of bytes between a client on this machine and the far end, each at its pace."""

from __future__ import annotations

import asyncio
import errno
import socket
from contextlib import suppress

from holdfast.clock import Clock
from holdfast.stores.lines.pacing import Pacer
from holdfast.stores.lines.routes import RouteState
from holdfast.stores.lines.sockets import abort, tcp_info
from holdfast.stores.lines.tls_version import ServerHello, TlsVersion

__all__ = ["CutOff", "Tunnel", "UpstreamLost"]

_BUFFER_BYTES_MIN = 16 << 10  # grows to a slice when it is filled
_PAUSE_S = 0.5  # a longer wait for bytes was no part of a transfer
_LAST_WORDS_S = 10.0
_GONE = (errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.ENETUNREACH)  # and not only this connection
_FRESH_S = 1.0  # an end of the stream this soon after a byte came in the middle of something


class UpstreamLost(Exception):
    """The far end failed. `in_transfer`: while something was going on, or in a way that leaves no doubt."""

    def __init__(self, reason: str, in_transfer: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.in_transfer = in_transfer


class CutOff(Exception):
    """We end it ourselves."""


class Tunnel:
    """`client` and `upstream` are connected sockets that do not block; both are closed at the end."""

    def __init__(
        self,
        client: socket.socket,
        upstream: socket.socket,
        state: RouteState,
        *,
        pacers: tuple[Pacer, Pacer],
        priority: int,
        tls13: bool,
        clock: Clock,
    ) -> None:
        self.state = state
        self.priority = priority
        self._client, self._upstream = client, upstream
        self._up, self._down = pacers
        self._hello = ServerHello() if tls13 else None
        self._clock = clock
        self._heard_at = clock.monotonic()  # when the far end last sent something
        self._asked_at = 0.0  # when something was last sent to it
        self._all_said = False  # by the client
        self._held = False  # something for the far end waits for its turn
        self._pumps: set[asyncio.Task[None]] = set()

    @property
    def silent_s(self) -> float:
        """For how long the far end has owed something; 0 while it owes nothing."""
        if self._held or self._all_said or self._asked_at <= self._heard_at:  # the last word of TLS asks for nothing
            return 0.0
        return self._clock.monotonic() - self._asked_at

    def look(self) -> int:
        """Segments that were sent again to the far end so far; notes the round-trip time."""
        info = tcp_info(self._upstream)
        if info is None:
            return 0
        self.state.round_trip_s = info.round_trip_s
        return info.retransmitted

    async def carry(self, first: bytes) -> None:
        """Until both ends have said all; `first` was received from the client already.

        Raises UpstreamLost, CutOff, and OSError where the client failed; nothing is left open.
        """
        pumps = [asyncio.ensure_future(self._send(first)), asyncio.ensure_future(self._receive())]
        self._pumps = set(pumps)
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            # HTTP clients close both directions at once: whoever has nothing more to say does not listen for long.
            await asyncio.wait(pumps, return_when=asyncio.FIRST_EXCEPTION, timeout=_LAST_WORDS_S)
            for pump in pumps:
                if pump.done() and not pump.cancelled():
                    pump.result()
        except asyncio.CancelledError:
            await self._end(pumps)
            self._close(orderly=not self.silent_s)
            raise
        except BaseException:
            await self._end(pumps)
            self._close(orderly=False)
            raise
        orderly = all(pump.done() and not pump.cancelled() for pump in pumps)
        await self._end(pumps)
        self._close(orderly=orderly)

    def break_off(self) -> None:
        """End it, as if the line had failed."""
        for pump in self._pumps:
            pump.cancel()

    async def _end(self, pumps: list[asyncio.Task[None]]) -> None:
        for pump in pumps:
            pump.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.gather(*pumps, return_exceptions=True)

    def _close(self, *, orderly: bool) -> None:
        self.state.counts.retransmitted += self.look()
        for each in (self._client, self._upstream):
            if orderly:
                each.close()
            else:
                abort(each)

    async def _send(self, first: bytes) -> None:
        """From the client to the far end."""
        loop = asyncio.get_running_loop()
        buffer = bytearray(_BUFFER_BYTES_MIN)
        buffer[: len(first)] = first
        count = len(first)
        while True:
            if not count:
                limit = self._up.shaper.slice_bytes
                count = await loop.sock_recv_into(self._client, memoryview(buffer)[:limit])
                if not count:
                    self._all_said = True
                    with suppress(OSError):
                        self._upstream.shutdown(socket.SHUT_WR)
                    return
            self._held = True
            await self._up.acquire(count, self.priority)
            self._held = False
            self._asked_at = began = self._clock.monotonic()
            try:
                await loop.sock_sendall(self._upstream, memoryview(buffer)[:count])
            except OSError as error:
                raise UpstreamLost(error.strerror or "lost", in_transfer=True) from error
            self.state.moved(count, self._clock.monotonic() - began)
            self.state.counts.up_bytes += count
            buffer, count = _grown(buffer, count, self._up), 0

    async def _receive(self) -> None:
        """From the far end to the client."""
        loop = asyncio.get_running_loop()
        buffer = bytearray(_BUFFER_BYTES_MIN)
        while True:
            began = self._clock.monotonic()
            limit = self._down.shaper.slice_bytes
            try:
                count = await loop.sock_recv_into(self._upstream, memoryview(buffer)[:limit])
            except OSError as error:
                in_transfer = self._in_transfer() or error.errno in _GONE
                raise UpstreamLost(error.strerror or "lost", in_transfer=in_transfer) from error
            if not count:
                if self.silent_s:
                    raise UpstreamLost("the far end closed the connection instead of answering", in_transfer=True)
                with suppress(OSError):
                    self._client.shutdown(socket.SHUT_WR)
                return
            self._heard_at = self._clock.monotonic()
            if self._heard_at - began < _PAUSE_S:
                self.state.moved(count, self._heard_at - began)
            if self._hello is not None:
                self._look_at_version(memoryview(buffer)[:count])
            await self._down.acquire(count, self.priority)
            await loop.sock_sendall(self._client, memoryview(buffer)[:count])
            self.state.counts.down_bytes += count
            buffer = _grown(buffer, count, self._down)

    def _in_transfer(self) -> bool:
        return bool(self.silent_s) or self._clock.monotonic() - self._heard_at < _FRESH_S

    def _look_at_version(self, received: memoryview) -> None:
        """What comes before the verdict is the beginning of a handshake, which may pass: it is worth nothing alone."""
        found = None if self._hello is None else self._hello.feed(received)
        if found is None:
            return
        self._hello = None
        if found in (TlsVersion.OLDER, TlsVersion.NOT_TLS):
            what = "does not speak TLS" if found is TlsVersion.NOT_TLS else f"chose a TLS {found.value}"
            raise CutOff(f"{self.state.route.place} {what}")


def _grown(buffer: bytearray, count: int, pacer: Pacer) -> bytearray:
    if count < len(buffer) or len(buffer) >= pacer.shaper.slice_bytes:
        return buffer
    return bytearray(min(4 * len(buffer), pacer.shaper.slice_bytes))
