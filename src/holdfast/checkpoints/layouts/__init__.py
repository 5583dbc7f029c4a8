"""Recognising the checkpoints of training frameworks below a folder, one module for each family of them.

A recogniser claims a folder from its name and one level of its content, and then judges all of it. A claimed folder
is one checkpoint whatever lies inside it (`checkpoint-500/global_step500`). Of what no recogniser claims, single files
with a checkpoint's suffix are candidates. Hidden and temporary folders are passed over. A checkpoint of which a file is
only a link to somewhere outside is never complete: a snapshot would hold the link, and not the bytes.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from holdfast.checkpoints.candidates import Candidate
from holdfast.checkpoints.layouts.accelerate import ACCELERATE
from holdfast.checkpoints.layouts.distributed import LIGHTNING_FOLDER, TORCH_DCP, TORCHTITAN
from holdfast.checkpoints.layouts.files import file_candidate
from holdfast.checkpoints.layouts.homemade import HOMEMADE
from holdfast.checkpoints.layouts.huggingface import HUGGINGFACE_MODEL, HUGGINGFACE_TRAINER
from holdfast.checkpoints.layouts.orbax import ORBAX
from holdfast.checkpoints.layouts.shards import tree_problem
from holdfast.checkpoints.layouts.tracked import DEEPSPEED, MEGATRON
from holdfast.checkpoints.layouts.verdict import Layout, Verdict, is_temporary
from holdfast.checkpoints.listing import Glimpse, glimpse, read_tree
from holdfast.errors import FailedError, NotFoundError, PermissionDeniedError, UsageError

__all__ = ["Scan", "scan", "find_checkpoints", "DEPTH_MAX"]

# `lightning_logs/version_0/checkpoints/x.ckpt` is three deep; a deeper tree is more likely a data set than a run.
DEPTH_MAX = 6

# The first that claims a folder judges it. Signs inside a folder go before names that several frameworks share
# (`checkpoint_500` is accelerate's and Orbax's), and particular names before what any folder may hold.
_LAYOUTS: tuple[Layout, ...] = (
    ORBAX,
    MEGATRON,
    LIGHTNING_FOLDER,
    TORCHTITAN,
    HUGGINGFACE_TRAINER,
    ACCELERATE,
    DEEPSPEED,
    TORCH_DCP,
    HUGGINGFACE_MODEL,
    HOMEMADE,
)


class Scan(NamedTuple):
    """All candidates below a folder in order of their paths, and one phrase for each folder that could not be read."""

    candidates: tuple[Candidate, ...]
    unreadable: tuple[str, ...]


def _layout_of(folder: Glimpse) -> Layout | None:
    return next((layout for layout in _LAYOUTS if layout.claims(folder)), None)


def _judged(layout: Layout, path: Path) -> Candidate | None:
    tree = read_tree(path)
    if tree is None:
        return None
    verdict = Verdict("unknown", None, tree.trouble) if tree.trouble and not tree.files else layout.judge(tree)
    reason = verdict.reason or tree_problem(tree)
    return Candidate(
        path=path,
        step=verdict.step,
        framework=verdict.framework,
        complete=not reason,
        reason=reason,
        files=tree.stamps,
        changed_ns=tree.changed_ns,
        marker=None if reason else verdict.marker,
    )


class _Walk:
    """One pass over the tree below `root`."""

    def __init__(self, root: Path, patterns: Sequence[str]) -> None:
        self.root = root
        self.patterns = patterns
        self.found: list[Candidate] = []
        self.unreadable: list[str] = []

    def enter(self, folder: Glimpse, depth: int) -> None:
        layout = _layout_of(folder)
        if layout is not None:
            self._add(_judged(layout, folder.path))
            return
        for name, entry in folder.files.items():
            if not name.startswith("."):
                self._add(file_candidate(self.root, folder.path / name, entry, self.patterns))
        for name in folder.folders:
            self._visit(folder.path / name, depth + 1)

    def _visit(self, path: Path, depth: int) -> None:
        if depth > DEPTH_MAX or path.name.startswith("."):
            return
        if is_temporary(path.name):
            self._add_temporary(path)
            return
        try:
            folder = glimpse(path)
        except FileNotFoundError:
            return
        except OSError as error:
            self.unreadable.append(f"folder {path} cannot be read ({error.strerror})")
            return
        self.enter(folder, depth)

    def _add_temporary(self, path: Path) -> None:
        """`tmp-checkpoint-500` and `500.orbax-checkpoint-tmp` are worth naming; other temporary folders are not."""
        visible = Glimpse(path, {}, frozenset())
        final = visible._replace(path=path.with_name(path.name.removeprefix("tmp-").partition(".")[0] or path.name))
        layout = _layout_of(visible) or _layout_of(final)
        candidate = None if layout is None else _judged(layout, path)
        if candidate is not None:
            self._add(_incomplete(candidate, "it has a temporary name"))

    def _add(self, candidate: Candidate | None) -> None:
        if candidate is not None:
            self.found.append(candidate)


def _incomplete(candidate: Candidate, reason: str) -> Candidate:
    return Candidate(
        path=candidate.path,
        step=candidate.step,
        framework=candidate.framework,
        complete=False,
        reason=reason,
        files=candidate.files,
        changed_ns=candidate.changed_ns,
    )


def _glimpse_root(folder: Path) -> Glimpse:
    try:
        return glimpse(folder)
    except FileNotFoundError as error:
        raise NotFoundError(f"there is no folder {folder}", object_name=str(folder)) from error
    except NotADirectoryError as error:
        hint = "use `holdfast snapshot save` for a single file"
        raise UsageError(f"{folder} is not a folder", hint=hint, object_name=str(folder)) from error
    except PermissionError as error:
        raise PermissionDeniedError(f"folder {folder} may not be read", object_name=str(folder)) from error
    except OSError as error:
        raise FailedError(f"folder {folder} cannot be read ({error.strerror})", object_name=str(folder)) from error


def scan(folder: Path, patterns: Sequence[str] = ()) -> Scan:
    """Look once at everything below `folder`, which may also be a checkpoint itself.

    Raises NotFoundError, UsageError (it is no folder), PermissionDeniedError and FailedError for `folder` itself. What
    cannot be read below it is named in the result; what vanishes meanwhile is left out.
    """
    root = Path(os.path.realpath(folder))
    walk = _Walk(root, patterns)
    walk.enter(_glimpse_root(root), 0)
    return Scan(tuple(sorted(walk.found, key=lambda candidate: candidate.path)), tuple(sorted(walk.unreadable)))


def find_checkpoints(folder: Path, patterns: Sequence[str] = ()) -> list[Candidate]:
    """The candidates of `scan`, complete or not, in order of their paths."""
    return list(scan(folder, patterns).candidates)
