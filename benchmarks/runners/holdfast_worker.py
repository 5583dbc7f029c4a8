"""One call of Holdfast's Python API, timed inside its process: `… save|restore VAULT PATH ASSET [--read-back]`."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import holdfast


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("verb", choices=["save", "restore"])
    parser.add_argument("vault")
    parser.add_argument("path", type=Path)
    parser.add_argument("asset")
    parser.add_argument("--read-back", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=Path(options.vault).parent) as folder:
        warm_up(Path(folder))
    vault = holdfast.open(options.vault)
    cpu, began = time.process_time(), time.perf_counter()
    if options.verb == "save":
        vault.save(options.asset, options.path, verify=options.read_back)
    else:
        vault.restore(options.asset, options.path)
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    sys.stdout.write(json.dumps({"seconds": seconds, "cpu_seconds": cpu}))
    return 0


def warm_up(folder: Path) -> None:
    """Save and restore 64 KiB, so that what is imported at first use is there: a trainer that saves has it, too."""
    source = folder / "source"
    source.mkdir()
    (source / "data.bin").write_bytes(bytes(range(256)) * 256)
    vault = holdfast.create(folder / "vault")
    vault.save("warm", source, verify=False)
    vault.restore("warm", folder / "target")


if __name__ == "__main__":
    sys.exit(main())
