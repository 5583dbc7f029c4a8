"""HTML and SVG without templates: text is escaped unless it is `Markup`, so nothing can be forgotten."""

from __future__ import annotations

from html import escape
from typing import TypeAlias

__all__ = ["Markup", "Child", "tag", "join"]


class Markup(str):
    """Text that is already HTML."""

    __slots__ = ()


Child: TypeAlias = str | Markup

_VOID = {"meta", "br", "hr"}


def tag(name: str, /, *children: Child, **attributes: str | float) -> Markup:
    """An element. Attribute names lose a closing underscore (`class_`) and get hyphens (`aria_label`)."""
    written = "".join(f' {_attribute(key)}="{escape(str(value))}"' for key, value in attributes.items())
    if name in _VOID:
        return Markup(f"<{name}{written}>")
    return Markup(f"<{name}{written}>{join(*children)}</{name}>")


def join(*children: Child) -> Markup:
    """One after the other, plain text escaped."""
    return Markup("".join(child if isinstance(child, Markup) else escape(child) for child in children))


def _attribute(key: str) -> str:
    return key.rstrip("_").replace("_", "-") if key != "viewBox" else key
