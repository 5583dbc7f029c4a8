"""Opening the queue of an organisation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast.control.working.engine import require_workers

if TYPE_CHECKING:
    from holdfast.control.sites.declared import DeclaredSites
    from holdfast.control.working.dbos_workflows import DbosWorkflows

__all__ = ["open_queue"]


def open_queue(sites: DeclaredSites, url: str = "", *, mend: bool = False) -> DbosWorkflows:
    """As `holdfast.control.workflows.open_workflows` says. `mend`: an SQLite file that is damaged is set aside."""
    require_workers()
    from holdfast.control.working.database import default_place, open_database, revealed_place
    from holdfast.control.working.dbos_workflows import DbosWorkflows
    from holdfast.errors import DamageError, UnsupportedFormatError

    organisation = sites.config.organisation
    place = url or default_place(organisation, sites.environment)
    address, secret = revealed_place(place, sites.loaded.folder, sites.environment)
    database = open_database(address, secret=secret)
    try:
        return DbosWorkflows(database, sites)
    except DamageError as error:
        if not mend or not database.is_sqlite or isinstance(error, UnsupportedFormatError):  # a newer one is whole
            database.close()
            raise
    except BaseException:  # also a Ctrl-C: nobody else closes it
        database.close()
        raise
    aside = database.set_aside(sites.clock.now_ns())
    sites.progress.note(f"the queue of work was damaged: it lies at {aside} now, and a new one was begun")
    database = open_database(address, secret=secret)
    try:
        return DbosWorkflows(database, sites)
    except BaseException:  # also a Ctrl-C: nobody else closes it
        database.close()
        raise
