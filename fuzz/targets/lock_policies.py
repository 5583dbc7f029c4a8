"""Retention policies in lock settings: behind a keeper's signature and the members' seal, and in force from then on."""

from __future__ import annotations

import os
from functools import lru_cache

import msgspec
from blake3 import blake3

from fuzz.model import Broken, Target
from holdfast.clock import ManualClock
from holdfast.objectives.calendar import LONGEST_NS
from holdfast.objectives.lock_terms import lock_terms, term_at_save
from holdfast.objectives.retention import DROP, SnapshotFact, decide
from holdfast.objectives.retention_rules import Keep, Policy, Rule
from holdfast.stores.memory import MemoryStore
from holdfast.testing.workspace import new_trial_vault
from holdfast.vault.format.keys import VaultKeys
from holdfast.vault.locking.setting import LOCKS, LockSetting, open_policy

__all__ = ["TARGETS"]

_DAY = 86_400 * 10**9
_NOW = 20_000 * _DAY
_LEAST = 7 * _DAY
_POLICIES = (
    Policy(version=1, rules=[Rule(assets="*", keep=Keep(monthly=12, within="9d"))]),
    Policy(
        version=1,
        recent="0s",
        rules=[Rule(assets=["m", "n*"], keep=Keep(last=1, hourly="all"), components={"optimizer": Keep(weekly=2)})],
    ),
)


@lru_cache(maxsize=1)
def _keys() -> VaultKeys:
    return new_trial_vault(MemoryStore(), encrypted=False, clock=ManualClock()).open().handle.keys


@lru_cache(maxsize=1)
def _facts() -> list[SnapshotFact]:
    return [
        SnapshotFact(
            id=f"s{number:02d}",
            asset="m",
            created=_NOW - number * 11 * _DAY,
            content=_NOW - number * 11 * _DAY + (400 * _DAY if number == 5 else 0),
            committed=_NOW - number * 11 * _DAY,
            verdict="quarantined" if number in (3, 4) else "good",
            marked=number == 3,
            components={"weights": 10, "optimizer": 20},
            validated=number == 0,
            proven=True,
            tags=["release"] if number == 7 else [],
        )
        for number in range(12)
    ]


def _policy(data: bytes) -> None:
    """Whatever is opened is a policy by which locks can be told: none without an end, none that a rule outlives."""
    keys, salt = _keys(), os.urandom(32)
    domain = b"holdfast 1 lock policy\0"
    cipher = keys.cipher(blake3(domain + salt, key=keys.index_key).digest())
    sealed = salt + cipher.seal(0, data, domain + f"{LOCKS}{1:010d}".encode())
    policy = open_policy(keys, LockSetting(1, 0, "governance", 604_800, sealed))
    if policy is None:
        raise Broken("a policy that was written is not there")
    terms = lock_terms(_facts(), policy, _LEAST, _NOW)
    kept = {one.snapshot for one in decide(_facts(), policy, _NOW) if one.action != DROP}
    for fact in _facts():
        term = terms[fact.id]
        if not fact.committed + _LEAST <= term.until <= _NOW + LONGEST_NS:
            raise Broken(f"a lock until {term.until}")
        if term.renewed != (fact.id in kept):
            raise Broken(f"{fact.id} is kept and not renewed, or the other way round")
        if term_at_save(policy, "m", fact.content, fact.committed, _LEAST) < fact.committed + _LEAST:
            raise Broken("a save that locks for less than everything is locked")


TARGETS = (
    Target(
        "lock-policy",
        "`open_policy`, `lock_terms`, `term_at_save`",
        _policy,
        lambda: [msgspec.json.encode(one) for one in _POLICIES],
        (b'"monthly":12', b'"within":"9d"', b'"all"', b"999999999", b'"recent":"1e9w"', b'"components":{}', b"null"),
        weight=2,
    ),
)
