"""Signed messages between programs, as Standard Webhooks 1.0.0 says (https://www.standardwebhooks.com). Pure.

Three headers: `webhook-id` is the same at each attempt to send a message, so that a receiver knows what it has already;
`webhook-timestamp` is when this attempt was made, in seconds since the epoch; `webhook-signature` has, for each key,
`v1,` and the base64 of the HMAC-SHA256 (RFC 2104) of `<id>.<timestamp>.<body>`. A receiver computes it again, compares
in constant time, and refuses what is older than a few minutes. While a key is replaced, messages are signed with both.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from typing import Final

__all__ = ["ID_HEADER", "SIGNATURE_HEADER", "TIME_HEADER"]
__all__ += ["key_of", "message_id", "signature_problem", "signed_headers"]

ID_HEADER: Final = "webhook-id"
TIME_HEADER: Final = "webhook-timestamp"
SIGNATURE_HEADER: Final = "webhook-signature"
_PREFIX: Final = "whsec_"
_ID: Final = re.compile(r"[A-Za-z0-9_:@+=/#-]{1,200}")  # no full stop: it ends the id in what is signed
_SECONDS: Final = re.compile(r"[0-9]{1,12}")
_ONE: Final = re.compile(r"v1,([A-Za-z0-9+/]{43}=)")
_TOLERANCE_S: Final = 300


def key_of(secret: str) -> bytes:
    """The bytes that sign. A secret that begins with `whsec_` is base64, as libraries for receivers have it; any other
    is taken as it is written.
    """
    if secret.startswith(_PREFIX):
        try:
            return base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
        except binascii.Error:
            pass
    return secret.encode()


def message_id(key: str) -> str:
    """What a message is called whose sender knows it by `key`: the key itself where it can be one, else its hash."""
    return key if _ID.fullmatch(key) else f"msg_{hashlib.sha256(key.encode()).hexdigest()[:40]}"


def signed_headers(keys: Sequence[bytes], message: str, body: bytes, at: int) -> dict[str, str]:
    """Of a message with that id (`message_id`). `at`: seconds since the epoch."""
    signatures = " ".join(f"v1,{_signature(key, message, str(at), body)}" for key in keys)
    return {ID_HEADER: message, TIME_HEADER: str(at), SIGNATURE_HEADER: signatures}


def signature_problem(
    headers: Mapping[str, str], keys: Sequence[bytes], body: bytes, now: int, tolerance: int = _TOLERANCE_S
) -> str | None:
    """Why these headers (names in small letters) do not vouch for a body; None: they do. `now`: seconds."""
    message, at = headers.get(ID_HEADER, ""), headers.get(TIME_HEADER, "")
    if not _ID.fullmatch(message) or not _SECONDS.fullmatch(at):
        return f"it has no {ID_HEADER} or no {TIME_HEADER} that can be one"
    said = [match[1] for one in headers.get(SIGNATURE_HEADER, "").split(" ") if (match := _ONE.fullmatch(one))]
    if not said:
        return "it has no signature of the form v1,…"
    wanted = [_signature(key, message, at, body) for key in keys]
    if not any([hmac.compare_digest(one, other) for one in said for other in wanted]):  # noqa: C419 - all are compared
        return "its signature is not one of this secret"
    return None if abs(now - int(at)) <= tolerance else "it is too old, or of the future"


def _signature(key: bytes, message: str, at: str, body: bytes) -> str:
    signed = f"{message}.{at}.".encode() + body
    return base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
