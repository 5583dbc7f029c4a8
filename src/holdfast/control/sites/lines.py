"""The links of `holdfast.yaml` as lines: limits by the time of day, marks, priorities, several ways to one store."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from holdfast.clock import Clock
from holdfast.config.model import Link, Site, StoreSpec
from holdfast.config.model import Way as DeclaredWay
from holdfast.stores.opening import open_store
from holdfast.stores.protocol import Store

if TYPE_CHECKING:
    from holdfast.stores.lines.line import Line

__all__ = ["SiteLines", "says_something"]

Revealed = Callable[[DeclaredWay], tuple[Mapping[str, str], Mapping[str, str]]]


class SiteLines:
    """The lines of this process, one for each link that says something; made when a store over it is opened."""

    def __init__(self, clock: Clock, note: Callable[[str], None]) -> None:
        self._clock = clock
        self._note = note
        self._lines: dict[tuple[str, str], Line] = {}

    def open_store(self, name: str, site: Site, spec: StoreSpec, priority: int, revealed: Revealed) -> Store:
        """A store of the site called `name`, over all of its ways, the best first.

        `revealed`: options and credentials of a way, without references. Where no link says anything there is no line.
        """
        ways = spec.ways()
        if len(ways) == 1 and not says_something(site.link_called(ways[0].link)):
            options, credentials = revealed(ways[0])
            return open_store(ways[0].url, options=options, credentials=credentials, clock=self._clock, note=self._note)
        from holdfast.stores.lines.ways import Way, open_ways

        found = []
        for way in ways:
            options, credentials = revealed(way)
            line = self._line(name, way.link, site.link_called(way.link))
            found.append((line, Way(way.url, options, credentials)))
        return open_ways(found, priority=priority, clock=self._clock, note=self._note)

    def _line(self, site: str, link_name: str, link: Link) -> Line:
        if (site, link_name) not in self._lines:
            from holdfast.stores.lines.line import Line
            from holdfast.stores.lines.terms import Limit, LineTerms

            terms = LineTerms(
                site if not link_name else f"{site}/{link_name}",
                # The file says what leaves the site; for who sends to the site that is the other direction.
                up=link.down,
                down=link.up,
                reserve=link.reserve,
                limits=tuple(
                    Limit(limit.begin, limit.end, limit.rate, tuple(day.value for day in limit.days))
                    for limit in link.limits
                ),
                timezone=link.timezone,
                dscp=link.dscp,
            )
            self._lines[site, link_name] = Line(terms, self._clock, note=self._note)
        return self._lines[site, link_name]

    def measured(self) -> dict[str, float]:
        """Bytes per second that were seen lately, away from this machine, by the name of the line."""
        speeds = {line.terms.name: line.snapshot().up.measured for line in self._lines.values()}
        return {name: speed.bytes_per_s for name, speed in speeds.items() if speed is not None}

    def close(self) -> None:
        """End all lines, and with them the stores that were opened over them."""
        for line in self._lines.values():
            line.close()
        self._lines.clear()


def says_something(link: Link) -> bool:
    """Whether what goes over it has to keep to anything."""
    return bool(link.up or link.down or link.limits or link.dscp is not None)
