"""A mail server that delivers nowhere: what it accepts is kept for reading."""

from __future__ import annotations

import asyncio
import base64
import logging
import secrets
import ssl
import time
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any
from weakref import WeakSet

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from local.simulators.faults import Faults
from local.simulators.inbox import Inbox
from local.simulators.settings import MAIL_LOGIN, Settings

MOST_BYTES = 8_000_000


class Mail:
    """The handler of all SMTP sessions (the method names are aiosmtpd's hooks)."""

    def __init__(self, settings: Settings, inbox: Inbox, faults: Faults) -> None:
        self._settings = settings
        self._inbox = inbox
        self._faults = faults
        self._tls = _context(settings.certificate)
        self._sessions: WeakSet[SMTP] = WeakSet()
        self._refused: WeakSet[SMTP] = WeakSet()
        # At each login aiosmtpd warns of an attribute that it sets itself.
        logging.getLogger("mail.log").setLevel(logging.ERROR)

    def protocol(self) -> SMTP:
        """Return the protocol of one connection."""
        session = SMTP(
            self,
            hostname="simulator.localhost",
            ident="simulated mail server",
            data_size_limit=MOST_BYTES,
            enable_SMTPUTF8=True,
            tls_context=self._tls,
            require_starttls=self._tls is not None,
            auth_require_tls=self._tls is not None,
            authenticator=self._authenticate,
            loop=asyncio.get_running_loop(),
        )
        self._sessions.add(session)
        return session

    def close(self) -> None:
        """End the sessions clients have left open."""
        for session in list(self._sessions):
            _close(session)

    # --- hooks -----------------------------------------------------------------------------------
    async def handle_EHLO(  # noqa: N802
        self, server: SMTP, session: Session, _envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        """Greet; a server that hangs or drops connections does it here."""
        fault = self._faults.take("smtp", "EHLO") if self._greets() else None
        if fault is not None and fault.mode == "hang":
            self._faults.note("smtp", "EHLO", "hang")
            await self._faults.hang(fault)
        elif fault is not None and fault.mode == "drop":
            self._faults.note("smtp", "EHLO", "drop")
            _close(server)
        session.host_name = hostname
        return responses

    async def handle_MAIL(  # noqa: N802
        self, _server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Only those who have logged in may send."""
        if not session.authenticated:
            return self._noted("MAIL", "530 5.7.0 Authentication required")
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 2.1.0 OK"

    async def handle_RCPT(  # noqa: N802
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Accept any recipient, unless told to reject."""
        if self._is("reject_recipient", "RCPT"):
            return self._noted("RCPT", "550 5.1.1 No such user here")
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 2.1.5 OK"

    async def handle_DATA(self, server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        """Keep the message."""
        if self._is("temporary", "DATA"):
            return self._noted("DATA", "451 4.3.0 Try again later")
        entry = parse(envelope)
        self._inbox.put("email", entry["id"], entry)
        if self._is("lose_reply", "DATA"):
            _close(server)
        return self._noted("DATA", "250 2.0.0 Queued")

    # --- helpers ---------------------------------------------------------------------------------
    def _authenticate(
        self, server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, data: Any
    ) -> AuthResult:
        # A client tries one mechanism after the other: all of them are one refused login.
        if server not in self._refused and self._is("refuse_login", "AUTH"):
            self._refused.add(server)
        known = f"{MAIL_LOGIN}\0{self._settings.smtp_password}".encode()
        given = data.login + b"\0" + data.password if isinstance(data, LoginPassword) else b""
        if server in self._refused or not secrets.compare_digest(given, known):
            self._faults.note("smtp", "AUTH", "535")
            return AuthResult(success=False, handled=False, message="535 5.7.8 Authentication credentials invalid")
        return AuthResult(success=True, auth_data=MAIL_LOGIN)

    def _greets(self) -> bool:
        return self._faults.mode("smtp") in ("hang", "drop")

    def _is(self, mode: str, method: str) -> bool:
        return self._faults.mode("smtp") == mode and self._faults.take("smtp", method).mode == mode

    def _noted(self, method: str, answer: str) -> str:
        self._faults.note("smtp", method, answer[:3])
        return answer


def parse(envelope: Envelope) -> dict[str, Any]:
    """Return a message as the inbox keeps it: addresses, headers, text, HTML, attachments."""
    content = envelope.content or b""
    message = message_from_bytes(content if isinstance(content, bytes) else content.encode(), policy=policy.default)
    if not isinstance(message, EmailMessage):
        raise TypeError("the default policy makes EmailMessage")
    text, html = message.get_body(("plain",)), message.get_body(("html",))
    return {
        "id": secrets.token_hex(8),
        "from": envelope.mail_from,
        "to": list(envelope.rcpt_tos),
        "subject": str(message["Subject"] or ""),
        "headers": {name: str(value) for name, value in message.items()},
        "text": _body(text),
        "html": _body(html),
        "attachments": [_attachment(part) for part in message.walk() if _is_file(part)],
        "received_at": time.time(),
    }


def _body(part: Any) -> str:
    return str(part.get_content()) if part is not None else ""


def _is_file(part: Any) -> bool:
    return not part.is_multipart() and (part.get_filename() or part.get_content_maintype() != "text")


def _attachment(part: Any) -> dict[str, Any]:
    content = part.get_payload(decode=True) or b""
    return {
        "name": part.get_filename() or "",
        "type": part.get_content_type(),
        "cid": str(part["Content-ID"] or "").strip("<>"),
        "size": len(content),
        "content": base64.b64encode(content).decode(),
    }


def _context(certificate: str) -> ssl.SSLContext | None:
    if not certificate:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    return context


def _close(server: SMTP) -> None:
    if server.transport is not None:
        server.transport.abort()  # type: ignore[attr-defined]
