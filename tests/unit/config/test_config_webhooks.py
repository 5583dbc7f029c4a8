"""Receivers of webhooks: mistakes are found when the file is read, not when something happens."""

from __future__ import annotations

import pytest
from config_texts import SMALL, problems_of

from holdfast.config.parsing import parse_config
from holdfast.config.webhooks_model import EVENT_TYPES, matches

BASE = (
    SMALL
    + """\
webhooks:
  tickets: {url: "https://ops.example/in", secret: ["${NEW}", file:old], events: ["run.*", drill.finished]}
  here: {url: "http://127.0.0.1:8000/", secret: "${HOOK}", events: "*", trying: 4h}
"""
)


def test_what_is_meant_is_let_be() -> None:
    assert problems_of(BASE) == []
    hooks = parse_config(BASE.encode(), "x").config.webhooks
    assert [len(one.secret) for one in hooks.values()] == [2, 1] and hooks["here"].trying == 4 * 3600


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("https://ops.example/in", "http://ops.example/in", "goes over https"),
        ("https://ops.example/in", "ftp://ops.example/in", "no address of the web"),
        ("https://ops.example/in", "https:///in", "no address of the web"),
        ('["run.*", drill.finished]', "[]", "at least one kind of event"),
        ("drill.finished", "drill.finishd", "did you mean `drill.finished`?"),
        ("run.*", "run.(a+)+", "there is no event"),
        ("trying: 4h", "trying: 8d", "for a week at most"),
        ("trying: 4h", "trying: 1s", "at least 1 min"),
        ('"${HOOK}"', "hunter2hunter2hunter2hunter2", "a secret is not written here"),
        ('["${NEW}", file:old]', '["${NEW}", file:old, file:older]', "or two while one is replaced"),
    ],
)
def test_each_mistake_is_said(before: str, after: str, message: str) -> None:
    assert before in BASE
    problems = problems_of(BASE.replace(before, after))
    assert any(message in one for _, one in problems), problems


def test_what_a_star_means() -> None:
    steps = [kind for kind in EVENT_TYPES if matches("run.*", kind)]
    assert "run.step.done" in steps and "run.ended" in steps and not any(one.startswith("incident") for one in steps)
    assert [kind for kind in EVENT_TYPES if matches("*.failed", kind)] == ["run.step.failed"]
    assert not matches("run", "run.ended") and not matches("run.e", "run.ended") and not matches("", "run.ended")
    assert all(matches("*", kind) for kind in EVENT_TYPES)
