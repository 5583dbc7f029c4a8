"""Locks of a vault at a URL: set, shown, extended; and going back to before an attack."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import NamedTuple

from holdfast.clock import NANOSECONDS, SYSTEM_CLOCK, Clock
from holdfast.control.vaults.opening import Options, open_on
from holdfast.errors import CredentialError, HoldfastError, RefusedError, UsageError
from holdfast.events import SILENT, Progress
from holdfast.objectives.calendar import LONGEST_NS
from holdfast.objectives.lock_terms import longest_promise, usual_least
from holdfast.objectives.retention_rules import Policy
from holdfast.stores.protocol import Store
from holdfast.stores.retention.opening import locks_at, open_lockable
from holdfast.stores.retention.past import PastStore
from holdfast.stores.retention.port import Mode, ObjectLocks, Period, locks_of, parse_period
from holdfast.trust.keyring import find_credential, passphrase_from_environment
from holdfast.trust.suites import Suite
from holdfast.vault.access.configuration import read_suite, read_vault_id
from holdfast.vault.handle import Handle
from holdfast.vault.locking.extending import Extended, extend_locks
from holdfast.vault.locking.memory import memory_of
from holdfast.vault.locking.moments import MOMENTS_MAX, Moment, find_moments
from holdfast.vault.locking.protecting import require_locks
from holdfast.vault.locking.recovering import Recovered, RecoveryPlan, apply_recovery, plan_recovery
from holdfast.vault.locking.setting import LockSetting, open_policy, proposed, read_setting, write_setting
from holdfast.vault.locking.state import LockReport, lock_report
from holdfast.vault.vault import Vault, open_vault

__all__ = [
    "Planned",
    "open_locked",
    "lockable_period",
    "period_of",
    "plan_lock",
    "set_lock",
    "show_locks",
    "extend_vault_locks",
    "plan_going_back",
    "go_back",
    "lock_again",
    "open_past_vault",
    "moments_of",
    "weakens",
]


class Planned(NamedTuple):
    """A plan to go back, and the vault as it was then, to look at and restore from: it is read-only."""

    plan: RecoveryPlan
    past: Vault


def open_locked(
    url: str,
    *,
    options: Options = None,
    environment: Mapping[str, str] = os.environ,
    clock: Clock = SYSTEM_CLOCK,
    progress: Progress = SILENT,
) -> Vault:
    """As `open_at`, with the store's locks. Raises also RefusedError (it can lock nothing), MissingExtraError."""
    store = open_lockable(url, options=options, note=progress.note)
    return open_on(store, options=options, environment=environment, clock=clock, progress=progress)


def lockable_period(text: str, url: str, options: Options = None) -> Period:
    """The period that `text` says, for a vault that is to be made at `url`.

    Raises UsageError, RefusedError when nothing can be locked there, MissingExtraError, and what the store raises.
    """
    period = parse_period(text)
    reason = locks_at(url, options).support().reason
    if reason:
        raise RefusedError(f"nothing can be locked: {reason}", hint="see docs/immutability.md")
    return period


def period_of(text: str | None, policy: Policy | None) -> Period | None:
    """The period that `text` says; None for `off`. Without a text, what suits the policy. Raises UsageError."""
    if policy is not None and longest_promise(policy) * NANOSECONDS > LONGEST_NS:
        raise UsageError("the policy promises to keep snapshots for more than 100 years, which no store locks for")
    if text == "off":
        if policy is not None:
            raise UsageError("`off` locks nothing, whatever a policy keeps", hint="leave --from-policy away")
        return None
    if text is not None:
        return parse_period(text)
    if policy is None:
        raise UsageError("for how long?", hint="give a PERIOD (30d, 90d:compliance, off), or --from-policy FILE")
    return Period(usual_least(policy))


def plan_lock(vault: Vault, period: Period, policy: Policy | None) -> LockReport:
    """What is locked, and for how long it would have to be by that setting. Changes nothing.

    Raises RefusedError when the bucket was made without locks.
    """
    require_locks(vault.handle)
    return lock_report(vault.handle, proposed(vault.handle, period, policy))


def set_lock(vault: Vault, period: Period | None, policy: Policy | None = None) -> tuple[LockSetting, Extended | None]:
    """Lock what the vault holds, and will hold, for that long, and for as long as the policy keeps it; None: no longer
    what is saved from now on.

    Raises CredentialError for all but keepers, RefusedError when the bucket was made without locks.
    """
    if period is not None:
        require_locks(vault.handle)
    setting = write_setting(vault.handle, period, policy)
    return setting, extend_locks(vault.handle) if period is not None else None


