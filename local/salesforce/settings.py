"""What one simulator process needs to know: its port, its files, the secrets its clients must show."""

from __future__ import annotations

import secrets
import string
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Self
from urllib.parse import quote, urlencode

from local.settings_file import SettingsFile

HOST = "127.0.0.1"
CONNECTION = "AIRFLOW_CONN_SALESFORCE"
# The address of the admin routes, with their key: for tests and the demo, no client of Salesforce needs it.
ADMIN = "SALESFORCE_ADMIN_URL"
USERNAME = "sync@example.org"
API_VERSION = "62.0"
AuthMethod = Literal["client_credentials", "jwt"]


def _letters(size: int) -> str:
    return "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(size))


def new_private_key() -> str:
    """Return an RSA key (PEM); its public half is registered with the connected app for JWT logins."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


# Secrets of the simulator: the name under which a state directory keeps each, and how it is made.
SECRETS: dict[str, Callable[[], str]] = {
    "consumer_key": lambda: f"3MVG9{_letters(80)}",
    "consumer_secret": lambda: secrets.token_hex(32).upper(),
    "password": lambda: _letters(16),
    "security_token": lambda: _letters(24),
    "private_key": new_private_key,
    "admin_key": lambda: secrets.token_hex(16),
}


@dataclass(frozen=True, kw_only=True)
class Settings(SettingsFile):
    """Port (0: any free one), directory of the records ("": a temporary one), secrets, and the size of the demo data.

    With a certificate (a PEM file, key included) it speaks HTTPS, as clients with a fixed scheme want.
    `demo_percent` above 0 fills an empty organisation at the start. `live` lets it change while time passes.
    """

    port: int
    consumer_key: str
    consumer_secret: str
    password: str
    security_token: str
    private_key: str
    admin_key: str
    directory: str = ""
    certificate: str = ""
    demo_percent: float = 0
    live: bool = False

    @classmethod
    def make(cls, **others: str | float | bool) -> Self:
        """Return settings with new secrets, on any free port unless `port` is given."""
        made = {name: make() for name, make in SECRETS.items() if name not in others}
        return cls(**{"port": 0, **made, **others})  # type: ignore[arg-type]

    @property
    def url(self) -> str:
        """Address of the organisation: `instance_url` and login URL in one."""
        return f"http{'s' if self.certificate else ''}://{HOST}:{self.port}"

    @property
    def admin_url(self) -> str:
        """Address of the admin routes; the key in it lets in."""
        return f"{self.url}/admin?key={self.admin_key}"

    def connection(self, method: AuthMethod = "client_credentials") -> str:
        """Return the value of AIRFLOW_CONN_SALESFORCE."""
        extra = {"auth_method": method, "instance_url": self.url, "domain": self.url, "version": API_VERSION}
        extra["consumer_key"] = self.consumer_key
        if method == "jwt":
            extra |= {"private_key": self.private_key}
        else:
            extra |= {"consumer_secret": self.consumer_secret}
        return f"salesforce://{quote(USERNAME, safe='')}@{HOST}:{self.port}/?{urlencode(extra)}"
