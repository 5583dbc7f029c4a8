"""Metrics of a snapshot: what the training says of itself, kept with it and watched."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from holdfast.errors import UsageError
from holdfast.vault.format.records import Finding
from holdfast.vault.saving.history import History
from holdfast.vault.saving.outliers import outlier

__all__ = ["METRIC", "checked_metrics", "metrics_in", "metrics_as_meta", "examine_metrics"]

METRIC = "metric."  # before the name, in a root's `meta`
_NAME = re.compile(r"[^\s=]{1,200}")

# What is better when it is small, and when it is large. Of others, like a learning rate, only NaN and Inf are findings.
# Short ones only as a word of the name: `eval_f1`, `acc_norm`, and not `maps` or `access`.
_LOSS_LIKE = re.compile(r"loss|perplexity|(?<![a-z0-9])ppl(?![a-z0-9])|nll|error|grad_?norm", re.IGNORECASE)
_SCORE_LIKE = re.compile(
    r"acc(uracy)?(?![a-z0-9])|score|bleu|rouge|reward|(?<![a-z0-9])(f1|map)(?![a-z0-9])", re.IGNORECASE
)
_FLOOR = 0.25  # of the median: less is noise between batches


def checked_metrics(given: Any) -> dict[str, float]:
    """Metrics as a caller gave them. Raises UsageError: a name without spaces and `=`, a real number (NaN is one)."""
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise UsageError(f"metrics are a mapping of names to numbers, not a {type(given).__name__}")
    found: dict[str, float] = {}
    for name, value in given.items():
        if not isinstance(name, str) or not _NAME.fullmatch(name) or not _is_unicode(name):
            raise UsageError(f"{name!r} cannot be the name of a metric", hint="text without spaces and `=`")
        if isinstance(value, (bool, str, bytes)):
            raise UsageError(f"the metric {name!r} is a number: {value!r} is not")
        try:
            found[str.__str__(name)] = float(value)
        except (TypeError, ValueError, OverflowError, RuntimeError) as error:  # a RuntimeError: a tensor gone
            raise UsageError(f"the metric {name!r} is a number: {type(value).__name__} is not") from error
    return found


def metrics_as_meta(metrics: Mapping[str, float]) -> dict[str, str]:
    """`{"loss": 1.9}` → `{"metric.loss": "1.9"}`: the shortest text that gives the same number again."""
    return {f"{METRIC}{name}": repr(value) for name, value in metrics.items()}


def metrics_in(meta: Mapping[str, str]) -> dict[str, float]:
    """The metrics of a root; what is no number is none."""
    found = {}
    for key, text in meta.items():
        if key.startswith(METRIC):
            try:
                found[key.removeprefix(METRIC)] = float(text)
            except ValueError:
                continue
    return found


def examine_metrics(metrics: Mapping[str, float], history: History) -> list[Finding]:
    """`metric-outlier` for what is not finite, and for a loss that rises (a score that falls) beyond its history."""
    findings = []
    for name, value in metrics.items():
        where = f"metric {name}"
        if not math.isfinite(value):
            findings.append(Finding("metric-outlier", where, f"it is {value}"))
            continue
        rising, falling = _LOSS_LIKE.search(name), _SCORE_LIKE.search(name)
        before = history.metric(name)
        if not before or not (rising or falling):
            continue
        middle = sorted(before)[len(before) // 2]
        out = outlier(value, before, _FLOOR * abs(middle))
        if out is not None and (value > out.median if rising else value < out.median):
            bound = out.median + out.allowed if rising else out.median - out.allowed
            message = (
                f"it is {value:.6g}; in the last {len(before)} snapshots its median was {out.median:.6g}, "
                f"and {'up' if rising else 'down'} to {bound:.6g} would not stand out"
            )
            findings.append(Finding("metric-outlier", where, message))
    return findings


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
