"""One POST: no redirects, within its time, TLS checked; nothing that it raises or returns holds a secret."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from holdfast.notifying.model import Outcome
from holdfast.outgoing import is_loopback, posted

__all__ = ["outcome_of", "post"]

_TIMEOUT_S: Final = 10.0


def post(
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    *,
    good: tuple[int, ...] = (200, 201, 202, 204),
    timeout_s: float = _TIMEOUT_S,
    ca: str = "",
    plain: bool = False,
) -> Outcome:
    """`good`: statuses that mean that it arrived. `plain`: `http` is good enough off this machine, too."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        return Outcome(False, "its address cannot be read", again=False)
    if parts.scheme not in ("http", "https") or not host:
        return Outcome(False, "its address is none of the web", again=False)
    if parts.scheme == "http" and not plain and not is_loopback(host):
        return Outcome(False, "its address is not https, and it is another machine's", again=False)
    try:
        context = _context(ca) if parts.scheme == "https" else None
    except (OSError, ssl.SSLError) as error:
        return Outcome(False, f"its certificates cannot be read ({type(error).__name__})", again=False)
    try:
        answer = posted(url, body, headers, timeout_s, context)
        return outcome_of(answer.status, answer.retry_after, good)
    except (OSError, http.client.HTTPException, ValueError, UnicodeError, AttributeError) as error:
        return Outcome(False, f"{host} does not answer ({_why(error)})")


def outcome_of(status: int, retry_after: str, good: tuple[int, ...]) -> Outcome:
    """Of too many requests and of trouble of the server another attempt can help; of all else not before it is changed,
    and it is tried again all the same, seldom.
    """
    if status in good:
        return Outcome(True)
    seconds = float(retry_after) if retry_after.isascii() and retry_after.isdigit() else 0.0
    again = status in (408, 425, 429) or status >= 500
    return Outcome(False, f"it answered {status}", again=again, after_s=min(seconds, 3600.0))


def _context(ca: str) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if ca:
        context.load_verify_locations(cafile=ca)
    return context


def _why(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "not in time"
    if isinstance(error, ssl.SSLCertVerificationError):
        return "its certificate is not trusted"
    return (error.strerror if isinstance(error, OSError) else "") or type(error).__name__
