"""A person's key and their login are never counted as two people, whatever is listed and whatever is not."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.clock import NANOSECONDS
from holdfast.recovery.estimates import UNKNOWN
from holdfast.recovery.intents import Intent, Strategy
from holdfast.recovery.plans import Plan, plan_hash
from holdfast.recovery.reviewing.approvals import Approval, approval_problem, approved_until, approvers_of
from holdfast.recovery.reviewing.persons import Persons

PEOPLE = range(4)
NAMES = ("key-{}", "server/user:idp#{}", "server/api-key:{}")
SAID = st.tuples(st.sampled_from(PEOPLE), st.sampled_from(NAMES))


def knowing(*listed: int, vouches: str = "server") -> Persons:
    """Of these people all names are listed, of the others none."""
    names = {
        name: f"person {one}" for one in listed for name in (f"key:key-{one}", f"user:idp#{one}", f"api-key:{one}")
    }
    return Persons(vouchers=frozenset({vouches}), names=names)


def plan_of(by: str) -> Plan:
    intent = Intent(name="x", assets=("x",), to=("b",), strategy=Strategy.BACKUP_AND_RESTORE, by=by)
    return Plan(
        intent=intent, site="b", facts_at=1, fresh_until=1000, chosen=(), steps=(), detecting=UNKNOWN, deciding=UNKNOWN
    )


@given(st.lists(SAID, max_size=8), st.sets(st.sampled_from(PEOPLE)))
def test_no_more_people_are_counted_than_there_are(said: list[tuple[int, str]], listed: set[int]) -> None:
    persons = knowing(*listed)
    names = [form.format(who) for who, form in said]
    counted = persons.distinct(names)
    assert counted <= set(names)
    assert len(counted) <= len({who for who, _ in said})
    assert bool(counted) == bool(names)
    for one in counted:
        assert all(persons.are_two(one, other) for other in counted - {one})
    if len(listed) == len(PEOPLE):
        assert len(counted) == len({who for who, _ in said}), "of whom everything is known, everybody counts"


@given(SAID, SAID, st.sets(st.sampled_from(PEOPLE)))
def test_who_is_known_to_be_somebody_else_is(one: tuple[int, str], other: tuple[int, str], listed: set[int]) -> None:
    persons = knowing(*listed)
    first, second = one[1].format(one[0]), other[1].format(other[0])
    if persons.are_two(first, second):
        assert one[0] != other[0]
    assert persons.are_two(first, second) == persons.are_two(second, first)
    assert not (persons.are_two(first, second) and persons.are_one(first, second))


@pytest.mark.parametrize(
    ("asks", "approves", "listed", "code"),
    [
        ("key-1", "server/user:idp#1", (), "APPROVER_MAY_BE_INITIATOR"),
        ("server/user:idp#1", "key-1", (), "APPROVER_MAY_BE_INITIATOR"),
        ("key-1", "server/user:idp#2", (), "APPROVER_MAY_BE_INITIATOR"),
        ("key-1", "server/user:idp#2", (1,), "APPROVER_MAY_BE_INITIATOR"),
        ("key-1", "server/user:idp#2", (2,), "APPROVER_MAY_BE_INITIATOR"),
        ("key-1", "server/user:idp#2", (1, 2), ""),
        ("key-1", "server/user:idp#1", (1, 2), "APPROVER_IS_INITIATOR"),
        ("server/user:idp#1", "server/api-key:1", (), "APPROVER_MAY_BE_INITIATOR"),
        ("server/user:idp#1", "server/user:idp#2", (), ""),
        ("server/api-key:1", "server/api-key:2", (), ""),
        ("server/ada", "server/ben", (), ""),
        ("server/ada", "server/user:idp#2", (), "APPROVER_MAY_BE_INITIATOR"),
        ("key-1", "key-2", (), ""),
        ("key-1", "key-1", (), "APPROVER_IS_INITIATOR"),
        ("server", "server/user:idp#1", (), ""),  # begun by itself: the key of a server is no person's login
        ("key-1", "other/user:idp#2", (1, 2), "APPROVER_NOT_VOUCHED_FOR"),
        ("server/user:idp#1", "server/user:elsewhere#1", (), "APPROVER_MAY_BE_INITIATOR"),  # an account at each
        ("key-1/user:idp#3", "server/user:idp#1", (3,), "APPROVER_MAY_BE_INITIATOR"),
    ],
)
def test_whose_approval_counts(asks: str, approves: str, listed: tuple[int, ...], code: str) -> None:
    plan = plan_of(asks)
    approval = Approval(plan=plan_hash(plan), by=approves, at=10, until=100)
    found = approval_problem(approval, plan, 50, knowing(*listed))
    assert (found[0] if found else "") == code
    if code == "APPROVER_MAY_BE_INITIATOR":
        assert found and "nothing says whose" in found[1]


def test_who_may_not_vouch_gains_nothing_by_a_name_that_is_listed() -> None:
    """Whose login is listed and whose key is not, names somebody else in the plan, and approves by signing in."""
    persons = Persons(vouchers=frozenset({"server"}), names={"user:idp#1": "one", "user:idp#2": "two"})
    plan = plan_of("key-1/user:idp#2")
    approval = Approval(plan=plan_hash(plan), by="server/user:idp#1", at=10, until=100)
    found = approval_problem(approval, plan, 50, persons)
    assert found is not None and found[0] == "APPROVER_MAY_BE_INITIATOR"
    assert persons.to_list([plan.intent.by, approval.by]) == 'identity: {people: {PERSON-1: ["key:key-1"]}}'
    assert persons.to_list(["server", 'server/user:idp#"x']) == 'identity: {people: {PERSON-1: ["user:idp#\\"x"]}}'


def test_who_is_heard_twice_counts_by_either_name() -> None:
    persons = knowing(1)
    for said in (["key-1", "server/user:idp#1", "key-2"], ["server/user:idp#1", "key-1", "key-2"]):
        assert persons.distinct(said) == {"key-1", "key-2"}
        assert len(persons.distinct([*said, "server/user:idp#3", "server/user:idp#2"])) == 3


def test_a_key_and_a_login_are_one_of_two_approvals() -> None:
    plan = plan_of("server")
    one, other = (
        Approval(plan=plan_hash(plan), by=by, at=10, until=until)
        for by, until in (("key-1", 100 * NANOSECONDS), ("server/user:idp#2", 200 * NANOSECONDS))
    )
    assert len(approvers_of([one, other], plan, 50, knowing())) == 1
    assert approved_until([one, other], plan, 1, 50, knowing()) == other.until
    assert approved_until([one, other], plan, 2, 50, knowing()) == 0
    assert len(approvers_of([one, other], plan, 50, knowing(1, 2))) == 2
    assert approved_until([one, other], plan, 2, 50, knowing(1, 2)) == one.until
    third = msgspec.structs.replace(one, by="key-3", until=50 * NANOSECONDS)
    assert approvers_of([one, other, third], plan, 50, knowing()) == {"key-1", "key-3"}
    assert approved_until([one, other, third], plan, 2, 50, knowing()) == third.until
    assert approved_until([one, other, third], plan, 0, 50, knowing()) == 0
