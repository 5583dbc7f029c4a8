"""Secrets as they are written in code, notebooks, shells and settings; programs of a repository; data that hang."""

from __future__ import annotations

import os
import subprocess
import threading
from pathlib import Path

import pytest

from holdfast.training.circumstances import code as reading
from holdfast.training.circumstances import gathering
from holdfast.training.circumstances.code import code_at
from holdfast.training.circumstances.gathering import Gatherer, gather
from holdfast.training.circumstances.scrubbing import is_secret_name, scrubbed


@pytest.mark.parametrize(
    "text",
    [
        'api_key: str = "hunter2hunter2"',
        'api_key: dict[str, str] | None = "hunter2"',
        'os.environ["WANDB_API_KEY"] = "hunter2"',
        '"os.environ[\\"WANDB_API_KEY\\"] = \\"hunter2\\"\\n"',
        'os.environ.setdefault("WANDB_API_KEY", "hunter2")',
        'parser.add_argument("--password", type=str, default="hunter2")',
        'headers = {"Authorization": "Bearer hunter2hunter2"}',
        "Authorization: Basic hunter2",
        "https://user:p@hunter2@host/x",
        f"https://{'a' * 600}:hunter2@host/x",
        'secretKey: "hunter2"',
        'ENCRYPTION_KEY = "hunter2"',
        "curl --password hunter2 x",
        "curl -u user:hunter2 https://x",
        'wandb.login(key="hunter2")',
        'password = """a\nhunter2"""',
        "password = 'a\\'hunter2'",
        'password := "hunter2"',
        'password = (\n+    "hunter2"\n+)',
        "max_tokens: 5 token=hunter2",
        "AZURE_STORAGE_CONNECTION_STRING=DefaultEndpointsProtocol=https;AccountKey=hunter2==",
    ],
)
def test_secrets_are_hidden_however_they_are_written(text: str) -> None:
    assert "hunter2" not in scrubbed(text)


def test_what_is_no_secret_stays() -> None:
    for text in ("max_tokens: 5, lr = 0.1", 'tokenizer = "gpt2"', "--max-tokens 5", "__author__ = 'me'", 'a["b"] = 1'):
        assert scrubbed(text) == text
    assert not is_secret_name("secretary")
    assert is_secret_name("secretKey")


def test_what_lies_in_something_secret_is_hidden_and_addresses_are_no_paths() -> None:
    kept = gather(
        hyperparameters={"credentials": {"pw": "hunter2"}, "tokens": {"most": 5}},
        datasets={"x": "s3://key:hunter2@host/data"},
        code="/",
    )
    assert b"hunter2" not in kept.files["circumstances.json"]
    assert kept.circumstances.hyperparameters == {"credentials.pw": "(hidden)", "tokens.most": "5"}
    assert "s3://(hidden)@host/data is no address" in kept.circumstances.missing["dataset x"]


def _repository(folder: Path) -> None:
    for arguments in (("init", "-q"), ("config", "user.email", "a@b"), ("config", "user.name", "a")):
        subprocess.run(["git", *arguments], cwd=folder, check=True)
    (folder / ".gitattributes").write_text("* filter=x\n")
    (folder / "a.txt").write_text("1\n")
    subprocess.run(["git", "add", "-A"], cwd=folder, check=True)
    subprocess.run(["git", "commit", "-qm", "one"], cwd=folder, check=True)


def test_filters_that_a_repository_brings_along_are_not_run(tmp_path: Path) -> None:
    _repository(tmp_path)
    ran = tmp_path / ".git/ran"
    for kind in ("clean", "process"):
        subprocess.run(["git", "config", f"filter.x.{kind}", f"touch {ran}; cat"], cwd=tmp_path, check=True)
    (tmp_path / "a.txt").write_text("2\n")
    found = code_at(tmp_path, environment=dict(os.environ))
    assert "+2" in found.diff
    assert not ran.exists()


def test_a_diff_that_is_too_large_to_read_leaves_the_revision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _repository(tmp_path)
    (tmp_path / "a.txt").write_text("".join(f"{number * 7919}\n" for number in range(200_000)))
    monkeypatch.setattr(reading, "_DIFF_READ", 1 << 17)
    found = code_at(tmp_path)
    assert found.commit
    assert found.diff_cut
    assert found.dirty


def test_data_that_hang_cost_one_save_a_wait_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    end = threading.Event()
    monkeypatch.setattr(gathering, "_WAIT_SECONDS", 0.4)
    monkeypatch.setattr(gathering, "dataset_version", lambda *_, **__: end.wait(60))
    gatherer = Gatherer(datasets={"x": "/hangs"}, code="/")
    waits: list[float | None] = []
    real = gatherer._thread.join

    def join(seconds: float | None = None) -> None:
        waits.append(seconds)
        real(seconds)

    monkeypatch.setattr(gatherer._thread, "join", join)
    told = [gatherer.gather(step).circumstances.missing["dataset x"] for step in range(3)]
    end.set()
    assert waits == [0.4, 0.0, 0.0]
    assert told == ["still being looked at when this was saved"] * 3
