"""Asking for permission around real vaults, as commands do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from holdfast.audit.entries import decode_leaf
from holdfast.control.audit.audited_vault import audited
from holdfast.control.audit.auditing import create_log
from holdfast.control.authority.guarding import guard, guard_creation, guard_mirror
from holdfast.control.keys.key_files import export_reader, export_writer
from holdfast.control.vaults.opening import create, open_at
from holdfast.errors import NotFoundError, PermissionDeniedError, RefusedError
from holdfast.vault.vault import Vault


class World:
    """A vault with a snapshot, and key files of each kind of member."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {f"XDG_{kind.upper()}_HOME": str(folder / kind) for kind in ("config", "state", "cache")}
        made = create(str(folder / "vault"), environment=self.environment)
        (folder / "ckpt").write_bytes(b"weights" * 1000)
        self.snapshot = made.vault.save("llama", folder / "ckpt").root.id
        export_writer(made.vault, "gpu-1", folder / "writer.key")
        export_reader(made.vault, "ann", folder / "reader.key")
        self.vault = made.vault

    def opened(self, file: str = "") -> Vault:
        named = {"HOLDFAST_KEY_FILE": str(self.folder / file)} if file else {}
        return open_at(str(self.folder / "vault"), environment=self.environment | named)

    def policy(self, text: str) -> None:
        folder = self.folder / "config" / "holdfast" / "policies"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "mine.cedar").write_text(text)

    def records(self) -> list[dict]:
        path = self.folder / "state" / "holdfast" / "decisions.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_each_member_is_allowed_what_its_key_can(world: World) -> None:
    environment = world.environment
    done = guard(world.opened(), "restore", reference="llama", environment=environment)
    assert done.snapshot is not None and done.snapshot.id == done.reference == world.snapshot
    assert done.principal.name == "keeper" and done.decision.policies == ("member-keeper-keeps",)
    assert (
        guard(world.opened("reader.key"), "restore", reference="llama", environment=environment).principal.name == "ann"
    )
    writer = world.opened("writer.key")
    assert guard(writer, "save", asset="llama", environment=environment).resource.name == "llama"
    assert guard(writer, "quarantine", reference=f"llama@{world.snapshot}", environment=environment).snapshot is None
    for file, action, asked in (
        ("writer.key", "restore", {"reference": "llama"}),
        ("writer.key", "collect", {}),
        ("reader.key", "save", {"asset": "llama"}),
        ("reader.key", "key.rotate", {}),
    ):
        with pytest.raises(PermissionDeniedError):
            guard(world.opened(file), action, environment=environment, **asked)
    assert [one["decision"] for one in world.records()] == ["allow"] * 4 + ["deny"] * 4


def test_decisions_are_in_the_audit_log_denials_too(world: World, tmp_path: Path) -> None:
    log = create_log(world.opened().handle, environment=world.environment)
    for file, allowed in (("", True), ("writer.key", False)):
        opened = audited(world.opened(file), environment=world.environment)
        try:
            guard(
                opened,
                "restore",
                reference="llama" if allowed else f"llama@{world.snapshot}",
                environment=world.environment,
            )
            opened.restore("llama", tmp_path / "back")
        except PermissionDeniedError:
            assert not allowed
    log.sequence(grace_seconds=0)
    found = [decode_leaf(data, "x").entry for _, data in log.entries()]
    asked = [(one.action, one.decision, one.policies, one.actor.label) for one in found if one.action == "restore"]
    assert sorted(asked) == [
        ("restore", "allowed", ["member-keeper-keeps"], "keeper"),
        ("restore", "denied", [], "gpu-1"),
    ]


def test_what_is_not_there_is_not_found_before_anything_is_decided(world: World) -> None:
    with pytest.raises(NotFoundError):
        guard(world.opened(), "restore", reference="other", environment=world.environment)


def test_policies_see_what_is_held_and_what_is_validated(world: World) -> None:
    world.policy(
        '@id("only-validated") @reason("only what was validated")\n'
        'forbid (principal, action == Action::"restore", resource is Snapshot)\n'
        "unless { resource has validated && resource.validated };"
    )
    opened, environment = world.opened(), world.environment
    assert guard(opened, "restore", reference="llama", environment=environment)
    (world.folder / "ckpt").write_bytes(b"other" * 1000)
    unverified = opened.save("llama", world.folder / "ckpt", verify=False).root.id
    with pytest.raises(PermissionDeniedError, match="only what was validated"):
        guard(opened, "restore", reference=unverified, environment=environment)
    assert guard(opened, "drop", reference=unverified, environment=environment)
    opened.hold(unverified, "evidence")
    with pytest.raises(RefusedError, match="is held") as caught:
        guard(opened, "drop", reference=unverified, environment=environment)
    assert caught.value.exit_code == 5


def test_a_copy_goes_where_policies_let_it(world: World) -> None:
    world.policy(
        '@id("not-there") forbid (principal, action == Action::"replicate", resource)\n'
        'when { context has to && context.to == Site::"us" };'
    )
    assert guard(world.opened(), "replicate", to="eu", environment=world.environment)
    with pytest.raises(PermissionDeniedError):
        guard(world.opened(), "replicate", to="us", environment=world.environment)


def test_making_a_vault_is_asked_for_too(world: World) -> None:
    assert guard_creation("/new", encrypted=True, environment=world.environment).policies == ("anybody-creates",)
    world.policy(
        '@id("sealed") @reason("vaults are sealed")\n'
        'forbid (principal, action == Action::"vault.create", resource is Vault) unless { resource.encrypted };'
    )
    assert guard_creation("/new", encrypted=True, environment=world.environment)
    with pytest.raises(PermissionDeniedError, match="vaults are sealed"):
        guard_creation("/new", encrypted=False, environment=world.environment)


def test_a_mirror_without_a_key_is_asked_for_too(world: World) -> None:
    store = world.opened().handle.store
    assert guard_mirror(store, environment=world.environment).policies == ("anybody-copies-sealed",)
    world.policy('@id("no-mirrors") forbid (principal is Anonymous, action == Action::"replicate", resource);')
    with pytest.raises(PermissionDeniedError):
        guard_mirror(store, environment=world.environment)
