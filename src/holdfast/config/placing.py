"""Where the copies of an asset lie, worked out from what is declared; or why they cannot lie so.

Two sites of one cloud and region are one failure domain: a second copy in it is not counted. A rule on jurisdictions is
never bent: a placement that breaks one is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from holdfast.config.effective import Effective, landing_tier
from holdfast.config.model import Config, Site
from holdfast.config.words import Stripes, Tier

__all__ = ["Fault", "Placed", "Placement", "place"]


class Fault(NamedTuple):
    """Why a placement is refused, and the place in the file that says so."""

    path: tuple[str | int, ...]
    message: str


class Placement(msgspec.Struct, frozen=True, kw_only=True):
    """Where an asset lies. `synchronous` begins with the home; a save returns when `quorum` of these have it.

    `stripes`: packs are cut over `synchronous`, all of which a save waits for; else each site has them whole.
    `tiers`: site → the tier of the store to which snapshots come first. `chosen`: nobody named the sites.
    """

    home: str
    synchronous: tuple[str, ...]
    asynchronous: tuple[str, ...]
    quorum: int
    stripes: Stripes | None
    tiers: dict[str, Tier]
    chosen: bool

    @property
    def sites(self) -> tuple[str, ...]:
        """All, the home first."""
        return self.synchronous + self.asynchronous

    @property
    def stores(self) -> tuple[str, ...]:
        """To which its snapshots come first, in the order of the sites: `euw4/warm`."""
        return tuple(f"{site}/{self.tiers[site].value}" for site in self.sites)

    @property
    def losses(self) -> int:
        """How many of the sites may be lost at once, with the data still there."""
        return self.stripes.m if self.stripes is not None else len(self.sites) - 1


class Placed(NamedTuple):
    """`placement` is None where none can be made out at all."""

    placement: Placement | None
    faults: list[Fault]


def place(config: Config, owed: Effective) -> Placed:
    """Pure. Sites that are not in `config.sites` are passed over: who reads the file says so (`checking/names.py`)."""
    return _Placing(config, owed).placed()


class _Placing:
    def __init__(self, config: Config, owed: Effective) -> None:
        self._sites = config.sites
        self._owed = owed
        self._wanted = owed.wanted.value
        self._at = owed.wanted.path or ("assets", owed.name)
        self._faults: list[Fault] = []

    def placed(self) -> Placed:
        wanted = self._wanted
        if wanted.stripes is not None:
            found = self._striped(wanted.stripes)
        elif wanted.sites:
            self._fault("`sites` is for stripes; copies lie at the sites of `synchronous` and `asynchronous`", "sites")
            found = None
        else:
            found = self._copied()
        return Placed(found, self._faults)

    def _striped(self, stripes: Stripes) -> Placement | None:
        wanted = self._wanted
        if wanted.synchronous or wanted.asynchronous:
            self._fault("stripes lie over `sites`: a save waits for all of them", "stripes")
            return None
        named = self._known(wanted.sites, "sites")
        if wanted.sites and len(wanted.sites) != stripes.n:
            self._fault(f"{stripes} lie over {stripes.n} sites, and {len(wanted.sites)} are named", "sites")
        sites = self._home_first(named or self._first(stripes.n))
        domains = self._domains(sites)
        if not wanted.sites and len(sites) < stripes.n:
            self._fault(f"{stripes} need {stripes.n} sites that fail independently{self._too_few(sites)}", "stripes")
        elif len(domains) < len(sites):
            self._fault(f"{self._together(sites)} of stripes {stripes}: losing it would lose too much", "sites")
        copies = self._owed.copies.value
        if copies is not None and stripes.m < copies - 1:
            self._fault(
                f"{stripes} survive the loss of {_number(stripes.m)}, and {copies} copies the loss of "
                f"{_number(copies - 1)}: take more parity",
                "stripes",
            )
        if self._owed.quorum.path:
            self._faults.append(Fault(self._owed.quorum.path, "stripes have no quorum: a save waits for all sites"))
        return self._made(sites, (), len(sites), stripes) if sites else None

    def _copied(self) -> Placement | None:
        wanted, quorum = self._wanted, self._owed.quorum.value
        chosen = not (wanted.synchronous or wanted.asynchronous)
        if chosen:
            copies = max(self._owed.copies.value or 1, quorum or 1)
            sites = self._home_first(self._first(copies))
            synchronous, asynchronous = sites[: quorum or 1], sites[quorum or 1 :]
        else:
            synchronous = self._known(wanted.synchronous, "synchronous")
            asynchronous = self._known(wanted.asynchronous, "asynchronous", synchronous)
            synchronous, asynchronous = self._with_home(synchronous, asynchronous)
        sites = [*synchronous, *asynchronous]
        if not sites:
            if chosen:
                self._fault(f"no site can have it{self._too_few(sites)}", "only_jurisdiction")
            return None
        self._count(sites, synchronous)
        return self._made(synchronous, asynchronous, quorum or len(synchronous), None)

    def _count(self, sites: Sequence[str], synchronous: Sequence[str]) -> None:
        owed = self._owed
        copies, domains = owed.copies.value, self._domains(sites)
        if copies is not None and len(domains) < copies:
            self._faults.append(
                Fault(
                    self._at,
                    f"{_number(copies)} that fail independently have to have a copy ({owed.copies.source})"
                    f"{self._too_few(sites)}",
                )
            )
            return
        quorum = owed.quorum.value
        where = owed.quorum.path or (*self._at, "synchronous")
        if quorum is not None and len(self._domains(synchronous)) < quorum:
            self._faults.append(
                Fault(
                    where,
                    f"a save has to wait for {_number(quorum)} that fail independently ({owed.quorum.source}), and "
                    f"`synchronous` names {len(self._domains(synchronous))}",
                )
            )
        elif (
            quorum is not None and 1 < quorum < len(synchronous) and len(self._domains(synchronous)) < len(synchronous)
        ):
            self._faults.append(Fault(where, f"{self._together(synchronous)}: a quorum could lie in it alone"))
        elif quorum == 1 and owed.rpo.value == 0:
            self._faults.append(Fault(where, "an RPO of 0 needs a quorum of two sites or more"))

    def _known(self, names: Iterable[str], field: str, others: Sequence[str] = ()) -> list[str]:
        """Those that exist, each once, and may have it."""
        found: list[str] = []
        for number, name in enumerate(names):
            site = self._sites.get(name)
            if name in found or name in others:
                self._faults.append(Fault((*self._at, field, number), f"`{name}` is named twice"))
            elif site is not None:
                self._refuse_jurisdiction(name, site, (*self._at, field, number))
                found.append(name)
        return found

    def _refuse_jurisdiction(self, name: str, site: Site, path: tuple[str | int, ...]) -> None:
        if not self._owed.rules.allows(site.jurisdiction):
            self._faults.append(
                Fault(path, f"`{name}` is in {site.jurisdiction}, and {self._owed.name} may lie {self._owed.rules}")
            )

    def _first(self, number: int) -> list[str]:
        """The first sites of the file that the rules allow, each of another failure domain."""
        found: dict[tuple[str, str], str] = {}
        home = self._owed.asset.home
        names = list(self._sites)
        if home is not None and home.site in self._sites:
            names = [home.site, *(name for name in names if name != home.site)]
        for name in names:
            site = self._sites[name]
            if self._owed.rules.allows(site.jurisdiction) and len(found) < number:
                found.setdefault(site.failure_domain, name)
        return list(found.values())

    def _home_first(self, sites: list[str]) -> list[str]:
        """Stripes keep the order that was given, but the home orders what must be ordered: it comes first."""
        home = self._owed.asset.home
        if home is None or home.site not in self._sites:
            return sites
        if home.site not in sites and not self._owed.rules.allows(self._sites[home.site].jurisdiction):
            self._refuse_jurisdiction(home.site, self._sites[home.site], ("assets", self._owed.name, "home"))
        elif home.site not in sites:
            self._fault_home(f"`{home.site}` is not among its sites, and cannot be its home")
        return [*(name for name in sites if name == home.site), *(name for name in sites if name != home.site)]

    def _with_home(self, synchronous: list[str], asynchronous: list[str]) -> tuple[list[str], list[str]]:
        home = self._owed.asset.home
        if home is not None and home.site in self._sites:
            if home.site in synchronous:
                return self._home_first(synchronous), asynchronous
            if synchronous or home.site not in asynchronous:
                where = "`synchronous`" if synchronous else "its sites"
                self._fault_home(f"`{home.site}` is not among {where}, and cannot be its home")
            else:
                return [home.site], [name for name in asynchronous if name != home.site]
        return (synchronous, asynchronous) if synchronous else (asynchronous[:1], asynchronous[1:])

    def _made(
        self, synchronous: Sequence[str], asynchronous: Sequence[str], quorum: int, stripes: Stripes | None
    ) -> Placement:
        tiers = {name: landing_tier(self._sites[name].stores) for name in (*synchronous, *asynchronous)}
        home = self._owed.asset.home
        if home is not None and home.tier is not None and home.site in tiers:
            if home.tier in self._sites[home.site].stores:
                tiers[home.site] = home.tier
            else:
                self._fault_home(f"`{home.site}` has no {home.tier} store")
        self._require_locks(tiers)
        wanted = self._wanted
        return Placement(
            home=synchronous[0],
            synchronous=tuple(synchronous),
            asynchronous=tuple(asynchronous),
            quorum=min(quorum, len(synchronous)),
            stripes=stripes,
            tiers=tiers,
            chosen=not (wanted.synchronous or wanted.asynchronous or wanted.sites),
        )

    def _require_locks(self, tiers: dict[str, Tier]) -> None:
        if not self._owed.immutable.value:
            return
        lacking = [name for name, tier in tiers.items() if self._sites[name].stores[tier].lock is None]
        needed = min(self._owed.copies.value or 1, len(tiers)) if self._wanted.stripes is None else len(tiers)
        if len(tiers) - len(lacking) < needed:
            stores = ", ".join(f"{name}/{tiers[name]}" for name in lacking)
            self._faults.append(
                Fault(
                    self._owed.immutable.path or self._at,
                    f"{_number(needed)} of {self._owed.name} have to lock it ({self._owed.immutable.source}), and "
                    f"{stores} {'has' if len(lacking) == 1 else 'have'} no `lock`",
                )
            )

    def _domains(self, sites: Iterable[str]) -> set[tuple[str, str]]:
        return {self._sites[name].failure_domain for name in sites}

    def _together(self, sites: Sequence[str]) -> str:
        """Which sites are one failure domain, in words."""
        by_domain: dict[tuple[str, str], list[str]] = {}
        for name in sites:
            by_domain.setdefault(self._sites[name].failure_domain, []).append(name)
        (cloud, region), names = next(one for one in by_domain.items() if len(one[1]) > 1)
        return f"{' and '.join(names)} are one failure domain ({cloud} {region})"

    def _too_few(self, sites: Sequence[str]) -> str:
        """`, and there is 1: use1 and use2 are one failure domain`: why there are no more."""
        domains = self._domains(sites)
        there = f", and there {'is' if len(domains) == 1 else 'are'} {len(domains) or 'none'}"
        if len(domains) < len(sites):
            return f"{there}: {self._together(sites)}"
        barred = [name for name, site in self._sites.items() if not self._owed.rules.allows(site.jurisdiction)]
        if barred and not self._owed.wanted.value.sites:
            return f"{there}: it may lie {self._owed.rules}, which {', '.join(barred)} {_is(barred)} not"
        return there

    def _fault(self, message: str, field: str) -> None:
        self._faults.append(Fault((*self._at, field), message))

    def _fault_home(self, message: str) -> None:
        self._faults.append(Fault(("assets", self._owed.name, "home"), message))


def _number(sites: int) -> str:
    return f"{sites} site" if sites == 1 else f"{sites} sites"


def _is(names: Sequence[str]) -> str:
    return "is" if len(names) == 1 else "are"
