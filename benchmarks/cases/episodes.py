"""Tools in turns: in each round every tool, one after the other, begins afresh, saves, saves on and restores.

So what else the machine does falls on all of them alike, and nobody profits from what another left in a cache.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..machine import touch_memory
from ..measuring import CommandFailed, Took
from ..runners.base import Runner
from ..setting import say
from ..trees import files, remove, tree_bytes

__all__ = ["in_turns", "OPERATIONS"]

_HEADROOM = 256 << 20  # for the process itself
OPERATIONS = ("save", "save_again", "restore", "save_next", "restore_next")


def in_turns(
    runners: Sequence[Runner],
    first: Path,
    following: Path,
    *,
    folder: Path,
    rounds: int,
    operations: Sequence[str] = OPERATIONS,
) -> dict[str, Any]:
    """Let each available runner go through `operations` in every round. What fails is told in `errors`, and ends
    that runner's round. A tool that remembers nothing is not asked to save the same again.

    Result: `bytes`, `files` and `next_bytes` of the sources, and for each runner by name the list of `Took` of each
    operation, `stored` and `stored_next` (bytes in the repository after `save`, and what `save_next` added).
    """
    present = [runner for runner in runners if runner.available()]
    tools: dict[str, Any] = {runner.name: _about(runner) for runner in present}
    for number in range(rounds):
        for runner in present:
            say(f"  round {number + 1} of {rounds}: {runner.name}")
            try:
                _episode(runner, first, following, folder / "episode", operations, tools[runner.name])
            except CommandFailed as error:
                tools[runner.name]["errors"].append(str(error).replace(str(folder), "…"))
                say(f"  error: {error}\n{error.details}")
            finally:
                remove(folder / "episode")
    return {
        "bytes": tree_bytes(first),
        "next_bytes": tree_bytes(following),
        "files": sum(1 for _ in files(first)),
        "rounds": rounds,
        "absent": [runner.name for runner in runners if runner not in present],
        "tools": tools,
    }


def _about(runner: Runner) -> dict[str, Any]:
    return {
        "version": runner.version(),
        "note": runner.note,
        "library": runner.library,
        "remembers": runner.remembers,
        "operations": {},
        "stored": [],
        "stored_next": [],
        "errors": [],
    }


def _episode(
    runner: Runner, first: Path, following: Path, folder: Path, operations: Sequence[str], found: dict[str, Any]
) -> None:
    runner.start(folder)
    target = folder / "target"

    def restore(source: Path) -> Took:
        took = runner.restore(target)
        wrong = runner.restored_differences(source, target)
        found["errors"] += [f"restored otherwise than saved: {line}" for line in wrong]
        remove(target)
        return took

    verbs: dict[str, Callable[[], Took]] = {
        "save": lambda: runner.save(first),
        "save_again": lambda: runner.save_again(first),
        "restore": lambda: restore(first),
        "save_next": lambda: runner.save_next(following),
        "restore_next": lambda: restore(following),
    }
    for operation in operations:
        if operation == "save_again" and not runner.remembers:
            continue  # it would be the first save once more
        before = runner.stored_bytes()
        touch_memory(_HEADROOM + tree_bytes(first) * 5 // 4)
        found["operations"].setdefault(operation, []).append(verbs[operation]())
        if operation == "save":
            found["stored"].append(runner.stored_bytes())
        elif operation == "save_next":
            found["stored_next"].append(runner.stored_bytes() - before)
