"""Pointers to snapshots: `latest`, `validated` and tags, each a series of create-only generations."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from holdfast.errors import (
    DamageError,
    FailedError,
    HoldfastError,
    NotFoundError,
    UnsupportedFormatError,
    UntrustedError,
)
from holdfast.vault.format.documents import read_document, write_document
from holdfast.vault.format.header import Kind
from holdfast.vault.format.names import normalised
from holdfast.vault.format.records import Check, Ref, decode_record, encode_record
from holdfast.vault.format.series import Generations, append_after, generations_at
from holdfast.vault.handle import Handle
from holdfast.vault.snapshots.known import generation_hints

__all__ = [
    "LATEST",
    "VALIDATED",
    "RESERVED",
    "is_tag_name",
    "read_ref",
    "generations_of",
    "readable_refs",
    "read_newest_ref",
    "read_history",
    "read_backwards",
    "move_ref",
]

LATEST, VALIDATED = "latest", "validated"
RESERVED = "!"  # what the names begin with of refs that are no pointers of the user's (`quarantine.py`, `restores.py`)


def is_tag_name(name: str) -> bool:
    """Whether a user may call a tag so: other names are pointers and marks that holdfast keeps, or other references."""
    return name not in (LATEST, VALIDATED) and "=" not in name and "@" not in name and not name.startswith(RESERVED)


def read_ref(handle: Handle, key: str) -> Ref:
    """One generation. Raises DamageError, UntrustedError, CredentialError (for a writer)."""
    opened = read_document(handle.keys, Kind.REF, key, handle.store.get(key))
    ref = decode_record(opened.body, Ref, key)
    if key[:-10] != handle.keys.names.ref_prefix(ref.asset, ref.name):
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
    """The newest generation that can be read (what is passed over is noted), or None when there is no such ref.

    Raises what is wrong with the newest when none can be read.
    """
    return next(readable_refs(handle, generations_of(handle, handle.keys.names.ref_prefix(asset, name)).keys()), None)


def generations_of(handle: Handle, prefix: str) -> Generations:
    """The generations of the ref under `prefix`, from where this machine saw the last of them on."""
    return generations_at(handle.store, prefix, generation_hints(handle))


def readable_refs(handle: Handle, keys: Iterable[str], *, pass_untrusted: bool = False) -> Iterator[Ref]:
    """The generations of one ref that can be read, newest first, as `keys` are.

    Whoever can write to the store can put junk above the others, as he could delete them: it must not block what is
    intact, and is noted. Raises what is wrong with the newest when none can be read, and at once where a generation
    was written by a newer Holdfast, or (unless told otherwise) is signed by somebody whose signature does not count:
    then a person should look.
    """
    first: HoldfastError | None = None
    found = False
    for key in keys:
        try:
            ref = read_ref(handle, key)
        except UnsupportedFormatError:
            raise
        except (DamageError, UntrustedError, NotFoundError, FailedError) as error:
            if isinstance(error, UntrustedError) and not pass_untrusted:
                raise
            first = first or error
            handle.progress.note(f"passed over: {error.message}")
            continue
        found = True
        yield ref
    if first is not None and not found:
        raise first


def read_history(handle: Handle, asset: str, name: str) -> list[Ref]:
    """All generations that can be read, oldest first. Errors are those of `readable_refs`."""
    return list(read_backwards(handle, asset, name))[::-1]


def read_backwards(handle: Handle, asset: str, name: str) -> Iterator[Ref]:
    """The same, newest first, each read when it is asked for."""
    yield from readable_refs(handle, generations_of(handle, handle.keys.names.ref_prefix(asset, name)).keys())


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

    def make(generations: Generations) -> bytes | None:
        before = _newest_readable(handle, generations) if unless is not None else None
        if unless is not None and before is not None and unless(before):
            return None
        return write_document(handle.keys, Kind.REF, f"{prefix}{generations.highest + 1:010d}", record)

    return append_after(handle.store, prefix, make, generation_hints(handle))


def _newest_readable(handle: Handle, generations: Generations) -> Ref | None:
    try:
        return next(readable_refs(handle, generations.keys(), pass_untrusted=True), None)
    except (DamageError, UntrustedError, NotFoundError, FailedError):
        return None  # noted already; what is written now takes its place
