"""What an observer says at one moment of all that it looks at: a record for others, and its parser."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from holdfast.detection.looks import State
from holdfast.errors import DamageError

__all__ = ["Observation", "Seen", "decode_observation", "encode_observation"]

_PROBES_MAX: Final = 1000
_TEXT_MAX: Final = 300
Moment = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]


class Seen(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One thing, as this observer judges it after its own looks. Times are ns since the epoch, 0: never."""

    state: State
    since: Moment = 0
    last_good: Moment = 0
    text: str = ""
    value: float | None = None


class Observation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`observer`: the label of the key that signs it, or `label/place`: one key has one voice, wherever it looks from.

    `at`: ns since the epoch, by its clock.
    """

    observer: str
    at: Moment
    probes: dict[str, Seen]

    @property
    def label(self) -> str:
        """Whose key it is."""
        return self.observer.partition("/")[0]


_DECODER: Final = msgspec.json.Decoder(Observation)


def encode_observation(observation: Observation) -> bytes:
    """Canonical JSON."""
    return msgspec.json.encode(observation, order="sorted")


def decode_observation(name: str, body: bytes) -> Observation:
    """Raises DamageError for anything but an observation."""
    try:
        found = _DECODER.decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError, ValueError) as error:
        raise DamageError(f"{name} is no observation ({error})", object_name=name) from error
    texts = [found.observer, *found.probes, *(seen.text for seen in found.probes.values())]
    sound = all(len(text) <= _TEXT_MAX and (text.isprintable() or not text) for text in texts)
    if not sound or len(found.probes) > _PROBES_MAX or not found.label:
        raise DamageError(f"{name} is no observation: it says what cannot be", object_name=name)
    return found
