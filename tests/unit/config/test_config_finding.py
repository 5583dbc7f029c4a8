"""Which file counts, and what is read of it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from config_texts import SMALL, changed

from holdfast.config.finding import CONFIG_VARIABLE, find_config, load_config
from holdfast.errors import FailedError, NotFoundError, RefusedError, UsageError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    return deep


def test_the_nearest_file_above_counts(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "holdfast.yaml").write_text(SMALL)
    (folder / "holdfast.yaml").mkdir()  # a folder of that name is none
    assert find_config({}, folder) == tmp_path / "holdfast.yaml"
    loaded = load_config(environment={}, start=folder)
    assert loaded.path == tmp_path / "holdfast.yaml"
    assert loaded.folder == tmp_path
    assert loaded.config.organisation == "acme"
    assert loaded.where("assets", "run", "place", "nowhere") == f"{loaded.path}, line 39"
    assert loaded.where("nothing") == str(loaded.path)
    (tmp_path / "a" / "holdfast.yaml").write_text(SMALL)
    assert find_config({}, folder) == tmp_path / "a" / "holdfast.yaml"


def test_the_working_folder_is_where_the_search_begins(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder.parent / "holdfast.yaml").write_text(SMALL)
    monkeypatch.chdir(folder)
    assert load_config(environment={}).path == folder.parent / "holdfast.yaml"


def test_the_variable_and_the_argument_come_first(folder: Path, tmp_path: Path) -> None:
    (folder / "holdfast.yaml").write_text("broken")
    (tmp_path / "other.yaml").write_text(SMALL)
    named = {CONFIG_VARIABLE: str(tmp_path / "other.yaml")}
    assert load_config(environment=named, start=folder).path == tmp_path / "other.yaml"
    (tmp_path / "third.yaml").write_text(SMALL)
    assert load_config(tmp_path / "third.yaml", named, folder).path == tmp_path / "third.yaml"
    with pytest.raises(NotFoundError, match="there is no file"):
        load_config(environment={CONFIG_VARIABLE: str(tmp_path / "none.yaml")}, start=folder)


def test_no_file_is_not_found(folder: Path) -> None:
    with pytest.raises(NotFoundError, match=r"there is no holdfast\.yaml in .* or above"):
        find_config({}, folder)


def test_a_file_that_everybody_may_change_counts_only_when_it_is_named(folder: Path) -> None:
    path = folder / "holdfast.yaml"
    path.write_text(SMALL)
    path.chmod(0o666)
    with pytest.raises(RefusedError, match="may be changed by everybody"):
        load_config(environment={}, start=folder)
    assert load_config(path).config.organisation == "acme"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_somebody_else_s_file_counts_only_when_it_is_named(folder: Path) -> None:
    path = folder / "holdfast.yaml"
    path.write_text(SMALL)
    os.chown(path, 12345, -1)
    with pytest.raises(RefusedError, match="belongs to somebody else"):
        load_config(environment={}, start=folder)
    assert load_config(environment={CONFIG_VARIABLE: str(path)}, start=folder).path == path


def test_what_is_no_file_or_no_such_file_is_told(folder: Path) -> None:
    with pytest.raises(FailedError, match="cannot be read: Is a directory"):
        load_config(folder)
    with pytest.raises(FailedError, match="it is no file"):
        load_config("a\0b")
    path = folder / "h.yaml"
    path.write_text(changed("cloud: aws", "cloud: aw"))
    with pytest.raises(UsageError) as caught:
        load_config(path)
    assert caught.value.message == f"{path}, line 5: 'aw' is no `cloud`; did you mean `aws`?"
    path.write_bytes(b"#" * (300 << 10))
    with pytest.raises(UsageError, match="more than 256 KiB"):
        load_config(path)
