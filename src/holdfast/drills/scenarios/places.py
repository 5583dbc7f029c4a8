"""Faults of places: a site that is gone, a store that lost its content."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from holdfast.drills.stage import Stage
from holdfast.drills.trial.founding import Work
from holdfast.drills.watching import store_probe

__all__ = ["empty_store", "lose_home", "lose_site", "working"]


@contextmanager
def working(stage: Stage) -> Iterator[Callable[[], None]]:
    """The trial's work goes on from the newest step that was saved, until what is yielded is called: it is killed then,
    and its last step is the one of the fault. Without any work in the trial nobody can tell which step that was.
    """
    if not stage.works:
        yield lambda: None
        return
    work = Work(stage.trial, max((source.step or 0 for source in stage.sources.values()), default=0) + 1)

    def end() -> None:
        work.kill()
        if work.step is not None:
            stage.fault_step = work.step

    try:
        work.wait_for_beat(stage)
        yield end
    finally:
        work.kill()


def lose_site(stage: Stage, site: str) -> Callable[[], None]:
    """Move the store's folder away, and let a file stand there that answers nothing. Returns how to put up the site
    again: with an empty store.
    """
    store = stage.trial.store(site)
    ashes = stage.trial.folder / "burnt" / f"{site}-{len(stage.faults)}"

    def lose() -> None:
        ashes.parent.mkdir(exist_ok=True)
        store.rename(ashes)
        store.touch()

    def put_up() -> None:
        if store.is_file():
            store.unlink()
        shutil.rmtree(ashes, ignore_errors=True)

    stage.inject(f"the site {site} is lost: its store is gone", lose, _gone(store), site=site, heal=put_up)
    return put_up


def empty_store(stage: Stage, site: str) -> None:
    """All objects of the store are deleted; whatever answered for it goes on answering."""
    store = stage.trial.store(site)

    def empty() -> None:
        for child in list(store.iterdir()):
            shutil.rmtree(child) if child.is_dir() else child.unlink()

    stage.inject(f"the store of {site} lost all its objects", empty, _gone(store), site=site)


def lose_home(stage: Stage) -> str:
    """The home, in the middle of work, noticed by a probe that knows nothing of it; the home's name."""
    home = stage.trial.terms.home
    watch = stage.watch(store_probe(stage.trial.store(home)))
    with working(stage) as end:
        lose_site(stage, home)
        end()
    stage.detect(watch, f"a probe of the store of {home}")
    return home


def _gone(store: Path) -> Callable[[], str]:
    return store_probe(store)
