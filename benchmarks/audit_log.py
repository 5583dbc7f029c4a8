"""The audit log under load: entries appended a second, proofs from a log of a million entries, a whole verification.

`python -m benchmarks.audit_log [--entries 1000000] [--folder F] [--store folder,seaweedfs] [--no-verify] [--json]`. On
a folder (in RAM, /dev/shm, unless --folder says otherwise; each object is flushed to the disk) and on a SeaweedFS of
this machine. Entries are real ones in batches of 1,000, in the log's own name. Before them come some of a member,
through the journal: from one thread, which waits for each, and from several, whose entries are grouped; then they are
taken into the log. Beside that stands what the store itself does: objects of that size created one after the other. A
proof is of entry 1, from a reader that has read nothing yet, checked against the root; and once more as a process of
its own, from its start to its end.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from holdfast.audit.entries import Actor, encode
from holdfast.audit.journal import NameHasher, StoreJournal
from holdfast.stores.local import LocalStore
from holdfast.stores.opening import open_store
from holdfast.stores.protocol import Store
from holdfast.testing.audit_trials import TrialLog, an_entry, new_trial_log
from holdfast.testing.servers import SeaweedServer

BATCH = 1_000
ALONE = 200  # entries of a member, one after the other
THREADS = (4, 8, 16, 32)
GROUPED = 100  # entries of each thread
MEMBERS = ALONE + GROUPED * sum(THREADS)
OBJECT_BYTES = 5_000  # as an entry of a member has
PROOFS = 15

_PROVER = """
import json, os, sys
from holdfast.audit.reading import LogReader
from holdfast.audit.verifier_keys import parse_vkey
from holdfast.stores.opening import open_store
url, options, origin, *keys = sys.argv[1:]
reader = LogReader(open_store(url, options=json.loads(options)), origin, [parse_vkey(one) for one in keys])
reader.proven_entry(1, reader.get_newest().checkpoint)
"""


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
            with _STORES[name](folder) as (store, opened_with):
                results[name] = measure(store, options.entries, verify=not options.no_verify, options=opened_with)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps(results, indent=1) if options.json else "\n".join(_lines(results)))
    return 0


def measure(store: Store, entries: int, *, verify: bool, options: Mapping[str, str]) -> dict[str, float]:
    """Rates in entries a second; proofs in seconds (the median and the worst of some)."""
    log = new_trial_log(store, "member")
    results: dict[str, float] = {"entries": entries, "objects created a second": _limit(store)}
    results |= {**_members(log), **_direct(log, entries)}
    took = [_timed(lambda: _prove(log, 1)) for _ in range(PROOFS)]
    results |= {"proof": median(took), "slowest proof": max(took)}
    took = [_timed(lambda: _prove_as_process(log, options)) for _ in range(PROOFS)]
    results |= {"proof as a process": median(took), "slowest proof as a process": max(took)}
    if verify:
        began = time.perf_counter()
        report = log.verify()
        if report.findings:
            raise SystemExit(f"the log is not sound: {report.findings[:3]}")
        results["verified a second"] = report.entries / (time.perf_counter() - began)
    results["objects"] = sum(1 for _ in store.list("audit/"))
    results["bytes"] = sum(info.size for info in store.list("audit/"))
    return results


def _limit(store: Store) -> float:
    """What no spool that waits for each entry can be faster than."""
    data = os.urandom(OBJECT_BYTES)
    began = time.perf_counter()
    for number in range(ALONE):
        store.create(f"limit/{number}", data)
    return ALONE / (time.perf_counter() - began)


def _members(log: TrialLog) -> dict[str, float]:
    actor = log.actor("member")
    journal = StoreJournal(actor, log.spool("member").append, hasher=NameHasher(bytes(32)))
    results = {}
    for threads in (1, *THREADS):
        each = GROUPED if threads > 1 else ALONE
        workers = [threading.Thread(target=_record, args=(journal, each)) for _ in range(threads)]
        began, cpu = time.perf_counter(), time.process_time()
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        took = time.perf_counter() - began
        results[f"recorded a second, {threads} threads"] = each * threads / took
        if threads == 1:
            results |= {"one record": took / each, "processor time of one": (time.process_time() - cpu) / each}
    began = time.perf_counter()
    if log.sequence().entries != MEMBERS:
        raise SystemExit("not all entries of the member came into the log")
    return results | {"sequenced a second": MEMBERS / (time.perf_counter() - began)}


def _record(journal: StoreJournal, count: int) -> None:
    for _ in range(count):
        journal.record(
            "save", names={"asset": "llama"}, objects={"snapshot": "01hf7yat00000g40r40m30e209"}, required=True
        )


def _prove_as_process(log: TrialLog, options: Mapping[str, str]) -> None:
    keys = [key.vkey for key in log.key.keys]
    arguments = [log.store.url, json.dumps(dict(options)), log.key.name, *keys]
    subprocess.run([sys.executable, "-c", _PROVER, *arguments], check=True, timeout=60)


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
def _folder(folder: Path) -> Iterator[tuple[Store, Mapping[str, str]]]:
    yield LocalStore(folder / "log"), {}


@contextmanager
def _seaweedfs(folder: Path) -> Iterator[tuple[Store, Mapping[str, str]]]:
    with SeaweedServer(folder / "seaweedfs") as server, server.in_environment():
        yield open_store(f"{server.url}/log", options=server.options), server.options


_STORES = {"folder": _folder, "seaweedfs": _seaweedfs}


def _lines(results: dict[str, Any]) -> Iterator[str]:
    for name, measured in results.items():
        yield f"{name}"
        for what, value in measured.items():
            yield f"  {what:32} {value:,.4f}" if value < 10 else f"  {what:32} {value:,.0f}"


if __name__ == "__main__":
    raise SystemExit(main())
