"""`holdfast lock`: transcripts, JSON, exit codes, on a bucket of moto's."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from terminal import Terminal, write_checkpoint

from holdfast.clock import SYSTEM_CLOCK, to_rfc3339
from holdfast.testing.lockable_servers import ORDINARY_ENVIRONMENT, MotoLockServer, s3_client


class Bucket(NamedTuple):
    """A vault in a bucket. `options`: of every command about it."""

    url: str
    options: list[str]
    name: str
    server: MotoLockServer


@pytest.fixture(scope="module")
def server() -> Iterator[MotoLockServer]:
    with MotoLockServer() as server:
        yield server


@pytest.fixture
def bucket(terminal: Terminal, server: MotoLockServer, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    for name, value in ORDINARY_ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    name = server.new_bucket()
    options = [word for key, value in server.options.items() for word in ("--store-option", f"{key}={value}")]
    url = f"s3://{name}/vault"
    monkeypatch.setenv("HOLDFAST_VAULT", url)
    terminal.ok("vault", "create", url, *options)
    return Bucket(url, options, name, server)


def save(terminal: Terminal, bucket: Bucket, step: int) -> str:
    write_checkpoint(terminal.folder / "ckpt", step)
    arguments = ["snapshot", "save", "ckpt", "--asset", "llama", "--step", str(step)]
    snapshot: str = terminal.json("snapshot-save", *arguments, *bucket.options)["snapshot"]["id"]
    return snapshot


def test_set_show_extend(terminal: Terminal, bucket: Bucket) -> None:
    first = save(terminal, bucket, 1)
    bare = terminal.run("lock", "show", *bucket.options)
    assert bare.code == 9
    assert bare.fact("setting").startswith("none")
    assert bare.fact("unprotected") == "1 of 1 snapshot"
    assert terminal.run("lock", "extend", *bucket.options).code == 5
    said = terminal.ok("lock", "set", "30d", *bucket.options)
    assert said.fact("lock") == "30 d 00 h, governance"
    assert said.fact("snapshots") == "1"
    assert said.last.startswith("set the lock of vault")
    shown = terminal.ok("lock", "show", *bucket.options)
    lines = shown.out.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0].split() == ["SNAPSHOT", "ASSET", "LOCKED", "UNTIL", "LEFT", "OBJECTS", "NOT", "LOCKED"]
    assert lines[1].split()[0] == first[:12]
    assert shown.fact("unprotected") == "none"
    assert shown.last.startswith("1 of 1 snapshot locked")
    facts = terminal.json("lock-show", "lock", "show", *bucket.options)
    [one] = facts["snapshots"]
    assert (facts["mode"], facts["seconds"], one["protected"], one["unlocked"]) == ("governance", 2_592_000, True, 0)
    extended = terminal.json("lock-extend", "lock", "extend", *bucket.options)
    assert extended["failures"] == []
    assert extended["until"] is not None
    off = terminal.json("lock-set", "lock", "set", "off", *bucket.options)
    assert (off["mode"], off["locked"]) == ("off", None)


def test_recover(terminal: Terminal, bucket: Bucket) -> None:
    snapshot = save(terminal, bucket, 1)
    terminal.ok("lock", "set", "30d:compliance", *bucket.options)
    time.sleep(1.1)  # moto tells times to a second
    before = to_rfc3339(SYSTEM_CLOCK.now_ns())
    time.sleep(1.1)
    attacker = s3_client(bucket.server.endpoint, ORDINARY_ENVIRONMENT)
    keys = [one["Key"] for one in attacker.list_objects_v2(Bucket=bucket.name)["Contents"]]
    for number, key in enumerate(keys):
        if number % 2:
            attacker.put_object(Bucket=bucket.name, Key=key, Body=b"garbage")
        else:
            attacker.delete_object(Bucket=bucket.name, Key=key)
    attacker.put_object(Bucket=bucket.name, Key="vault/config/0000000002", Body=b"garbage")
    assert terminal.run("restore", "llama", terminal.folder / "out", *bucket.options).code != 0
    planned = terminal.ok("lock", "recover", "--before", before, *bucket.options)
    assert max(map(len, planned.out.splitlines())) <= 80
    assert planned.fact("snapshots") == "1 are whole as of then"
    assert "nothing was changed" in planned.last
    digest = planned.fact("digest")
    assert terminal.run("lock", "recover", "--before", before, "--apply", "0" * 32, *bucket.options).code == 6
    done = terminal.json("lock-recover", "lock", "recover", "--before", before, "--apply", digest, *bucket.options)
    assert done["snapshots"] == [snapshot]
    assert done["done"]["restored"] == sum(one["action"] == "restore" for one in done["steps"]) > 5
    aside = {one["object"] for one in done["steps"] if one["action"] == "set aside"}
    assert "config/0000000002" in aside
    assert done["done"]["set_aside"] == len(aside)
    assert done["done"]["locked_until"] is not None
    terminal.ok("restore", "llama", terminal.folder / "out", *bucket.options)
    assert (terminal.folder / "out/model.safetensors").read_bytes() == (
        terminal.folder / "ckpt/model.safetensors"
    ).read_bytes()
    shown = terminal.run("lock", "show", *bucket.options)
    assert shown.code == 0
    assert "several versions" in shown.err


def test_what_makes_no_sense(terminal: Terminal, bucket: Bucket, vault: Path) -> None:
    assert terminal.run("lock", "set", "soon", *bucket.options, "--vault", bucket.url).code == 2
    assert terminal.run("lock", "recover", "--before", "yesterday", *bucket.options, "--vault", bucket.url).code == 2
    later = to_rfc3339(SYSTEM_CLOCK.now_ns() + 10**13)
    assert terminal.run("lock", "recover", "--before", later, *bucket.options, "--vault", bucket.url).code == 2
    early = terminal.run("lock", "recover", "--before", "2020-01-01", *bucket.options, "--vault", bucket.url)
    assert early.code == 3
    folder = terminal.run("lock", "set", "30d", "--vault", vault)
    assert folder.code == 5
    assert "cannot lock objects" in folder.err


def test_a_bucket_without_locks(terminal: Terminal, bucket: Bucket) -> None:
    url = f"s3://{bucket.server.new_bucket(locking=False)}"
    terminal.ok("vault", "create", url, *bucket.options)
    said = terminal.run("lock", "set", "30d", *bucket.options, "--vault", url)
    assert said.code == 5
    assert "has no Object Lock" in said.err
    shown = terminal.ok("lock", "show", *bucket.options, "--vault", url)
    assert "has no Object Lock" in shown.fact("bucket")


def policy_file(terminal: Terminal, keep: str) -> str:
    path = terminal.folder / "policy.yaml"
    path.write_text(f"version: 1\nrecent: 0s\nrules:\n  - assets: llama\n    keep: {keep}\n")
    return str(path)


def test_a_lock_from_a_policy(terminal: Terminal, bucket: Bucket) -> None:
    first = save(terminal, bucket, 1)
    second = save(terminal, bucket, 2)
    file = policy_file(terminal, "{within: 60d, last: 1}")
    would = terminal.ok("lock", "set", "--from-policy", file, "--dry-run", *bucket.options)
    assert max(map(len, would.out.splitlines())) <= 80
    assert would.fact("lock") == "30 d 00 h, governance"
    assert would.fact("policy").startswith("locked for as long as it keeps a snapshot, 60 d 00 h at the most")
    assert "within 60d, until" in " ".join(would.out.split())
    assert would.fact("short").startswith("2 snapshots")
    assert "nothing was changed" in would.last
    assert terminal.run("lock", "extend", *bucket.options).code == 5  # there is no setting still
    assert terminal.run("lock", "extend", "--dry-run", *bucket.options).code == 5
    done = terminal.json("lock-set", "lock", "set", "7d", "--from-policy", file, *bucket.options)
    assert (done["seconds"], done["policy"], done["longest"]) == (7 * 86_400, True, 60 * 86_400)
    assert done["locked"]["failures"] == []
    shown = terminal.json("lock-show", "lock", "show", *bucket.options)
    assert (shown["policy"], shown["short"], shown["unprotected"], shown["hidden"]) == (True, 0, 0, [])
    assert {one["snapshot"] for one in shown["snapshots"]} == {first, second}
    for one in shown["snapshots"]:
        assert one["until"] >= one["promised"]
        assert one["because"][0].startswith("within 60d, until")
        assert one["renewed"]
    third = save(terminal, bucket, 3)
    due = terminal.json("lock-extend", "lock", "extend", "--dry-run", *bucket.options)
    assert due["planned"]["short"] == 0  # the save locked by the policy
    assert third in {one["snapshot"] for one in due["planned"]["snapshots"]}
    table = terminal.ok("lock", "show", *bucket.options).out.splitlines()
    assert table[0].split() == ["SNAPSHOT", "ASSET", "LOCKED", "UNTIL", "WANTED", "UNTIL", "BECAUSE"]
    assert max(map(len, table)) <= 80


def test_retention_says_what_is_locked_and_lets_it_wait(terminal: Terminal, bucket: Bucket) -> None:
    first = save(terminal, bucket, 1)
    save(terminal, bucket, 2)
    terminal.ok("lock", "set", "30d", *bucket.options)
    file = policy_file(terminal, "{last: 1}")
    plan = terminal.json("retention-plan", "retention", "plan", "--policy", file, *bucket.options)
    [going] = [one for one in plan["decisions"] if one["action"] == "drop"]
    assert going["snapshot"] == first
    assert going["locked_until"] is not None
    assert plan["waiting"] == 1
    assert plan["locked_bytes"] == plan["freed_bytes"]
    said = terminal.ok("retention", "plan", "--policy", file, "--out", terminal.folder / "plan", *bucket.options)
    assert "a later run takes them" in said.fact("locked")
    done = terminal.ok("retention", "apply", terminal.folder / "plan", *bucket.options)
    assert done.fact("dropped") == "0 snapshots"
    assert done.fact("waiting").startswith("1 snapshot, locked until")
    assert "applied 0 changes, 1 wait for their locks" in done.last
    assert terminal.json("lock-show", "lock", "show", *bucket.options)["unprotected"] == 0


def test_moments_and_restoring_from_one(terminal: Terminal, bucket: Bucket) -> None:
    snapshot = save(terminal, bucket, 1)
    terminal.ok("lock", "set", "30d", *bucket.options)
    whole = terminal.ok("lock", "moments", *bucket.options)
    assert whole.out.splitlines()[1].split()[2:4] == ["whole", "1"]
    assert len(whole.out.splitlines()) == 4
    time.sleep(2.1)
    attacker = s3_client(bucket.server.endpoint, ORDINARY_ENVIRONMENT)
    keys = [one["Key"] for one in attacker.list_objects_v2(Bucket=bucket.name)["Contents"]]
    for key in keys:
        if "/snapshots/" in key:
            attacker.delete_object(Bucket=bucket.name, Key=key)
        elif "/packs/" in key:
            attacker.put_object(Bucket=bucket.name, Key=key, Body=b"garbage")
    shown = terminal.run("lock", "show", *bucket.options)
    assert "hidden while locked" in shown.err
    extended = terminal.run("lock", "extend", *bucket.options)
    assert "1 snapshot hidden while locked" in extended.err
    found = terminal.json("lock-moments", "lock", "moments", *bucket.options)
    now, before = found["moments"]
    assert (now["whole"], now["snapshots"], len(now["hidden"])) == (False, [], 1)
    assert (before["whole"], before["snapshots"]) == (True, [snapshot])
    assert found["newest_whole"] == before["time"]
    text = terminal.ok("lock", "moments", *bucket.options)
    assert max(map(len, text.out.splitlines())) <= 80
    out = terminal.folder / "past"
    done = terminal.json("restore", "lock", "restore", "llama", out, "--at", before["time"], *bucket.options)
    assert done["snapshot"]["id"] == snapshot
    assert (out / "model.safetensors").read_bytes() == (terminal.folder / "ckpt/model.safetensors").read_bytes()
    assert terminal.run("restore", "llama", terminal.folder / "now", *bucket.options).code != 0  # nothing was changed
    again = terminal.run("lock", "restore", "llama", out, "--at", before["time"], *bucket.options)
    assert again.code == 5
    assert terminal.run("lock", "restore", "llama", out, "--at", "soon", *bucket.options).code == 2
    assert (
        terminal.run("lock", "restore", "llama", terminal.folder / "x", "--at", "2020-01-01", *bucket.options).code == 3
    )


def test_what_no_setting_can_be(terminal: Terminal, bucket: Bucket) -> None:
    assert terminal.run("lock", "set", *bucket.options).code == 2
    file = policy_file(terminal, "{yearly: 101}")
    said = terminal.run("lock", "set", "--from-policy", file, *bucket.options)
    assert said.code == 2
    assert "more than 100 years" in said.err
    file = policy_file(terminal, "{last: 1}")
    assert terminal.run("lock", "set", "off", "--from-policy", file, *bucket.options).code == 2
    assert terminal.run("lock", "set", "off", "--dry-run", *bucket.options).code == 2
    assert terminal.run("lock", "set", "--from-policy", terminal.folder / "none", *bucket.options).code == 3


def test_less_of_a_lock_is_asked_for_as_unlocking(
    terminal: Terminal, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Locking, which operators may, is not switching locks off, which they may not."""
    asked: list[str] = []
    monkeypatch.setattr("holdfast.control.authority.guarding.guard", lambda vault, action, **_: asked.append(action))
    file = policy_file(terminal, "{within: 60d}")
    for words in (["30d"], ["7d"], ["7d", "--from-policy", file], ["8d", "--from-policy", file], ["8d"], ["off"]):
        terminal.ok("lock", "set", *words, *bucket.options)
    assert asked == ["lock", "unlock", "lock", "lock", "unlock", "unlock"]
