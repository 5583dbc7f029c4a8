"""How often an asset is saved, how often it should be, and what decides that: from its snapshots in a vault."""

from __future__ import annotations

import statistics
from itertools import islice, pairwise
from typing import NamedTuple

from holdfast.errors import CredentialError, UsageError
from holdfast.objectives.failure_rates import FailureRate, estimate_rate, incidents_between
from holdfast.objectives.intervals import Choice, choose_interval
from holdfast.training.intervals.told import IntervalNote, note_in
from holdfast.vault.format.records import Root
from holdfast.vault.snapshots.refs import read_backwards
from holdfast.vault.snapshots.restores import RESTORED
from holdfast.vault.vault import Vault

__all__ = ["IntervalStatus", "interval_status"]

_SAVES_LOOKED_AT = 20
_RESTORES_LOOKED_AT = 1000
_NANOSECONDS = 1e9


class IntervalStatus(NamedTuple):
    """`newest`: the snapshot that counts. `note`: what its run said of its interval. `usual_seconds`: the median time
    between the last saves. `observed`: failures as the vault tells of them, each a full restore; None where nothing was
    watched. `choice`: the interval that follows; None where nothing says how often to save.
    """

    newest: Root | None
    age_seconds: float | None
    note: IntervalNote | None
    usual_seconds: float | None
    observed: FailureRate | None
    choice: Choice | None


def interval_status(vault: Vault, asset: str, rpo_seconds: float | None) -> IntervalStatus:
    """What the vault tells of the asset, now. The run's own rate counts before what the vault observed.

    Raises what listing snapshots raises; damaged ones are left out.
    """
    now = vault.handle.clock.now_ns()
    roots = sorted((one.root for one in vault.snapshots(asset) if one.root is not None), key=lambda root: root.content)
    if not roots:
        return IntervalStatus(None, None, None, None, None, _choice(None, None, rpo_seconds))
    newest = roots[-1]
    note = next((note for root in reversed(roots) if (note := note_in(root.meta)) is not None), None)
    gaps = [(after.content - before.content) / _NANOSECONDS for before, after in pairwise(roots[-_SAVES_LOOKED_AT:])]
    observed = _observed(vault, asset, roots[0].created, now)
    return IntervalStatus(
        newest=newest,
        age_seconds=(now - newest.content) / _NANOSECONDS,
        note=note,
        usual_seconds=statistics.median(gaps) if gaps else None,
        observed=observed,
        choice=_choice(note, observed, rpo_seconds),
    )


def _observed(vault: Vault, asset: str, since_ns: int, now_ns: int) -> FailureRate | None:
    """Restores since the first snapshot: whoever restores all of a state goes on from it, after something ended it.

    One that many hosts do within ten minutes is one. A vault that was watched for no time tells nothing.
    """
    try:
        times = [ref.created for ref in islice(read_backwards(vault.handle, asset, RESTORED), _RESTORES_LOOKED_AT)]
    except CredentialError:
        return None
    begin = min(times) if len(times) == _RESTORES_LOOKED_AT else since_ns
    if now_ns <= begin:
        return None
    return estimate_rate(incidents_between(times, begin, now_ns), (now_ns - begin) / _NANOSECONDS)


def _choice(note: IntervalNote | None, observed: FailureRate | None, rpo_seconds: float | None) -> Choice | None:
    rate = note.rate if note is not None and note.rate is not None else observed
    cost = note.cost if note is not None else None
    try:
        return choose_interval(cost=cost, rate=rate, rpo_seconds=rpo_seconds)
    except UsageError:
        return None
