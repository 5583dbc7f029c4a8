"""Standing approvals: another keeper agrees beforehand that a recovery may begin by itself, as it is declared now.

An approval is of the recovery's name and of the hash of all that decides when it begins (its declaration, the probes of
its condition, who observes): whoever changes any of it makes the approval count for nothing. It names whose runs it is
for, is signed by somebody else, and ends. It counts only for a plan whose run was claimed within the limits.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from holdfast.clock import NANOSECONDS, to_rfc3339
from holdfast.config.conditions import names_in, parse_condition
from holdfast.config.model import Config, Recovery
from holdfast.control.incidents.claims import Claims
from holdfast.control.incidents.documents import Documents, new_name
from holdfast.control.sites.declared import DeclaredSites
from holdfast.errors import DamageError, HoldfastError, NotFoundError, RefusedError, UsageError
from holdfast.recovery.intents import Intent, Newest
from holdfast.recovery.plans import Plan, plan_hash
from holdfast.recovery.reviewing.approvals import Approval
from holdfast.vault.format.keys import VaultKeys
from holdfast.vault.vault import Vault

__all__ = ["APPROVALS", "Standing", "StandingApproval", "StandingApprovals", "decode_standing", "declaration_hash"]
__all__ += ["standing_approvals"]

APPROVALS: Final = "automatic/approvals/"
LONGEST_S: Final = 90 * 86_400.0
_TEXT_MAX: Final = 1024
_RUNBOOK_MAX: Final = 1 << 20


class StandingApproval(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`starter`: the label of the key whose runs it is for. `until` equal to `at`: every earlier one for this recovery
    is withdrawn. Times are ns.
    """

    recovery: str
    declaration: str
    starter: str
    by: str
    at: int
    until: int


class Standing(NamedTuple):
    """An approval, and why it counts for nothing (empty: it counts)."""

    approval: StandingApproval
    problem: str


def declaration_hash(config: Config, name: str, runbook: bytes = b"") -> str:
    """SHA-256 of all that decides when, how and where this recovery begins by itself, and what it runs. `runbook`: what
    the file says that its `steps` names. Raises NotFoundError.
    """
    recovery = config.recoveries.get(name)
    if recovery is None or recovery.automatic is None:
        raise NotFoundError(
            f"no recovery {name!r} is declared to begin by itself", hint="`automatic` in holdfast.yaml does"
        )
    detect = config.detect
    assets = (recovery.asset,) if recovery.asset else config.groups[recovery.group].assets
    probes = {probe: detect.probes[probe] for probe in names_in(parse_condition(recovery.automatic.when))}
    said: dict[str, Any] = {
        "name": name,
        "recovery": msgspec.to_builtins(recovery),
        "probes": msgspec.to_builtins(probes),
        "observers": sorted(detect.observers),
        "quorum": detect.quorum,
        "stale_after": detect.stale_after,
        "limits": [detect.at_most, detect.within],
        "assets": {asset: repr(config.assets.get(asset)) for asset in assets},
        "sites": {site: repr(config.sites.get(site)) for site in recovery.to},
        "steps": hashlib.sha256(runbook).hexdigest() if recovery.steps else "",
    }
    return hashlib.sha256(msgspec.json.encode(said, order="deterministic")).hexdigest()


class StandingApprovals:
    """As whoever holds these keys sees and gives them."""

    def __init__(self, sites: DeclaredSites, keys: VaultKeys) -> None:
        self._sites, self._keys = sites, keys
        self._documents = Documents(sites, keys, APPROVALS, _decoded, lambda one: (one.by, one.at))

    def give(self, name: str, starter: str, seconds: float) -> StandingApproval:
        """Raises UsageError, RefusedError for one's own runs, NotFoundError, and what signing and writing raise."""
        if not 0 < seconds <= LONGEST_S:
            raise UsageError("a standing approval lasts for more than no time, and at most 90 days", hint="--for 30d")
        self.require_other(starter)
        roles = {signer.label: signer for signer in self._keys.config.signers}
        if starter not in roles or roles[starter].role != "keeper":
            raise NotFoundError(
                f"no keeper of the vault is called {starter!r}", hint="`holdfast key list` lists its members"
            )
        now = self._sites.clock.now_ns()
        return self._write(name, starter, now, now + int(seconds * NANOSECONDS))

    def require_other(self, starter: str) -> None:
        """Raises RefusedError for one's own runs."""
        label = self._keys.label
        if starter == label:
            raise RefusedError(
                f"{label} would approve what {label} begins",
                hint="somebody else approves it, with a keeper's key of their own",
            )

    def withdraw(self, name: str) -> StandingApproval:
        """All of them, for this recovery: any keeper may. Also those of somebody whose clock was ahead."""
        found, _ = self._documents.read(f"{name}/")
        now = max([self._sites.clock.now_ns(), *(one.what.at for one in found)])
        return self._write(name, "", now, now)

    def _declaration(self, name: str) -> str:
        return declaration_hash(self._sites.config, name, _runbook(self._sites, name))

    def _write(self, name: str, starter: str, at: int, until: int) -> StandingApproval:
        declaration = self._declaration(name)
        made = StandingApproval(
            recovery=name, declaration=declaration, starter=starter, by=self._keys.label, at=at, until=until
        )
        self._documents.write(f"{APPROVALS}{name}/{new_name(at)}", msgspec.json.encode(made, order="sorted"))
        return made

    def of(self, name: str) -> list[Standing]:
        """All that were given, the newest first, and whether they count now."""
        found, _ = self._documents.read(f"{name}/")
        declaration = self._declaration(name)
        now = self._sites.clock.now_ns()
        given = sorted((one.what for one in found), key=lambda one: one.at, reverse=True)
        withdrawn = max((one.at for one in given if one.until <= one.at), default=0)
        return [Standing(one, _problem(one, declaration, withdrawn, now)) for one in given if one.until > one.at]


