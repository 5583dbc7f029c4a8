"""What every server for tests tells about itself."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

__all__ = ["Endpoint"]


class Endpoint:
    """Something that `open_store(endpoint.url, options=endpoint.options)` reaches, inside `in_environment()`."""

    @property
    def url(self) -> str:
        """What `open_store` takes; append `/prefix` for a part of it."""
        raise NotImplementedError

    @property
    def options(self) -> Mapping[str, str]:
        """Options for `open_store`."""
        raise NotImplementedError

    @property
    def environment(self) -> Mapping[str, str]:
        """Environment variables that hold the credentials. The same for all endpoints of one class in a process."""
        raise NotImplementedError

    @contextmanager
    def in_environment(self) -> Iterator[None]:
        """Set the credentials in this process's environment, and put back what was there."""
        before = {name: os.environ.get(name) for name in self.environment}
        os.environ.update(self.environment)
        try:
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value
