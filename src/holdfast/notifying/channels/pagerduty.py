"""PagerDuty, Events API v2 (https://developer.pagerduty.com/docs/events-api-v2/overview/).

The `dedup_key` is the incident's id from the trigger to the end, so that an event that arrives twice changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from holdfast.clock import to_rfc3339
from holdfast.notifying.model import Action, Message, Outcome
from holdfast.notifying.posting import post

__all__ = ["ADDRESS", "PagerDutySender", "event_of"]

ADDRESS: Final = "https://events.pagerduty.com/v2/enqueue"
_SUMMARY_MAX: Final = 1024
_SEVERITIES: Final = {"critical": "critical", "warning": "warning", "info": "info"}


class PagerDutySender:
    together = False

    def __init__(self, routing_key: str, url: str, organisation: str, ca: str = "") -> None:
        self._key, self._url, self._organisation, self._ca = routing_key, url, organisation, ca

    def send(self, messages: Sequence[Message]) -> Outcome:
        (message,) = messages
        body = msgspec.json.encode({"routing_key": self._key, **event_of(message, self._organisation)})
        return post(self._url, body, {}, good=(202,), ca=self._ca)


def event_of(message: Message, organisation: str) -> dict[str, object]:
    """The event without its routing key."""
    notice = message.notice
    event: dict[str, object] = {"event_action": message.action.value, "dedup_key": notice.key, "client": "Holdfast"}
    if message.action is Action.TRIGGER:
        event["payload"] = {
            "summary": message.summary[:_SUMMARY_MAX],
            "source": notice.site or organisation,
            "severity": _SEVERITIES.get(notice.severity, "error"),
            "timestamp": to_rfc3339(message.at),
            "component": notice.asset or notice.subject,
            "group": organisation,
            "class": notice.kind,
            "custom_details": {**message.facts, "text": message.text},
        }
    return event
