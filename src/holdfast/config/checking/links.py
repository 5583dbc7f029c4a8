"""Links: what is left of them after the reserve, and limits by time of day."""

from __future__ import annotations

from collections.abc import Iterator

from holdfast.config.checking.subject import Said, Subject
from holdfast.config.model import Link
from holdfast.config.reading import Path

__all__ = ["check_links"]


def check_links(subject: Subject) -> Iterator[Said]:
    """Links on which nothing could ever pass, and limits that limit nothing."""
    for name, site in subject.config.sites.items():
        path: Path = ("sites", name)
        if site.link is not None:
            if site.links:
                yield Said(
                    (*path, "link"), "`link` is for a site with one link, `links` for one with several: not both"
                )
            yield from _link(site.link, (*path, "link"))
        for called, link in site.links.items():
            yield from _link(link, (*path, "links", called))


def _link(link: Link, path: Path) -> Iterator[Said]:
    for direction in ("up", "down"):
        rate = getattr(link, direction)
        if rate is not None and link.reserve >= rate:
            yield Said((*path, "reserve"), f"the reserve leaves nothing of `{direction}` to copy with")
    if link.reserve and link.up is None and link.down is None:
        yield Said((*path, "reserve"), "a reserve needs `up` or `down`: of what is it kept free?")
    for number, limit in enumerate(link.limits):
        here = (*path, "limits", number)
        if limit.begin == limit.end:
            yield Said(here, "this begins when it ends: all day is from 00:00 to 24:00")
        if limit.begin == 1440:
            yield Said((*here, "from"), "a day has begun at 00:00; 24:00 is when it ends")
        if len(set(limit.days)) < len(limit.days):
            yield Said((*here, "days"), "a day stands here twice")
        fastest = max((rate for rate in (link.up, link.down) if rate is not None), default=None)
        if fastest is not None and limit.rate >= fastest - link.reserve:
            yield Said((*here, "rate"), "this limits nothing: the link has no more without it")
