"""`holdfast demo --keep` ends with the dashboard of what it left: real sites, signed in with the key that it shows."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from pathlib import Path
from queue import Queue
from typing import IO

import pytest


@pytest.mark.slow
@pytest.mark.skipif("HOLDFAST_LONG" not in os.environ, reason="make long: it takes long")
@pytest.mark.slow
def test_the_kept_demo_is_served_until_it_is_interrupted(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HOLDFAST_")}
    environment |= {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path / "mine"), "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "holdfast.cli.main", "demo", "--dir", str(tmp_path / "demo"), "--keep"]
    command += ["--address", "127.0.0.1:0", "--rpo", "5m", "--rto", "5m", "--json"]  # the machine may be busy
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stderr is not None
    lines: Queue[str] = Queue()

    def listen(stream: IO[str]) -> None:
        for line in stream:
            lines.put(line.rstrip("\n"))
        lines.put("")

    reader = threading.Thread(target=listen, args=(process.stderr,), daemon=True)
    reader.start()
    said: list[str] = []
    try:
        while not said or said[-1] != "Ctrl-C ends it":
            said.append(lines.get(timeout=240))
            assert said[-1], f"it ended: {said}"
        told = "\n".join(said)
        address, key = re.findall(r"^(?:dashboard|sign in) +(\S+)$", told, re.MULTILINE)
        request = urllib.request.Request(f"{address}/index.json", headers={"Authorization": f"Bearer {key}"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            page = json.load(answer)
        [asset] = page["assets"]
        assert asset["asset"] == "demo-lm"
        assert asset["recoverable"] == "yes"
        assert asset["point"]["step"] == 160  # the end of the story, at a site that is left
        assert asset["rto"]["current_seconds"] is not None  # of the rehearsal, which was a real one
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"{address}/index.json", timeout=60)
        assert refused.value.code == 401
        refused.value.close()
        assert (tmp_path / "demo/keys/dashboard.key").stat().st_mode & 0o077 == 0
        assert not (tmp_path / "mine").exists()
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
        reader.join(10)
        assert json.loads(process.stdout.read())["outcome"] == "PASSED"
        while line := lines.get(timeout=10):
            said.append(line)
        assert said[-1].startswith("demo PASSED, objective MET")
    finally:
        process.kill()
        process.wait(10)
        reader.join(10)
        process.stdout.close()
        process.stderr.close()
