"""What may be said about a snapshot, and what may be one: nonsense is refused before anything is stored."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from holdfast.errors import RefusedError, UsageError
from holdfast.stores.memory import MemoryStore
from holdfast.testing.damage import contents_of
from holdfast.testing.workspace import TrialVault, new_trial_vault

A = np.arange(12, dtype="f4").reshape(3, 4)


class Text(str):
    """As `torch.__version__` is one."""

    def __str__(self) -> str:
        return "something else"


class Gone:
    def __array__(self, *args: object, **kwargs: object) -> None:
        raise RuntimeError("Array has been deleted")


def endless() -> dict[str, Any]:
    mapping: dict[str, Any] = {}
    mapping["a"] = mapping
    return mapping


@pytest.fixture
def trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TrialVault:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return new_trial_vault(MemoryStore(), encrypted=False)


NONSENSE: dict[str, tuple[Any, dict[str, Any]]] = {
    "a step with a fraction": ({"a": A}, {"step": 5.5}),
    "a float step": ({"a": A}, {"step": 500.0}),
    "a text step": ({"a": A}, {"step": "5"}),
    "a truth as step": ({"a": A}, {"step": True}),
    "a step of 64 bits": ({"a": A}, {"step": 1 << 63}),
    "a step of 70 bits": ({"a": A}, {"step": -(1 << 70)}),
    "a version that is no text": ({"a": A}, {"versions": {"torch": 2}}),
    "a version that is no Unicode": ({"a": A}, {"versions": {"torch": "\ud800"}}),
    "versions that are no mapping": ({"a": A}, {"versions": ["torch"]}),
    "metadata that is no mapping": ({"a": A}, {"metadata": [1]}),
    "a metadata key that is no text": ({"a": A}, {"metadata": {1: "x"}}),
    "metadata that is no Unicode": ({"a": A}, {"metadata": {"x": ["\ud800"]}}),
    "metadata that holds itself": ({"a": A}, {"metadata": endless()}),
    "metadata that is no JSON": ({"a": A}, {"metadata": {"x": object()}}),
    "tags as one text": ({"a": A}, {"tags": "best"}),
    "a tag that is no text": ({"a": A}, {"tags": [5]}),
    "no norm jump": ({"a": A}, {"norm_jump": 0}),
    "a norm jump that is no number": ({"a": A}, {"norm_jump": "x"}),
    "an asset that is no text": ({"a": A}, {"asset": 5}),
    "nothing": (None, {}),
    "a number": (5, {}),
    "a list": ([A], {}),
    "an array": (A, {}),
    "a path of bytes": (b"/tmp", {}),
    "an empty mapping": ({}, {}),
    "an empty component": ({"model": {}, "optimizer": {"a": A}}, {}),
    "a component of empty mappings": ({"model": {"a": {}}}, {}),
    "a mapping that holds itself": (endless(), {}),
    "names that are alike as text": ({1: A, "1": A + 1}, {}),
    "components that are alike as text": ({1: {"a": A}, "1": {"b": A}}, {}),
    "a component that is called as the flat one": ({"tensors": {"x": A}, "x": A + 1}, {}),
    "a flat name that is reserved": ({"__metadata__": A}, {}),
    "a name in a component that is reserved": ({"m": {"__metadata__": A}}, {}),
    "a name that is no Unicode": ({"a\ud800": A}, {}),
    "a component with too long a name": ({"m" * 300: {"a": A}}, {}),
    "an array that cannot be had": ({"a": Gone()}, {}),
}


@pytest.mark.parametrize("case", NONSENSE)
def test_nonsense_is_refused_before_anything_is_stored(trial: TrialVault, case: str) -> None:
    source, given = NONSENSE[case]
    arguments = {"asset": "run", "source": source, **given}
    before = contents_of(trial.store)
    with pytest.raises(UsageError):
        trial.open().save(**arguments)
    assert contents_of(trial.store) == before


def test_relatives_of_plain_types_are_taken(trial: TrialVault) -> None:
    source: Mapping[Any, Any] = {Text("a"): A, "m": {"inner": {}, Text("b"): A}}
    report = trial.open().save(
        "run", source, step=np.int64(5), versions={"torch": Text("2.1")}, metadata={Text("k"): Text("v"), "n": [1]}
    )
    root = trial.open().find("run@step=5")
    assert report.validated and root == report.root
    assert type(root.step) is int and root.versions["torch"] == "2.1" and root.meta == {"k": "v", "n": "[1]"}
    assert sorted(trial.open().load("run")) == ["a", "b"]


@pytest.mark.parametrize("step", [-(1 << 63), 0, (1 << 63) - 1])
def test_every_step_of_64_bits_can_be_found(trial: TrialVault, step: int) -> None:
    report = trial.open().save("run", {"a": A}, step=step)
    assert trial.open().find(report.root.id).step == step


def test_a_path_of_any_kind(trial: TrialVault, tmp_path: Path) -> None:
    class Place:
        def __fspath__(self) -> str:
            return str(tmp_path / "file")

    (tmp_path / "file").write_bytes(b"x")
    assert trial.open().save("run", Place()).validated
    assert trial.open().save("run", str(tmp_path / "file")).validated


def test_deeply_nested_folders(trial: TrialVault, tmp_path: Path) -> None:
    """Deeper than Python nests calls, and not too deep for a path."""
    place = tmp_path / "deep"
    place.mkdir()
    top = place
    for _ in range(1200):
        place /= "d"
        place.mkdir()
    (place / "file").write_bytes(b"x")
    report = trial.open().save("run", top)
    assert report.validated and [link.files for link in report.root.parts if link.files] == [1]
    while place != top:  # rmtree of pytest may be recursive
        for path in place.iterdir():
            path.unlink() if path.is_file() else path.rmdir()
        place = place.parent


def test_a_refused_snapshot_says_why(trial: TrialVault, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(RefusedError, match="not saved: there is no file") as caught:
        trial.open().save("run", tmp_path / "empty", policy="refuse")
    assert caught.value.hint
