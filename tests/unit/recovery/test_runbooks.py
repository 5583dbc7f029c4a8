"""Runbooks: what is wrong is said with its place, and steps of people keep the rules of plans."""

from __future__ import annotations

import re

import pytest
from msgspec.structs import replace
from situations import BASE, INTENT, with_site

from holdfast.errors import RefusedError, UsageError
from holdfast.recovery.facts import Answer
from holdfast.recovery.planning.graph import writers_of
from holdfast.recovery.planning.planner import plan_recovery
from holdfast.recovery.plans import Kind, Plan, plan_hash
from holdfast.recovery.runbooks.inserting import insert_runbook
from holdfast.recovery.runbooks.model import parse_runbook
from holdfast.recovery.telling import plan_diagram, plan_markdown

GOOD = b"""version: 1
steps:
  - id: drain
    kind: shell
    title: drain the queue of {asset}
    before: [restore]
    command: [drain, "{asset}", "{home}"]
    undo: [fill, "{asset}"]
    timeout: 2m
    attempts: 3
  - id: owner
    kind: human
    title: ask the owner whether the loss is accepted
    after: [verify, drain]
    before: [promote]
    no_undo: nothing was changed
  - {id: probe, kind: http-check, title: it answers, after: [wait-healthy], url: "https://{site}.example/", no_undo: r}
"""


_MORE = b"version: 1\nsteps: [{id: more, kind: shell, title: x, command: [x], no_undo: x}]"


def inserted(data: bytes, plan: Plan | None = None) -> Plan:
    plan = plan or plan_recovery(INTENT, BASE)
    fenced = {} if plan.intent.isolated else writers_of([one for one in BASE.assets if one.name in plan.intent.assets])
    return insert_runbook(plan, parse_runbook(data, "book.yaml"), "book.yaml", fenced=fenced, home="use1")


def test_steps_stand_where_the_runbook_says() -> None:
    plan = inserted(GOOD)
    order = [step.id for step in plan.steps]
    assert order.index("shell-drain") < order.index("restore-llama")
    assert order.index("verify-llama") < order.index("human-owner") < order.index("promote-llama")
    drain = plan.step("shell-drain")
    assert drain.with_["command"] == ("drain", "llama", "use1") and drain.undo == "fill llama"
    assert (drain.timeout, drain.attempts) == (120.0, 3)
    assert plan.step("http-check-probe").with_ == {"url": "https://euw4.example/", "expect": 200}
    assert not plan.rto.known and "shell-drain" in plan.rto.why, "nobody measured the new steps"
    assert plan_hash(plan) != plan_hash(plan_recovery(INTENT, BASE)), "an approval of the one is none of the other"


def test_a_rehearsal_calls_nobody() -> None:
    plan = inserted(GOOD, plan_recovery(replace(INTENT, isolated=True), BASE))
    assert {step.kind for step in plan.steps}.isdisjoint({Kind.HUMAN, Kind.WEBHOOK, Kind.FENCE, Kind.PROMOTE})
    assert {step.id for step in plan.steps}.isdisjoint({"shell-drain", "human-owner"})
    assert plan.step("http-check-probe").with_["expect"] == 200, "it only looks"
    assert "left out in isolation, of the runbook: drain, owner" in plan.notes


_ACTING = {
    "shell": "command: [drain, hard]",
    "python": "call: acme.queues:drain",
    "ansible": "playbook: drain.yaml",
}


@pytest.mark.parametrize("kind", list(_ACTING))
def test_a_rehearsal_acts_outside_of_its_place_only_where_the_runbook_says_so(kind: str) -> None:
    """Of others their check is run, and nothing where they have none."""
    isolated = plan_recovery(replace(INTENT, isolated=True), BASE)

    def step(more: str) -> str:
        return f"version: 1\nsteps:\n  - {{id: drain, kind: {kind}, title: x, {_ACTING[kind]}, undo: [fill], {more}}}\n"

    for more in ("attempts: 2", "done: [is, empty]", "rehearse: false"):
        assert f"{kind}-drain" not in {one.id for one in inserted(step(more).encode(), isolated).steps}
    looks = inserted(step("check: [could, it], done: [is, empty]").encode(), isolated)
    only = looks.step(f"{kind}-drain")
    assert (only.kind, dict(only.with_), only.undo) == (Kind.SHELL, {"command": ("could", "it")}, "")
    assert any("only the check is run, of the runbook: drain" in note for note in looks.notes)
    acts = inserted(step("check: [could, it], rehearse: true").encode(), isolated).step(f"{kind}-drain")
    real = inserted(step("check: [could, it]").encode()).step(f"{kind}-drain")
    assert acts.with_ == real.with_ and acts.kind is Kind(kind) and acts.undo == "fill"


