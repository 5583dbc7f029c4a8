"""Slack, an incoming webhook (https://api.slack.com/messaging/webhooks). Its address is the secret.

What people and machines wrote is escaped as Slack asks for: `&`, `<` and `>`; so nobody is called by it, and no link is
made of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from holdfast.notifying.model import Action, Message, Outcome
from holdfast.notifying.posting import post

__all__ = ["SlackSender", "slack_message"]

_BLOCK_MAX: Final = 2900  # Slack takes 3000 characters in a section
_BLOCKS_MAX: Final = 20
_MARK: Final = {Action.TRIGGER: "FIRING", Action.ACKNOWLEDGE: "ACKNOWLEDGED", Action.RESOLVE: "RESOLVED"}


class SlackSender:
    together = True

    def __init__(self, address: str, ca: str = "") -> None:
        self._address, self._ca = address, ca

    def send(self, messages: Sequence[Message]) -> Outcome:
        return post(self._address, msgspec.json.encode(slack_message(messages)), {}, good=(200,), ca=self._ca)


def slack_message(messages: Sequence[Message]) -> dict[str, object]:
    """`text` is what a notification shows; `blocks` what stands in the channel."""
    first = messages[0]
    more = f" (and {len(messages) - 1} more)" if len(messages) > 1 else ""
    head = f"[{_MARK[first.action]}] {first.summary}{more}"
    blocks = [_block(message) for message in messages[:_BLOCKS_MAX]]
    if len(messages) > _BLOCKS_MAX:
        blocks.append(_section(f"and {len(messages) - _BLOCKS_MAX} more: `holdfast incident list`"))
    return {"text": _escaped(head), "blocks": blocks}


def _block(message: Message) -> dict[str, object]:
    facts = "\n".join(f"{_escaped(name)}: {_escaped(value)}" for name, value in message.facts.items())
    head = f"*[{_MARK[message.action]}] {_escaped(message.summary)}*"
    return _section(f"{head}\n{_escaped(message.text)}\n{facts}"[:_BLOCK_MAX])


def _section(text: str) -> dict[str, object]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}}


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
