"""E-mail over SMTP: text and HTML, threaded by incident, marked as sent by a machine.

Connection `smtp_alerts`, as Airflow's SMTP provider reads it: host, port, login, password, extras `from_email`,
`disable_ssl`, `disable_tls` (STARTTLS); and `to_email`, one address or several with commas.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import smtplib
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime, getaddresses
from typing import TYPE_CHECKING, Any

from include.operations.alerts import mail_body
from include.operations.alerts.channels.base import CONNECT_S, READ_S, NotDelivered
from include.operations.alerts.message import Message
from include.operations.errors import classify

if TYPE_CHECKING:
    from airflow.sdk import Connection

    from include.operations.alerts.settings import Settings


def from_connection(connection: Connection, settings: Settings) -> Mail:
    """Make the channel a connection describes.

    Raises:
        NotDelivered: it names no host, sender or recipient.
    """
    extra = connection.extra_dejson
    recipients = _addresses(str(extra.get("to_email") or settings.email_to))
    sender = next(iter(_addresses(str(extra.get("from_email") or connection.login or ""))), "")
    if not connection.host:
        raise NotDelivered("NO_HOST")
    if not recipients:
        raise NotDelivered("NO_RECIPIENT")
    if not sender:
        raise NotDelivered("NO_SENDER")
    tls = not _on(extra.get("disable_ssl"))
    starttls = not tls and not _on(extra.get("disable_tls"))
    return Mail(
        host=connection.host,
        port=connection.port or (465 if tls else 587 if starttls else 25),
        login=connection.login or "",
        password=connection.password or "",
        tls=tls,
        starttls=starttls,
        sender=sender,
        recipients=tuple(recipients),
    )


@dataclass(frozen=True, slots=True)
class Mail:
    """An SMTP server and who gets the mail."""

    host: str
    port: int
    login: str
    password: str
    tls: bool
    starttls: bool
    sender: str
    recipients: tuple[str, ...]
    name: str = "email"
    edits: bool = False

    def send(self, message: Message, *, key: str, place: Mapping[str, Any], edit: bool) -> dict[str, Any]:  # noqa: ARG002
        """Send; see `Channel.send`."""
        made = self.compose(message, key=key, place=place)
        try:
            with self._connected() as server:
                server.send_message(made, self.sender, list(self.recipients))
        except smtplib.SMTPRecipientsRefused as error:
            codes = [code for code, _ in error.recipients.values()]
            raise NotDelivered(f"SMTP_{min(codes)}") from None
        except smtplib.SMTPResponseException as error:
            raise NotDelivered(f"SMTP_{error.smtp_code}") from None
        except (smtplib.SMTPException, OSError, ValueError) as error:
            raise NotDelivered(classify(error).code) from None
        return {"message_id": place.get("message_id") or made["Message-ID"]}

    def compose(self, message: Message, *, key: str, place: Mapping[str, Any]) -> EmailMessage:
        """Build the mail."""
        domain = self.sender.rpartition("@")[2]
        made = EmailMessage()
        made["Subject"] = " ".join(f"{message.icon} [{message.environment}] {message.title}".split())[:200]
        made["From"] = Address("Pipeline alerts", addr_spec=self.sender)
        made["To"] = ", ".join(self.recipients)
        made["Date"] = format_datetime(datetime.now(UTC))
        # The same for each try: a copy that comes twice is recognised.
        made["Message-ID"] = f"<{hashlib.sha256(key.encode()).hexdigest()[:24]}@{domain}>"
        if first := place.get("message_id"):
            made["In-Reply-To"] = first
            made["References"] = first
        made["List-Id"] = f"Pipeline alerts <alerts.{re.sub(r'[^A-Za-z0-9-]', '-', message.environment)}.{domain}>"
        # No out-of-office answer to a machine.
        made["Auto-Submitted"] = "auto-generated"
        made["X-Auto-Response-Suppress"] = "All"
        made["Precedence"] = "list"
        if message.ping:
            made["Importance"] = "high"
        made.set_content(mail_body.text(message))
        picture = _png(message.picture)
        made.add_alternative(mail_body.html(message, has_picture=picture is not None), subtype="html")
        if picture is not None:
            _, part = made.iter_parts()
            part.add_related(picture, "image", "png", cid=f"<{mail_body.PICTURE}>", filename="statistics.png")
        return made

    def _connected(self) -> smtplib.SMTP:
        context = ssl.create_default_context()
        if self.tls:
            server: smtplib.SMTP = smtplib.SMTP_SSL(self.host, self.port, timeout=CONNECT_S, context=context)
        else:
            server = smtplib.SMTP(self.host, self.port, timeout=CONNECT_S)
        try:
            if server.sock is not None:
                server.sock.settimeout(READ_S)
            if self.starttls:
                server.starttls(context=context)
            if self.login and self.password:
                server.login(self.login, self.password)
        except BaseException:
            server.close()
            raise
        return server


def _addresses(text: str) -> list[str]:
    return [address for _, address in getaddresses([text.replace(";", ",")]) if "@" in address]


def _on(value: object) -> bool:
    return str(value).lower() in ("true", "1", "yes")


def _png(text: str) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True) if text else None
    except binascii.Error:
        return None
