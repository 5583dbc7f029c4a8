"""Mail over SMTP (RFC 5321), with STARTTLS or TLS from the first byte (RFC 8314). An incident is one thread.

A message that is sent again has the same Message-ID: most mail programs show it once.
"""

from __future__ import annotations

import hashlib
import smtplib
import socket
import ssl
from collections.abc import Sequence
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Final

from holdfast.clock import NANOSECONDS
from holdfast.notifying.model import Message, Outcome
from holdfast.outgoing import is_loopback

__all__ = ["MailSender", "mail_of"]

_TIMEOUT_S: Final = 15.0
_SUBJECT_MAX: Final = 200


class MailSender:
    together = True

    def __init__(
        self,
        server: str,
        tls: str,
        user: str,
        password: str,
        sender: str,
        to: Sequence[str],
        organisation: str,
        ca: str = "",
    ) -> None:
        self._server, self._tls, self._user, self._password = server, tls, user, password
        self._sender, self._to, self._organisation, self._ca = sender, tuple(to), organisation, ca

    def send(self, messages: Sequence[Message]) -> Outcome:
        host, _, port = self._server.rpartition(":")
        host = host.strip("[]")
        if self._tls == "none" and self._password and not is_loopback(host):
            return Outcome(False, "a password is not sent over a line that anybody reads", again=False)
        mail = mail_of(messages, self._sender, self._to, self._organisation)
        try:
            context = ssl.create_default_context(cafile=self._ca or None)
            with self._connected(host, int(port), context) as server:
                if self._tls == "starttls":
                    server.starttls(context=context)
                if self._user:
                    server.login(self._user, self._password)
                refused = server.send_message(mail)
            if refused:
                return Outcome(False, f"{host} refused {len(refused)} of {len(self._to)} addresses")
            return Outcome(True)
        except smtplib.SMTPResponseException as error:
            # What the server says may repeat what it was told: only its code is.
            return Outcome(False, f"{host} answered {error.smtp_code}", again=400 <= error.smtp_code < 500)
        except (smtplib.SMTPException, OSError, ValueError, UnicodeError) as error:
            return Outcome(False, f"{host} takes no mail ({type(error).__name__})")

    def _connected(self, host: str, port: int, context: ssl.SSLContext) -> smtplib.SMTP:
        if self._tls == "tls":
            return smtplib.SMTP_SSL(host, port, timeout=_TIMEOUT_S, context=context)
        return smtplib.SMTP(host, port, timeout=_TIMEOUT_S)


def mail_of(messages: Sequence[Message], sender: str, to: Sequence[str], organisation: str) -> EmailMessage:
    """One mail for all of them. Line breaks in what others wrote make no headers: `EmailMessage` refuses them, and
    they are spaces before it sees them.
    """
    first = messages[0]
    more = f" (and {len(messages) - 1} more)" if len(messages) > 1 else ""
    mail = EmailMessage()
    domain = sender.rpartition("@")[2] or socket.gethostname()
    subject = f"[{organisation}] {first.action.value}: {first.summary}"[:_SUBJECT_MAX] + more
    mail["Subject"] = " ".join(subject.split())
    mail["From"] = sender
    mail["To"] = ", ".join(to)
    mail["Date"] = format_datetime(datetime.fromtimestamp(first.at // NANOSECONDS, UTC))
    named = hashlib.sha256("\0".join(message.id for message in messages).encode()).hexdigest()[:32]
    thread = f"<incident.{first.notice.key}@{domain}>"
    mail["Message-ID"] = f"<{named}@{domain}>"
    mail["References"] = thread
    mail["In-Reply-To"] = thread
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content("\n\n".join(map(_body, messages)) + "\n")
    return mail


def _body(message: Message) -> str:
    facts = "\n".join(f"  {name}: {value}" for name, value in message.facts.items())
    return f"{message.action.value.upper()}: {message.summary}\n\n{message.text}\n\n{facts}"
