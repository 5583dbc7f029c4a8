"""The parts of a saver by themselves: the spool, the line between the processes, the memory, the ledger."""

from __future__ import annotations

import itertools
import os
import socket
import threading
from pathlib import Path

import msgspec
import numpy as np
import pytest

from holdfast.errors import (
    DamageError,
    FailedError,
    HoldfastError,
    StorageFullError,
    StoreUnreachableError,
    UsageError,
    WrongKeyError,
)
from holdfast.stores.memory import MemoryStore
from holdfast.testing.workspace import new_trial_vault
from holdfast.training.saving.channel import Channel
from holdfast.training.saving.ledger import Ledger, error_named
from holdfast.training.saving.memory import StagingMemory, map_received
from holdfast.training.saving.messages import (
    ORDERS,
    REPORTS,
    Durable,
    Failed,
    Order,
    SaveOrder,
    SharedMemory,
    StagedFile,
    Withdraw,
)
from holdfast.training.saving.room import available_bytes
from holdfast.training.saving.spool_files import SpoolReader, write_spool_file
from holdfast.training.saving.spooling import Backlog, Waiting, in_order_of_worth
from holdfast.training.saving.staging import plan_staging, read_extra_files, stage
from holdfast.training.saving.tickets import Ticket
from holdfast.training.states.files import plan_files
from holdfast.vault.format.keys import VaultKeys

MIB = 1 << 20


@pytest.fixture(params=[True, False], ids=["encrypted", "plain"])
def keys(request: pytest.FixtureRequest) -> VaultKeys:
    return new_trial_vault(MemoryStore(), encrypted=request.param).open().handle.keys


def an_order(step: int, size: int, *, tags: tuple[str, ...] = (), ticket: int = 0) -> SaveOrder:
    half = size // 2
    files = [StagedFile("a.bin", 0, half), StagedFile("b.bin", half, size - half)]
    return SaveOrder(ticket or step, 0, files, "", step, step * 1000, {}, {}, {}, list(tags), "warn", True)


def noise(size: int) -> memoryview:
    return memoryview(np.random.default_rng(size).bytes(size))


@pytest.mark.parametrize("size", [0, 1, 100, MIB, MIB + 1, 3 * MIB + 7])
def test_a_spool_file_gives_back_what_was_put_in(tmp_path: Path, keys: VaultKeys, size: int) -> None:
    data = noise(size)
    order = an_order(5, size, tags=("x",))
    write_spool_file(tmp_path / "a.spool", keys, order, data)
    reader = SpoolReader(tmp_path / "a.spool", keys)
    reader.check()
    assert reader.order == order
    first, second = reader.sources()
    assert first.read_at(0, size) + second.read_at(0, size) == data
    assert second.read_at(3, 10) == bytes(data[size // 2 + 3 : size // 2 + 13])
    reader.close()


def test_every_part_of_a_spool_file_is_guarded(tmp_path: Path, keys: VaultKeys) -> None:
    path = tmp_path / "a.spool"
    size = write_spool_file(path, keys, an_order(5, 3000), noise(3000))
    whole = path.read_bytes()
    for at in range(0, size, 97):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :])
        with pytest.raises(HoldfastError):
            reader = SpoolReader(path, keys)
            try:
                reader.check()
            finally:
                reader.close()
    for cut in (0, 5, 11, 60, 200, size - 1):
        path.write_bytes(whole[:cut])
        with pytest.raises(DamageError):
            reader = SpoolReader(path, keys)
            try:
                reader.check()
            finally:
                reader.close()


def test_a_spool_file_of_another_vault_is_not_taken(tmp_path: Path, keys: VaultKeys) -> None:
    write_spool_file(tmp_path / "a.spool", keys, an_order(5, 100), noise(100))
    other = new_trial_vault(MemoryStore()).open().handle.keys
    with pytest.raises(DamageError, match="another vault"):
        SpoolReader(tmp_path / "a.spool", other)


def test_an_encrypted_state_is_not_readable_on_the_disk(tmp_path: Path) -> None:
    keys = new_trial_vault(MemoryStore()).open().handle.keys
    secret = b"the weights of the model" * 100
    write_spool_file(tmp_path / "a.spool", keys, an_order(5, len(secret), tags=("hush",)), memoryview(secret))
    found = (tmp_path / "a.spool").read_bytes()
    assert b"weights" not in found
    assert b"hush" not in found


def in_backlog(step: int, *tags: str) -> Waiting:
    return Waiting(an_order(step, 10, tags=tags), None, 10, step)


def test_the_order_of_worth() -> None:
    waiting = [in_backlog(3), in_backlog(1, "best"), in_backlog(5), in_backlog(2, "milestone"), in_backlog(4)]
    assert [one.ticket for one in in_order_of_worth(waiting)] == [5, 2, 1, 4, 3]
    assert [one.ticket for one in in_order_of_worth(waiting, (9, 9))] == [2, 1, 5, 4, 3]
    assert in_order_of_worth([]) == []


