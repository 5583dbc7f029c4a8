"""Errors as answers: RFC 9457 `application/problem+json` with the codes and hints of docs/errors.md, or a page.

The body holds what a command would have said, and never a traceback.
"""

from __future__ import annotations

import logging
import traceback
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import msgspec
from litestar import MediaType, Request, Response
from litestar.exceptions import HTTPException

from holdfast.errors import (
    ArchivedError,
    ConflictError,
    CredentialError,
    DamageError,
    FailedError,
    HoldfastError,
    MissingExtraError,
    NotFoundError,
    ObjectiveMissedError,
    PermissionDeniedError,
    RefusedError,
    StorageFullError,
    StoreUnreachableError,
    UsageError,
)

__all__ = [
    "Problem",
    "TooManyError",
    "UnidentifiedError",
    "MISMATCHED",
    "answer_error",
    "is_for_a_browser",
    "problem_of",
]

_LOG: Final = logging.getLogger("holdfast.web")
_TYPES: Final = "urn:holdfast:error:"
_RETRY_S: Final = 5
MISMATCHED: Final = "mismatched"


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`type`, `title`, `status`, `detail`, `instance` as RFC 9457 has them. `code`, `hint`, `retry`, `exit_code` as a
    command tells them; `request`: the id of the request, as it stands in the server's log.
    """

    type: str
    title: str
    status: int
    detail: str
    instance: str = ""
    code: str = "failed"
    hint: str = ""
    object: str = ""
    retry: bool = False
    exit_code: int = 1
    request: str = ""


class UnidentifiedError(CredentialError):
    """Nobody is identified: not by what was sent, or nothing was."""

    code = "unidentified"
    default_hint = "send `Authorization: Bearer` with a token or an API key, or sign in"


class SlowError(UsageError):
    """The request took too long to arrive."""

    code = "too-slow"


class TooManyError(ConflictError):
    """More of it than one address may send."""

    code = "too-many"

    def __init__(self, message: str, *, seconds: float) -> None:
        super().__init__(message, hint=f"try again in {max(1, round(seconds))} s")
        self.seconds = seconds


# The first that fits. What a rule refuses is in the way of the thing as it is: 409, as for a lost race.
_STATUS: Final[tuple[tuple[type[HoldfastError], int], ...]] = (
    (TooManyError, 429),
    (SlowError, 408),
    (UnidentifiedError, 401),
    (PermissionDeniedError, 403),
    (CredentialError, 403),
    (NotFoundError, 404),
    (UsageError, 400),
    (ConflictError, 409),
    (RefusedError, 409),
    (ArchivedError, 409),
    (ObjectiveMissedError, 409),
    (StoreUnreachableError, 503),
    (MissingExtraError, 501),
    (StorageFullError, 507),
    (DamageError, 500),
    (FailedError, 500),
)


def status_of(error: HoldfastError) -> int:
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 500)


def problem_of(error: BaseException, request: str = "", instance: str = "") -> Problem:
    """Of any error. What was not meant to happen shows its kind and nothing of its text, which may hold anything."""
    if isinstance(error, HoldfastError):
        status = status_of(error)
        return Problem(
            type=_TYPES + error.code,
            title=HTTPStatus(status).phrase,
            status=status,
            detail=error.message,
            instance=instance,
            code=error.code,
            hint=error.hint,
            object=error.object_name,
            retry=error.retry,
            exit_code=error.exit_code,
            request=request,
        )
    if isinstance(error, HTTPException):
        return _of_http(error, request, instance)
    return Problem(
        type=_TYPES + "unexpected",
        title=HTTPStatus(500).phrase,
        status=500,
        detail=f"unexpected {type(error).__name__}: this is a fault in holdfast",
        instance=instance,
        code="unexpected",
        hint="the server's log has more of it, under the id of the request",
        request=request,
    )


_CODES = {400: "usage", 401: "unidentified", 403: "permission-denied", 404: "not-found", 405: "method"}
_CODES |= {412: "changed", 413: "too-large", 415: "media-type", 422: MISMATCHED, 428: "precondition", 429: "too-many"}


def _of_http(error: HTTPException, request: str, instance: str) -> Problem:
    status = error.status_code
    phrase = HTTPStatus(status).phrase if status in HTTPStatus._value2member_map_ else "error"
    detail = _said(error) if status < 500 else phrase
    code = _CODES.get(status, "failed")
    exits = {404: 3, 401: 7, 403: 7, 409: 5}.get(status, 2 if status < 500 else 1)
    return Problem(
        type=_TYPES + code,
        title=phrase,
        status=status,
        detail=detail,
        instance=instance,
        code=code,
        exit_code=exits,
        request=request,
    )


def _said(error: HTTPException) -> str:
    """Which part of the request is wrong, as far as the framework says it."""
    parts = []
    for one in error.extra if isinstance(error.extra, list) else []:
        if isinstance(one, dict):
            where = str(one.get("key") or one.get("source") or "")
            parts.append(f"{where}: {one.get('message', '')}" if where else str(one.get("message", "")))
    detail = (error.detail or HTTPStatus(error.status_code).phrase).split("\n")[0]
    text = "; ".join([part for part in parts if part]) or detail
    return "".join(one for one in text[:500] if one.isprintable())


def answer_error(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
    """The one handler of exceptions."""
    state = request.scope.get("state", {})
    if isinstance(error, RecursionError) and request.method != "GET":
        error = UsageError("the body is nested too deeply")
    told = problem_of(error, str(state.get("request_id", "")), request.scope.get("path", ""))
    if told.status >= 500:
        _LOG.error("%s", told.detail, extra={"facts": {"code": told.code, "place": _place(error)}})
    headers: dict[str, str] = {}
    if told.status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="holdfast"'
    if isinstance(error, TooManyError):
        headers["Retry-After"] = str(max(1, round(error.seconds)))
    elif told.status == 503:
        headers["Retry-After"] = str(_RETRY_S)
    if isinstance(error, HTTPException) and error.status_code == 405 and error.headers:
        headers |= {name: value for name, value in error.headers.items() if name.lower() == "allow"}
    if is_for_a_browser(request):
        page = _page(request, told)
        if page is not None:
            page.headers.update(headers)
            return page
    return Response(
        msgspec.json.encode(told), status_code=told.status, media_type="application/problem+json", headers=headers
    )


def is_for_a_browser(request: Request[Any, Any, Any]) -> bool:
    """Whether somebody looks at it: not a program, and not at the JSON twin of a page."""
    path = request.scope.get("path", "")
    wants_page = MediaType.HTML.value in request.headers.get("accept", "")
    return wants_page and not path.startswith(("/api/", "/metrics", "/health")) and not path.endswith(".json")


def _page(request: Request[Any, Any, Any], told: Problem) -> Response[Any] | None:
    from litestar.response import Redirect

    from holdfast.web.security.redirects import after_login

    if told.status == 401 and request.method == "GET":
        return Redirect(f"/login?next={after_login(request)}", status_code=303)
    try:
        from holdfast.web.pages.errors import error_page
    except ImportError:
        return None
    return error_page(request, told.status, told.code, told.detail, told.hint)


def _place(error: BaseException) -> list[str]:
    """Where it happened, in our own code: file and line, without any text of the error."""
    package = Path(__file__).parent.parent
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if Path(frame.filename).is_relative_to(package)]
    return [f"{Path(frame.filename).relative_to(package)}:{frame.lineno}" for frame in ours[-6:]]
