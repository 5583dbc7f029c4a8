"""An incident: entries that were written once, anywhere, and what they add up to. Pure.

Entries are no chain, and need no majority: whoever can write to one store can tell of an incident, also while the other
half of the world is away. Their order is that of their times and names, so all who have read the same entries see the
same incident, and two that noticed the same thing at the same time see one. (A grow-only set: M. Shapiro et al.,
"Conflict-free replicated data types", 2011.) What may happen once only, a run that begins by itself, is not decided
here: `claims.py`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated, Final

import msgspec

from holdfast.errors import DamageError

__all__ = [
    "Deed",
    "Entry",
    "Incident",
    "Told",
    "decode_entry",
    "encode_entry",
    "incident_of",
    "series_of",
    "with_number",
]

_TEXT_MAX: Final = 8000
_NUMBER_MAX: Final = 999_999
Moment = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]


class Deed(StrEnum):
    """What an entry says."""

    OPENED = "opened"  # `kind`, `subject`, `severity`, `title`, `asset`, `site`, `fault_at`, `noticed_at`; `text`: why
    SEEN = "seen"  # `text`: something new about it
    ACKNOWLEDGED = "acknowledged"  # by a person: nobody further is woken
    TOLD = "told"  # `step`, `channel`: it was sent
    REPAIRED = "repaired"  # `step`: what was tried; `text`: what came of it
    DECIDED = "decided"  # `step`: about which recovery; `text`: what, and why
    RUN = "run"  # `step`: the recovery; `run`: its id
    RESOLVED = "resolved"  # `text`: why


class Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """`incident`: whose it is. `by`: the label of the key that signs it, or `label/person`. `at`: ns, its clock's."""

    incident: str
    deed: Deed
    by: str
    at: Moment
    kind: str = ""
    subject: str = ""
    severity: str = ""
    title: str = ""
    asset: str = ""
    site: str = ""
    fault_at: Moment = 0
    noticed_at: Moment = 0
    step: str = ""
    channel: str = ""
    run: str = ""
    text: str = ""
    labels: dict[str, str] = {}


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What was sent: which step, over which channel, when (ns)."""

    step: str
    channel: str
    at: int


class Incident(msgspec.Struct, frozen=True, kw_only=True):
    """What the entries add up to. Times are ns since the epoch, 0: not (yet), or not known. `fault_at`: the last time
    that it was seen good; `noticed_at`: when enough observers agreed.
    """

    id: str
    kind: str
    subject: str
    severity: str
    title: str
    why: str
    asset: str
    site: str
    fault_at: int
    noticed_at: int
    opened_by: str
    labels: dict[str, str]
    acknowledged_at: int = 0
    acknowledged_by: str = ""
    resolved_at: int = 0
    resolved_by: str = ""
    resolution: str = ""
    told: tuple[Told, ...] = ()
    repairs: tuple[Entry, ...] = ()
    decisions: tuple[Entry, ...] = ()
    runs: tuple[str, ...] = ()
    entries: tuple[Entry, ...] = ()

    @property
    def is_open(self) -> bool:
        return not self.resolved_at

    @property
    def state(self) -> str:
        """`open`, `acknowledged` or `resolved`."""
        if self.resolved_at:
            return "resolved"
        return "acknowledged" if self.acknowledged_at else "open"


def series_of(kind: str, subject: str) -> str:
    """16 hex digits that incidents of the same thing share."""
    return hashlib.sha256(f"{kind}\0{subject}".encode()).hexdigest()[:16]


def with_number(series: str, number: int) -> str:
    """The id of the incident of that number of a series, from 1 on."""
    if not 1 <= number <= _NUMBER_MAX:
        raise DamageError(f"{series} has had more incidents than can be")
    return f"{series}-{number:06d}"


_DECODER: Final = msgspec.json.Decoder(Entry)


def encode_entry(entry: Entry) -> bytes:
    """Canonical JSON."""
    return msgspec.json.encode(entry, order="sorted")


def decode_entry(name: str, body: bytes) -> Entry:
    """The entry called `name`. Raises DamageError."""
    try:
        entry = _DECODER.decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError, ValueError) as error:
        raise DamageError(f"{name} is no entry of an incident ({error})", object_name=name) from error
    words = [entry.incident, entry.by, entry.kind, entry.subject, entry.severity, entry.asset, entry.site]
    words += [entry.step, entry.channel, entry.run, *entry.labels, *entry.labels.values()]
    sound = all(len(word) <= 1024 and (not word or word.isprintable()) for word in words)
    sound = sound and all(len(text) <= _TEXT_MAX for text in (entry.title, entry.text)) and len(entry.labels) <= 64
    if not sound or not entry.by or not entry.incident or (entry.deed is Deed.OPENED and not entry.kind):
        raise DamageError(f"{name} is no entry of an incident: it says what cannot be", object_name=name)
    return entry


def incident_of(incident: str, named: Iterable[tuple[str, Entry]]) -> Incident | None:
    """What entries, each with its name, add up to, in whichever order they came; None without one that opens it.

    Of several that open it the first counts, but for the worst severity, and the last time that it was seen good.
    """
    entries = [entry for _, entry in sorted(dict(named).items(), key=lambda one: (one[1].at, one[0]))]
    opened = [entry for entry in entries if entry.deed is Deed.OPENED]
    if not opened:
        return None
    first = opened[0]
    faults = [entry.fault_at for entry in opened if entry.fault_at]
    resolved = next((entry for entry in entries if entry.deed is Deed.RESOLVED), None)
    acknowledged = next((entry for entry in entries if entry.deed is Deed.ACKNOWLEDGED), None)
    return Incident(
        id=incident,
        kind=first.kind,
        subject=first.subject,
        severity=min((entry.severity for entry in opened), key=_rank),
        title=first.title,
        why=first.text,
        asset=first.asset,
        site=first.site,
        fault_at=max(faults, default=0),
        noticed_at=min(entry.noticed_at or entry.at for entry in opened),
        opened_by=first.by,
        labels=first.labels,
        acknowledged_at=acknowledged.at if acknowledged else 0,
        acknowledged_by=acknowledged.by if acknowledged else "",
        resolved_at=resolved.at if resolved else 0,
        resolved_by=resolved.by if resolved else "",
        resolution=resolved.text if resolved else "",
        told=tuple(Told(step=one.step, channel=one.channel, at=one.at) for one in entries if one.deed is Deed.TOLD),
        repairs=tuple(one for one in entries if one.deed is Deed.REPAIRED),
        decisions=tuple(one for one in entries if one.deed is Deed.DECIDED),
        runs=tuple(dict.fromkeys(one.run for one in entries if one.deed is Deed.RUN and one.run)),
        entries=tuple(entries),
    )


def _rank(severity: str) -> int:
    order = ("critical", "warning", "info")
    return order.index(severity) if severity in order else len(order)
