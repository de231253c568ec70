"""Logins: what lets in, what is refused and in which words, how sessions end."""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import httpx
import jwt
import pytest

from local.salesforce.settings import USERNAME, new_private_key
from local.salesforce.testing import SalesforceServer

_JWT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_SOAP = """<?xml version="1.0"?><env:Envelope xmlns:env="http://schemas.xmlsoap.org/soap/envelope/"><env:Body>
<n1:login xmlns:n1="urn:partner.soap.sforce.com"><n1:username>{}</n1:username><n1:password>{}</n1:password></n1:login>
</env:Body></env:Envelope>"""


def token(server: SalesforceServer, **form: str) -> httpx.Response:
    return httpx.post(f"{server.instance_url}/services/oauth2/token", data=form, trust_env=False, timeout=60)


def client_form(server: SalesforceServer, grant: str = "client_credentials") -> dict[str, str]:
    settings = server.settings
    return {"grant_type": grant, "client_id": settings.consumer_key, "client_secret": settings.consumer_secret}


def assertion(server: SalesforceServer, key: str = "", **claims: Any) -> str:
    settings = server.settings
    usual = {"iss": settings.consumer_key, "sub": USERNAME, "aud": "https://login.salesforce.com"}
    return jwt.encode({**usual, "exp": int(time.time()) + 180, **claims}, key or settings.private_key, "RS256")


def limits(server: SalesforceServer, access_token: str) -> httpx.Response:
    headers = {"Authorization": f"Bearer {access_token}"}
    return httpx.get(f"{server.instance_url}/services/data/v62.0/limits", headers=headers, trust_env=False, timeout=60)


def test_client_credentials(salesforce: SalesforceServer) -> None:
    answer = token(salesforce, **client_form(salesforce))
    body = answer.json()
    assert answer.status_code == 200
    assert set(body) == {"access_token", "signature", "scope", "instance_url", "id", "token_type", "issued_at"}
    assert (body["instance_url"], body["token_type"]) == (salesforce.instance_url, "Bearer")
    assert isinstance(body["issued_at"], str)
    assert len(body["issued_at"]) == 13
    assert limits(salesforce, body["access_token"]).status_code == 200


def test_the_connection_has_what_a_login_needs(salesforce: SalesforceServer) -> None:
    for method, others in (("client_credentials", {"consumer_secret"}), ("jwt", {"private_key"})):
        parts = urlsplit(salesforce.connection(method))  # type: ignore[arg-type]
        extra = {name: value for name, (value,) in parse_qs(parts.query).items()}
        assert set(extra) == {"auth_method", "instance_url", "domain", "version", "consumer_key", *others}
        assert (parts.scheme, unquote(parts.username or ""), extra["auth_method"]) == ("salesforce", USERNAME, method)
    signed = assertion(salesforce, key=extra["private_key"])
    assert token(salesforce, grant_type=_JWT, assertion=signed).status_code == 200


@pytest.mark.parametrize(
    ("change", "error", "description"),
    [
        ({"client_id": "x"}, "invalid_client_id", "client identifier invalid"),
        ({"client_secret": "x"}, "invalid_client", "invalid client credentials"),
        ({"grant_type": "password", "username": "x", "password": "y"}, "invalid_grant", "authentication failure"),
        ({"grant_type": "refresh_token", "refresh_token": "x"}, "invalid_grant", "expired access/refresh token"),
        ({"grant_type": "magic"}, "unsupported_grant_type", "grant type not supported"),
    ],
)
def test_refused_tokens(salesforce: SalesforceServer, change: dict[str, str], error: str, description: str) -> None:
    answer = token(salesforce, **{**client_form(salesforce), **change})
    assert answer.status_code == 400
    assert answer.json() == {"error": error, "error_description": description}


