"""Access tokens: issued at login, good for a while by the organisation's clock, revocable."""

from __future__ import annotations

import secrets
import string
from datetime import datetime, timedelta

from local.salesforce.clock import Clock
from local.salesforce.errors import ApiError
from local.salesforce.settings import Settings

ORG_ID = "00D5e000000ABCdEAM"
USER_ID = "0055e000000SyncAAC"
_LIFETIME = timedelta(hours=2)
_LETTERS = string.ascii_letters + string.digits + "._"


class Sessions:
    """Tokens and until when each is good. A used token lives on, as Salesforce's do."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._refresh_tokens: set[str] = set()
        self.reset()

    def reset(self) -> None:
        """End all sessions, and go back to the usual lifetime and grants."""
        self.lifetime = _LIFETIME
        self.password_allowed = False
        self.soap_allowed = False
        self._expires: dict[str, datetime] = {}
        self._refresh_tokens.clear()

    def issue(self) -> str:
        """Begin a session and return its token."""
        token = f"{ORG_ID[:15]}!{''.join(secrets.choice(_LETTERS) for _ in range(96))}"
        self._expires[token] = self._clock.now() + self.lifetime
        return token

    def issue_refresh_token(self) -> str:
        """Return a token that gets new access tokens."""
        token = f"5Aep{secrets.token_hex(40)}"
        self._refresh_tokens.add(token)
        return token

    def knows_refresh_token(self, token: str) -> bool:
        """Tell whether a refresh token is one of ours."""
        return token in self._refresh_tokens

    def revoke(self, token: str = "") -> None:
        """End a session; without a token all of them."""
        if token:
            self._expires.pop(token, None)
        else:
            self._expires.clear()

    def check(self, authorization: str) -> str:
        """Return the token of an Authorization header. Raises ApiError when it lets nobody in."""
        kind, _, token = authorization.partition(" ")
        expires = self._expires.get(token.strip())
        if kind.lower() not in ("bearer", "oauth") or expires is None or expires <= self._clock.now():
            raise ApiError("INVALID_SESSION_ID", "Session expired or invalid")
        self._expires[token.strip()] = max(expires, self._clock.now() + self.lifetime)
        return token.strip()
