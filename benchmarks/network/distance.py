"""A long line: 100 ms there and back, 100 Mbit/s, without and with losses; Holdfast beside rclone, in one run.

The line is `holdfast.testing.networks`: delay, loss and rate are made in user space, and the queue of the slow line
holds 100 ms. Rates are of what is in the objects; of 100 Mbit/s of IP packets TCP can carry 96.5 at most.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from holdfast.stores.lines.line import Line
from holdfast.stores.lines.terms import LineTerms
from holdfast.stores.opening import open_store
from holdfast.stores.protocol import Store
from holdfast.testing.networks import HERE, Network
from holdfast.testing.servers import SeaweedServer
from holdfast.testing.site_servers import SeaweedAt

LINK = 100e6  # bits per second
LIMIT = 0.93 * LINK / 8  # what the objects may have of it, so that the queue of the link stays empty
STREAMS = 16


def congestion_control() -> str:
    """What the kernel uses where nothing else is asked for."""
    return Path("/proc/sys/net/ipv4/tcp_congestion_control").read_text("ascii").strip()


def distances(folder: Path, objects: int, size: int) -> list[dict[str, Any]]:
    """Each way up, then down, on each line. `objects` of `size` bytes."""
    source = folder / "source"
    source.mkdir(parents=True)
    for number in range(objects):
        (source / f"{number:04}").write_bytes(os.urandom(size))
    rows = []
    with Network("far") as network, SeaweedAt(network["far"], folder / "far") as server, server.in_environment():
        link = network.link(HERE, "far")
        for loss in (0.0, 0.02):
            link.set(delay_s=0.05, bits_per_s=LINK, queue_s=0.1, loss=loss)
            for name, way in _ways(server, folder).items():
                up, down, again = way(f"{loss}/{len(rows)}", source)
                total = objects * size * 8
                row = {"loss": loss, "way": name, "up_mbit": total / up / 1e6, "down_mbit": total / down / 1e6}
                rows.append(row | {"retransmitted": again})
    return rows


_Way = Callable[[str, Path], tuple[float, float, int | None]]


def _ways(server: SeaweedServer, folder: Path) -> Mapping[str, _Way]:
    def direct(prefix: str, source: Path) -> tuple[float, float, int | None]:
        store = open_store(f"{server.url}/{prefix}", options=server.options)
        return *_copied(store, source), None

    def over(terms: LineTerms) -> _Way:
        def copy(prefix: str, source: Path) -> tuple[float, float, int | None]:
            with Line(terms) as line:
                store = line.open_store(f"{server.url}/{prefix}", options=server.options)
                return *_copied(store, source), line.snapshot().retransmitted

        return copy

    ways: dict[str, _Way] = {
        "obstore, no line": direct,
        "line": over(LineTerms("far")),
        "line with a limit": over(LineTerms("far", up=LIMIT, down=LIMIT)),
    }
    if shutil.which("rclone"):
        ways["rclone copy"] = lambda prefix, source: (*_rclone(server, folder, prefix, source), None)
    return ways


def _copied(store: Store, source: Path) -> tuple[float, float]:
    files = sorted(source.iterdir())
    with ThreadPoolExecutor(STREAMS) as pool:
        begun = time.monotonic()
        list(pool.map(lambda file: store.put(file.name, file.read_bytes()), files))
        between = time.monotonic()
        sizes = list(pool.map(lambda file: len(store.get(file.name)), files))
        ended = time.monotonic()
    assert sizes == [file.stat().st_size for file in files]
    return between - begun, ended - between


def _rclone(server: SeaweedServer, folder: Path, prefix: str, source: Path) -> tuple[float, float]:
    settings = {"TYPE": "s3", "PROVIDER": "SeaweedFS", "ENDPOINT": server.endpoint, "NO_CHECK_BUCKET": "true"}
    settings |= {"ACCESS_KEY_ID": server.environment["AWS_ACCESS_KEY_ID"]}
    settings |= {"SECRET_ACCESS_KEY": server.environment["AWS_SECRET_ACCESS_KEY"]}
    # rclone 1.60 does not start where AWS_CA_BUNDLE is set
    environment = {name: value for name, value in os.environ.items() if name != "AWS_CA_BUNDLE"}
    environment |= {f"RCLONE_CONFIG_FAR_{name}": value for name, value in settings.items()}
    there, back = f"far:{server.bucket}/{prefix}", folder / "back" / prefix
    options = ["--transfers", str(STREAMS), "--checkers", str(STREAMS), "--config", "/dev/null"]
    took = []
    for ends in ((str(source), there), (there, str(back))):
        begun = time.monotonic()
        subprocess.run(["rclone", "copy", *ends, *options], env=environment, check=True, stderr=subprocess.DEVNULL)
        took.append(time.monotonic() - begun)
    assert len(list(back.iterdir())) == len(list(source.iterdir()))
    shutil.rmtree(back)
    return took[0], took[1]
