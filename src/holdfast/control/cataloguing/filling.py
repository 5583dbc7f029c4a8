"""The catalog of what `holdfast.yaml` declares: opened, filled from the stores, asked.

Needs the extra `catalog` (SQLAlchemy, Alembic), which is loaded when a catalog is first used. It decides nothing: who
is about to recover asks the stores.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from holdfast.control.authority.guarding import guard
from holdfast.control.sites.declared import DeclaredSites, store_name
from holdfast.errors import DamageError, FailedError, HoldfastError, MissingExtraError
from holdfast.homes import state_home
from holdfast.vault.vault import Vault

if TYPE_CHECKING:
    from holdfast.catalog.asking import AssetKnown, Overview
    from holdfast.catalog.database import Database
    from holdfast.catalog.projecting import Taken
    from holdfast.catalog.seen import Declared, StoreReader
    from holdfast.objectives.standing import Standing

__all__ = ["Cataloguing", "Updated", "catalog_place", "require_catalog"]


class Updated(NamedTuple):
    """What an update or a rebuild did, store by store. `aside`: where a damaged file was put; empty without one."""

    place: str
    stores: list[Taken]
    aside: str = ""

    @property
    def complete(self) -> bool:
        """Whether every store answered."""
        return not any(one.problem for one in self.stores)


def require_catalog() -> None:
    """Raises MissingExtraError without the packages that the catalog needs."""
    for name in ("sqlalchemy", "alembic"):
        if importlib.util.find_spec(name) is None:
            raise MissingExtraError(f"the catalog needs {name}", hint="pip install 'holdfast[catalog]'")


def catalog_place(organisation: str, environment: Mapping[str, str]) -> str:
    """`$HOLDFAST_CATALOG`, by default a file in the user's state folder. Raises FailedError without a home."""
    given = environment.get("HOLDFAST_CATALOG", "")
    if given:
        return given
    home = state_home(environment)
    if home is None:
        raise FailedError("there is no home folder to keep the catalog in", hint="set XDG_STATE_HOME")
    return str(home / "holdfast" / "catalog" / f"{organisation}.sqlite")


class Cataloguing:
    """The catalog of one organisation. Every verb opens it and closes it again."""

    def __init__(self, sites: DeclaredSites, place: str | None = None) -> None:
        """`place`: a path, or `postgresql://USER@HOST/NAME`; by default `catalog_place`. Raises MissingExtraError."""
        require_catalog()
        self._sites = sites
        self.place = place or catalog_place(sites.config.organisation, sites.environment)

    def update(self, *, afresh: bool = False) -> Updated:
        """Take in what is new at the stores; `afresh`: forget everything before, and read everything again.

        A file that SQLite cannot read is set aside, and made anew. Raises what opening the vault and the database
        raise, PermissionDeniedError. A store that does not answer is an outcome.
        """
        vault = self._sites.open_vault(list(self._sites.assets.values()))
        guard(vault, "vault.info")
        readers, problems = self._readers(vault)
        try:
            return self._filled(readers, problems, afresh=afresh)
        except DamageError as error:
            aside = self._aside(error)
        done = self._filled(readers, problems, afresh=True)
        return done._replace(aside=aside)

    def overview(self) -> Overview:
        """What there is. Asks no store. Raises NotFoundError where there is no catalog."""
        from holdfast.catalog.asking import overview

        with self._reading() as database, database.reading() as connection:
            return overview(connection)

    def asset(self, name: str) -> AssetKnown:
        """All that is known of one asset. Raises NotFoundError."""
        from holdfast.catalog.asking import asset_known

        with self._reading() as database, database.reading() as connection:
            return asset_known(connection, name, self._sites.clock.now_ns())

    def standings(self, assets: Sequence[str] | None = None) -> list[Standing]:
        """How each declared asset (of these) stands, as far as the catalog knows. Raises NotFoundError."""
        from holdfast.catalog.judging import stand_all

        with self._reading() as database, database.reading() as connection:
            return stand_all(connection, self._sites.clock.now_ns(), assets)

    @contextmanager
    def _reading(self) -> Iterator[Database]:
        from holdfast.catalog.opening import open_catalog

        database = open_catalog(self.place, self._sites.config.organisation, make=False)
        try:
            yield database
        finally:
            database.close()

    def _filled(
        self, readers: Sequence[StoreReader], problems: Mapping[str, HoldfastError], *, afresh: bool
    ) -> Updated:
        from holdfast.catalog.opening import open_catalog
        from holdfast.catalog.projecting import Projection, Taken
        from holdfast.control.cataloguing.meaning import Meanings

        database = open_catalog(self.place, self._sites.config.organisation)
        try:
            projection = Projection(database, Meanings(), self._sites.clock)
            projection.declare(self._declared())
            taken = [Taken(name, 0, 0, error.message) for name, error in problems.items()]
            for reader in readers:
                self._sites.progress.phase(f"cataloguing {reader.name}", None)
                one = projection.take(reader, anew=afresh)
                if one.problem and afresh:
                    projection.forget(reader.name)
                taken.append(one)
            if afresh:
                for name in problems:
                    projection.forget(name)
            return Updated(database.shown, taken)
        finally:
            database.close()

    def _readers(self, vault: Vault) -> tuple[list[StoreReader], dict[str, HoldfastError]]:
        from holdfast.control.cataloguing.reading import VaultReader

        readers: list[StoreReader] = []
        problems: dict[str, HoldfastError] = {}
        for store in self._declared().stores:
            try:
                home = vault.handle if store.site else self._sites.open_at(store.name).handle
                readers.append(VaultReader(home, self._sites.store(store.name)))
            except HoldfastError as error:
                problems[store.name] = error
        return readers, problems

    def _declared(self) -> Declared:
        from holdfast.catalog.seen import Declared, DeclaredAsset, DeclaredSite, DeclaredStore

        config, assets = self._sites.config, self._sites.assets
        stores = {
            store_name(name, tier): DeclaredStore(store_name(name, tier), name, tier.value)
            for name, site in config.sites.items()
            for tier in site.stores
        }
        for asset in assets.values():
            if asset.set_name:  # its shards are no replicas; together they are one
                stores[asset.set_name] = DeclaredStore(asset.set_name, "", "stripes")
                for site in asset.placement.sites:
                    stores.pop(asset.at(site), None)
        return Declared(
            tuple(
                DeclaredSite(name, site.cloud.value, site.region, site.jurisdiction)
                for name, site in config.sites.items()
            ),
            tuple(stores.values()),
            tuple(
                DeclaredAsset(
                    name,
                    asset.owed.kind.value,
                    asset.placement.sites[0] if not asset.set_name else "",
                    asset.owed.rpo.value,
                    asset.owed.rto.value,
                    asset.owed.priority.value,
                )
                for name, asset in assets.items()
            ),
        )

    def _aside(self, error: DamageError) -> str:
        from holdfast.catalog.opening import is_address, set_aside

        if is_address(self.place) or error.object_name != self.place:
            raise error
        try:
            aside = set_aside(Path(self.place), self._sites.clock)
        except HoldfastError as trouble:
            raise trouble from error
        self._sites.progress.note(f"{error.message}: it was set aside as {aside}, and is made anew")
        return str(aside)
