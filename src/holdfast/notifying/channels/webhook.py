"""A signed POST to whoever wants to hear of it, as `holdfast.trust.webhook_signatures` says: the `webhook-id` is the
same for each attempt to send one message.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import msgspec

from holdfast.clock import to_rfc3339
from holdfast.notifying.model import Message, Outcome
from holdfast.notifying.posting import post
from holdfast.trust.webhook_signatures import key_of, message_id, signed_headers

__all__ = ["WebhookSender", "webhook_body"]


class WebhookSender:
    together = False

    def __init__(
        self, url: str, key: str, organisation: str, ca: str = "", seconds: Callable[[], float] = time.time
    ) -> None:
        self._url, self._key, self._organisation, self._ca, self._seconds = url, key, organisation, ca, seconds

    def send(self, messages: Sequence[Message]) -> Outcome:
        (message,) = messages
        body = webhook_body(message, self._organisation)
        headers = signed_headers([key_of(self._key)], message_id(message.id), body, int(self._seconds()))
        return post(self._url, body, headers, ca=self._ca)


def webhook_body(message: Message, organisation: str) -> bytes:
    """Canonical JSON."""
    notice = message.notice
    return msgspec.json.encode(
        {
            "schema": "holdfast/incident-notice/1",
            "id": message.id,
            "organisation": organisation,
            "action": message.action.value,
            "dedup_key": notice.key,
            "kind": notice.kind,
            "subject": notice.subject,
            "asset": notice.asset,
            "site": notice.site,
            "severity": notice.severity,
            "summary": message.summary,
            "text": message.text,
            "at": to_rfc3339(message.at),
            "noticed_at": to_rfc3339(notice.noticed_at),
            "fault_at": to_rfc3339(notice.fault_at) if notice.fault_at else None,
            "runs": list(notice.runs),
            "facts": message.facts,
        },
        order="sorted",
    )
