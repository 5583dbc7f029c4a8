"""Requests that happen once, however often they are sent: the header Idempotency-Key.

The key belongs to the person and the address. What was answered is kept for a day and answered again; the same key with
another body is refused (422). While one server does it, it and all others that share its file say so (409). A request
whose server died in the middle is done again, by what its verb had noted (`Memo`). An error is not kept: nothing was
done, and the same key may be used again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, Final

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException

from holdfast.clock import NANOSECONDS
from holdfast.control.service.kept import Answer
from holdfast.control.service.operations import Memo
from holdfast.errors import UsageError
from holdfast.web.security.callers import caller_of

__all__ = ["once"]

_HEADER: Final = "idempotency-key"
_KEY_MAX: Final = 200


def once(
    request: Request[Any, Any, Any], asked: bytes, act: Callable[[Memo, str], tuple[int, bytes]]
) -> Response[bytes]:
    """`asked`: what the request says, canonically. `act(memo, key)`: do it; status and JSON."""
    given = request.headers.get(_HEADER)
    if given is None:
        return _answer(*act(Memo(), ""))
    if not 0 < len(given) <= _KEY_MAX or not given.isprintable():
        raise UsageError(f"Idempotency-Key is a text of 1 to {_KEY_MAX} characters")
    kept, service, settings = request.app.state.kept, request.app.state.service, request.app.state.settings
    person = caller_of(request).principal.person
    name = "\0".join((person, request.method, request.scope["path"], given))
    key, body = hashlib.sha256(name.encode()).digest(), hashlib.sha256(asked).digest()
    now = service.clock.now_ns()
    begun = kept.begin_answer(key, body, now, forget_before=now - int(settings.answers_s * NANOSECONDS))
    if isinstance(begun, Answer):
        if begun.body != body:
            raise HTTPException(status_code=422, detail="this Idempotency-Key was used for another request")
        return _answer(begun.status or 200, begun.content or b"null", again=True)
    memo = Memo(begun.memo, lambda data: kept.note_memo(begun, data))
    done = False
    try:
        status, content = act(memo, key.hex()[:40])
        done = True
        kept.end_answer(begun, status, msgspec.json.encode({}), content)
        return _answer(status, content)
    finally:  # what was noted is gone on with when the request comes again; without a note nothing was done
        kept.release(begun, forget=memo.kept is None and not done)


def _answer(status: int, content: bytes, *, again: bool = False) -> Response[bytes]:
    headers = {"Idempotent-Replayed": "true"} if again else {}
    return Response(content, status_code=status, media_type="application/json", headers=headers)
