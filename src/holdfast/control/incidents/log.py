"""The incidents of an organisation: read from everywhere, opened once for each thing, told on."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Final

from holdfast.clock import Clock
from holdfast.control.incidents.documents import Documents, Found, new_name
from holdfast.control.incidents.model import (
    Deed,
    Entry,
    Incident,
    decode_entry,
    encode_entry,
    incident_of,
    series_of,
    with_number,
)
from holdfast.control.sites.declared import DeclaredSites
from holdfast.errors import DamageError, NotFoundError, RefusedError
from holdfast.vault.format.keys import VaultKeys

__all__ = ["INCIDENTS", "IncidentLog"]

INCIDENTS: Final = "incidents/"


class IncidentLog:
    """As whoever holds these keys sees and writes it. `refresh` asks the stores; all else is of what it found.

    For several threads.
    """

    def __init__(self, sites: DeclaredSites, keys: VaultKeys, clock: Clock) -> None:
        self._keys, self._clock, self._sites = keys, clock, sites
        self._documents = Documents(sites, keys, INCIDENTS, _decoded, lambda entry: (entry.by, entry.at))
        self._lock = threading.RLock()
        self._found: dict[str, dict[str, Entry]] = {}
        self._spread: set[str] = set()
        self.problems: dict[str, str] = {}
        """Place → why it did not answer at the last `refresh`."""

    @property
    def label(self) -> str:
        """Of the key that writes here."""
        return self._keys.label

    def refresh(self) -> None:
        """Ask this machine and all stores; what some of them lack of open incidents is brought to them."""
        found, problems = self._documents.read()
        with self._lock:
            self.problems = {name: error.message for name, error in problems.items()}
            for one in found:
                self._found.setdefault(one.what.incident, {})[one.key] = one.what
        self._bring(found, len(self._documents.places()) - len(problems))

    def _bring(self, found: list[Found[Entry]], answering: int) -> None:
        wanted = {one.key for one in found if len(one.places) < answering and one.key not in self._spread}
        if wanted:
            self._documents.spread(found, wanted)
            self._spread |= wanted  # once in a life of this process: a store that refuses is not asked for ever

    def incidents(self) -> list[Incident]:
        """All, the newest first."""
        with self._lock:
            made = [incident_of(name, entries.items()) for name, entries in self._found.items()]
        return sorted((one for one in made if one is not None), key=lambda one: (one.noticed_at, one.id), reverse=True)

    def open_ones(self) -> list[Incident]:
        """Those that are not resolved, the newest first."""
        return [one for one in self.incidents() if one.is_open]

    def find(self, incident: str) -> Incident:
        """Raises NotFoundError."""
        with self._lock:
            made = incident_of(incident, self._found.get(incident, {}).items())
        if made is None:
            raise NotFoundError(
                f"no place that answers has an incident {incident[:80]!r}",
                hint="`holdfast incident list` lists those that are known",
                object_name=incident[:80],
            )
        return made

    def current(self, kind: str, subject: str) -> Incident | None:
        """The open incident of this thing."""
        last = self._last(series_of(kind, subject))
        return last if last is not None and last.is_open else None

    def _last(self, series: str) -> Incident | None:
        with self._lock:
            named = sorted(name for name in self._found if name.startswith(f"{series}-"))
            made = [incident_of(name, self._found[name].items()) for name in named]
        return next((one for one in reversed(made) if one is not None), None)

    def open_one(
        self,
        kind: str,
        subject: str,
        *,
        severity: str,
        title: str,
        why: str,
        asset: str = "",
        site: str = "",
        fault_at: int = 0,
        noticed_at: int = 0,
        labels: Mapping[str, str] | None = None,
    ) -> Incident:
        """The incident of this thing: the one that is open, or a new one. Whoever opens it at the same time elsewhere
        gives it the same id. Raises FailedError where it could be written nowhere.
        """
        with self._lock:
            series = series_of(kind, subject)
            last = self._last(series)
            if last is not None and last.is_open:
                return last
            number = int(last.id.rpartition("-")[2]) + 1 if last is not None else 1
            now = self._clock.now_ns()
            entry = Entry(
                incident=with_number(series, number),
                deed=Deed.OPENED,
                by=self._keys.label,
                at=now,
                kind=kind,
                subject=subject,
                severity=severity,
                title=title,
                asset=asset,
                site=site,
                fault_at=min(fault_at, now),
                noticed_at=min(noticed_at or now, now),
                text=why,
                labels=dict(labels or {}),
            )
            self._write(entry)
            return self.find(entry.incident)

    def say(
        self,
        incident: str,
        deed: Deed,
        *,
        by: str = "",
        step: str = "",
        channel: str = "",
        run: str = "",
        text: str = "",
        labels: Mapping[str, str] | None = None,
    ) -> Incident:
        """Add to an incident. `by`: a person that the holder of this key vouches for.

        Raises NotFoundError, RefusedError for one that is resolved (but for what was sent, which is a fact), and
        FailedError where it could be written nowhere.
        """
        with self._lock:
            known = self.find(incident)
            if not known.is_open and deed not in (Deed.TOLD, Deed.SEEN):
                raise RefusedError(f"the incident {incident} was resolved by {known.resolved_by}")
            label = self._keys.label
            author = label if by in ("", label) else f"{label}/{by.removeprefix(f'{label}/')}"
            self._write(
                Entry(
                    incident=incident,
                    deed=deed,
                    by=author,
                    at=max(self._clock.now_ns(), known.entries[-1].at + 1),
                    step=step,
                    channel=channel,
                    run=run,
                    text=text,
                    labels=dict(labels or {}),
                )
            )
            return self.find(incident)

    def _write(self, entry: Entry) -> None:
        key = f"{INCIDENTS}{entry.incident}/{new_name(entry.at)}"
        self._documents.write(key, encode_entry(entry))
        self._found.setdefault(entry.incident, {})[key] = entry


def _decoded(key: str, body: bytes) -> Entry:
    entry = decode_entry(key, body)
    folder, _, name = key.removeprefix(INCIDENTS).partition("/")
    if folder != entry.incident or not name.startswith(f"{entry.at:020d}-"):
        raise DamageError(f"{key} holds an entry of another name", object_name=key)
    return entry
