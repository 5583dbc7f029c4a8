"""Taking guards away, one after the other, in a copy of the tree, and looking whether the tests notice.

In the manner of mutation testing (DeMillo, Lipton and Sayward, "Hints on test data selection", 1978), but with
mutations that are chosen: each removes one thing that protects.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from .model import ROOT, Edit, Guard

__all__ = ["Outcome", "Tried", "copy_tree", "run_tests", "try_guard", "try_guards"]

_COPIED = ("src", "tests", "docs")
_TIMEOUT_S = 300.0
_CAUSED = re.compile(r"^(?:The above exception was|During handling of the above)", re.MULTILINE)
_REASON = re.compile(r"^E +(.+)$", re.MULTILINE)
# A mutation after which the program only stumbles shows nothing of the guard.
_STUMBLED = re.compile(
    r"\b(NameError|SyntaxError|ImportError|ModuleNotFoundError|UnboundLocalError|IndentationError)\b"
)


class Outcome(NamedTuple):
    """`status`: pytest's exit status; below 0 when a signal ended it. `output`: what it printed."""

    status: int
    output: str

    @property
    def failed(self) -> bool:
        """Whether a test ran and failed (or took the process with it), and was not just broken."""
        if self.status < 0:
            return True
        return self.status == 1 and " failed" in self.output and not _STUMBLED.search(self.reason)

    @property
    def reason(self) -> str:
        """The line in which the test says what it expected."""
        found = _REASON.search(_CAUSED.split(self.output)[-1])
        return found[1] if found else self.output.strip().splitlines()[-1] if self.output.strip() else "no output"


class Tried(NamedTuple):
    """One guard. `killed`: the test failed without it."""

    guard: Guard
    killed: bool
    reason: str
    seconds: float


def copy_tree(target: Path) -> Path:
    """A copy of what the tests need. Returns its root."""
    skipped = shutil.ignore_patterns("__pycache__", "*.egg-info", ".hypothesis")
    for name in _COPIED:
        shutil.copytree(ROOT / name, target / name, ignore=skipped)
    shutil.copy(ROOT / "pyproject.toml", target)
    return target


def run_tests(tree: Path, tests: Sequence[str]) -> Outcome:
    """Run these tests of the copy against its own sources."""
    environment = {**os.environ, "PYTHONPATH": str(tree / "src"), "PYTHONDONTWRITEBYTECODE": "1", "NO_COLOR": "1"}
    for name in [name for name in environment if name.startswith(("PYTEST_", "HOLDFAST_"))]:
        del environment[name]
    # A mutation may write where it should not: then into the copy.
    environment |= {f"XDG_{kind}_HOME": str(tree / "home" / kind.lower()) for kind in ("CONFIG", "STATE", "CACHE")}
    options = ["-q", "-x", "--tb=short", "-p", "no:cacheprovider", "--rootdir", str(tree), "-c", "pyproject.toml"]
    command = [sys.executable, "-m", "pytest", *options, *tests]
    try:
        done = subprocess.run(
            command, cwd=tree, env=environment, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        return Outcome(1, f"E  it ran for more than {_TIMEOUT_S:.0f} s\n1 failed")
    return Outcome(done.returncode, done.stdout + done.stderr)


@contextmanager
def _applied(tree: Path, edits: Sequence[Edit]) -> Iterator[None]:
    before: dict[Path, bytes] = {}
    try:
        for edit in edits:
            path = tree / "src/holdfast" / edit.file
            text = path.read_bytes()
            before.setdefault(path, text)
            if text.count(edit.old.encode()) != 1:
                raise SystemExit(f"{edit.file}: {edit.old!r} occurs {text.count(edit.old.encode())} times, not once")
            path.write_bytes(text.replace(edit.old.encode(), edit.new.encode()))
        yield
    finally:
        for path, text in before.items():
            path.write_bytes(text)


def try_guard(tree: Path, guard: Guard) -> Tried:
    """Take the guard away and run its test; the tree is as before afterwards."""
    began = time.monotonic()
    with _applied(tree, guard.edits):
        outcome = run_tests(tree, [guard.test])
    return Tried(guard, outcome.failed, outcome.reason, time.monotonic() - began)


def try_guards(tree: Path, guards: Sequence[Guard], tell: Callable[[Tried], None]) -> list[Tried]:
    """First that all tests pass as things are, against the copy; then each guard. Raises SystemExit otherwise."""
    where = subprocess.run(
        [sys.executable, "-c", "import holdfast; print(holdfast.__file__)"],
        env={**os.environ, "PYTHONPATH": str(tree / "src")}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    if not Path(where.stdout.strip()).is_relative_to(tree):
        raise SystemExit(f"the copy in {tree} is not what is imported, but {where.stdout.strip()}")
    sound = run_tests(tree, sorted({guard.test for guard in guards}))
    if sound.status != 0:
        raise SystemExit(f"with every guard in its place the tests do not pass:\n{sound.output[-3000:]}")
    tried = []
    for guard in guards:
        tried.append(try_guard(tree, guard))
        tell(tried[-1])
    return tried
