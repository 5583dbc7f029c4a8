"""Stores whose connections go over a line.

HTTPS goes through the line's proxy: the tunnel is for the real name, so certificates are checked as ever, and the line
sees ciphertext. Plain HTTP goes to a port of this machine that stands for the endpoint; the request names that port as
its host, and S3 signs it so, which servers that check a signature against the host they were asked for accept.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Protocol
from urllib.parse import urlsplit

from holdfast.clock import Clock
from holdfast.errors import UsageError
from holdfast.stores.lines.shaper import Shaper
from holdfast.stores.opening import open_store
from holdfast.stores.protocol import Store
from holdfast.stores.throttled import ThrottledStore
from holdfast.stores.urls import CLOUDS, StoreUrl, parse_store_url

__all__ = ["Router", "open_routed"]

# These hand out credentials on this machine or in its rack; obstore asks them with the same client.
_NOT_OVER_THE_LINE = (
    *("localhost", "127.0.0.1", "169.254.169.254", "169.254.170.2", "169.254.170.23"),
    "metadata.google.internal",
)
# obstore counts the time that it takes to send a request, too: 8 MiB in 30 s, with 64 of them side by side, would need
# 17 MiB/s. That an endpoint is dead or says nothing the line finds out by itself.
_READ_TIMEOUT = "10m"
_YES = ("1", "true", "on", "yes", "y")


class Router(Protocol):
    """What opening a store needs of a line."""

    up: Shaper
    down: Shaper

    def proxy_url(self, priority: int) -> str: ...

    def forward(self, endpoints: Sequence[str], priority: int) -> str: ...

    def spread(self, endpoint: str, alternatives: Sequence[str]) -> None: ...


def open_routed(
    line: Router,
    url: str,
    options: Mapping[str, str],
    credentials: Mapping[str, str],
    priority: int,
    endpoints: Sequence[str],
    clock: Clock,
) -> Store:
    """See `Line.open_store`. Without a second try: that is for whoever knows all ways."""
    parsed = parse_store_url(url)
    if parsed.kind in CLOUDS:
        return _open_cloud(line, parsed, options, credentials, priority, endpoints)
    if endpoints:
        raise UsageError("only a cloud's store has endpoints", hint="remove them")
    store = open_store(url, options=options, credentials=credentials, clock=clock)
    return ThrottledStore(store, clock=clock, shapers=(line.up, line.down), priority=priority)


def _open_cloud(
    line: Router,
    parsed: StoreUrl,
    options: Mapping[str, str],
    credentials: Mapping[str, str],
    priority: int,
    endpoints: Sequence[str],
) -> Store:
    # obstore takes 20 ms and much memory to load: only those who use a cloud pay for it.
    from holdfast.stores.cloud import connect
    from holdfast.stores.cloud_options import CloudSettings, endpoint_of, with_endpoint

    scheme = parsed.kind
    endpoint = endpoint_of(scheme, options, os.environ)

    def over_the_line(settings: CloudSettings) -> CloudSettings:
        # The forwarder's own port is among the exceptions; what an option or the environment says of proxies does not
        # count here.
        own = urlsplit(endpoint).hostname if endpoint.startswith("https://") else ""
        direct = ",".join(host for host in _NOT_OVER_THE_LINE if host != own)
        waits = {} if "read_timeout" in options else {"read_timeout": _READ_TIMEOUT}
        proxy = waits | {"proxy_url": line.proxy_url(priority), "proxy_excludes": direct}
        settings = settings._replace(client={**settings.client, **proxy})
        if not endpoint.startswith("http://"):
            return settings
        stand_in = line.forward([endpoint, *endpoints], priority) + urlsplit(endpoint).path
        return with_endpoint(scheme, settings._replace(client={**settings.client, "allow_http": "true"}), stand_in)

    if endpoint.startswith("http://"):
        if options.get("virtual_hosted_style_request", "").lower() in _YES:
            raise UsageError("over a line, a bucket cannot be part of a host's name without TLS", hint="use https://")
    elif endpoints:
        if not endpoint:
            raise UsageError("more endpoints need a first one", hint="set the option endpoint")
        line.spread(endpoint, endpoints)
    return connect(scheme, parsed.place, parsed.prefix, options, credentials, route=over_the_line)
