"""Proving snapshots in turn: those that most need it first, as far as a budget goes. The order is `objectives.rota`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from holdfast.clock import NANOSECONDS
from holdfast.errors import CredentialError, DamageError, FailedError, HoldfastError, NotFoundError, UsageError
from holdfast.objectives.rota import Candidate, Due, order
from holdfast.vault.checking.proofs import Proofs
from holdfast.vault.checking.verifying import DECODED, Verified, verify_decoded
from holdfast.vault.format.names import SNAPSHOTS
from holdfast.vault.format.records import Root
from holdfast.vault.handle import Handle
from holdfast.vault.snapshots.finding import list_roots
from holdfast.vault.snapshots.refs import VALIDATED, read_backwards

__all__ = ["Turn", "Rota", "plan_rota", "run_rota"]

_WORTH_MAX = 1e12  # a score stays a number that can be written down


class Turn(NamedTuple):
    """A snapshot in the order of proving. `bytes`: what reading it back takes, counted in plaintext."""

    root: Root
    due: Due
    bytes: int


class Rota(NamedTuple):
    """What came of a round: proven, damaged (snapshot → what is wrong), and how many had no place in the budget."""

    turns: list[Turn]
    proven: dict[str, Verified]
    damaged: dict[str, str]
    left: int


def plan_rota(
    handle: Handle,
    *,
    worth: Mapping[str, float] | None = None,
    replicas: Sequence[Handle] = (),
    budget: int | None = None,
    count: int | None = None,
) -> tuple[list[Turn], int]:
    """The snapshots to prove now, in order, and how many do not fit.

    `worth`: asset → how much it matters (0 to 10¹²), 1 where none is given; an asset without snapshots is noted, for
    its name may be misspelt. `budget`: bytes; the first always fits, and what is too large for the rest of it is passed
    over for what is not. Snapshots that cannot be read at all are left out: `check` names them.

    Raises CredentialError, UsageError.
    """
    handle.keys.require_reader("proving snapshots in turn")
    _require_numbers(worth or {})
    roots = {one.root.id: one.root for one in list_roots(handle) if one.root is not None}
    times = _proof_times(handle, {root.asset for root in roots.values()})
    for asset in sorted((worth or {}).keys() - {root.asset for root in roots.values()}):
        handle.progress.note(f"{asset!r} has no snapshots here: what it is worth changes nothing")
    elsewhere = [_snapshots_at(handle, replica) for replica in replicas]
    now = handle.clock.now_ns()
    candidates = [
        Candidate(
            snapshot=root.id,
            asset=root.asset,
            worth=(worth or {}).get(root.asset, 1.0),
            proven_seconds=max(0, now - times[root.id]) / NANOSECONDS if root.id in times else None,
            copies=1 + sum(root.id in held for held in elsewhere),
        )
        for root in roots.values()
    ]
    turns: list[Turn] = []
    spent = 0
    for due in order(candidates):
        root = roots[due.candidate.snapshot]
        size = sum(link.size for link in root.parts)
        if (count is not None and len(turns) >= count) or (budget is not None and turns and spent + size > budget):
            continue
        turns.append(Turn(root, due, size))
        spent += size
    return turns, len(candidates) - len(turns)


def run_rota(handle: Handle, turns: Sequence[Turn], left: int) -> Rota:
    """Read these back, one after the other. Damage is in the result, not raised; a store that is away is raised."""
    proofs = Proofs(handle)
    rota = Rota(list(turns), {}, {}, left)
    for turn in turns:
        try:
            rota.proven[turn.root.id] = verify_decoded(handle, turn.root)
        except (DamageError, NotFoundError, CredentialError, FailedError) as error:
            rota.damaged[turn.root.id] = error.message
            proofs.forget(snapshots=[turn.root.id])
        else:
            proofs.credit_snapshot(turn.root.id, DECODED)
    return rota


def _require_numbers(worth: Mapping[str, float]) -> None:
    for asset, value in worth.items():
        if not 0 <= value <= _WORTH_MAX:  # NaN is neither
            raise UsageError(f"the worth of {asset!r} is not a number from 0 to {_WORTH_MAX:.0e}")


def _proof_times(handle: Handle, assets: set[str]) -> dict[str, int]:
    """Snapshot → when (ns) it was last read back: as this machine remembers, and as `validated` ever said."""
    latest = handle.clock.now_ns() + 86_400 * NANOSECONDS  # a wrong clock must not keep a snapshot from being proven
    times = {snapshot: proven.at for snapshot, proven in Proofs(handle).snapshots().items()}
    for asset in sorted(assets):
        try:
            for ref in read_backwards(handle, asset, VALIDATED):
                if ref.check is not None and ref.check.level == DECODED and ref.check.at <= latest:
                    times[ref.target] = max(ref.check.at, times.get(ref.target, 0))
        except HoldfastError as error:
            handle.progress.note(f"when {asset!r} was validated cannot be read: {error.message}")
    return times


def _snapshots_at(handle: Handle, replica: Handle) -> set[str]:
    try:
        return {info.key.rpartition("/")[2] for info in replica.store.list(SNAPSHOTS)}
    except HoldfastError as error:
        handle.progress.note(f"{replica.store.url} does not count as a copy: {error.message}")
        return set()
