"""Which version of the data."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from holdfast.clock import ManualClock
from holdfast.errors import DamageError, NotFoundError, UsageError
from holdfast.training.circumstances.datasets import dataset_version, dvc_outputs
from holdfast.training.circumstances.model import Dataset

_DVC = (
    "outs:\n- md5: 1a79a4d60de6718e8e5b326e338ae533.dir\n  size: 12345678901\n  nfiles: 3\n  hash: md5\n  path: train\n"
)
_LOCK = "schema: '2.0'\nstages:\n  prepare:\n    outs:\n    - path: data/clean\n      hash: md5\n      md5: abc\n"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "train"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.txt").write_text("one")
    (folder / "sub/b.txt").write_text("two")
    return folder


def test_by_dvc(data: Path, tmp_path: Path) -> None:
    data.with_name("train.dvc").write_text(_DVC)
    expected = "md5:1a79a4d60de6718e8e5b326e338ae533.dir"
    assert dataset_version(data) == Dataset(kind="dvc", location=str(data), version=expected)
    assert dataset_version(str(data) + ".dvc").version == expected
    (tmp_path / "dvc.lock").write_text(_LOCK)
    (tmp_path / "data/clean").mkdir(parents=True)
    assert dataset_version(tmp_path / "data/clean").version == "md5:abc"


def test_files_that_dvc_did_not_write(data: Path) -> None:
    for text in ("[", "x", "outs: 5", "{a: &a [*a]}"):
        data.with_name("train.dvc").write_text(text)
        try:
            assert dataset_version(data).kind == "content"
        except DamageError as error:
            assert "DVC" in error.message
    with pytest.raises(DamageError):
        dvc_outputs(b"\xff\xfe\x00", "x")
    with pytest.raises(DamageError, match="YAMLError"):  # not by recursion, which takes quadratic time to get there
        dvc_outputs(b"[" * 4000, "x")


def test_by_content(data: Path) -> None:
    first = dataset_version(data)
    assert first.kind == "content" and first.pinned
    os.utime(data / "a.txt", ns=(1, 1))
    assert dataset_version(data) == first
    (data / "a.txt").write_text("One")
    assert dataset_version(data).version != first.version
    (data / "a.txt").rename(data / "c.txt")
    third = dataset_version(data)
    (data / "c.txt").rename(data / "a.txt")
    assert third.version != dataset_version(data).version
    assert dataset_version(data / "a.txt").kind == "content"


def test_data_that_are_too_many_to_read(data: Path) -> None:
    first = dataset_version(data, content_bytes=3)
    assert first.kind == "listing" and not first.pinned
    os.utime(data / "a.txt", ns=(1, 1))
    assert dataset_version(data, content_bytes=3).version != first.version

    class Slow(ManualClock):
        def monotonic(self) -> float:
            self.sleep(20.0)
            return super().monotonic()

    assert dataset_version(data, clock=Slow()).kind == "listing"


def test_by_name() -> None:
    commit = "c" * 64
    lakefs = dataset_version(f"lakefs://repo/{commit}/train/")
    assert lakefs == Dataset(kind="lakefs", location="lakefs://repo/train/", version=commit)
    assert not dataset_version("lakefs://repo/main/train").pinned
    hub = dataset_version("hf://datasets/acme/corpus@" + "a" * 40)
    assert (hub.kind, hub.pinned, hub.location) == ("huggingface", True, "hf://datasets/acme/corpus")
    loaded = SimpleNamespace(_fingerprint="f00d", info=SimpleNamespace(dataset_name="corpus"), split="train")
    assert dataset_version(loaded) == Dataset(kind="huggingface", location="corpus[train]", version="f00d")
    assert dataset_version({"name": "corpus", "version": "7"}).version == "7"


@pytest.mark.parametrize("wrong", ["lakefs://repo", "lakefs://", "hf://datasets/acme/corpus", 5, {"name": "x"}, None])
def test_what_names_no_dataset(wrong: object) -> None:
    with pytest.raises(UsageError):
        dataset_version(wrong)


def test_data_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        dataset_version(tmp_path / "nothing")
