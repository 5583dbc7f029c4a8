"""A yes to the same question counts for a second; everything else is asked anew."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast.authority.deciding import decide
from holdfast.authority.principals import Elevation, Grant, Principal
from holdfast.authority.resources import PLANE, vault_resource
from holdfast.clock import NANOSECONDS, ManualClock
from holdfast.control.authority import authority_home
from holdfast.control.authority.authorising import Authority
from holdfast.control.authority.authority_home import AuthorityHome
from holdfast.errors import PermissionDeniedError

FORBID = '@id("nobody") forbid (principal, action == Action::"site.list", resource);'


class World:
    """`asked`: how often the policies were."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock, self.asked, self.folder = ManualClock(), 0, folder
        environment = {f"XDG_{kind}_HOME": str(folder / kind.lower()) for kind in ("CONFIG", "STATE", "CACHE")}
        self.authority = Authority(AuthorityHome(environment, self.clock), origin="api")

        def counted(*given: object) -> object:
            self.asked += 1
            return decide(*given)  # type: ignore[arg-type]

        monkeypatch.setattr(authority_home, "decide", counted)

    def person(self, *roles: str, until: float | None = None) -> Principal:
        end = None if until is None else self.clock.now_ns() + round(until * NANOSECONDS)
        grants = tuple(Grant(role, until_ns=end) for role in roles)
        return Principal(kind="User", id="ada", name="ada", person="ada", how="a test", grants=grants)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(tmp_path, monkeypatch)


def test_a_yes_counts_for_a_second_and_each_is_recorded(world: World) -> None:
    ada = world.person("operator")
    for _ in range(3):
        assert world.authority.authorise(ada, "site.list", PLANE).allowed
        world.clock.sleep(0.4)
    assert world.asked == 1
    world.clock.sleep(0.1)
    world.authority.authorise(ada, "site.list", PLANE)
    assert world.asked == 2
    assert len((world.folder / "state/holdfast/decisions.jsonl").read_bytes().splitlines()) == 4


def test_a_no_is_asked_for_each_time(world: World) -> None:
    for _ in range(2):
        with pytest.raises(PermissionDeniedError):
            world.authority.authorise(world.person("trainer"), "site.list", PLANE)
    assert world.asked == 2


def test_anything_else_is_another_question(world: World) -> None:
    ada = world.person("operator")
    plain, sealed = (vault_resource("v", encrypted=encrypted) for encrypted in (False, True))
    world.authority.authorise(ada, "site.list", PLANE)
    world.authority.authorise(ada, "objective.show", PLANE)
    world.authority.authorise(ada, "vault.info", plain)
    world.authority.authorise(ada, "vault.info", sealed)
    world.authority.authorise(world.person("operator", "keeper"), "site.list", PLANE)
    assert world.asked == 5
    with pytest.raises(PermissionDeniedError):
        world.authority.authorise(world.person(), "site.list", PLANE)


def test_a_role_that_ends_has_ended_a_second_later(world: World) -> None:
    ada = world.person("operator", until=0.5)
    world.authority.authorise(ada, "site.list", PLANE)
    world.clock.sleep(1.1)
    with pytest.raises(PermissionDeniedError):
        world.authority.authorise(ada, "site.list", PLANE)


def test_a_clock_that_goes_back_is_not_believed(world: World) -> None:
    ada = world.person("operator")
    world.authority.authorise(ada, "site.list", PLANE)
    world.clock.sleep(-10)
    world.authority.authorise(ada, "site.list", PLANE)
    assert world.asked == 2


def test_break_glass_is_decided_each_time(world: World) -> None:
    now = world.clock.now_ns()
    ada = world.person("operator").elevated(Elevation("e", "everything burns", now, now + 60 * NANOSECONDS))
    for _ in range(2):
        world.authority.authorise(ada, "site.list", PLANE)
    assert world.asked == 2


def test_policies_that_were_read_anew_count_at_once(world: World) -> None:
    ada = world.person("operator")
    world.authority.authorise(ada, "site.list", PLANE)
    folder = world.authority.home.policy_folder
    folder.mkdir(parents=True)
    folder.chmod(0o700)
    (folder / "own.cedar").write_text(FORBID)
    (folder / "own.cedar").chmod(0o600)
    with pytest.raises(PermissionDeniedError):
        Authority(world.authority.home.renewed(), origin="api").authorise(ada, "site.list", PLANE)


def test_questions_that_never_come_again_do_not_pile_up(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authority_home, "_DECISIONS", 3)
    for number in range(10):
        world.authority.authorise(world.person("operator"), "vault.info", vault_resource(f"{number}", encrypted=True))
    assert len(world.authority.home._permitted) <= 3
