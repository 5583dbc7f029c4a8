"""What a browser sends without its user having meant it: requests that another site made it send.

A session's cookie goes only with requests of the same site (SameSite=Strict). Besides, whatever changes something has
to say that it comes from this server's own pages (Sec-Fetch-Site, Origin), and carry the session's token, which no
other site can read.
"""

from __future__ import annotations

import hmac
from typing import Any, Final

from litestar import Request

from holdfast.errors import PermissionDeniedError
from holdfast.web.security.callers import Caller

__all__ = ["SAFE", "require_own_pages", "require_token"]

SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_FORMS: Final = ("application/x-www-form-urlencoded", "multipart/form-data")
_HINT: Final = "go back, load the page again, and press the button once more"


def require_own_pages(request: Request[Any, Any, Any]) -> None:
    """Raises PermissionDeniedError unless the request says that it comes from this server's own pages."""
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site is not None and site != "same-origin":
        raise PermissionDeniedError("this request comes from another site's page", hint=_HINT)
    if origin is None and site is None:
        raise PermissionDeniedError("this request does not say which page it comes from", hint=_HINT)
    if origin is not None:
        secure = request.app.state.settings.secure
        own = f"{'https' if secure else 'http'}://{request.headers.get('host', '').lower()}"
        if origin.lower() != own:
            raise PermissionDeniedError("this request comes from another site's page", hint=_HINT)


async def require_token(request: Request[Any, Any, Any], caller: Caller) -> None:
    """Raises PermissionDeniedError unless the session's token is in the form, or in the header X-CSRF-Token."""
    given = request.headers.get("x-csrf-token", "")
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if not given and kind in _FORMS:
        form = await request.form()
        found = form.get("_csrf")
        given = found if isinstance(found, str) else ""
    if not caller.csrf or not hmac.compare_digest(given.encode(), caller.csrf.encode()):
        raise PermissionDeniedError("the form's token is missing or of another session", hint=_HINT)
