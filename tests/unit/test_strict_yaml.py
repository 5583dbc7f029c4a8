"""YAML of people: what is not understood is refused with its line, and nothing but UsageError comes out."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from yaml.nodes import MappingNode

from holdfast.errors import UsageError
from holdfast.strict_yaml import YAML_BYTES_MAX, StrictYaml, line_of, parse_strictly

FILE = StrictYaml("f.yaml", "see the page")


class Inner(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    number: int = 0


class Shape(msgspec.Struct, forbid_unknown_fields=True):
    inner: list[Inner]
    flag: bool = False


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("a: 1\nb: &x 2\n", 2, "anchors and aliases"),
        ("a: 1\nb: *x\n", 2, "anchors and aliases"),
        ("a: 1\nb: !!python/object:os.system {}\n", 2, "tags are not understood"),
        ("a: [1, 2\n", 2, "no YAML: expected"),
        ("a: 1\n\tb: 2\n", 2, "no YAML"),
        ("a: 1\n---\nb: 2\n", 2, "a second document begins here"),
        ("a: 1\nb: \x07\n", 2, "no YAML: special characters are not allowed"),
        ("a: 1\n" + "- [" * 20, 2, "no YAML"),
        ("a: " + "[" * 20, 1, "nested too deeply"),
        # What PyYAML answers with something else than its own errors.
        ('a: 1\nb: "\\UFFFFFFFF"\n', 2, "no YAML: a number is too large"),
        ("%YAML " + "9" * 5000 + ".1\n---\na: 1\n", 1, "no YAML: a number is too large"),
        ('a: 1\nb: "\\ud800"\n', 2, "no text in Unicode"),
    ],
)
def test_what_is_no_plain_yaml_is_refused_with_its_line(text: str, line: int, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        FILE.compose(text)
    assert caught.value.message.startswith(f"f.yaml, line {line}: ")
    assert said in caught.value.message
    assert caught.value.hint == "see the page"


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n"])
def test_a_file_without_content_is_empty(text: str) -> None:
    if text == "---\n":
        assert FILE.compose(text) is not None  # a document of nothing: `null`
        return
    with pytest.raises(UsageError, match=r"^f\.yaml is empty$"):
        FILE.compose(text)


def test_bytes_are_bounded_and_utf8() -> None:
    assert FILE.decode(b"a: \xc3\xa9") == "a: é"
    with pytest.raises(UsageError, match=r"^f\.yaml, line 2: this is not UTF-8$"):
        FILE.decode(b"a: 1\nb: \xff\n")
    with pytest.raises(UsageError, match="more than 256 KiB"):
        FILE.decode(b" " * (YAML_BYTES_MAX + 1))


def test_nodes_know_their_lines() -> None:
    top = FILE.compose("a: 1\nb:\n  c: 2\n")
    assert isinstance(top, MappingNode)
    assert [line_of(key) for key, _ in top.value] == [1, 2]
    with pytest.raises(UsageError, match=r"^f\.yaml, line 3: not so$"):
        FILE.fail(top.value[1][1], "not so")


def test_a_type_is_filled() -> None:
    found = parse_strictly(b'inner:\n- {name: a, number: 3}\n- name: "007"\nflag: true\n', Shape, "f.yaml")
    assert found == Shape([Inner("a", 3), Inner("007")], True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("inner:\n- name: a\n  nmae: b\n", "f.yaml, line 3: inner[...]: nothing is called `nmae`"),
        ("inner:\n- {}\n", "f.yaml, line 1: inner[0]: this lacks `name`"),
        ("inner:\n- name: a\nflag: 3\n", "f.yaml, line 3: flag: expected `bool`, got `int`"),
        ("inner: []\ninner: []\n", "f.yaml, line 2: `inner` stands here twice"),
        ("? [a]\n: 1\n", "f.yaml, line 1: a name was expected here"),
    ],
)
def test_what_the_type_does_not_allow_names_the_line(text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_strictly(text.encode(), Shape, "f.yaml")
    line = message.partition(":")[0]
    assert caught.value.message.partition(":")[0].rpartition(" ")[0] == line.rpartition(" ")[0]
    assert caught.value.message.rpartition(": ")[2] == message.rpartition(": ")[2]


@given(st.one_of(st.binary(max_size=200), st.text(max_size=200).map(lambda text: text.encode(errors="replace"))))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        parse_strictly(data, Shape, "f.yaml")
    except UsageError as error:
        assert error.message.startswith("f.yaml")
