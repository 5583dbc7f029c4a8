"""Who is told by webhooks: addresses that may be sent to, events that there are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

from holdfast.config.checking.subject import Said, Subject
from holdfast.config.values import nearest
from holdfast.config.webhooks_model import EVENT_TYPES, Webhook, matches

__all__ = ["check_webhooks"]

_MOST: Final = 32
_LONGEST_S: Final = 7 * 86_400.0


def check_webhooks(subject: Subject) -> Iterator[Said]:
    """What would only show when something happens."""
    hooks = subject.config.webhooks
    if len(hooks) > _MOST:
        yield Said(("webhooks",), f"{len(hooks)} receivers are more than the {_MOST} that are told")
    for name, hook in hooks.items():
        path = ("webhooks", name)
        yield from _address(hook, name)
        if not 1 <= len(hook.secret) <= 2 and not subject.is_torn(*path):
            yield Said((*path, "secret"), "one secret signs, or two while one is replaced")
        if not hook.events and not subject.is_torn(*path):
            yield Said((*path, "events"), "at least one kind of event is needed here, as in `run.*`")
        for number, pattern in enumerate(hook.events):
            if not any(matches(pattern, kind) for kind in EVENT_TYPES):
                near = nearest(pattern, EVENT_TYPES) or "; docs/webhooks.md lists them"
                yield Said((*path, "events", number), f"there is no event `{pattern[:60]}`{near}")
        if not 60 <= hook.trying <= _LONGEST_S:
            yield Said((*path, "trying"), "an event is sent again for at least 1 min, and for a week at most")


def _address(hook: Webhook, name: str) -> Iterator[Said]:
    if not isinstance(hook.url, str):
        return
    from holdfast.outgoing import is_loopback  # it brings TLS along, which a file without webhooks does not need

    try:
        parts = urlsplit(hook.url)
        host = parts.hostname or ""
    except ValueError:
        host = ""
    if not host or parts.scheme not in ("http", "https"):
        yield Said(("webhooks", name, "url"), "this is no address of the web: https://…")
    elif parts.scheme == "http" and not is_loopback(host):
        yield Said(("webhooks", name, "url"), f"{host[:60]} is not this machine: what goes there goes over https")
