"""What a record is made of: a run as its journal has it, and what was found out beside it. Nothing is fetched here."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from holdfast.evidence.record import Evidence
from holdfast.evidence.record_setting import Machine, ScopedAsset, Site, Targets
from holdfast.evidence.record_trust import LogTrust
from holdfast.evidence.terms import CostTerms
from holdfast.objectives import NOT_MEASURED, NotMeasured
from holdfast.recovery.journal.entries import Entry
from holdfast.recovery.journal.state import RunState
from holdfast.recovery.plans import Plan

__all__ = ["Reviewed", "RunOfJournal", "Setting"]


class RunOfJournal(msgspec.Struct, frozen=True, kw_only=True):
    """`stores`: where the journal lies. `head`: SHA-256 (hex) of the stored bytes of its last entry."""

    run: str
    stores: tuple[str, ...]
    entries: Sequence[Entry]
    head: str
    plan: Plan
    state: RunState


class Reviewed(msgspec.Struct, frozen=True, kw_only=True):
    """What the review said of the plan: a refusal or a warning."""

    code: str
    about: str
    reason: str
    refused: bool

    @property
    def sentence(self) -> str:
        """As the record has it among its deviations."""
        return f"The review warned: {self.about}: {self.reason} ({self.code})"


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """Everything else. `copies`: sites with a verified copy of what came back (the fewest, of several assets).

    `terms`: what costs are counted by; None: nothing was gathered.
    `earlier`: records of before, for the findings that this run closes. `log_words`: what there is to say of the log.
    """

    record_id: str
    software: str
    machine: Machine
    sites: tuple[Site, ...]
    targets: Targets
    assets: tuple[ScopedAsset, ...]
    third_parties: tuple[str, ...] = ()
    copies: int | NotMeasured = NOT_MEASURED
    terms: CostTerms | None = None
    reviewed: tuple[Reviewed, ...] = ()
    log: LogTrust | None = None
    log_words: str = "the vault has no audit log"
    retention_class: str = "kept until somebody deletes it"
    earlier: tuple[Evidence, ...] = ()
