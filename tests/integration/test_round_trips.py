"""What is saved comes back byte for byte: contents, names, modes, times, links, holes."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import round_trip_files as files

from holdfast.errors import HoldfastError, NotFoundError, PermissionDeniedError, RefusedError, UsageError
from holdfast.stores.local import LocalStore
from holdfast.testing.invariants import check_is_clean, every_snapshot_restores, read_tree, trees_are_equal
from holdfast.testing.workspace import NoteTaker, TrialVault, new_trial_vault

TORCH_FILES = sorted((Path(__file__).parent.parent / "fixtures" / "torch").glob("*.[pd][ti]*"))


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture
def trial(tmp_path: Path) -> TrialVault:
    return new_trial_vault(LocalStore(tmp_path / "vault"))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    return folder


def comes_back(trial: TrialVault, source: Path, scratch: Path) -> None:
    """Save (twice: the second time everything is known), read back, restore from a fresh opening, compare."""
    tree = read_tree(source)
    first = trial.open().save("asset", source)
    second = trial.open().save("asset", source)
    assert first.verified is not None and second.verified is not None
    assert second.root.stats["new_chunks"] == 0
    vault = trial.open()
    every_snapshot_restores(vault, {first.root.id: tree, second.root.id: tree}, scratch)
    check_is_clean(vault)


@contextmanager
def unprivileged() -> Iterator[None]:
    """Permissions mean nothing to root: act as somebody else."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


# --- formats ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encrypted", [True, False], ids=["encrypted", "plain"])
def test_safetensors_of_every_dtype(tmp_path: Path, source: Path, encrypted: bool) -> None:
    trial = new_trial_vault(LocalStore(tmp_path / "vault"), encrypted=encrypted)
    tensors = {f"{dtype}.matrix": (dtype, [24, 64]) for dtype in files.SAFETENSORS_BITS}
    tensors |= {f"{dtype}.empty": (dtype, [0, 3]) for dtype in files.SAFETENSORS_BITS}
    tensors |= {f"{dtype}.scalar": (dtype, []) for dtype, bits in files.SAFETENSORS_BITS.items() if bits >= 8}
    files.write_safetensors(source / "model.safetensors", tensors)
    comes_back(trial, source, tmp_path / "out")
    root = trial.open().find("asset")
    (entry,) = [entry for entry in trial.open().files(root) if entry.type == "file"]
    assert (entry.format, len(entry.tensors)) == ("safetensors", len(tensors))


