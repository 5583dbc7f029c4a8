"""Lines of `config`."""

from __future__ import annotations

from collections.abc import Iterator

from holdfast.cli.output import Page
from holdfast.cli.phrases import count, printable
from holdfast.cli.schemas.configs import (
    AssetShown,
    ConfigChecked,
    ConfigShown,
    CountFrom,
    FlagFrom,
    PlacementShown,
    SecondsFrom,
    SiteShown,
    TextFrom,
)
from holdfast.cli.views.layout import Column, fact_lines, table
from holdfast.units import format_duration

__all__ = ["config_checked_lines", "config_shown_lines", "config_asset_lines"]


def config_checked_lines(record: ConfigChecked, page: Page) -> Iterator[str]:
    """`holdfast.yaml:12: sentence`, as compilers write it and editors understand it; or what the file has."""
    for one in record.problems:
        yield printable(f"{record.file}:{one.line}: {one.message}")
    for one in record.findings:
        yield printable(f"{record.file}:{one.line}: note: {one.message}")
    if not record.problems:
        declared = [count(record.sites, "site"), count(record.assets, "asset"), count(record.groups, "group")]
        yield from fact_lines([("file", record.file), ("declares", ", ".join(declared))], page.width)


def config_shown_lines(record: ConfigShown, page: Page) -> Iterator[str]:
    """All sites and assets, one line for each."""
    yield from fact_lines([("file", record.file), ("organisation", record.organisation)], page.width)
    yield ""
    columns = [Column("SITE"), Column("CLOUD"), Column("REGION"), Column("IN"), Column("STORES", elastic=True)]
    yield from table(columns, [_site_row(site) for site in record.sites], page.width)
    if record.assets:
        yield ""
        columns = [Column("ASSET", elastic=True), Column("CLASS"), Column("RPO", right=True), Column("RTO", right=True)]
        columns += [Column("HOME"), Column("ALSO AT", elastic=True), Column("SURVIVES")]
        yield from table(columns, [_asset_row(asset) for asset in record.assets], page.width)


def _site_row(site: SiteShown) -> list[str]:
    stores = " ".join(f"{store.tier}={store.url}" for store in site.stores)
    return [site.name, site.cloud, site.region, site.jurisdiction, stores]


def _asset_row(asset: AssetShown) -> list[str]:
    placement = asset.placement
    others = [name for name in placement.tiers if name != placement.home.partition("/")[0]]
    also = ", ".join(others) + (f" ({placement.stripes})" if placement.stripes else "")
    survives = count(placement.losses, "site")
    return [asset.name, asset.class_name, _span(asset.rpo), _span(asset.rto), placement.home, also or "–", survives]


def config_asset_lines(record: ConfigShown, page: Page) -> Iterator[str]:
    """One asset: each value, and where it comes from."""
    for asset in record.assets:
        yield from fact_lines(_asset_facts(asset), page.width)


def _asset_facts(asset: AssetShown) -> list[tuple[str, str]]:
    like = "" if asset.kind == asset.class_name else f", like {asset.kind}"
    return [
        ("asset", asset.name),
        ("class", f"{asset.class_name}{like}"),
        ("watch", asset.watch or ""),
        ("path", asset.path or ""),
        ("RPO", _sourced(_span(asset.rpo), asset.rpo)),
        ("RTO", _sourced(_span(asset.rto), asset.rto)),
        ("copies", _sourced(str(asset.copies.value), asset.copies)),
        ("locked", _sourced("yes" if asset.immutable.value else "no", asset.immutable)),
        ("saved", _sourced(f"every {_span(asset.save_every)}", asset.save_every) if asset.save_every.value else ""),
        ("copied", _sourced(f"every {_span(asset.replicate_every)}", asset.replicate_every)),
        ("verified", _sourced(f"every {_span(asset.verify_every)}", asset.verify_every)),
        ("priority", _sourced(f"{asset.priority.value} of 9", asset.priority)),
        ("keeps", _sourced(asset.keep.value, asset.keep)),
        *((f"to {one.tier}", _tier_text(one.after_seconds, one.unread_seconds)) for one in asset.tiers),
        ("may lie", _rules(asset)),
        *_placement_facts(asset.placement),
    ]


def _placement_facts(placement: PlacementShown) -> list[tuple[str, str]]:
    where = placement.source + (f", line {placement.line}" if placement.line is not None else "")
    if placement.stripes is not None:
        lies = f"stripes {placement.stripes} over {', '.join(placement.synchronous)}"
    else:
        lies = ", ".join(f"{name}/{tier}" for name, tier in placement.tiers.items())
    waits = f"{placement.quorum} of {', '.join(placement.synchronous)}"
    return [
        ("home", placement.home),
        ("lies at", f"{lies} ({where})"),
        ("a save waits for", waits if len(placement.synchronous) > 1 else placement.home),
        ("later at", ", ".join(placement.asynchronous)),
        ("survives", f"the loss of {count(placement.losses, 'site')}"),
    ]


def _rules(asset: AssetShown) -> str:
    rules = asset.jurisdictions
    said = [f"only in {', '.join(rules.only)}"] if rules.only is not None else []
    said += [f"not in {', '.join(rules.not_in)}"] if rules.not_in else []
    lines = f" ({'line' if len(rules.lines) == 1 else 'lines'} {', '.join(map(str, rules.lines))})"
    return " and ".join(said) + lines if said else ""


def _tier_text(after: float, unread: float) -> str:
    also = f" and not read for {format_duration(unread)}" if unread else ""
    return f"when older than {format_duration(after)}{also}"


def _span(value: SecondsFrom) -> str:
    return "–" if value.value is None else "0" if value.value == 0 else format_duration(value.value)


def _sourced(text: str, value: SecondsFrom | CountFrom | FlagFrom | TextFrom) -> str:
    line = f", line {value.line}" if value.line is not None else ""
    return f"{text} ({value.source}{line})"
