"""Collecting where the same chunks lie in several packs, as deltas and as wholes: what is left must be readable."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from holdfast.clock import ManualClock
from holdfast.ids import ChunkId
from holdfast.stores.memory import MemoryStore
from holdfast.testing.workspace import TrialVault, new_trial_vault
from holdfast.vault.codecs import encode
from holdfast.vault.collecting.collect import CollectOptions, collect
from holdfast.vault.collecting.marking import mark
from holdfast.vault.collecting.safety import NONE
from holdfast.vault.collecting.superseding import Copies
from holdfast.vault.format.names import INDEX, PACKS, pack_key
from holdfast.vault.format.packs import PackBuilder
from holdfast.vault.handle import Handle
from holdfast.vault.index import pack_of_key
from holdfast.vault.regions.model import BYTES, Element, Kind

FLOATS = Element(Kind.FLOAT, 4)


@pytest.fixture
def trial(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> TrialVault:
    for name in ("XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    clock = ManualClock()
    return new_trial_vault(MemoryStore(clock), clock=clock)


class Crafted:
    """Packs that are put together by hand."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle
        self._builder = PackBuilder(handle.keys, 1 << 20)

    def add(self, data: bytes, base: bytes | None = None, element: Element = FLOATS) -> Crafted:
        name = self._handle.keys.names.chunk_id
        codec, payload = encode(data, element, base)
        named = ChunkId(b"") if base is None else name(base)
        assert (codec == 3) == (base is not None)
        self._builder.add(name(data), payload, raw=len(data), codec=int(codec), element=element, base=named)
        return self

    def store(self) -> str:
        pack = self._builder.finish()
        self._handle.store.put(pack.key, bytes(pack.data))
        return pack.key


def packs(trial: TrialVault) -> set[str]:
    return {info.key for info in trial.store.list(PACKS)}


def test_no_chain_becomes_longer_than_readers_follow(trial: TrialVault, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    weights = rng.normal(size=5000).astype("f4")
    steps = [weights]
    for _ in range(9):
        steps.append(steps[-1] * (1 + 1e-5 * rng.normal(size=weights.shape).astype("f4")))
    *chain, middle, newest = (one.tobytes() for one in steps)  # the whole one first
    save_file({"a": steps[-1]}, tmp_path / "w.safetensors")
    saved = trial.open().save("run", tmp_path / "w.safetensors").root
    [whole] = packs(trial)
    header = (tmp_path / "w.safetensors").read_bytes()[: -len(newest)]

    handle = trial.open().handle
    Crafted(handle).add(header, element=BYTES).add(newest, middle).add(middle, chain[-1]).store()
    Crafted(handle).add(chain[-1]).store()
    for key in [whole, *(info.key for info in trial.store.list(INDEX))]:
        trial.store.delete(key)
    trial.open().verify(saved.id)
    # And now somebody has the same base at the end of a chain of its own, which is as long as chains may be.
    long = Crafted(handle).add(chain[0])
    for base, data in pairwise(chain):
        long.add(data, base)
    long.store()
    collect(trial.open().handle, CollectOptions(NONE, rewrite_below=0.0))
    trial.open().verify(saved.id)


def test_many_chains_are_followed_once(trial: TrialVault, tmp_path: Path) -> None:
    """A writer may store each link of a chain many times over: that must not multiply."""
    rng = np.random.default_rng(1)
    links = [rng.normal(size=300).astype("f4")]
    for _ in range(9):
        links.append(links[-1] * (1 + 1e-5 * rng.normal(size=300).astype("f4")))
    save_file({"a": links[-1]}, tmp_path / "w.safetensors")
    trial.open().save("run", tmp_path / "w.safetensors")
    [whole] = packs(trial)
    handle = trial.open().handle
    for _ in range(8):
        for base, data in pairwise(links):
            Crafted(handle).add(data.tobytes(), base.tobytes()).store()
    header = (tmp_path / "w.safetensors").read_bytes()[: -links[0].nbytes]
    Crafted(handle).add(links[0].tobytes()).add(header, element=BYTES).store()
    copies = Copies(handle, mark(handle))
    pack = pack_of_key(whole)
    assert pack is not None and pack_key(pack) == whole
    assert not copies.proven([pack], ()), "its chain would be too long"
