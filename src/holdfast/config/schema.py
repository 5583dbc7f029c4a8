"""The JSON Schema (2020-12) of `holdfast.yaml`, made from the model: what editors and other programs check.

It says how everything is written. What only a look at the whole file shows (names that mean nothing, promises that
cannot be kept) is left to `holdfast config check`.
"""

from __future__ import annotations

import inspect
import json
import re
from typing import Any

import msgspec.inspect as mi

from holdfast.config.shapes import fields_of, name_of, top_type, word_of
from holdfast.config.values import Word
from holdfast.objectives.retention_rules import Keep

__all__ = ["config_schema", "schema_text"]

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def config_schema() -> dict[str, Any]:
    """Each mapping of the file is a definition, under the name of its struct."""
    definitions: dict[str, Any] = {}
    top = _schema(top_type(), definitions)
    ordered = {name: definitions[name] for name in sorted(definitions)}
    return {"$schema": _DIALECT, "title": "holdfast.yaml", **top, "$defs": ordered}


def schema_text() -> str:
    """As it is published."""
    return json.dumps(config_schema(), indent=2, ensure_ascii=False) + "\n"


def _schema(kind: mi.Type, definitions: dict[str, Any]) -> dict[str, Any]:
    word = word_of(kind)
    if word is not None:
        name = name_of(kind).replace(" ", "-").lower()
        definitions[name] = _word(word)
        return {"$ref": f"#/$defs/{name}"}
    if isinstance(kind, mi.Metadata):
        return _schema(kind.type, definitions)
    if isinstance(kind, mi.StructType):
        return _struct(kind.cls, definitions)
    if isinstance(kind, mi.DictType):
        made = {"type": "object", "additionalProperties": _schema(kind.value_type, definitions)}
        return made | {"propertyNames": _schema(kind.key_type, definitions)}
    if isinstance(kind, mi.VarTupleType):
        item = _schema(kind.item_type, definitions)
        return {"anyOf": [item, {"type": "array", "items": item}]}
    if isinstance(kind, mi.UnionType):
        kinds = [_schema(one, definitions) for one in kind.types if not isinstance(one, mi.NoneType)]
        return kinds[0] if len(kinds) == 1 else {"anyOf": kinds}
    return _plain(kind)


def _plain(kind: mi.Type) -> dict[str, Any]:
    if isinstance(kind, mi.EnumType):
        return {"enum": [one.value for one in kind.cls]}
    if isinstance(kind, mi.LiteralType):
        return {"enum": list(kind.values)}
    if isinstance(kind, mi.BoolType):
        return {"type": "boolean"}
    assert isinstance(kind, mi.IntType)
    limits = {"minimum": kind.ge or 0, "maximum": kind.le if kind.le is not None else 999_999_999}
    return {"type": "integer", **limits}


def _struct(cls: type, definitions: dict[str, Any]) -> dict[str, Any]:
    if cls.__name__ not in definitions:
        definitions[cls.__name__] = {}  # in case that it holds itself
        fields = fields_of(cls)
        made: dict[str, Any] = {"description": _described(cls), "type": "object"}
        made["properties"] = {name: _schema(field.type, definitions) for name, field in fields.items()}
        made |= {"required": [name for name, field in fields.items() if field.required], "additionalProperties": False}
        if issubclass(cls, Keep):
            made["minProperties"] = 1
        definitions[cls.__name__] = made
    return {"$ref": f"#/$defs/{cls.__name__}"}


def _word(word: Word) -> dict[str, Any]:
    text = {"type": "string", "pattern": word.pattern}
    if word.numbers is None:
        return {"description": word.says, **text}
    number = word.numbers if "const" in word.numbers else {"type": word.number_type, **word.numbers}
    return {"description": word.says, **(number if not word.pattern else {"anyOf": [text, number]})}


def _described(cls: type) -> str:
    return re.sub(r"\s+", " ", inspect.getdoc(cls) or "").strip()
