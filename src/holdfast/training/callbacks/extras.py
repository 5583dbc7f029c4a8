"""The one error for a framework that is not installed."""

from __future__ import annotations

from holdfast.errors import MissingExtraError

__all__ = ["missing_extra"]


def missing_extra(extra: str, package: str, error: ImportError) -> MissingExtraError:
    """For `raise missing_extra(...) from error`. Names the extra; says so when the package is there and does not
    load.
    """
    if isinstance(error, ModuleNotFoundError) and error.name is not None and package.startswith(error.name):
        return MissingExtraError(f"{package} is not installed", hint=f'pip install "holdfast[{extra}]"')
    return MissingExtraError(f"{package} cannot be imported: {error}", hint=f'pip install "holdfast[{extra}]"')
