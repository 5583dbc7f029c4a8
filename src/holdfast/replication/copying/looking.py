"""What a copy looks at before it does anything: at both sites, and at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from holdfast.fanout.beside import at_once
from holdfast.replication.copying.asking import AskedStore
from holdfast.stores.protocol import Store
from holdfast.vault.format.documents import body_max
from holdfast.vault.format.header import Kind
from holdfast.vault.format.names import CONFIG, INDEX, PACKS, PARTS, REFS, SNAPSHOTS, THINNED, generation_of

__all__ = ["look_at_both"]

_CONFIG_MAX: Final = body_max(Kind.CONFIG) + (64 << 10)  # bytes; a larger one is none, and is not asked for ahead


def look_at_both(
    source: AskedStore, target: AskedStore, scopes: Mapping[str, str], *, recheck: bool, seen: bool
) -> None:
    """List what tells whether there is anything to copy, and what the source has; then read the configurations.

    `scopes`: what is listed of snapshots, pointers and what was given up. `recheck`: also what the target has besides.
    `seen`: whoever asks for the copy has seen the snapshots that it is about. Else they are listed first: what a root
    needs was stored before it, and so is in the listings that follow.
    """
    here = [CONFIG, INDEX, PACKS, scopes[THINNED], scopes[REFS]]
    there = [CONFIG, *scopes.values(), *((INDEX, PACKS, PARTS) if recheck else ())]
    if not seen:
        at_once(*source.ask([scopes[SNAPSHOTS]]))
    at_once(*source.ask(here + [scopes[SNAPSHOTS]] * seen), *target.ask(there))
    at_once(lambda: source.get_ahead(_configurations(source)), lambda: target.get_ahead(_configurations(target)))


def _configurations(store: Store) -> list[str]:
    """Keys of what may be a generation of a vault's configuration."""
    return [info.key for info in store.list(CONFIG) if info.size <= _CONFIG_MAX and generation_of(info.key)]
