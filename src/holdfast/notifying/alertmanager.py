"""What Alertmanager sends to a webhook, version 4 (https://prometheus.io/docs/alerting/latest/configuration/#webhook_config)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final, Literal

import msgspec

from holdfast.errors import UsageError

__all__ = ["Alert", "parse"]

_BYTES_MAX: Final = 4 << 20
_ALERTS_MAX: Final = 1000
_LABELS_MAX: Final = 64
_ALERT_MAX: Final = 48 << 10  # it is kept in one small object
_TEXT_MAX: Final = 1000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """One alert. `fingerprint`: of its labels, the same from firing to resolved. Times are ns, 0: none."""

    fingerprint: str
    firing: bool
    name: str
    labels: dict[str, str]
    annotations: dict[str, str]
    starts: int
    ends: int


class _Alert(msgspec.Struct, frozen=True):
    status: Literal["firing", "resolved"]
    labels: dict[str, str]
    fingerprint: str
    annotations: dict[str, str] = {}
    startsAt: datetime | None = None
    endsAt: datetime | None = None


class _Webhook(msgspec.Struct, frozen=True):
    version: Literal["4"]
    alerts: list[_Alert]
    truncatedAlerts: int = 0


_DECODER: Final = msgspec.json.Decoder(_Webhook)


def parse(body: bytes) -> list[Alert]:
    """The alerts, in their order. Raises UsageError for anything but such a message."""
    if len(body) > _BYTES_MAX:
        raise UsageError(f"a message of Alertmanager has at most {_BYTES_MAX >> 20} MiB here", hint="set `max_alerts`")
    try:
        found = _DECODER.decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError, ValueError, OverflowError) as error:
        raise UsageError(f"this is no message of Alertmanager, version 4 ({error})") from error
    if len(found.alerts) > _ALERTS_MAX:
        raise UsageError(f"a message of Alertmanager has at most {_ALERTS_MAX} alerts here", hint="set `max_alerts`")
    return [_alert(one) for one in found.alerts]


def _alert(one: _Alert) -> Alert:
    if not 0 < len(one.fingerprint) <= 64 or not one.fingerprint.isalnum() or not one.fingerprint.isascii():
        raise UsageError("an alert has a fingerprint of letters and digits")
    if len(one.labels) > _LABELS_MAX or len(one.annotations) > _LABELS_MAX:
        raise UsageError(f"an alert has at most {_LABELS_MAX} labels and as many annotations here")
    texts = (*one.labels, *one.labels.values(), *one.annotations, *one.annotations.values())
    if sum(len(text.encode(errors="replace")) for text in texts) > _ALERT_MAX:
        raise UsageError(f"an alert has at most {_ALERT_MAX >> 10} KiB of labels and annotations here")
    labels = {_line(name): _line(value) for name, value in one.labels.items()}
    return Alert(
        fingerprint=one.fingerprint,
        firing=one.status == "firing",
        name=labels.get("alertname", ""),
        labels=labels,
        annotations={_line(name): _line(value) for name, value in one.annotations.items()},
        starts=_ns(one.startsAt),
        ends=_ns(one.endsAt),
    )


def _ns(moment: datetime | None) -> int:
    if moment is None:
        return 0
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    try:
        since = aware - _EPOCH
    except OverflowError:
        return 0
    micros = (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
    return max(0, micros * 1000)


def _line(text: str) -> str:
    line = "".join(one if one.isprintable() else " " for one in text)
    return line[:_TEXT_MAX]
