"""What is known of an asset's RPO and RTO now, each value with where it is from: for `objectives.standing`.

* The exposure is that of the last round of `site sync` that this machine saw, and all that has passed since.
* Copying is the median, over the last snapshots, of the time from their content until their root lay at the store that
  got it last, by the clocks of the stores; reading back, from there until this machine had read it back there.
* Which drill or recovery counts, `objectives.credit` says, of the runs by their journals and the drills by their
  evidence. A run is from the fault to its end where the time of the fault is known. Else of a rehearsal from its
  beginning, of a real one from the facts of its plan: then how long it took to notice the fault is not in it.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec

from holdfast.clock import NANOSECONDS, to_rfc3339
from holdfast.control.evidencing.crediting import NO_DRILLS, Drills
from holdfast.control.recovering.history import Past, ran
from holdfast.control.recovering.intending import Wanted, intent_of
from holdfast.control.recovering.probing import Prober
from holdfast.control.sites.declared import DeclaredAsset, DeclaredSites
from holdfast.control.sites.exposed import exposure_histories
from holdfast.errors import HoldfastError
from holdfast.objectives.credit import Attempt, Reach, credit_of
from holdfast.objectives.measured import NOT_MEASURED, NotMeasured
from holdfast.objectives.standing import Change, Observed, Standing, stand
from holdfast.recovery.facts import Facts
from holdfast.recovery.journal.entries import Deed, Entry
from holdfast.recovery.planning.planner import plan_recovery
from holdfast.recovery.plans import Plan
from holdfast.units import format_duration
from holdfast.vault.checking.proofs import Proofs
from holdfast.vault.format.names import SNAPSHOTS
from holdfast.vault.handle import Handle
from holdfast.vault.snapshots.roots import content_time, list_roots
from holdfast.vault.vault import Vault

__all__ = ["Stood", "standing_of"]

_SNAPSHOTS_LOOKED_AT = 20
_EVERYTHING = 1e10  # seconds: all that ever was

Figure = float | NotMeasured


class Stood(NamedTuple):
    """`sources`: name of a value of `Observed` → where it is from, or why there is none."""

    standing: Standing
    observed: Observed
    sources: Mapping[str, str]


class _Lags(NamedTuple):
    copying: Figure
    verifying: Figure
    why: str


def standing_of(
    sites: DeclaredSites,
    vault: Vault,
    asset: DeclaredAsset,
    runs: Mapping[str, Sequence[Entry]],
    past: Past,
    usual_seconds: float | None,
    drills: Drills = NO_DRILLS,
) -> Stood:
    """`usual_seconds`: between its last snapshots. Stores that do not answer make values NOT_MEASURED; never raises."""
    now = vault.handle.clock.now_ns()
    sources: dict[str, str] = {}
    declared = asset.owed.save_every.value
    interval: Figure = usual_seconds if usual_seconds is not None else declared or NOT_MEASURED
    sources["interval"] = (
        "median between the last snapshots"
        if usual_seconds is not None
        else "declared: save_every"
        if declared
        else "there are too few snapshots, and no save_every"
    )
    lags = _lags(sites, vault, asset)
    sources["copying"] = sources["verifying"] = lags.why
    credit = credit_of(one for one in drills.joined(_runs_of(asset.name, runs)) if one.asset == asset.name)
    sources["drilled"] = credit.why
    made, planned, sources["planned"] = _planned(sites, vault, asset, past)
    exposure, sources["exposure"] = _exposure(sites, asset.name, now)
    observed = Observed(
        asset=asset.name,
        at=now,
        rpo=asset.owed.rpo.value,
        rto=asset.owed.rto.value,
        exposure=exposure,
        interval=interval,
        copying=lags.copying,
        verifying=lags.verifying,
        drilled=credit.drilled,
        undrilled=credit.why if credit.drilled is None else "",
        planned=planned,
    )
    observed = msgspec.structs.replace(observed, changes=_changes(sites, vault, asset, observed, made))
    return Stood(stand(observed), observed, sources)


def _exposure(sites: DeclaredSites, asset: str, now: int) -> tuple[Figure, str]:
    try:
        [history] = exposure_histories(sites, [asset])
    except OSError as error:
        return NOT_MEASURED, f"the series of exposures cannot be read ({error.strerror})"
    if not history.points:
        return NOT_MEASURED, "no round of `site sync` was seen here"
    last = history.points[-1]
    passed = max(0.0, (now - last.at) / NANOSECONDS)
    round_ = f"round of {to_rfc3339(last.at)[:16]}Z, {last.site} lost, {format_duration(passed)} since"
    if not last.measured:
        return NOT_MEASURED, f"{round_}: what survives had not been read back"
    return (_EVERYTHING if last.seconds is None else last.seconds + passed), round_


def _lags(sites: DeclaredSites, vault: Vault, asset: DeclaredAsset) -> _Lags:
    """At the store that is latest: what has not arrived everywhere does not survive everything."""
    copying: list[float] = []
    verifying: list[float] = []
    why = "no copy lies at another site"
    try:
        targets = asset.targets
    except HoldfastError as error:
        return _Lags(NOT_MEASURED, NOT_MEASURED, error.message)
    for name in targets:
        try:
            copied, verified = _lags_at(sites, vault, asset.name, name)
        except HoldfastError as error:
            return _Lags(NOT_MEASURED, NOT_MEASURED, f"{name}: {error.message}")
        if not copied:
            return _Lags(NOT_MEASURED, NOT_MEASURED, f"nothing has come to {name}")
        copying.append(statistics.median(copied))
        verifying += [statistics.median(verified)] if verified else []
        why = f"median of the last {len(copied)} at {', '.join(targets)}"
    if not copying:
        return _Lags(NOT_MEASURED, NOT_MEASURED, why)
    proven = len(verifying) == len(copying)
    return _Lags(max(copying), max(verifying) if proven else NOT_MEASURED, why)


def _lags_at(sites: DeclaredSites, vault: Vault, asset: str, store: str) -> tuple[list[float], list[float]]:
    own = vault.handle
    handle = Handle(sites.store(store).store, own.keys, own.clock, own.progress, own.workers)
    prefix = f"{SNAPSHOTS}{own.keys.names.asset_key(asset)}/"
    written = {info.key.rpartition("/")[2]: info.modified_ns for info in handle.store.list(prefix)}
    roots = [one.root for one in list_roots(handle, asset) if one.root is not None][-_SNAPSHOTS_LOOKED_AT:]
    proofs = Proofs(handle).snapshots()
    copied = [(written[one.id] - content_time(one)) / NANOSECONDS for one in roots if one.id in written]
    verified = [
        (proofs[one.id].at - written[one.id]) / NANOSECONDS for one in roots if one.id in written and one.id in proofs
    ]
    return [max(0.0, one) for one in copied], [max(0.0, one) for one in verified]


def _runs_of(asset: str, runs: Mapping[str, Sequence[Entry]]) -> Iterator[Attempt]:
    """Those that PASSED or FAILED, by their journals."""
    for run, entries in runs.items():
        ended = ran(run, entries)
        if ended is None or ended.verdict not in ("PASSED", "FAILED") or asset not in ended.plan.intent.assets:
            continue
        seconds, kind, reach = ended.seconds, "recovery", Reach.RECOVERY
        if ended.plan.intent.isolated:
            seconds = ended.seconds if ended.from_fault else _taken_to_end(entries)
            kind, reach = "rehearsal", Reach.COMPONENT
        yield Attempt(
            asset=asset,
            at=ended.at,
            passed=ended.verdict == "PASSED",
            reach=reach,
            scenario="",
            what=f"the {kind} {run}",
            run=run,
            rto=seconds,
        )


def _taken_to_end(entries: Iterable[Entry]) -> float:
    times = [entry.at for entry in entries if entry.deed in (Deed.TAKEN, Deed.ENDED)]
    return max(0.0, (times[-1] - times[0]) / NANOSECONDS)


def _planned(
    sites: DeclaredSites, vault: Vault, asset: DeclaredAsset, past: Past
) -> tuple[tuple[Plan, Facts] | None, Figure, str]:
    try:
        intent, assets = intent_of(sites, Wanted(asset.name))
        facts = Prober(sites, vault, assets, intent.to, past).facts()
        plan = plan_recovery(intent, facts)
    except HoldfastError as error:
        return None, NOT_MEASURED, f"no plan of today: {error.message}"
    if not plan.rto.known:
        return (plan, facts), NOT_MEASURED, str(plan.rto)
    return (plan, facts), plan.rto.most, f"a plan of today to {plan.site}: {plan.rto}"


def _changes(
    sites: DeclaredSites, vault: Vault, asset: DeclaredAsset, observed: Observed, made: tuple[Plan, Facts] | None
) -> tuple[Change, ...]:
    """None where what is there cannot be looked at, or a price book is none."""
    from holdfast.control.recovering.pricing import changes_for

    try:
        listed = list_roots(vault.handle, asset.name)
        roots = [one.root for one in listed if one.root is not None][-_SNAPSHOTS_LOOKED_AT:]
        return changes_for(sites, asset, observed, roots, made)
    except HoldfastError as error:
        sites.progress.note(f"{asset.name}: what would help is not known: {error.message}")
        return ()
