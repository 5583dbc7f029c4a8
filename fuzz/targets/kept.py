"""What an installation keeps for itself: policies, the last good set of them, keys of issuers, API keys, heads."""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from pathlib import Path

import cedarpy  # noqa: F401 - a library of 16 MiB, loaded before memory is counted
import msgspec

from fuzz import world
from fuzz.model import Broken, Target
from holdfast.audit.entries import Actor, decode_leaf
from holdfast.audit.layout import pending_key
from holdfast.audit.remembered import MemberMemory
from holdfast.audit.spool import Spool
from holdfast.authority.api_keys import ApiKey, Register, new_api_key, parse_api_key, principal_of_api_key
from holdfast.authority.issuer_keys import KeyCache
from holdfast.authority.policies import default_policies, load_policies
from holdfast.authority.policy_folder import policies_in_force
from holdfast.authority.principals import BREAK_GLASS_ROLE, MEMBER_ROLES
from holdfast.authority.register import decode_register
from holdfast.authority.settings import Issuer, Settings
from holdfast.clock import NANOSECONDS, ManualClock
from holdfast.errors import DamageError, StoreUnreachableError
from holdfast.stores.memory import MemoryStore
from holdfast.testing.audit_trials import an_entry
from holdfast.trust.signing import SigningKey, fingerprint

__all__ = ["TARGETS"]

_NOW_NS = 1_800_000_000 * NANOSECONDS
_POLICY = b'forbid (principal, action == Action::"save", resource);'
_HOSTILE = (b"null", b"[" * 3000, b'"z":', b"1e400", b"9" * 400, b"-", b'""', b"\xff")


def _folder(name: str) -> Path:
    """Empty, in this process's scratch folder: an input leaves nothing to the next."""
    folder = world.scratch() / name
    folder.mkdir(mode=0o700, exist_ok=True)
    for path in folder.iterdir():
        path.unlink()
    return folder


def _policy_folder(data: bytes) -> None:
    """Lines: a file's name, and its text; the rest is the last good set, as it is kept. Decided twice: what is kept by
    the first is what the second may fall back on."""
    name, _, rest = data.partition(b"\n")
    text, _, kept = rest.partition(b"\n")
    folder, memory = _folder("policies"), _folder("kept") / "policies.json"
    memory.write_bytes(kept)
    with suppress(OSError, ValueError):  # what no file system has is no input
        path = folder / (name.replace(b"/", b"_").decode("utf-8", "surrogateescape") + ".cedar")
        path.write_bytes(text)
        path.chmod(0o600)
    try:
        found = policies_in_force(folder, memory)
    finally:
        left = len(list(memory.parent.iterdir()))
    if left != 1:
        raise Broken("a temporary file was left")
    if not set(default_policies().rules) <= set(found.policies.rules):
        raise Broken("policies are in force without the defaults")
    msgspec.json.encode([rule.id for rule in found.policies.rules])  # they stand in answers and in the audit log
    if found.source == "folder":
        for path in folder.iterdir():
            path.write_bytes(b"broken")
        if policies_in_force(folder, memory).policies.digest != found.policies.digest:
            raise Broken("what was in force does not stay in force")


def _policy_folder_seeds() -> list[bytes]:
    kept = msgspec.json.encode({"digest": "0" * 64, "files": {"x.cedar": _POLICY}})
    own = msgspec.json.encode({"digest": load_policies({"a.cedar": _POLICY}).digest, "files": {"a.cedar": _POLICY}})
    return [b"a\n" + _POLICY + b"\n" + kept, b"a\nbroken\n" + kept, b"a\n" + _POLICY + b"\n" + own, b"a\n" + _POLICY]


_ISSUER = Issuer(issuer="https://idp.example", audience="holdfast")
_KEY_SET = msgspec.json.encode(
    {"keys": [{"kty": "RSA", "kid": "k", "use": "sig", "alg": "RS256", "n": "u" * 342, "e": "AQAB"}]}
)


def _kept_keys(data: bytes) -> None:
    """The kept file, while the provider does not answer. First byte 1: the rest is the key set in a sound file."""
    folder = _folder("issuers")
    cache = KeyCache(folder, ManualClock(_NOW_NS), fetch=_nobody)
    path = cache._file(_ISSUER)
    assert path is not None
    if data[:1] == b"\1":
        data = msgspec.json.encode({"issuer": _ISSUER.issuer, "fetched_ns": _NOW_NS - 1, "key_set": data[1:]})
    path.write_bytes(data)
    keys = cache.keys(_ISSUER, "k")
    if not 0 <= _NOW_NS - keys.fetched_ns <= 86_400 * NANOSECONDS or not keys.keys:
        raise Broken(f"keys of {keys.fetched_ns} were taken")


def _nobody(url: str, authorities: str | None) -> bytes:
    raise StoreUnreachableError(f"{url} does not answer")


def _kept_keys_seeds() -> list[bytes]:
    kept = {"issuer": _ISSUER.issuer, "fetched_ns": _NOW_NS - 7_200 * NANOSECONDS, "key_set": _KEY_SET}
    return [msgspec.json.encode(kept), b"\1" + _KEY_SET]


