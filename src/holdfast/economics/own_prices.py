"""A price book of the user's own: a YAML file (or JSON, which is YAML) with only the rows that differ.

The schema is that of the book that comes with the package. What is not understood is an error with file and line.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import Any

from holdfast.economics.book import PriceBook, load_list_prices, with_own_prices
from holdfast.errors import NotFoundError, UsageError
from holdfast.strict_yaml import YAML_BYTES_MAX, StrictYaml, parse_strictly

__all__ = ["book_with", "parse_own_prices", "read_own_prices"]

_HINT = "docs/economics.md has an example"


def book_with(path: Path | None) -> PriceBook:
    """The list prices that come with the package, with the rows of a file in place of theirs. Raises UsageError,
    NotFoundError.
    """
    book = load_list_prices()
    return book if path is None else with_own_prices(book, read_own_prices(path))


def read_own_prices(path: Path) -> PriceBook:
    """Raises NotFoundError where there is no such file, UsageError that names file and line."""
    try:
        with path.open("rb") as file:
            data = file.read(YAML_BYTES_MAX + 1)
    except FileNotFoundError:
        raise NotFoundError(f"there is no price book {path}", object_name=str(path)) from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror})", object_name=str(path)) from error
    return parse_own_prices(data, str(path))


def parse_own_prices(data: bytes, name: str) -> PriceBook:
    """What the file called `name` says. Raises UsageError that names the line."""
    book = parse_strictly(data, PriceBook, name, _HINT, decimals=True)
    file = StrictYaml(name, _HINT)
    rows = {key.value: value for key, value in file.compose(file.decode(data)).value}
    try:
        date.fromisoformat(book.as_of)
    except ValueError:
        file.fail(rows["as_of"], f"`{book.as_of[:40]}` is no day: write YYYY-MM-DD")
    _once(file, rows["storage"], ((row.name, row.region) for row in book.storage))
    _once(file, rows["transfer"], ((row.cloud, row.to) for row in book.transfer))
    return book


def _once(file: StrictYaml, rows: Any, keys: Iterable[tuple[str, str]]) -> None:
    seen: set[tuple[str, str]] = set()
    for row, key in zip(rows.value, keys, strict=True):
        if key in seen:
            file.fail(row, f"there are two rows for {key[0]} in {key[1]}")
        seen.add(key)
