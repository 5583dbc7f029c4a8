"""Machines of sites on a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from holdfast.cli.output import Page
from holdfast.cli.phrases import count, printable
from holdfast.cli.schemas.computes import SiteCompute, SitePool, SiteStandby
from holdfast.cli.views.layout import folded
from holdfast.units import format_duration

__all__ = ["site_compute_lines", "site_standby_lines"]


def site_compute_lines(record: SiteCompute, page: Page) -> Iterator[str]:
    for pool in record.pools:
        yield from folded([_pool(pool)], page.width)
        if pool.taken_by:
            yield from folded([f"  taken by {', '.join(map(printable, pool.taken_by))}"], page.width)
    if not record.pools:
        yield "no site declares machines: `compute` of a site in holdfast.yaml"


def site_standby_lines(record: SiteStandby, page: Page) -> Iterator[str]:
    since = "now" if record.refreshed else record.at
    text = f"{printable(record.asset)} at {record.site}: {record.snapshot} in {printable(record.folder)} since {since}"
    yield from folded([text], page.width)


def _pool(pool: SitePool) -> str:
    where = f"{printable(pool.site)}: {printable(pool.shape)} ({pool.kind})"
    if pool.problem:
        return f"{where}: NOT PROBED: {printable(pool.problem)}"
    getting = "NOT_MEASURED" if pool.getting is None else format_duration(pool.getting)
    there = f"{pool.ready} ready, {pool.free} free, {pool.taken} taken"
    declared = f" of {count(pool.declared, 'machine')}" if pool.declared else ""
    return f"{where}: {there}{declared}; getting one: {getting}"
