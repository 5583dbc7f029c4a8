"""Secrets under a passphrase: what opens, what does not, and what a forged blob cannot make us do."""

from __future__ import annotations

import subprocess
import sys

import pytest

from holdfast.errors import DamageError, UnsupportedFormatError, UsageError, WrongKeyError
from holdfast.trust.passphrase import OVERHEAD, RECOMMENDED, Cost, unwrap_with_passphrase, wrap_with_passphrase

CHEAP = Cost(passes=1, lanes=1, memory_kib=8)
INFO = b"holdfast test\0epoch 1"
SECRET = bytes(range(96))
WRAPPED = wrap_with_passphrase("correct horse", SECRET, INFO, cost=CHEAP)


def test_the_default_cost_is_the_second_recommended_one_and_is_stored() -> None:
    assert Cost(passes=3, lanes=4, memory_kib=65536) == RECOMMENDED
    wrapped = wrap_with_passphrase("correct horse", SECRET, INFO)
    assert wrapped[:8] == bytes([1, 4, 3, 0, 0, 0, 1, 0])
    assert unwrap_with_passphrase("correct horse", wrapped, INFO) == SECRET


def test_round_trip_and_size() -> None:
    assert len(WRAPPED) == len(SECRET) + OVERHEAD == len(SECRET) + 40
    assert SECRET not in WRAPPED
    assert unwrap_with_passphrase("correct horse", WRAPPED, INFO) == SECRET
    assert wrap_with_passphrase("correct horse", SECRET, INFO, cost=CHEAP) != WRAPPED


@pytest.mark.parametrize("passphrase", ["correct hors", "correct horse ", "Correct horse", "x"])
def test_a_wrong_passphrase(passphrase: str) -> None:
    with pytest.raises(WrongKeyError) as caught:
        unwrap_with_passphrase(passphrase, WRAPPED, INFO)
    assert caught.value.hint
    assert passphrase not in str(caught.value).split()


def test_another_info_does_not_open() -> None:
    with pytest.raises(WrongKeyError):
        unwrap_with_passphrase("correct horse", WRAPPED, INFO + b"\0")


@pytest.mark.parametrize("position", [8, 23, 24, 119, 120, 135])
def test_changed_salt_ciphertext_or_tag_do_not_open(position: int) -> None:
    changed = bytearray(WRAPPED)
    changed[position] ^= 1
    with pytest.raises(WrongKeyError):
        unwrap_with_passphrase("correct horse", bytes(changed), INFO)


def test_one_passphrase_in_two_unicode_forms_is_one() -> None:
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    assert composed != decomposed
    wrapped = wrap_with_passphrase(composed, SECRET, INFO, cost=CHEAP)
    assert unwrap_with_passphrase(decomposed, wrapped, INFO) == SECRET


def test_a_passphrase_that_is_none() -> None:
    for passphrase, what in (("", "empty"), ("pass\udcffword", "Unicode")):
        with pytest.raises(UsageError, match=what):
            wrap_with_passphrase(passphrase, SECRET, INFO, cost=CHEAP)
        with pytest.raises(UsageError, match=what) as caught:
            unwrap_with_passphrase(passphrase, WRAPPED, INFO)
        assert caught.value.__context__ is None, "a UnicodeEncodeError would carry the passphrase"


@pytest.mark.parametrize(
    "cost",
    [
        Cost(0, 1, 8),
        Cost(17, 1, 8),
        Cost(1, 0, 8),
        Cost(1, 17, 1024),
        Cost(1, 1, 7),
        Cost(1, 4, 31),
        Cost(1, 1, (1 << 20) + 1),
        Cost(1, 1, 100 << 20),
    ],
)
def test_impossible_and_excessive_costs_are_refused_before_any_work(cost: Cost) -> None:
    forged = bytearray(WRAPPED)
    forged[1] = cost.lanes
    forged[2:4] = cost.passes.to_bytes(2, "little")
    forged[4:8] = cost.memory_kib.to_bytes(4, "little")
    with pytest.raises(DamageError, match="impossible or excessive"):
        unwrap_with_passphrase("correct horse", bytes(forged), INFO)
    with pytest.raises(UsageError, match="cost"):
        wrap_with_passphrase("correct horse", SECRET, INFO, cost=cost)


def test_cut_and_later_blobs() -> None:
    with pytest.raises(DamageError, match="at least 40 bytes, not 39"):
        unwrap_with_passphrase("correct horse", WRAPPED[:39], INFO)
    with pytest.raises(UnsupportedFormatError, match="version 2"):
        unwrap_with_passphrase("correct horse", b"\x02" + WRAPPED[1:], INFO)


def test_missing_memory_is_one_clear_error() -> None:
    script = """
import pathlib, resource
from holdfast.errors import FailedError
from holdfast.trust.passphrase import wrap_with_passphrase
used = int(pathlib.Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (24 << 20),) * 2)
try:
    wrap_with_passphrase("correct horse", b"secret", b"")
except FailedError as error:
    print(error, "|", error.hint)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == (
        "there is not enough memory to use a passphrase (64 MiB are needed) | free some memory, or use a key file\n"
    )
