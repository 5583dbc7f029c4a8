"""What `--json` prints, as types. `python -m holdfast.cli.schemas docs/schemas` writes them as JSON Schema files."""

from __future__ import annotations

from typing import Any

import msgspec

from holdfast.cli.schemas.audit import (
    AuditAppended,
    AuditCreated,
    AuditKeyRotated,
    AuditProved,
    AuditShown,
    AuditVerified,
    AuditWitnessed,
    AuditWitnessKey,
)
from holdfast.cli.schemas.catalogs import CatalogShown, CatalogStatus, CatalogUpdated
from holdfast.cli.schemas.collecting import VaultCollected
from holdfast.cli.schemas.computes import SiteCompute, SiteStandby
from holdfast.cli.schemas.configs import ConfigChecked, ConfigSchema, ConfigShown
from holdfast.cli.schemas.demos import DemoPlayed
from holdfast.cli.schemas.differences import SnapshotDiff
from holdfast.cli.schemas.drills import (
    DrillCleared,
    DrillCompared,
    DrillExperiment,
    DrillList,
    DrillPlanned,
    DrillRan,
    DrillScenarios,
    DrillStatus,
    DrillStopped,
)
from holdfast.cli.schemas.evidence import (
    EvidenceExported,
    EvidenceFindings,
    EvidenceList,
    EvidenceShown,
    EvidenceTrends,
    EvidenceVerified,
)
from holdfast.cli.schemas.exposures import SiteExposure
from holdfast.cli.schemas.failures import Failure
from holdfast.cli.schemas.incidents import (
    IncidentApproved,
    IncidentList,
    IncidentRound,
    IncidentShown,
    IncidentSilenced,
    IncidentTested,
)
from holdfast.cli.schemas.keys import (
    KeyCombined,
    KeyCreated,
    KeyExported,
    KeyList,
    KeyResealed,
    KeyRevoked,
    KeyRotated,
    KeyShown,
    KeySplit,
    RecipientAdded,
    RecipientRemoved,
)
from holdfast.cli.schemas.locks import LockMoments, LockSet, LocksExtended, LocksShown, RecoveryPlanned
from holdfast.cli.schemas.logins import LoggedIn, Serving
from holdfast.cli.schemas.moves import Replicated, Restored, TensorsExported
from holdfast.cli.schemas.objectives import ObjectiveStatus
from holdfast.cli.schemas.policies import (
    ApiKeyCreated,
    ApiKeyList,
    ApiKeyRevoked,
    BreakGlass,
    PolicyChecked,
    PolicyExplained,
    PolicyTable,
)
from holdfast.cli.schemas.quarantines import SnapshotQuarantined, SnapshotReleased
from holdfast.cli.schemas.recoveries import (
    RecoverApproved,
    RecoverChecked,
    RecoverPlanned,
    RecoverReviewed,
    RecoverRun,
    RecoverRuns,
)
from holdfast.cli.schemas.repairs import SnapshotRota, VaultRepaired
from holdfast.cli.schemas.retention import RetentionApplied, RetentionPlanned, SnapshotHeld, SnapshotUnheld
from holdfast.cli.schemas.settling import SnapshotsSettled
from holdfast.cli.schemas.sites import SiteChanged, SiteCreated, SiteList, SiteStatus, SiteSynced
from holdfast.cli.schemas.snapshots import (
    SavePlanned,
    SnapshotDropped,
    SnapshotList,
    SnapshotSaved,
    SnapshotShown,
    SnapshotTagged,
    SnapshotVerified,
)
from holdfast.cli.schemas.tier_caches import TierCache, TierCacheStatus
from holdfast.cli.schemas.tiers import TierApplied, TierExplained, TierMeasured, TierPlanned, TierPrewarmed, TierThawing
from holdfast.cli.schemas.vaults import VaultChecked, VaultCreated, VaultInfo
from holdfast.cli.schemas.watching import WatchEvent
from holdfast.cli.schemas.working import WorkerCancelled, WorkerEvent, WorkerList, WorkerStatus
from holdfast.objectives.retention_rules import Policy
from holdfast.training.executing.events import ExecEvent

__all__ = ["OUTPUTS", "INPUTS", "schema_files"]

