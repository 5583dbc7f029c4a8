"""HTML and SVG without templates: text is escaped unless it is `Markup`, so nothing can be forgotten."""

from __future__ import annotations

from html import escape
from typing import TypeAlias

__all__ = ["Markup", "Child", "tag", "join", "visible"]


class Markup(str):
    """Text that is already HTML."""

    __slots__ = ()


Child: TypeAlias = str | Markup

_HARMLESS = "\n\t\N{NO-BREAK SPACE}"
_VOID = {"meta", "br", "hr"}


def tag(name: str, /, *children: Child, **attributes: str | float) -> Markup:
    """An element. Attribute names lose a closing underscore (`class_`) and get hyphens (`aria_label`)."""
    written = "".join(f' {_attribute(key)}="{escape(visible(str(value)))}"' for key, value in attributes.items())
    if name in _VOID:
        return Markup(f"<{name}{written}>")
    return Markup(f"<{name}{written}>{join(*children)}</{name}>")


def join(*children: Child) -> Markup:
    """One after the other, plain text escaped."""
    return Markup("".join(child if isinstance(child, Markup) else escape(visible(child)) for child in children))


def visible(text: str) -> str:
    """The same, with characters that nobody sees, or that turn the text around them, written as their code points.

    Names come from strangers: one with a right-to-left override could show another name than it is.
    """
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() or one in _HARMLESS else f"<U+{ord(one):04X}>" for one in text)


def _attribute(key: str) -> str:
    return key.rstrip("_").replace("_", "-") if key != "viewBox" else key
