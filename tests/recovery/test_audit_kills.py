"""Processes that record with one key at the same time, and are killed: what was acknowledged is in the log, once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from holdfast.audit.entries import decode_leaf
from holdfast.stores.local import LocalStore
from holdfast.testing.audit_trials import new_trial_log

_RECORDER = """
import sys, threading
from holdfast.audit.spool import Spool
from holdfast.audit.entries import Actor
from holdfast.stores.local import LocalStore
from holdfast.testing.audit_trials import an_entry
from holdfast.trust.signing import SigningKey, fingerprint

folder, log, private, name = sys.argv[1:]
signer = SigningKey(bytes.fromhex(private))
spool = Spool(LocalStore(folder), log, signer)
actor = Actor(fingerprint=fingerprint(signer.public), label="a", role="writer")

def work(thread):
    for number in range(100_000):
        action = f"p{name}.{thread}.{number}"
        spool.append(an_entry(actor, action))
        sys.stdout.write(action + "\\n")
        sys.stdout.flush()

for thread in range(4):
    threading.Thread(target=work, args=(thread,)).start()
"""


def test_processes_with_one_key_that_are_killed_lose_and_repeat_nothing(tmp_path: Path) -> None:
    world = new_trial_log(LocalStore(tmp_path / "log"), "a")
    private = world.signers["a"].to_bytes().hex()
    said = [tmp_path / f"said{name}" for name in range(3)]
    processes = []
    for name, path in enumerate(said):
        arguments = [sys.executable, "-c", _RECORDER, str(tmp_path / "log"), world.key.name, private, str(name)]
        with path.open("wb") as file:
            processes.append(subprocess.Popen(arguments, stdout=file, stderr=subprocess.PIPE))
    for process, path in zip(processes, said, strict=True):
        while path.stat().st_size < 300:
            assert process.poll() is None, process.communicate()
            world.sequence()
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    world.sequence(grace_seconds=0)
    entries = world.reader().entries(0, world.checkpoint())
    found = Counter(decode_leaf(data, str(at)).entry.action for at, data in entries)
    told = [line for path in said for line in path.read_text().splitlines(keepends=True)]
    acknowledged = {line.strip() for line in told if line.endswith("\n")}
    assert len(acknowledged) > 30
    assert acknowledged <= found.keys()
    assert set(found.values()) == {1}
    assert world.verify().findings == []
