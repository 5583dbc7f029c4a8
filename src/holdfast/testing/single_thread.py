"""Work that is handed to pools of threads is done at once by who hands it over: what happens is then a function of the
order of operations alone, and can be repeated.
"""

from __future__ import annotations

import concurrent.futures
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from concurrent.futures import ThreadPoolExecutor as RealPool
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

from holdfast.fanout import beside

__all__ = ["AtOnce", "without_pools"]

_P = ParamSpec("_P")
_T = TypeVar("_T")
_lock = threading.Lock()


class AtOnce(Executor):
    """An executor whose `submit` returns when the work is done. Takes what ThreadPoolExecutor takes."""

    def __init__(self, max_workers: int | None = None, thread_name_prefix: str = "") -> None:
        return

    def submit(self, fn: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> Future[_T]:
        future: Future[_T] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except BaseException as error:  # noqa: BLE001 - an executor hands every error to who asks for the result
            future.set_exception(error)
        return future


@contextmanager
def without_pools() -> Iterator[None]:
    """While it lasts, the modules of Holdfast have no pools of threads, and copies no others. Not to be nested."""
    with _lock:
        _replace(RealPool, AtOnce)
        begin_thread, beside.begin_thread = beside.begin_thread, _no_thread
        try:
            yield
        finally:
            beside.begin_thread = begin_thread
            _replace(AtOnce, RealPool)


def _no_thread(work: Callable[[], None]) -> None:
    raise RuntimeError("work is done by who hands it over")


def _replace(old: type[Executor], new: type[Executor]) -> None:
    # `concurrent.futures` too, for modules that are imported later.
    named = [module for name, module in sorted(sys.modules.items()) if name.startswith("holdfast.")]
    for module in (*named, concurrent.futures):
        if vars(module).get("ThreadPoolExecutor") is old:
            vars(module)["ThreadPoolExecutor"] = new
