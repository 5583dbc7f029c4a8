"""`holdfast://` as tools use it that know fsspec, not Holdfast."""

from __future__ import annotations

import io
import os
import pickle
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
from fsspec.tests.abstract import AbstractFixtures, AbstractGetTests
from safetensors.numpy import load, save_file

import holdfast
from holdfast.control.filesystem import HoldfastFileSystem
from holdfast.control.snapshots.snapshot_paths import reference_of, snapshot_name, split_url
from holdfast.errors import HoldfastError
from holdfast.testing.damage import ended_otherwise
from holdfast.vault.vault import Vault

RNG = np.random.default_rng(1)
WEIGHTS = {"w": RNG.normal(size=(900, 1500)).astype("f4"), "b": np.arange(7, dtype="f4")}  # 5 MiB: two chunks
TEXT = "".join(f"line {number}\n" for number in range(30_000))


@pytest.fixture(autouse=True)
def registered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("CONFIG", "STATE", "CACHE"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / name.lower()))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("HOLDFAST_KEY_FILE", raising=False)
    fsspec.register_implementation("holdfast", HoldfastFileSystem, clobber=True)
    yield
    HoldfastFileSystem.clear_instance_cache()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "checkpoint"
    (folder / "logs/deep").mkdir(parents=True)
    (folder / "empty").mkdir()
    save_file(WEIGHTS, folder / "model.safetensors")
    np.save(folder / "array.npy", WEIGHTS["w"])
    np.savez(folder / "arrays.npz", **WEIGHTS)
    (folder / "logs/train.txt").write_text(TEXT)
    (folder / "logs/deep/nothing").write_bytes(b"")
    (folder / "100% @odd#name?.txt").write_text("odd")
    (folder / "latest").symlink_to("logs/train.txt")
    os.utime(folder / "model.safetensors", (1_700_000_000, 1_700_000_000))
    return folder


@pytest.fixture
def vault(tmp_path: Path, source: Path) -> Vault:
    vault = holdfast.create(tmp_path / "places/models")
    vault.save("llama", source, step=500, verify=False)
    return vault


@pytest.fixture
def fs(vault: Vault) -> HoldfastFileSystem:
    return HoldfastFileSystem(vault=vault.url)


def test_urls_name_the_vault_by_id_and_by_place(vault: Vault) -> None:
    for name in (vault.id, vault.id[:8], "models"):
        with fsspec.open(f"holdfast://{name}/llama@latest/logs/train.txt", "rt") as file:
            assert file.read() == TEXT
    with fsspec.open("holdfast:///llama@step=500/logs/train.txt", "rb", vault=vault.url) as file:
        assert file.read(6) == b"line 0"
    with pytest.raises(FileNotFoundError, match="no vault that was opened"):
        fsspec.open("holdfast://nowhere/llama@latest/x").open()
    with pytest.raises(ValueError, match="no vault is named"):
        fsspec.open("holdfast:///llama@latest/x").open()
    with pytest.raises(ValueError, match="is not called 'other'"):
        fsspec.open("holdfast://other/llama@latest/x", vault=vault.url).open()


def test_two_vaults_of_one_name_are_told_apart(vault: Vault, tmp_path: Path) -> None:
    other = holdfast.create(tmp_path / "elsewhere/models")
    other.save("tiny", {"x": np.ones(3)}, verify=False)
    with pytest.raises(ValueError, match="names 2 vaults"):
        fsspec.open("holdfast://models/llama/model.safetensors").open()
    assert fsspec.open_files(f"holdfast://{other.id}/tiny/*.safetensors")[0].path == "tiny/tensors.safetensors"


