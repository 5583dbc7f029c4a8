"""Signed messages between programs: HMAC-SHA256 of a timestamp and the body. Pure.

The header `Holdfast-Signature` is `t=<seconds since the epoch>,v1=<64 hex digits>`, where the digits are the
HMAC-SHA256, with the shared secret, of `<t>.<body>` (RFC 2104; the form is the one of Stripe's webhooks). A receiver
computes it again, compares in constant time, and refuses what is older than a few minutes, so that nothing is played
back later. What it has seen already it knows by the header `Idempotency-Key`.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import Final

__all__ = ["HEADER", "KEY_HEADER", "signature_of", "signature_problem"]

HEADER: Final = "Holdfast-Signature"
KEY_HEADER: Final = "Idempotency-Key"
_FORM: Final = re.compile(r"t=([0-9]{1,12}),v1=([0-9a-f]{64})")
_TOLERANCE_SECONDS: Final = 300


def signature_of(secret: bytes, body: bytes, at: int) -> str:
    """The value of the header. `at`: seconds since the epoch."""
    return f"t={at},v1={_digits(secret, body, at)}"


def signature_problem(
    value: str, secret: bytes, body: bytes, now: int, tolerance: int = _TOLERANCE_SECONDS
) -> str | None:
    """Why a header does not vouch for a body; None: it does. `now`: seconds since the epoch."""
    match = _FORM.fullmatch(value)
    if match is None:
        return "it has no signature of the form t=…,v1=…"
    at = int(match[1])
    if not hmac.compare_digest(match[2], _digits(secret, body, at)):
        return "its signature is not one of this secret"
    return None if abs(now - at) <= tolerance else "it is too old, or of the future"


def _digits(secret: bytes, body: bytes, at: int) -> str:
    return hmac.new(secret, f"{at}.".encode() + body, hashlib.sha256).hexdigest()
