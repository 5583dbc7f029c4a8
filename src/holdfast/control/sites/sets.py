"""Sets of stripes among the declared stores: how they are called, and the place of a site that is taken for lost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NoReturn

from holdfast.config.words import Stripes
from holdfast.errors import StoreUnreachableError
from holdfast.stores.protocol import Buffer, Capabilities, ObjectInfo

__all__ = ["LostStore", "is_set_name", "set_name", "stores_of_set", "stripes_of_set"]

_PREFIX = "stripes:"


def set_name(stripes: Stripes, stores: Sequence[str]) -> str:
    """`stripes:2+1:use1/warm,euw4/warm,aps1/warm`: the stores in the order of the set, by their names."""
    return f"{_PREFIX}{stripes}:{','.join(stores)}"


def is_set_name(name: str) -> bool:
    """Whether it names a set, and not a store (`use1/warm`)."""
    return name.startswith(_PREFIX)


def stores_of_set(name: str) -> list[str]:
    """The names of its stores, in their order."""
    return name.split(":", 2)[2].split(",")


def stripes_of_set(name: str) -> Stripes:
    """How it is cut."""
    k, m = name.split(":", 2)[1].split("+")
    return Stripes(int(k), int(m))


class LostStore:
    """Stands where a failed site was: nothing is asked of it, so that it neither gives nor gets anything."""

    def __init__(self, url: str, site: str) -> None:
        self.url = url
        self.capabilities = Capabilities(durable=True, remote=True)
        self._site = site

    def put(self, key: str, data: Buffer | Sequence[Buffer]) -> ObjectInfo:
        self._refuse()

    def create(self, key: str, data: Buffer | Sequence[Buffer]) -> ObjectInfo:
        self._refuse()

    def get(self, key: str) -> bytes:
        self._refuse()

    def get_ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        self._refuse()

    def head(self, key: str) -> ObjectInfo:
        self._refuse()

    def list(self, prefix: str, after: str = "") -> Iterator[ObjectInfo]:
        self._refuse()

    def folders(self, prefix: str) -> Sequence[str]:
        self._refuse()

    def delete(self, key: str) -> None:
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise StoreUnreachableError(
            f"{self._site} is taken for lost",
            hint=f"`holdfast site rebuild {self._site}` brings it back",
            object_name=self.url,
        )
