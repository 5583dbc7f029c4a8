"""What is taken for a checkpoint, what is not, and what the reason says."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import checkpoint_writers as writers
import pytest

from holdfast.checkpoints.candidates import Candidate
from holdfast.checkpoints.layouts import DEPTH_MAX, find_checkpoints, scan
from holdfast.errors import FailedError, NotFoundError, PermissionDeniedError, UsageError


def finish(writing: Iterator[None]) -> None:
    for _ in writing:
        pass


def only(root: Path, patterns: tuple[str, ...] = ()) -> Candidate:
    (candidate,) = find_checkpoints(root, patterns)
    return candidate


def test_a_candidate_describes_what_it_is_made_of(tmp_path: Path) -> None:
    finish(writers.huggingface_deepspeed(tmp_path))
    candidate = only(tmp_path)
    on_disk = {
        path.relative_to(candidate.path).as_posix(): path.stat() for path in candidate.path.rglob("*") if path.is_file()
    }
    assert {(stamp.path, stamp.size, stamp.mtime_ns) for stamp in candidate.files} == {
        (name, status.st_size, status.st_mtime_ns) for name, status in on_disk.items()
    }
    assert candidate.name == "checkpoint-500"
    assert candidate.size == sum(status.st_size for status in on_disk.values())
    assert candidate.written_ns == max(status.st_mtime_ns for status in on_disk.values())
    assert candidate.marker is not None and candidate.marker.name == "trainer_state.json"


def test_the_fingerprint_follows_names_sizes_and_times_only(tmp_path: Path) -> None:
    finish(writers.huggingface_lora(tmp_path))
    first = only(tmp_path)
    file = first.path / "optimizer.pt"
    os.chmod(file, 0o600)
    assert only(tmp_path).fingerprint == first.fingerprint
    os.utime(file, ns=(1, file.stat().st_mtime_ns + 1))
    touched = only(tmp_path)
    file.rename(first.path / "optimizer2.pt")
    renamed = only(tmp_path)
    assert len({first.fingerprint, touched.fingerprint, renamed.fingerprint}) == 3


def released(root: Path) -> Iterator[None]:
    yield from writers.write(root / "release" / "mp_rank_00" / "model_optim_rng.pt", writers.torch_zip())
    yield from writers.write(root / "latest_checkpointed_iteration.txt", b"release")


@pytest.mark.parametrize("writer", [writers.torchtitan, writers.megatron, writers.deepspeed, writers.orbax, released])
def test_the_watched_folder_may_be_a_checkpoint_itself(writer: writers.Writer, tmp_path: Path) -> None:
    finish(writer(tmp_path))
    inside = only(tmp_path)
    itself = only(inside.path)
    assert itself == inside
    assert itself.complete


def test_several_runs_below_one_folder_are_all_found(tmp_path: Path) -> None:
    finish(writers.huggingface(tmp_path / "run-a"))
    finish(writers.torchtitan(tmp_path / "team" / "run-b" / "checkpoint"))
    finish(writers.lightning_file(tmp_path / "run-c"))
    assert [candidate.framework for candidate in find_checkpoints(tmp_path)] == [
        "huggingface",
        "lightning",
        "torchtitan",
    ]


def test_an_experiment_named_like_a_checkpoint_is_looked_into(tmp_path: Path) -> None:
    finish(writers.huggingface(tmp_path / "step-1"))
    assert only(tmp_path).path == tmp_path / "step-1" / "checkpoint-500"


def test_the_final_model_beside_checkpoints_does_not_swallow_them(tmp_path: Path) -> None:
    finish(writers.huggingface(tmp_path))
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(writers.safetensors())
    assert [candidate.name for candidate in find_checkpoints(tmp_path)] == ["checkpoint-500", "model.safetensors"]


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        ("trainer_state.json", "trainer_state.json"),
        ("model-00002-of-00002.safetensors", "1 of 2 shards"),
    ],
)
def test_a_trainer_checkpoint_that_lost_a_part_is_not_complete(broken: str, reason: str, tmp_path: Path) -> None:
    finish(writers.huggingface(tmp_path))
    (tmp_path / "checkpoint-500" / broken).unlink()
    candidate = only(tmp_path)
    assert not candidate.complete
    assert reason in candidate.reason


def test_a_shard_that_only_the_index_names_is_missed(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoint-7"
    index = {"weight_map": {"a": "model_a.safetensors", "b": "model_b.safetensors", "c": 3}}
    files = {"model_a.safetensors": writers.safetensors(), "model.safetensors.index.json": writers.as_json(index)}
    finish(writers.write_all(folder, files | {"trainer_state.json": b"{}"}))
    assert only(tmp_path).reason == "model_b.safetensors is missing, which model.safetensors.index.json names"
    (folder / "model_b.safetensors").write_bytes(writers.safetensors())
    assert only(tmp_path).complete


def test_weights_are_required(tmp_path: Path) -> None:
    finish(
        writers.write_all(tmp_path / "checkpoint-7", {"trainer_state.json": b"{}", "optimizer.pt": writers.torch_zip()})
    )
    assert "no weights" in only(tmp_path).reason


def test_a_later_tracker_vouches_for_earlier_iterations_and_not_for_later_ones(tmp_path: Path) -> None:
    for iteration in (400, 500, 600):
        finish(writers.write_all(tmp_path / f"iter_{iteration:07d}", {"model_optim_rng.pt": writers.torch_zip()}))
    (tmp_path / "latest_checkpointed_iteration.txt").write_text("500\n")
    found = find_checkpoints(tmp_path)
    assert [(candidate.step, candidate.complete) for candidate in found] == [(400, True), (500, True), (600, False)]
    assert found[2].reason == "latest_checkpointed_iteration.txt still names 500"


def test_a_released_megatron_model_is_complete_and_vouches_for_no_iteration(tmp_path: Path) -> None:
    finish(writers.write_all(tmp_path / "release", {"mp_rank_00/model_optim_rng.pt": writers.torch_zip()}))
    finish(writers.write_all(tmp_path / "iter_0000010", {"mp_rank_00/model_optim_rng.pt": writers.torch_zip()}))
    tracker = tmp_path / "latest_checkpointed_iteration.txt"
    tracker.write_text("release")
    complete = {candidate.name: candidate.complete for candidate in find_checkpoints(tmp_path)}
    assert complete == {"iter_0000010": False, "release": True}
    tracker.write_text("10")
    assert all(candidate.complete for candidate in find_checkpoints(tmp_path))


@pytest.mark.parametrize("tracked", [b"", b"soon", b"\xff\xfe", b"-1", b"5e3", "５００".encode()])
def test_a_tracker_without_a_number_vouches_for_nothing(tracked: bytes, tmp_path: Path) -> None:
    finish(writers.write_all(tmp_path / "iter_0000500", {"model_optim_rng.pt": writers.torch_zip()}))
    (tmp_path / "latest_checkpointed_iteration.txt").write_bytes(tracked)
    assert not only(tmp_path).complete


def test_deepspeed_tags_of_any_name(tmp_path: Path) -> None:
    for tag in ("before-decay", "global_step400", "global_step600"):
        finish(writers.write_all(tmp_path / tag, {"mp_rank_00_model_states.pt": writers.torch_zip()}))
    tracker = tmp_path / "latest"
    tracker.write_text("global_step500")
    complete = {candidate.name for candidate in find_checkpoints(tmp_path) if candidate.complete}
    assert complete == {"global_step400"}
    tracker.write_text("before-decay")
    complete = {candidate.name for candidate in find_checkpoints(tmp_path) if candidate.complete}
    assert complete == {"before-decay"}


def test_a_dcp_folder_needs_its_metadata_and_its_data(tmp_path: Path) -> None:
    finish(writers.torch_dcp(tmp_path))
    folder = tmp_path / "ep1-ba500"
    (folder / ".metadata").rename(folder / ".metadata.tmp")
    assert not only(tmp_path).complete
    (folder / ".metadata.tmp").rename(folder / ".metadata")
    assert only(tmp_path).complete
    step = tmp_path / "step-9"
    finish(writers.write(step / ".metadata", b"\x80\x02."))
    assert {candidate.name: candidate.reason for candidate in find_checkpoints(tmp_path)} == {
        "ep1-ba500": "",
        "step-9": "it holds no .distcp file",
    }


def test_metadata_is_never_unpickled(tmp_path: Path) -> None:
    """A pickle that would create a file if anything loaded it."""
    trap = tmp_path / "trapped"
    finish(writers.torchtitan(tmp_path))
    payload = b"\x80\x02cos\nmkdir\nX" + len(str(trap)).to_bytes(4, "little") + str(trap).encode() + b"\x85R."
    (tmp_path / "step-500" / ".metadata").write_bytes(payload)
    assert only(tmp_path).complete
    assert not trap.exists()


def test_metadata_that_has_not_been_renamed_speaks_against_the_older_one(tmp_path: Path) -> None:
    finish(writers.huggingface_fsdp(tmp_path))
    (tmp_path / "checkpoint-500" / "optimizer_0" / ".metadata.tmp").write_bytes(b"\x80\x02.")
    assert only(tmp_path).reason == "optimizer_0/.metadata.tmp has not been renamed yet"


def test_an_orbax_folder_in_its_final_name_waits_for_the_commit_time(tmp_path: Path) -> None:
    """A mounted bucket, stalled: items are there, `_CHECKPOINT_METADATA` still says that it is not committed."""
    folder = tmp_path / "500"
    metadata = {"init_timestamp_nsecs": 1, "commit_timestamp_nsecs": None}
    files = {"_CHECKPOINT_METADATA": writers.as_json(metadata), "state/manifest.ocdbt": b"x"}
    finish(writers.write_all(folder, files))
    assert only(tmp_path).reason == "_CHECKPOINT_METADATA has no commit time"
    (folder / "commit_success.txt").write_text("Checkpoint commit was successful")
    assert only(tmp_path).complete
    (folder / "metrics.orbax-checkpoint-tmp-7").mkdir()
    assert only(tmp_path).reason == "an item in it has a temporary name"


def test_orbax_checkpoints_stay_complete_when_a_copy_loses_the_commit_file(tmp_path: Path) -> None:
    """google/orbax issue 394: a lost marker made good checkpoints look unfinished, and they were deleted."""
    finish(writers.orbax_commit_file(tmp_path))
    (tmp_path / "500" / "commit_success.txt").unlink()
    assert only(tmp_path).complete
    finish(writers.write_all(tmp_path / "600" / "params", {"_METADATA": b"{}", "manifest.ocdbt": b"x"}))
    assert [(candidate.step, candidate.complete) for candidate in find_checkpoints(tmp_path)] == [
        (500, True),
        (600, True),
    ]


def test_a_run_that_holds_bare_orbax_steps_is_not_one_checkpoint(tmp_path: Path) -> None:
    for step in (100, 200):
        finish(writers.write_all(tmp_path / "run_7" / str(step), {"_METADATA": b"{}", "d/0": b"x"}))
    assert [candidate.step for candidate in find_checkpoints(tmp_path)] == [100, 200]


@pytest.mark.parametrize(
    "name",
    ["tmp-checkpoint-5", "checkpoint-5.tmp", "step-5.partial", "step-5.incomplete", "5.orbax-checkpoint-tmp-99"],
)
def test_a_temporary_folder_is_named_and_never_complete(name: str, tmp_path: Path) -> None:
    files = {"model.safetensors": writers.safetensors(), "trainer_state.json": b"{}"}
    finish(writers.write_all(tmp_path / name, files))
    candidate = only(tmp_path)
    assert (candidate.complete, candidate.reason, candidate.marker) == (False, "it has a temporary name", None)
    assert candidate.step == 5


@pytest.mark.parametrize("name", [".hidden", ".checkpoint-5.Xa12", "tmp-work", "tmp-", "cache.tmp"])
def test_other_hidden_and_temporary_folders_are_passed_over(name: str, tmp_path: Path) -> None:
    finish(
        writers.write_all(tmp_path / name, {"model.safetensors": writers.safetensors(), "trainer_state.json": b"{}"})
    )
    assert find_checkpoints(tmp_path) == []


def test_temporary_files_are_no_checkpoints(tmp_path: Path) -> None:
    names = ["tmp-model.pt", "model.tmp.pt", ".model.pt", "model.pt.tmp", "model.pt.incomplete", "model.pt.tmp.4711"]
    finish(writers.write_all(tmp_path, dict.fromkeys(names, writers.torch_zip())))
    found = {candidate.name: candidate.complete for candidate in find_checkpoints(tmp_path)}
    assert found == {"tmp-model.pt": False, "model.tmp.pt": False}


def test_plain_files_and_the_user_s_patterns(tmp_path: Path) -> None:
    suffixes = ["pt", "pth", "bin", "safetensors", "npz", "gguf", "ckpt", "keras", "h5"]
    for suffix in suffixes:
        data = writers.safetensors() if suffix == "safetensors" else writers.torch_zip()
        finish(writers.write(tmp_path / f"m_7.{suffix}", data))
    finish(writers.write_all(tmp_path, {"log.txt": b"x", "states/a.msgpack": b"x", "notes.msgpack": b"x"}))
    found = find_checkpoints(tmp_path)
    assert {candidate.path.suffix[1:] for candidate in found} == set(suffixes)
    assert all(candidate.complete and candidate.step == 7 for candidate in found)
    assert only_new(tmp_path, found, ("*.txt",)) == {"log.txt"}
    assert only_new(tmp_path, found, ("states/*.msgpack",)) == {"a.msgpack"}


def only_new(root: Path, known: list[Candidate], patterns: tuple[str, ...]) -> set[str]:
    return {candidate.name for candidate in find_checkpoints(root, patterns)} - {candidate.name for candidate in known}


def test_links_are_no_checkpoints_of_their_own(tmp_path: Path) -> None:
    finish(writers.torchtitan(tmp_path))
    finish(writers.composer(tmp_path))
    (tmp_path / "latest").symlink_to("step-500")
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "gone.pt").symlink_to("nowhere.pt")
    assert [candidate.name for candidate in find_checkpoints(tmp_path)] == ["ep1-ba500-rank0.pt", "step-500"]


def test_links_inside_a_checkpoint_are_links(tmp_path: Path) -> None:
    """What they lead to is in the checkpoint itself, and counts once."""
    finish(writers.huggingface_lora(tmp_path))
    folder = tmp_path / "checkpoint-500"
    plain = only(tmp_path)
    (folder / "best.safetensors").symlink_to("adapter_model.safetensors")
    (folder / "dangling").symlink_to("nowhere")
    (folder / "loop").symlink_to(folder)
    linked = only(tmp_path)
    assert linked.complete
    assert linked.size < plain.size + (folder / "adapter_model.safetensors").stat().st_size
    assert {file.path for file in linked.files} == {file.path for file in plain.files} | {
        "best.safetensors",
        "dangling",
    }


def test_a_folder_deeper_than_any_framework_s_is_not_searched(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*"abcdefghij"[: DEPTH_MAX - 1])
    finish(writers.write(deep / "m.pt", writers.torch_zip()))
    assert only(tmp_path).path == deep / "m.pt"
    finish(writers.write(deep / "x" / "y" / "n.pt", writers.torch_zip()))
    assert len(find_checkpoints(tmp_path)) == 1


def test_the_watched_folder_must_be_there_and_be_a_folder(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="there is no folder"):
        scan(tmp_path / "absent")
    (tmp_path / "model.pt").write_bytes(writers.torch_zip())
    with pytest.raises(UsageError, match="not a folder"):
        scan(tmp_path / "model.pt")


def deny(monkeypatch: pytest.MonkeyPatch, denied: Path, error: OSError) -> None:
    """Let the kernel's answer for one folder be an error; tests may run as root, whom permissions do not stop."""
    real = os.scandir

    def scandir(path: Path) -> object:
        if path == denied:
            raise error
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (PermissionError(13, "Permission denied"), PermissionDeniedError),
        (OSError(5, "Input/output error"), FailedError),
    ],
)
def test_an_unreadable_watched_folder_raises(
    error: OSError, raised: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deny(monkeypatch, tmp_path, error)
    with pytest.raises(raised, match=r"folder .* read"):
        scan(tmp_path)


def test_an_unreadable_folder_below_is_reported_and_the_rest_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish(writers.huggingface(tmp_path / "mine"))
    (tmp_path / "theirs").mkdir()
    deny(monkeypatch, tmp_path / "theirs", PermissionError(13, "Permission denied"))
    found = scan(tmp_path)
    assert [candidate.name for candidate in found.candidates] == ["checkpoint-500"]
    assert found.unreadable == (f"folder {tmp_path / 'theirs'} cannot be read (Permission denied)",)


def test_a_checkpoint_with_an_unreadable_part_is_not_complete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    finish(writers.huggingface_fsdp(tmp_path))
    deny(monkeypatch, tmp_path / "checkpoint-500" / "optimizer_0", PermissionError(13, "Permission denied"))
    assert only(tmp_path).reason == "optimizer_0 cannot be read (Permission denied)"


def test_folders_that_vanish_between_being_listed_and_being_read_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for run in ("a", "b"):
        finish(writers.huggingface(tmp_path / run))
    real = os.scandir

    def rotate_then_list(path: Path) -> object:
        if path == tmp_path / "a" / "checkpoint-500":
            shutil.rmtree(path)
        return real(path)

    monkeypatch.setattr(os, "scandir", rotate_then_list)
    assert [candidate.path for candidate in find_checkpoints(tmp_path)] == [tmp_path / "b" / "checkpoint-500"]


def test_a_file_that_vanishes_inside_a_checkpoint_makes_it_incomplete_for_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish(writers.huggingface_fsdp(tmp_path))
    part = tmp_path / "checkpoint-500" / "optimizer_0"
    real = os.scandir

    def rotate_then_list(path: Path) -> object:
        if path == part:
            shutil.rmtree(part)
        return real(path)

    monkeypatch.setattr(os, "scandir", rotate_then_list)
    assert only(tmp_path).reason == "optimizer_0 vanished while it was looked at"