@pytest.mark.parametrize(
    ("claims", "error", "description"),
    [
        ({"exp": 1_000_000_000}, "invalid_grant", "expired authorization code"),
        ({"aud": "https://elsewhere.example"}, "invalid_grant", "audience is invalid"),
        ({"sub": "other@example.org"}, "invalid_grant", "user hasn't approved this consumer"),
        ({"iss": "another app"}, "invalid_client_id", "client identifier invalid"),
    ],
)
def test_refused_assertions(salesforce: SalesforceServer, claims: dict[str, Any], error: str, description: str) -> None:
    answer = token(salesforce, grant_type=_JWT, assertion=assertion(salesforce, **claims))
    assert (answer.status_code, answer.json()) == (400, {"error": error, "error_description": description})


def test_only_the_registered_key_signs(salesforce: SalesforceServer) -> None:
    signed = assertion(salesforce, key=new_private_key())
    assert token(salesforce, grant_type=_JWT, assertion=signed).json()["error_description"] == "invalid assertion"
    claims = jwt.decode(assertion(salesforce), options={"verify_signature": False})
    by_secret = jwt.encode(claims, "x" * 32, "HS256")
    assert token(salesforce, grant_type=_JWT, assertion=by_secret).json()["error"] == "invalid_grant"


def test_refresh_and_password_when_they_are_allowed(salesforce: SalesforceServer) -> None:
    refresh = salesforce.sessions(issue="refresh_token")["token"]
    body = token(salesforce, **client_form(salesforce, "refresh_token"), refresh_token=refresh).json()
    assert limits(salesforce, body["access_token"]).status_code == 200
    settings = salesforce.settings
    form = {"username": USERNAME, "password": settings.password + settings.security_token}
    assert token(salesforce, **client_form(salesforce, "password"), **form).status_code == 400
    salesforce.sessions(password=True)
    assert token(salesforce, **client_form(salesforce, "password"), **form).status_code == 200


def test_a_session_ends_by_time_by_revocation_and_by_the_administrator(salesforce: SalesforceServer) -> None:
    salesforce.sessions(lifetime=600)
    first, second, third = (salesforce.token() for _ in range(3))
    expired = (401, [{"message": "Session expired or invalid", "errorCode": "INVALID_SESSION_ID"}])
    httpx.post(f"{salesforce.instance_url}/services/oauth2/revoke", data={"token": first}, trust_env=False, timeout=60)
    answer = limits(salesforce, first)
    assert (answer.status_code, answer.json()) == expired
    # Use keeps a session alive.
    salesforce.clock.move(500)
    assert limits(salesforce, second).status_code == 200
    salesforce.clock.move(500)
    assert limits(salesforce, second).status_code == 200
    assert limits(salesforce, third).status_code == 401
    salesforce.sessions(revoke=True)
    assert limits(salesforce, second).status_code == 401
    # Nobody came in, so nothing was counted but what was answered.
    assert [entry["calls"] for entry in salesforce.requests("/limits")] == [0, 1, 1, 0, 0]


def test_soap_login_is_retired_and_can_be_allowed(salesforce: SalesforceServer) -> None:
    settings = salesforce.settings
    body = _SOAP.format(USERNAME, settings.password + settings.security_token)

    def login(text: str, version: str = "59.0") -> httpx.Response:
        return httpx.post(
            f"{salesforce.instance_url}/services/Soap/u/{version}", content=text, trust_env=False, timeout=60
        )

    refused = login(body)
    assert refused.status_code == 500
    assert "INVALID_OPERATION: SOAP API login() is disabled by default in this org." in refused.text
    salesforce.sessions(soap=True)
    answer = login(body)
    session = answer.text.partition("<sessionId>")[2].partition("</sessionId>")[0]
    assert limits(salesforce, session).status_code == 200
    assert "INVALID_LOGIN" in login(_SOAP.format(USERNAME, "wrong")).text
    assert login(body, "65.0").status_code == 500


def test_only_the_key_opens_the_admin_routes(salesforce: SalesforceServer) -> None:
    for path in ("state", "requests", "objects/Contact"):
        assert httpx.get(f"{salesforce.instance_url}/admin/{path}", trust_env=False, timeout=60).status_code == 401
    mine = {"Authorization": f"Bearer {salesforce.token()}"}
    assert (
        httpx.post(f"{salesforce.instance_url}/admin/reset", headers=mine, trust_env=False, timeout=60).status_code
        == 401
    )
