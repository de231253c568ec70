"""Logins: OAuth tokens, and SOAP login(), which Salesforce has retired."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from html import escape, unescape
from typing import Any

from aiohttp import web

from local.salesforce.org import ORG, Org
from local.salesforce.sessions import ORG_ID, USER_ID
from local.salesforce.settings import USERNAME, Settings

_JWT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_AUDIENCES = ("https://login.salesforce.com", "https://test.salesforce.com")
_DISABLED = (
    "SOAP API login() is disabled by default in this org. "
    "Contact the org administrator to enable SOAP API login()."
)  # fmt: skip
_NO_LOGIN = "Invalid username, password, security token; or user locked out."
_SOAP_SECONDS = 7200


class LoginError(Exception):
    """A refused login: `error` and `error_description` of the answer."""

    def __init__(self, error: str, description: str) -> None:
        super().__init__(description)
        self.body = {"error": error, "error_description": description}


def routes() -> list[web.RouteDef]:
    """Return the routes of all ways to log in."""
    return [
        web.post("/services/oauth2/token", _token),
        web.post("/services/oauth2/revoke", _revoke),
        web.post(r"/services/Soap/{kind:[uc]}/{version}", _soap),
    ]


async def _token(request: web.Request) -> web.Response:
    org = request.app[ORG]
    form = {name: str(value) for name, value in (await request.post()).items()}
    try:
        _grant(org, form, request.headers.get("Authorization", ""))
    except LoginError as error:
        return web.json_response(error.body, status=400)
    token = org.sessions.issue()
    issued_at = str(int(org.clock.now().timestamp() * 1000))
    body: dict[str, Any] = {
        "access_token": token,
        "signature": _signature(org.settings, issued_at),
        "scope": "api",
        "instance_url": org.settings.url,
        "id": f"{org.settings.url}/id/{ORG_ID}/{USER_ID}",
        "token_type": "Bearer",
        "issued_at": issued_at,
    }
    return web.json_response(body)


def _grant(org: Org, form: dict[str, str], authorization: str) -> None:
    """Check a request for a token. Raises LoginError."""
    settings = org.settings
    grant = form.get("grant_type", "")
    if grant == _JWT:
        _check_assertion(settings, form.get("assertion", ""))
        return
    if grant not in ("client_credentials", "refresh_token", "password"):
        raise LoginError("unsupported_grant_type", "grant type not supported")
    key, secret = _client(form, authorization)
    if key != settings.consumer_key:
        raise LoginError("invalid_client_id", "client identifier invalid")
    if not hmac.compare_digest(secret.encode(), settings.consumer_secret.encode()):
        raise LoginError("invalid_client", "invalid client credentials")
    if grant == "refresh_token" and not org.sessions.knows_refresh_token(form.get("refresh_token", "")):
        raise LoginError("invalid_grant", "expired access/refresh token")
    if grant == "password":
        right = (USERNAME, f"{settings.password}{settings.security_token}")
        if not org.sessions.password_allowed or (form.get("username"), form.get("password")) != right:
            raise LoginError("invalid_grant", "authentication failure")


def _client(form: dict[str, str], authorization: str) -> tuple[str, str]:
    kind, _, encoded = authorization.partition(" ")
    if kind.lower() == "basic":
        try:
            key, _, secret = base64.b64decode(encoded).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return "", ""
        return key, secret
    return form.get("client_id", ""), form.get("client_secret", "")


def _check_assertion(settings: Settings, assertion: str) -> None:
    import jwt
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    public = load_pem_private_key(settings.private_key.encode(), None).public_key()
    try:
        # The expiry is compared with real time: the client's clock is not the one that tests move.
        claims = jwt.decode(
            assertion,
            public,  # type: ignore[arg-type]  # an RSA key, as settings make them
            algorithms=["RS256"],
            audience=[*_AUDIENCES, settings.url],
            options={"require": ["exp", "iss", "sub", "aud"]},
            leeway=60,
        )
    except jwt.ExpiredSignatureError:
        raise LoginError("invalid_grant", "expired authorization code") from None
    except jwt.InvalidAudienceError:
        raise LoginError("invalid_grant", "audience is invalid") from None
    except jwt.InvalidTokenError:
        raise LoginError("invalid_grant", "invalid assertion") from None
    if claims["iss"] != settings.consumer_key:
        raise LoginError("invalid_client_id", "client identifier invalid")
    if claims["sub"] != USERNAME:
        raise LoginError("invalid_grant", "user hasn't approved this consumer")


def _signature(settings: Settings, issued_at: str) -> str:
    message = f"{settings.url}/id/{ORG_ID}/{USER_ID}{issued_at}".encode()
    return base64.b64encode(hmac.digest(settings.consumer_secret.encode(), message, hashlib.sha256)).decode()


async def _revoke(request: web.Request) -> web.Response:
    form = await request.post()
    request.app[ORG].sessions.revoke(str(form.get("token", "")) or "none")
    return web.Response()


async def _soap(request: web.Request) -> web.Response:
    org, text = request.app[ORG], await request.text()
    if not org.sessions.soap_allowed or float(request.match_info["version"].lstrip("v") or 0) >= 65:
        return _fault("INVALID_OPERATION", _DISABLED)
    settings = org.settings
    given = [unescape(found[1]) if (found := re.search(rf"<(?:\w+:)?{tag}>(.*?)</", text, re.DOTALL)) else ""
             for tag in ("username", "password")]  # fmt: skip
    if given != [USERNAME, f"{settings.password}{settings.security_token}"]:
        return _fault("INVALID_LOGIN", _NO_LOGIN)
    session = escape(org.sessions.issue())
    server = f"{settings.url}/services/Soap/u/{request.match_info['version']}/{ORG_ID[:15]}"
    body = (
        "<loginResponse><result>"
        f"<passwordExpired>false</passwordExpired><serverUrl>{server}</serverUrl><sessionId>{session}</sessionId>"
        f"<userId>{USER_ID}</userId><userInfo><organizationId>{ORG_ID}</organizationId>"
        f"<sessionSecondsValid>{_SOAP_SECONDS}</sessionSecondsValid><userName>{USERNAME}</userName></userInfo>"
        "</result></loginResponse>"
    )
    return _envelope(body, 200)


def _fault(code: str, message: str) -> web.Response:
    body = (
        f"<soapenv:Fault><faultcode>sf:{code}</faultcode><faultstring>{code}: {message}</faultstring>"
        '<detail><sf:LoginFault xsi:type="sf:LoginFault">'
        f"<sf:exceptionCode>{code}</sf:exceptionCode><sf:exceptionMessage>{message}</sf:exceptionMessage>"
        "</sf:LoginFault></detail></soapenv:Fault>"
    )
    return _envelope(body, 500)


def _envelope(body: str, status: int) -> web.Response:
    text = (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" '
        'xmlns="urn:partner.soap.sforce.com" xmlns:sf="urn:fault.partner.soap.sforce.com" '
        f'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><soapenv:Body>{body}</soapenv:Body></soapenv:Envelope>'
    )
    return web.Response(text=text, status=status, content_type="text/xml")
