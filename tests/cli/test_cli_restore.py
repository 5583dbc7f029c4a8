"""`holdfast restore`: files and tensors."""

from __future__ import annotations

import filecmp
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file
from terminal import Terminal, write_checkpoint


@pytest.fixture
def weights(terminal: Terminal, vault: Path) -> dict[str, Any]:
    """What was saved as the latest snapshot of `llama`."""
    found = write_checkpoint(terminal.folder / "ckpt", 1)
    terminal.ok("snapshot", "save", "ckpt", "--asset", "llama", "--step", "1")
    return found


def _same(left: Path, right: Path) -> bool:
    compared = filecmp.dircmp(left, right)
    nested = all(_same(left / name, right / name) for name in compared.common_dirs)
    _, differing, errors = filecmp.cmpfiles(left, right, compared.common_files, shallow=False)
    return nested and not (compared.left_only or compared.right_only or differing or errors)


def test_restore_brings_back_the_folder(terminal: Terminal, weights: dict[str, Any]) -> None:
    said = terminal.ok("restore", "llama", "out")
    assert _same(terminal.folder / "ckpt", terminal.folder / "out")
    assert said.fact("wrote").endswith("in 3 files")
    assert said.last.startswith(f"restored {said.fact('snapshot')} in ")


def test_restore_of_one_file_puts_it_into_the_target(terminal: Terminal, vault: Path) -> None:
    (terminal.folder / "notes.txt").write_text("hello")
    terminal.ok("snapshot", "save", "notes.txt", "--asset", "notes")
    planned = terminal.json("restore", "restore", "notes", "out", "--dry-run")
    restored = terminal.json("restore", "restore", "notes", "out")
    assert planned["target"] == restored["target"] == str(terminal.folder / "out/notes.txt")
    assert (terminal.folder / "out/notes.txt").read_text() == "hello"


def test_a_taken_target_is_refused_until_overwrite(terminal: Terminal, weights: dict[str, Any]) -> None:
    (terminal.folder / "out").mkdir()
    (terminal.folder / "out/mine").write_text("precious")
    for arguments in (["restore", "llama", "out"], ["restore", "llama", "out", "--dry-run"]):
        said = terminal.run(*arguments)
        assert said.code == 5
        assert "--overwrite" in said.err
    assert (terminal.folder / "out/mine").read_text() == "precious"
    terminal.ok("restore", "llama", "out", "--overwrite")
    assert _same(terminal.folder / "ckpt", terminal.folder / "out")


def test_a_dry_run_counts_what_the_restore_then_writes(terminal: Terminal, weights: dict[str, Any]) -> None:
    planned = terminal.json("restore", "restore", "llama", "out", "--only", "*.safetensors", "--dry-run")
    assert not (terminal.folder / "out").exists()
    done = terminal.json("restore", "restore", "llama", "out", "--only", "*.safetensors")
    assert (planned["files"], planned["bytes"]) == (done["files"], done["bytes"])
    assert sorted(path.name for path in (terminal.folder / "out").iterdir()) == [
        "model.safetensors",
        "optimizer.safetensors",
    ]


def test_nothing_that_matches_is_not_found(terminal: Terminal, weights: dict[str, Any]) -> None:
    assert terminal.run("restore", "llama", "out", "--only", "*.gguf").code == 3
    assert terminal.run("restore", "llama", "out", "--tensor", "*.bias").code == 3
    assert terminal.run("restore", "nobody", "out").code == 3
    assert not (terminal.folder / "out").exists()


def test_only_and_tensor_exclude_each_other(terminal: Terminal, weights: dict[str, Any]) -> None:
    assert terminal.run("restore", "llama", "out", "--only", "*", "--tensor", "*").code == 2


def test_damage_ends_with_4_and_nothing_appears(terminal: Terminal, vault: Path, weights: dict[str, Any]) -> None:
    [pack] = [path for path in (vault / "packs").rglob("*") if path.is_file()]
    pack.chmod(0o600)
    pack.write_bytes(pack.read_bytes()[:3000] + bytes(3000) + pack.read_bytes()[6000:])
    for arguments in (["restore", "llama", "out"], ["restore", "llama", "out.safetensors", "--tensor", "*"]):
        said = terminal.run(*arguments)
        assert said.code == 4
        assert pack.name in said.err
    assert not (terminal.folder / "out").exists()
    assert list(terminal.folder.glob("*out.safetensors*")) == []