def test_listing(fs: HoldfastFileSystem, vault: Vault) -> None:
    root = vault.find("llama")
    [snapshot] = fs.ls("")
    assert snapshot["name"] == f"llama@{root.id}" and snapshot["type"] == "directory" and snapshot["step"] == 500
    names = {"100% @odd#name?.txt", "array.npy", "arrays.npz", "empty", "latest", "logs", "model.safetensors"}
    assert {name.removeprefix("llama/") for name in fs.ls("llama", detail=False)} == names
    assert fs.ls("llama@latest/empty") == []
    assert fs.find("llama@latest/logs") == ["llama@latest/logs/deep/nothing", "llama@latest/logs/train.txt"]
    assert fs.glob("llama@latest/**/*.txt") == ["llama@latest/100% @odd#name?.txt", "llama@latest/logs/train.txt"]
    assert fs.glob("llama@*/a*.np?") == [f"llama@{root.id}/array.npy", f"llama@{root.id}/arrays.npz"]
    walked = {path: (sorted(folders), sorted(files)) for path, folders, files in fs.walk("llama@latest/logs")}
    assert walked == {
        "llama@latest/logs": (["deep"], ["train.txt"]),
        "llama@latest/logs/deep": ([], ["nothing"]),
    }
    assert fs.du("llama@latest/logs") == len(TEXT)
    assert fs.ls("llama/logs/train.txt", detail=False) == ["llama/logs/train.txt"]
    assert fs.find("llama/nothing-there") == []


def test_facts(fs: HoldfastFileSystem, vault: Vault, source: Path) -> None:
    path = f"holdfast://{vault.id}/llama@latest/model.safetensors"
    facts = fs.info(path)
    stat = (source / "model.safetensors").stat()
    assert facts["type"] == "file" and facts["size"] == stat.st_size and facts["mode"] == stat.st_mode & 0o7777
    assert facts["mtime"] == 1_700_000_000 and facts["snapshot"] == vault.find("llama").id
    assert fs.modified(path) == datetime.fromtimestamp(1_700_000_000, UTC)
    assert fs.created(path) > fs.modified(path)
    assert fs.info("llama@latest/latest") == fs.ls("llama@latest/latest")[0]
    link = fs.info("llama@latest/latest")
    assert link["type"] == "link" and link["islink"] and link["destination"] == "logs/train.txt"
    assert (
        fs.isfile(path) and not fs.isdir(path) and fs.isdir("llama@latest/logs") and fs.isdir("llama") and fs.isdir("")
    )
    assert not fs.isfile("llama@latest/latest") and fs.exists("llama@latest/latest")
    assert not fs.exists("llama@latest/x") and not fs.exists("other@latest") and not fs.isdir("llama@nothing")
    assert (
        fs.ukey("llama/model.safetensors") == fs.ukey("llama@step=500/model.safetensors") != fs.ukey("llama/array.npy")
    )
    assert fs.unstrip_protocol("llama/array.npy") == f"holdfast://{vault.id}/llama/array.npy"
    assert fs.size("llama/logs/train.txt") == len(TEXT)


def test_bytes(fs: HoldfastFileSystem, source: Path) -> None:
    expected = (source / "model.safetensors").read_bytes()
    path = "llama@latest/model.safetensors"
    assert fs.cat_file(path) == expected
    for start, end in ((5, 17), (-9, None), (-9, -3), (None, 4), (4_194_300, 4_194_400), (10, 5), (10**9, None)):
        assert fs.cat_file(path, start, end) == expected[start:end]
    text = "llama@latest/logs/train.txt"
    paths, starts, ends = [path, text, path], [3, 10, -20], [30, 20, None]
    assert fs.cat_ranges(paths, starts, ends) == [expected[3:30], TEXT[10:20].encode(), expected[-20:]]
    answers = fs.cat_ranges([path, "llama@latest/x"], 0, 4)
    assert answers[0] == expected[:4] and isinstance(answers[1], FileNotFoundError)
    with pytest.raises(FileNotFoundError):
        fs.cat_ranges([path, "llama@latest/x"], 0, 4, on_error="raise")
    assert fs.cat([path, text]) == {path: expected, text: TEXT.encode()}
    assert fs.head(text, 6) == b"line 0" and fs.tail(text, 6) == b"29999\n"
    assert fs.cat_file("llama@latest/100% @odd#name?.txt") == b"odd"
    assert fs.cat_file("llama@latest/logs/deep/nothing") == b""


