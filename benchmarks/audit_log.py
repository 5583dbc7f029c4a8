"""The audit log under load: entries appended a second, proofs from a log of a million entries, a whole verification.

`python -m benchmarks.audit_log [--entries 1000000] [--folder F] [--store folder,seaweedfs] [--no-verify] [--json]`. On
a folder (in RAM, /dev/shm, unless --folder says otherwise) and on a SeaweedFS of this machine. Entries are real ones in
batches of 1,000, in the log's own name; before them come some of a member: signed, written to the spool by one create
each, then taken into the log. A proof is of entry 1, from a reader that has read nothing yet, checked against the root.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from holdfast.audit.entries import Actor, encode
from holdfast.stores.local import LocalStore
from holdfast.stores.opening import open_store
from holdfast.stores.protocol import Store
from holdfast.testing.audit_trials import TrialLog, an_entry, new_trial_log
from holdfast.testing.servers import SeaweedServer

BATCH = 1_000
MEMBERS = 500
PROOFS = 15


def main() -> int:
    parser = argparse.ArgumentParser(description="Appending to an audit log, proving and verifying.")
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, default=Path("/dev/shm") if Path("/dev/shm").is_dir() else None)
    parser.add_argument("--store", default="folder,seaweedfs")
    parser.add_argument("--no-verify", action="store_true", help="do not read the whole log back at the end")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="holdfast-audit-", dir=options.folder))
    results: dict[str, Any] = {}
    try:
        for name in options.store.split(","):
            with _STORES[name](folder) as store:
                results[name] = measure(store, options.entries, verify=not options.no_verify)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps(results, indent=1) if options.json else "\n".join(_lines(results)))
    return 0


def measure(store: Store, entries: int, *, verify: bool) -> dict[str, float]:
    """Rates in entries a second; proofs in seconds (the median and the worst of some)."""
    log = new_trial_log(store, "member")
    results: dict[str, float] = {"entries": entries, **_members(log), **_direct(log, entries)}
    took = [_timed(lambda: _prove(log, 1)) for _ in range(PROOFS)]
    results |= {"proof": median(took), "slowest proof": max(took)}
    if verify:
        began = time.perf_counter()
        report = log.verify()
        if report.findings:
            raise SystemExit(f"the log is not sound: {report.findings[:3]}")
        results["verified a second"] = report.entries / (time.perf_counter() - began)
    results["objects"] = sum(1 for _ in store.list("audit/"))
    results["bytes"] = sum(info.size for info in store.list("audit/"))
    return results


def _members(log: TrialLog) -> dict[str, float]:
    spool, actor = log.spool("member"), log.actor("member")
    began = time.perf_counter()
    for _ in range(MEMBERS):
        spool.append(an_entry(actor))
    recorded = time.perf_counter()
    if log.sequence().entries != MEMBERS:
        raise SystemExit("not all entries of the member came into the log")
    ended = time.perf_counter()
    return {"recorded a second": MEMBERS / (recorded - began), "sequenced a second": MEMBERS / (ended - recorded)}


def _direct(log: TrialLog, entries: int) -> dict[str, float]:
    """Making the entries counts; so does every signature, and making all of it durable."""
    writer, program = log.writer(), Actor(fingerprint="", label="program", role="log")
    began = time.perf_counter()
    for first in range(MEMBERS, entries, BATCH):
        writer.append([encode(an_entry(program)) for _ in range(min(BATCH, entries - first))])
    took = time.perf_counter() - began
    began = time.perf_counter()
    for _ in range(PROOFS):
        writer.append([encode(an_entry(program))])
    single = time.perf_counter() - began
    return {"appended a second": (entries - MEMBERS) / took, "one alone": single / PROOFS}


def _prove(log: TrialLog, number: int) -> None:
    reader = log.reader()
    signed = reader.get_newest()
    reader.proven_entry(number, signed.checkpoint)


def _timed(do: Callable[[], object]) -> float:
    began = time.perf_counter()
    do()
    return time.perf_counter() - began


@contextmanager
def _folder(folder: Path) -> Iterator[Store]:
    yield LocalStore(folder / "log")


@contextmanager
def _seaweedfs(folder: Path) -> Iterator[Store]:
    with SeaweedServer(folder / "seaweedfs") as server, server.in_environment():
        yield open_store(f"{server.url}/log", options=server.options)


_STORES = {"folder": _folder, "seaweedfs": _seaweedfs}


def _lines(results: dict[str, Any]) -> Iterator[str]:
    for name, measured in results.items():
        yield f"{name}"
        for what, value in measured.items():
            yield f"  {what:20} {value:,.4f}" if value < 10 else f"  {what:20} {value:,.0f}"


if __name__ == "__main__":
    raise SystemExit(main())
