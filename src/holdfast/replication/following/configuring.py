"""One configuration at every store of a vault: who was let in, taken out or revoked at one is so at the others.

Snapshots bring the configuration along; this is for the times when there is no snapshot to bring. Generations are
copied as their keepers signed them, so that it takes no keeper's key, and only such as count: whoever may only write to
one store cannot put anything into the others by it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from holdfast.errors import HoldfastError, RefusedError, UntrustedError
from holdfast.replication.copying.objects import ObjectCopier
from holdfast.replication.copying.trusting import Generations, sort_generations
from holdfast.replication.following.routes import Route
from holdfast.replication.following.views import SiteStore, View
from holdfast.stores.protocol import Store
from holdfast.vault.access.configuration import claimed_config
from holdfast.vault.access.descent import require_descent, seen_config
from holdfast.vault.access.generations import StoredConfig, read_generation
from holdfast.vault.format.names import CONFIG, config_key
from holdfast.vault.handle import Handle

__all__ = ["Configured", "bring_configuration", "outdated_stores"]


class Configured(NamedTuple):
    """What became of one store's configuration. `generations`: how many it was given; `error`: why not all."""

    store: str
    source: str
    generations: int
    error: HoldfastError | None


class _Newest(NamedTuple):
    """The configuration that all should have, and where it can be read; nowhere, if no store that answers has it."""

    config: StoredConfig
    source: str
    keys: list[str]


def outdated_stores(routes: Sequence[Route], views: Mapping[str, View]) -> tuple[str, ...]:
    """Names of stores whose configuration is not the newest that any of them claims; homes are believed first.

    Stores that hold no vault yet get it with their first snapshot; those that only give get nothing. Verifies nothing.
    """
    said = {name: view.configuration for name, view in views.items() if view.answered and view.configuration}
    first = [name for name in _homes(routes) if name in said]
    getting = _getting(routes)
    named = [name for name in dict.fromkeys([*first, *said]) if name in getting]
    if not named:
        return ()
    newest = max((said[name] for name in named), key=lambda one: one.config.generation)  # of equals the first
    return tuple(name for name in named if said[name] != newest)


def bring_configuration(
    home: Handle, stores: Sequence[SiteStore], routes: Sequence[Route], views: Mapping[str, View]
) -> list[Configured]:
    """Give stores that answer the generations that they lack. What is wrong with single stores is in the answer.

    The newest is the home's, or one that goes on from it: somebody may have been revoked elsewhere while the home was
    away. Where two stores went on apart, nothing is written to the one that differs, as a person must say who is right.
    """
    if not outdated_stores(routes, views):
        return []
    opened = {one.name: one.store for one in stores if one.name in views}
    names = [name for name in dict.fromkeys([*_homes(routes), *opened]) if _has_vault(views.get(name))]
    newest = _newest(home, opened, names)
    done = []
    for name in names:
        if name in _getting(routes) and views[name].configuration != newest.config:
            done.append(_bring(home, newest, opened, name))
    return done


def _newest(home: Handle, opened: Mapping[str, Store], names: Sequence[str]) -> _Newest:
    best: _Newest | None = None
    for name in names:
        try:
            found = _counting(home, opened[name], name)
            if found is None:
                continue
            if best is None or found.config.config.generation > best.config.config.generation:
                require_descent(
                    opened[name],
                    seen_config(home.keys.config if best is None else best.config.config),
                    found.config.config,
                )
                best = found
        except HoldfastError:
            continue  # bringing it what it lacks says what is wrong with it
    if best is None:
        return _Newest(StoredConfig(home.keys.vault, home.keys.config, ""), "", [])
    return best


def _counting(home: Handle, store: Store, name: str) -> _Newest | None:
    keys = sort_generations(store, home.keys.config).counting
    if not keys:
        return None
    return _Newest(read_generation(store, keys[-1])[0], name, keys)


def _bring(home: Handle, newest: _Newest, opened: Mapping[str, Store], name: str) -> Configured:
    target = opened[name]
    if not newest.source:
        error: HoldfastError = RefusedError(f"no store that answers has {config_key(newest.config.config.generation)}")
        return Configured(name, "", 0, error)
    copier = ObjectCopier(opened[newest.source], target, home.progress)
    try:
        copier.copy_config(Generations(newest.keys, []))
        there = claimed_config(target)
        if there != newest.config:
            key = config_key(there.config.generation)
            raise UntrustedError(
                f"{key} at {target.url} does not go on from what the vault's keepers signed elsewhere",
                hint=f"if no keeper wrote it, remove it from {CONFIG} there",
                object_name=key,
            )
    except HoldfastError as error:
        return Configured(name, newest.source, copier.objects, error)
    return Configured(name, newest.source, copier.objects, None)


def _homes(routes: Sequence[Route]) -> list[str]:
    return list(dict.fromkeys(route.home for route in routes))


def _getting(routes: Sequence[Route]) -> Collection[str]:
    """Stores that may be written to."""
    return {name for route in routes for name in (route.home, *route.targets, *route.others)}


def _has_vault(view: View | None) -> bool:
    return view is not None and view.answered and view.configuration is not None
