"""Work of the kind `webhook.send`: one signed message to a channel of holdfast.yaml, sent again while nobody has it."""

from __future__ import annotations

from typing import Final

from holdfast.config.references import resolve
from holdfast.control.workflows import Value
from holdfast.control.working.jobs import Job
from holdfast.errors import NotFoundError
from holdfast.infra.calling.webhooks import post_signed

__all__ = ["webhook_send"]

_SECONDS: Final = 15.0


def webhook_send(job: Job) -> dict[str, Value]:
    """`channel`: of `notify: {channels: …}`, of the kind `webhook`; `body`: JSON. The key of the work is the message's
    Idempotency-Key: a receiver that has it already leaves it at that.

    Raises NotFoundError, CredentialError, RefusedError (the URL), FailedError; its `retry` says whether to send again.
    """
    name = job.text("channel")
    channel = job.sites.config.notify.channels.get(name)
    if channel is None or channel.kind != "webhook" or channel.secret is None:
        raise NotFoundError(f"there is no webhook {name!r}", hint="`notify: {channels: …}` in holdfast.yaml has them")
    secret = resolve(channel.secret, job.sites.loaded.folder, job.sites.environment)
    url = channel.url
    if not isinstance(url, str):
        url = resolve(url, job.sites.loaded.folder, job.sites.environment).reveal()
    status = post_signed(
        url, job.text("body").encode(), secret.reveal().encode(), job.key, _SECONDS, clock=job.sites.clock
    )
    return {"channel": name, "status": status}
