"""Saves of many ranks on a real server: creating is conditional there, and times are the server's."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from holdfast.stores.opening import open_store
from holdfast.testing.invariants import check_is_clean
from holdfast.testing.servers import SeaweedServer
from holdfast.testing.workspace import new_trial_vault
from holdfast.training.committing.settling import settle_saves

from .rank_worlds import Ranks

pytestmark = pytest.mark.servers


def test_ranks_on_seaweedfs(seaweed: SeaweedServer) -> None:
    with seaweed.in_environment():
        store = open_store(f"{seaweed.url}/ranks", options=seaweed.options)
        trial = new_trial_vault(store)
        ranks = Ranks(trial, 4)
        with ThreadPoolExecutor(4) as pool:
            saves = list(pool.map(lambda terms: ranks.announced(terms, 1), ranks.terms()))
            done = list(pool.map(lambda save: save.finish(20.0), saves))
        assert sum(one.is_new for one in done) == 1 and len({one.snapshot for one in done}) == 1
        ranks.all_announced(step=2)
        assert [one.step for one in settle_saves(trial.open())] == [2]
        assert len(trial.open().snapshots()) == 2
        check_is_clean(trial.open())