def test_nobody_is_called_in_a_rehearsal_whatever_the_runbook_says() -> None:
    for kind, needs in (
        ("human", ""),
        ("webhook", 'url: "https://x", secret: "${X}",'),
        ("http-check", 'url: "x://x",'),
    ):
        text = f"version: 1\nsteps: [{{id: x, kind: {kind}, title: x, {needs} no_undo: x, rehearse: true}}]"
        with pytest.raises(UsageError, match=r"`rehearse` is of the kinds|line"):
            parse_runbook(text.encode(), "book.yaml")


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (b"kind: shell", b"kind: shel", "line 4"),
        (b"timeout: 2m", b"timeout: 2x", "step `drain`: `timeout`"),
        (b"timeout: 2m", b"timeout: 2", "line 9"),
        (b"timeout: 2m", b"timeout: 0s", "more than no time"),
        (b'    undo: [fill, "{asset}"]\n', b"", "says how it is undone"),
        (b"no_undo: nothing was changed", b"no_undo: x\n    undo: [x]", "says how it is undone"),
        (b"    command: [drain", b"    commands: [drain", "line 7"),
        (b'    command: [drain, "{asset}", "{home}"]\n', b"", "needs `command`"),
        (b"    kind: human\n", b"    kind: human\n    url: http://x/\n", "`url` is of the kind"),
        (b"id: owner", b"id: drain", "two steps are called `drain`"),
        (b"{home}", b"{hom}", r"\{hom\} is not filled in"),
        (b"https://{site}", b"https://me:secret@{site}", "line 17"),
        (b"attempts: 3", b"attempts: 0", "line 10"),
        (b"version: 1", b"version: 2", "line 1"),
        (b"[verify, drain]", b"[verify, drian]", "no step `drian`"),
        (b"before: [restore]", b"before: [restore]\n    after: [promote]", "wait for each other"),
    ],
)
def test_what_is_wrong_is_said(before: bytes, after: bytes, words: str) -> None:
    assert before in GOOD
    with pytest.raises(UsageError, match=words):
        inserted(GOOD.replace(before, after, 1))


def test_a_runbook_cannot_break_a_rule() -> None:
    """What is built by hand, with the fence taken out from before the restore."""
    plan = inserted(GOOD)
    steps = [replace(step, after=("shell-drain",)) if step.id == "restore-llama" else step for step in plan.steps]
    with pytest.raises(RefusedError, match="before use1, which may write it, is fenced"):
        inserted(_MORE, replace(plan, steps=tuple(steps)))


def test_a_page_and_a_picture_show_every_kind_of_step() -> None:
    everything = b"""version: 1
steps:
  - {id: a, kind: shell, title: a shell step, command: [a], no_undo: x}
  - {id: b, kind: python, title: a python step, call: "a.b:c", no_undo: x}
  - {id: c, kind: ansible, title: an ansible step, playbook: a.yaml, inventory: "one,two", no_undo: x}
  - {id: d, kind: http-check, title: an http step, url: "https://a/", no_undo: x}
  - {id: e, kind: webhook, title: a webhook step, url: "https://a/", secret: "${A}", no_undo: x}
  - {id: f, kind: human, title: a human step, no_undo: x}
"""
    facts = with_site(BASE, "use1", answer=Answer.YES)
    facts = replace(facts, assets=(replace(facts.assets[0], traffic=True), *facts.assets[1:]))
    plan = plan_recovery(replace(INTENT, graceful=True), facts)
    plan = insert_runbook(plan, parse_runbook(everything, "r"), "r", fenced=writers_of([facts.assets[0]]))
    assert {step.kind for step in plan.steps} == set(Kind)
    page, picture = plan_markdown(plan), plan_diagram(plan)
    for step in plan.steps:
        assert f"**{step.title}** (`{step.id}` at {step.site}" in page
        assert f"{step.title} / {step.site}" in picture
    assert "inventory: `one,two`" in page and "secret: `${A}`" in page


@pytest.mark.parametrize(
    ("step", "problem"),
    [
        ("kind: webhook, url: 'https://a/'", "needs `secret`"),
        ("kind: shell, command: [a], inventory: hosts", "`inventory` is of the kind ansible, and this is shell"),
        ("kind: http-check, url: 'https://a/', body: x", "`body` is of the kind webhook, and this is http-check"),
        ("kind: webhook, url: 'https://a/', secret: abcdef", "matching regex"),
        ("kind: webhook, url: 'https://a/', secret: 'file://a'", "matching regex"),
        ("kind: ansible, playbook: a, inventory: '{who}'", "{who} is not filled in"),
    ],
)
def test_fields_of_other_kinds_are_refused(step: str, problem: str) -> None:
    data = f"version: 1\nsteps: [{{id: more, {step}, title: x, no_undo: x}}]".encode()
    with pytest.raises(UsageError, match=re.escape(problem)):
        parse_runbook(data, "runbook.yaml")
