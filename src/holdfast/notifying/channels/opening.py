"""From a channel of `holdfast.yaml` to what sends over it. Secrets are fetched when it is opened, and kept in it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from holdfast.config.notify_model import Channel
from holdfast.config.references import resolve
from holdfast.config.words import Reference
from holdfast.notifying.channels.alertmanager import AlertmanagerSender
from holdfast.notifying.channels.mail import MailSender
from holdfast.notifying.channels.pagerduty import ADDRESS, PagerDutySender
from holdfast.notifying.channels.port import Sender
from holdfast.notifying.channels.slack import SlackSender
from holdfast.notifying.channels.webhook import WebhookSender

__all__ = ["open_channel"]


def open_channel(channel: Channel, folder: Path, environment: Mapping[str, str], organisation: str) -> Sender:
    """`folder`: from which the paths of references count. Raises CredentialError."""

    def revealed(value: Reference | str | None) -> str:
        return resolve(value, folder, environment).reveal() if isinstance(value, Reference) else value or ""

    ca = str(folder / channel.ca) if channel.ca else ""
    url, secret = revealed(channel.url), revealed(channel.secret)
    match channel.kind:
        case "pagerduty":
            return PagerDutySender(secret, url or ADDRESS, organisation, ca)
        case "slack":
            return SlackSender(secret, ca)
        case "webhook":
            return WebhookSender(url, secret, organisation, ca)
        case "alertmanager":
            return AlertmanagerSender(url, organisation, ca)
        case "email":
            return MailSender(
                channel.server, channel.tls, channel.user, secret, channel.sender, channel.to, organisation, ca
            )
