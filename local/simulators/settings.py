"""What one simulator process needs to know: its ports, the secrets its clients must show, and their connections."""

from __future__ import annotations

import secrets
import string
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote, urlencode

from local.settings_file import SettingsFile

HOST = "127.0.0.1"
CHANNEL = "#alerts"
MAIL_LOGIN = "alerts"
MAIL_FROM = "pipelines@localhost"
MAIL_TO = "on-call@localhost"
PROJECT = 1
# The variables of the connections, and of the page where a person reads what arrived.
SLACK, SMTP, SENTRY = "AIRFLOW_CONN_SLACK_ALERTS", "AIRFLOW_CONN_SMTP_ALERTS", "AIRFLOW_CONN_SENTRY"
ACTIONS = "AIRFLOW_CONN_INTERVENTIONS"
INBOX = "ALERT_INBOX_URL"


def _letters(size: int) -> str:
    return "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(size))


def _digits(size: int) -> str:
    return "".join(secrets.choice(string.digits) for _ in range(size))


def new_token() -> str:
    """Return a bot token in Slack's shape, so that maskers of secrets have the real thing to find."""
    return f"xoxb-{_digits(12)}-{_digits(13)}-{_letters(24)}"


def new_webhook() -> str:
    """Return the secret path of an incoming webhook in Slack's shape."""
    return f"T{_digits(8)}/B{_digits(8)}/{_letters(24)}"


# Secrets of the simulators: the name under which a state directory keeps each, and how it is made.
SECRETS: dict[str, Callable[[], str]] = {
    "slack_token": new_token,
    "slack_webhook": new_webhook,
    "smtp_password": lambda: secrets.token_hex(24),
    "sentry_key": lambda: secrets.token_hex(16),
    "reader_key": lambda: secrets.token_hex(16),
    "actions_token": lambda: secrets.token_hex(24),
}


@dataclass(frozen=True)
class Settings(SettingsFile):
    """Ports (0: any free one), secrets, and where received messages are kept ("": only in memory).

    With a certificate (a PEM file, key included) the mail server wants STARTTLS, as real ones do.
    """

    http_port: int
    smtp_port: int
    slack_token: str
    slack_webhook: str
    smtp_password: str
    sentry_key: str
    reader_key: str
    actions_token: str
    journal: str = ""
    certificate: str = ""

    # --- addresses -------------------------------------------------------------------------------
    @property
    def root_url(self) -> str:
        """Address of the HTTP server."""
        return f"http://{HOST}:{self.http_port}"

    @property
    def slack_url(self) -> str:
        """`base_url` of a Slack client."""
        return f"{self.root_url}/api/"

    @property
    def webhook_url(self) -> str:
        """The incoming webhook of the channel #alerts."""
        return f"{self.root_url}/services/{self.slack_webhook}"

    @property
    def sentry_dsn(self) -> str:
        """DSN of the only project."""
        return f"http://{self.sentry_key}@{HOST}:{self.http_port}/{PROJECT}"

    @property
    def inbox_url(self) -> str:
        """The page on which a person reads what arrived; the key in it lets in."""
        return f"{self.root_url}/?key={self.reader_key}"

    # --- Airflow connections ---------------------------------------------------------------------
    def connections(self) -> dict[str, str]:
        """Return the connection variables, as Airflow's hooks, our alert channels and the interventions read them."""
        mail = {
            "from_email": MAIL_FROM,
            "to_email": MAIL_TO,
            "disable_ssl": "true",
            "timeout": "5",
            "retry_limit": "0",
        }
        if not self.certificate:
            # Only when it is so: Airflow's hook takes the word `false` for true.
            mail["disable_tls"] = "true"
        return {
            SLACK: _url(
                "slack", "", self.slack_token, self.http_port, {"base_url": self.slack_url, "channel": CHANNEL}
            ),
            SMTP: _url("smtp", MAIL_LOGIN, self.smtp_password, self.smtp_port, mail),
            # A DSN holds a key: as a password it is masked in Airflow's logs.
            SENTRY: f"generic://:{quote(self.sentry_dsn, safe='')}@",
            ACTIONS: f"http://:{self.actions_token}@{HOST}:{self.http_port}",
        }

    def webhook_connection(self) -> str:
        """Return AIRFLOW_CONN_SLACK_ALERTS for the simple mode: an incoming webhook instead of a bot."""
        return f"slackwebhook://:{quote(self.webhook_url, safe='')}@"


def _url(kind: str, login: str, password: str, port: int, extra: dict[str, str]) -> str:
    return f"{kind}://{quote(login, safe='')}:{quote(password, safe='')}@{HOST}:{port}/?{urlencode(extra)}"
