"""Whether some bytes are, soundly, the object of a certain key: its hash or checksum, its signature, what it says."""

from __future__ import annotations

from holdfast.errors import DamageError, UntrustedError
from holdfast.ids import PartId
from holdfast.stores.memory import MemoryStore
from holdfast.trust.signing import fingerprint
from holdfast.vault.access.generations import read_generation
from holdfast.vault.format.keys import VaultKeys
from holdfast.vault.format.names import CONFIG, INDEX, PACKS, PARTS, REFS, SNAPSHOTS, THINNED
from holdfast.vault.format.scrubbing import scrub_object
from holdfast.vault.handle import Handle
from holdfast.vault.index import pack_of_key, read_index
from holdfast.vault.snapshots.finding import read_part
from holdfast.vault.snapshots.refs import read_ref
from holdfast.vault.snapshots.roots import read_root
from holdfast.vault.snapshots.thinning import read_thinned_generation

__all__ = ["judge"]

_HEX_ID = 64


def judge(keys: VaultKeys, key: str, data: bytes) -> None:
    """Raises DamageError, UntrustedError or WrongKeyError unless the bytes are what the vault has under this key.

    Of packs and of whatever has no reader here, only hash or checksum are looked at. Needs a key that reads.
    """
    scrub_object(key, data)
    if key.startswith(PACKS):
        if pack_of_key(key) is None:
            raise DamageError(f"{key} is not the name of a pack", object_name=key)
        return
    store = MemoryStore(name="one object")
    store.put(key, data)
    handle = Handle(store, keys)
    if key.startswith(CONFIG):
        _judge_config(keys, store, key)
    elif key.startswith(INDEX):
        read_index(store, keys, key)
    elif key.startswith(PARTS):
        name = key.removeprefix(PARTS)
        if len(name) != _HEX_ID:
            raise DamageError(f"{key} is not the name of a part", object_name=key)
        read_part(handle, PartId(name))
    elif key.startswith(SNAPSHOTS):
        read_root(handle, key)
    elif key.startswith(REFS):
        read_ref(handle, key)
    elif key.startswith(THINNED):
        read_thinned_generation(handle, key)


def _judge_config(keys: VaultKeys, store: MemoryStore, key: str) -> None:
    """By the configuration that was opened: a keeper that it lists, revoked since or not, must have signed."""
    stored, verify_signature = read_generation(store, key)
    if stored.vault != keys.vault:
        raise DamageError(f"{key} belongs to another vault ({stored.vault.hex()})", object_name=key)
    keepers = {fingerprint(one.public): one.public for one in keys.config.signers if one.role == "keeper"}
    if stored.signer not in keepers:
        raise UntrustedError(f"{key} is signed by nobody who is a keeper now", object_name=key)
    verify_signature(keepers[stored.signer])
