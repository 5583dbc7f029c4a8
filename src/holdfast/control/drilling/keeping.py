"""A drill's evidence at the declared stores: a trial is removed, and what it proved is not."""

from __future__ import annotations

import hashlib
from pathlib import Path

from holdfast.control.audit.audited_vault import recorded_on
from holdfast.control.evidencing.keeping import keep
from holdfast.control.evidencing.sealing import Kept
from holdfast.control.recovering.journals import choose_journal, landing_stores
from holdfast.control.sites.declared import DeclaredSites
from holdfast.control.sites.states import Condition
from holdfast.drills.lever import drills_home
from holdfast.drills.outcomes import DrillOutcome
from holdfast.errors import HoldfastError
from holdfast.evidence.bundle import verify_files
from holdfast.evidence.manifest import COUNTERSIGNATURE, MANIFEST, countersign_manifest
from holdfast.stores.local import LocalStore
from holdfast.trust.signing import fingerprint
from holdfast.vault.vault import Vault

__all__ = ["keep_at_stores"]


def keep_at_stores(sites: DeclaredSites, vault: Vault, outcome: DrillOutcome) -> str:
    """Under the id of its run (else its own), countersigned and sealed with the keeper's key of whoever drills.

    Returns why not; empty: it is.

    That key is not the trial's, which nobody has any more: so a stranger verifies it by a key that stays. The vault's
    audit log has the manifest of what was kept.
    """
    run = outcome.runs[0] if outcome.runs else outcome.id
    folder = drills_home(sites.environment) / outcome.id / "evidence"
    try:
        files = {Path(name).relative_to(folder).as_posix(): Path(name).read_bytes() for name in outcome.evidence}
        signer = vault.handle.keys.require_keeper("countersigning the evidence of a drill")
        files[COUNTERSIGNATURE] = countersign_manifest(files[MANIFEST], signer)
        said = verify_files(files, signer=fingerprint(signer.public)).record
        if (said.identity.drill, said.results.outcome) != (outcome.id, outcome.state):
            return f"what lies in {folder} is not the evidence of this drill: it is not countersigned"
        LocalStore(folder).put(COUNTERSIGNATURE, files[COUNTERSIGNATURE])
        lost = {name for name, state in sites.states.items() if state.condition is Condition.FAILED}
        stores = choose_journal(landing_stores(sites), lost)
        kept = Kept(run=run, at=sites.clock.now_ns(), files=files)
        objects = {"evidence": hashlib.sha256(files[MANIFEST]).hexdigest()}
        with recorded_on(vault, "evidence.write", objects=objects, names={"run": run}):
            keep(sites, vault.handle.keys, stores, kept)
    except (HoldfastError, OSError, ValueError, KeyError) as error:
        return f"the evidence lies on this machine alone ({error})"
    return ""
