"""What a command's exit code means, as its `--help` lists it."""

from __future__ import annotations

from typing import Final

__all__ = ["MEANINGS", "INTERRUPTED", "PIPE_CLOSED", "exit_codes"]

INTERRUPTED: Final = 130  # 128 + SIGINT, as shells have it
PIPE_CLOSED: Final = 141  # 128 + SIGPIPE: whoever read our output went away

MEANINGS: Final = {
    0: "done",
    1: "failed",
    2: "usage: the call itself makes no sense",
    3: "not found: no such vault, snapshot or file",
    4: "damage found: some stored data is bad",
    5: "refused by a safety rule or policy",
    6: "locked, or lost a race: retry",
    7: "credentials or permission",
    8: "store unreachable",
    9: "objective not met",
}


def exit_codes(*codes: int, **particular: str) -> str:
    """The last section of a help page: these codes, and what they mean to this command.

    `particular` says it more exactly than `MEANINGS`: `_4="damage found; the table names it"`.
    """
    texts = {code: MEANINGS[code] for code in codes}
    texts |= {int(name.removeprefix("_")): text for name, text in particular.items()}
    return "\n".join(["Exit codes:", *(f"  {code}  {texts[code]}" for code in sorted(texts))])
