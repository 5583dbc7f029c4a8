"""What is secret does not wander: objects that hold private keys show nothing and are never pickled."""

from __future__ import annotations

from typing import NoReturn, SupportsIndex

from holdfast.errors import RefusedError

__all__ = ["Private"]


class Private:
    """Base of objects that hold secrets. `repr` names only the type; pickling and deep copies are refused."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        # A pickle ends in caches, logs and other processes, in clear, with nobody having asked for it.
        raise RefusedError(
            f"a {type(self).__name__} is never pickled or deep-copied",
            hint="hand on the path of its key file, and load it where it is used",
        )

    def __reduce__(self) -> NoReturn:
        self.__reduce_ex__(2)
