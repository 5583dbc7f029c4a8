"""Keeps the catalog fresh while a server runs: a look at all stores now and then, by one thread."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Final

from holdfast.errors import HoldfastError

if TYPE_CHECKING:
    from holdfast.control.service.context import Service

__all__ = ["Refresher"]

_LOG: Final = logging.getLogger("holdfast.catalog")


class Refresher:
    """`every_s`: between the end of one look and the beginning of the next."""

    def __init__(self, service: Service, every_s: float) -> None:
        self._service, self._every = service, every_s
        self._gone = threading.Event()
        self._thread = threading.Thread(target=self._run, name="catalog", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Do not begin another look; the one that is under way is waited for, for a little."""
        self._gone.set()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        said = ""
        while not self._gone.is_set():
            problem = self._look()
            if problem != said:
                said = problem
                _LOG.warning("the catalog is not fresh: %s", problem) if problem else _LOG.info("the catalog is fresh")
            self._gone.wait(self._every)

    def _look(self) -> str:
        from holdfast.control.cataloguing.filling import Cataloguing

        try:
            sites = self._service.sites()
            sites.learn()
            done = Cataloguing(sites, self._service.catalog_place).update()
        except HoldfastError as error:
            return error.message
        silent = [f"{one.store}: {one.problem}" for one in done.stores if one.problem]
        return "; ".join(silent)[:1000]
