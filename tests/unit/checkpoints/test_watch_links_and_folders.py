"""What a watch makes of links to elsewhere, of folders that a loop of one's own writes, and of trackers beside them."""

from __future__ import annotations

import os
from pathlib import Path

import checkpoint_writers as writers
import pytest

from holdfast.checkpoints.candidates import Candidate
from holdfast.checkpoints.layouts import find_checkpoints
from holdfast.checkpoints.trackers import trackers_beside

WEIGHTS = writers.safetensors(1)


def write(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(WEIGHTS if name.endswith(".safetensors") else b"{}")


def found(root: Path) -> dict[str, Candidate]:
    return {str(one.path.relative_to(root)): one for one in find_checkpoints(root)}


def test_weights_that_are_links_to_elsewhere_are_not_protected(tmp_path: Path) -> None:
    """As in a hub's cache: a snapshot would hold the links, and not one byte of the model."""
    blob = tmp_path / "cache" / "blobs" / "0123abcd"
    write(blob.parent)
    blob.write_bytes(WEIGHTS * 50)
    for folder in (tmp_path / "cache" / "snapshots" / "f00d", tmp_path / "runs" / "checkpoint-500"):
        write(folder, "trainer_state.json")
        for name in ("model.safetensors", "config.json"):
            (folder / name).symlink_to(os.path.relpath(blob, folder))
    seen = found(tmp_path)
    assert seen.keys() == {"cache/snapshots/f00d", "runs/checkpoint-500"}
    for candidate in seen.values():
        assert not candidate.complete
        assert candidate.reason == "config.json is a link to a file outside"
        assert candidate.size < len(WEIGHTS) * 50


def test_a_link_to_a_neighbouring_checkpoint_leads_outside(tmp_path: Path) -> None:
    write(tmp_path / "step_1", "model.safetensors")
    write(tmp_path / "step_10", "optim.safetensors")
    (tmp_path / "step_10" / "model.safetensors").symlink_to("../step_1/model.safetensors")
    seen = found(tmp_path)
    assert seen["step_1"].complete
    assert seen["step_10"].reason == "model.safetensors is a link to a file outside"


@pytest.mark.parametrize("name", ["step_100", "Step100", "ckpt-100", "iter_0100", "epoch_3-step_100"])
def test_the_files_of_a_step_are_one_checkpoint(name: str, tmp_path: Path) -> None:
    write(tmp_path / "run_7" / name, "model.safetensors", "optim.safetensors")
    [(path, candidate)] = found(tmp_path).items()
    assert (path, candidate.step, candidate.reason) == (f"run_7/{name}", 100, "")
    assert [file.path for file in candidate.files] == ["model.safetensors", "optim.safetensors"]


def test_a_step_is_not_complete_while_a_file_has_a_temporary_name_or_no_end(tmp_path: Path) -> None:
    write(tmp_path / "step_1", "model.safetensors", "optim.safetensors.tmp")
    write(tmp_path / "step_2", "model.safetensors")
    (tmp_path / "step_2" / "optim.safetensors").write_bytes(WEIGHTS[:-1])
    seen = found(tmp_path)
    assert seen["step_1"].reason == "optim.safetensors.tmp has a temporary name"
    assert seen["step_2"].reason.startswith("optim.safetensors has ")


def test_files_with_steps_of_their_own_stay_apart(tmp_path: Path) -> None:
    write(tmp_path / "checkpoint1", "step_10.safetensors", "step_20.safetensors")
    write(tmp_path / "run_2", "model.safetensors")
    seen = found(tmp_path)
    assert {path: one.step for path, one in seen.items()} == {
        "checkpoint1/step_10.safetensors": 10,
        "checkpoint1/step_20.safetensors": 20,
        "run_2/model.safetensors": None,
    }


def test_trackers_are_kept_as_text(tmp_path: Path) -> None:
    checkpoint = tmp_path / "iter_0000500"
    checkpoint.mkdir()
    assert trackers_beside(checkpoint) == ""
    (tmp_path / "latest_checkpointed_iteration.txt").write_text("500\n")
    assert trackers_beside(checkpoint) == "latest_checkpointed_iteration.txt: 500"
    (tmp_path / "latest").write_text("global_step500")
    assert trackers_beside(checkpoint).splitlines()[1] == "latest: global_step500"


@pytest.mark.parametrize("content", [b"\xff\xfe", b"x" * 5000, b"", b"a\x00b"])
def test_a_latest_that_is_no_tracker_is_left_out(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "latest").write_bytes(content)
    assert trackers_beside(tmp_path / "global_step500") == ""
    assert trackers_beside(tmp_path / "latest") == ""
