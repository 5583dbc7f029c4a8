"""Decoders of records are made at import, in one thread: eight threads that make one at once crash the process."""

from __future__ import annotations

import subprocess
import sys

import pytest

from holdfast.vault.format import records

THREADS, PROCESSES = 8, 2

# Threads that wait for each other before each type: if anything is left to the first use, they meet there.
_DECODE_AT_ONCE = f"""
import threading
from holdfast.errors import DamageError
from holdfast.vault.format import records

gate, unexpected = threading.Barrier({THREADS}), []

def work():
    for kind in records._Record.__constraints__:
        gate.wait()
        try:
            records.decode_record(b"\\x80", kind, "x")
            unexpected.append(kind)
        except DamageError:
            pass
        except BaseException as error:
            unexpected.append(error)

threads = [threading.Thread(target=work) for _ in range({THREADS})]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert not unexpected, unexpected
"""


def test_every_type_of_record_has_its_decoder_from_the_beginning() -> None:
    kinds = set(records._Record.__constraints__)
    assert kinds and kinds == records._DECODERS.keys()
    for kind in kinds:
        assert records._DECODERS[kind].type is kind


def test_decoding_uses_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever made another decoder at its first use would be back where the crashes were."""
    lease = records.Lease("session", "save", "keeper", "open", 1)
    assert records.decode_record(records.encode_record(lease), records.Lease, "x") == lease
    monkeypatch.delitem(records._DECODERS, records.Lease)
    with pytest.raises(KeyError):
        records.decode_record(records.encode_record(lease), records.Lease, "x")


def test_eight_threads_may_decode_for_the_first_time_at_once() -> None:
    for _ in range(PROCESSES):
        ended = subprocess.run([sys.executable, "-c", _DECODE_AT_ONCE], capture_output=True, text=True, timeout=60)
        assert ended.returncode == 0, ended.stderr or f"it ended with {ended.returncode}"
