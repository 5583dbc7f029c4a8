"""JSON over HTTPS with a bearer token, for the clouds whose key service is reached without their SDK for it.

Only https is spoken, and http to this machine itself; redirects are not followed: the token is for one host.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable
from http.client import HTTPException
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from holdfast.errors import (
    FailedError,
    HoldfastError,
    NotFoundError,
    PermissionDeniedError,
    StoreUnreachableError,
    UsageError,
    WrongKeyError,
)
from holdfast.outgoing import NoRedirects
from holdfast.trust.kms.deadline import within
from holdfast.trust.kms.port import CALL_SECONDS, READ_SECONDS, KeyUri

__all__ = ["Token", "RestKey"]

Token: TypeAlias = Callable[[], str]
"""Gives a bearer token that is valid now. Raises HoldfastError."""

_ANSWER_MAX = 64 << 10
_ATTEMPTS = 2


class RestKey:
    """Calls for one key. `endpoint` is the address before the path."""

    def __init__(self, uri: KeyUri, cloud: str, endpoint: str, token: Token) -> None:
        """Raises UsageError for an endpoint that would show the token to whoever listens."""
        parts = urlsplit(endpoint)
        if parts.scheme != "https" and (parts.scheme, parts.hostname) != ("http", "127.0.0.1"):
            raise UsageError(f"the key service of {uri.text} is only spoken to over https")
        self._uri, self._cloud, self._endpoint, self._token = uri, cloud, endpoint.rstrip("/"), token
        # Proxies of the environment count, as they do for everything else that leaves the machine.
        self._opener = urllib.request.build_opener(NoRedirects())

    def post(self, path: str, body: dict[str, Any], what: str) -> dict[str, Any]:
        """The answer to one call; `what` is for messages. A busy or broken service is asked once more.

        Raises WrongKeyError (400: it does not unwrap this), PermissionDeniedError (401, 403), NotFoundError,
        StoreUnreachableError, FailedError. No cause is chained: it would hold the request.
        """
        try:
            return within(CALL_SECONDS, lambda: self._patiently(path, body, what))
        except TimeoutError:
            name = self._uri.text
            raise StoreUnreachableError(f"{self._cloud} does not answer for {name} in time", object_name=name) from None

    def _patiently(self, path: str, body: dict[str, Any], what: str) -> dict[str, Any]:
        failure: HoldfastError | None = None
        for _ in range(_ATTEMPTS):
            try:
                return self._once(path, body, what)
            except StoreUnreachableError as error:
                failure = error
        assert failure is not None
        raise failure

    def _once(self, path: str, body: dict[str, Any], what: str) -> dict[str, Any]:
        request = urllib.request.Request(  # noqa: S310 - the scheme was checked
            f"{self._endpoint}{path}",
            data=json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self._token()}", "Content-Type": "application/json"},
            method="POST",
        )
        name = self._uri.text
        try:
            with self._opener.open(request, timeout=READ_SECONDS) as answer:
                text = answer.read(_ANSWER_MAX)
        except urllib.error.HTTPError as error:
            status = error.code
            error.close()
            raise self._refused(status, what) from None
        except (OSError, HTTPException, ValueError) as error:  # ValueError: it names an address that is none
            raise StoreUnreachableError(
                f"{self._cloud} does not answer for {name} ({type(error).__name__})", object_name=name
            ) from None
        try:
            decoded = json.loads(text)
        except (ValueError, RecursionError):
            decoded = None
        if not isinstance(decoded, dict):
            raise FailedError(f"{self._cloud} gave no sensible answer for {name}", object_name=name)
        return decoded

    def _refused(self, status: int, what: str) -> HoldfastError:
        name = self._uri.text
        if status in (401, 403):
            return PermissionDeniedError(
                f"{self._cloud} refuses to {what} with {name} (status {status})",
                hint="allow it for this identity, or use other credentials",
                object_name=name,
            )
        if status == 404:
            return NotFoundError(f"there is no key {name}", hint="check its name and region", object_name=name)
        if status == 400 and what == "unwrap":
            return WrongKeyError(f"{name} does not unwrap this: it is of another key, vault or epoch", object_name=name)
        if status in (408, 429) or status >= 500:
            return StoreUnreachableError(f"{self._cloud} is busy or down (status {status}) for {name}")
        return FailedError(f"{self._cloud} does not {what} with {name} (status {status})", object_name=name)
