"""How often training fails, given or estimated from incidents, with how sure that is. Pure.

Failures are taken as a Poisson process of constant rate λ: n failures in the time T give the maximum-likelihood
estimate λ = n / T (its reciprocal is the mean time between failures). The interval of confidence is Garwood's exact one
(F. Garwood, "Fiducial limits for the Poisson distribution", Biometrika 28, 1936, 437–442):

    lower = χ²(α/2; 2n) / 2T        upper = χ²(1 − α/2; 2n + 2) / 2T        with confidence 1 − α

where χ²(p; k) is the quantile of the chi-square distribution with k degrees of freedom. Zero incidents give no
estimate, only a one-sided upper bound, −ln(α) / T: nothing lies below.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Literal

import msgspec

from holdfast.errors import UsageError

__all__ = ["FailureRate", "given_rate", "estimate_rate", "incidents_between", "chi_square_quantile", "CONFIDENCE"]

CONFIDENCE = 0.95
_TERMS = 100_000  # of a series or a fraction: both converge in about √(degrees of freedom) steps
_TINY = 1e-300
_EPSILON = 1e-15


class FailureRate(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Failures per second. `per_second` is what is planned with: given, estimated, or (`bound`) the upper limit.

    `low`, `high`: between them the rate lies with `confidence`; None where nothing was observed. `failures` in
    `observed_seconds` are what it was estimated from.
    """

    per_second: float
    source: Literal["given", "estimated", "bound"]
    low: float | None = None
    high: float | None = None
    confidence: float | None = None
    failures: int | None = None
    observed_seconds: float | None = None

    @property
    def mtbf_seconds(self) -> float:
        """Mean time between failures."""
        return 1 / self.per_second


def given_rate(mtbf_seconds: float) -> FailureRate:
    """A rate that somebody states, as the mean time between failures of the whole job. Raises UsageError."""
    if not 0 < mtbf_seconds < math.inf or math.isinf(1 / mtbf_seconds):
        raise UsageError(f"a mean time between failures is a positive number of seconds, not {mtbf_seconds!r}")
    return FailureRate(per_second=1 / mtbf_seconds, source="given")


def estimate_rate(failures: int, observed_seconds: float, confidence: float = CONFIDENCE) -> FailureRate:
    """The rate that incidents tell. Raises UsageError for what cannot be observed."""
    if failures < 0 or isinstance(failures, bool):
        raise UsageError(f"{failures} failures cannot be")
    if not 0 < observed_seconds < math.inf:
        raise UsageError(f"failures are counted over a positive number of seconds, not {observed_seconds!r}")
    if not 0 < confidence < 1:
        raise UsageError(f"a confidence lies between 0 and 1: {confidence!r} does not")
    alpha = 1 - confidence
    if failures == 0:
        bound = -math.log(alpha) / observed_seconds
        return FailureRate(
            per_second=bound,
            source="bound",
            low=0.0,
            high=bound,
            confidence=confidence,
            failures=0,
            observed_seconds=observed_seconds,
        )
    return FailureRate(
        per_second=failures / observed_seconds,
        source="estimated",
        low=chi_square_quantile(alpha / 2, 2 * failures) / (2 * observed_seconds),
        high=chi_square_quantile(1 - alpha / 2, 2 * failures + 2) / (2 * observed_seconds),
        confidence=confidence,
        failures=failures,
        observed_seconds=observed_seconds,
    )


def incidents_between(times_ns: Iterable[int], begin_ns: int, end_ns: int, together_seconds: float = 600.0) -> int:
    """How many incidents these times are, within the window. What follows the one before within `together_seconds` is
    the same incident: a dead node is told by each rank.
    """
    counted, last = 0, None
    for time in sorted(time for time in times_ns if begin_ns <= time <= end_ns):
        if last is None or time - last > together_seconds * 1e9:
            counted += 1
        last = time
    return counted


def chi_square_quantile(p: float, degrees: int) -> float:
    """x with P(χ² ≤ x) = p, by bisection of the regularised incomplete gamma function P(k/2, x/2)."""
    if not 0 < p < 1 or degrees < 1:
        raise UsageError(f"there is no quantile {p!r} of {degrees} degrees of freedom")
    shape = degrees / 2
    low, high = 0.0, max(1.0, float(degrees))
    while _lower_gamma(shape, high / 2) < p:
        low, high = high, 2 * high
    while high - low > 1e-13 * high:
        middle = (low + high) / 2
        if not low < middle < high:
            break
        low, high = (middle, high) if _lower_gamma(shape, middle / 2) < p else (low, middle)
    return (low + high) / 2


def _lower_gamma(shape: float, x: float) -> float:
    """P(a, x): Abramowitz and Stegun 6.5.29 (series) below a + 1, else 1 − 6.5.31 (continued fraction, Lentz)."""
    if x <= 0:
        return 0.0
    scale = math.exp(shape * math.log(x) - x - math.lgamma(shape))
    if x < shape + 1:
        term = total = 1 / shape
        for n in range(1, _TERMS):
            term *= x / (shape + n)
            total += term
            if term < _EPSILON * total:
                break
        return min(1.0, scale * total)
    b = x + 1 - shape
    c, d = 1 / _TINY, 1 / b
    fraction = d
    for n in range(1, _TERMS):
        a = -n * (n - shape)
        b += 2
        d = 1 / (_nonzero(a * d + b))
        c = _nonzero(b + a / c)
        step = c * d
        fraction *= step
        if abs(step - 1) < _EPSILON:
            break
    return max(0.0, 1 - scale * fraction)


def _nonzero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY
