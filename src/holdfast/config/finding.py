"""Which `holdfast.yaml` counts: the one that is named, the one that HOLDFAST_CONFIG names, or the nearest one above."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

from holdfast.config.model import Config
from holdfast.config.parsing import parse_config
from holdfast.config.reading import Path as Place
from holdfast.errors import FailedError, NotFoundError, PermissionDeniedError, RefusedError
from holdfast.strict_yaml import YAML_BYTES_MAX

__all__ = ["CONFIG_VARIABLE", "FILE_NAME", "LoadedConfig", "find_config", "load_config", "read_config_file"]

CONFIG_VARIABLE: Final = "HOLDFAST_CONFIG"
FILE_NAME: Final = "holdfast.yaml"


class LoadedConfig(NamedTuple):
    """A file without problems. `lines`: where each name, and each place in a list, stands."""

    config: Config
    path: Path
    lines: Mapping[Place, int]

    def where(self, *place: str | int) -> str:
        """`holdfast.yaml, line 12`: the nearest line to that place, for messages."""
        for end in range(len(place), 0, -1):
            if place[:end] in self.lines:
                return f"{self.path}, line {self.lines[place[:end]]}"
        return str(self.path)

    @property
    def folder(self) -> Path:
        """From which relative paths in it count."""
        return self.path.absolute().parent


def load_config(
    path: Path | str | None = None, environment: Mapping[str, str] = os.environ, start: Path | None = None
) -> LoadedConfig:
    """The file at `path`, or the one that `find_config` finds, checked.

    Raises NotFoundError, UsageError naming file and line of the first problem, RefusedError for somebody else's file.
    """
    found = Path(path) if path is not None else find_config(environment, start)
    parsed = parse_config(read_config_file(found), str(found))
    return LoadedConfig(parsed.config, found, parsed.lines)


def find_config(environment: Mapping[str, str] = os.environ, start: Path | None = None) -> Path:
    """The file that HOLDFAST_CONFIG names, or the nearest one in the working folder (or `start`) or above.

    Raises NotFoundError. Raises RefusedError for a file that belongs to neither this user nor root, or that everybody
    may write: it was not named, and could send copies to a stranger.
    """
    named = environment.get(CONFIG_VARIABLE, "")
    if named:
        return Path(named)
    folder = (start or Path.cwd()).absolute()
    for one in (folder, *folder.parents):
        path = one / FILE_NAME
        try:
            status = path.stat()
        except (OSError, ValueError):
            continue
        if stat.S_ISREG(status.st_mode):
            _check_owner(path, status)
            return path
    raise NotFoundError(
        f"there is no {FILE_NAME} in {folder} or above", hint=f"name the file, or set {CONFIG_VARIABLE}"
    )


def read_config_file(path: Path) -> bytes:
    """Its bytes, or a little more than any file may have. Raises NotFoundError, PermissionDeniedError, FailedError."""
    try:
        with path.open("rb") as file:
            return file.read(YAML_BYTES_MAX + 1)
    except FileNotFoundError as error:
        raise NotFoundError(f"there is no file {path}", object_name=str(path)) from error
    except PermissionError as error:
        raise PermissionDeniedError(f"{path} cannot be read: permission denied", object_name=str(path)) from error
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else "it is no file"
        raise FailedError(f"{path} cannot be read: {why}", object_name=str(path)) from error


def _check_owner(path: Path, status: os.stat_result) -> None:
    strange = status.st_uid not in (os.geteuid(), 0)
    if strange or status.st_mode & stat.S_IWOTH:
        what = "belongs to somebody else" if strange else "may be changed by everybody"
        raise RefusedError(
            f"{path} {what}, and was only found on the way up",
            hint=f"if it is meant, name it, or set {CONFIG_VARIABLE}",
            object_name=str(path),
        )
