"""Whose names are whose: no name is two people's, and whoever signs in may have a key, too."""

from __future__ import annotations

import pytest
from config_texts import SMALL, problems_of

from holdfast.config.checking.people import unknown_people
from holdfast.config.parsing import check_config, parse_config

VOUCHES = SMALL + "serve: {vouches: [server-1]}\n"
PEOPLE = (
    VOUCHES
    + """\
identity:
  people:
    alice: ["key:alice-laptop", "user:https://login.example.org#8f2c", "api-key:w6pad41fw9z2aafa"]
    bob: ["key:bob", "bob@example.org"]
"""
)


def said_of(text: str) -> list[str]:
    return [one.message for one in check_config(text.encode(), "x").findings]


def test_whose_names_are_listed_is_let_be() -> None:
    assert problems_of(PEOPLE) == []
    assert not [one for one in said_of(PEOPLE) if "keys are whose" in one]
    names = parse_config(PEOPLE.encode(), "x").config.identity.person_by_name()
    assert names["key:alice-laptop"] == names["alice"] == "alice"


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("key:bob", "key:alice-laptop", "is `alice`'s, too"),
        ("bob@example.org", "key:bob", "is named twice"),
        ("bob@example.org", "alice", "is `alice`'s, too: each name is one person's"),
        ("key:bob", "kez:bob", "begins with none of key:"),
        ("key:bob", "key:", "names nobody"),
    ],
)
def test_a_name_is_one_persons(before: str, after: str, message: str) -> None:
    found = problems_of(PEOPLE.replace(f'"{before}"', f'"{after}"', 1))
    assert any(message in one for _, one in found), found


def test_who_lets_people_sign_in_is_told_that_nobody_knows_their_keys() -> None:
    logins = VOUCHES + 'identity: {people: {alice: ["user:https://login.example.org#8f2c"]}}\n'
    for text in (VOUCHES, logins):
        assert any("nothing says whose keys are whose" in one for one in said_of(text))
        assert unknown_people(parse_config(text.encode(), "x").config)
    assert not any("keys are whose" in one for one in said_of(SMALL))
    assert not unknown_people(parse_config(SMALL.encode(), "x").config)


def test_what_nothing_acts_on_is_said_and_what_something_acts_on_is_not() -> None:
    found = said_of(PEOPLE.replace("identity:\n", "identity:\n  settings: authority.yaml\n"))
    assert any("`settings` is read and checked, and nothing acts on it yet" in one for one in found)
    assert not any("nothing acts" in one for one in said_of(PEOPLE))
