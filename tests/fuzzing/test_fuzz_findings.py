"""What fuzzing found once. Each of these inputs did what its test says that it does no more."""

from __future__ import annotations

import math
import tracemalloc
from pathlib import Path

import msgspec
import pytest
from blake3 import blake3
from fuzz.guard import judge
from fuzz.model import Outcome
from fuzz.targets import TARGETS

from holdfast.clock import from_rfc3339
from holdfast.config.webhooks_model import matches
from holdfast.control.vaults.retaining import read_plan
from holdfast.drills.trainer.checkpoint_files import TrainerState
from holdfast.drills.trainer.files import read_json
from holdfast.drills.trainer.safetensors import read_tensors
from holdfast.errors import DamageError, UsageError
from holdfast.evidence.encoding import decode_record
from holdfast.ids import ChunkId
from holdfast.recovery.journal.entries import FIRST, Deed, decode_entry, encode_entry
from holdfast.recovery.journal.entries import Entry as Said
from holdfast.units import parse_duration, parse_rate, parse_size
from holdfast.vault.format.names import Names
from holdfast.vault.format.records import Entry, Part
from holdfast.vault.regions.torch_pickle import read_pickle
from holdfast.vault.saving.memory import LocalBases, LocalFile, Remembered, recall

SEEDS = Path(__file__).parents[2] / "fuzz" / "seeds"
NESTED = b"\x80\x02)" + b"2\x86" * 40 + b"\x8c\x01a\x93."  # a class in a module that is 2^40 empty tuples


def remembered(path: Path, *parts: Part, more: bytes = b"") -> Path:
    record = msgspec.msgpack.encode(Remembered("x", 1, list(parts), {b"a": LocalFile(bytes(path), 8, 0)}))
    if more:
        record = bytes([record[0] + 1]) + record[1:] + b"\xa1z" + more
    path.write_bytes(blake3(record).digest() + record)
    return path


def test_a_pickle_that_names_a_class_by_nested_tuples_is_not_turned_into_text() -> None:
    assert read_pickle(NESTED).root is None
    assert judge(TARGETS["torch-pickle"], NESTED) is Outcome.ACCEPTED


@pytest.mark.parametrize("parse", [parse_duration, parse_size, parse_rate])
@pytest.mark.parametrize("unit", ["w", "PiB"])
def test_a_number_of_four_hundred_digits_is_refused(parse, unit: str) -> None:
    with pytest.raises(UsageError):
        parse("9" * 400 + unit)


def test_what_a_save_remembers_may_be_nested_without_end(tmp_path: Path) -> None:
    assert recall(remembered(tmp_path / "memory")) is not None
    assert recall(remembered(tmp_path / "memory", more=b"\x91" * 5000 + b"\xc0")) is None


def test_what_a_save_remembers_must_add_up(tmp_path: Path) -> None:
    def part(**changes: object) -> Part:
        sound = {"size": 8, "runs": [(8, 0, 1, 1)], "chunks": bytes(32), "lengths": (8).to_bytes(4, "little")}
        return Part("x", [Entry(path=b"a", type="file", mode=0o600, mtime=0, **(sound | changes))])

    assert recall(remembered(tmp_path / "memory", part())) is not None
    for changes in ({"runs": [(8, 9, 1, 1)]}, {"size": 9}, {"chunks": bytes(64)}, {"lengths": b"\0"}):
        assert recall(remembered(tmp_path / "memory", part(**changes))) is None


def test_a_remembered_chunk_that_is_longer_than_its_file_takes_no_memory(tmp_path: Path) -> None:
    length = (1 << 32) - 1
    entry = Entry(
        path=b"a",
        type="file",
        mode=0o600,
        mtime=0,
        size=length,
        runs=[(length, 0, 1, 1)],
        chunks=bytes(32),
        lengths=length.to_bytes(4, "little"),
    )
    found = recall(remembered(tmp_path / "memory", Part("x", [entry])))
    assert found is not None
    assert LocalBases(Names(bytes(32)), found).base_bytes(ChunkId(bytes(32))) is None


def test_a_small_plan_takes_little_memory(tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_bytes(b"{}")
    tracemalloc.start()
    try:
        with pytest.raises(UsageError):
            read_plan(tmp_path / "plan.json")
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()


def test_evidence_with_a_number_of_four_hundred_digits_is_refused() -> None:
    sound = (SEEDS / "evidence.json").read_bytes()
    decode_record(sound, "evidence.json")
    for name in (b"fault_ns", b"content_ns"):
        before = sound.partition(b'"%b": ' % name)[2].split(b",")[0].split(b"\n")[0]
        forged = sound.replace(b'"%b": %b' % (name, before), b'"%b": %b' % (name, b"9" * 400))
        assert forged != sound
        with pytest.raises(DamageError):
            decode_record(forged, "evidence.json")


def test_the_trainer_refuses_sizes_without_end_and_states_without_bottom(tmp_path: Path) -> None:
    header = b'{"a":{"dtype":"F32","shape":[Infinity],"data_offsets":[0,8]}}'
    path = tmp_path / "x"
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(8))
    with pytest.raises(DamageError):
        read_tensors(path)
    path.write_bytes(b'{"more":' + b"[" * 3000)
    with pytest.raises(DamageError):
        read_json(path, TrainerState)


@pytest.mark.parametrize(
    ("target", "data"),
    [
        ("retention-plan", b'{"format":"\xff"}'),
        ("restore-notes", b'{"snapshot":"\xff"}\n'),
        ("restore-notes", b'{"z":' + b"[" * 3000 + b"\n"),
        ("folder-names", b"checkpoint_7\nmodel.safetensors\nrandom_states_999999999.pkl"),
        ("deep-headers", b"\0" + (2).to_bytes(8, "little") + b"[]"),
        ("deep-headers", b"\1\x93NUMPY\1\0" + (8).to_bytes(2, "little") + b"{[[[[[[ "),
        ("proofs", msgspec.msgpack.encode([[[b"pack", math.inf]], []])),
        ("proofs", msgspec.msgpack.encode([[[1 << 62, 1]], [["snapshot", math.inf, "decoded"]]])),
        ("environment", b"home"),
    ],
)
def test_files_that_are_not_what_they_should_be(target: str, data: bytes) -> None:
    assert judge(TARGETS[target], data) in (Outcome.ACCEPTED, Outcome.REFUSED)


def test_a_pattern_of_many_stars_is_answered_at_once() -> None:
    assert not matches("*" * 20 + "x", "run.step." + "done" * 20)
    assert matches("run.*", "run.step.done") and not matches("run.*", "drill.finished")


@pytest.mark.parametrize("moment", [-1, 1 << 63, 1 << 90])
def test_an_entry_of_a_time_that_no_calendar_has_is_refused(moment: int) -> None:
    said = Said(run="r", number=1, before=FIRST, deed=Deed.TAKEN, by="plane:9", at=1)
    assert decode_entry("1", encode_entry(said)) == said
    for name in ("at", "until"):
        forged = msgspec.json.encode(msgspec.to_builtins(said) | {name: moment}) if abs(moment) < 1 << 64 else b""
        forged = forged or encode_entry(said).replace(b'"at":1', b'"at":%d' % moment)
        with pytest.raises(DamageError):
            decode_entry("1", forged)


def test_a_time_before_the_first_year_is_refused() -> None:
    with pytest.raises(ValueError, match="no calendar"):
        from_rfc3339("0001-01-01T00:00:00+23:59")
