"""The output of `holdfast site compute`."""

from __future__ import annotations

import msgspec

from holdfast.cli.schemas.common import Record, Seconds, Time

__all__ = ["SiteCompute", "SitePool", "SiteStandby"]


class SitePool(msgspec.Struct, frozen=True, kw_only=True):
    """Machines of one shape at a site. `declared`: how many there are said to be (0: as many as there are). `ready`,
    `free`, `taken`: null where `problem` says why nobody knows. `taken_by`: keys of steps, names of jobs. `getting`:
    until a free one runs, and where that figure is from; null: nobody measured it.
    """

    site: str
    shape: str
    kind: str
    declared: int
    ready: int | None
    free: int | None
    taken: int | None
    taken_by: list[str]
    getting: Seconds | None
    getting_source: str
    problem: str


class SiteCompute(Record, frozen=True, kw_only=True, tag="holdfast/site-compute/1"):
    """`site compute`: probed at `at`, in the order of the file."""

    config: str
    at: Time
    pools: list[SitePool]


class SiteStandby(Record, frozen=True, kw_only=True, tag="holdfast/site-standby/1"):
    """`site standby`: `snapshot` of `asset` stands in `folder` since `at`. `refreshed`: it was put there just now."""

    asset: str
    site: str
    folder: str
    snapshot: str
    at: Time
    refreshed: bool
