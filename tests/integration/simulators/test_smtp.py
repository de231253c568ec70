"""The standard library's SMTP client against the simulated mail server."""

from __future__ import annotations

import smtplib
import ssl
from email.message import EmailMessage
from pathlib import Path

import pytest

from local.simulators import certificate
from local.simulators.settings import MAIL_LOGIN
from local.simulators.testing import AlertSink

PNG = b"\x89PNG\r\n\x1a\n" + bytes(50)


def mail(subject: str = "Volunteers sync failed: Gürtel") -> EmailMessage:
    message = EmailMessage()
    message["Subject"], message["From"], message["To"] = subject, "pipelines@localhost", "on-call@localhost"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content("plain text")
    message.add_alternative('<p>a <b>table</b> <img src="cid:week"></p>', subtype="html")
    message.get_payload()[1].add_related(PNG, "image", "png", cid="<week>")  # type: ignore[index,union-attr]
    return message


def send(sink: AlertSink, message: EmailMessage | None = None, *, password: str = "", timeout: float = 60) -> None:
    settings = sink.settings
    with smtplib.SMTP("127.0.0.1", settings.smtp_port, timeout=timeout) as client:
        client.login(MAIL_LOGIN, password or settings.smtp_password)
        client.send_message(message or mail())


def test_a_mail_can_be_read_whole(alert_sink: AlertSink) -> None:
    send(alert_sink)
    (found,) = alert_sink.emails()
    assert (found["from"], found["to"]) == ("pipelines@localhost", ["on-call@localhost"])
    assert found["subject"] == "Volunteers sync failed: Gürtel"
    assert found["headers"]["Auto-Submitted"] == "auto-generated"
    assert found["text"].strip() == "plain text"
    assert "<b>table</b>" in found["html"]
    (picture,) = found["attachments"]
    assert (picture["type"], picture["cid"], picture["size"]) == ("image/png", "week", len(PNG))


def test_nothing_is_accepted_without_login(alert_sink: AlertSink) -> None:
    with (
        smtplib.SMTP("127.0.0.1", alert_sink.settings.smtp_port, timeout=60) as client,
        pytest.raises(smtplib.SMTPSenderRefused, match="Authentication required") as raised,
    ):
        client.send_message(mail())
    assert raised.value.smtp_code == 530
    with pytest.raises(smtplib.SMTPAuthenticationError) as refused:
        send(alert_sink, password="wrong")
    assert refused.value.smtp_code == 535
    assert alert_sink.emails() == []


def test_a_refused_login_counts_once_for_all_its_mechanisms(alert_sink: AlertSink) -> None:
    alert_sink.behave("smtp", "refuse_login", times=1)
    with pytest.raises(smtplib.SMTPAuthenticationError):
        send(alert_sink)
    send(alert_sink)
    assert len(alert_sink.emails()) == 1


def test_rejected_recipient_and_temporary_trouble(alert_sink: AlertSink) -> None:
    alert_sink.behave("smtp", "reject_recipient", times=1)
    with pytest.raises(smtplib.SMTPRecipientsRefused) as rejected:
        send(alert_sink)
    assert rejected.value.recipients["on-call@localhost"][0] == 550
    alert_sink.behave("smtp", "temporary", times=1)
    with pytest.raises(smtplib.SMTPDataError) as temporary:
        send(alert_sink)
    assert temporary.value.smtp_code == 451
    assert [r["outcome"] for r in alert_sink.requests("smtp")] == ["550", "451"]
    assert alert_sink.emails() == []


def test_hang_drop_and_lost_reply(alert_sink: AlertSink) -> None:
    alert_sink.behave("smtp", "hang")
    with pytest.raises((smtplib.SMTPServerDisconnected, TimeoutError)):
        send(alert_sink, timeout=0.5)
    assert alert_sink.emails() == []
    alert_sink.behave("smtp", "drop")
    with pytest.raises(smtplib.SMTPServerDisconnected):
        send(alert_sink)
    assert alert_sink.emails() == []
    alert_sink.behave("smtp", "lose_reply")
    with pytest.raises(smtplib.SMTPServerDisconnected):
        send(alert_sink)
    assert len(alert_sink.emails()) == 1


def test_a_slow_server_answers_in_the_end(alert_sink: AlertSink) -> None:
    alert_sink.behave("smtp", "hang", seconds=0.2)
    send(alert_sink)
    assert len(alert_sink.emails()) == 1


def test_with_a_certificate_starttls_is_wanted_and_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.providers.smtp.hooks.smtp import SmtpHook

    pem = certificate.make(tmp_path / "mail.pem")
    with AlertSink(certificate=pem) as sink:
        with smtplib.SMTP("127.0.0.1", sink.settings.smtp_port, timeout=60) as client:
            with pytest.raises(smtplib.SMTPNotSupportedError):
                client.login(MAIL_LOGIN, sink.settings.smtp_password)
            with pytest.raises(smtplib.SMTPSenderRefused, match="STARTTLS"):
                client.send_message(mail())
        # Nobody vouches for the certificate yet.
        monkeypatch.setenv("AIRFLOW_CONN_SMTP_ALERTS", sink.connections["AIRFLOW_CONN_SMTP_ALERTS"])
        with pytest.raises(ssl.SSLCertVerificationError), SmtpHook(smtp_conn_id="smtp_alerts"):
            pass
        monkeypatch.setenv("SSL_CERT_FILE", str(pem))
        with SmtpHook(smtp_conn_id="smtp_alerts") as hook:
            hook.send_email_smtp(to="on-call@localhost", subject="encrypted", html_content="x")
        assert [found["subject"] for found in sink.emails()] == ["encrypted"]