def test_twenty_thousand_tiny_tensors(trial: TrialVault, source: Path, tmp_path: Path) -> None:
    dtypes = ["F32", "BF16", "I64", "U8"]
    tensors = {f"layer.{i}.weight": (dtypes[i // 5000], [i % 4, 2]) for i in range(20_000)}
    files.write_safetensors(source / "tiny.safetensors", tensors)
    comes_back(trial, source, tmp_path / "out")
    assert len(trial.open().load("asset")) == 20_000


@pytest.mark.parametrize("path", TORCH_FILES, ids=lambda path: path.name)
def test_torch_files(trial: TrialVault, path: Path, tmp_path: Path) -> None:
    comes_back(trial, path, tmp_path / "out")


def test_there_are_torch_files() -> None:
    assert len(TORCH_FILES) >= 5


def test_numpy_gguf_and_torch_zip_together(trial: TrialVault, source: Path, tmp_path: Path) -> None:
    files.write_numpy_files(source)
    files.write_gguf(source / "model.gguf")
    files.write_torch_zip(source / "model.pt")
    comes_back(trial, source, tmp_path / "out")
    formats = {os.fsdecode(entry.path): entry.format for entry in trial.open().files(trial.open().find("asset"))}
    assert formats["model.gguf"] == "gguf"
    assert formats["model.pt"] == "torch-zip"
    assert formats["stored.npz"] == "npz"
    assert {formats[f"version{number}.npy"] for number in (1, 2, 3)} == {"npy"}


@pytest.mark.parametrize("kind", ["safetensors", "pt", "npz", "npy", "gguf"])
def test_bytes_that_lie_about_their_format(trial: TrialVault, source: Path, tmp_path: Path, kind: str) -> None:
    """Cut short, or random behind a right beginning: a finding perhaps, but never another byte."""
    whole = source / f"whole.{kind}"
    if kind == "safetensors":
        files.write_safetensors(whole, {"a": ("F32", [64, 64])})
    elif kind == "pt":
        files.write_torch_zip(whole)
    elif kind == "gguf":
        files.write_gguf(whole)
    else:
        with whole.open("wb") as file:
            (np.save if kind == "npy" else np.savez)(file, np.arange(4096.0))
    data = whole.read_bytes()
    for number, size in enumerate([1, 8, 20, len(data) // 2, len(data) - 1]):
        (source / f"cut{number}.{kind}").write_bytes(data[:size])
        (source / f"random{number}.{kind}").write_bytes(data[:size] + os.urandom(5000))
    tree = read_tree(source)
    report = trial.open().save("asset", source)
    assert report.root.validation.verdict == "warned" and not report.validated
    every_snapshot_restores(trial.open(), {report.root.id: tree}, tmp_path / "out")


# --- trees -----------------------------------------------------------------------------------------------------------


def test_odd_names_modes_times_and_links(trial: TrialVault, source: Path, tmp_path: Path) -> None:
    files.write_odd_tree(source)
    comes_back(trial, source, tmp_path / "out")


def test_an_empty_folder(trial: TrialVault, source: Path, tmp_path: Path) -> None:
    comes_back(trial, source, tmp_path / "out")


@pytest.mark.parametrize(
    "name", [b"plain", b"\xff\xfe not utf-8 \x80", b"n" * 255, b"-rf", b"new\nline", "é".encode()], ids=repr
)
def test_a_single_file_of_any_name(trial: TrialVault, source: Path, tmp_path: Path, name: bytes) -> None:
    path = source / os.fsdecode(name)
    path.write_bytes(b"content" * 100)
    os.utime(path, ns=(0, 1_111_111_111_111_111_111))
    report = trial.open().save("asset", path)
    (tmp_path / "out").mkdir()
    restored = trial.open().restore(report.root.id, tmp_path / "out").target  # like cp: into an existing folder
    assert os.fsencode(restored.name) == name
    trees_are_equal(read_tree(restored), read_tree(path), "the restored file")


def test_a_path_that_is_a_link_is_followed_and_links_below_are_not(
    trial: TrialVault, source: Path, tmp_path: Path
) -> None:
    (source / "data").write_bytes(b"1" * 1000)
    (tmp_path / "alias").symlink_to(source)
    report = trial.open().save("asset", tmp_path / "alias")
    assert report.root.name == "alias"
    every_snapshot_restores(trial.open(), {report.root.id: read_tree(source)}, tmp_path / "out")


def test_a_sparse_file_of_5_gb_stays_sparse(trial: TrialVault, source: Path, tmp_path: Path) -> None:
    path = source / "optimizer.bin"
    with path.open("wb") as file:
        file.truncate(5 << 30)
        for offset in (0, (1 << 30) + 12345, (5 << 30) - 4096):
            file.seek(offset)
            file.write(os.urandom(4096))
    report = trial.open().save("asset", source)
    target = trial.open().restore("asset", tmp_path / "out").target / "optimizer.bin"
    stats = report.root.stats
    assert stats["raw"] == 5 << 30 and stats["raw"] - stats["hole"] < 1 << 20, "holes were read, and stored as zeros"
    assert target.stat().st_size == 5 << 30
    assert target.stat().st_blocks * 512 < 16 << 20
    with path.open("rb") as before, target.open("rb") as after:
        for offset in (0, 1 << 20, (1 << 30) + 12345 - 4096, (5 << 30) - 8192):
            assert os.pread(before.fileno(), 1 << 16, offset) == os.pread(after.fileno(), 1 << 16, offset)


# --- what cannot be saved --------------------------------------------------------------------------------------------


def test_sockets_and_pipes_are_left_out_and_said(
    trial: TrialVault, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (source / "weights").write_bytes(b"w" * 100)
    os.mkfifo(source / "pipe")
    monkeypatch.chdir(source)  # a socket's path has 107 bytes at most
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        notes = NoteTaker()
        report = trial.open(progress=notes).save("asset", source)
    names = [entry.path for entry in trial.open().files(report.root)]
    assert names == [b".", b"weights"]
    assert sum("left out" in note for note in notes.notes) == 2
    assert any("pipe" in note for note in notes.notes) and any("socket" in note for note in notes.notes)


@pytest.mark.parametrize("what", ["file", "folder"])
def test_what_may_not_be_read_stops_the_save(tmp_path_factory: pytest.TempPathFactory, what: str) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        os.chmod(place, 0o777)
        source = place / "source"
        (source / "below").mkdir(parents=True)
        (source / "below" / "weights").write_bytes(b"w")
        os.chmod(source / "below" / ("weights" if what == "file" else ""), 0)
        with unprivileged():
            trial = new_trial_vault(LocalStore(place / "vault"))
            with pytest.raises(PermissionDeniedError, match="below") as caught:
                trial.open().save("asset", source)
            assert caught.value.exit_code == 7
            assert trial.open().snapshots() == []


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("missing", NotFoundError),
        ("dangling", NotFoundError),
        ("loop", RefusedError),
        ("pipe", RefusedError),
        ("nul\0byte", UsageError),
        ("n" * 300, HoldfastError),
    ],
)
def test_sources_that_are_none(trial: TrialVault, tmp_path: Path, source: str, error: type[HoldfastError]) -> None:
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "loop").symlink_to("loop")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(error):
        trial.open().save("asset", tmp_path / source)
    assert trial.open().snapshots() == []


# --- arrays ----------------------------------------------------------------------------------------------------------


def test_arrays_come_back_as_they_were(trial: TrialVault, tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    tensors = {
        "weights": rng.normal(size=(33, 65)).astype("f4"),
        "transposed": rng.normal(size=(33, 65)).astype("f8").T,
        "sliced": np.arange(1000, dtype="i4")[::3],
        "big_endian": np.arange(10, dtype=">i8"),
        "scalar": np.float16(1.5),
        "number": 7,
        "empty": np.zeros((0, 4), "u2"),
        "flags": rng.integers(0, 2, size=77).astype(bool),
        "optimizer": {"exp_avg": {"0": rng.normal(size=(9, 9)).astype("f4")}},
    }
    trial.open().save("asset", tensors)
    loaded = trial.open().load("asset")
    for name, value in {**tensors, "exp_avg.0": tensors["optimizer"]["exp_avg"]["0"]}.items():  # type: ignore[index]
        if name != "optimizer":
            found, expected = np.asarray(loaded[name]), np.asarray(value)
            assert (found.dtype.newbyteorder("="), found.shape) == (expected.dtype.newbyteorder("="), expected.shape)
            np.testing.assert_array_equal(found, expected)


def test_errors_of_the_system_are_ours(trial: TrialVault, source: Path, tmp_path: Path) -> None:
    """A target whose parent is a file, or whose name is too long, is an error of the tree, and leaves nothing."""
    (source / "weights").write_bytes(b"w" * 100)
    trial.open().save("asset", source)
    (tmp_path / "file").write_bytes(b"")
    for target in (tmp_path / "file" / "out", tmp_path / ("n" * 300)):
        with pytest.raises(HoldfastError) as caught:
            trial.open().restore("asset", target)
        assert isinstance(caught.value.__cause__, OSError)
        assert caught.value.__cause__.errno in (errno.ENOTDIR, errno.ENAMETOOLONG, errno.EEXIST)
    longest = tmp_path / ("n" * 255)
    trees_are_equal(read_tree(trial.open().restore("asset", longest).target), read_tree(source), "the restored folder")