OUTPUTS: dict[str, Any] = {
    "demo": DemoPlayed,
    "vault-create": VaultCreated,
    "vault-info": VaultInfo,
    "vault-check": VaultChecked,
    "vault-repair": VaultRepaired,
    "vault-collect": VaultCollected,
    "snapshot-save": SnapshotSaved,
    "snapshot-save-plan": SavePlanned,
    "snapshot-list": SnapshotList,
    "snapshot-show": SnapshotShown,
    "snapshot-diff": SnapshotDiff,
    "snapshot-verify": SnapshotVerified,
    "snapshot-verify-rota": SnapshotRota,
    "snapshot-tag": SnapshotTagged,
    "snapshot-drop": SnapshotDropped,
    "snapshot-settle": SnapshotsSettled,
    "snapshot-quarantine": SnapshotQuarantined,
    "snapshot-release": SnapshotReleased,
    "snapshot-hold": SnapshotHeld,
    "snapshot-unhold": SnapshotUnheld,
    "retention-plan": RetentionPlanned,
    "retention-apply": RetentionApplied,
    "lock-set": LockSet,
    "lock-show": LocksShown,
    "lock-extend": LocksExtended,
    "lock-recover": RecoveryPlanned,
    "lock-moments": LockMoments,
    "restore": Restored,
    "restore-tensors": TensorsExported,
    "watch": WatchEvent,
    "train-exec": ExecEvent,
    "replicate": Replicated,
    "site-list": SiteList,
    "site-status": SiteStatus,
    "site-sync": SiteSynced,
    "site-change": SiteChanged,
    "site-create": SiteCreated,
    "site-compute": SiteCompute,
    "site-standby": SiteStandby,
    "site-exposure": SiteExposure,
    "tier-plan": TierPlanned,
    "tier-explain": TierExplained,
    "tier-apply": TierApplied,
    "tier-measure": TierMeasured,
    "tier-prewarm": TierPrewarmed,
    "tier-thawing": TierThawing,
    "tier-cache": TierCache,
    "tier-cache-status": TierCacheStatus,
    "objective-status": ObjectiveStatus,
    "recover-plan": RecoverPlanned,
    "recover-review": RecoverReviewed,
    "recover-check": RecoverChecked,
    "recover-approve": RecoverApproved,
    "recover-run": RecoverRun,
    "recover-runs": RecoverRuns,
    "drill-run": DrillRan,
    "drill-plan": DrillPlanned,
    "drill-list": DrillList,
    "drill-scenarios": DrillScenarios,
    "drill-status": DrillStatus,
    "drill-stop": DrillStopped,
    "drill-clear": DrillCleared,
    "drill-compare": DrillCompared,
    "drill-experiment": DrillExperiment,
    "incident-list": IncidentList,
    "incident-show": IncidentShown,
    "incident-round": IncidentRound,
    "incident-silence": IncidentSilenced,
    "incident-preapprove": IncidentApproved,
    "incident-test-alert": IncidentTested,
    "evidence-list": EvidenceList,
    "evidence-show": EvidenceShown,
    "evidence-export": EvidenceExported,
    "evidence-verify": EvidenceVerified,
    "evidence-findings": EvidenceFindings,
    "evidence-trends": EvidenceTrends,
    "key-list": KeyList,
    "key-create": KeyCreated,
    "key-show": KeyShown,
    "key-export": KeyExported,
    "key-revoke": KeyRevoked,
    "key-rotate": KeyRotated,
    "key-reseal": KeyResealed,
    "key-add-recipient": RecipientAdded,
    "key-remove-recipient": RecipientRemoved,
    "key-split": KeySplit,
    "key-combine": KeyCombined,
    "policy-check": PolicyChecked,
    "policy-explain": PolicyExplained,
    "policy-table": PolicyTable,
    "policy-break-glass": BreakGlass,
    "policy-api-key-create": ApiKeyCreated,
    "policy-api-key-list": ApiKeyList,
    "policy-api-key-revoke": ApiKeyRevoked,
    "config-check": ConfigChecked,
    "config-show": ConfigShown,
    "config-schema": ConfigSchema,
    "catalog-update": CatalogUpdated,
    "catalog-status": CatalogStatus,
    "catalog-show": CatalogShown,
    "worker-run": WorkerEvent,
    "worker-status": WorkerStatus,
    "worker-list": WorkerList,
    "worker-cancel": WorkerCancelled,
    "login": LoggedIn,
    "serve": Serving,
    "audit-create": AuditCreated,
    "audit-append": AuditAppended,
    "audit-verify": AuditVerified,
    "audit-prove": AuditProved,
    "audit-show": AuditShown,
    "audit-witness": AuditWitnessed,
    "audit-witness-key": AuditWitnessKey,
    "audit-rotate-key": AuditKeyRotated,
    "error": Failure,
}
"""Name of the schema → type of one line of output."""
INPUTS: dict[str, Any] = {"retention-policy": Policy}
"""The same of files that commands read."""


def schema_files() -> dict[str, bytes]:
    """File name → content: one JSON Schema (2020-12) for each output and input."""
    return {f"{name}.json": _schema(name, output) for name, output in (OUTPUTS | INPUTS).items()}


def _schema(name: str, output: Any) -> bytes:
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": f"holdfast {name}"}
    return msgspec.json.format(msgspec.json.encode(schema | msgspec.json.schema(output)), indent=2) + b"\n"
