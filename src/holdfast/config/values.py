"""How the words of `holdfast.yaml` are written, and read.

Every reader raises UsageError with a sentence. It shows what was written only where that can hold no secret.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable
from difflib import get_close_matches
from typing import Any, Final, NamedTuple, NoReturn

from holdfast.config.words import Home, Reference, Stripes, Tier
from holdfast.errors import UsageError
from holdfast.objectives.retention_policy import COMPONENTS, KEPT_TOGETHER
from holdfast.units import parse_duration, parse_rate

__all__ = ["Word", "WORDS", "SCALARS", "is_reference", "looks_secret", "nearest", "shown"]

_CENTURY_S = 36_500 * 86_400
_PHB: Final = {"EF": 46, "VA": 44, "LE": 1} | {f"CS{number}": 8 * number for number in range(8)}
_PHB.update({f"AF{high}{drop}": 8 * high + 2 * drop for high in range(1, 5) for drop in range(1, 4)})
_REFERENCE: Final = r"\$\{[A-Za-z_][A-Za-z0-9_]*\}|file:[^\x00-\x1f\x7f]+"
_NO_REFERENCE: Final = r"(?!.*\$\{)"
_DURATION: Final = r"[0-9]{1,12}(\.[0-9]{1,9})?\s?(ms|s|m|min|h|d|w)"
_RATE: Final = r"[0-9]{1,12}(\.[0-9]{1,9})?\s?([kMGT]?bit|B|[KMGTP]iB|[kKMGTP]B)/s"
_NAME: Final = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
_ZONE: Final = r"[A-Za-z0-9][A-Za-z0-9_+-]{0,31}(/[A-Za-z0-9_+-]{1,32}){0,2}"
_BLOB: Final = re.compile(r"[A-Za-z0-9+][A-Za-z0-9+/=_]{23,}")
_SECRETS: Final = [
    re.compile(one)
    for one in (
        r"(AKIA|ASIA)[0-9A-Z]{16}",
        r"-----BEGIN",
        r"(?i)(account|shared\w*|secret\w*)key=",
        r"[?&;](sig|sv|X-Amz-Signature|X-Amz-Credential|token|password)=",
        r"\bxox[abeprs]-",
        r"\bgh[pousr]_[A-Za-z0-9]{20}",
        r"\bsk-[A-Za-z0-9_-]{20}",
        r"\bAIza[0-9A-Za-z_-]{30}",
        r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}",
        r"hooks\.slack\.com/services/.",
        r"//[^/@\s]*:[^/@\s]*@",
    )
]
_SHOWN_MAX = 60
_ASSET_BYTES_MAX = 1024  # as the vault's format allows
_KNOWN_MAX = 100  # among more names a misspelt one is not looked for
_STRIPES_MAX = 32


class Word(NamedTuple):
    """`read`: from the text. `pattern`: what a JSON Schema tests; empty where it is no text.

    `numbers`: it may (also) be written as a number, of `number_type`, within these limits.
    """

    read: Callable[[str], Any]
    pattern: str
    says: str
    numbers: dict[str, Any] | None = None
    number_type: str = "integer"


def looks_secret(text: str) -> bool:
    """Whether this may well be a key, a token or a password of some service. It errs on both sides."""
    if any(pattern.search(text) for pattern in _SECRETS):
        return True
    kinds = (str.isupper, str.islower, str.isdigit)
    return bool(_BLOB.fullmatch(text)) and all(any(kind(one) for one in text) for kind in kinds)


def shown(text: str) -> str:
    """A word of the file in a message: quoted, escaped, not too long; not what may be a secret in a wrong place."""
    if looks_secret(text):
        return "this (it looks like a secret, and is not shown)"
    return repr(text if len(text) <= _SHOWN_MAX else f"{text[:_SHOWN_MAX]}…")


def nearest(name: str, known: Any) -> str:
    """`; did you mean `x`?`, or nothing where nothing is near."""
    names = [str(one) for one in known]
    close = get_close_matches(name[:_SHOWN_MAX], names, 1) if len(names) <= _KNOWN_MAX else []
    return f"; did you mean `{close[0]}`?" if close else ""


def is_reference(text: str) -> bool:
    """Whether it is `${NAME}` or `file:PATH`, and not a URL."""
    return re.fullmatch(_REFERENCE, text) is not None and not text.startswith("file://")


def _refuse(sentence: str) -> NoReturn:
    raise UsageError(sentence)


def _duration(text: str) -> float:
    if text == "0":
        return 0.0
    if not re.fullmatch(_DURATION, text):
        _refuse(f"{shown(text)} is not a duration: write a number and a unit, as in 90s, 30min, 2h or 7d")
    seconds = parse_duration(text)
    return seconds if seconds <= _CENTURY_S else _refuse(f"{shown(text)} is more than a hundred years")


def _rate(text: str) -> float:
    if looks_secret(text):
        _refuse(f"{shown(text)} is not a rate: write it as 10Gbit/s or 100MiB/s")
    try:
        rate = parse_rate(text)
    except UsageError as error:
        _refuse(error.message if ": " in error.message else f"{error.message}: write it as 10Gbit/s or 100MiB/s")
    return rate if re.fullmatch(_RATE, text) else _refuse(f"{shown(text)} is not a rate: write it as 10Gbit/s")


def _price(text: str) -> float:
    try:
        price = float(text) if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,12})?", text) else math.nan
    except ValueError:
        price = math.nan
    return price if math.isfinite(price) else _refuse(f"{shown(text)} is not a price: write a number, as in 0.02")


def _dscp(text: str) -> int:
    if text in _PHB:
        return _PHB[text]
    number = int(text) if re.fullmatch(r"[0-9]{1,2}", text) else 64
    return number if number < 64 else _refuse(f"{shown(text)} is no DSCP: 0 to 63, or a name as in CS1, AF11, EF, LE")


def _name(text: str) -> str:
    if not re.fullmatch(_NAME, text):
        _refuse(f"{shown(text)} is no name: up to 64 letters, digits, `-`, `_` and `.`, a letter or digit first")
    return text


def _asset_name(text: str) -> str:
    name = unicodedata.normalize("NFC", text)
    if not name.strip() or len(name.encode()) > _ASSET_BYTES_MAX or not name.isprintable():
        _refuse(f"{shown(text)} is no name of an asset: 1 to {_ASSET_BYTES_MAX} bytes, none that cannot be printed")
    if set(name) & set("*?"):
        _refuse(f"{shown(text)} is no name of an asset: `*` and `?` stand for others in the rules of retention")
    return name


def _jurisdiction(text: str) -> str:
    if not re.fullmatch(r"[A-Z][A-Z0-9-]{1,15}", text):
        _refuse(f"{shown(text)} is no jurisdiction: write 2 to 16 capitals, digits and `-`, as in EU, US or US-CA")
    return text


def _text(text: str) -> str:
    if not text.strip() or len(text) > 400 or not text.isprintable():
        _refuse("this has to be 1 to 400 characters that can be printed")
    return text


def _path(text: str) -> str:
    if not text.strip() or len(text) > 4096 or not text.isprintable():
        _refuse("this is no path")
    if text.startswith("~"):
        _refuse(f"{shown(text)}: `~` is not replaced here; write the whole path")
    return text


def _url(text: str) -> str:
    # Nothing of it is shown: it may hold a password. `checking/stores.py` says what is the matter.
    if not text.strip() or len(text) > 1024 or not text.isprintable() or " " in text:
        _refuse("this is no URL of a store")
    return text


def _zone(text: str) -> str:
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        if text != "UTC" and (not re.fullmatch(_ZONE, text) or not ZoneInfo(text)):
            raise ValueError
    except (ValueError, OSError, ZoneInfoNotFoundError):
        _refuse(f"{shown(text)} is no time zone of this machine: write UTC, or a name as in Europe/Paris")
    return text


def _clock(text: str) -> int:
    match = re.fullmatch(r"([0-9]{1,2}):([0-9]{2})", text)
    minutes = int(match[1]) * 60 + int(match[2]) if match and int(match[2]) < 60 else 1441
    return minutes if minutes <= 1440 else _refuse(f"{shown(text)} is no time of day: write 08:00 to 24:00")


def _component(text: str) -> str:
    if text == KEPT_TOGETHER:
        _refuse("`other` holds folders and links, and goes only with its snapshot")
    if text not in COMPONENTS:
        near = nearest(text, COMPONENTS) or f": it can have {', '.join(COMPONENTS)}"
        _refuse(f"a snapshot has no component {shown(text)}{near}")
    return text


def _within(text: str) -> str:
    _duration(text)
    return text


def _stripes(text: str) -> Stripes:
    match = re.fullmatch(r"([0-9]{1,2})\+([0-9]{1,2})", text)
    found = Stripes(int(match[1]), int(match[2])) if match else Stripes(0, 0)
    if found.k < 2 or found.m < 1 or found.n > _STRIPES_MAX:
        _refuse(
            f"{shown(text)} are no stripes: write 2+1 or 4+2, data and parity; "
            f"from 2+1 up to {_STRIPES_MAX} sites (1+1 are two copies)"
        )
    return found


def _home(text: str) -> Home:
    site, slash, tier = text.partition("/")
    if not re.fullmatch(_NAME, site) or (slash and tier not in [one.value for one in Tier]):
        _refuse(f"{shown(text)} is no home: write a site, or a site and its tier as in use1/hot")
    return Home(site, Tier(tier) if slash else None)


def _reference(text: str) -> Reference:
    if text.startswith("file://"):
        _refuse("a reference is no URL: write file:PATH, as in file:/run/secrets/key")
    if not is_reference(text):  # perhaps a secret: it is not shown
        _refuse("a secret is not written here, only where it is: ${NAME} of the environment, or file:PATH")
    if text.startswith("$"):
        return Reference("environment", text[2:-1])
    return Reference("file", text.removeprefix("file:"))


WORDS: Final[dict[str, Word]] = {
    "duration": Word(_duration, rf"^({_DURATION})$", "a duration: 90s, 30min, 2h, 7d", {"const": 0}),
    "rate": Word(_rate, rf"^({_RATE})$", "a rate: 10Gbit/s, 100MiB/s"),
    "price": Word(_price, "", "money for 10^9 bytes", {"minimum": 0, "maximum": 10**9}, "number"),
    "hourly price": Word(_price, "", "money for one machine and hour", {"minimum": 0, "maximum": 10**9}, "number"),
    "dscp": Word(
        _dscp, f"^({'|'.join(_PHB)})$", "a mark of packets: 0 to 63, or its name", {"minimum": 0, "maximum": 63}
    ),
    "name": Word(_name, f"^{_NAME}$", "a name"),
    "asset name": Word(_asset_name, rf"^{_NO_REFERENCE}[^*?\x00-\x1f\x7f]+$", "the name of an asset"),
    "jurisdiction": Word(_jurisdiction, r"^[A-Z][A-Z0-9-]{1,15}$", "a jurisdiction: EU, US"),
    "text": Word(_text, rf"^{_NO_REFERENCE}[^\x00-\x1f\x7f]{{1,400}}$", "a line of text"),
    "path": Word(_path, rf"^{_NO_REFERENCE}[^~\x00-\x1f\x7f][^\x00-\x1f\x7f]{{0,4095}}$", "a path"),
    "url": Word(
        _url,
        rf"^{_NO_REFERENCE}[^\s\x00-\x1f\x7f]{{1,1024}}$",
        "a store: a folder, file:///folder, s3://…, gs://… or az://…",
    ),
    "zone": Word(_zone, rf"^{_ZONE}$", "a time zone: UTC, Europe/Paris"),
    "clock": Word(_clock, r"^([01]?[0-9]|2[0-3]):[0-5][0-9]$|^24:00$", "a time of day: 08:00"),
    "component": Word(_component, f"^({'|'.join(COMPONENTS)})$", "a component of a checkpoint"),
    "within": Word(_within, rf"^({_DURATION})$", "a duration: 7d", {"const": 0}),
}
"""Kind of word (`words.py`) → how it is read."""

SCALARS: Final[dict[type, Word]] = {
    Stripes: Word(_stripes, r"^[0-9]{1,2}\+[0-9]{1,2}$", "data and parity: 2+1, 4+2"),
    Home: Word(_home, rf"^{_NAME}(/(hot|warm|cold))?$", "a site, or a site and its tier: use1/hot"),
    Reference: Word(_reference, rf"^({_REFERENCE})$", "where a secret is: ${NAME} or file:PATH"),
}
"""Type that is written as one word → how it is read."""