def show_locks(vault: Vault) -> LockReport:
    """What is locked until when, asked from the store."""
    return lock_report(vault.handle)


def extend_vault_locks(vault: Vault) -> Extended:
    """Lock what is not locked, and renew what will not be for long."""
    return extend_locks(vault.handle)


def plan_going_back(
    store: Store,
    before_ns: int,
    *,
    environment: Mapping[str, str] = os.environ,
    clock: Clock = SYSTEM_CLOCK,
    progress: Progress = SILENT,
) -> Planned:
    """How to get back to what stood at `before_ns` (by the store's clock). The vault need not open as it is now.

    Raises NotFoundError when there was no vault then, CredentialError, UsageError for a time to come.
    """
    locks = _locks(store)
    if before_ns > locks.now_ns():
        raise UsageError("the time to go back to has not come yet, by the store's clock")

    def open_past(past: Store) -> Handle:
        return _open_past(past, environment, clock, progress)

    plan, handle = plan_recovery(store, locks, open_past, before_ns, progress)
    return Planned(plan, Vault(handle))


def go_back(store: Store, planned: Planned, progress: Progress = SILENT) -> Recovered:
    """Carry the plan out. Afterwards the vault opens as usual; its restored objects are locked by `extend`."""
    done = apply_recovery(store, _locks(store), planned.plan, progress)
    handle = Handle(store, planned.past.handle.keys, planned.past.handle.clock, progress)
    memory_of(handle).forget()
    return done


def lock_again(store: Store, planned: Planned, progress: Progress = SILENT) -> Extended | None:
    """Lock what came back: versions that were made current are new ones. None where the vault has no lock setting.

    What goes wrong is told: the vault is back, whether it is locked or not.
    """
    handle = Handle(store, planned.past.handle.keys, planned.past.handle.clock, progress)
    try:
        return extend_locks(handle)
    except HoldfastError as error:
        progress.note(f"the vault is back, but NOT LOCKED again: {error.message}; `holdfast lock extend` locks it")
        return None


def open_past_vault(
    store: Store, time_ns: int, *, environment: Mapping[str, str] = os.environ, progress: Progress = SILENT
) -> Vault:
    """The vault as it was at that time, read-only: whatever stood then restores from there, and nothing changes."""
    past = PastStore(store, _locks(store), time_ns)
    return Vault(_open_past(past, environment, SYSTEM_CLOCK, progress))


def moments_of(
    store: Store,
    *,
    most: int = MOMENTS_MAX,
    past_whole: bool = False,
    environment: Mapping[str, str] = os.environ,
    clock: Clock = SYSTEM_CLOCK,
    progress: Progress = SILENT,
) -> list[Moment]:
    """As `find_moments`: the vault at each is opened with the credential of the environment. It need not open now."""

    def open_past(past: Store) -> Handle:
        return _open_past(past, environment, clock, progress)

    return find_moments(store, _locks(store), open_past, most=most, past_whole=past_whole, progress=progress)


def weakens(vault: Vault, period: Period | None, policy: Policy | None) -> bool:
    """Whether a lock setting would lock what is saved from now on for less than the one that is in force."""
    setting = read_setting(vault.handle)
    before = setting.period if setting is not None else None
    if setting is None or before is None:
        return False
    if period is None or period.seconds < before.seconds:
        return True
    weaker = before.mode is Mode.COMPLIANCE and period.mode is not Mode.COMPLIANCE
    return weaker or (bool(setting.policy) and policy != open_policy(vault.handle.keys, setting))


def _locks(store: Store) -> ObjectLocks:
    locks = locks_of(store)
    if locks is None:
        raise UsageError(f"{store.url} keeps no older versions")
    return locks


def _open_past(past: Store, environment: Mapping[str, str], clock: Clock, progress: Progress) -> Handle:
    """Not by `open_on`: what this machine last saw of the vault may be what the attacker made of it."""
    passphrase = passphrase_from_environment(environment)
    credential = None
    try:
        credential = find_credential(read_vault_id(past), environ=environment)
    except CredentialError:
        if passphrase is None and read_suite(past) is not Suite.PLAIN:
            raise
    opened = open_vault(
        past, credential, passphrase=passphrase if credential is None else None, clock=clock, progress=progress
    )
    opened.handle.keys.require_reader("going back to before an attack")
    return opened.handle
