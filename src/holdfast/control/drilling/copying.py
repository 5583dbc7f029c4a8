"""Copies of a declared asset into a trial: by a process of its own, whose memory lies in the trial and goes with it.

It reads the declared stores with the user's own key, and writes nothing there. Besides the copies it makes a keeper's
key for the copy alone, and a digest of each snapshot's content as the declared store gives it: the undamaged source.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from holdfast.drills.stage import Source, Stage
from holdfast.drills.trial.digests import TreeDigest
from holdfast.drills.trial.organisation import OPERATOR
from holdfast.drills.troubles import DrillBroken, DrillStopped
from holdfast.errors import HoldfastError
from holdfast.evidence.record_outcome import MomentKind

if TYPE_CHECKING:
    from holdfast.control.sites.declared import DeclaredSites

__all__ = ["copy_into", "main"]

_LOOK_SECONDS: Final = 0.25


def copy_into(
    stage: Stage, sites: DeclaredSites, asset: str, store: str, snapshots: list[str], environment: Mapping[str, str]
) -> None:
    """The snapshots, oldest first, to the trial's home; their sources; the operator's key. Raises DrillBroken."""
    trial = stage.trial
    own = trial.folder / "machines" / "copier"
    env = {**environment, "XDG_STATE_HOME": str(own / "state"), "XDG_CACHE_HOME": str(own / "cache")}
    order = {
        "config": str(sites.loaded.path),
        "asset": asset,
        "store": store,
        "snapshots": snapshots,
        "target": str(trial.store(trial.terms.home)),
        "references": str(trial.folder / "references"),
        "key": str(trial.key(OPERATOR)),
        "label": f"drill-{OPERATOR}",
    }
    log = trial.folder / "logs" / "copying.err"
    out = trial.folder / "logs" / "copying.out"
    with log.open("wb") as err, out.open("wb") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", __name__, json.dumps(order)],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=err,
            env=env,
            cwd=sites.loaded.folder,
            start_new_session=True,
        )
    try:
        while process.poll() is None:
            stage.look()
            stage.clock.sleep(_LOOK_SECONDS)
    except (DrillStopped, KeyboardInterrupt):
        process.kill()
        process.wait()
        raise
    if process.returncode != 0:
        words = (log.read_text(errors="replace").strip() or "nobody says why").splitlines()[-1]
        raise DrillBroken(f"{asset} could not be copied from {store}: {words}")
    for one in json.loads(out.read_text()):
        digest = TreeDigest(one["sha256"], one["files"], one["bytes"])
        stage.sources[one["id"]] = Source(one["id"], digest, one["content_ns"], one["step"])
        stage.own_packs[one["id"]] = one["packs"]
        stage.mark(MomentKind.SNAPSHOT, f"{one['id'][:12]} (step {one['step']}) is copied from {store}")


def main(order: Mapping[str, Any]) -> list[dict[str, Any]]:
    """In the process of its own. Raises HoldfastError."""
    from holdfast.config.finding import load_config
    from holdfast.control.keys.key_files import export_keeper
    from holdfast.control.sites.declared import DeclaredSites
    from holdfast.control.vaults.opening import open_on
    from holdfast.drills.trial.digests import digest_tree
    from holdfast.replication.copying.snapshots import replicate
    from holdfast.stores.local import LocalStore
    from holdfast.vault.restoring.staged_files import remove_whole
    from holdfast.vault.snapshots.roots import content_time

    sites = DeclaredSites(load_config(order["config"]))
    sites.learn()
    vault = sites.open_at(order["store"])
    target, folder = LocalStore(Path(order["target"])), Path(order["target"])
    done: list[dict[str, Any]] = []
    before: set[str] = set()
    for snapshot in order["snapshots"]:
        replicate(vault.handle, target, asset=order["asset"], only={snapshot})
        packs = {str(path.relative_to(folder)) for path in folder.glob("packs/*/*")}
        root = vault.find(snapshot)
        reference = Path(order["references"]) / snapshot
        reference.parent.mkdir(exist_ok=True)
        vault.restore(snapshot, reference, rehearsal=True)
        digest = digest_tree(reference)
        remove_whole(reference)
        done.append(
            {"id": snapshot, "step": root.step, "content_ns": content_time(root), "packs": sorted(packs - before)}
            | digest._asdict()
        )
        before = packs
    export_keeper(open_on(target), order["label"], Path(order["key"]))
    return done


if __name__ == "__main__":
    try:
        sys.stdout.write(json.dumps(main(json.loads(sys.argv[1]))))
    except HoldfastError as error:
        sys.stderr.write(f"{error.message}{f' ({error.hint})' if error.hint else ''}{os.linesep}")
        sys.exit(error.exit_code)