def test_what_is_worth_least_gives_way_and_never_the_newest(tmp_path: Path, keys: VaultKeys) -> None:
    dropped: list[Waiting] = []
    backlog = Backlog(tmp_path, 3 * MIB + MIB // 2, keys, "llm", dropped.append)
    for step, tags in ((1, ("best",)), (2, ()), (3, ()), (4, ())):
        backlog.spool(an_order(step, MIB, tags=tags), noise(MIB))
    assert [one.ticket for one in dropped] == [2]
    with pytest.raises(StorageFullError, match="worth more"):
        backlog.spool(an_order(0, MIB), noise(MIB))
    with pytest.raises(StorageFullError, match="alone"):
        backlog.spool(an_order(9, 4 * MIB), noise(4 * MIB))
    assert [waiting.ticket for waiting in iter_sent(backlog)] == [4, 1, 3]
    assert list(tmp_path.rglob("*.spool")) == []


def iter_sent(backlog: Backlog) -> list[Waiting]:
    found = []
    while (waiting := backlog.next()) is not None:
        found.append(waiting)
        backlog.sent(waiting)
    return found


def test_what_is_left_is_taken_over_once_and_damage_is_set_aside(tmp_path: Path, keys: VaultKeys) -> None:
    first = Backlog(tmp_path, 10 * MIB, keys, "llm", lambda _: None)
    first.spool(an_order(1, 1000), noise(1000))
    beside = Backlog(tmp_path, 10 * MIB, keys, "llm", lambda _: None)  # the first one lives: it has a folder of its own
    assert len(beside) == 0
    beside.spool(an_order(2, 1000), noise(1000))
    first.release()
    beside.release()
    paths = sorted(tmp_path.rglob("*.spool"))
    assert len(paths) == 2
    paths[0].write_bytes(b"HFSPOOL1 and nothing else")
    third = Backlog(tmp_path, 10 * MIB, keys, "llm", lambda _: None)
    assert third.left_by_others == len(third) == 1
    assert len(list(tmp_path.rglob("*.damaged"))) == 1
    assert Backlog(tmp_path, MIB, keys, "another asset", lambda _: None).left_by_others == 0


def test_without_a_spool_nothing_is_spooled(keys: VaultKeys) -> None:
    backlog = Backlog(None, 0, keys, "llm", lambda _: None)
    with pytest.raises(FailedError, match="no spool"):
        backlog.spool(an_order(1, 10), noise(10))


def ends() -> tuple[Channel[Order], Channel[Order]]:
    one, other = socket.socketpair()
    return Channel(one, ORDERS), Channel(other, ORDERS)


def test_messages_arrive_whole_and_in_order_with_their_descriptors() -> None:
    here, there = ends()
    memory = StagingMemory()
    memory.ensure(100)
    memory.view[:5] = b"hello"
    sent = [Withdraw(1), SharedMemory(0, memory.size), an_order(7, 1 << 20), *(Withdraw(n) for n in range(3000))]

    def send() -> None:
        for message in sent:
            here.send(message, memory.descriptor if isinstance(message, SharedMemory) else None)
        here.close()

    sending = threading.Thread(target=send)
    sending.start()
    got = []
    while (message := there.receive()) is not None:
        got.append(message)
        if isinstance(message, SharedMemory):
            descriptor = there.descriptor()
            assert descriptor is not None
            mapped = map_received(descriptor, message.size)
            assert mapped[:5] == b"hello"
            mapped.close()
    sending.join()
    assert got == sent
    assert not there.send(Withdraw(1))
    there.close()
    memory.close()


@pytest.mark.parametrize("data", [b"\xff\xff\xff\xff....", b"\x00\x00\x00\x01\xc0", b"\x00\x00\x00\x02{}"])
def test_what_is_no_message_is_damage(data: bytes) -> None:
    one, other = socket.socketpair()
    channel: Channel[Order] = Channel(other, ORDERS)
    one.sendall(data)
    with pytest.raises(DamageError):
        channel.receive()
    one.close(), channel.close()


def test_memory_is_one_file_without_a_name_that_grows() -> None:
    memory = StagingMemory()
    memory.ensure(10)
    generation, descriptor = memory.generation, memory.descriptor
    memory.ensure(1000)
    assert (memory.generation, memory.descriptor) == (generation, descriptor)
    memory.ensure(memory.size + 1)
    assert memory.generation == generation + 1
    assert "memfd:holdfast-staging" in os.readlink(f"/proc/self/fd/{memory.descriptor}")
    memory.close()
    memory.close()
    assert memory.size == 0


@pytest.mark.parametrize("size", [1 << 50, 1 << 80])
def test_memory_that_no_machine_has_is_not_even_asked_for(size: int) -> None:
    memory = StagingMemory()
    with pytest.raises(StorageFullError, match="no memory to stage"):
        memory.ensure(size)
    memory.ensure(10)
    memory.close()


def test_what_is_left_in_a_control_group_counts(tmp_path: Path) -> None:
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/meminfo").write_text("MemTotal: 9 kB\nMemAvailable:    1000000 kB\n")
    assert available_bytes(tmp_path) == 1_000_000 << 10
    (tmp_path / "proc/self/cgroup").write_text("0::/job/step\n")
    for place, limit, used in (("job/step", "max", 5), ("job", str(100 << 20), 30 << 20), (".", "max", 0)):
        folder = tmp_path / "sys/fs/cgroup" / place
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "memory.max").write_text(limit + "\n")
        (folder / "memory.current").write_text(f"{used}\n")
    assert available_bytes(tmp_path) == 70 << 20
    (tmp_path / "sys/fs/cgroup/job/memory.stat").write_text(f"anon 5\ninactive_file {10 << 20}\n")
    assert available_bytes(tmp_path) == 80 << 20
    older = tmp_path / "sys/fs/cgroup/memory/job"
    older.mkdir(parents=True)
    (older / "memory.limit_in_bytes").write_text(f"{50 << 20}\n")
    (older / "memory.usage_in_bytes").write_text(f"{49 << 20}\n")
    (tmp_path / "proc/self/cgroup").write_text("3:cpu,memory:/job\n2:pids:/job\n0::/job/step\n")
    assert available_bytes(tmp_path) == 1 << 20


