"""The model as a tree of types, for those who walk it: the reader (`reading.py`) and the JSON Schema (`schema.py`)."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import msgspec.inspect as mi

from holdfast.config.model import Config
from holdfast.config.values import SCALARS, WORDS, Word
from holdfast.objectives.retention_rules import Keep

__all__ = ["Field", "fields_of", "name_of", "word_of", "top_type"]


class Field(NamedTuple):
    """One name of a mapping. `attribute` is what the struct calls it."""

    name: str
    attribute: str
    type: mi.Type
    required: bool


@cache
def top_type() -> mi.Type:
    """That of the whole file."""
    return mi.type_info(Config)


@cache
def fields_of(cls: type) -> dict[str, Field]:
    """The names that a mapping can have that is to be this struct."""
    found = {}
    struct = mi.type_info(cls)
    assert isinstance(struct, mi.StructType)
    for one in struct.fields:
        kind = one.type
        if issubclass(cls, Keep) and one.name == "within":
            kind = mi.Metadata(mi.StrType(), extra={"word": "within"})
        found[one.encode_name] = Field(one.encode_name, one.name, kind, one.required)
    return found


def word_of(kind: mi.Type) -> Word | None:
    """How a value of this type is written, where it is one word with a form of its own."""
    if isinstance(kind, mi.Metadata):
        return WORDS.get(name_of(kind))
    return SCALARS.get(kind.cls) if isinstance(kind, mi.StructType) else None


def name_of(kind: mi.Type) -> str:
    """What a word, or a mapping, is called; empty for other types."""
    if isinstance(kind, mi.Metadata):
        return str((kind.extra or {}).get("word", ""))
    return kind.cls.__name__ if isinstance(kind, mi.StructType) else ""
