"""For how long a vault's snapshots are locked at one site: `locks/<generation>`, signed by a keeper.

A create-only series like the configuration's. Its objects are documents of the configuration's kind (in clear, signed
by a keeper, their key bound into the signature), so that writers read them. A retention policy in one is sealed for
members: it names assets. Each site has its own setting; it is not copied.
"""

from __future__ import annotations

import os
from typing import Annotated

import msgspec
from blake3 import blake3

from holdfast.errors import (
    DamageError,
    FailedError,
    NotFoundError,
    RefusedError,
    UnsupportedFormatError,
    UntrustedError,
    UsageError,
)
from holdfast.objectives.lock_terms import longest_promise
from holdfast.objectives.retention_rules import Policy
from holdfast.stores.retention.port import Mode, Period
from holdfast.units import parse_duration
from holdfast.vault.format.documents import read_config, write_config
from holdfast.vault.format.header import Kind
from holdfast.vault.format.keys import VaultKeys
from holdfast.vault.format.names import generation_of
from holdfast.vault.format.series import append_generation, generations_at
from holdfast.vault.handle import Handle
from holdfast.vault.locking.memory import memory_of

__all__ = [
    "LOCKS",
    "LockSetting",
    "decode_setting",
    "open_policy",
    "proposed",
    "read_generation",
    "read_setting",
    "seal_policy",
    "write_setting",
]

LOCKS = "locks/"
_PERIOD_MAX_S = 100 * 366 * 86_400
_OFF = "off"
_SALT_BYTES = 32
_POLICY_MAX = 256 << 10
_DOMAIN = b"holdfast 1 lock policy\0"


class LockSetting(msgspec.Struct, frozen=True):
    """One generation. `mode`: `governance`, `compliance`, or `off` (what is locked already stays so).

    `seconds`: how long everything is locked. `policy`: a retention policy that says what is locked for longer, sealed
    (`open_policy`); empty for none.
    """

    generation: int
    created: int
    mode: str
    seconds: Annotated[int, msgspec.Meta(ge=0, le=_PERIOD_MAX_S)]
    policy: Annotated[bytes, msgspec.Meta(max_length=_POLICY_MAX)] = b""

    @property
    def period(self) -> Period | None:
        """None where new snapshots are not locked."""
        return None if self.mode == _OFF else Period(float(self.seconds), Mode(self.mode))


_DECODER = msgspec.msgpack.Decoder(LockSetting)
_POLICY_DECODER = msgspec.json.Decoder(Policy)


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


def seal_policy(keys: VaultKeys, policy: Policy, name: str) -> bytes:
    """The policy as the setting of that name holds it: every member of the vault opens it. Raises RefusedError."""
    record = msgspec.json.encode(policy)
    salt = os.urandom(_SALT_BYTES)
    sealed = salt + keys.cipher(_policy_key(keys, salt)).seal(0, record, _DOMAIN + name.encode())
    if len(sealed) > _POLICY_MAX:
        raise RefusedError(f"a policy of {len(record) >> 10} KiB is too large for a lock setting")
    return sealed


def open_policy(keys: VaultKeys, setting: LockSetting) -> Policy | None:
    """The retention policy of a setting, None where it has none. Raises DamageError."""
    if not setting.policy:
        return None
    name = f"{LOCKS}{setting.generation:010d}"
    salt, sealed = setting.policy[:_SALT_BYTES], setting.policy[_SALT_BYTES:]
    try:
        record = keys.cipher(_policy_key(keys, salt)).open(0, sealed, _DOMAIN + name.encode())
    except DamageError as error:
        raise DamageError(f"the retention policy in {name} does not open", object_name=name) from error
    try:
        policy = _POLICY_DECODER.decode(record)
        longest_promise(policy)  # every duration in it can be read
        parse_duration(policy.recent)
        return policy
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError, UsageError) as error:
        raise DamageError(f"{name} does not hold a valid retention policy ({error})", object_name=name) from error


def _policy_key(keys: VaultKeys, salt: bytes) -> bytes:
    return blake3(_DOMAIN + salt, key=keys.index_key).digest()


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
    open_policy(keys, setting)
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


def proposed(handle: Handle, period: Period, policy: Policy | None = None) -> LockSetting:
    """A setting that is written nowhere: to see what it would ask for."""
    sealed = seal_policy(handle.keys, policy, f"{LOCKS}{0:010d}") if policy is not None else b""
    return LockSetting(0, handle.clock.now_ns(), period.mode.value, round(period.seconds), sealed)


def write_setting(handle: Handle, period: Period | None, policy: Policy | None = None) -> LockSetting:
    """Lock what is saved from now on for that long; None: no longer. `policy`: and for as long as it keeps a snapshot.

    Raises CredentialError for all but keepers, RefusedError for a policy that is too large.
    """
    signer = handle.keys.require_keeper("setting how long snapshots are locked")
    written: list[LockSetting] = []

    def make(generation: int) -> bytes:
        written.clear()
        mode, seconds = (_OFF, 0) if period is None else (period.mode.value, round(period.seconds))
        keys, name = handle.keys, f"{LOCKS}{generation:010d}"
        sealed = seal_policy(keys, policy, name) if policy is not None and period is not None else b""
        setting = LockSetting(generation, handle.clock.now_ns(), mode, seconds, sealed)
        written.append(setting)
        return write_config(keys.vault, int(keys.suite), name, msgspec.msgpack.encode(setting), signer)

    append_generation(handle.store, LOCKS, make)
    memory_of(handle).remember_setting(msgspec.msgpack.encode(written[0]))
    return written[0]
