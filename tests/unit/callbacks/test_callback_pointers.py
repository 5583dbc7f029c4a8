"""The short file that stands for a checkpoint, what goes wrong beside training, and absent frameworks."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import pytest

from holdfast.errors import DamageError, NotFoundError, StoreUnreachableError
from holdfast.training.callbacks.pointers import Pointer, new_save, parse_pointer, read_pointer, write_pointer
from holdfast.training.callbacks.reporting import Troubles


def test_a_pointer_comes_back_and_replaces_another(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "last.ckpt"
    first, second = Pointer("llm", 5, new_save()), Pointer("llm", 10, new_save())
    write_pointer(path, first)
    assert read_pointer(path) == first
    write_pointer(path, second)
    assert read_pointer(path) == second
    assert [file.name for file in path.parent.iterdir()] == ["last.ckpt"]


@pytest.mark.parametrize("data", [b"PK\x03\x04rest", b"\x80\x02}q\x00.", b"", b"\x93NUMPY"])
def test_files_of_others_are_no_pointers(data: bytes) -> None:
    assert parse_pointer(data, "x.ckpt") is None


@pytest.mark.parametrize(
    "data",
    [
        b"{",
        b"{}",
        b'{"asset": "llm", "step": 5}',
        b'{"asset": "llm", "step": "5", "save": "0"}',
        b'{"holdfast-pointer": 2, "asset": "llm", "step": 5, "save": "0"}',
        b'{"holdfast-pointer": 1, "asset": "llm", "step": 5, "save": "0"}' + b" " * 5000,
        b"{" * 3000,
    ],
)
def test_what_begins_as_a_pointer_and_is_none_is_refused(data: bytes) -> None:
    with pytest.raises(DamageError, match=r"x\.ckpt"):
        parse_pointer(data, "x.ckpt")


def test_an_absent_pointer_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no checkpoint") as raised:
        read_pointer(tmp_path / "last.ckpt")
    assert "newest()" in raised.value.hint


def test_the_first_of_a_kind_is_told_and_all_are_counted(caplog: pytest.LogCaptureFixture) -> None:
    troubles = Troubles()
    with caplog.at_level(logging.WARNING, "holdfast.training"):
        for _ in range(3):
            with troubles.caught("saving"):
                raise StoreUnreachableError("s3://bucket does not answer", hint="wait")
        with troubles.caught("saving"):
            raise ValueError("of the framework")
    assert troubles.counts == {"store-unreachable": 3, "ValueError": 1}
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]
    assert "does not answer" in caplog.records[0].message and "wait" in caplog.records[0].message


def test_an_interrupt_is_not_swallowed() -> None:
    with pytest.raises(KeyboardInterrupt), Troubles().caught("saving"):
        raise KeyboardInterrupt


def test_an_absent_framework_is_one_error_that_names_the_extra() -> None:
    extras = {"transformers": "transformers", "lightning": "lightning", "keras": "keras", "orbax": "jax"}
    script = (
        "import importlib, sys\n"
        "for name in ('transformers', 'lightning', 'keras', 'jax'): sys.modules[name] = None\n"
        "from holdfast.errors import MissingExtraError\n"
        f"for name in {list(extras)}:\n"
        "    try: importlib.import_module('holdfast.training.callbacks.' + name)\n"
        "    except MissingExtraError as error: print(error.hint)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [f'pip install "holdfast[{extra}]"' for extra in extras.values()]
