"""Each situation and what the planner and the reviewer make of it, as text that people read: `transcripts/*.md`.

`HOLDFAST_WRITE_TRANSCRIPTS=1` writes them anew; then read the difference.
"""

from __future__ import annotations

import os
import textwrap
from pathlib import Path

import pytest
from situations import SITUATIONS, Situation

from holdfast.errors import HoldfastError
from holdfast.recovery.planning.planner import plan_recovery
from holdfast.recovery.reviewing.review import review_plan
from holdfast.recovery.telling import plan_diagram, plan_markdown, review_lines

FOLDER = Path(__file__).parent / "transcripts"


def _file(name: str) -> Path:
    return FOLDER / f"{name.replace(' ', '-').replace(',', '').replace(':', '')}.md"


def transcript(name: str, situation: Situation) -> str:
    """The plan or why there is none, its graph, and the review by what was known then."""
    parts = [f"<!-- {name} -->"]
    try:
        plan = plan_recovery(situation.intent, situation.facts)
    except HoldfastError as error:
        parts += [f"{type(error).__name__}: {error}", *textwrap.wrap(f"hint: {error.hint}", 118)]
        return "\n".join(parts) + "\n"
    review = review_plan(plan, situation.later or situation.facts, situation.approvals(plan))
    parts += [plan_markdown(plan), "```mermaid", plan_diagram(plan) + "```", "", "```", *review_lines(review), "```"]
    return "\n".join(parts) + "\n"


@pytest.mark.parametrize("name", SITUATIONS)
def test_situation(name: str) -> None:
    text = transcript(name, SITUATIONS[name])
    if os.environ.get("HOLDFAST_WRITE_TRANSCRIPTS"):
        _file(name).write_text(text)
    assert _file(name).read_text() == text


def test_every_transcript_is_of_a_situation() -> None:
    assert {path.name for path in FOLDER.iterdir()} == {_file(name).name for name in SITUATIONS}
    assert len(SITUATIONS) >= 30
