"""Options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

from holdfast.errors import UsageError

__all__ = [
    "Json",
    "Quiet",
    "VaultUrl",
    "VaultOption",
    "DeclaredVaultOption",
    "StoreOptions",
    "FromUrls",
    "FromStoreOptions",
    "Policy",
    "NoVerify",
    "Overwrite",
    "pairs",
    "percentage",
]

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object (see docs/schemas).")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No talk and no progress on stderr, only errors.")]
VaultUrl = Annotated[
    str, typer.Argument(metavar="URL", help="A folder, s3://bucket/prefix, gs://bucket/prefix, az://container/prefix.")
]
VaultOption = Annotated[
    str, typer.Option("--vault", metavar="URL", envvar="HOLDFAST_VAULT", show_envvar=True, help="The vault.")
]
DeclaredVaultOption = Annotated[
    str | None,
    typer.Option(
        "--vault",
        metavar="URL",
        envvar="HOLDFAST_VAULT",
        show_envvar=True,
        help="The vault; without it, the asset's home in holdfast.yaml.",
    ),
]
StoreOptions = Annotated[
    list[str] | None,
    typer.Option("--store-option", metavar="K=V", help="An option of the store (endpoint, region, …); repeatable."),
]
FromUrls = Annotated[
    list[str] | None,
    typer.Option("--from", metavar="URL", help="A replica that has what is missing here; repeatable."),
]
FromStoreOptions = Annotated[
    list[str] | None,
    typer.Option("--from-store-option", metavar="K=V", help="An option of the replicas' stores; repeatable."),
]
Policy = Annotated[
    str,
    typer.Option(
        "--policy",
        metavar="POLICY",
        show_default=True,
        help="What a finding leads to: `warn` (saved, not validated), `refuse` (not saved) or `quarantine` "
        "(saved apart: only its id refers to it).",
    ),
]
NoVerify = Annotated[
    bool, typer.Option("--no-verify", help="Do not read back; the snapshot stays unvalidated until it is verified.")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace TARGET if it exists, whole and at the end.")]


def pairs(given: list[str] | None, option: str) -> dict[str, str]:
    """`["endpoint=http://x", …]` → a mapping. Raises UsageError; its message never repeats a value."""
    found: dict[str, str] = {}
    for text in given or ():
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise UsageError(f"{option} needs NAME=VALUE", hint=f"for example {option} name=value")
        if key in found:
            raise UsageError(f"{option} {key}=… is given twice")
        found[key] = value
    return found


def percentage(text: str) -> float:
    """`"5%"` → 0.05. Raises UsageError."""
    number, percent, rest = text.strip().partition("%")
    try:
        share = float(number) / 100
    except ValueError:
        share = -1.0
    if not percent or rest or not 0 < share <= 1:
        raise UsageError(f"{text!r} is not a share", hint="write a percentage above 0 and up to 100, for example 5%")
    return share
