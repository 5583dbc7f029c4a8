"""Damage to a vault with two sites, and its repair: all found, all mended, losses told exactly.

python -m tests.recovery.campaigns.repair [1000] [--seed N]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from holdfast.errors import HoldfastError
from holdfast.testing.damage import KINDS, DamageDone, Delete, put_back, random_damage
from holdfast.testing.workspace import own_memory
from holdfast.vault.format.names import CONFIG, INDEX, REFS, SNAPSHOTS
from holdfast.vault.repairing.configuring import repair_config
from holdfast.vault.repairing.repair import repair
from holdfast.vault.restoring.fallback import opened_replica

from ..repair_sites import Sites, build_sites, what_is_said_to_restore, what_restores

_PREFIXES = ("config/", "packs/", "index/", "parts/", "snapshots/", "refs/")


@dataclass
class Tally:
    """How many damages there were, and of how many what must hold was seen. `lossy`: those that lose data alone."""

    damages: int = 0
    found: int = 0
    mended: int = 0
    exact: int = 0
    lossy: int = 0
    kinds: dict[str, int] = field(default_factory=dict)


def one_damage(sites: Sites, kind: str, random: Random, tally: Tally) -> None:
    """Damage the first site, look, and put it back. Raises AssertionError where something does not hold."""
    damage = _choose(sites, kind, random)
    damage.apply(sites.store)
    tally.damages += 1
    tally.kinds[kind] = tally.kinds.get(kind, 0) + 1
    try:
        tally.found += _is_found(sites, damage)
        tally.exact += _is_exact(sites, damage, tally)
        tally.mended += _is_mended(sites, damage)
    finally:
        put_back(sites.store, sites.contents)


def _choose(sites: Sites, kind: str, random: Random) -> DamageDone:
    """Any object of any kind; but of deletions only those that leave a gap: else nothing tells that it was there."""
    while True:
        prefix = random.choice(_PREFIXES)
        keys = [key for key in sites.contents if key.startswith(prefix)]
        damage = random_damage(random, kind, keys, sites.contents)
        if not isinstance(damage, Delete) or _leaves_a_gap(sites, damage.key):
            return damage


def _leaves_a_gap(sites: Sites, key: str) -> bool:
    if key.startswith((CONFIG, REFS)):
        return key != max(other for other in sites.contents if other.startswith(key[:-10]))
    if key.startswith(SNAPSHOTS):
        vault = sites.trial.open()
        return key.rpartition("/")[2] in {
            ref.target for asset in ("run", "vocabulary") for ref in vault.tags(asset).values()
        }
    return not key.startswith(INDEX)


def _is_found(sites: Sites, damage: DamageDone) -> bool:
    """Whether `check --read-data` names the object; a configuration that is damaged keeps the vault from opening."""
    try:
        vault = sites.trial.open()
    except HoldfastError:
        return damage.keys[0].startswith(CONFIG)
    told = [f"{one.object} {one.message}" for one in vault.check(read_data=True).damages]
    assert any(key in text for key in damage.keys for text in told), f"check did not find {damage}"
    return True


def _is_exact(sites: Sites, damage: DamageDone, tally: Tally) -> bool:
    """With this site alone: what the report says is lost does not restore, and all the rest does."""
    try:
        vault = sites.trial.open()
    except HoldfastError:
        return True  # nothing opens: that is what is said, and no more
    losses = repair(vault.handle, dry_run=True).plan.losses
    tally.lossy += bool(losses)
    said, found = what_is_said_to_restore(sites, losses), what_restores(sites)
    assert said.files == found.files, f"files, after {damage}: said {said.files}, found {found.files}"
    assert said.tensors == found.tensors, f"tensors, after {damage}: said {said.tensors}, found {found.tensors}"
    return True


def _is_mended(sites: Sites, damage: DamageDone) -> bool:
    second = sites.second()
    try:
        vault = sites.trial.open()
    except HoldfastError:
        assert repair_config(sites.store, second.handle), f"nothing was done about {damage}"
        vault = sites.trial.open()
    done = repair(vault.handle, [opened_replica(second.handle)])
    assert not (done.failed or done.plan.losses or done.plan.unmended), f"{damage}: {done}"
    report = sites.trial.open().check(read_data=True)
    assert not report.damages, f"still damaged after {damage}: {report.damages}"
    lost = what_restores(sites)
    assert not lost.files and not lost.tensors, f"not mended after {damage}: {lost}"
    again = repair(sites.trial.open().handle, [opened_replica(second.handle)])
    assert again.plan.is_empty, f"a second repair after {damage} finds {again.plan.fixes}"
    return True


def run(damages: int, seed: int) -> Tally:
    """Half on an encrypted vault, half on a plain one; every kind as often as the others."""
    tally = Tally()
    with tempfile.TemporaryDirectory() as folder:
        for number, encrypted in enumerate((True, False)):
            work = Path(folder) / str(number)
            with own_memory(work / "state"):
                sites = build_sites(work, encrypted=encrypted)
                for count in range(damages // 2):
                    kind = KINDS[count % len(KINDS)]
                    one_damage(sites, kind, Random(f"{seed} {encrypted} {count}"), tally)
    assert tally.damages == tally.found == tally.mended == tally.exact, tally
    return tally


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("damages", nargs="?", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    given = parser.parse_args()
    print(f"seed {given.seed}", flush=True)
    print(run(given.damages, given.seed))


if __name__ == "__main__":
    main()
