"""What every tool is asked to do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cache
from pathlib import Path

from ..measuring import CommandFailed, Took, Word, run
from ..setting import Setting
from ..trees import differences, tree_bytes

__all__ = ["Runner", "Command", "first_line"]


class Runner(ABC):
    """One tool with one set of options. `start` comes first, and once for each fresh repository.

    `remembers`: a second save stores only what changed, beside the first; otherwise `save_next` stores all of it again.
    """

    name: str
    library = False  # measured inside a process, behind its start and imports
    remembers = True
    note = ""  # what a reader of the results must know

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.folder = setting.ram / "unset"
        self.environment = setting.environment()

    @abstractmethod
    def available(self) -> bool:
        """Whether the tool is on this machine."""

    @abstractmethod
    def version(self) -> str:
        """As the tool names it, in one short line."""

    def start(self, folder: Path) -> None:
        """Begin a fresh repository in a new `folder`. Not measured."""
        folder.mkdir(parents=True)
        self.folder = folder
        self.environment = self.setting.environment(folder / "home")
        self.repository.mkdir()

    @property
    def repository(self) -> Path:
        """What counts as stored."""
        return self.folder / "repository"

    @abstractmethod
    def save(self, source: Path) -> Took:
        """Store `source`, of which the repository has nothing yet."""

    def save_again(self, source: Path) -> Took:
        """Store the same folder again, unchanged."""
        return self.save(source)

    def save_next(self, source: Path) -> Took:
        """Store a later state of what was saved before."""
        return self.save(source)

    @abstractmethod
    def restore(self, target: Path) -> Took:
        """Bring back what was saved last, into `target`, which does not exist yet."""

    def restored_differences(self, source: Path, target: Path) -> list[str]:
        """What `restore` did not bring back as it was."""
        return differences(source, target)

    def stored_bytes(self) -> int:
        """All that the tool keeps to be able to restore."""
        return tree_bytes(self.repository)


@cache
def first_line(*command: str) -> str:
    """What a command prints first; `unknown` if it fails."""
    try:
        lines = run(command).output.strip().splitlines()
    except CommandFailed:
        return "unknown"
    return lines[0].strip("* ").split(" compiled")[0] if lines else "unknown"


class Command(Runner):
    """A tool with a command line."""

    tool: str
    version_arguments: tuple[str, ...] = ("--version",)

    @property
    def path(self) -> str:
        return self.setting.find(self.tool) or self.tool

    def available(self) -> bool:
        return self.setting.find(self.tool) is not None

    def version(self) -> str:
        return first_line(self.path, *self.version_arguments)

    def measure(self, *arguments: Word, cwd: Path | None = None) -> Took:
        """Run the tool with these arguments. Raises CommandFailed."""
        return run([self.path, *arguments], cwd=cwd, env=self.environment).took

    def shell(self, script: str, *arguments: Word) -> Took:
        """Run a line of shell with `$1`, `$2`, …. Raises CommandFailed."""
        return run(["sh", "-ec", script, "sh", *arguments], env=self.environment).took
