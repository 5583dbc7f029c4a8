"""Whose signatures count in a journal, as the configurations at its stores say: the same for all who read it.

A keeper who writes an entry sees to it first that a majority of the journal's stores has the configuration that lists
the keeper; who meets an entry by somebody unknown asks a majority of these stores. Two majorities have a store in
common: so of a keeper every reader hears, and who is still unknown then is none.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from holdfast.control.recovering.trying import each_at_once
from holdfast.errors import HoldfastError, StoreUnreachableError, UntrustedError
from holdfast.events import SILENT
from holdfast.replication.copying.objects import ObjectCopier
from holdfast.replication.copying.trusting import Generations, sort_generations
from holdfast.stores.protocol import Store
from holdfast.trust.signing import fingerprint
from holdfast.vault.access.configuration import load_config
from holdfast.vault.access.descent import require_descent, seen_config
from holdfast.vault.format.keys import VaultKeys
from holdfast.vault.format.records import Config

__all__ = ["Signers"]

_PATIENCE_SECONDS: Final = 5.0
_AGAIN_SECONDS: Final = 1.0


class Signers:
    """Of the stores of one journal, and of others where a keeper may have been admitted."""

    def __init__(self, stores: Mapping[str, Store], others: Mapping[str, Store] | None = None) -> None:
        self._stores, self._others = stores, others or {}
        self._known = False
        self._strangers: dict[str, float] = {}  # fingerprint → until when nobody is asked again (monotonic seconds)

    def newest(self, keys: VaultKeys, mark: str) -> VaultKeys:
        """The same keys with the newest configuration that most of the stores know, asked for because of a signer whom
        these do not list: for one who is none it is not asked again at once. Raises StoreUnreachableError.
        """
        now = time.monotonic()
        if now < self._strangers.get(mark, 0.0):
            return keys
        self._strangers = {mark: now + _AGAIN_SECONDS}
        found = self._configurations(keys, self._stores)
        if len(found) <= len(self._stores) // 2:
            raise StoreUnreachableError(
                "too few stores of the journal say whose signatures count",
                hint="a majority of them has to answer",
            )
        best = max(found.values(), key=lambda config: config.generation)
        return replace(keys, config=best) if best.generation > keys.config.generation else keys

    def latest(self, keys: VaultKeys) -> Config:
        """The newest configuration that any of the stores that answer has, at least the one that is known."""
        found = self._configurations(keys, {**self._others, **self._stores})
        return max([keys.config, *found.values()], key=lambda config: config.generation)

    def make_known(self, keys: VaultKeys) -> None:
        """See to it that most stores list this keeper. Raises StoreUnreachableError, and what copying raises."""
        assert keys.signer is not None
        mark = fingerprint(keys.signer.public)
        if self._known or _is_founder(keys.config, mark):
            return
        found = self._configurations(keys, self._stores)
        knowing = {name for name, config in found.items() if _lists(config, mark)}
        if len(knowing) <= len(self._stores) // 2:
            sources = self._configurations(keys, {**self._others, **self._stores})
            source = max(
                (name for name, config in sources.items() if _lists(config, mark)),
                key=lambda name: sources[name].generation,
                default="",
            )
            problems: dict[str, HoldfastError] = {}
            if source:
                there = {**self._others, **self._stores}[source]
                lacking = {name: store for name, store in self._stores.items() if name not in knowing}
                given, problems = each_at_once(lacking, lambda store: _bring(keys, there, store), _PATIENCE_SECONDS)
                knowing |= given.keys()
            if len(knowing) <= len(self._stores) // 2:
                why = "; ".join(f"{name}: {error.message}" for name, error in problems.items())
                raise StoreUnreachableError(
                    f"too few stores of the journal know the keeper {keys.label!r}{f' ({why})' if why else ''}",
                    hint="`holdfast site sync` brings the vault's configuration to them",
                )
        self._known = True

    def _configurations(self, keys: VaultKeys, stores: Mapping[str, Store]) -> dict[str, Config]:
        """Of those that answer, and whose configuration goes on from the one that is known, or is an earlier one."""
        pins = [fingerprint(one.public) for one in keys.config.signers if one.role == "keeper"]

        def one(store: Store) -> Config:
            config = load_config(store, pins, expected_vault=keys.vault.hex()).config
            if config.generation > keys.config.generation:
                require_descent(store, seen_config(keys.config), config)
            return config

        return each_at_once(stores, one, _PATIENCE_SECONDS)[0]


def _is_founder(config: Config, mark: str) -> bool:
    """Whoever made the vault is in its first configuration, which every copy begins with."""
    first = min(config.signers, key=lambda one: one.added)
    return fingerprint(first.public) == mark


def _lists(config: Config, mark: str) -> bool:
    return any(fingerprint(one.public) == mark and one.role == "keeper" for one in config.signers)


def _bring(keys: VaultKeys, source: Store, target: Store) -> None:
    generations = sort_generations(source, keys.config)
    if not generations.counting:
        raise UntrustedError("no configuration counts there")
    ObjectCopier(source, target, SILENT).copy_config(Generations(generations.counting, []))
