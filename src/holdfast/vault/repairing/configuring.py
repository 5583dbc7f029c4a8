"""The configuration of a vault that does not open: fetched from a replica that does, before anything else."""

from __future__ import annotations

from holdfast.errors import HoldfastError, NotFoundError, RefusedError
from holdfast.stores.protocol import Store
from holdfast.vault.checking.judging import judge
from holdfast.vault.format.header import HEADER_BYTES, Header
from holdfast.vault.format.names import CONFIG, PACKS, PARTS, SNAPSHOTS, generation_of
from holdfast.vault.handle import Handle
from holdfast.vault.repairing.model import FETCHED, REMOVED, Fix

__all__ = ["repair_config"]


def repair_config(store: Store, replica: Handle, *, dry_run: bool = False) -> list[Fix]:
    """Put the replica's generations in the place of those that are damaged or missing here. Returns what was done.

    A generation is judged by the configuration that the replica was opened with. One that the replica lacks stays,
    unless its bytes are those of another one and its number is too high to have been reached: the next number may be
    that of the newest configuration, which the replica does not know yet, and by which somebody was revoked.

    Raises RefusedError when the store holds another vault, NotFoundError when it holds none.
    """
    if not dry_run:
        replica.keys.require_keeper("repairing the configuration")
    _require_same_vault(store, replica)
    fixes: list[Fix] = []
    here = {info.key: store.get(info.key) for info in store.list(CONFIG)}
    sound = {key: data for key, data in here.items() if _is_sound(replica, key, data)}
    for info in replica.store.list(CONFIG):
        data = replica.store.get(info.key)
        if info.key in sound or not _is_sound(replica, info.key, data):
            continue
        why = "it is damaged" if info.key in here else "it is missing"
        fixes.append(Fix(info.key, FETCHED, replica.store.url, len(data), why))
        sound[info.key] = data
        if not dry_run:
            store.put(info.key, data)
    highest = max((generation_of(key) or 0 for key in sound), default=0)
    for key, data in here.items():
        if key not in sound and data in sound.values() and (generation_of(key) or 0) > highest + 1:
            fixes.append(Fix(key, REMOVED, "", 0, "it is a copy of another generation"))
            if not dry_run:
                store.delete(key)
    return fixes


def _is_sound(replica: Handle, key: str, data: bytes) -> bool:
    try:
        judge(replica.keys, key, data)
    except HoldfastError:
        return False
    return True


def _require_same_vault(store: Store, replica: Handle) -> None:
    """By the headers of what is there besides the configuration: most of them are sound."""
    seen: dict[bytes, int] = {}
    for prefix in (PACKS, PARTS, SNAPSHOTS):
        for number, info in enumerate(store.list(prefix)):
            if number == 8:
                break
            try:
                [head] = store.get_ranges(info.key, [(0, HEADER_BYTES)])
                vault = Header.parse(head, info.key).vault
            except HoldfastError:
                continue
            seen[vault] = seen.get(vault, 0) + 1
    if not seen:
        raise NotFoundError(
            f"there is no vault at {store.url} to be repaired", hint="`holdfast replicate` makes a new copy"
        )
    if max(seen, key=lambda vault: seen[vault]) != replica.keys.vault:
        raise RefusedError(
            f"{store.url} holds another vault than {replica.store.url}", hint="name a replica of the same vault"
        )