def test_tensors_are_written_as_one_safetensors_file(terminal: Terminal, weights: dict[str, Any]) -> None:
    said = terminal.ok("restore", "llama", "picked.safetensors", "--tensor", "layers.[02].*")
    assert said.fact("wrote").startswith("4 tensors, ")
    found = load_file(terminal.folder / "picked.safetensors")
    assert sorted(found) == [f"layers.{i}.weight{end}" for i in (0, 2) for end in ("", ".exp_avg")]
    for name in ("layers.0.weight", "layers.2.weight"):
        assert np.array_equal(found[name], weights[name])
    with safe_open(terminal.folder / "picked.safetensors", "np") as file:
        assert file.metadata() == {"holdfast_snapshot": said.fact("snapshot")}


def test_a_target_without_the_suffix_is_a_folder(terminal: Terminal, weights: dict[str, Any]) -> None:
    planned = terminal.json("restore-tensors", "restore", "llama", "out", "--tensor", "*.weight", "--dry-run")
    assert not (terminal.folder / "out").exists()
    done = terminal.json("restore-tensors", "restore", "llama", "out", "--tensor", "*.weight")
    assert done["target"] == planned["target"] == str(terminal.folder / "out/tensors.safetensors")
    assert done["tensors"] == planned["tensors"] == sorted(weights)
    assert terminal.run("restore", "llama", "out", "--tensor", "*").code == 5
    terminal.ok("restore", "llama", "out", "--tensor", "*", "--overwrite")


def test_every_dtype_order_and_name_survives_an_export(terminal: Terminal, vault: Path) -> None:
    folder = terminal.folder / "odd"
    folder.mkdir()
    rng = np.random.default_rng(3)
    arrays = {
        "half": rng.normal(size=(3, 5)).astype("f2"),
        "wide": rng.normal(size=(7,)),
        "ints": rng.integers(-9, 9, size=(2, 3, 4)),
        "flags": rng.integers(0, 2, size=11).astype(bool),
        "empty": np.zeros((0, 4), "f4"),
        "scalar": np.float32(2.5),
    }
    np.savez(folder / "arrays.npz", **arrays)
    fortran = np.asfortranarray(rng.normal(size=(300, 40)).astype("f4"))
    np.save(folder / "a.npy", fortran)
    (folder / "deep").mkdir()
    np.save(folder / "deep/b.npy", fortran[:3].copy())
    terminal.ok("snapshot", "save", "odd", "--asset", "odd")
    shown = terminal.json("snapshot-show", "snapshot", "show", "odd", "--tensors")
    done = terminal.json("restore-tensors", "restore", "odd", "all.safetensors", "--tensor", "*")
    assert len(done["tensors"]) == len(shown["tensors"]) == 8
    found = load_file(terminal.folder / "all.safetensors")
    by_end = {name.rsplit("::", 1)[-1]: array for name, array in found.items()}
    for name, array in arrays.items():
        [key] = [key for key in by_end if key.removesuffix(".npy") == name]
        assert np.array_equal(by_end[key], array)
        assert by_end[key].dtype == np.asarray(array).dtype
    same_shape = [array for array in found.values() if array.shape == fortran.shape]
    assert len(same_shape) == 1
    assert np.array_equal(same_shape[0], fortran)


def test_equal_names_in_several_files_are_told_apart(terminal: Terminal, vault: Path) -> None:
    for rank in (0, 1):
        write_checkpoint(terminal.folder / f"ckpt/rank{rank}", rank)
    terminal.ok("snapshot", "save", "ckpt", "--asset", "ranks")
    done = terminal.json("restore-tensors", "restore", "ranks", "a.safetensors", "--tensor", "layers.0.weight")
    assert done["tensors"] == [f"rank{rank}/model.safetensors::layers.0.weight" for rank in (0, 1)]
    one = terminal.json("restore-tensors", "restore", "ranks", "b.safetensors", "--tensor", "rank1/*::layers.0.weight")
    assert one["tensors"] == ["layers.0.weight"]
    first = load_file(terminal.folder / "ckpt/rank1/model.safetensors")["layers.0.weight"]
    assert np.array_equal(load_file(terminal.folder / "b.safetensors")["layers.0.weight"], first)


def test_a_dtype_that_the_format_lacks_is_refused_by_name(terminal: Terminal, vault: Path) -> None:
    np.save(terminal.folder / "c.npy", np.zeros((4, 4), "c16"))
    terminal.ok("snapshot", "save", "c.npy", "--asset", "c")
    said = terminal.run("restore", "c", "c.safetensors", "--tensor", "*")
    assert said.code == 2
    assert "of dtype c128 cannot be written as safetensors" in said.err
