"""The step that a checkpoint's name claims."""

from __future__ import annotations

import re

__all__ = ["step_in_name", "step_in_words"]

# In order of trust; a word before the number must not be the tail of another word (`laststep5` claims nothing).
_WORDS = (
    re.compile(r"(?<![a-z])steps?[=_-]?(\d{1,18})(?!\d)"),
    re.compile(r"(?<![a-z])iter(?:ation)?[=_-]?(\d{1,18})(?!\d)"),
    re.compile(r"(?<![a-z])ba(?:tch)?[=_-]?(\d{1,18})(?!\d)"),
    re.compile(r"(?<![a-z])(?:checkpoint|ckpt)[=_-]?(\d{1,18})(?!\d)"),
)
_AT_END = re.compile(r"(?:^|[_-])(\d{1,18})$")
# Numbers behind these words count something else.
_OTHER_COUNT = re.compile(r"(?:epoch|ep|rank|of|part|shard|fold|seed|version|worker|node|gpu)[=_-]?$")
_SUFFIX = re.compile(r"\.[a-z][a-z0-9]*$")


def step_in_name(name: str) -> int | None:
    """`checkpoint-500`, `epoch=1-step=500.ckpt`, `iter_0000500`, `ep1-ba500-rank0.pt`, `model_500.pt` → 500.

    None when the name claims none. Epochs, ranks and shards are not steps.
    """
    step = step_in_words(name)
    if step is not None:
        return step
    stem = _SUFFIX.sub("", name.lower())
    match = _AT_END.search(stem)
    if match is None or _OTHER_COUNT.search(stem[: match.start()]):
        return None
    return int(match[1])


def step_in_words(name: str) -> int | None:
    """The same where a word says that it is one: None for `model_500.pt`."""
    stem = _SUFFIX.sub("", name.lower())
    for pattern in _WORDS:
        matches = pattern.findall(stem)
        if matches:
            return int(matches[-1])
    return None