def test_open_files(fs: HoldfastFileSystem, source: Path) -> None:
    expected = (source / "array.npy").read_bytes()
    with fs.open("llama/array.npy") as file:
        assert file.readable() and file.seekable() and not file.writable() and file.size == len(expected)
        assert file.seek(-100, io.SEEK_END) == len(expected) - 100
        assert file.read(1000) == expected[-100:] and file.read(10) == b"" and file.read() == b""
        file.seek(4 * 2**20 - 50)
        buffer = bytearray(100)
        assert file.readinto(buffer) == 100 and buffer == expected[4 * 2**20 - 50 :][:100]
        assert file.tell() == 4 * 2**20 + 50
        file.seek(len(expected) - 10)
        target = np.zeros(30, "u1")
        assert file.readinto(target.data) == 10 and target[:10].tobytes() == expected[-10:] and not target[10:].any()
        assert file.readinto(bytearray(5)) == 0
    with pytest.raises(ValueError, match="closed"):
        file.read(1)
    with fs.open("llama/logs/train.txt", "rt") as lines:
        assert list(lines) == TEXT.splitlines(keepends=True)
    for cache in ("readahead", "bytes", "blockcache"):
        with fs.open("llama/array.npy", cache_type=cache, block_size=1 << 16) as file:
            file.seek(1_000_000)
            assert file.read(100) == expected[1_000_000:][:100]
            assert file.readinto(buffer) == 100 and buffer == expected[1_000_100:][:100]


def test_tools(fs: HoldfastFileSystem) -> None:
    with fs.open("llama/array.npy") as file:
        assert np.array_equal(np.load(file), WEIGHTS["w"])
    with fs.open("llama/arrays.npz") as file, np.load(file) as arrays:
        assert all(np.array_equal(arrays[name], WEIGHTS[name]) for name in WEIGHTS)
    with fs.open("llama/arrays.npz") as file, zipfile.ZipFile(file) as archive:
        assert archive.testzip() is None and sorted(archive.namelist()) == ["b.npy", "w.npy"]
    loaded = load(fs.cat_file("llama/model.safetensors"))
    assert all(np.array_equal(loaded[name], WEIGHTS[name]) for name in WEIGHTS)
    with fsspec.open("simplecache::holdfast:///llama/logs/train.txt", "rt", holdfast=fs.storage_options) as file:
        assert file.read() == TEXT
    mapper = fs.get_mapper("llama@latest/logs")
    assert dict(mapper) == {"train.txt": TEXT.encode(), "deep/nothing": b""}


