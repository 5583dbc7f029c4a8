"""Requests to the JSON API of Google Cloud Storage: tokens, attempts, errors.

Tokens: `GOOGLE_BEARER_TOKEN`, or google-auth (the extra `gcp`) with the usual places of credentials.
"""

from __future__ import annotations

import json
import os
import ssl
import threading
from collections.abc import Mapping
from http.client import HTTPException
from typing import Any, NamedTuple, NoReturn
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import HTTPSHandler, OpenerDirector, Request, build_opener

import msgspec

from holdfast.errors import (
    FailedError,
    MissingExtraError,
    ObjectNotFoundError,
    PermissionDeniedError,
    StoreUnreachableError,
)

__all__ = ["GcsAnswer", "GcsRequests", "reason_in"]

_ENDPOINT = "https://storage.googleapis.com"
_SCOPE = "https://www.googleapis.com/auth/devstorage.full_control"  # setting retention needs more than read_write
_SECONDS = 30
_ATTEMPTS = 4


class GcsAnswer(NamedTuple):
    """The body of an answer, and its `Date`."""

    body: bytes
    date: str


class GcsRequests:
    """Requests about one bucket; `path` is what follows `/storage/v1/b/<bucket>`. Safe for several threads."""

    def __init__(self, bucket: str, quoted: str, options: Mapping[str, str]) -> None:
        base = options.get("endpoint") or os.environ.get("GOOGLE_BASE_URL") or _ENDPOINT
        self._bucket = bucket
        self._base = f"{base.rstrip('/')}/storage/v1/b/{quoted}"
        self._opener = _opener(options)
        self._tokens = _Tokens(options)

    def send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: Mapping[str, Any] | None = None,
        *,
        what: str,
        key: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> GcsAnswer:
        """One request. All that are made are idempotent, so each may be sent again. Raises what the store raises."""
        sent = {"Content-Type": "application/json", **self._tokens.header(), **(headers or {})}
        data = json.dumps(body).encode() if body is not None else None
        url = f"{self._base}{path}" + (f"?{urlencode(query)}" if query else "")
        for left in reversed(range(_ATTEMPTS)):
            request = Request(url, data, sent, method=method)  # noqa: S310 - https, or what the options allow
            try:
                with self._opener.open(request, timeout=_SECONDS) as answer:
                    return GcsAnswer(answer.read(), answer.headers.get("Date", ""))
            except HTTPError as error:
                with error:
                    if left and error.code in (408, 429, 500, 502, 503, 504):
                        continue
                    _raise_answered(error, f"{what} in {self._bucket}", key)
            except (OSError, HTTPException) as error:
                if not left:
                    name = type(error).__name__
                    raise StoreUnreachableError(
                        f"cannot {what} in {self._bucket}: no answer ({name})", object_name=key
                    ) from error
        raise AssertionError("the last attempt returns or raises")


class _Tokens:
    """Bearer tokens, renewed as google-auth says."""

    def __init__(self, options: Mapping[str, str]) -> None:
        self._options = options
        self._credentials: Any = None
        self._lock = threading.Lock()

    def header(self) -> dict[str, str]:
        if self._options.get("skip_signature", "").lower() in ("1", "true"):
            return {}
        token = os.environ.get("GOOGLE_BEARER_TOKEN")
        if not token:
            with self._lock:
                token = self._fresh()
        return {"Authorization": f"Bearer {token}"}

    def _fresh(self) -> str:
        try:
            import google.auth as google_auth
            from google.auth.exceptions import GoogleAuthError
            from google.auth.transport.requests import Request as AuthRequest
        except ImportError as error:
            raise MissingExtraError(
                "locks on Google Cloud Storage need google-auth, which is not installed",
                hint="pip install 'holdfast[gcp]', or set GOOGLE_BEARER_TOKEN",
            ) from error
        auth: Any = google_auth  # partly typed
        try:
            if self._credentials is None:
                named = self._options.get("service_account") or self._options.get("application_credentials")
                self._credentials, _ = (
                    auth.load_credentials_from_file(named, scopes=[_SCOPE]) if named else auth.default(scopes=[_SCOPE])
                )
            if not self._credentials.valid:
                self._credentials.refresh(AuthRequest())
        except (GoogleAuthError, OSError) as error:
            raise PermissionDeniedError(
                f"no token for Google Cloud Storage could be had ({type(error).__name__})",
                hint="set GOOGLE_APPLICATION_CREDENTIALS, or log in with gcloud",
            ) from error
        return str(self._credentials.token)


def _opener(options: Mapping[str, str]) -> OpenerDirector:
    context = ssl.create_default_context(cafile=options.get("root_certificate") or None)
    return build_opener(HTTPSHandler(context=context))


class _Reason(msgspec.Struct):
    reason: str = ""


class _Error(msgspec.Struct):
    errors: list[_Reason] = []


class _Refusal(msgspec.Struct):
    error: _Error


def reason_in(body: bytes) -> str:
    """The first reason that the document of an error gives, in a few printable characters; empty for none."""
    try:
        found = msgspec.json.decode(body, type=_Refusal)
    except (msgspec.DecodeError, msgspec.ValidationError, RecursionError, UnicodeDecodeError):
        return ""
    reasons = [one.reason for one in found.error.errors if one.reason.isprintable()]
    return reasons[0][:60] if reasons else ""


def _raise_answered(error: HTTPError, what: str, key: str) -> NoReturn:
    try:
        said = reason_in(error.read(65_536))
    except (OSError, HTTPException):
        said = ""
    message = f"cannot {what}: the store answered {error.code} {said}".rstrip()
    if error.code == 404:
        raise ObjectNotFoundError(f"cannot {what}: it is not there", object_name=key) from error
    if error.code in (401, 403):
        hint = "the credentials may not do that, or a lock forbids it; see docs/immutability.md for what is needed"
        raise PermissionDeniedError(message, hint=hint, object_name=key) from error
    if error.code in (408, 429) or error.code >= 500:
        raise StoreUnreachableError(message, object_name=key) from error
    raise FailedError(message, hint="does the bucket have object retention?", object_name=key) from error
