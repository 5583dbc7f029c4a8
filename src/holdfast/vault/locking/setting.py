"""For how long a vault's snapshots are locked at one site: `locks/<generation>`, signed by a keeper.

A create-only series like the configuration's. Its objects are documents of the configuration's kind (in clear, signed
by a keeper, their key bound into the signature), so that writers read them. Each site has its own; it is not copied.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from holdfast.errors import DamageError, FailedError, NotFoundError, UnsupportedFormatError, UntrustedError
from holdfast.stores.retention.port import Mode, Period
from holdfast.vault.format.documents import read_config, write_config
from holdfast.vault.format.header import Kind
from holdfast.vault.format.names import generation_of
from holdfast.vault.format.series import append_generation, generations_at
from holdfast.vault.handle import Handle
from holdfast.vault.locking.memory import memory_of

__all__ = ["LOCKS", "LockSetting", "decode_setting", "read_generation", "read_setting", "write_setting"]

LOCKS = "locks/"
_PERIOD_MAX_S = 100 * 366 * 86_400
_OFF = "off"


class LockSetting(msgspec.Struct, frozen=True):
    """One generation. `mode`: `governance`, `compliance`, or `off` (what is locked already stays so)."""

    generation: int
    created: int
    mode: str
    seconds: Annotated[int, msgspec.Meta(ge=0, le=_PERIOD_MAX_S)]

    @property
    def period(self) -> Period | None:
        """None where new snapshots are not locked."""
        return None if self.mode == _OFF else Period(float(self.seconds), Mode(self.mode))


_DECODER = msgspec.msgpack.Decoder(LockSetting)


def decode_setting(data: bytes, name: str) -> LockSetting:
    """The record in `data`. Raises DamageError."""
    try:
        setting = _DECODER.decode(data)
    except (msgspec.DecodeError, msgspec.ValidationError, RecursionError, UnicodeDecodeError) as error:
        raise DamageError(f"{name} does not hold a valid lock setting ({error})", object_name=name) from error
    if setting.mode not in (_OFF, Mode.GOVERNANCE.value, Mode.COMPLIANCE.value):
        raise DamageError(f"{name} names the unknown mode {setting.mode[:40]!r}", object_name=name)
    if setting.period is not None and setting.seconds < 1:
        raise DamageError(f"{name} locks for no time", object_name=name)
    return setting


def read_generation(handle: Handle, key: str) -> LockSetting:
    """One generation, checked: a keeper of this vault signed it. Raises DamageError, UntrustedError, NotFoundError."""
    keys = handle.keys
    header, opened, verify_signature = read_config(key, handle.store.get(key))
    if header.vault != keys.vault:
        raise DamageError(f"{key} belongs to another vault ({header.vault.hex()})", object_name=key)
    signer = keys.trusted_signer(Kind.CONFIG, opened.signer, key)
    verify_signature(signer.public)
    setting = decode_setting(opened.body, key)
    if setting.generation != generation_of(key):
        raise DamageError(f"{key} is another generation", object_name=key)
    if signer.revoked is not None and setting.created >= signer.revoked:
        raise UntrustedError(f"{key} was signed by {signer.label!r} after that key was revoked", object_name=key)
    return setting


def read_setting(handle: Handle) -> LockSetting | None:
    """The setting that counts, None for none. A generation that is damaged or no keeper's is passed over with a note.

    Where the store has only an older one than this machine has seen, somebody took the newer one away: that counts on.
    """
    found: LockSetting | None = None
    newest_first = generations_at(handle.store, LOCKS).keys()
    for key in newest_first:
        try:
            found = read_generation(handle, key)
            break
        except UnsupportedFormatError:
            raise
        except (DamageError, UntrustedError, NotFoundError, FailedError) as error:
            handle.progress.note(f"passed over, no lock is set or ended by it: {error.message}")
    memory = memory_of(handle)
    seen = memory.setting()
    known = decode_setting(seen, "what this machine remembers") if seen is not None else None
    if known is not None and (found is None or found.generation < known.generation):
        handle.progress.note(
            f"{handle.store.url} has lost the lock setting of generation {known.generation}, which this machine saw "
            "there: it is followed all the same; look for an attacker (`holdfast lock show`)"
        )
        return known
    if found is not None and found != known:
        memory.remember_setting(msgspec.msgpack.encode(found))
    return found


def write_setting(handle: Handle, period: Period | None) -> LockSetting:
    """Lock what is saved from now on for that long; None: no longer. Raises CredentialError for all but keepers."""
    signer = handle.keys.require_keeper("setting how long snapshots are locked")
    written: list[LockSetting] = []

    def make(generation: int) -> bytes:
        written.clear()
        mode, seconds = (_OFF, 0) if period is None else (period.mode.value, round(period.seconds))
        setting = LockSetting(generation, handle.clock.now_ns(), mode, seconds)
        written.append(setting)
        keys = handle.keys
        return write_config(
            keys.vault, int(keys.suite), f"{LOCKS}{generation:010d}", msgspec.msgpack.encode(setting), signer
        )

    append_generation(handle.store, LOCKS, make)
    memory_of(handle).remember_setting(msgspec.msgpack.encode(written[0]))
    return written[0]
