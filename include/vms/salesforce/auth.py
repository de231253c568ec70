"""Tokens: OAuth client credentials, JWT bearer, refresh token. A token lives in memory only and is never logged."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from include.operations.errors import InputRejected
from include.operations.scrub import register_secrets
from include.vms.salesforce.errors import SalesforceFailed
from include.vms.salesforce.settings import Grant, Settings, checked_url

if TYPE_CHECKING:
    import requests

_PATH: Final = "/services/oauth2/token"
_JWT_GRANT: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
# Salesforce takes at most 3 minutes.
_JWT_LIFE_S: Final = 120


@dataclass(frozen=True)
class Token:
    """The right to call one instance."""

    value: str = field(repr=False)
    instance_url: str


def form(settings: Settings, now: Callable[[], float] = time.time) -> dict[str, str]:
    """Return the fields of the request for a token."""
    if settings.grant is Grant.JWT:
        return {"grant_type": _JWT_GRANT, "assertion": _assertion(settings, now())}
    fields = {"grant_type": str(settings.grant), "client_id": settings.consumer_key}
    if settings.consumer_secret:
        fields["client_secret"] = settings.consumer_secret
    if settings.grant is Grant.REFRESH_TOKEN:
        fields["refresh_token"] = settings.refresh_token
    return fields


def read(response: requests.Response) -> Token:
    """Return the token of the reply.

    Raises:
        SalesforceFailed: refused.
        InputRejected: the reply sends us to an address that is not https.
    """
    try:
        content: Any = response.json()
    except ValueError:
        content = None
    value = content.get("access_token") if isinstance(content, dict) else None
    if response.status_code != 200 or not isinstance(value, str) or not value:
        # A 200 without a token comes from something in between.
        status = response.status_code if response.status_code != 200 else 502
        raise SalesforceFailed(f"The login at {_PATH}", status, content, response.headers)
    register_secrets(value)
    return Token(value, checked_url(str(content.get("instance_url") or response.url)))


def url(settings: Settings) -> str:
    """Where tokens are given out."""
    return settings.login_url + _PATH


def _assertion(settings: Settings, now: float) -> str:
    import jwt

    claims = {
        "iss": settings.consumer_key,
        "sub": settings.username,
        "aud": settings.audience,
        "exp": int(now) + _JWT_LIFE_S,
    }
    try:
        return jwt.encode(claims, settings.private_key, algorithm="RS256")
    except (ValueError, TypeError, jwt.PyJWTError):
        # Their texts may quote the key.
        raise InputRejected(
            "The private key of the Salesforce connection is no RSA key in PEM form.",
            what_to_do="Give the key that belongs to the certificate of the connected app, without a passphrase.",
        ) from None
