"""What is stored again, because where it lies is condemned, is read back where it lies now."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from holdfast.errors import DamageError
from holdfast.stores.memory import MemoryStore
from holdfast.stores.protocol import Buffer, ObjectInfo
from holdfast.testing.workspace import new_trial_vault
from holdfast.vault.access.members import admit_writer
from holdfast.vault.checking import verifying
from holdfast.vault.collecting.trash import condemn
from holdfast.vault.format.names import PACKS, pack_key

STATE = {"w": np.random.default_rng(1).standard_normal(50_000).astype("f4")}


def test_a_writer_reads_back_what_it_wrote(monkeypatch: pytest.MonkeyPatch) -> None:
    trial = new_trial_vault(MemoryStore())
    writer = admit_writer(trial.open().handle, "gpu-1")
    trial.open().save("llama", STATE)
    old = {info.key for info in trial.store.list(PACKS)}
    condemn(trial.open().handle, sorted(old))
    read, verify = [], verifying.verify_pack

    def noting(handle, pack):
        read.append(pack_key(pack))
        return verify(handle, pack)

    monkeypatch.setattr(verifying, "verify_pack", noting)
    trial.open(writer).save("llama", STATE)
    new = {info.key for info in trial.store.list(PACKS)} - old
    assert new and set(read) == new


class Damaging(MemoryStore):
    """From some moment on, one byte of each new pack is another."""

    bad = False

    def create(self, key: str, data: Buffer | Sequence[Buffer]) -> ObjectInfo:
        return super().create(key, self._changed(key, data))

    def put(self, key: str, data: Buffer | Sequence[Buffer]) -> ObjectInfo:
        return super().put(key, self._changed(key, data))

    def _changed(self, key: str, data: Buffer | Sequence[Buffer]) -> Buffer | Sequence[Buffer]:
        if not self.bad or not key.startswith(PACKS):
            return data
        whole = b"".join(data) if isinstance(data, list | tuple) else bytes(data)
        return whole[:3000] + bytes([whole[3000] ^ 1]) + whole[3001:]


@pytest.mark.parametrize("role", ["writer", "keeper"])
def test_damage_is_not_hidden_by_what_is_condemned(role: str) -> None:
    store = Damaging()
    trial = new_trial_vault(store)
    writer = admit_writer(trial.open().handle, "gpu-1")
    trial.open().save("llama", STATE)
    condemn(trial.open().handle, sorted(info.key for info in store.list(PACKS)))
    store.bad = True
    with pytest.raises(DamageError):
        trial.open(writer if role == "writer" else None).save("llama", STATE)
