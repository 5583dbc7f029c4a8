"""The revision of the code, by asking Git: with a time limit, and running nothing that the repository configures."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from holdfast.errors import FailedError, NotFoundError
from holdfast.training.circumstances.model import Code
from holdfast.training.circumstances.scrubbing import scrubbed

__all__ = ["code_at", "code_folder", "DIFF_KEPT", "UNTRACKED_NAMED", "SECONDS"]

DIFF_KEPT = 64 << 10
UNTRACKED_NAMED = 50
SECONDS = 10.0
_TEXT_MOST = 1 << 20
_DIFF_READ = 256 << 20  # of a larger diff only so much is hashed
# A repository may name programs that Git runs: none of them is.
_SAFE = ("-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "-c", "diff.external=", "-c", "core.pager=cat")
_FILTER = r"^filter\..*\.(clean|process)$"
_LFS = ("git-lfs clean -- %f", "git-lfs filter-process")
_ENVIRONMENT = {"GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C", "GIT_PAGER": "cat"}


class _Read(NamedTuple):
    """The beginning of what was written, the SHA-256 of all that was read, whether that was more than what is kept."""

    kept: bytes
    sha256: str
    length: int
    cut: bool


def code_folder() -> Path:
    """Where the program's main file lies; else the current folder."""
    main = getattr(sys.modules.get("__main__"), "__file__", None)
    return Path(main).resolve().parent if main else Path.cwd()


def code_at(folder: Path, *, seconds: float = SECONDS, environment: Mapping[str, str] = os.environ) -> Code:
    """What Git says of the working tree that the folder lies in.

    Raises NotFoundError (no Git, or no working tree), FailedError (Git failed, or took longer than `seconds` for one of
    its commands). Submodules count by their commits.
    """
    git = _Git(folder, seconds, environment)
    top = git.text("rev-parse", "--show-toplevel")
    commit = git.text("rev-parse", "--verify", "--quiet", "HEAD", fails="")
    base = commit or git.text("hash-object", "-t", "tree", "/dev/null")
    at_top = _Git(Path(top), seconds, environment)
    at_top.disarm()
    diff = at_top.run("diff", "--no-ext-diff", "--no-textconv", "--no-color", "--binary", base, "--", most=DIFF_KEPT)
    untracked = at_top.run("ls-files", "--others", "--exclude-standard", "-z", most=_TEXT_MOST).kept.split(b"\0")
    names = [name.decode("utf-8", "replace") for name in untracked if name]
    return Code(
        commit=commit,
        branch=git.text("symbolic-ref", "--short", "--quiet", "HEAD", fails=""),
        remote=scrubbed(git.text("config", "--get", "remote.origin.url", fails="")),
        diff=scrubbed(diff.kept.decode("utf-8", "replace")),
        diff_sha256=diff.sha256 if diff.length else "",
        diff_cut=diff.length > DIFF_KEPT,
        untracked=[scrubbed(name) for name in names[:UNTRACKED_NAMED]],
        untracked_count=len(names),
    )


class _Git:
    def __init__(self, folder: Path, seconds: float, environment: Mapping[str, str]) -> None:
        # Variables that say where the repository is would overrule the folder.
        kept = {key: value for key, value in environment.items() if not key.startswith("GIT_")}
        self._folder, self._seconds, self._environment = folder, seconds, {**kept, **_ENVIRONMENT}
        self._safe: tuple[str, ...] = _SAFE

    def disarm(self) -> None:
        """Run no filter that this repository brings along; those of the user, and of Git LFS, are theirs."""
        try:
            listed = self.run("config", "--show-scope", "-z", "--get-regexp", _FILTER, most=_TEXT_MOST).kept
        except FailedError:  # none is configured
            return
        words = [word.decode("utf-8", "surrogateescape") for word in listed.split(b"\0")]
        for scope, setting in zip(words[::2], words[1::2], strict=False):
            key, _, value = setting.partition("\n")
            if scope in ("local", "worktree") and value not in _LFS:
                required = f"{key.rpartition('.')[0]}.required"
                self._safe = (*self._safe, "-c", f"{key}=", "-c", f"{required}=false")

    def text(self, *arguments: str, fails: str | None = None) -> str:
        """One line. `fails`: what a failure of Git means; raised where it is None."""
        try:
            return self.run(*arguments, most=_TEXT_MOST).kept.decode("utf-8", "replace").strip()
        except FailedError:
            if fails is None:
                raise
            return fails

    def run(self, *arguments: str, most: int) -> _Read:
        command = ["git", "-C", str(self._folder), *self._safe, *arguments]
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=self._environment,
                start_new_session=True,
            )
        except OSError as error:
            raise NotFoundError("git is not installed here, so the code's revision is not known") from error
        late = threading.Event()

        def stop() -> None:
            late.set()
            process.kill()

        timer = threading.Timer(self._seconds, stop)
        timer.daemon = True
        timer.start()
        try:
            found = _read(process, most)
            code = process.wait()
        finally:
            timer.cancel()
            if process.poll() is None:
                process.kill()
                process.wait()
        what = f"git {arguments[0]}"
        if late.is_set():
            raise FailedError(f"{what} in {self._folder} took more than {self._seconds:g} s")
        if code and arguments[:2] == ("rev-parse", "--show-toplevel"):
            raise NotFoundError(f"{self._folder} is in no working tree of Git")
        if code and not found.cut:  # one that is not read to its end is stopped by that
            raise FailedError(f"{what} in {self._folder} failed with exit code {code}")
        return found


def _read(process: subprocess.Popen[bytes], most: int) -> _Read:
    assert process.stdout is not None
    kept, digest, length = b"", hashlib.sha256(), 0
    with process.stdout:
        while length < _DIFF_READ and (block := process.stdout.read(1 << 16)):
            digest.update(block)
            kept += block[: most - len(kept)]
            length += len(block)
    return _Read(kept, digest.hexdigest(), length, length >= _DIFF_READ)
