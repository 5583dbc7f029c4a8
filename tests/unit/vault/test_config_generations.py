"""What one look at a vault's configuration finds, one generation after the other or all at once."""

from __future__ import annotations

import pytest

from holdfast.errors import DamageError, StoreUnreachableError
from holdfast.stores.memory import MemoryStore
from holdfast.stores.protocol import Capabilities
from holdfast.testing.workspace import TrialVault, new_trial_vault
from holdfast.vault.access.generations import read_generations
from holdfast.vault.access.members import admit_writer
from holdfast.vault.format.names import config_key


class Line(MemoryStore):
    """A store over a line, or near: `remote`. Objects in `away` do not answer."""

    remote = True

    def __init__(self) -> None:
        super().__init__()
        self.away: set[str] = set()

    @property
    def capabilities(self) -> Capabilities:
        return super().capabilities._replace(remote=self.remote)

    def get(self, key: str) -> bytes:
        if key in self.away:
            raise StoreUnreachableError(f"{key} does not come")
        return super().get(key)


@pytest.fixture(params=[True, False], ids=["far", "near"])
def line(request: pytest.FixtureRequest) -> Line:
    store = Line()
    store.remote = request.param
    trial: TrialVault = new_trial_vault(store)
    for name in ("one", "two", "three"):
        admit_writer(trial.open().handle, name)
    return store


def replaced(store: Line, generation: int, data: bytes) -> None:
    store.delete(config_key(generation))
    store.create(config_key(generation), data)


def test_all_generations_the_oldest_first(line: Line) -> None:
    found = read_generations(line)
    assert [one.config.generation for one, _ in found.found] == [1, 2, 3, 4] and not found.damaged
    assert found.claimed.config.generation == 4 and found.vault_id == found.found[0][0].vault.hex()


def test_what_is_wrong_with_an_older_one_is_kept_and_does_no_harm(line: Line) -> None:
    replaced(line, 2, b"rubbish")
    found = read_generations(line)
    assert [one.config.generation for one, _ in found.found] == [1, 3, 4]
    assert [error.object_name for error in found.damaged] == [config_key(2)]


def test_an_older_one_that_does_not_come_is_no_damage(line: Line) -> None:
    line.away.add(config_key(2))
    with pytest.raises(StoreUnreachableError, match="does not come"):
        read_generations(line)


@pytest.mark.parametrize("older", [set[str](), {config_key(1)}])
def test_the_newest_is_judged_first(line: Line, older: set[str]) -> None:
    replaced(line, 4, b"rubbish")
    line.away |= older
    with pytest.raises(DamageError) as caught:
        read_generations(line)
    assert caught.value.object_name == config_key(4) and "another replica" in caught.value.hint
