"""Names come from strangers: what is hostile, very long or in any script breaks neither the page nor the PDF."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import msgspec
import pypdfium2
import pytest
from factory import example_evidence
from runs import example_drill, example_run, example_setting

from holdfast.evidence.evidence_page import Seal, render_page
from holdfast.evidence.pdf.document import render_pdf
from holdfast.evidence.pdf.fonts import BODY, load_fonts, shown
from holdfast.evidence.record import Evidence
from holdfast.evidence.recording import record_of

SEAL = Seal(sha256="ab" * 32, signer="cd" * 16, suite="Ed25519 + ML-DSA-65")
HOSTILE = [
    '<script>alert(\'"&x")</script><img src=x onerror=alert(1)>',
    "</style></svg><svg onload=alert(1)>",
    'javascript:alert(1)"onmouseover="alert(1)',
    "<para><font color=red>&amp;&#x26;<b>",
    "\u202egnp.exe\u200b\x00\x1b[31m",
    "中文 العربية עברית Ελληνικά Ж é́ 👩🏽‍🚀",
    "x" * 20_000,
    "",
]


def spoilt(record: Evidence, text: str) -> Evidence:
    """The record with every free text replaced."""

    def spoil(value: object) -> object:
        if isinstance(value, msgspec.Struct):
            fields = {name: spoil(getattr(value, name)) for name in value.__struct_fields__}
            return type(value)(**fields)
        if isinstance(value, tuple):
            return tuple(spoil(item) for item in value)
        return text if type(value) is str else value

    found = spoil(record)
    assert isinstance(found, Evidence)
    return found


def whole() -> Evidence:
    """A record in which every section has something."""
    return record_of(example_run(), example_setting(), example_drill())


class Elements(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.attributes: set[str] = set()
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.attributes |= {name for name, _ in attrs}


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize("make", [whole, example_evidence], ids=["run", "demo"])
def test_nothing_in_a_record_becomes_part_of_the_page(text: str, make: object) -> None:
    assert callable(make)
    usual, page = Elements(render_page(make(), SEAL)), render_page(spoilt(make(), text), SEAL)
    found = Elements(page)
    assert found.names <= usual.names | {"p", "ul", "li"}
    assert not [name for name in found.attributes if name.startswith("on") or name in ("src", "href", "style")]
    assert "<script" not in page and "\x00" not in page and "\u202e" not in page and "\x1b" not in page


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_the_pdf_takes_any_text(text: str) -> None:
    pdf = pypdfium2.PdfDocument(render_pdf(spoilt(whole(), text), SEAL))
    try:
        assert len(pdf) >= 3
        words = "".join(page.get_textpage().get_text_range() for page in pdf)
    finally:
        pdf.close()
    assert "Integrity" in words and "Trust" in words


def test_the_pdf_says_what_the_record_says_and_is_the_same_each_time() -> None:
    record = whole()
    content = render_pdf(record, SEAL)
    assert content == render_pdf(record, SEAL)
    pdf = pypdfium2.PdfDocument(content)
    try:
        words = re.sub(r"\s+", "", "".join(page.get_textpage().get_text_range() for page in pdf))
        titles = [item.get_title() for item in pdf.get_toc()]
    finally:
        pdf.close()
    for told in (record.identity.record_id, SEAL.sha256, record.results.recovery_point, "9.0s", "DORA", "monthly"):
        assert told.replace(" ", "") in words, told
    assert [title.split()[0] for title in titles if title[0].isdigit()] == [str(n) for n in range(1, 13)]
    assert b"/FontFile2" in content  # embedded


def test_characters_without_a_glyph_are_written_as_what_they_are() -> None:
    load_fonts()
    assert shown("naïve", BODY) == "naïve"
    assert shown("中\N{RIGHT-TO-LEFT OVERRIDE}ש", BODY) == "<U+4E2D><U+202E><U+05E9>"
    assert shown("y" * 5000).endswith("evidence.json)")
