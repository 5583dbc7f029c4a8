"""What a recovery cost, and what the fault cost before it was over: figures with their inputs, each with its source.

Part of the record since November 2026; records without it are read. A figure of which an input is missing is
NOT_MEASURED, and `notes` say which input, and why.
"""

from __future__ import annotations

import msgspec

from holdfast.objectives import NOT_MEASURED, NotMeasured

__all__ = ["ComputeCost", "Costs", "LostWork", "ReadCost"]

Figure = float | NotMeasured


class ComputeCost(msgspec.Struct, frozen=True, kw_only=True):
    """Machines that a step got, from when it had them until what runs on them was good (`until` says what ended it).

    `machines` of `gpus` GPUs each, at `price_per_hour` for one machine and hour. `begun_utc` and `ended_utc` are of
    the journal, `seconds` lie between them. GPU-hours = machines × GPUs × seconds / 3,600; amount = machines × price ×
    seconds / 3,600.
    """

    step: str
    asset: str
    site: str
    shape: str
    machines: int | NotMeasured = NOT_MEASURED
    begun_utc: str = ""
    ended_utc: str = ""
    until: str = ""
    seconds: Figure = NOT_MEASURED
    gpus: Figure = NOT_MEASURED
    gpu_hours: Figure = NOT_MEASURED
    price_per_hour: Figure = NOT_MEASURED
    amount: Figure = NOT_MEASURED
    notes: tuple[str, ...] = ()


class ReadCost(msgspec.Struct, frozen=True, kw_only=True):
    """What a restore read from `store` to `site`, as the journal has it: bytes that came, and requests.

    amount = bytes × egress / `egress_gb` + bytes × retrieval / `gb` + requests × price / 1,000. `egress_gb`, `gb`:
    bytes of the GB that each of these prices is for. Within a site there is no egress.
    """

    step: str
    asset: str
    store: str
    site: str
    bytes: int | NotMeasured = NOT_MEASURED
    requests: int | NotMeasured = NOT_MEASURED
    egress_per_gb: Figure = NOT_MEASURED
    egress_gb: int = 1 << 30
    retrieval_per_gb: Figure = NOT_MEASURED
    price_per_1000: Figure = NOT_MEASURED
    gb: int = 1 << 30
    amount: Figure = NOT_MEASURED
    notes: tuple[str, ...] = ()


class LostWork(msgspec.Struct, frozen=True, kw_only=True):
    """GPU time of a training at `site` that the fault took: work that is done again, and GPUs that stood idle.

    rework = steps × step_seconds × machines × GPUs / 3,600; idle = idle_seconds × machines × GPUs / 3,600, where
    `idle_seconds` is the RTO; GPU-hours are their sum; amount = GPU-hours × price_per_hour / GPUs.
    """

    asset: str
    site: str = ""
    steps: int | NotMeasured = NOT_MEASURED
    step_seconds: Figure = NOT_MEASURED
    machines: int | NotMeasured = NOT_MEASURED
    gpus: Figure = NOT_MEASURED
    rework_gpu_hours: Figure = NOT_MEASURED
    idle_seconds: Figure = NOT_MEASURED
    idle_gpu_hours: Figure = NOT_MEASURED
    gpu_hours: Figure = NOT_MEASURED
    price_per_hour: Figure = NOT_MEASURED
    amount: Figure = NOT_MEASURED
    notes: tuple[str, ...] = ()


class Costs(msgspec.Struct, frozen=True, kw_only=True):
    """All of it, in `currency` by the prices of the day `as_of`. `spent`: the sum of `compute` and `reading`;
    `gpu_hours`, `lost_amount`: the sums of `lost`. A sum is NOT_MEASURED as soon as one of its parts is, and where
    nothing failed nothing is lost: then these are NOT_MEASURED, too, as there was nothing to measure.
    """

    currency: str
    as_of: str
    compute: tuple[ComputeCost, ...] = ()
    reading: tuple[ReadCost, ...] = ()
    lost: tuple[LostWork, ...] = ()
    spent: Figure = NOT_MEASURED
    gpu_hours: Figure = NOT_MEASURED
    lost_amount: Figure = NOT_MEASURED
