"""A log that was taken away, or put back as it was: machines that saw more neither take it for none nor sign on top."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast.audit.layout import DECLARATIONS
from holdfast.clock import NANOSECONDS, ManualClock
from holdfast.control.audit.audit_doors import open_for_audit, open_log
from holdfast.control.audit.auditing import create_log, find_log, log_of
from holdfast.control.audit.recording import journal_of, record_by_hand
from holdfast.control.vaults.opening import create, open_at
from holdfast.errors import DamageError, FailedError, NotFoundError, PermissionDeniedError
from holdfast.stores.memory import MemoryStore
from holdfast.stores.protocol import Store
from holdfast.testing.audit_trials import put_back
from holdfast.testing.workspace import NoteTaker
from holdfast.vault.handle import Handle


class World:
    """A vault with a log on a disk, and a machine."""

    def __init__(self, folder: Path) -> None:
        self.url = str(folder / "vault")
        self.environment = {f"XDG_{kind.upper()}_HOME": str(folder / kind) for kind in ("config", "state", "cache")}
        self.other = self.environment | {"XDG_STATE_HOME": str(folder / "other")}
        self.notes = NoteTaker()
        self.clock = ManualClock(3_000_000_000 * NANOSECONDS)  # what the disk says of its objects is long ago
        create_log(create(self.url, environment=self.environment).vault.handle, environment=self.environment)

    def handle(self) -> Handle:
        return open_at(self.url, environment=self.environment, progress=self.notes, clock=self.clock).handle

    def record(self, environment: dict[str, str] | None = None) -> None:
        handle = self.handle()
        log = log_of(handle, environment=environment or self.environment)
        record_by_hand(handle, log, "note", "allowed", [], {}, "done", environment=environment or self.environment)

    def sequence(self, environment: dict[str, str] | None = None) -> int:
        self.clock.sleep(3600)
        return log_of(self.handle(), environment=environment or self.environment).sequence(grace_seconds=0).entries

    def copy(self) -> MemoryStore:
        store, copied = self.handle().store, MemoryStore()
        for info in store.list("audit/"):
            copied.create(info.key, store.get(info.key))
        return copied


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def _take_away(store: Store) -> None:
    for info in list(store.list(DECLARATIONS)):
        store.delete(info.key)


def test_a_log_that_was_taken_away_is_not_taken_for_none(world: World) -> None:
    """Else whoever can delete a few bytes has everything go on unrecorded, and nobody is told."""
    world.record()
    _take_away(world.handle().store)
    handle = world.handle()
    assert not journal_of(handle, environment=world.environment).record("save")
    assert any(note.startswith("NOT IN THE AUDIT LOG: save") for note in world.notes.notes)
    with pytest.raises(FailedError, match="was not begun"):
        journal_of(handle, environment=world.environment).record("drop", required=True)
    for look in (
        lambda: find_log(handle, environment=world.environment),
        lambda: log_of(handle, environment=world.environment),
        lambda: open_log(world.url, environment=world.environment),
        lambda: open_for_audit(world.url, "audit.verify", environment=world.environment),
    ):
        with pytest.raises(DamageError, match="is gone: this machine saw one there before") as raised:
            look()
        assert "delete " in str(raised.value.hint)
    create_log(handle, environment=world.environment)
    world.record()


def test_a_machine_that_never_saw_a_log_has_nothing_to_miss(world: World) -> None:
    _take_away(world.handle().store)
    handle = world.handle()
    assert find_log(handle, environment=world.other) is None
    with pytest.raises(NotFoundError):
        log_of(handle, environment=world.other)


def test_nothing_is_signed_on_top_of_a_log_that_was_put_back(world: World) -> None:
    world.record()
    assert world.sequence() == 1
    then = world.copy()
    world.record()
    assert world.sequence() == 1
    put_back(world.handle().store, then)
    world.record()
    before = world.copy()
    with pytest.raises(DamageError, match="this machine saw 2 entries"):
        world.sequence()
    with pytest.raises(DamageError, match="this machine saw 2 entries"):
        log_of(world.handle(), environment=world.environment).append([])
    assert {info.key for info in before.list("")} == {info.key for info in world.copy().list("")}
    assert world.sequence(world.other | {"XDG_CONFIG_HOME": world.environment["XDG_CONFIG_HOME"]}) == 1
    world.record()  # as many again, by a machine that knew nothing: now it is a fork
    with pytest.raises(DamageError, match="does not begin with the log of 2 entries") as raised:
        world.sequence()
    Path(str(raised.value.hint).rpartition(" ")[2]).unlink()  # on purpose
    assert world.sequence() == 1


def test_what_is_done_with_a_log_is_asked_for(world: World) -> None:
    """Strangers and members may look at it, as it lies in the open; a policy may say no to them all the same."""
    stranger = {name: place + "-of-a-stranger" for name, place in world.environment.items()}
    for environment in (world.environment, stranger):
        assert open_for_audit(world.url, "audit.show", environment=environment).declared
        folder = Path(environment["XDG_CONFIG_HOME"]) / "holdfast" / "policies"
        folder.mkdir(parents=True)
        (folder / "mine.cedar").write_text('forbid (principal, action == Action::"audit.show", resource);')
        with pytest.raises(PermissionDeniedError):
            open_for_audit(world.url, "audit.show", environment=environment)
        assert open_for_audit(world.url, "audit.verify", environment=environment).declared
