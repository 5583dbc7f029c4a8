"""What a server works with: the file of declarations, the stores, the catalog, the queue of work, who may do what."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from holdfast.authority.resources import Resource, vault_resource
from holdfast.clock import SYSTEM_CLOCK, Clock
from holdfast.config.finding import LoadedConfig, find_config, load_config
from holdfast.control.authority.authorising import Authority
from holdfast.control.authority.authority_home import AuthorityHome
from holdfast.control.service.warming import warm_types
from holdfast.control.sites.declared import DeclaredSites
from holdfast.errors import DamageError, HoldfastError
from holdfast.events import SILENT, Progress

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from holdfast.catalog.database import Database
    from holdfast.control.workflows import Workflows
    from holdfast.vault.vault import Vault

__all__ = ["Service", "open_service"]

_LOOK_S: Final = 2.0  # how long a file that was read is taken to be unchanged
_VAULT_S: Final = 30.0  # how long an opened vault is used for reading: its configuration may have changed since


class Service:
    """One organisation's declarations, and what belongs to them, for many threads at a time.

    `workflows` is None where no queue of work could be opened; `work_problem` says why. `problem` says what is wrong
    with the file of declarations since it was read last: the last good one goes on counting. `backup_problem`: why the
    server's own databases could not be saved when that was last tried.
    """

    def __init__(
        self,
        loaded: LoadedConfig,
        *,
        environment: Mapping[str, str] = os.environ,
        clock: Clock = SYSTEM_CLOCK,
        progress: Progress = SILENT,
        catalog: str | None = None,
    ) -> None:
        """`catalog`: a path or an address, by default as `holdfast catalog` has it."""
        from holdfast.control.cataloguing.filling import catalog_place

        self.environment, self.clock, self.progress = environment, clock, progress
        self.config_path = loaded.path.absolute()
        self.catalog_place = catalog or catalog_place(loaded.config.organisation, environment)
        self.workflows: Workflows | None = None
        self.work_problem = ""
        self.backup_problem = ""
        self.problem = ""
        self._loaded, self._read = loaded, _Looked(clock, _stamp(self.config_path))
        self._lock = threading.RLock()
        self._database: Database | None = None
        self._vault: tuple[float, Vault] | None = None
        self._home: AuthorityHome | None = None
        self._home_at = 0.0
        self._vault_known: Resource | None = None

    @property
    def loaded(self) -> LoadedConfig:
        """What is declared now: read again when the file changed."""
        with self._lock:
            if self._read.is_due():
                stamp = _stamp(self.config_path)
                if stamp != self._read.stamp:
                    self._reload()
                self._read = _Looked(self.clock, stamp)
            return self._loaded

    def _reload(self) -> None:
        try:
            self._loaded = load_config(self.config_path, self.environment)
            self.problem = ""
            self._vault = None
        except HoldfastError as error:
            self.problem = f"{error.message}: what was declared before counts"
            self.progress.note(self.problem)

    @property
    def organisation(self) -> str:
        return self.loaded.config.organisation

    def sites(self) -> DeclaredSites:
        """What is declared, to be opened: new for each caller, as it is not for several threads."""
        return DeclaredSites(self.loaded, self.environment, self.clock, self.progress)

    def vault(self) -> Vault:
        """The vault of all assets, opened with the server's key at most half a minute ago: for reading.

        Whoever decides opens it anew by `sites()`. Raises what opening raises.
        """
        with self._lock:
            kept = self._vault
        now = self.clock.monotonic()
        if kept is not None and now - kept[0] < _VAULT_S:
            return kept[1]
        sites = self.sites()
        vault = sites.open_vault(list(sites.assets.values()))
        from holdfast.control.authority.guarding import vault_as_resource

        with self._lock:
            self._vault = (now, vault)
            self._vault_known = vault_as_resource(vault)
        return vault

    @property
    def label(self) -> str:
        """Of the key that the server signs with. Raises what opening the vault raises."""
        return self.vault().handle.keys.label

    def vault_as_asked(self) -> Resource:
        """For policies: the vault, as it was when it opened last; a sealed one of no name where it never did."""
        with self._lock:
            known = self._vault_known
        if known is not None:
            return known
        try:
            self.vault()
        except HoldfastError:
            return vault_resource("unknown", encrypted=True, name="that nobody could open yet")
        with self._lock:
            assert self._vault_known is not None
            return self._vault_known

    @contextmanager
    def catalog(self) -> Iterator[Connection]:
        """A transaction on the catalog that sees one moment. It stays open between callers.

        Raises NotFoundError where none was made yet, MissingExtraError, and what reading it raises.
        """
        database = self._catalog()
        try:
            with database.reading() as connection:
                yield connection
        except DamageError:
            self._forget_catalog(database)  # a rebuild sets the file aside, once nobody has it open
            raise

    def _catalog(self) -> Database:
        from holdfast.control.cataloguing.filling import require_catalog

        require_catalog()
        from holdfast.catalog.opening import open_catalog

        with self._lock:
            found = self._database
            if found is not None and found.path is not None and not found.path.exists():
                self._forget_catalog(found)
                found = None
            if found is None:
                found = self._database = open_catalog(self.catalog_place, self.organisation, make=False)
            return found

    def _forget_catalog(self, database: Database) -> None:
        with self._lock:
            if self._database is database:
                self._database = None
        database.close()

    def authority(self) -> Authority:
        """Who may do what, as the files of the installation say it: looked at again every few seconds."""
        with self._lock:
            now = self.clock.monotonic()
            if self._home is None:
                self._home = AuthorityHome(self.environment, self.clock, self.progress)
                self._home_at = now
            elif now - self._home_at >= _LOOK_S:
                self._home = self._home.renewed()
                self._home_at = now
            return Authority(self._home, origin="api")

    def close(self) -> None:
        """Afterwards nothing of it may be used any more."""
        with self._lock:
            database, self._database = self._database, None
            self._vault = None
        if database is not None:
            database.close()


class _Looked:
    """When a file was looked at, and what it was then."""

    def __init__(self, clock: Clock, stamp: tuple[int, ...]) -> None:
        self.stamp = stamp
        self._clock, self._at = clock, clock.monotonic()

    def is_due(self) -> bool:
        return self._clock.monotonic() - self._at >= _LOOK_S


def _stamp(path: Path) -> tuple[int, ...]:
    try:
        status = path.stat()
    except OSError:
        return ()
    return status.st_mtime_ns, status.st_size, status.st_ino


def open_service(
    config: Path | str | None = None,
    *,
    environment: Mapping[str, str] = os.environ,
    clock: Clock = SYSTEM_CLOCK,
    progress: Progress = SILENT,
    catalog: str | None = None,
    work: bool = True,
) -> Service:
    """Of the file at `config`, or the one that `find_config` finds; with the queue of work if `work`.

    Raises what loading the file raises. A queue that cannot be opened is said in `work_problem`.
    """
    warm_types()
    path = Path(config) if config is not None else find_config(environment)
    service = Service(
        load_config(path, environment), environment=environment, clock=clock, progress=progress, catalog=catalog
    )
    if work:
        from holdfast.control.workflows import open_workflows

        try:
            service.workflows = open_workflows(service.sites())
        except HoldfastError as error:
            service.work_problem = error.message
            progress.note(f"no work is queued: {error.message}")
    return service
