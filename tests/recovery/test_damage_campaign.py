"""Random damage of every kind to a vault with two sites: all of it found, all of it mended from the other site; with
one site only, the loss report is what really does not restore. The long form is `make campaign`.
"""

from __future__ import annotations

from random import Random

import pytest

from holdfast.testing.damage import KINDS
from holdfast.testing.workspace import own_memory

from .campaigns.repair import Tally, one_damage
from .repair_sites import Sites, build_sites

DAMAGES = 60


@pytest.fixture(scope="module", params=[True, False], ids=["encrypted", "plain"])
def sites(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Sites:
    work = tmp_path_factory.mktemp("sites")
    with own_memory(work / "state"):
        return build_sites(work, encrypted=request.param)


@pytest.mark.parametrize("kind", KINDS)
def test_all_is_found_and_mended_and_losses_are_exact(sites: Sites, kind: str) -> None:
    random, tally = Random(f"campaign {kind}"), Tally()
    for _ in range(DAMAGES // len(KINDS) // 2 + 1):
        one_damage(sites, kind, random, tally)
    assert tally.damages == tally.found == tally.mended == tally.exact > 0
