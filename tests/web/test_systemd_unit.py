"""packaging/holdfast.service: started as it says, by a user who may write where it says, and nowhere else.

Needs root, as tests of networks do. `make drill-systemd` has a real systemd start it, with the whole sandbox.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "packaging" / "holdfast.service"
PATHS = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin"  # systemd's own
ASK = """\
import http.client, sys
asked = http.client.HTTPConnection("127.0.0.1", 8440, timeout=30)
headers = {"Authorization": sys.argv[3], "Content-Type": "application/json"}
asked.request(sys.argv[1], sys.argv[2], sys.argv[4] or None, headers)
answer = asked.getresponse()
print(answer.status, answer.read().decode())
"""
# What systemd does for a service without privileges: only its own folders may be written to, and /tmp is its own.
SANDBOX = """\
mkdir -p /var/lib/holdfast /var/cache/holdfast
chown holdfast:holdfast /var/lib/holdfast /var/cache/holdfast
for one in /var/lib/holdfast /var/cache/holdfast; do mount --bind $one $one; done
mount -t tmpfs -o mode=1777 tmpfs /tmp
for one in / /etc /var; do mount -o remount,bind,ro $one; done
if touch /etc/holdfast/x /usr/x /var/x 2>/dev/null; then echo "it could be written to"; exit 1; fi
"""


def unit() -> dict[str, list[str]]:
    """What it says, by name."""
    found: dict[str, list[str]] = {}
    for line in UNIT.read_text().splitlines():
        if line and line[0] not in "#[":
            name, _, value = line.partition("=")
            found.setdefault(name, []).append(value)
    return found


def program(said: dict[str, list[str]]) -> list[str]:
    """The command that starts it as systemd would, in the world of unit_world.sh."""
    user = ["setpriv", "--reuid=holdfast", "--regid=holdfast", "--clear-groups", "--no-new-privs"]
    user += ["--bounding-set=-all", "--inh-caps=-all"]
    environment = [f"PATH={PATHS}", "HOME=/var/lib/holdfast", "USER=holdfast", *said["Environment"]]
    start = f"umask {said['UMask'][0]}; cd {said['WorkingDirectory'][0]}; exec {said['ExecStart'][0]}"
    return ["sh", "-c", f"set -eu\n{SANDBOX}exec {shlex.join(['env', '-i', *environment, *user, 'sh', '-c', start])}"]


class Started:
    """A server in its own network. `log`: what it said."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path, key: str) -> None:
        self.process, self.log, self._key = process, log, key

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Status, and what was answered; 0 where nobody does yet."""
        words = [method, path, f"Bearer {self._key}", "" if body is None else json.dumps(body)]
        inside = ["nsenter", "-t", str(self.process.pid), "-n", "--", sys.executable, "-S", "-c", ASK, *words]
        done = subprocess.run(inside, capture_output=True, text=True, check=False)
        status, _, text = done.stdout.partition(" ")
        return (int(status), json.loads(text)) if done.returncode == 0 else (0, None)

    def wait(self, seconds: float = 60) -> None:
        end = time.monotonic() + seconds
        while self.ask("GET", "/health/live")[0] != 200:
            assert time.monotonic() < end and self.process.poll() is None, self.log.read_text()[-3000:]
            time.sleep(0.2)

    def serves(self) -> None:
        """It answers, reads the stores, and writes to them."""
        assert self.ask("GET", "/health/ready")[1]["ready"] is True
        assert [one["name"] for one in self.ask("GET", "/api/v1/sites")[1]["sites"]] == ["a", "b", "c"]
        alert = {"status": "firing", "fingerprint": "f" * 16, "labels": {"alertname": "Disk"}}
        status, taken = self.ask("POST", "/api/v1/alerts/alertmanager", {"version": "4", "alerts": [alert]})
        assert status == 200 and len(taken["incidents"]) == 1, taken
        assert self.ask("GET", f"/api/v1/incidents/{taken['incidents'][0]}")[0] == 200


@contextmanager
def started(folder: Path, organisation: tuple[Path, dict[str, str]], last: list[str]) -> Iterator[Started]:
    founded, keys = organisation
    log = folder / "log"
    command = ["unshare", "--net", "--mount", "sh", str(Path(__file__).with_name("unit_world.sh"))]
    with log.open("wb") as said:
        process = subprocess.Popen(
            [*command, str(folder), str(founded), str(ROOT), sys.base_prefix, *last], stdout=said, stderr=said
        )
    try:
        yield Started(process, log, keys["owner"])
    finally:
        process.kill()
        process.wait(30)


@pytest.mark.skipif(
    "HOLDFAST_SYSTEMD" not in os.environ, reason="make drill-systemd: the checkout must be open to others"
)
def test_what_the_unit_says_is_started_and_stays_in_its_folders(
    tmp_path: Path, organisation: tuple[Path, dict[str, str]]
) -> None:
    said = unit()
    assert said["StateDirectory"] == said["CacheDirectory"] == said["User"] == ["holdfast"]
    with started(tmp_path, organisation, program(said)) as server:
        server.wait()
        server.serves()
        status = Path(f"/proc/{server.process.pid}/status").read_text()
        assert "Uid:\t64321\t64321\t64321\t64321" in status and "NoNewPrivs:\t1" in status
        assert all(f"{name}:\t{'0' * 16}" in status for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"))
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(int(said["TimeoutStopSec"][0])) == 0, server.log.read_text()[-3000:]
    lines = [json.loads(line) for line in server.log.read_text().splitlines() if line.startswith("{")]
    assert lines and not [one for one in lines if one["level"] == "error"], lines
    assert "Read-only file system" not in server.log.read_text()
    private = tmp_path / "var" / "lib" / "holdfast" / "state" / "holdfast"
    assert private.is_dir() and not [one for one in private.rglob("*") if one.stat().st_mode & 0o077]


# systemd itself as the first process of namespaces of its own: it starts nothing but the unit. Programs that lie in a
# home, as those of a checkout may, are shown to it: on a machine that serves they lie elsewhere.
SYSTEMD = """\
set -eu
mount -t tmpfs tmpfs /run
mount -t tmpfs -o mode=1777 tmpfs /tmp
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mkdir -p /run/systemd/system/holdfast.service.d
cp {unit} /run/systemd/system/holdfast.service
cat > /run/systemd/system/holdfast.service.d/here.conf <<END
[Unit]
DefaultDependencies=no
[Service]
ReadWritePaths=/srv/holdfast
StandardOutput=append:/srv/holdfast/log
StandardError=append:/srv/holdfast/log
ProtectHome=tmpfs
BindReadOnlyPaths={programs}
END
cat > /run/systemd/system/default.target <<END
[Unit]
DefaultDependencies=no
Wants=holdfast.service
END
exec env -i container=other PATH={paths} /lib/systemd/systemd --system --log-target=console --show-status=no
"""


@pytest.mark.skipif("HOLDFAST_SYSTEMD" not in os.environ, reason="make drill-systemd: it needs systemd, and cgroups")
def test_systemd_starts_it_in_its_sandbox_and_starts_it_anew(
    tmp_path: Path, organisation: tuple[Path, dict[str, str]]
) -> None:
    copy = tmp_path / "holdfast.service"
    copy.write_text(UNIT.read_text())
    subprocess.run(["systemd-analyze", "verify", str(UNIT)], check=True)
    judged = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", str(UNIT)], capture_output=True, text=True, check=True
    )
    exposure = float(judged.stdout.rpartition("holdfast.service: ")[2].split()[0])
    assert exposure <= 2.0, judged.stdout
    own = ["unshare", "--pid", "--fork", "--cgroup", "--ipc", "--uts", "--kill-child", "--mount-proc", "--mount"]
    programs = f"{ROOT} {sys.base_prefix}"
    script = SYSTEMD.format(unit="/srv/holdfast.service", paths=PATHS, programs=programs)
    begin = f"cp {copy} /srv/holdfast.service; exec {shlex.join([*own, 'sh', '-c', script])}"
    with started(tmp_path, organisation, ["sh", "-c", begin]) as server:
        server.wait()
        server.serves()
        first = main_process(server)
        status = Path(f"/proc/{first}/status").read_text()
        assert "Uid:\t64321\t64321\t64321\t64321" in status and "NoNewPrivs:\t1" in status
        assert "Seccomp:\t2" in status and f"CapBnd:\t{'0' * 16}" in status
        os.kill(first, signal.SIGKILL)
        end = time.monotonic() + 60
        while main_process(server) in (0, first):
            assert time.monotonic() < end, "it was not started anew"
            time.sleep(0.2)
        server.wait()
        server.serves()
        second = main_process(server)
        stopped = systemctl(server, "stop", "holdfast.service")
        assert stopped.returncode == 0, stopped.stderr
        assert not Path(f"/proc/{second}").exists()
        shown = systemctl(server, "show", "-p", "ExecMainStatus", "-p", "Result", "-p", "NRestarts", "holdfast.service")
        assert set(shown.stdout.split()) == {"ExecMainStatus=0", "Result=success", "NRestarts=1"}


def systemctl(server: Started, *words: str) -> subprocess.CompletedProcess[str]:
    [first] = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()
    inside = ["nsenter", "-t", first, "-m", "-p", "-C", "-i", "-u", "-n", "--", "systemctl", *words]
    return subprocess.run(inside, capture_output=True, text=True, check=False)


def main_process(server: Started) -> int:
    """As this machine numbers it; 0: none."""
    network = os.readlink(f"/proc/{server.process.pid}/ns/net")
    for one in Path("/proc").glob("[0-9]*"):
        try:
            words = (one / "cmdline").read_bytes().split(b"\0")
            here = os.readlink(one / "ns" / "net") == network and "Uid:\t64321" in (one / "status").read_text()
            if here and b"serve" in words:
                return int(one.name)
        except OSError:
            continue
    return 0
