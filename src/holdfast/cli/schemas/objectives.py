"""Output of `holdfast objective`."""

from __future__ import annotations

from typing import Annotated

import msgspec

from holdfast.cli.schemas.common import Count, Record, Seconds

__all__ = ["BoundFacts", "RateFacts", "SaveCostFacts", "ObjectiveFacts", "ObjectiveStatus"]
__all__ += ["ChangeFacts", "StandingFacts", "TargetFacts"]

Decider = Annotated[
    str, msgspec.Meta(description="`cost`, `rpo`, `saving`, `at_least`, `at_most` or `first`: see docs/intervals.md")
]


class BoundFacts(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that speaks for an interval, and why."""

    decider: Decider
    seconds: Seconds
    reason: str


class RateFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Failures. `source`: `given`, `estimated`, or `bound` (none was seen: an upper limit). `mtbf_seconds` is planned
    with; it lies between `mtbf_low_seconds` and `mtbf_high_seconds` (null: no end) with `confidence`.
    """

    source: str
    mtbf_seconds: Seconds
    mtbf_low_seconds: Seconds | None
    mtbf_high_seconds: Seconds | None
    confidence: float | None
    failures: Count | None
    observed_seconds: Seconds | None


class SaveCostFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a save costs, as the run measured it over `saves` of them."""

    stopped_seconds: Seconds
    slowed_seconds: Seconds
    durable_seconds: Seconds
    saves: Count


class ChangeFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What would meet a target. `reaches_seconds`: by measured figures. `monthly`: in `currency`, by the price book;
    null: not priced.
    """

    what: str
    reaches_seconds: Seconds
    monthly: float | None
    currency: str


class TargetFacts(msgspec.Struct, frozen=True, kw_only=True):
    """RPO or RTO. `state`: `MET`, `AT_RISK`, `NOT_MEASURED`, `UNATTAINABLE` or `BREACHED`; null values: NOT_MEASURED.

    `current_seconds`: what would be true of a fault now; `achievable_seconds`: the best of the present set-up.
    `cheapest`: of the changes that would meet it; null: none is known, or none is needed.
    """

    state: str
    target_seconds: Seconds | None
    current_seconds: Seconds | None
    achievable_seconds: Seconds | None
    reason: str
    cheapest: ChangeFacts | None


class StandingFacts(msgspec.Struct, frozen=True, kw_only=True):
    """How an asset stands. `state`: the worse of the two. `values`: what was put in, in seconds, null: NOT_MEASURED;
    `sources`: where each is from, or why there is none.
    """

    state: str
    rpo: TargetFacts
    rto: TargetFacts
    values: dict[str, Seconds | None]
    sources: dict[str, str]


class ObjectiveFacts(msgspec.Struct, frozen=True, kw_only=True):
    """One asset. `state`: of its RPO, by the age of its newest snapshot: `MET`, `MISSED` or `NOT_MEASURED`.

    `interval_seconds`: how often it should be saved, null where nothing says so; `decided_by`: the bound that decides;
    `overhead`: the share of time that saves and lost work cost then; `usual_seconds`: how often it was saved last.
    `attainable`: false where no interval keeps the RPO. `trouble`: why nothing could be seen. `standing`: against RPO
    and RTO, if any store of the asset could be asked.
    """

    asset: str
    class_name: str
    rpo_seconds: Seconds | None
    state: str
    newest: str | None
    step: int | None
    age_seconds: float | None
    interval_seconds: Seconds | None
    decided_by: str | None
    attainable: bool
    overhead: float | None
    bounds: list[BoundFacts]
    cost: SaveCostFacts | None
    planned_with: RateFacts | None
    observed: RateFacts | None
    usual_seconds: Seconds | None
    trouble: str | None
    standing: StandingFacts | None


class ObjectiveStatus(Record, frozen=True, kw_only=True, tag="holdfast/objective-status/1"):
    """`objective status`: every asset that holdfast.yaml declares, or the one that was named."""

    config: str
    assets: list[ObjectiveFacts]
