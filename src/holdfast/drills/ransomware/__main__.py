"""`python -m holdfast.drills.ransomware`: the drill on real servers, with the lock and without, and what it took.

Exit code 0: with the lock everything older than the attack came back, without it nothing did.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from holdfast.drills.ransomware.drill import Outcome, Setting, run_drill
from holdfast.drills.ransomware.surface import S3Surface
from holdfast.stores.protocol import Store
from holdfast.stores.retention.opening import open_lockable
from holdfast.stores.retention.port import Period, parse_period
from holdfast.testing.lockable_servers import ORDINARY_ENVIRONMENT, LockingSeaweed, MotoLockServer, s3_client
from holdfast.testing.workspace import own_memory
from holdfast.units import format_duration, format_size

_SHOWN = (
    ("find_s", "newest whole moment found, by the versions alone"),
    ("first_s", "newest snapshot restored straight from old versions"),
    ("plan_s", "plan: versions listed, vault of then checked"),
    ("apply_s", "older versions made current, the rest set aside"),
    ("relock_s", "everything locked again"),
    ("check_s", "vault check, every byte read"),
    ("restore_s", "all snapshots restored and compared"),
)


def main(arguments: list[str] | None = None) -> int:
    """Play the drill as the command line says. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m holdfast.drills.ransomware", description=__doc__)
    parser.add_argument("--server", choices=("seaweedfs", "moto", "both"), default="both")
    parser.add_argument("--lock", default="30d", help="how the vault is locked (30d, 30d:compliance)")
    parser.add_argument("--snapshots", type=int, default=4)
    parser.add_argument("--megabytes", type=float, default=8.0, help="size of the training state")
    parser.add_argument("--json", action="store_true", help="one object per drill on stdout")
    given = parser.parse_args(arguments)
    names = ("seaweedfs", "moto") if given.server == "both" else (given.server,)
    good = True
    os.environ.update(ORDINARY_ENVIRONMENT)
    with tempfile.TemporaryDirectory(prefix="holdfast-drill-") as scratch:
        for name in names:
            folder = Path(scratch) / name
            with LockingSeaweed(folder / "server") if name == "seaweedfs" else MotoLockServer() as server:
                for lock in (parse_period(given.lock), None):
                    done = _play(server, folder / ("locked" if lock else "open"), lock, given)
                    as_wanted = done.succeeded if lock else not done.succeeded and not done.restored
                    good = good and as_wanted
                    _tell(name, done, lock, as_wanted, as_json=given.json)
    return 0 if good else 1


def _play(
    server: LockingSeaweed | MotoLockServer, folder: Path, lock: Period | None, given: argparse.Namespace
) -> Outcome:
    bucket = server.new_bucket()

    def opened() -> Store:
        return open_lockable(f"s3://{bucket}/vault", options=server.options)

    surface = S3Surface(
        s3_client(server.endpoint, ORDINARY_ENVIRONMENT),
        bucket,
        "vault/",
        claims_bypass=isinstance(server, LockingSeaweed),  # moto would believe it
    )
    setting = Setting(opened, surface, lock, snapshots=given.snapshots, megabytes=given.megabytes)
    with own_memory(folder / "memory"):
        return run_drill(setting, folder)


def _tell(name: str, done: Outcome, lock: Period | None, as_wanted: bool, *, as_json: bool) -> None:
    if as_json:
        record: dict[str, Any] = {
            "server": name,
            "locked": lock is not None,
            "as_wanted": as_wanted,
            **done._asdict(),
            "damage": done.damage._asdict(),
            "succeeded": done.succeeded,
        }
        sys.stdout.write(json.dumps(record) + "\n")
        return
    damage = done.damage
    lines = [
        f"{name}, {'locked' if lock else 'NOT LOCKED'}: {'as it must be' if as_wanted else 'NOT AS IT MUST BE'}",
        f"  attack       {damage.destroyed} of {damage.versions} versions destroyed, {damage.shortened} locks cut, "
        f"{damage.overwritten} objects overwritten, {damage.buried} deleted",
        f"  settings     {', '.join(damage.settings) or 'none changed'}",
        f"  came back    {done.restored} of {done.snapshots} snapshots, byte for byte",
    ]
    if lock is not None:
        lines.append(
            f"  restored     {done.made_current} objects, {format_size(done.bytes)}; set aside {done.set_aside}"
        )
        lines += [f"  {format_duration(getattr(done, field)):>11}  {what}" for field, what in _SHOWN]
    if done.note:
        lines.append(f"  note         {done.note}")
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    sys.exit(main())
