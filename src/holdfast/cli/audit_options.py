"""Options that the commands on audit logs share, and what they lead to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from holdfast.cli.options import pairs
from holdfast.cli.output import Output

if TYPE_CHECKING:
    from holdfast.audit.verifier_keys import VerifierKey
    from holdfast.control.audit.auditing import AuditLog

__all__ = ["Keepers", "LogKeys", "Witnesses", "Quorum", "opened_log", "verifier_keys"]

Keepers = Annotated[
    list[str] | None,
    typer.Option(
        "--keeper", metavar="FINGERPRINT", help="Trust this keeper, instead of a key of the vault; repeatable."
    ),
]
LogKeys = Annotated[
    list[str] | None, typer.Option("--log-key", metavar="VKEY", help="The log must have this key; repeatable.")
]
Witnesses = Annotated[
    list[str] | None, typer.Option("--witness", metavar="VKEY", help="A public key of a witness; repeatable.")
]
Quorum = Annotated[
    int | None, typer.Option("--quorum", metavar="N", min=0, help="How many witnesses must have cosigned.")
]


def opened_log(
    output: Output,
    action: str,
    vault: str,
    store_option: list[str] | None,
    keeper: list[str] | None,
    log_key: list[str] | None,
) -> AuditLog:
    """The log, by a key of the vault or as a stranger, for an action that is allowed."""
    from holdfast.control.audit.audit_doors import open_for_audit

    return open_for_audit(
        vault,
        action,
        options=pairs(store_option, "--store-option"),
        keepers=keeper or (),
        log_keys=verifier_keys(log_key),
        progress=output.progress,
    )


def verifier_keys(given: list[str] | None) -> list[VerifierKey]:
    """Raises UsageError."""
    from holdfast.audit.verifier_keys import parse_vkey

    return [parse_vkey(one) for one in given or ()]
