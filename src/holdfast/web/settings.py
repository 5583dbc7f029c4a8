"""How one server is run: where it listens, by which names it is asked, how long a session lasts."""

from __future__ import annotations

import msgspec

__all__ = ["ServerSettings", "is_loopback"]


class ServerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`hosts`: what the header Host may say, in small letters, with the port where one is said. `secure`: whether it is
    reached over TLS, its own or a proxy's. Times are seconds, sizes bytes.

    `tries`: how many wrong credentials one address may show in a minute. `requests`: how many requests per second one
    address may send, and as many at once as in ten seconds of that. `standing_s`: how often it is asked anew whether
    who watches events still may.
    """

    hosts: tuple[str, ...] = ("127.0.0.1:8440", "localhost:8440", "[::1]:8440", "testserver.local")
    secure: bool = False
    body_max: int = 1 << 20
    session_longest_s: float = 8 * 3600.0
    session_idle_s: float = 1800.0
    device_s: float = 600.0
    device_token_s: float = 8 * 3600.0
    answers_s: float = 24 * 3600.0
    tries: int = 10
    requests: float = 1000.0
    standing_s: float = 10.0
    viewers_max: int = 1000
    heartbeat_s: float = 15.0
    poll_s: float = 1.0

    @property
    def cookie(self) -> str:
        """Browsers take the name with `__Host-` from nobody but this host, over TLS, for all of its paths."""
        return "__Host-holdfast" if self.secure else "holdfast"


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches that address."""
    import ipaddress

    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
