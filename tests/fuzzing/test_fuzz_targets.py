"""Each fuzz target on its seeds, on what campaigns kept, and on some hundred changed inputs. See docs/fuzzing.md."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fuzz.campaign import distilled, fuzz, replay
from fuzz.corpus import CORPUS, kept
from fuzz.guard import judge
from fuzz.model import Broken, Finding, Outcome, Target
from fuzz.mutate import mutated
from fuzz.targets import TARGETS

from holdfast.errors import DamageError
from holdfast.testing.workspace import own_memory

ROOT = Path(__file__).parents[2]
MUTATIONS = 200
CORPUS_BYTES_MAX = 1 << 20


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path) -> Iterator[None]:
    with own_memory(tmp_path / "state"):
        yield


@pytest.mark.parametrize("name", TARGETS)
def test_nothing_but_an_answer_or_a_refusal_comes_out(name: str) -> None:
    findings = replay(TARGETS[name], kept(name), MUTATIONS // TARGETS[name].weight, seed=1)
    assert not findings, "\n\n".join(f"{kind}: {text}" for kind, text in findings)


def test_the_page_lists_every_target() -> None:
    rows = re.findall(
        r"^\| `([a-z0-9-]+)` \| (.+?) \|", (ROOT / "docs" / "fuzzing.md").read_text("utf-8"), re.MULTILINE
    )
    assert dict(rows) == {target.name: target.hits for target in TARGETS.values()}
    assert len(rows) == len(TARGETS)


def test_the_corpus_is_small_and_of_known_targets() -> None:
    files = [path for path in CORPUS.rglob("*") if path.is_file()]
    assert {path.parent.name for path in files} <= set(TARGETS)
    assert sum(path.stat().st_size for path in files) < CORPUS_BYTES_MAX


def trap(run) -> Target:
    return Target("trap", "", run, lambda: [b"a seed that is harmless"], (b"MAGIC",))


@pytest.mark.parametrize(
    ("kind", "run"),
    [
        ("ZeroDivisionError", lambda data: 1 // 0),
        ("MemoryError", lambda data: bytearray(1 << 32)),
        ("RecursionError", lambda data: [exec("def f(): f()\nf()", {})]),
        ("hang", lambda data: [None for _ in iter(int, 1)]),
        ("hang", lambda data: time.sleep(60)),
    ],
)
def test_what_must_not_happen_is_a_finding(kind: str, run) -> None:
    found = judge(trap(run), b"x", seconds=0.1 if kind == "hang" else 20)
    assert isinstance(found, Finding) and found.kind == kind and "Traceback" in found.text


def test_answers_and_refusals_are_told_apart() -> None:
    def refuse(data: bytes) -> None:
        raise DamageError("it is bad")

    def wrong(data: bytes) -> None:
        raise Broken("it is wrong")

    assert judge(trap(lambda data: None), b"") is Outcome.ACCEPTED
    assert judge(trap(refuse), b"") is Outcome.REFUSED
    assert isinstance(judge(trap(wrong), b""), Finding)


def test_a_campaign_follows_the_lines_that_are_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault behind four comparisons of single bytes is found in seconds: by chance alone it would take years."""
    monkeypatch.setattr("fuzz.corpus.CRASHES", tmp_path / "crashes")
    monkeypatch.setattr("fuzz.coverage._PACKAGE", str(tmp_path))
    (tmp_path / "guarded.py").write_text(
        "def parse(data):\n"
        "    if data[:1] == b'H':\n"
        "        if data[1:2] == b'F':\n"
        "            if data[2:3] == b'S':\n"
        "                if data[3:4] == b'T':\n"
        "                    raise KeyError('a fault')\n"
    )
    scope: dict = {}
    exec(compile((tmp_path / "guarded.py").read_text(), str(tmp_path / "guarded.py"), "exec"), scope)
    target = Target("trap", "", scope["parse"], lambda: [b"H..."], (b"H", b"F", b"S", b"T"), max_bytes=8)
    spent = fuzz(target, [], seconds=1, seed=3)
    assert [path.name.split("-")[1] for path in spent.findings] == ["KeyError"]
    needed = distilled(target, [b"HFxx", b"HFSx", b"xxxx", b"HFSy"], most_bytes=100)
    assert b"HFSx" in needed and b"HFSy" not in needed


def test_the_same_seed_changes_the_same_way() -> None:
    def run(seed: int) -> list[bytes]:
        chance = random.Random(seed)
        return [mutated(chance, b"0123456789" * 20, [b"other" * 9], (b"token",), 300) for _ in range(300)]

    assert run(1) == run(1) != run(2)
    changed = run(1)
    assert all(len(data) <= 300 for data in changed) and len(set(changed)) > 290
    assert any(b"token" in data for data in changed) and any(len(data) < 100 for data in changed)
