"""The things whose bytes are saved: files on disk, and arrays in memory dressed as safetensors files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import NamedTuple, Protocol

from holdfast.errors import FailedError, PermissionDeniedError, SourceChangedError
from holdfast.vault.regions.holes import file_holes, punch
from holdfast.vault.regions.model import Layout, Source
from holdfast.vault.regions.propose import propose_layout
from holdfast.vault.regions.source import FileSource
from holdfast.vault.saving.tree import Item, check_unchanged, component_of

__all__ = ["Content", "FileContent", "Opened"]


class Opened(NamedTuple):
    """An opened content: its bytes, and what a parser proposes about them."""

    source: Source
    layout: Layout


class Content(Protocol):
    """One file to be saved."""

    @property
    def relative(self) -> bytes: ...
    @property
    def component(self) -> str: ...
    @property
    def mode(self) -> int: ...
    @property
    def mtime_ns(self) -> int: ...
    @property
    def size(self) -> int: ...
    @property
    def local_path(self) -> str:
        """Where the bytes can be found again on this machine; empty when nowhere."""
        ...

    def open(self) -> AbstractContextManager[Opened]:
        """A context manager that gives `Opened` and on leaving raises SourceChangedError if the content changed."""
        ...


class FileContent:
    """A regular file of a walked tree."""

    def __init__(self, item: Item) -> None:
        self._item = item
        self.relative = item.relative
        self.component = component_of(item.relative)
        self.mode = item.stat.st_mode & 0o7777
        self.mtime_ns = item.stat.st_mtime_ns
        self.size = item.size
        self.local_path = str(item.path.absolute())

    @contextmanager
    def open(self) -> Iterator[Opened]:
        """Raises PermissionDeniedError, SourceChangedError, FailedError."""
        path = self._item.path
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError as error:
            raise SourceChangedError(f"{path} vanished while it was saved", object_name=str(path)) from error
        except PermissionError as error:
            raise PermissionDeniedError(f"{path} may not be read", object_name=str(path)) from error
        except OSError as error:
            raise FailedError(f"{path} cannot be opened ({error.strerror})", object_name=str(path)) from error
        try:
            # Through a page that is dirty already, a mapped file changes without a new time. Clean pages are noticed.
            with suppress(OSError):  # where nothing can be written there is nothing dirty
                os.fdatasync(descriptor)
            check_unchanged(self._item, os.fstat(descriptor))
            source = FileSource(descriptor)
            layout = propose_layout(source, os.fsdecode(self.relative))
            yield Opened(source, punch(layout, file_holes(descriptor, self.size)))
            check_unchanged(self._item, os.fstat(descriptor))
        except OSError as error:
            raise FailedError(f"{path} cannot be read ({error.strerror})", object_name=str(path)) from error
        except (SourceChangedError, FailedError) as error:
            # Sources and cutters read descriptors, and do not know of what.
            if type(error) not in (SourceChangedError, FailedError) or error.object_name:
                raise
            raise type(error)(f"{path}: {error.message}", object_name=str(path)) from error
        finally:
            os.close(descriptor)
