"""Rates as people write them: bits and bytes, and nothing that may be either."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.config.values import WORDS
from holdfast.errors import UsageError
from holdfast.units import parse_rate


@pytest.mark.parametrize(
    ("text", "bytes_per_second"),
    [("100MiB/s", 100 * 2**20), ("100MB/s", 1e8), ("100Mbit/s", 1.25e7), ("10 Gbit/s", 1.25e9), ("8bit/s", 1.0)],
)
def test_bits_and_bytes(text: str, bytes_per_second: float) -> None:
    assert parse_rate(text) == bytes_per_second
    assert WORDS["rate"].read(text) == bytes_per_second


@pytest.mark.parametrize("text", ["100M", "100Mb/s", "100mbps", "100K", "1G/s", "100Mib/s", "3kb/s", "100Mbps"])
def test_what_may_be_either_is_refused_with_both(text: str) -> None:
    with pytest.raises(UsageError, match=r"may be bits or bytes; write [0-9]+[kMG]bit/s or [0-9]+[kMG]B/s") as caught:
        parse_rate(text)
    for one in re.findall(r"[0-9]+[kMG](?:bit|B)/s", caught.value.message):
        assert parse_rate(one) > 0  # what it proposes is accepted


@pytest.mark.parametrize("text", ["100MiB", "100Mbit", "10"])
def test_a_rate_needs_a_time(text: str) -> None:
    with pytest.raises(UsageError, match="is not a rate"):
        parse_rate(text)


@given(st.text(max_size=20) | st.from_regex(r"[0-9]{1,4} ?[kKMGTPi]{0,2}[bB](it)?/?s?", fullmatch=True))
def test_the_command_line_and_the_file_agree(text: str) -> None:
    """What the file takes, the command line takes for the same; what the command line refuses, the file refuses."""
    try:
        wanted = WORDS["rate"].read(text)
    except UsageError:
        return
    assert parse_rate(text) == wanted
