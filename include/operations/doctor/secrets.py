"""Secrets that anybody could guess: empty, the user's own name, well-known words, published keys."""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Iterator
from urllib.parse import unquote, urlsplit

from include.connections import METADATA, NEO4J, REDIS, WAREHOUSE
from include.operations.doctor.finding import Finding, fail, ok, warn

_WORDS = """
123456 12345678 admin airflow astro changeme default example foobared guest letmein neo4j organism pass passw0rd
password postgres qwerty redis root secret test user warehouse
"""
_WELL_KNOWN = frozenset(_WORDS.split())
_SHORTEST = 12
# HS512, which Airflow signs with, wants a key at least as long as its digest.
_JWT_BYTES = 64
# SHA-256 of keys that come with quick-start files everywhere (Astro CLI, puckel's image): by digest, so that no scanner
# takes them for ours.
_PUBLISHED = frozenset(
    {
        "dbf7afadf786b937c2817eea4b425c56bd4fb91843f17ff1f036180ef5e19d1a",
        "81886cc4d79074f6e946934d4e9e9d6a2ef320041045a0bd3c36ab6939df37e8",
    }
)
_EXPORT = "source .local/env after `make up`, or set {} to a random value"


def check_connections() -> Iterator[Finding]:
    """Passwords of the connections; a weak one is a failure unless the server is on this machine."""
    from airflow.sdk import Connection

    from include.operations.backup.scratch import CONN_ID as SCRATCH
    from include.operations.housekeeping.metadata import CONN_ID as UPKEEP

    checked = weak = 0
    for conn_id in (REDIS, NEO4J, WAREHOUSE, METADATA, UPKEEP, SCRATCH):
        try:
            found = Connection.get(conn_id)
        except Exception:  # noqa: BLE001, S112 - the server's own check says that the connection is missing
            continue
        checked += 1
        if reason := weakness(found.login, found.password):
            weak += 1
            level = warn if is_local(found.host) else fail
            variable = f"AIRFLOW_CONN_{conn_id.upper()}"
            fix = f"give the server a long random one, and put it into {variable}: docs/runbooks/secrets.md"
            yield level("secrets", f"the password of {conn_id} {reason}", fix)
    if checked and not weak:
        yield ok("secrets", f"the passwords of {checked} connections are not known to be weak")


def weakness(login: str | None, password: str | None) -> str:
    """Why a password is weak; empty when it is not known to be."""
    if not password:
        return "is empty"
    if login and password.lower() == login.lower():
        return "is the user's name"
    if password.lower() in _WELL_KNOWN:
        return "is a well-known word"
    if len(password) < _SHORTEST:
        return f"is shorter than {_SHORTEST} characters"
    return ""


def check_airflow() -> Iterator[Finding]:
    """Airflow's own keys, as this process sees them."""
    from airflow.configuration import conf

    fernet = conf.get("core", "fernet_key", fallback="")
    jwt = conf.get("api_auth", "jwt_secret", fallback="")
    database = conf.get("database", "sql_alchemy_conn", fallback="")
    bad = [*_fernet(fernet), *_jwt(jwt), *_metadata(database)]
    yield from bad or [ok("secrets", "Airflow's Fernet key and JWT secret are set")]


def _fernet(key: str) -> Iterator[Finding]:
    fix = _EXPORT.format("AIRFLOW__CORE__FERNET_KEY")
    if not key:
        yield warn("secrets", "no Fernet key: Airflow keeps passwords of its database's connections in plain text", fix)
    elif hashlib.sha256(key.encode()).hexdigest() in _PUBLISHED:
        yield fail("secrets", "the Fernet key is a published one", fix)


def _jwt(secret: str) -> Iterator[Finding]:
    fix = _EXPORT.format("AIRFLOW__API_AUTH__JWT_SECRET")
    if not secret:
        yield warn("secrets", "no JWT secret: each component makes its own, and they refuse each other's tokens", fix)
    elif secret.lower() in _WELL_KNOWN:
        yield fail("secrets", "the JWT secret is a well-known word", fix)
    elif len(secret.encode()) < _JWT_BYTES:
        yield warn("secrets", f"the JWT secret is shorter than {_JWT_BYTES} bytes", fix)


def _metadata(url: str) -> Iterator[Finding]:
    """The password with which Airflow itself reaches its metadata; tasks see a stand-in without one."""
    try:
        parts = urlsplit(url)
        login, password, host = parts.username, parts.password, parts.hostname
    except ValueError:
        return
    # A socket or a certificate needs none.
    if password and (reason := weakness(login, unquote(password))):
        level = warn if is_local(host) else fail
        fix = "give the role a long random one, and put it into AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"
        yield level("secrets", f"the password of Airflow's metadata database {reason}", fix)


def is_local(host: str | None) -> bool:
    """Whether a host name means this machine."""
    if host in {None, "", "localhost"}:
        return True
    try:
        return ipaddress.ip_address(str(host)).is_loopback
    except ValueError:
        return False