def test_pytorch_loads_its_files(vault: Vault, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    state = {"w": torch.randn(1000, 1100), "half": torch.randn(5, 5).bfloat16()}
    torch.save(state, tmp_path / "state.pt")
    vault.save("pytorch", tmp_path / "state.pt", verify=False)
    with HoldfastFileSystem(vault=vault.url).open("pytorch/state.pt") as file:
        loaded = torch.load(file, weights_only=True)
    assert all(torch.equal(loaded[name], state[name]) for name in state)


def test_what_is_not_a_file(fs: HoldfastFileSystem) -> None:
    for path in ("llama", "llama@latest/logs", ""):
        with pytest.raises(IsADirectoryError):
            fs.open(path)
    with pytest.raises(OSError, match=r"symbolic link to 'logs/train\.txt'"):
        fs.cat_file("llama@latest/latest")
    for path in ("llama@latest/x", "llama@v9/x", "other/x", "llama@latest/logs/train.txt/x"):
        with pytest.raises(FileNotFoundError):
            fs.open(path)
        with pytest.raises(FileNotFoundError):
            fs.ls(path)
    with pytest.raises(FileNotFoundError) as caught:
        fs.info("llama@v9")
    assert isinstance(caught.value.__cause__, HoldfastError)


def test_nothing_can_be_written(fs: HoldfastFileSystem, tmp_path: Path) -> None:
    (tmp_path / "new").write_text("new")
    for write in (
        lambda: fs.open("llama/x", "wb"),
        lambda: fs.open("llama/x", "ab"),
        lambda: fs.open("llama/x", "w"),
        lambda: fs.pipe("llama/x", b""),
        lambda: fs.write_text("llama/x", ""),
        lambda: fs.put(str(tmp_path / "new"), "llama/x"),
        lambda: fs.rm("llama/array.npy"),
        lambda: fs.rm("llama", recursive=True),
        lambda: fs.mv("llama/array.npy", "llama/b.npy"),
        lambda: fs.copy("llama/array.npy", "llama/b.npy"),
        lambda: fs.mkdir("llama/x"),
        lambda: fs.makedirs("llama/x/y", exist_ok=True),
        lambda: fs.rmdir("llama/empty"),
        lambda: fs.touch("llama/x"),
    ):
        with pytest.raises(OSError, match="snapshots never change"):
            write()
    assert fs.exists("llama/array.npy") and not fs.exists("llama/x")


def test_what_latest_means_is_settled_once(fs: HoldfastFileSystem, vault: Vault, source: Path) -> None:
    text = source / "logs/train.txt"
    open_before = fs.open("llama@latest/logs/train.txt")
    text.write_text("newer")
    vault.save("llama", source, step=501, verify=False)
    assert fs.cat_file("llama@latest/logs/train.txt") == TEXT.encode()
    pickled = pickle.dumps(open_before)
    fs.invalidate_cache()
    assert fs.cat_file("llama@latest/logs/train.txt") == b"newer"
    assert fs.cat_file("llama@step=500/logs/train.txt") == TEXT.encode() == open_before.read()
    assert pickle.loads(pickled).read() == TEXT.encode()
    assert len(fs.ls("")) == 2


def test_names_of_assets_that_a_path_cannot_hold(vault: Vault, fs: HoldfastFileSystem, source: Path) -> None:
    for asset in ("org/model", "a@b", "50%/x", "größe *", "a@b/c@latest"):
        root = vault.save(asset, source / "logs", verify=False).root
        name = snapshot_name(asset, root.id)
        assert "/" not in name and reference_of(name) == f"{asset}@{root.id}"
        assert fs.cat_file(f"{name}/train.txt") == TEXT.encode()
        assert fs.cat_file(f"{snapshot_name(asset, 'latest')}/train.txt") == TEXT.encode()
        assert name in fs.ls("", detail=False)
        assert fs.glob(f"{name}/*.txt") == [f"{name}/train.txt"]
    assert fs.cat_file("org%2Fmodel/train.txt") == TEXT.encode()
    assert split_url("holdfast://my%20vault/a%2Fb@latest/x%20y/") == ("my vault", "a%2Fb@latest/x%20y")


def test_a_snapshot_of_one_file(vault: Vault, fs: HoldfastFileSystem, source: Path) -> None:
    vault.save("single", source / "array.npy", verify=False)
    assert fs.ls("single", detail=False) == ["single/array.npy"] and fs.isdir("single")
    assert fs.cat_file("single/array.npy") == (source / "array.npy").read_bytes()
    assert fs.modified("single") and fs.modified("single/array.npy")


def test_it_travels_without_secrets(vault: Vault, fs: HoldfastFileSystem, tmp_path: Path) -> None:
    [key_file] = (tmp_path / "config/holdfast/keys").iterdir()
    moved = tmp_path / "elsewhere.key"
    key_file.rename(moved)
    named = HoldfastFileSystem(vault=vault.url, key_file=moved)
    assert named.cat_file("llama/logs/train.txt") == TEXT.encode()
    pickled = pickle.dumps(named)
    secrets = [line for line in moved.read_text().replace('"', "\n").splitlines() if len(line) > 60]
    assert secrets and not any(secret.encode() in pickled for secret in secrets)
    assert vault.handle.keys.index_key not in pickled
    program = "import pickle, sys; fs = pickle.load(sys.stdin.buffer); print(fs.size('llama/logs/train.txt'))"
    done = subprocess.run([sys.executable, "-c", program], input=pickled, capture_output=True, check=True)
    assert int(done.stdout) == len(TEXT)
    without = HoldfastFileSystem(vault=vault.url, skip_instance_cache=True)
    with pytest.raises(PermissionError, match="key"):
        without.exists("llama")


# In a process of its own: a child that is forked beside threads of other tests may wait for ever for a lock of theirs.
FORKING = """
import os, pickle, sys
fs = pickle.load(sys.stdin.buffer)
assert fs.exists("llama")
before = fs._opened()
child = os.fork()
if child == 0:
    fine = fs.size("llama/logs/train.txt") == int(sys.argv[1]) and fs.cat_file("llama/logs/train.txt")
    os._exit(0 if fine and fs._opened() is not before else 3)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_forked_child_opens_the_vault_itself(fs: HoldfastFileSystem) -> None:
    command = [sys.executable, "-c", FORKING, str(len(TEXT))]
    done = subprocess.run(command, input=pickle.dumps(fs), capture_output=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr.decode()


def test_several_threads(fs: HoldfastFileSystem, source: Path) -> None:
    expected = (source / "model.safetensors").read_bytes()
    barrier = threading.Barrier(6)

    def one(number: int) -> bool:
        barrier.wait()
        rng = np.random.default_rng(number)
        for start in rng.integers(0, len(expected), 30).tolist():
            if fs.cat_file("llama/model.safetensors", start, start + 5000) != expected[start : start + 5000]:
                return False
        return True

    with ThreadPoolExecutor(6) as pool:
        assert all(pool.map(one, range(6)))


def test_damage_is_an_error_and_not_an_absence(vault: Vault, tmp_path: Path) -> None:
    fs = HoldfastFileSystem(vault=vault.url, skip_instance_cache=True)
    for part in (tmp_path / "places/models/parts").rglob("*"):
        if part.is_file():
            part.chmod(0o600)
            part.write_bytes(ended_otherwise(part.read_bytes()))
    for look in (fs.exists, fs.isdir, fs.isfile, fs.ls, fs.find, fs.glob):
        with pytest.raises(OSError, match="damaged"):
            look("llama@latest/logs")


def test_a_damaged_snapshot_is_listed_by_its_id(vault: Vault, tmp_path: Path) -> None:
    fs = HoldfastFileSystem(vault=vault.url, skip_instance_cache=True)
    [root] = (path for path in (tmp_path / "places/models/snapshots").rglob("*") if path.is_file())
    root.chmod(0o600)
    root.write_bytes(ended_otherwise(root.read_bytes()))
    [listed] = fs.ls("")
    assert listed["name"] == root.name and "damaged" in listed["error"]
    for look in (lambda: fs.ls(listed["name"]), lambda: fs.find("")):
        with pytest.raises(OSError, match="damaged"):
            look()


class TestGetting(AbstractFixtures, AbstractGetTests):
    """fsspec's own tests of `get`; the files that they look for are saved instead of being written to `fs`."""

    @pytest.fixture
    def fs(self, vault: Vault) -> HoldfastFileSystem:
        return HoldfastFileSystem(vault=vault.url)

    @pytest.fixture
    def fs_path(self) -> str:
        return "case"

    @pytest.fixture
    def fs_bulk_operations_scenario_0(self, vault: Vault, local_fs: Any, tmp_path: Path) -> str:
        return self.saved(vault, tmp_path, self._bulk_operations_scenario_0(local_fs, os.path.join, tmp_path / "case"))

    @pytest.fixture
    def fs_glob_edge_cases_files(self, vault: Vault, local_fs: Any, tmp_path: Path) -> str:
        return self.saved(vault, tmp_path, self._glob_edge_cases_files(local_fs, os.path.join, tmp_path / "case"))

    @pytest.fixture
    def fs_dir_and_file_with_same_name_prefix(self, vault: Vault, local_fs: Any, tmp_path: Path) -> str:
        return self.saved(
            vault, tmp_path, self._dir_and_file_with_same_name_prefix(local_fs, os.path.join, tmp_path / "case")
        )

    @pytest.fixture
    def fs_10_files_with_hashed_names(self, vault: Vault, local_fs: Any, tmp_path: Path) -> str:
        return self.saved(vault, tmp_path, self._10_files_with_hashed_names(local_fs, os.path.join, tmp_path / "case"))

    def saved(self, vault: Vault, folder: Path, made: str) -> str:
        vault.save("case", folder / "case", verify=False)
        return f"case@latest/{Path(made).name}"

    def test_get_directory_recursive(self, fs: Any, vault: Vault, tmp_path: Path, local_target: str) -> None:  # type: ignore[override]
        """The same as there, but that its source is saved: with and without a slash, to a new folder and to one."""
        (tmp_path / "case/src").mkdir(parents=True)
        (tmp_path / "case/src/file").touch()
        source = self.saved(vault, tmp_path, "src")
        target = Path(local_target)
        for slash in ("", "/"):
            fs.get(source + slash, local_target, recursive=True)
            assert [path.name for path in target.rglob("*")] == ["file"]
            (target / "file").unlink()
        fs.get(source, local_target, recursive=True)
        assert sorted(str(path.relative_to(target)) for path in target.rglob("*")) == ["src", "src/file"]
