"""Pointers to snapshots: `latest`, `validated` and tags, each a series of create-only generations."""

from __future__ import annotations

from collections.abc import Callable

from holdfast.errors import DamageError, NotFoundError, UntrustedError
from holdfast.vault.documents import read_document, write_document
from holdfast.vault.handle import Handle
from holdfast.vault.header import Kind
from holdfast.vault.names import generation_of, normalised
from holdfast.vault.records import Check, Ref, decode_record, encode_record
from holdfast.vault.series import append_generation

__all__ = ["LATEST", "VALIDATED", "read_ref", "read_newest_ref", "read_history", "move_ref"]

LATEST, VALIDATED = "latest", "validated"


def read_ref(handle: Handle, key: str) -> Ref:
    """One generation. Raises DamageError, UntrustedError, CredentialError (for a writer)."""
    opened = read_document(handle.keys, Kind.REF, key, handle.store.get(key))
    ref = decode_record(opened.body, Ref, key)
    if not key.startswith(handle.keys.names.ref_prefix(ref.asset, ref.name)):
        raise DamageError(f"{key} holds another ref", object_name=key)
    signer = handle.keys.trusted_signer(Kind.REF, opened.signer, key)
    if signer.revoked is not None and ref.created >= signer.revoked:
        raise UntrustedError(
            f"{key} was signed by {signer.label!r} after that key was revoked",
            hint="name a snapshot by its id instead; ask the keeper who still has that key",
            object_name=key,
        )
    return ref


def read_newest_ref(handle: Handle, asset: str, name: str) -> Ref | None:
    """The generation that counts, or None when there is no such ref."""
    keys = _generations(handle, asset, name)
    return read_ref(handle, keys[-1]) if keys else None


def read_history(handle: Handle, asset: str, name: str) -> list[Ref]:
    """All generations, oldest first."""
    return [read_ref(handle, key) for key in _generations(handle, asset, name)]


def move_ref(
    handle: Handle,
    asset: str,
    name: str,
    target: str,
    reason: str,
    check: Check | None = None,
    *,
    unless: Callable[[Ref], bool] | None = None,
) -> int:
    """Point the ref to a snapshot (or, with an empty target, nowhere). Returns the new generation.

    With `unless`, which needs a key that reads, it stays (and 0 is returned) when that is true of where it points now;
    nobody can move it between the question and the move.
    """
    handle.keys.require_writer(f"moving {name!r}")
    prefix = handle.keys.names.ref_prefix(asset, name)
    record = encode_record(Ref(normalised(asset), normalised(name), target, handle.clock.now_ns(), reason, check))

    def make(generation: int) -> bytes | None:
        before = _newest_readable(handle, asset, name) if unless is not None else None
        if unless is not None and before is not None and unless(before):
            return None
        return write_document(handle.keys, Kind.REF, f"{prefix}{generation:010d}", record)

    return append_generation(handle.store, prefix, make)


def _newest_readable(handle: Handle, asset: str, name: str) -> Ref | None:
    for key in reversed(_generations(handle, asset, name)):
        try:
            return read_ref(handle, key)
        except (DamageError, UntrustedError, NotFoundError) as error:
            handle.progress.note(f"passed over: {error.message}")
    return None


def _generations(handle: Handle, asset: str, name: str) -> list[str]:
    prefix = handle.keys.names.ref_prefix(asset, name)
    return [info.key for info in handle.store.list(prefix) if generation_of(info.key) is not None]
