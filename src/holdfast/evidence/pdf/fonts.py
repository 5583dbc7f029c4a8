"""Fonts of the PDF, embedded as far as they are used: DejaVu where it is installed, else Vera, which ReportLab brings.

A character that the font has no glyph for is written as its code point: no name becomes empty boxes, and none is lost.
Scripts that want shaping or run from right to left are written like this, too: ReportLab would set them wrongly.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape

from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFError, TTFont

__all__ = ["BODY", "BOLD", "MONO", "load_fonts", "marked_up", "shown"]

BODY, BOLD, MONO = "HoldfastBody", "HoldfastBold", "HoldfastMono"
_FOLDERS: Final = ("/usr/share/fonts/truetype/dejavu", "/usr/share/fonts/dejavu", "/usr/share/fonts/TTF")
_DEJAVU: Final = {BODY: "DejaVuSans.ttf", BOLD: "DejaVuSans-Bold.ttf", MONO: "DejaVuSansMono.ttf"}
_VERA: Final = {BODY: "Vera.ttf", BOLD: "VeraBd.ttf", MONO: "Vera.ttf"}
_TEXT_MAX: Final = 1000  # characters of one cell: what is longer is in evidence.json


@lru_cache(maxsize=1)
def load_fonts() -> str:
    """Register them once; returns their name, for the page that says with what it was made."""
    for folder in _FOLDERS:
        try:
            for name, file in _DEJAVU.items():
                pdfmetrics.registerFont(TTFont(name, str(Path(folder) / file)))
        except (TTFError, OSError):
            continue
        return "DejaVu"
    for name, file in _VERA.items():
        pdfmetrics.registerFont(TTFont(name, file))
    return "Bitstream Vera"


@lru_cache(maxsize=4)
def _glyphs(font: str) -> frozenset[int]:
    return frozenset(pdfmetrics.getFont(font).face.charToGlyph)


def shown(text: str, font: str = BODY) -> str:
    """The text with only characters that this font sets rightly, cut where it is very long."""
    if len(text) > _TEXT_MAX:
        text = f"{text[:_TEXT_MAX]} … ({len(text)} characters; the whole text is in evidence.json)"
    glyphs = _glyphs(font)
    return "".join(one if _is_set_rightly(one, glyphs) else f"<U+{ord(one):04X}>" for one in text)


def _is_set_rightly(one: str, glyphs: frozenset[int]) -> bool:
    if one in " \N{NO-BREAK SPACE}":
        return True
    simple = one.isprintable() and unicodedata.bidirectional(one) not in ("R", "AL") and not unicodedata.combining(one)
    return simple and ord(one) in glyphs


def marked_up(text: str, font: str = BODY) -> str:
    """For a paragraph of ReportLab, whose text is XML."""
    return escape(shown(text, font))
