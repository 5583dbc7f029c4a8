"""Names for vaults that this machine has opened before, so that a URL can say which one it means."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from holdfast.control.vaults.known_vaults import known_vaults_file
from holdfast.errors import FailedError, NotFoundError, UsageError

__all__ = ["Place", "known_place", "is_named"]

_ID_DIGITS_MIN = 8


class Place(NamedTuple):
    """Where a vault is: a store's URL, and the options that this machine remembers for it."""

    url: str
    options: dict[str, str]


class _Known(msgspec.Struct, frozen=True):
    vault: str


def known_place(name: str, environment: Mapping[str, str] = os.environ) -> Place:
    """The place of the vault that was opened here before and has this name.

    A name is the vault's id, its first 8 or more digits, or the last name of its place (`models` of
    `s3://bucket/models`). Raises NotFoundError, FailedError, UsageError when several vaults have it, or one that was
    opened at several places (the vault and its replicas).
    """
    file = known_vaults_file(environment)
    try:
        known = msgspec.json.decode(file.read_bytes(), type=dict[str, _Known])
    except FileNotFoundError:
        known = {}
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise FailedError(f"the vaults that this machine knows cannot be read from {file} ({error})") from error
    places = {place: _place(place) for place, seen in known.items() if is_named(name, seen.vault, _place(place).url)}
    if not places:
        raise NotFoundError(
            f"no vault that was opened on this machine is called {name!r}",
            hint="give its place as the option `vault`, or open it once: `holdfast vault info`",
        )
    if len(places) > 1 and len({known[place].vault for place in places}) == 1:
        raise UsageError(
            f"{name!r} names one vault, which was opened at {len(places)} places: {', '.join(sorted(places))}",
            hint="say at which to read it, with the storage option `vault`",
        )
    if len(places) > 1:
        raise UsageError(
            f"{name!r} names {len(places)} vaults: {', '.join(sorted(places))}",
            hint="name it by its id, or give its place as the option `vault`",
        )
    [place] = places.values()
    return place


def is_named(name: str, vault_id: str, url: str) -> bool:
    """Whether a vault has this name."""
    if len(name) >= _ID_DIGITS_MIN and vault_id.startswith(name.lower()):
        return True
    return name == url.rstrip("/").rpartition("/")[2]


def _place(text: str) -> Place:
    """As `known_vaults` writes it: `<url>`, or `<url> at <endpoint>`."""
    url, _, endpoint = text.partition(" at ")
    return Place(url, {"endpoint": endpoint} if endpoint else {})
