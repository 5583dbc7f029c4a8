"""One verb on a vault in a process of its own, which says how long it took and how much memory it had at most.

Run as a script: `measured_verb.py FOLDER VERB`. FOLDER holds `vault`, `key`, `source` and `out`. Prints JSON.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

from holdfast.stores.local import LocalStore
from holdfast.trust.credentials import decode_credential
from holdfast.vault.vault import Vault, open_vault

__all__ = ["VERBS"]

VERBS = {
    "save": lambda vault, folder: vault.save("model", folder / "source", verify=False),
    "verify": lambda vault, folder: vault.verify("model"),
    "check": lambda vault, folder: vault.check(read_data=True),
    "restore": lambda vault, folder: vault.restore("model", folder / "out"),
}


def open_in(folder: Path) -> Vault:
    key = decode_credential((folder / "key").read_bytes(), "the keeper's key")
    return open_vault(LocalStore(folder / "vault"), key)


def main(folder: Path, verb: str) -> None:
    os.environ["XDG_STATE_HOME"] = str(folder / "state")
    vault = open_in(folder)
    vault.handle.workers = 2  # on any machine: each worker has chunks of its own in memory
    before = resident_most()
    started = time.monotonic()
    VERBS[verb](vault, folder)
    seconds = time.monotonic() - started
    print(json.dumps({"seconds": seconds, "kib_before": before, "kib_most": resident_most()}))


def resident_most() -> int:
    """The most resident memory of this process so far, in KiB. (`ru_maxrss` counts what its parent had, too.)"""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:"))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
