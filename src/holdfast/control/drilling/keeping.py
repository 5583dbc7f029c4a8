"""A drill's evidence at the declared stores: a trial is removed, and what it proved is not."""

from __future__ import annotations

from pathlib import Path

from holdfast.control.evidencing.keeping import keep
from holdfast.control.evidencing.sealing import Kept
from holdfast.control.recovering.journals import choose_journal, landing_stores
from holdfast.control.sites.declared import DeclaredSites
from holdfast.control.sites.states import Condition
from holdfast.drills.outcomes import DrillOutcome
from holdfast.errors import HoldfastError
from holdfast.vault.vault import Vault

__all__ = ["keep_at_stores"]


def keep_at_stores(sites: DeclaredSites, vault: Vault, outcome: DrillOutcome) -> str:
    """Under the id of its run (else its own), sealed with the keeper's key of whoever drills; why not, or empty."""
    run = outcome.runs[0] if outcome.runs else outcome.id
    try:
        files = {Path(name).name: Path(name).read_bytes() for name in outcome.evidence}
        lost = {name for name, state in sites.states.items() if state.condition is Condition.FAILED}
        stores = choose_journal(landing_stores(sites), lost)
        keep(sites, vault.handle.keys, stores, Kept(run=run, at=sites.clock.now_ns(), files=files))
    except (HoldfastError, OSError) as error:
        return f"the evidence lies on this machine alone ({error})"
    return ""
