"""Writes tests/compat/fixtures/format-1: small vaults as today's package writes them, and what they hold.

Usage: python tests/compat/make_fixture.py [--replace]

Once the format is released, what lies there is never written again: it is what later versions must still restore.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from small_checkpoints import describe, write_checkpoint

import holdfast

FOLDER = Path(__file__).parent / "fixtures" / "format-1"
VAULTS = {"encrypted": True, "plain": False}
STEPS = (1, 2)
CHECKPOINTS, NOTES = "llama / größe 70B", "notes"
# What the package would write here names the machine.
VERSIONS = {"python": "3.11.0", "platform": "Linux", "code": "5f3759df"}


def write_vault(folder: Path, sources: Path, *, encryption: bool) -> list[dict[str, Any]]:
    """A vault with its keeper's key file, made of a checkpoint at two steps and of one file alone.

    Returns what each snapshot holds, oldest first.
    """
    folder.mkdir(parents=True)
    os.environ["HOLDFAST_KEY_FILE"] = str(folder / "keeper.key")
    vault = holdfast.create(folder / "vault", encryption=encryption)
    checkpoint, notes = sources / "checkpoint", sources / "notes.txt"
    snapshots: list[dict[str, Any]] = []
    for step in STEPS:
        write_checkpoint(checkpoint, step, elements=1024)
        saved = vault.save(CHECKPOINTS, checkpoint, step=step, versions=VERSIONS)
        snapshots.append({"asset": CHECKPOINTS, "id": saved.root.id, "step": step, "holds": describe(checkpoint)})
    vault.tag(snapshots[0]["id"], "first")
    notes.write_text("a snapshot of one file\n")
    saved = vault.save(NOTES, notes, metadata={"why": "a test", "größe": 3}, versions=VERSIONS)
    held = {name: it for name, it in describe(sources).items() if name == notes.name}
    snapshots.append({"asset": NOTES, "id": saved.root.id, "step": None, "holds": held})
    return snapshots


def main() -> None:
    if FOLDER.joinpath("manifest.json").exists():
        if sys.argv[1:] != ["--replace"]:
            sys.exit(f"{FOLDER} is there already; --replace writes it anew, which is wrong once the format is released")
        for name in VAULTS:
            shutil.rmtree(FOLDER / name)
    with tempfile.TemporaryDirectory() as scratch:
        for variable in ("HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME"):
            os.environ[variable] = scratch
        manifest = {}
        for name, encryption in VAULTS.items():
            sources = Path(scratch) / name
            sources.mkdir()
            manifest[name] = write_vault(FOLDER / name, sources, encryption=encryption)
    text = json.dumps(manifest, indent=1, ensure_ascii=False) + "\n"
    FOLDER.joinpath("manifest.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