def _new_key(data: bytes) -> None:
    """Lines: a label, roles, actions, who answers for it, days. What is made is kept, and known again."""
    words = data.decode("utf-8", "surrogateescape").split("\n") + 5 * [""]
    days = int(words[4]) if words[4].isascii() and words[4].isdigit() and len(words[4]) < 400 else None
    register, key, record = new_api_key(
        Register(salt=bytes(32)),
        words[0],
        roles=words[1].split(),
        scopes=words[2].split() or None,
        person=words[3],
        now_ns=_NOW_NS,
        expires_ns=None if days is None else _NOW_NS + (1 + days) * 86_400 * NANOSECONDS,
    )
    again = decode_register(msgspec.json.encode(register), "x")
    if again != register or parse_api_key(key.text.encode()).id != record.id:
        raise Broken("a register does not give itself")
    principal = principal_of_api_key(key, again, Settings(), _NOW_NS)
    if {grant.role for grant in principal.grants} & {*MEMBER_ROLES, BREAK_GLASS_ROLE}:
        raise Broken("a role was given that no API key can have")


@cache
def _known() -> tuple[Register, ApiKey]:
    register, key, _ = new_api_key(
        Register(salt=bytes(32)), "ci", roles=["trainer"], scopes=None, person="", now_ns=_NOW_NS, expires_ns=None
    )
    return register, key


def _known_key(data: bytes) -> None:
    """A register that somebody edited, except for the hash of the key that is sent."""
    own, key = _known()
    register = decode_register(data, "x")
    if not register.keys:
        return
    first = msgspec.structs.replace(register.keys[0], id=key.id, hash=own.keys[0].hash)
    register = msgspec.structs.replace(register, salt=own.salt, keys=[first])
    principal = principal_of_api_key(key, register, Settings(), _NOW_NS)
    if (first.revoked is not None and first.revoked <= _NOW_NS) or (first.expires or _NOW_NS + 1) <= _NOW_NS:
        raise Broken(f"{principal} has a key that is over")


def _known_key_seeds() -> list[bytes]:
    record = msgspec.structs.replace(_known()[0].keys[0], id="0" * 16, hash=bytes(32))
    changes = ({}, {"revoked": _NOW_NS}, {"expires": _NOW_NS}, {"created": 2 * _NOW_NS}, {"scopes": ["save"]})
    records = [msgspec.structs.replace(record, **one) for one in changes]
    return [msgspec.json.encode(Register(salt=bytes(32), keys=[one])) for one in records]


_SIGNER = SigningKey(bytes(range(64)))
_LOG = "fuzz.test/log"


def _head(data: bytes) -> None:
    """What a member remembers of its last entry: the next one that it writes can be read, whatever stands there."""
    store, member = MemoryStore(), fingerprint(_SIGNER.public)
    memory = MemberMemory({"XDG_STATE_HOME": str(world.scratch() / "state")}, store, _LOG)
    path = memory._path(member)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    head = memory.recall(member)
    spool = Spool(store, _LOG, _SIGNER, memory=memory)
    key = spool.append(an_entry(Actor(fingerprint=member, label="a", role="writer")))
    if key != pending_key(member, head.number + 1):
        raise Broken(f"the entry after {head.number} is {key}")
    try:
        decode_leaf(store.get(key), key)
    except DamageError as error:
        raise Broken("a member wrote what nobody can read") from error
    if head.number < 10**10 - 2 and memory.recall(member).number != head.number + 1:  # there the numbers end
        raise Broken("what was written is not remembered")


TARGETS = [
    Target(
        "policy-folder",
        "`policies_in_force`, `read_policy_files`, `_read_kept`, `_keep`",
        _policy_folder,
        _policy_folder_seeds,
        (*_HOSTILE, b"\n", b'"files":{', b'"digest":', b"permit", b"forbid", b"\x7f"),
        max_bytes=8000,
        weight=4,
    ),
    Target(
        "kept-keys",
        "`KeyCache.keys` with what is kept on disk, `parse_key_set`",
        _kept_keys,
        _kept_keys_seeds,
        (*_HOSTILE, b'"fetched_ns":', b'"key_set":', b'"n":"', b'"kty":"RSA"', b"\xd9\xa3", b"="),
    ),
    Target(
        "api-key-new",
        "`new_api_key`, `decode_register`, `principal_of_api_key` of what was made",
        _new_key,
        lambda: [b"ci\ntrainer\n", b"a.b-c\nauditor owner\nsave reading\nann\n12"],
        (b"break-glass", b"keeper", b"writer", b"reader", b"\n", b" ", b"_", b"\xd9\xa3", b"\xff", b"9" * 30),
        max_bytes=2000,
    ),
    Target(
        "api-key-known",
        "`decode_register`, `principal_of_api_key` of a key that is known",
        _known_key,
        _known_key_seeds,
        (*_HOSTILE, b'"revoked":', b'"expires":', b'"created":', b'"scopes":'),
    ),
    Target(
        "audit-head",
        "`MemberMemory.recall`, `Spool.append` upon it",
        _head,
        lambda: [b'[7,"' + b"0a" * 32 + b'"]', b'[9999999998,"' + b"f" * 64 + b'"]', b'[3,""]', b'[2,"x"]'],
        (*_HOSTILE, b"9999999999", b"]", b"[", b'"', b"0" * 64),
        max_bytes=8000,
        weight=4,
    ),
]
