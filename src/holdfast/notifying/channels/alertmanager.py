"""Alertmanager, API v2: `POST /api/v2/alerts` (prometheus/alertmanager, api/v2/openapi.yaml).

The labels are the alert's identity, so they are the same from the first message to the last; the incident's id is one.
An alert that nobody repeats ends by itself after Alertmanager's `resolve_timeout`, unless it says when it ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from holdfast.clock import NANOSECONDS, to_rfc3339
from holdfast.notifying.model import Action, Message, Outcome
from holdfast.notifying.posting import post

__all__ = ["AlertmanagerSender", "alert_of"]

_DAY_NS: Final = 86_400 * NANOSECONDS
_LASTS_NS: Final = 30 * _DAY_NS


class AlertmanagerSender:
    together = True

    def __init__(self, url: str, organisation: str, ca: str = "") -> None:
        self._url, self._organisation, self._ca = f"{url.rstrip('/')}/api/v2/alerts", organisation, ca

    def send(self, messages: Sequence[Message]) -> Outcome:
        body = msgspec.json.encode([alert_of(message, self._organisation) for message in messages])
        return post(self._url, body, {}, good=(200,), ca=self._ca, plain=True)


def alert_of(message: Message, organisation: str) -> dict[str, object]:
    notice = message.notice
    labels = {
        "alertname": "HoldfastIncident",
        "incident": notice.key,
        "organisation": organisation,
        "severity": notice.severity,
        "kind": notice.kind,
        "asset": notice.asset,
        "site": notice.site,
    }
    ended = message.action is Action.RESOLVE
    ends = max(notice.resolved_at, notice.noticed_at + 1_000_000) if ended else message.at + _LASTS_NS
    return {
        "labels": {name: value for name, value in labels.items() if value},
        "annotations": {"summary": message.summary, "description": message.text},
        "startsAt": to_rfc3339(notice.noticed_at),
        "endsAt": to_rfc3339(ends),
    }
