"""Proofs of the audit log as files."""

from __future__ import annotations

from pathlib import Path

from holdfast.audit.tlog_proofs import decode_proof
from holdfast.control.audit.auditing import AuditLog
from holdfast.errors import FailedError, PermissionDeniedError, RefusedError

__all__ = ["write_proof"]


def write_proof(log: AuditLog, number: int, path: Path) -> int:
    """Write the proof of an entry into a new file; returns the size of the log that it proves it in.

    Raises RefusedError when the file exists, PermissionDeniedError, FailedError, and what `AuditLog.prove` raises.
    """
    data = log.prove(number)
    try:
        with path.open("xb") as file:
            file.write(data)
    except FileExistsError as error:
        raise RefusedError(f"{path} exists", hint="name another file", object_name=str(path)) from error
    except PermissionError as error:
        raise PermissionDeniedError(f"{path} cannot be written: permission denied", object_name=str(path)) from error
    except (OSError, ValueError) as error:
        raise FailedError(f"{path} cannot be written: {error}", object_name=str(path)) from error
    return int(decode_proof(data, str(path)).note.text.split("\n")[1])
