"""What the first request would wait for, done before anybody asks: modules, policies, the judgement of all assets, the
opened vault.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Final

from holdfast.errors import HoldfastError

if TYPE_CHECKING:
    from holdfast.control.service.context import Service

__all__ = ["make_ready"]

_LOG: Final = logging.getLogger("holdfast.serve")
_WAIT_S: Final = 10.0


def make_ready(service: Service, *more: Callable[[], object], wait: float = _WAIT_S) -> bool:
    """Whether all was done within `wait` seconds; else it goes on in the background: stores that do not answer keep
    no server from starting. What goes wrong is met, and said, by whoever asks for it.
    """
    steps = (_modules, lambda: _policies(service), lambda: _catalog(service), lambda: _stores(service), *more)

    def work() -> None:
        for step in steps:
            try:
                step()
            except HoldfastError as error:
                _LOG.info("not ready beforehand: %s", error.message)
            except Exception as error:  # noqa: BLE001 - whoever asks for it gets it as an answer
                _LOG.warning("not ready beforehand: unexpected %s", type(error).__name__)

    thread = threading.Thread(target=work, name="holdfast-readying", daemon=True)
    thread.start()
    thread.join(wait)
    return not thread.is_alive()


def _modules() -> None:
    from holdfast.control.service import reading

    for one in iter_modules(reading.__path__, f"{reading.__name__}."):
        import_module(one.name)


def _policies(service: Service) -> None:
    from holdfast.authority.deciding import Circumstances, decide
    from holdfast.authority.principals import ANONYMOUS
    from holdfast.authority.resources import PLANE

    policies = service.authority().home.in_force.policies
    decide(policies, ANONYMOUS, "site.list", PLANE, Circumstances(service.clock.now_ns()))


def _catalog(service: Service) -> None:
    from holdfast.control.service.reading.board import board_of

    board_of(service).judged()


def _stores(service: Service) -> None:
    from holdfast.control.recovering.recovering import Recoveries

    service.vault()
    Recoveries(service.sites()).runs(1)
