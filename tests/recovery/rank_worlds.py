"""Several ranks in one process: each with its own opened vault, as if it were one of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from holdfast.stores.protocol import Store
from holdfast.testing.workspace import TrialVault
from holdfast.training.committing.known import Known
from holdfast.training.committing.rank_save import RankSave
from holdfast.training.committing.terms import SaveTerms, agreed_terms
from holdfast.trust.credentials import Credential
from holdfast.vault.format.records import Entry
from holdfast.vault.saving.announcing import own_mark
from holdfast.vault.saving.options import SaveOptions
from holdfast.vault.saving.partial import ShareSource
from holdfast.vault.tensors.writing import ArraysContent
from holdfast.vault.vault import Vault

ASSET = "run"


def arrays_of(rank: int, step: int) -> dict[str, Any]:
    drawn = np.random.default_rng(1000 * step + rank)
    return {f"layer{rank}.weight": drawn.normal(size=(64, 64)).astype(np.float32)}


def source_of(rank: int, step: int, known: Known, arrays: Mapping[str, Any] | None = None) -> ShareSource:
    content = ArraysContent(f"model-{rank}", arrays or arrays_of(rank, step), 1_700_000_000_000_000_000 + step)
    top = Entry(path=b".", type="folder", mode=0o755, mtime=0)
    before = {entry.path: entry for entry in known.entries}
    others = [top] if rank == 0 else []
    return ShareSource([content], others, before, lambda one: {}, known.bases, known.remembered)


@dataclass
class Ranks:
    """The ranks of saves on one store. `credentials`: of each rank; one for all of them by default."""

    trial: TrialVault
    world: int = 3
    credentials: Mapping[int, Credential] | None = None
    deadline_s: float = 1800.0

    def vault(self, rank: int, store: Store | None = None) -> Vault:
        credential = self.credentials[rank] if self.credentials is not None else None
        return self.trial.open(credential, store=store)

    def terms(self) -> list[SaveTerms]:
        signers = [self.vault(rank).handle.keys.require_writer("saving") for rank in range(self.world)]
        return agreed_terms(signers[0], map(own_mark, signers), self.world, self.deadline_s)

    def stored(
        self,
        terms: SaveTerms,
        step: int,
        *,
        store: Store | None = None,
        arrays: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> RankSave:
        """A rank that has stored its share, and not announced it."""
        save = RankSave(self.vault(terms.rank, store), ASSET, terms, replace_options(step, **options))
        save.store(lambda known: source_of(terms.rank, step, known, arrays), save.known_of)
        return save

    def announced(self, terms: SaveTerms, step: int, **options: Any) -> RankSave:
        save = self.stored(terms, step, **options)
        self.trial.clock.sleep(0.01)  # ids sort by time
        save.announce("folder", "ranks")
        return save

    def all_announced(self, step: int, **options: Any) -> list[RankSave]:
        return [self.announced(terms, step, **options) for terms in self.terms()]


def replace_options(step: int, **options: Any) -> SaveOptions:
    return SaveOptions(step=step)._replace(**options)


def of_rank(terms: SaveTerms, rank: int) -> SaveTerms:
    return replace(terms, rank=rank)
