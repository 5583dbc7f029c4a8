"""Lines of `holdfast site`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from holdfast.cli.output import Page
from holdfast.cli.phrases import age, count, short_id
from holdfast.cli.schemas.sites import (
    CopiedFacts,
    ExposureFacts,
    HealedFacts,
    SiteCreated,
    SiteFacts,
    SiteList,
    SiteStatus,
    SiteSynced,
    StripesFacts,
)
from holdfast.cli.views.layout import Column, fact_lines, folded, table
from holdfast.cli.views.workers import worker_lines
from holdfast.units import format_duration, format_size

__all__ = [
    "brief",
    "copied_lines",
    "healed_lines",
    "site_created_lines",
    "site_list_lines",
    "site_show_lines",
    "site_status_lines",
    "site_synced_lines",
]


def site_list_lines(record: SiteList, page: Page) -> Iterator[str]:
    columns = [
        Column("SITE"),
        Column("CLOUD"),
        Column("REGION", elastic=True),
        Column("JURISDICTION"),
        Column("STORES"),
        Column("STATE"),
        Column("HOME OF", right=True),
        Column("COPIES OF", right=True),
    ]
    rows = [
        (
            site.name,
            site.cloud,
            site.region,
            site.jurisdiction,
            ", ".join(store.tier for store in site.stores),
            site.state or "as declared",
            str(len(site.homes)),
            str(len(site.copies)),
        )
        for site in record.sites
    ]
    yield from table(columns, rows, page.width)


def site_show_lines(record: SiteList, page: Page) -> Iterator[str]:
    for site in record.sites:
        facts = [
            ("site", f"{site.name}: {site.cloud} {site.region}, {site.jurisdiction}"),
            ("state", _state(site)),
            *(("but", rival) for rival in site.rivals),
            ("home of", ", ".join(site.homes) or "nothing"),
            ("copies of", ", ".join(site.copies) or "nothing"),
        ]
        for store in site.stores:
            said = "not asked" if store.answers is None else f"DOES NOT ANSWER: {store.problem}"
            if store.answers:
                said = count(store.snapshots or 0, "snapshot")
            first = format_duration(store.restore_seconds)
            facts.append((store.tier, f"{store.url}, first byte within {first}: {said}"))
        yield from fact_lines(facts, page.width)


def _state(site: SiteFacts) -> str:
    if not site.state:
        return ""
    return f"{site.state} since {site.since}, as {site.by or 'somebody'} said: {site.reason}"


def site_status_lines(record: SiteStatus, page: Page) -> Iterator[str]:
    columns = [
        Column("ASSET", elastic=True),
        Column("STORE"),
        Column("THERE", right=True),
        Column("READ BACK", right=True),
        Column("COMPLETE TO", right=True),
        Column("BEHIND", right=True),
    ]
    rows = []
    for one in record.arrivals:
        if one.problem:
            rows.append((one.asset, one.store, "?", "?", "?", "NO ANSWER"))
            continue
        rows.append(
            (
                one.asset,
                f"{one.store}{' (home)' if one.home else ''}",
                f"{one.there}/{one.wanted}",
                str(one.verified),
                age(one.complete, page.now_ns) if one.complete is not None else "–",
                "–" if one.lag is None else "no" if one.lag == 0 else format_duration(one.lag),
            )
        )
    if rows:
        yield from table(columns, rows, page.width)
        yield ""
    if record.stripes:
        yield from _stripe_lines(record.stripes, page)
        yield ""
    yield from _exposure_lines(record.exposures, page)
    for store in record.outdated:
        yield f"{store}: the vault's configuration lies behind: `holdfast site sync` brings it"
    for text in record.stuck:
        yield f"stuck: {text}"


def site_synced_lines(record: SiteSynced, page: Page) -> Iterator[str]:
    yield from folded(_synced(record), page.width)
    yield from fact_lines(worker_lines(record.workers), page.width)
    if record.exposures:
        yield ""
        yield from _exposure_lines(record.exposures, page)


def _synced(record: SiteSynced) -> Iterator[str]:
    if not record.copies and not record.copied and not record.healed and not record.configured:
        yield "nothing to copy"
    for one in record.configured:
        if record.dry_run:
            yield f"would bring the vault's configuration to {one.store}, which lies behind"
        else:
            yield f"configuration of {one.store}: {count(one.generations, 'generation')} from {one.source or 'nowhere'}"
        if one.error:
            yield f"  lies behind still: {one.error}"
    if record.dry_run:
        for copy in record.copies:
            size = format_size(copy.bytes)
            yield (
                f"would copy {count(copy.snapshots, 'snapshot')} of {copy.asset} to {copy.target} "
                f"from {copy.sources[0] if copy.sources else 'nowhere'}, {size} at most"
            )
    yield from copied_lines(record.copied)
    yield from healed_lines(record.healed, dry_run=record.dry_run)
    for text in record.stuck:
        yield f"stuck: {text}"


def copied_lines(copied: Iterable[CopiedFacts]) -> Iterator[str]:
    """One for each copy, and one more for what it lacks."""
    for done in copied:
        rate = f", {format_size(done.bytes / done.seconds)}/s" if done.bytes and done.seconds else ""
        yield (
            f"{done.asset}: {count(done.arrived, 'snapshot')} to {done.target} from {done.source}, "
            f"{format_size(done.bytes)} in {format_duration(done.seconds)}{rate}"
        )
        if done.error or done.left_out:
            yield f"  {done.left_out} not: {done.error or 'damaged at every source'}"


def healed_lines(healed: Iterable[HealedFacts], *, dry_run: bool = False) -> Iterator[str]:
    """One for each set of stripes to which something was written, and one for each thing that is owed still."""
    for one in healed:
        if one.packs or one.objects:
            what = f"{count(one.packs, 'pack')} and {count(one.objects, 'other object')}"
            does = "would get" if dry_run else "got"
            yield (
                f"{', '.join(one.assets)} (stripes {one.stripes}): sites that lacked them {does} {what}, "
                f"{format_size(one.bytes_written)}"
            )
        yield from (f"  not healed: {text}" for text in one.unhealed)


def site_created_lines(record: SiteCreated, page: Page) -> Iterator[str]:
    facts = [
        ("assets", ", ".join(record.assets)),
        ("stripes", f"{record.stripes} over {', '.join(record.sites)}; the first is the home"),
        ("any machine", f"--vault {record.url}"),
    ]
    if record.vault:
        facts += [("vault", record.vault), ("key file", record.key_file), ("recipients", ", ".join(record.recipients))]
    yield from fact_lines(facts, page.width)
    for text in record.refusals:
        yield f"refused: {text}"


def _stripe_lines(found: Iterable[StripesFacts], page: Page) -> Iterator[str]:
    columns = [
        Column("IN STRIPES", elastic=True),
        Column("STORE"),
        Column("PACKS", right=True),
        Column("LACKS", right=True),
        Column("OTHERS LACKING", right=True),
        Column("STATE"),
    ]
    rows = []
    for one in found:
        for site in one.sites:
            known = site.packs is not None
            rows.append(
                (
                    f"{', '.join(one.assets)} ({one.stripes})",
                    f"{site.store}{' (home)' if site.home else ''}",
                    "?" if one.packs is None else str(one.packs),
                    str(site.packs) if known else "?",
                    str(site.objects) if known else "?",
                    ("whole" if not site.packs and not site.objects else "OWED") if known else "NOT THERE",
                )
            )
    yield from table(columns, rows, page.width)
    for one in found:
        if one.problem:
            yield f"{', '.join(one.assets)}: {one.problem}"
        if one.fragments:
            yield f"{', '.join(one.assets)}: {count(one.fragments, 'pack')} in fragments: interrupted saves, or lost"
        yield from (f"{site.store}: {site.problem}" for site in one.sites if site.problem and not one.problem)


def _exposure_lines(found: Iterable[ExposureFacts], page: Page) -> Iterator[str]:
    columns = [
        Column("IF LOST"),
        Column("ASSET", elastic=True),
        Column("LOSES", right=True),
        Column("OWES", right=True),
        Column("SURVIVES"),
        Column("STATE"),
    ]
    rows = [
        (
            one.site,
            one.asset,
            _loss(one),
            "–" if one.rpo is None else brief(one.rpo),
            f"{short_id(one.snapshot)} at {one.store}" if one.snapshot else "nothing",
            {True: "met", False: "BREACHED", None: "NOT MEASURED"}[one.met],
        )
        for one in found
    ]
    yield from table(columns, rows, page.width)


def _loss(one: ExposureFacts) -> str:
    if one.protection == "none":
        return "ALL"
    if one.seconds is None:
        return f"({brief(one.arrived_seconds or 0)})"
    return brief(one.seconds)


def brief(seconds: float) -> str:
    """In the largest unit of which there are two at least: how much is at stake, not a measurement."""
    for name, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {name}"
    return f"{seconds:.0f} s"