def test_files_lie_apart_and_tensors_are_aligned() -> None:
    state = {"m": {str(n): np.full(n + 1, n, np.uint8) for n in range(5)}, "o": {"x": np.arange(3.0)}, "n": 7}
    files = plan_files(state)
    plan = plan_staging(files, {"extra/one.txt": b"1234567"})
    memory = bytearray(plan.size)
    stage(plan, memoryview(memory))
    spans = sorted((file.offset, file.offset + file.size) for file in plan.files)
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(spans))
    placed = {file.name: memory[file.offset : file.offset + file.size] for file in plan.files}
    assert placed["extra/one.txt"] == b"1234567"
    assert msgspec.json.decode(placed["state.json"])["tree"]["n"] == 7
    data = placed["o.safetensors"]
    assert np.frombuffer(data[-24:], "<f8").tolist() == [0.0, 1.0, 2.0]
    for file in files.files:
        begin = next(one.offset for one in plan.files if one.name == file.name) + len(file.header)
        assert begin % 64 == 0


@pytest.mark.parametrize("name", ["", "/etc/passwd", "../x", "a//b", "a/./b", "x\0", "a\nb", 5])
def test_names_of_extra_files(name: str) -> None:
    with pytest.raises(UsageError):
        read_extra_files({name: b""})


def test_extra_files_that_are_not_there_or_meet(tmp_path: Path) -> None:
    with pytest.raises(FailedError):
        read_extra_files({"a": tmp_path / "nothing"})
    with pytest.raises(UsageError, match=r"state\.json"):
        plan_staging(plan_files({"a": 1}), {"state.json": b""})


@pytest.mark.parametrize("kind", [WrongKeyError, StoreUnreachableError, StorageFullError, DamageError])
def test_errors_keep_their_class_between_the_processes(kind: type[HoldfastError]) -> None:
    assert type(error_named(kind.code, "x", "y")) is kind
    assert type(error_named("no such code", "x", "y")) is FailedError


def test_the_ledger_reports_durable_what_is_and_by_the_newest_content() -> None:
    failed: list[Ticket] = []
    ledger = Ledger(failed.append)
    tickets = [Ticket(number, step) for number, step in ((1, 10), (2, 20), (3, 30))]
    for ticket in tickets:
        ledger.begin(ticket, ticket.number * 100)
    ledger.take(Durable(3, "s3", "good", 1.0, 10, 5))
    assert ledger.last_durable_step == 30
    ledger.take(Durable(1, "s1", "good", 1.0, 10, 5))  # an older one from the backlog
    assert ledger.last_durable_step == 30
    assert ledger.exposure().backlog == 1
    ledger.take(Failed(2, "storage-full", "full", ""))
    ledger.take(Durable(2, "s2", "good", 1.0, 10, 5))  # what failed stays failed
    ledger.tell()
    assert failed == [tickets[1]]
    assert isinstance(tickets[1].error, StorageFullError)
    assert not tickets[1].is_durable
    assert str(ledger.exposure()) == "step 30 is durable, nothing waits"
    assert ledger.stats(0).durable == 2


def test_every_message_has_a_decoder() -> None:
    assert REPORTS.decode(msgspec.msgpack.encode(Failed(1, "a", "b", "c"))) == Failed(1, "a", "b", "c")
