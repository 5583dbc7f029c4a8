"""`holdfast snapshot settle`: a save whose ranks have all announced becomes a snapshot from outside."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from terminal import Terminal

import holdfast
from holdfast.training.committing.rank_save import RankSave
from holdfast.training.committing.terms import agreed_terms
from holdfast.vault.format.records import Entry
from holdfast.vault.saving.options import SaveOptions
from holdfast.vault.saving.partial import ShareSource
from holdfast.vault.tensors.writing import ArraysContent


def announce(vault: Path) -> None:
    """Two ranks that have done their part, and are gone."""
    signer = holdfast.open(str(vault)).handle.keys.require_writer("saving")
    for terms in agreed_terms(signer, [], 2):
        save = RankSave(holdfast.open(str(vault)), "run", terms, SaveOptions(step=7))
        content = ArraysContent(f"model-{terms.rank}", {f"w{terms.rank}": np.ones(4, np.float32)}, 1)
        others = [Entry(path=b".", type="folder", mode=0o755, mtime=0)] if terms.rank == 0 else []
        save.store(
            lambda known, content=content, others=others: ShareSource(  # type: ignore[misc]
                [content], others, {}, lambda one: {}, known.bases, known.remembered
            ),
            save.known_of,
        )
        save.announce("folder", "dcp")


def test_a_save_is_finished_from_outside(terminal: Terminal, vault: Path) -> None:
    announce(vault)
    assert "run" not in terminal.ok("snapshot", "list").out
    done = terminal.ok("snapshot", "settle", "run")
    assert done.err.startswith("finished 1 save in") and "step      7" in done.out
    told = json.loads(terminal.ok("snapshot", "settle", "run", "--json").out)
    assert told["settled"] == []
    assert "no save of run waits" in terminal.ok("snapshot", "settle", "run").out
    listed = json.loads(terminal.ok("snapshot", "list", "--json").out)
    assert [one["step"] for one in listed["snapshots"]] == [7]
    terminal.ok("snapshot", "verify", "run")
