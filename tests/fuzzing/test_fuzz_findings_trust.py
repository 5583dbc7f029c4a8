"""What fuzzing found once in key services, policies, identities and the memory of audit logs. It happens no more."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from fuzz.guard import judge
from fuzz.model import Outcome
from fuzz.targets import TARGETS

from holdfast.audit.remembered import MemberMemory
from holdfast.audit.spool import NO_HEAD, Head
from holdfast.authority.api_keys import Register, new_api_key
from holdfast.authority.break_glass import decode_session
from holdfast.authority.policy_folder import policies_in_force
from holdfast.authority.register import decode_register
from holdfast.errors import CredentialError, UsageError
from holdfast.stores.memory import MemoryStore

POLICY = b'forbid (principal, action == Action::"save", resource);'
FAR = 10**30
OLD_KEYS = TARGETS["kept-keys"].seeds()[0].replace(b'"fetched_ns":', b'"fetched_ns":-%b' % (b"9" * 400))
RECORD = {"id": "0" * 16, "label": "ci", "hash": "A" * 43 + "=", "person": "p", "roles": [], "scopes": None}
SESSION = {"id": "x", "principal": "User:a", "person": "p", "reason": "an incident, 12"}


@pytest.mark.parametrize(
    ("target", "data"),
    [
        ("kms-answer", b"\0HTTP/1.1 200 OK\r\n\r\n" + b"[" * 9000),
        ("kms-answer", b"\0HTTP/1.1 302 Found\r\nLocation: http://[\r\n\r\n"),
        ("kept-keys", OLD_KEYS),
        ("policy-folder", b"a\n" + POLICY + b'\n{"z":' + b"[" * 3000),
        ("policy-folder", b"\xff\n" + POLICY),
        ("audit-head", b'[3,"x"]'),
        ("audit-head", b'[9999999999,"%b"]' % (b"0a" * 32)),
        ("api-key-new", b"ci\ntrainer\n\n\xff"),
        ("api-key-new", b"ci\ntrainer\n\xff"),
        ("api-key-new", b"ci\ntrainer\n\n\n" + b"9" * 30),
    ],
)
def test_what_was_no_error_of_ours_is_none_any_more(target: str, data: bytes) -> None:
    assert judge(TARGETS[target], data) in (Outcome.ACCEPTED, Outcome.REFUSED)


def test_a_policy_whose_name_cannot_be_shown_leaves_the_last_good_set_in_force(tmp_path: Path) -> None:
    folder, kept = tmp_path / "policies", tmp_path / "kept.json"
    folder.mkdir(mode=0o700)
    (folder / "a.cedar").write_bytes(POLICY)
    before = policies_in_force(folder, kept)
    (folder / "\udcff.cedar").write_bytes(b'permit (principal, action == Action::"save", resource);')
    found = policies_in_force(folder, kept)
    assert (found.source, found.policies.digest) == ("last good", before.policies.digest)
    assert found.problem is not None and found.problem.message.isprintable()


def test_a_damaged_memory_of_the_policies_is_written_anew(tmp_path: Path) -> None:
    folder, kept = tmp_path / "policies", tmp_path / "kept.json"
    folder.mkdir(mode=0o700)
    (folder / "a.cedar").write_bytes(POLICY)
    kept.write_bytes(b'{"z":' + b"[" * 3000)
    assert policies_in_force(folder, kept).source == "folder"
    assert msgspec.json.decode(kept.read_bytes())["digest"]


@pytest.mark.parametrize("times", [{"created": FAR}, {"revoked": -FAR}, {"expires": -FAR}])
def test_a_register_with_times_that_no_calendar_has_is_refused(times: dict[str, int]) -> None:
    def stored(**changes: int) -> bytes:
        record = {**RECORD, "created": 1, "expires": None, "revoked": None, **changes}
        return json.dumps({"salt": "A" * 43 + "=", "keys": [record]}).encode()

    assert decode_register(stored(), "x").keys
    with pytest.raises(CredentialError):
        decode_register(stored(**times), "x")


def test_a_session_that_ends_after_all_calendars_is_refused() -> None:
    assert decode_session(json.dumps({**SESSION, "since": 0, "until": 1}).encode(), "x").until == 1
    with pytest.raises(CredentialError):
        decode_session(json.dumps({**SESSION, "since": 0, "until": FAR}).encode(), "x")


@pytest.mark.parametrize(("person", "expires_ns"), [("\udcff", None), ("", FAR)])
def test_an_api_key_that_could_not_be_kept_is_not_made(person: str, expires_ns: int | None) -> None:
    with pytest.raises(UsageError):
        new_api_key(
            Register(salt=bytes(32)), "ci", roles=[], scopes=None, person=person, now_ns=1, expires_ns=expires_ns
        )


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        (b'[3,"%b"]' % (b"0a" * 32), Head(3, "0a" * 32)),
        (b'[3,""]', NO_HEAD),
        (b'[3,"x"]', NO_HEAD),
        (b'[9999999999,"%b"]' % (b"0a" * 32), NO_HEAD),
    ],
)
def test_a_remembered_entry_that_no_entry_can_follow_is_forgotten(
    tmp_path: Path, stored: bytes, expected: Head
) -> None:
    memory = MemberMemory({"XDG_STATE_HOME": str(tmp_path)}, MemoryStore(), "log")
    memory.remember("m", Head(1, "0a" * 32))
    next(tmp_path.rglob("*.member.json")).write_bytes(stored)
    assert memory.recall("m") == expected
