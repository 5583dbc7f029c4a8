"""What checks look at, and how they tell what they find."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import NamedTuple

from holdfast.config.effective import Effective, effective, kind_of
from holdfast.config.model import Config
from holdfast.config.placing import Placed, place
from holdfast.config.reading import Path, Problem

__all__ = ["Check", "Said", "Subject", "line_at"]


_DECISIVE = ("cloud", "region", "jurisdiction", "stores")


class Said(NamedTuple):
    """One finding, and the place in the file that it is about."""

    path: Path
    message: str


class Subject:
    """A file. Of what could not be read `config` lacks the content, and `named` has the names."""

    def __init__(self, config: Config, lines: Mapping[Path, int], torn: frozenset[Path]) -> None:
        """`torn`: where something could not be read, so that what is worked out from it would mislead."""
        self.config = config
        self.lines = lines
        self._torn = torn

    def named(self, section: str) -> dict[str, None]:
        """All names that a section of the file has, in its order."""
        return self._named.get(section, {})

    @cached_property
    def _named(self) -> dict[str, dict[str, None]]:
        found: dict[str, dict[str, None]] = {}
        for path in self.lines:
            if len(path) == 2:
                found.setdefault(str(path[0]), {})[str(path[1])] = None
        return found

    def is_torn(self, *path: str | int) -> bool:
        """Whether something at or below this place could not be read."""
        return any(one[: len(path)] == path for one in self._torn)

    @cached_property
    def owed(self) -> dict[str, Effective]:
        """Assets whose class is known."""
        config = self.config
        return {name: effective(config, name) for name, one in config.assets.items() if kind_of(config, one.class_name)}

    @cached_property
    def placed(self) -> dict[str, Placed]:
        """Assets of which everything that their placement depends on could be read, and exists."""
        return {name: place(self.config, owed) for name, owed in self.owed.items() if self._is_whole(owed)}

    def _is_whole(self, owed: Effective) -> bool:
        config, asset = self.config, owed.asset
        if not self._has_whole_sites or self.is_torn("assets", owed.name):
            return False
        spec = config.classes.get(asset.class_name)
        classes = [asset.class_name, *([spec.like] if spec is not None else [])]
        if any(self.is_torn("classes", name) for name in classes):
            return False
        wanted = owed.wanted.value
        sites = [*wanted.synchronous, *wanted.asynchronous, *wanted.sites, *([asset.home.site] if asset.home else [])]
        return all(name in config.sites for name in sites)

    @cached_property
    def _has_whole_sites(self) -> bool:
        """Whether all is known of each site that a placement depends on; a link may be misspelt."""
        sites = self.config.sites
        if ("sites",) in self._torn or len(sites) < len(self.named("sites")):
            return False
        return not any(
            ("sites", name) in self._torn
            or not site.stores
            or any(self.is_torn("sites", name, field) for field in _DECISIVE)
            for name, site in sites.items()
        )

    def problem(self, said: Said) -> Problem:
        return Problem(line_at(self.lines, said.path), said.message, said.path)


Check = Callable[[Subject], Iterator[Said]]


def line_at(lines: Mapping[Path, int], path: Path) -> int:
    """Where that stands in the file, or the nearest thing around it."""
    for end in range(len(path), 0, -1):
        if path[:end] in lines:
            return lines[path[:end]]
    return 1
