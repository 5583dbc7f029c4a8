"""The one tree of errors.

::

    HoldfastError                     exit  retry helps
    ├── FailedError                      1  no     it did not work, and no more precise class fits
    │   ├── SourceChangedError           1  yes    a file changed while it was read; nothing was committed
    │   ├── StorageFullError             1  no     no space left on a store or a target
    │   └── MissingExtraError            1  no     an optional package is not installed
    ├── ArchivedError                    1  no     the object has to be asked for before it can be read
    ├── UsageError                       2  no     the call itself makes no sense
    ├── NotFoundError                    3  no     no such vault, asset, snapshot, tensor or file
    │   └── ObjectNotFoundError          3  no     a store has no object of that name
    ├── DamageError                      4  no     stored bytes are not what was written
    │   └── UnsupportedFormatError       4  no     written by a newer Holdfast
    ├── RefusedError                     5  no     a safety rule or a policy says no
    ├── ConflictError                    6  yes    somebody else was faster
    │   └── AlreadyExistsError           6  no     create-if-absent found the name taken
    ├── CredentialError                  7  no     keys or permissions do not suffice
    │   ├── WrongKeyError                7  no     this key does not open that
    │   ├── UntrustedError               7  no     the signature is not of a writer that the vault trusts
    │   └── PermissionDeniedError        7  no     the store, the file system or a policy refuses
    ├── StoreUnreachableError            8  yes    the store does not answer
    └── ObjectiveMissedError             9  no     it ran well and missed its objective

Each error carries a stable ``code`` (see ``docs/errors.md``), a ``hint`` (what to do), whether ``retry`` helps,
and the ``exit_code`` of the command. Messages name the object concerned and never hold a secret.
"""

from __future__ import annotations

from typing import ClassVar

__all__ = [
    "HoldfastError",
    "FailedError",
    "SourceChangedError",
    "StorageFullError",
    "MissingExtraError",
    "ArchivedError",
    "UsageError",
    "NotFoundError",
    "ObjectNotFoundError",
    "DamageError",
    "UnsupportedFormatError",
    "RefusedError",
    "ConflictError",
    "AlreadyExistsError",
    "CredentialError",
    "WrongKeyError",
    "UntrustedError",
    "PermissionDeniedError",
    "StoreUnreachableError",
    "ObjectiveMissedError",
]


class HoldfastError(Exception):
    """Base of everything that Holdfast raises on purpose.

    ``object_name`` is the store key, file or reference concerned, when there is one.
    """

    code: ClassVar[str] = "failed"
    exit_code: ClassVar[int] = 1
    retry: ClassVar[bool] = False
    default_hint: ClassVar[str] = ""

    def __init__(self, message: str, *, hint: str = "", object_name: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint or self.default_hint
        self.object_name = object_name

    def __str__(self) -> str:
        return self.message


class FailedError(HoldfastError):
    """It did not work, and no more precise class fits."""

    code = "failed"


class SourceChangedError(FailedError):
    """A file changed while it was being saved; nothing was committed."""

    code = "source-changed"
    retry = True
    default_hint = "save again when the writer has finished, or let `holdfast watch` wait for that"


class StorageFullError(FailedError):
    """No space is left on a store or a target."""

    code = "storage-full"
    default_hint = "free some space, or name another place; what was saved before is untouched"


class MissingExtraError(FailedError):
    """An optional package is not installed."""

    code = "missing-extra"


class ArchivedError(HoldfastError):
    """The object lies in an archive, and has to be asked for before it can be read."""

    code = "archived"
    default_hint = "`holdfast tier prewarm ASSET@REF --site SITE` asks for it, waits, and copies it"


class UsageError(HoldfastError):
    """The call itself makes no sense."""

    code = "usage"
    exit_code = 2


class NotFoundError(HoldfastError):
    """No such vault, asset, snapshot, tensor or file."""

    code = "not-found"
    exit_code = 3


class ObjectNotFoundError(NotFoundError):
    """A store has no object of that name."""

    code = "object-not-found"


class DamageError(HoldfastError):
    """Stored bytes are not what was written."""

    code = "damage"
    exit_code = 4
    default_hint = "restore from another replica of this vault, and see `holdfast vault check --read-data`"


class UnsupportedFormatError(DamageError):
    """The object is intact, and was written by a newer Holdfast."""

    code = "unsupported-format"
    default_hint = "use a newer version of holdfast"


class RefusedError(HoldfastError):
    """A safety rule or a policy says no."""

    code = "refused"
    exit_code = 5


class ConflictError(HoldfastError):
    """Somebody else was faster."""

    code = "conflict"
    exit_code = 6
    retry = True


class AlreadyExistsError(ConflictError):
    """Create-if-absent found the name taken."""

    code = "already-exists"
    retry = False


class CredentialError(HoldfastError):
    """Keys or permissions do not suffice."""

    code = "credential"
    exit_code = 7


class WrongKeyError(CredentialError):
    """This key does not open that."""

    code = "wrong-key"


class UntrustedError(CredentialError):
    """The signature is not of a writer that the vault's configuration trusts."""

    code = "untrusted"


class PermissionDeniedError(CredentialError):
    """The store, the file system or a policy refuses access."""

    code = "permission-denied"


class StoreUnreachableError(HoldfastError):
    """The store does not answer."""

    code = "store-unreachable"
    exit_code = 8
    retry = True


class ObjectiveMissedError(HoldfastError):
    """It ran well and missed its objective."""

    code = "objective-missed"
    exit_code = 9
