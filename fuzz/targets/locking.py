"""Locks: the setting that lies in the vault, what a service answers about versions, and what a person writes."""

from __future__ import annotations

import msgspec

from fuzz.model import Broken, Target
from holdfast.clock import ManualClock
from holdfast.errors import DamageError
from holdfast.stores.retention.gcs import GcsItem, GcsPage, decode_answer
from holdfast.stores.retention.gcs_requests import reason_in
from holdfast.stores.retention.memory import VersionedMemoryStore
from holdfast.stores.retention.port import Mode, parse_period
from holdfast.testing.workspace import TrialVault, new_trial_vault
from holdfast.vault.format.documents import write_config
from holdfast.vault.locking.setting import LockSetting, decode_setting, open_policy, read_setting

__all__ = ["TARGETS"]

_KEY = "locks/0000000001"
_SETTINGS = (
    LockSetting(1, 5, "governance", 2_592_000),
    LockSetting(1, 0, "off", 0),
    LockSetting(1, 9, "compliance", 1),
)
_ITEM = {
    "name": "vault/packs/aa/x",
    "generation": "1700000000000000",
    "size": "12",
    "timeCreated": "2026-11-21T10:00:00.123Z",
    "timeDeleted": "2026-11-21T11:00:00Z",
    "retention": {"mode": "Unlocked", "retainUntilTime": "2026-12-21T10:00:00Z"},
}


def _trial() -> TrialVault:
    return new_trial_vault(VersionedMemoryStore(ManualClock()), encrypted=False, clock=ManualClock())


def _setting(data: bytes) -> None:
    """Behind a keeper's signature: whatever is accepted is in force as it is written."""
    setting = decode_setting(data, _KEY)
    if setting.period is not None and not 1 <= setting.period.seconds <= 100 * 366 * 86_400:
        raise Broken(f"a lock of {setting.period.seconds} s")
    trial = _trial()
    handle = trial.open().handle
    keys = handle.keys
    assert keys.signer is not None
    sealed = write_config(keys.vault, int(keys.suite), _KEY, data, keys.signer)
    trial.store.create(_KEY, sealed)
    found = read_setting(handle)
    try:
        open_policy(keys, setting)
        is_whole = setting.generation == 1
    except DamageError:  # a policy that this key does not open, or that is none: passed over as a whole
        is_whole = False
    if (found == setting) != is_whole:
        raise Broken("another setting is in force than the one that was written")


def _page(data: bytes) -> None:
    page = decode_answer(data, GcsPage, "list")
    for item in page.items:
        for version in item.versions("vault/"):
            if version.is_marker and version.is_current:
                raise Broken("a marker that is current")
        lock = item.lock()
        if lock is not None and lock.mode not in Mode:
            raise Broken("no mode")


def _item(data: bytes) -> None:
    decode_answer(data, GcsItem, "look up").lock()


def _refusal(data: bytes) -> None:
    reason = reason_in(data)
    if len(reason) > 60 or not reason.isprintable():
        raise Broken("a reason that spoils a message")


def _period(data: bytes) -> None:
    period = parse_period(data.decode("utf-8", "replace"))
    if not 1 <= period.seconds <= 100 * 366 * 86_400:
        raise Broken(f"a lock of {period.seconds} s")


TARGETS = (
    Target(
        "lock-setting",
        "`decode_setting`, `read_setting`",
        _setting,
        lambda: [msgspec.msgpack.encode(one) for one in _SETTINGS],
        (b"\x84", b"\xa4mode", b"\xa7seconds", b"\xcf" + b"\xff" * 8),
        weight=4,
    ),
    Target(
        "lock-answers",
        "`decode_answer`, `GcsItem.versions`, `GcsItem.lock`",
        _page,
        lambda: [msgspec.json.encode({"items": [_ITEM, {}], "nextPageToken": "x"}), b"{}"],
        (b'"items":[', b'"retention":', b'"timeCreated":"', b"null"),
    ),
    Target(
        "lock-item",
        "`decode_answer`, `GcsItem.lock`",
        _item,
        lambda: [msgspec.json.encode(_ITEM), b"{}"],
        (b'"mode":"Locked"', b'"retainUntilTime":"', b"null"),
    ),
    Target(
        "lock-refusal",
        "`reason_in`",
        _refusal,
        lambda: [msgspec.json.encode({"error": {"code": 403, "errors": [{"reason": "forbidden"}]}}), b"{}"],
        (b'"errors":[', b'{"reason":"', b"null"),
    ),
    Target(
        "lock-period",
        "`parse_period`",
        _period,
        lambda: [b"30d", b"90d:compliance", b"1s:governance"],
        (b":compliance", b":governance", b"d", b"w", b"."),
    ),
)
