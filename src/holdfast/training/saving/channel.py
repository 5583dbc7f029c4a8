"""A line between two processes: messages, each with its length before it, and now and then a file descriptor."""

from __future__ import annotations

import socket
import threading
from typing import Generic, TypeVar

import msgspec

from holdfast.errors import DamageError

__all__ = ["Channel"]

_LENGTH_BYTES = 4
_MESSAGE_BYTES_MAX = 64 << 20
_Incoming = TypeVar("_Incoming")


class Channel(Generic[_Incoming]):
    """One end. Sending is safe for several threads, receiving for one."""

    def __init__(self, end: socket.socket, decoder: msgspec.msgpack.Decoder[_Incoming]) -> None:
        self._end = end
        self._decoder = decoder
        self._sending = threading.Lock()
        self._received = bytearray()
        self._descriptors: list[int] = []

    def send(self, message: msgspec.Struct, descriptor: int | None = None) -> bool:
        """Whether it could be sent: False when the other side is gone."""
        body = msgspec.msgpack.encode(message)
        framed = len(body).to_bytes(_LENGTH_BYTES, "big") + body
        try:
            with self._sending:
                if descriptor is not None:  # it arrives with the first byte
                    sent = socket.send_fds(self._end, [framed], [descriptor])
                    framed = framed[sent:]
                self._end.sendall(framed)
        except OSError:
            return False
        return True

    def receive(self) -> _Incoming | None:
        """The next message; None when the other side is gone. Raises DamageError for what is no message."""
        while True:
            length = int.from_bytes(self._received[:_LENGTH_BYTES], "big")
            if length > _MESSAGE_BYTES_MAX:
                raise DamageError(f"a message between training and the saving process claims {length} bytes")
            end = _LENGTH_BYTES + length
            if len(self._received) >= max(end, _LENGTH_BYTES + 1):
                body = bytes(self._received[_LENGTH_BYTES:end])
                del self._received[:end]
                try:
                    return self._decoder.decode(body)
                except (msgspec.DecodeError, UnicodeDecodeError) as error:
                    raise DamageError("a message between training and the saving process is malformed") from error
            try:
                data, descriptors, _, _ = socket.recv_fds(self._end, 1 << 16, 4)
            except OSError:
                return None
            self._descriptors += descriptors
            if not data:
                return None
            self._received += data

    def descriptor(self) -> int | None:
        """The file descriptor that came with the last message; None when none did."""
        return self._descriptors.pop(0) if self._descriptors else None

    def close(self) -> None:
        self._end.close()
