"""What became of sites since `holdfast.yaml` was written: failed, draining, being rebuilt.

It is said in notices, which lie in the vaults at every store that answered (`telling.py`); a file of this machine keeps
what it has heard, so that it is known, too, while no store answers. Of each site the notices count that no later one
knew of: mostly one. Where two people spoke without knowing of each other, the newer one counts, and both are told of.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum
from pathlib import Path
from typing import NoReturn

import msgspec

from holdfast.clock import to_rfc3339
from holdfast.control.sites.kept import KeptFile
from holdfast.errors import DamageError, FailedError
from holdfast.vault.access.site_notices import SiteNotice

__all__ = ["Change", "Condition", "KeptNotice", "SiteState", "SiteStates", "heads", "rivals_of", "states_of"]


class Change(Enum):
    """`FAIL`: it is lost. `DRAIN`: it is given up in good order. `ADD`: it is new. `REBUILD`: it comes back. `HOME`: it
    becomes the home of the stripes that lie over it.
    """

    FAIL = "fail"
    DRAIN = "drain"
    ADD = "add"
    REBUILD = "rebuild"
    HOME = "home"


class Condition(Enum):
    """`FAILED`: it gives and gets nothing, and is nobody's home. `DRAINING`: it gives, gets nothing, and is nobody's
    home. `REBUILDING`: it gives and gets, and is nobody's home yet.
    """

    FAILED = "failed"
    DRAINING = "draining"
    REBUILDING = "rebuilding"


class SiteState(msgspec.Struct, frozen=True):
    """Since `at` (ns since the epoch), because of `reason`, as `by` said in the notice `notice`.

    `rivals`: sentences: what others said at the same time, and does not count.
    """

    condition: Condition
    at: int
    reason: str
    by: str = ""
    notice: str = ""
    rivals: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.condition.value} since {to_rfc3339(self.at)}, as {self.by or 'somebody'} said ({self.reason})"


class KeptNotice(msgspec.Struct, frozen=True):
    """A notice that was checked. `documents`: vault id → its stored bytes there, to be brought to other stores."""

    notice: SiteNotice
    documents: dict[str, bytes] = {}


class SiteStates:
    """The notices about the sites of one organisation that this machine knows. A site without any is as declared."""

    def __init__(self, organisation: str, environment: Mapping[str, str]) -> None:
        self._file = KeptFile("sites", organisation, dict[str, KeptNotice], dict, environment, _unknown)
        self._unwritten: dict[str, KeptNotice] = {}

    def notices(self) -> dict[str, KeptNotice]:
        """By id. Raises DamageError: to take a failed site for a sound one could cost data."""
        found = self._file.read()
        if any(name != one.notice.id for name, one in found.items()):
            assert self._file.path is not None, "there is no file in which anything could be found"
            _unknown(self._file.path, ValueError("a notice under another name"))
        return found | self._unwritten

    def read(self) -> dict[str, SiteState]:
        """Site → its state, of those that are not as declared. Raises DamageError."""
        return states_of(one.notice for one in self.notices().values())

    def rivals(self, site: str) -> tuple[str, ...]:
        """What others said of it at the same time, and does not count. Raises DamageError."""
        return rivals_of(one.notice for one in self.notices().values()).get(site, ())

    def add(self, found: Mapping[str, KeptNotice]) -> None:
        """Durable when it returns. Raises DamageError, and FailedError where it cannot be written; this object knows it
        all the same.
        """

        def joined(known: dict[str, KeptNotice]) -> dict[str, KeptNotice]:
            old = {one: known[one].documents for one in found if one in known}
            new = {one: KeptNotice(kept.notice, old.get(one, {}) | kept.documents) for one, kept in found.items()}
            return _without_old_documents(known | new)

        try:
            self._file.change(joined)
        except FailedError:
            self._unwritten = joined(dict(self._unwritten))
            raise


def heads(notices: Iterable[SiteNotice]) -> dict[str, list[SiteNotice]]:
    """Site → the notices about it that no other one about it knew of, the one that counts first."""
    found = list(notices)
    known = {(one.site, before) for one in found for before in one.over}
    by_site: dict[str, list[SiteNotice]] = {}
    for one in sorted(found, key=lambda one: (one.at, one.id), reverse=True):
        if (one.site, one.id) not in known:
            by_site.setdefault(one.site, []).append(one)
    return by_site


def states_of(notices: Iterable[SiteNotice]) -> dict[str, SiteState]:
    """Which sites are not as declared. Pure."""
    found = {}
    for site, (first, *others) in heads(notices).items():
        if first.condition != "declared":
            why = _rivals(first, others)
            found[site] = SiteState(Condition(first.condition), first.at, first.reason, first.by, first.id, why)
    return found


def rivals_of(notices: Iterable[SiteNotice]) -> dict[str, tuple[str, ...]]:
    """Site → what others said of it at the same time, and does not count: also of sites that are as declared. Pure."""
    return {site: _rivals(first, others) for site, (first, *others) in heads(notices).items()}


def _rivals(first: SiteNotice, others: Iterable[SiteNotice]) -> tuple[str, ...]:
    return tuple(
        f"{one.by} said that it was {one.condition} ({one.reason}), at {to_rfc3339(one.at)}, without knowing of it"
        for one in others
        if one.condition != first.condition
    )


def _without_old_documents(kept: dict[str, KeptNotice]) -> dict[str, KeptNotice]:
    """What no longer counts need not be brought anywhere: its bytes are not kept."""
    counting = {one.id for site in heads(one.notice for one in kept.values()).values() for one in site}
    return {name: one if name in counting else KeptNotice(one.notice) for name, one in kept.items()}


def _unknown(path: Path, error: Exception) -> NoReturn:
    raise DamageError(
        f"{path} cannot be read: which sites have failed is not known",
        hint="mend it, or remove it: what the stores know is read again; what only this machine was told, say again",
        object_name=str(path),
    ) from error
