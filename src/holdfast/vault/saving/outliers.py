"""Whether a tensor, or a metric, is unlike what it was in the snapshots before: robust tests, no training of any model.

A value is an outlier when it is further from the median of the last values than 3.5 modified z-scores, that is
3.5 / 0.6745 times their median absolute deviation (MAD), and than a floor below which nobody would want to be woken.
The modified z-score and its 3.5: Iglewicz and Hoaglin, How to Detect and Handle Outliers, 1993. Median and MAD break
down only when half of the values are bad, where mean and standard deviation break down with the first: Rousseeuw and
Croux, Alternatives to the Median Absolute Deviation, JASA 88, 1993.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from itertools import pairwise
from statistics import median
from typing import NamedTuple

from holdfast.vault.format.records import Entry, Finding, TensorRecord
from holdfast.vault.saving.history import History, Sight, sight_of, tensor_name

__all__ = ["TENSOR_CHECKS", "ENOUGH", "Outlier", "outlier", "examine_history", "find_frozen"]

TENSOR_CHECKS = ("norm-outlier", "range-outlier", "zeros-jump", "reset")
ENOUGH = 5  # snapshots: fewer have no spread to speak of
_LIMIT = 3.5 / 0.6745  # of MADs
_SMALL = 64  # elements; tiny tensors jump for good reasons

_OPTIMIZER_STATE = re.compile(r"optim|exp_avg|momentum|adam", re.IGNORECASE)
# Of logarithms: a weight's norm that doubles, a largest value that is four times what it was. Moments of an optimizer
# follow the gradients: in a healthy run they have been seen to grow by 2.4e4 within ten snapshots.
_NORM_FLOOR, _REACH_FLOOR, _OPTIMIZER_FLOOR = math.log(2), math.log(4), math.log(1e6)

_FEW_ZEROS, _MANY_ZEROS = 0.01, 0.5

# A reset moves all weights at once, each by little: tensors that all take a step that is this many times the largest
# of their last steps, and more than one part in a thousand.
_RESET_STEPS, _RESET_FLOOR, _RESET_SHARE, _RESET_LEAST = 4.0, 1e-3, 0.5, 3


class Outlier(NamedTuple):
    """How far a value is out: the median and the spread that was allowed for."""

    median: float
    allowed: float


def outlier(value: float, before: Sequence[float], floor: float) -> Outlier | None:
    """Whether `value` is an outlier beside `before`; None when it is not, or when there are too few of them."""
    if len(before) < ENOUGH or not math.isfinite(value):
        return None
    centre = median(before)
    allowed = max(floor, _LIMIT * median(abs(one - centre) for one in before))
    return Outlier(centre, allowed) if abs(value - centre) > allowed else None


def examine_history(path: str, shown: str, entry: Entry, parent: Entry | None, history: History) -> list[Finding]:
    """Findings about one file's tensors. `path`: as for `tensor_name`; `shown`: for the findings.

    `parent` is the same file of the parent snapshot: what is known where there is no history.
    """
    before = {tensor.name: tensor for tensor in parent.tensors} if parent is not None else {}
    findings: list[Finding] = []
    watched: list[tuple[str, Sight, list[Sight]]] = []
    for tensor in entry.tensors:
        if tensor.norm is None or math.prod(tensor.shape) < _SMALL:
            continue
        where, now = f"{shown}: {tensor.name}", sight_of(tensor)
        rows = history.rows(tensor_name(path, tensor)) or _rows_of_parent(tensor, before.get(tensor.name))
        found = _examine_tensor(where, now, rows)
        findings.extend(found)
        if not found and not _OPTIMIZER_STATE.search(where):
            watched.append((where, now, rows))
    findings.extend(_examine_together(shown, watched))
    return findings


def find_frozen(path: str, entry: Entry, history: History) -> list[str]:
    """Tensors that have the statistics of the snapshot before, to the bit, though they changed every time till now.

    Empty when nothing else in the file changed: then it is simply the same file. Not a finding: a layer may be frozen.
    """
    frozen, moved = [], False
    for tensor in entry.tensors:
        rows = history.rows(tensor_name(path, tensor))
        if tensor.norm is None or len(rows) < ENOUGH:
            continue
        same = sight_of(tensor).mark == rows[-1].mark
        moved = moved or not same
        if same and all(earlier.mark != later.mark for earlier, later in pairwise(rows)):
            frozen.append(tensor.name)
    return frozen if moved else []


def _rows_of_parent(tensor: TensorRecord, parent: TensorRecord | None) -> list[Sight]:
    if parent is None or parent.norm is None or (parent.dtype, parent.shape) != (tensor.dtype, tensor.shape):
        return []
    return [sight_of(parent)]


def _examine_tensor(where: str, now: Sight, rows: list[Sight]) -> list[Finding]:
    if not rows:
        return []
    shares = [row.zeros for row in rows if not math.isnan(row.zeros)]
    usual_share = max(median(shares), shares[-1]) if shares else 1.0
    if (usual_share < _FEW_ZEROS and now.zeros > _MANY_ZEROS) or (usual_share < _MANY_ZEROS and now.zeros == 1.0):
        usual = f"{median(shares):.2%} of the values were 0 in {_last(len(shares))}"
        return [Finding("zeros-jump", where, f"{now.zeros:.2%} of the values are 0; {usual}")]
    optimizer = _OPTIMIZER_STATE.search(where) is not None
    tests = (
        ("norm-outlier", "the norm", now.norm, [row.norm for row in rows], _NORM_FLOOR),
        ("range-outlier", "the largest absolute value", now.reach, [row.reach for row in rows], _REACH_FLOOR),
    )
    for check, what, value, known, floor in tests:
        finite = [one for one in known if math.isfinite(one)]
        out = outlier(value, finite, max(floor, _OPTIMIZER_FLOOR) if optimizer else floor)
        if out is not None:
            low, high = _exp(out.median - out.allowed), _exp(out.median + out.allowed)
            message = (
                f"{what} is {_exp(value):.4g}; in {_last(len(finite))} its median was {_exp(out.median):.4g}, "
                f"and {low:.4g} to {high:.4g} would not stand out"
            )
            return [Finding(check, where, message)]
    return []


def _examine_together(shown: str, watched: list[tuple[str, Sight, list[Sight]]]) -> list[Finding]:
    """Weights that were put back, or replaced by those of another run: no norm is absurd, but all step at once."""
    judged = stepped = 0
    example = ""
    for where, now, rows in watched:
        norms = [row.norm for row in rows if math.isfinite(row.norm)]
        if len(norms) < ENOUGH or not math.isfinite(now.norm):
            continue
        usual = max(abs(later - earlier) for earlier, later in pairwise(norms))
        step = abs(now.norm - norms[-1])
        judged += 1
        if step > max(_RESET_STEPS * usual, _RESET_FLOOR):
            stepped += 1
            name = where.rpartition(": ")[2]
            example = example or f"that of {name} from {_exp(norms[-1]):.5g} to {_exp(now.norm):.5g}"
    if stepped < _RESET_LEAST or stepped < _RESET_SHARE * judged:
        return []
    message = (
        f"the norms of {stepped} of {judged} tensors jumped at once, each by more than {_RESET_STEPS:g} times its "
        f"largest step in the last snapshots ({example}): are these weights of this run?"
    )
    return [Finding("reset", shown, message)]


def _last(number: int) -> str:
    return "the parent snapshot" if number == 1 else f"the last {number} snapshots"


def _exp(value: float) -> float:
    try:
        return math.exp(value)
    except OverflowError:
        return math.inf
