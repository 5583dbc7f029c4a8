"""Taking secrets out of text that is kept with a snapshot: a diff, a remote, a hyperparameter, a variable.

By what values look like, and by the names that they are given. It errs on the side of hiding. What looks like nothing
in particular under a harmless name is not noticed: nobody should have written it there.
"""

from __future__ import annotations

import re

__all__ = ["HIDDEN", "scrubbed", "is_secret_name"]

HIDDEN = "(hidden)"

_NAMES = (
    r"(?:secret|passw(?:or)?d|passphrase|passwd|token|api[_-]?key|access[_-]?key|private[_-]?key|credential|auth"
    r"|(?:encryption|signing|account|storage|subscription|master|shared|deploy|license)[_-]?key|connection[_-]?string)"
)
_NAME = re.compile(rf"(?i:{_NAMES})[sS]?(?![a-z])")  # `secretKey` is one, `secretary` is none
_HARMLESS = re.compile(
    r"tokeni[sz]er|tokens?_?(?:per|seen|count|ids?(?![a-z])|type|len|budget)|authors?(?![a-z])"
    r"|(?:max|num|n|new|pad|eos|bos|unk|mask|special|per)[_-][\w-]*tokens?|(?:max|num|new)tokens"
    r"|(?:pad|eos|bos|unk|mask|sep|cls)_token",
    re.IGNORECASE,
)
_TEXT = (
    r'(?:[a-z]{0,2}(?:"""[\s\S]*?(?:"""|\Z)|' + r"'''[\s\S]*?(?:'''|\Z)"
    r'|"(?:\\.|[^"\\\n])*"' + r"|'(?:\\.|[^'\\\n])*')"
    r'|\\+"(?:[^"\\\n]|\\+[^"\\\n])*\\+"'  # in a string of a string, as notebooks are kept
    r"|[^\s,;)}\]]+)"
)
_ANNOTATION = r"[\w.| \t]{1,60}(?:\[[^\]\n]{0,60}\])?[\w.| \t]{0,40}=[ \t]{0,9}"
_ASSIGNED = re.compile(
    rf"""(?P<name>[\w.\-]{{0,60}}?{_NAMES}s?[\w\-]{{0,60}}\\{{0,4}}["']?[ \t]{{0,4}}\]?[ \t]{{0,9}}"""
    rf"""(?:=>|[:?+!=]?=|:)[ \t]{{0,9}})"""
    rf"""(?P<value>(?:{_ANNOTATION})?(?:\([ \t]{{0,9}}(?:\n[+ -]?[ \t]{{0,40}})?)?{_TEXT})""",
    re.IGNORECASE,
)
# setdefault("API_KEY", "…"), add_argument("-p", "--password", default="…"); --password …
_CALLED = re.compile(
    rf"""(?P<name>\([ \t]{{0,9}}(?:["']-\w["'],[ \t]{{0,9}})?\\?["'][\w.\-]{{0,60}}?{_NAMES}s?[\w\-]{{0,60}}\\?["']"""
    rf"""[ \t]{{0,9}},[ \t]{{0,9}})(?P<value>[^\n]+)""",
    re.IGNORECASE,
)
_FLAG = re.compile(
    rf"(?P<name>(?<![\w-])--[\w\-]{{0,60}}?{_NAMES}s?[\w\-]{{0,60}}[ \t]{{1,9}})(?P<value>(?!-){_TEXT})", re.IGNORECASE
)
_SHAPES = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"
    r"|\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"
    r"|\bgh[pousr]_[A-Za-z0-9]{30,}|\bgithub_pat_\w{22,}|\bglpat-[\w-]{20,}"
    r"|\bhf_[A-Za-z0-9]{20,}|\bsk-[A-Za-z0-9_-]{20,}|\bxox[abprs]-[A-Za-z0-9-]{10,}|\bAIza[\w-]{35}"
    r"|\bwandb_v1_\w{20,}|\bnpm_[A-Za-z0-9]{30,}|\bpypi-[\w-]{40,}"
    r"|\beyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]*"
    r"|\b(?i:bearer)[ \t]+[\w.~+/=-]{16,}"
)
_HEADER = re.compile(
    r"(?P<name>\bauthorization\b\W{1,9})(?:(?:bearer|basic|token|digest|negotiate)[ \t]+)?[^\s\"'\\,;]+", re.IGNORECASE
)
_USER = re.compile(r"(?P<name>(?<!\S)(?:-u|--user)[ \t=]{1,9})[\"']?[^\s:\"']{1,100}:[^\s\"']+")
_LOGIN = re.compile(r"(?P<name>\blogin\()[^)\n]+")
_IN_URL = re.compile(r"(?P<scheme>\b[a-z][a-z0-9+.-]{0,30}://)[^\s/]{1,4000}@", re.IGNORECASE)
_SIGNED = re.compile(r"(?P<name>[?&](?:sig|signature|x-amz-\w[\w-]*|se|sp|token|key)=)[^&\s\"']+", re.IGNORECASE)


def is_secret_name(name: str) -> bool:
    """Whether something of this name is likely to be secret. `max_tokens` and `tokenizer` are not."""
    return bool(_NAME.search(_HARMLESS.sub("", name)))


def scrubbed(text: str) -> str:
    """The text without what looks like a secret."""
    text = _SHAPES.sub(HIDDEN, text)
    text = _IN_URL.sub(rf"\g<scheme>{HIDDEN}@", text)
    for named in (_SIGNED, _HEADER, _USER, _LOGIN):
        text = named.sub(rf"\g<name>{HIDDEN}", text)
    for named in (_CALLED, _FLAG):
        text = named.sub(_hidden, text)
    return _ASSIGNED.sub(_hidden, text)


def _hidden(match: re.Match[str]) -> str:
    if is_secret_name(match["name"]):
        return f"{match['name']}{HIDDEN}"
    return f"{match['name']}{_ASSIGNED.sub(_hidden, match['value'])}"  # another name may stand in it
