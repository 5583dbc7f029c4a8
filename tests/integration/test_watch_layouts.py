"""A watch by the real clock beside a trainer that writes at the same time saves, byte for byte, what that wrote."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from holdfast.checkpoints.candidates import Candidate
from holdfast.checkpoints.watching import Watcher

STEPS = 4
STALL_SECONDS = 0.15
SETTLE_SECONDS = 0.1  # shorter than a stall: only the marker can tell that a stalled save is not finished


def train(root: Path) -> dict[str, dict[str, bytes]]:
    """Save a few steps, stalling inside each save, in the order of DCP."""
    written: dict[str, dict[str, bytes]] = {}
    for step in range(1, STEPS + 1):
        folder = root / f"step-{step}"
        folder.mkdir(parents=True)
        files = {f"__{rank}_0.distcp": bytes([step, rank]) * 50_000 for rank in range(2)}
        for name, data in files.items():
            with (folder / name).open("wb", buffering=0) as file:
                file.write(data[:40_000])
                time.sleep(STALL_SECONDS)
                file.write(data[40_000:])
        files[".metadata"] = b"\x80\x02" + bytes([step]) + b"."
        (folder / ".metadata.tmp").write_bytes(files[".metadata"])
        time.sleep(STALL_SECONDS)
        (folder / ".metadata.tmp").rename(folder / ".metadata")
        written[folder.name] = files
        time.sleep(STALL_SECONDS)
    return written


def test_every_checkpoint_is_saved_whole_while_the_trainer_goes_on(tmp_path: Path) -> None:
    root = tmp_path / "run"
    saves: list[tuple[str, dict[str, bytes]]] = []

    def save(candidate: Candidate) -> None:
        saves.append((candidate.name, {path.name: path.read_bytes() for path in candidate.path.iterdir()}))

    def watcher() -> Watcher:
        state = tmp_path / "state.json"
        return Watcher(root, save, state_file=state, settle_seconds=SETTLE_SECONDS, interval_seconds=0.05)

    root.mkdir()
    stop = threading.Event()
    watch = threading.Thread(target=lambda: watcher().run(once=False, stop=stop))
    watch.start()
    try:
        written = train(root)
    finally:
        stop.set()
        watch.join(timeout=30)
    assert not watch.is_alive()
    last = watcher().run(once=True, stop=threading.Event())
    assert dict(saves) == written
    assert len(saves) == STEPS
    assert (last.failed, last.waiting, last.vanished) == ((), (), ())
