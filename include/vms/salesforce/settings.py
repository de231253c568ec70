"""How to reach Salesforce and as whom, from an Airflow connection: the extras mean what they mean to Airflow's hook.

Two ways in: OAuth client credentials (`consumer_key`, `consumer_secret`), and JWT bearer (`consumer_key`, the user
as login, `private_key` or `private_key_file_path`). A `refresh_token` is taken too. A password is refused: it needs
SOAP login(), which Salesforce retires with Summer '27.
"""

from __future__ import annotations

import ipaddress
import os
import re
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from include.operations.errors import InputRejected

if TYPE_CHECKING:
    from airflow.sdk import Connection

RESERVE_VARIABLE: Final = "SALESFORCE_RESERVE_SHARE"
DEFAULT_VERSION: Final = "62.0"
_DEFAULT_RESERVE: Final = 0.20
_VERSION: Final = re.compile(r"v?([0-9]{2,3})(\.0)?")
_DOMAIN: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?")
_DOCS: Final = "docs/salesforce.md"


class Grant(StrEnum):
    """How a token is got."""

    CLIENT_CREDENTIALS = "client_credentials"
    JWT = "jwt"
    REFRESH_TOKEN = "refresh_token"  # noqa: S105 - the name of a way, not a secret


@dataclass(frozen=True)
class Settings:
    """What the client needs to know.

    Args:
        grant: how a token is got.
        login_url: where, scheme and host.
        version: of the API, e.g. `62.0`.
        consumer_key: of the connected app.
        consumer_secret: of the connected app; not for JWT.
        username: the user a JWT speaks for.
        private_key: PEM text that signs a JWT.
        refresh_token: of the grant of that name.
        audience: of a JWT.
        reserve_share: part of the day's calls and jobs that is left to others, 0 to 1.
    """

    grant: Grant
    login_url: str
    version: str = DEFAULT_VERSION
    consumer_key: str = ""
    consumer_secret: str = field(default="", repr=False)
    username: str = ""
    private_key: str = field(default="", repr=False)
    refresh_token: str = field(default="", repr=False)
    audience: str = "https://login.salesforce.com"
    reserve_share: float = _DEFAULT_RESERVE

    @classmethod
    def from_connection(cls, connection: Connection) -> Settings:
        """Read an Airflow connection.

        Raises:
            InputRejected: it lacks something, or names a password; says which.
        """
        extra = _extras(connection.extra_dejson)
        grant = _grant(extra, connection.password)
        login_url = _login_url(extra)
        return cls(
            grant=grant,
            login_url=login_url,
            version=_version(extra.get("version")),
            consumer_key=_needed(extra, "consumer_key"),
            consumer_secret=_needed(extra, "consumer_secret")
            if grant is Grant.CLIENT_CREDENTIALS
            else extra.get("consumer_secret", ""),
            username=_username(connection.login) if grant is Grant.JWT else "",
            private_key=_private_key(extra) if grant is Grant.JWT else "",
            refresh_token=_needed(extra, "refresh_token") if grant is Grant.REFRESH_TOKEN else "",
            audience=extra.get("audience") or _audience(login_url),
            reserve_share=reserve_share(),
        )

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must be masked wherever it is repeated."""
        return tuple(one for one in (self.consumer_secret, self.private_key, self.refresh_token) if one)


def reserve_share() -> float:
    """What `SALESFORCE_RESERVE_SHARE` says, 0.2 by default.

    Raises:
        InputRejected: it is no share.
    """
    text = os.environ.get(RESERVE_VARIABLE, "").strip()
    try:
        share = float(text) if text else _DEFAULT_RESERVE
    except ValueError:
        share = -1.0
    if not 0 <= share < 1:
        raise InputRejected(
            f"{RESERVE_VARIABLE} is {text!r}.", what_to_do="Give a share from 0 to less than 1, e.g. 0.2, or nothing."
        )
    return share


def checked_url(url: str) -> str:
    """Return scheme and host of a URL; secrets and tokens may be sent there.

    Raises:
        InputRejected: it is not https, and not this machine.
    """
    parts = urlsplit(url if "://" in url else f"https://{url}")
    try:
        ok = bool(parts.hostname) and (
            parts.scheme == "https" or (parts.scheme == "http" and _loopback(parts.hostname))
        )
        port = parts.port
    except ValueError:
        ok, port = False, None
    if not ok or parts.username is not None:
        raise InputRejected(
            f"Salesforce's address {parts.scheme}://{parts.hostname} cannot be used: tokens go over https only.",
            what_to_do="Give `instance_url` of the connection as https://<my domain>.my.salesforce.com.",
        )
    host = f"[{parts.hostname}]" if ":" in str(parts.hostname) else parts.hostname
    return f"{parts.scheme}://{host}" + (f":{port}" if port else "")


def _loopback(host: str | None) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(str(host)).is_loopback
    except ValueError:
        return False


def _extras(extra: dict[str, Any]) -> dict[str, str]:
    """Extras under their short names; Airflow still knows a longer form."""
    short = {name.removeprefix("extra__salesforce__"): value for name, value in extra.items()}
    return {name: str(value).strip() for name, value in short.items() if value not in (None, "")}


def _grant(extra: dict[str, str], password: str | None) -> Grant:
    said = extra.get("auth_method", "").lower().replace("-", "_")
    names = {"client_credentials": Grant.CLIENT_CREDENTIALS, "jwt": Grant.JWT, "jwt_bearer": Grant.JWT}
    if said and said not in names and said != Grant.REFRESH_TOKEN:
        raise InputRejected(
            "The connection's `auth_method` is not known.",
            what_to_do=f"Use client_credentials or jwt; {_DOCS} shows both.",
        )
    if said:
        return names.get(said, Grant.REFRESH_TOKEN)
    if password or "security_token" in extra:
        raise InputRejected(
            "The connection has a password or a security token. They need SOAP login(), which Salesforce retires with "
            "Summer '27 (off by default in new orgs, absent from API 65).",
            what_to_do=f"Make a connected app and use client credentials or JWT: {_DOCS}.",
        )
    if "private_key" in extra or "private_key_file_path" in extra:
        return Grant.JWT
    if "refresh_token" in extra:
        return Grant.REFRESH_TOKEN
    return Grant.CLIENT_CREDENTIALS


def _login_url(extra: dict[str, str]) -> str:
    if url := extra.get("instance_url"):
        return checked_url(url)
    domain = extra.get("domain") or extra.get("instance") or "login"
    if "://" in domain:
        return checked_url(domain)
    if not _DOMAIN.fullmatch(domain):
        raise InputRejected("The connection's `domain` is no host name.", what_to_do="Give e.g. `myorg.my`.")
    return checked_url(domain if domain.endswith(".salesforce.com") else f"{domain}.salesforce.com")


def _audience(login_url: str) -> str:
    sandbox = urlsplit(login_url).hostname or ""
    return (
        "https://test.salesforce.com"
        if sandbox.startswith("test.") or ".sandbox." in sandbox
        else "https://login.salesforce.com"
    )


def _version(text: str | None) -> str:
    if not text:
        return DEFAULT_VERSION
    found = _VERSION.fullmatch(text)
    if not found or int(found[1]) < 50:
        raise InputRejected("The connection's API `version` is none, or older than 50.0.", what_to_do="Give e.g. 62.0.")
    return f"{found[1]}.0"


def _needed(extra: dict[str, str], name: str) -> str:
    if not extra.get(name):
        raise InputRejected(
            f"The connection to Salesforce lacks the extra `{name}`.",
            what_to_do=f"Add it; {_DOCS} shows what is needed.",
        )
    return extra[name]


def _username(login: str | None) -> str:
    if not login:
        raise InputRejected(
            "JWT needs a user.", what_to_do="Give the integration user's name as the connection's login."
        )
    return login


def _private_key(extra: dict[str, str]) -> str:
    if text := extra.get("private_key"):
        # Consoles and environment files write line ends as two characters.
        return text.replace("\\n", "\n")
    path = _needed(extra, "private_key_file_path")
    try:
        return Path(path).read_text(encoding="ascii")
    except (OSError, ValueError) as error:
        raise InputRejected(
            "The file that `private_key_file_path` names cannot be read as a PEM key.",
            what_to_do="Give the path of a PEM file that Airflow's user may read.",
        ) from error
