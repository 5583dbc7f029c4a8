"""Work of the kind `webhook.send`: a signed message to a receiver of holdfast.yaml, sent again while nobody has it."""

from __future__ import annotations

from typing import Final

from holdfast.clock import NANOSECONDS
from holdfast.config.references import resolve
from holdfast.config.webhooks_model import Webhook
from holdfast.control.hooks.events import Event
from holdfast.control.hooks.states import note_outcome
from holdfast.control.sites.declared import DeclaredSites
from holdfast.control.workflows import Value
from holdfast.control.working.jobs import Job
from holdfast.errors import CredentialError, FailedError, HoldfastError, NotFoundError
from holdfast.infra.calling.commands import AgainError
from holdfast.infra.calling.webhooks import post_signed
from holdfast.trust.webhook_signatures import key_of

__all__ = ["send_now", "test_event", "webhook_send"]

_SECONDS: Final = 15.0
_SECRET_MIN: Final = 24  # bytes, as Standard Webhooks has it
_NEVER: Final = (400, 410, 413, 414, 415, 422)  # this message will not be taken whenever it comes


def webhook_send(job: Job) -> dict[str, Value]:
    """`hook`: of `webhooks`; `event`: its id, the same at each attempt: a receiver that has it already leaves it at
    that; `body`: JSON; `until`: when nobody tries any more (ns).

    Raises NotFoundError, CredentialError, RefusedError (the URL), FailedError; its `retry` says whether to send again.
    """
    name, now = job.text("hook"), job.sites.clock.now_ns
    hook = _declared(job.sites, name)
    try:
        status = send_now(job.sites, hook, job.text("event"), job.text("body").encode())
    except HoldfastError as error:
        over = now() >= int(job.arguments["until"])
        again = (error.retry or isinstance(error, CredentialError)) and not over
        note_outcome(job.database, name, now(), error.message, given_up=not again)
        if again and not error.retry:  # a secret that is not there now may be there in a minute
            raise AgainError(error.message, hint=error.hint, object_name=error.object_name) from error
        if error.retry and over:
            raise FailedError(
                f"{error.message}; nobody tries any more: it happened too long ago", object_name=error.object_name
            ) from error
        raise
    note_outcome(job.database, name, now())
    return {"hook": name, "status": status}


def send_now(sites: DeclaredSites, hook: Webhook, event: str, body: bytes) -> int:
    """One attempt; the status. Raises as `post_signed`, and CredentialError."""
    secrets = [resolve(one, sites.loaded.folder, sites.environment).reveal() for one in hook.secret]
    keys = [key_of(one) for one in secrets]
    if any(one.startswith("whsec_") and key == one.encode() for one, key in zip(secrets, keys, strict=True)):
        raise CredentialError("the secret of a webhook begins with whsec_, and what follows is no base64")
    if any(len(key) < _SECRET_MIN for key in keys):
        raise CredentialError(
            f"the secret of a webhook has at least {_SECRET_MIN} bytes",
            hint='python -c "import secrets, base64; print(base64.b64encode(secrets.token_bytes(32)).decode())"',
        )
    url = hook.url
    if not isinstance(url, str):
        url = resolve(url, sites.loaded.folder, sites.environment).reveal()
    ca = str(sites.loaded.folder / hook.ca) if hook.ca else ""
    return post_signed(url, body, secrets, event, _SECONDS, again=_may_pass, ca=ca, clock=sites.clock)


def _may_pass(status: int) -> bool:
    """Also of what a receiver that was set up wrongly says (a redirect, 401, 404): people mend that."""
    return status not in _NEVER


def _declared(sites: DeclaredSites, name: str) -> Webhook:
    hook = sites.config.webhooks.get(name)
    if hook is None:
        known = ", ".join(sites.config.webhooks) or "none"
        raise NotFoundError(f"{sites.loaded.path} declares no webhook {name!r}", hint=f"it declares {known}")
    return hook


def test_event(sites: DeclaredSites, name: str) -> str:
    """Send a message that says that it is a test, now: why it was not taken, or empty. Raises NotFoundError."""
    hook, now = _declared(sites, name), sites.clock.now_ns()
    event = Event(f"test/{now // NANOSECONDS}", "test", now, {"text": "nothing is the matter: somebody tries it"})
    try:
        send_now(sites, hook, event.id, event.body(sites.config.organisation).encode())
    except HoldfastError as error:
        return error.message
    return ""
