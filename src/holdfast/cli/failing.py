"""How failures are told: `error:` and `hint:` lines on stderr, with `--json` an object on stdout; never a traceback."""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path

import typer

from holdfast.cli.exit_codes import INTERRUPTED
from holdfast.cli.output import label, write_line
from holdfast.cli.phrases import clean, printable
from holdfast.errors import HoldfastError

__all__ = ["tell_failure", "tell_usage", "tell_interrupt", "tell_unexpected", "DEBUG_VARIABLE"]

DEBUG_VARIABLE = "HOLDFAST_DEBUG"


def tell_failure(error: HoldfastError, *, json: bool) -> int:
    """An error of our own tree. Returns the exit code."""
    _debug(error)
    return _tell(
        error.message,
        error.hint or ("try again" if error.retry else ""),
        code=error.code,
        object_name=error.object_name,
        exit_code=error.exit_code,
        retry=error.retry,
        json=json,
    )


def tell_usage(error: typer.TyperException, *, json: bool) -> int:
    """A command line that could not be understood. Returns 2."""
    message = error.format_message()
    context = getattr(error, "ctx", None)
    if context is not None and message == context.get_help():  # a noun without a verb: its help is the answer
        write_line(sys.stderr, message)
        return error.exit_code
    command = context.command_path if context is not None else "holdfast"
    return _tell(
        message[:1].lower() + message[1:].rstrip("."),
        f"see `{command} --help`",
        code="usage",
        exit_code=error.exit_code,
        json=json,
    )


def tell_interrupt(*, json: bool) -> int:
    """Ctrl-C. Returns 130."""
    return _tell(
        "interrupted; nothing half-saved is visible, and nothing half-restored",
        "run it again: what was done already is not done twice",
        code="interrupted",
        exit_code=INTERRUPTED,
        retry=True,
        json=json,
    )


def tell_unexpected(error: BaseException, *, json: bool) -> int:
    """Something that should not be: a fault of ours. Its text may hold anything: only its kind and place are told."""
    _debug(error)
    return _tell(
        f"unexpected {type(error).__name__}{_place_of(error)}: this is a fault in holdfast",
        f"please report it to the project, with the output of the same command under {DEBUG_VARIABLE}=1",
        code="unexpected",
        exit_code=1,
        json=json,
    )


def _tell(
    message: str, hint: str, *, code: str, exit_code: int, json: bool, object_name: str = "", retry: bool = False
) -> int:
    write_line(sys.stderr, f"{label('error', sys.stderr)} {printable(message)}")
    if hint:
        write_line(sys.stderr, f"{label('hint', sys.stderr)} {printable(hint)}")
    if json:
        import msgspec

        from holdfast.cli.schemas.failures import Failure, FailureFacts

        facts = FailureFacts(
            code=code,
            message=clean(message),
            hint=clean(hint),
            object=clean(object_name),
            exit_code=exit_code,
            retry=retry,
        )
        write_line(sys.stdout, msgspec.json.encode(Failure(error=facts)).decode())
    return exit_code


def _place_of(error: BaseException) -> str:
    """` in vault/restoring/reading.py, line 12`: the innermost place in our own code."""
    package = Path(__file__).parent.parent
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = Path(frame.filename)
        if path.is_relative_to(package):
            return f" in {path.relative_to(package)}, line {frame.lineno}"
    return ""


def _debug(error: BaseException) -> None:
    if os.environ.get(DEBUG_VARIABLE) == "1":
        traceback.print_exception(error)