def _problem(one: StandingApproval, declaration: str, withdrawn: int, now: int) -> str:
    if one.declaration != declaration:
        return "what it approved was declared otherwise"
    if withdrawn >= one.at:
        return f"it was withdrawn at {to_rfc3339(withdrawn)}"
    if now >= one.until:
        return f"it ended at {to_rfc3339(one.until)}"
    if one.at > now:
        return f"it is of {to_rfc3339(one.at)}, which is to come"
    if one.until - one.at > LONGEST_S * NANOSECONDS:
        return "it would last for longer than 90 days"
    if one.by.partition("/")[0] == one.starter:
        return "who gave it is who would begin the run"
    return ""


def standing_approvals(sites: DeclaredSites, vault: Vault, plan: Plan) -> list[Approval]:
    """Those that count for this plan, as if they had been given for its hash. None for a plan that a person made.

    What cannot be known (stores that do not answer) approves nothing. Raises nothing that stores raise.
    """
    recovery = sites.config.recoveries.get(plan.intent.name)
    if recovery is None or recovery.automatic is None or plan.intent.isolated:
        return []
    keys = vault.handle.keys
    try:
        if (problem := _otherwise(sites.config, recovery, plan.intent)) is not None:
            sites.progress.note(f"standing approvals are not counted: {problem}")
            return []
        claim = Claims(sites, keys, sites.clock).within_limits(plan_hash(plan))
        if claim is None or claim.by != plan.intent.by or claim.recovery != plan.intent.name:
            return []
        given = StandingApprovals(sites, keys).of(plan.intent.name)
    except HoldfastError as error:
        sites.progress.note(f"standing approvals are not counted: {error.message}")
        return []
    return [
        Approval(plan=plan_hash(plan), by=one.by, at=max(plan.facts_at, one.at), until=one.until)
        for one, problem in given
        if not problem and one.starter == plan.intent.by
    ]


def _otherwise(config: Config, recovery: Recovery, intent: Intent) -> str | None:
    """What the plan wants and the declaration does not say: that was not approved beforehand."""
    assets = (recovery.asset,) if recovery.asset else config.groups[recovery.group].assets
    wanted = {
        "assets": intent.assets == assets,
        "to": intent.to == tuple(site for site in recovery.to if site in intent.to),  # a home is left out
        "strategy": str(intent.strategy) == str(recovery.strategy),
        "point": intent.point == Newest(),
        "graceful": not intent.graceful,
        "approvers": intent.approvers >= recovery.approvers,
    }
    other = [field for field, same in wanted.items() if not same]
    return f"{', '.join(other)} of the plan: {intent.name} was approved otherwise" if other else None


def _runbook(sites: DeclaredSites, name: str) -> bytes:
    """What the file says that `steps` names now; nothing where it cannot be read."""
    recovery = sites.config.recoveries.get(name)
    if recovery is None or not recovery.steps:
        return b""
    try:
        with Path(sites.loaded.folder, recovery.steps).open("rb") as file:
            return file.read(_RUNBOOK_MAX)
    except OSError:
        return b""


def decode_standing(key: str, body: bytes) -> StandingApproval:
    """Raises DamageError."""
    try:
        made = msgspec.json.decode(body, type=StandingApproval)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError, ValueError) as error:
        raise DamageError(f"{key} holds no standing approval ({error})", object_name=key) from error
    texts = (made.recovery, made.declaration, made.starter, made.by)
    if made.at < 0 or made.until < made.at or any(len(text) > _TEXT_MAX for text in texts) or not made.by:
        raise DamageError(f"{key} holds no standing approval: it says what cannot be", object_name=key)
    return made


def _decoded(key: str, body: bytes) -> StandingApproval:
    made = decode_standing(key, body)
    if key.removeprefix(APPROVALS).rpartition("/")[0] != made.recovery:
        raise DamageError(f"{key} holds the approval of another recovery", object_name=key)
    return made
