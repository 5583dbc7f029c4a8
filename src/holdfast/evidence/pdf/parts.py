"""What the pages of the PDF are made of: headings, tables of terms, tables, a bar for the parts of the RTO."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from reportlab.lib.colors import HexColor
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.platypus import Flowable, Paragraph, Spacer, Table, TableStyle

from holdfast.evidence.pdf.fonts import BODY, BOLD, MONO, marked_up, shown

__all__ = ["BOTTOM", "MARGIN", "STATES", "WIDTH", "Heading", "Parts"]
__all__ += ["facts", "grid", "mono", "note", "state", "text"]

MARGIN: Final = 17 * mm
BOTTOM: Final = 20 * mm
WIDTH: Final = A4[0] - 2 * MARGIN
_INK, _MUTED, _LINE, _FAINT = HexColor("#18202b"), HexColor("#556070"), HexColor("#d5dbe2"), HexColor("#f1f4f7")
STATES: Final = {
    "MET": "#0b6b3a",
    "PASSED": "#0b6b3a",
    "MISSED": "#a3161f",
    "FAILED": "#a3161f",
    "NOT_MEASURED": "#6a4b00",
    "INVALID": "#67299c",
    "STOPPED": "#6a4b00",
    "ERROR": "#67299c",
}
_PHASES: Final = {"detect": "#b3202a", "decide": "#8a5cc2", "execute": "#1f6fc4", "verify": "#1d8a52"}

_TEXT = ParagraphStyle("text", fontName=BODY, fontSize=8.5, leading=11.5, textColor=_INK)
_SMALL = ParagraphStyle("small", parent=_TEXT, fontSize=7.5, leading=9.8)
_NOTE = ParagraphStyle("note", parent=_TEXT, textColor=_MUTED, spaceAfter=4)
_TERM = ParagraphStyle("term", parent=_TEXT, textColor=_MUTED)
_HEAD = ParagraphStyle("head", parent=_SMALL, fontName=BOLD, textColor=_MUTED)
_MONO = ParagraphStyle("mono", parent=_SMALL, fontName=MONO, fontSize=6.8, leading=8.8)
_H1 = ParagraphStyle("h1", fontName=BOLD, fontSize=16, leading=20, textColor=_INK, spaceAfter=4)
_H2 = ParagraphStyle("h2", fontName=BOLD, fontSize=11.5, leading=15, textColor=_INK, spaceBefore=10, spaceAfter=3)
_H3 = ParagraphStyle("h3", fontName=BOLD, fontSize=9, leading=12, textColor=_INK, spaceBefore=6, spaceAfter=2)
_LEVELS: Final = (_H1, _H2, _H3)


class Heading(Paragraph):  # type: ignore[misc]  # reportlab has no types
    """A heading that also stands in the outline of the file, and is not left alone at the foot of a page."""

    def __init__(self, words: str, level: int = 1) -> None:
        style = _LEVELS[level].clone(f"h{level}k", keepWithNext=1)
        super().__init__(marked_up(words, BOLD), style)
        self.words, self.level = shown(words), level

    def draw(self) -> None:
        """Draw it, and note it in the outline."""
        key = f"part{len(getattr(self.canv, '_holdfast_parts', []))}"
        parts = [*getattr(self.canv, "_holdfast_parts", []), key]
        self.canv._holdfast_parts = parts
        self.canv.bookmarkPage(key)
        if self.level < 2:
            self.canv.addOutlineEntry(self.words, key, level=0)
        super().draw()


def text(words: str, *, bold: bool = False, colour: str = "") -> Paragraph:
    """A paragraph of plain text."""
    font = BOLD if bold else BODY
    style = _TEXT.clone("own", fontName=font, textColor=HexColor(colour) if colour else _INK)
    return Paragraph(marked_up(words, font), style)


def note(words: str) -> Paragraph:
    """A remark."""
    return Paragraph(marked_up(words), _NOTE)


def mono(words: str) -> Paragraph:
    """A digest, id or command; breaks anywhere."""
    return Paragraph(marked_up(words, MONO), _MONO)


def state(word: str) -> Paragraph:
    """A state, as a word in its colour."""
    return text(word, bold=True, colour=STATES.get(word, "#18202b"))


def facts(rows: Sequence[tuple[str, str | Flowable]]) -> list[Flowable]:
    """Terms and what they are."""
    if not rows:
        return []
    cells = [[Paragraph(marked_up(term), _TERM), _cell(value, _TEXT)] for term, value in rows]
    table = Table(cells, colWidths=[38 * mm, WIDTH - 38 * mm], splitInRow=1)
    table.setStyle(TableStyle([*_FRAME, ("LINEBELOW", (0, 0), (-1, -1), 0.4, _FAINT)]))
    return [table, Spacer(0, 3)]


_FRAME: Final[list[Any]] = [
    ("VALIGN", (0, 0), (-1, -1), "TOP"),
    ("LEFTPADDING", (0, 0), (-1, -1), 3),
    ("RIGHTPADDING", (0, 0), (-1, -1), 3),
    ("TOPPADDING", (0, 0), (-1, -1), 2),
    ("BOTTOMPADDING", (0, 0), (-1, -1), 2.5),
]


def _cell(value: str | Flowable, style: ParagraphStyle) -> Flowable:
    return Paragraph(marked_up(value), style) if isinstance(value, str) else value


def grid(heads: Sequence[str], rows: Sequence[Sequence[str | Flowable]], shares: Sequence[float]) -> list[Flowable]:
    """A table; `shares`: of the width, one for each column. Heads are repeated on each page."""
    if not rows:
        return []
    whole = sum(shares)
    cells = [[Paragraph(marked_up(head, BOLD), _HEAD) for head in heads]]
    cells += [[_cell(value, _SMALL) for value in row] for row in rows]
    table = Table(cells, colWidths=[WIDTH * one / whole for one in shares], repeatRows=1, splitInRow=1)
    lines = [("LINEBELOW", (0, 0), (-1, 0), 0.8, _LINE), ("LINEBELOW", (0, 1), (-1, -1), 0.4, _FAINT)]
    table.setStyle(TableStyle([*_FRAME, *lines, ("BACKGROUND", (0, 0), (-1, 0), _FAINT)]))
    return [table, Spacer(0, 4)]


class Parts(Flowable):  # type: ignore[misc]  # as above
    """The measured parts of the RTO side by side, to scale, and their names below."""

    def __init__(self, parts: Sequence[tuple[str, float, str]]) -> None:
        """Name, seconds, and the seconds in words."""
        super().__init__()
        self._parts = [(name, max(seconds, 0.0), words) for name, seconds, words in parts]
        self.width, self.height = WIDTH, 30.0

    def wrap(self, _width: float, _height: float) -> tuple[float, float]:
        """Its size."""
        return self.width, self.height

    def draw(self) -> None:
        """A bar, and a legend in equal columns: short parts keep their names readable."""
        total = sum(seconds for _, seconds, _ in self._parts) or 1.0
        left = 0.0
        for place, (name, seconds, words) in enumerate(self._parts):
            wide = self.width * seconds / total
            self.canv.setFillColor(HexColor(_PHASES[name]))
            self.canv.rect(left, 17, wide, 10, stroke=0, fill=1)
            at = self.width * place / len(self._parts)
            self.canv.rect(at, 3, 6, 6, stroke=0, fill=1)
            self.canv.setFillColor(_INK)
            self.canv.setFont(BODY, 8)
            self.canv.drawString(at + 9, 3, shown(f"{name} {words}"))
            left += wide
