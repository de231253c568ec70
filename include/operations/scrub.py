"""Takes secrets and personal values out of text that leaves a task: log lines, alerts, error rows.

The last line of defence, not the first: code must not put such values into a text to begin with. What a pattern can
tell is masked here (credentials, e-mail addresses, phone numbers, the row that a server quotes in its error); a bare
name in a sentence cannot be told from a word, so no message of ours may hold one.

Every pattern reads each character a bounded number of times, so the time grows with the length of the text alone,
whatever somebody put into it.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import threading
from collections.abc import Callable, Iterable
from typing import Final
from urllib.parse import quote, quote_plus

MASK: Final = "***"
# What is looked at beyond the limit, so that a secret which starts within it is seen whole.
_REACH: Final = 4096
# Shorter secrets are words: masking them would make the text unreadable and tell the secret.
_SHORTEST_SECRET: Final = 5

# A name whose value is a secret, wherever it stands in a longer name: `db_password`, AIRFLOW__CORE__FERNET_KEY.
_CREDENTIAL_WORDS: Final = (
    r"(?:pass(?:wor[dt]|wd|phrase|code)|pwd|secret|token|credential|signature|assertion|cookie"
    r"|(?:api|access|private|fernet|encryption|auth|signing)[_-]?key|\bdsn\b|\bsig\b)"
)
_SEPARATOR: Final = r"""[\w-]{0,40}(?:\\{0,3}["'])?\s{0,4}(?:=>|[:=>])\s{0,4}"""
_QUOTED: Final = r"""\\{0,3}"(?:[^"\\]|\\.)*+"?|\\{0,3}'(?:[^'\\]|\\.)*+'?"""

# Tokens that can be told by their form alone.
_TOKENS: Final = "|".join(
    (
        r"xox[a-z](?:\.xox[a-z])?-[\w-]++",  # Slack
        r"xapp-[\w-]++",
        r"eyJ[\w-]{5,}+\.[\w-]++(?:\.[\w-]*+)?",  # JSON web token
        r"(?:AKIA|ASIA|AGPA|AROA)[A-Z0-9]{16}",  # AWS
        r"AIza[\w-]{30,}+|ya29\.[\w.-]++|GOCSPX-[\w-]++",  # Google
        r"gh[a-z]_\w{20,}+|github_pat_\w++|glpat-[\w-]++",
        r"sk-[\w-]{20,}+|[rs]k_(?:live|test)_\w++",
        r"gAAAAA[\w-]{20,}+=*+",  # encrypted by Fernet
        r"[\w-]{43}=(?!\w)",  # a Fernet key
        r"00D[A-Za-z0-9]{12,15}![\w.]++",  # Salesforce session
    )
)


def _basic(found: re.Match[str]) -> str:
    """Mask what decodes to `user:password`; "basic authentication" is a phrase."""
    try:
        decoded = base64.b64decode(found[2] + "=" * (-len(found[2]) % 4), validate=True)
    except (binascii.Error, ValueError):
        return found[0]
    return f"{found[1]}{MASK}" if b":" in decoded else found[0]


def _url(found: re.Match[str]) -> str:
    """Mask who logs in, up to the last @: a password somebody forgot to encode may hold / or @ itself."""
    authority, slash, rest = found[1].partition("/")
    user, colon, password = found[1].partition(":")
    if colon and "@" in password and "/" not in user:
        return f"://{MASK}@{password.rpartition('@')[2]}"
    if "@" in authority:
        return f"://{MASK}@{authority.rpartition('@')[2]}{slash}{rest}"
    return found[0]


def _address(found: re.Match[str]) -> str:
    """Mask an e-mail address; `package@1.2` is none."""
    host = found[2].rstrip(".-")
    return MASK + found[2][len(host) :] if re.search(r"\.[^\W\d_]", host) else found[0]


Rule = tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]]


def _whole(pattern: str) -> Rule:
    return re.compile(pattern), MASK


def _after(name: str, value: str) -> Rule:
    """Keep what names the value."""
    return re.compile(rf"(?i)({name})(?:{value})"), rf"\1{MASK}"


_LINE: Final = r"[^\n]*+"
_PHONE_NAME: Final = rf"""(?:phone|mobile|\btel|\bcell|\bfax){_SEPARATOR}(?:\\{{0,3}}["'])?"""

_RULES: Final[tuple[Rule, ...]] = (
    _whole(r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----(?:(?!-----END)[\s\S])*+(?:-----END[A-Z ]*+-*+)?"),
    (re.compile(r"://(\S++)"), _url),
    # A webhook's path is its secret.
    _after(r"(?:hooks\.slack(?:-gov)?\.com|[\w.-]{1,60}\.webhook\.office\.com|hc-ping\.com)/", r"\S++"),
    _after(r"(?:discord(?:app)?\.com/api/webhooks|/services/T\w{4,20}/B\w{4,20})/", r"\S++"),
    _after(rf"""authorization{_SEPARATOR}(?:\\{{0,3}}["'])?""", r"""[^\r\n"']++"""),
    (re.compile(r"(?i)\b(basic\s{1,4})([A-Za-z0-9+/]{6,}+=*+)"), _basic),
    _after(r"\bbearer\s{1,4}", r"[\w+/.~=-]{6,}+"),
    _whole(rf"(?<![A-Za-z0-9])(?:{_TOKENS})"),
    _after(_CREDENTIAL_WORDS + _SEPARATOR, rf"{_QUOTED}|\S++"),
    # The row at fault, as PostgreSQL, Neo4j and pydantic quote it.
    _after(r"key \([^)\n]{0,500}\)=", rf"\({_LINE}"),
    _after(r"failing row contains ", rf"\({_LINE}"),
    _after(r'(?:invalid input [^\n"]{0,80}|column [\w"]{1,64}|line \d{1,20}|out of range[^\n"]{0,80}): ', rf'"{_LINE}'),
    _after(r"(?:value|token|string|array literal):? ", r'"[^"\n]*+"'),
    _after(r"parameter \$\d{1,4} = ", _LINE),
    _after(r"propert(?:y|ies) [^\n]{0,200}? = ", _LINE),
    _after(r"input_value=", r"[^\n]*?(?=, input_type=|\n|$)"),
    # E-mail addresses, plain and percent-encoded.
    (re.compile(r"(?<![\w.+-])[\w.+-]++(?:'[\w.+-]++){0,2}(@|%40)([\w.-]++)"), _address),
    # Phone numbers: named as such, North American, international, with a trunk zero. Ids of stream entries, epochs,
    # dates and addresses of machines have other forms and stay.
    _after(_PHONE_NAME, r"[+(\d][\d ()./-]{4,24}"),
    _whole(r"(?<![\w.-])(?:\+\d{1,3}[ .-]?|1[ .-]?)?(?:\(\d{3}\)[ .-]?|\d{3}[ .-])\d{3}[ .-]?\d{4}(?![\w-])"),
    _whole(r"(?<![\w+])\+[1-9](?:[ ()./-]{0,2}\d){6,14}(?![\w:])"),
    _whole(r"(?<![\w.:-])[2-9]\d{9}(?![\w:-]|\.\d)"),
    _whole(r"(?<![\w.:-])0[1-9]\d{1,4}[ /-]?\d{5,9}(?![\w:-]|\.\d)"),
)


class _Secrets:
    """The secrets this process knows, in every form in which a text may hold them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._forms: set[str] = set()
        self._pattern: re.Pattern[str] | None = None

    def add(self, secrets: Iterable[str | None]) -> None:
        wanted = {form for secret in secrets if secret for form in _forms(secret) if len(form) >= _SHORTEST_SECRET}
        with self._lock:
            if wanted <= self._forms:
                return
            self._forms |= wanted
            # The longest first: a secret may be the start of another.
            ordered = sorted(self._forms, key=len, reverse=True)
            self._pattern = re.compile("|".join(map(re.escape, ordered)))

    def mask(self, text: str) -> str:
        pattern = self._pattern
        return pattern.sub(MASK, text) if pattern else text


def _forms(secret: str) -> set[str]:
    secret = secret.strip()
    if re.fullmatch(_CREDENTIAL_WORDS, secret, re.IGNORECASE):
        # Whoever's password is "password": with its name masked, no rule would know the value of `password=...`.
        return set()
    return {secret, quote(secret, safe=""), quote_plus(secret), json.dumps(secret)[1:-1], repr(secret)[1:-1]}


_SECRETS = _Secrets()


def register_secrets(*secrets: str | None) -> None:
    """Have these texts masked by `scrub` from now on in this process; empty and very short ones are ignored."""
    _SECRETS.add(secrets)


def scrub(text: str, *, limit: int = 300) -> str:
    """Return the text without secrets, e-mail addresses and phone numbers, at most `limit` characters long.

    A text that is cut ends in an ellipsis; no part of a word is shown that could be the first half of a secret.
    """
    seen = text
    if len(text) > limit + _REACH:
        # Back to the last space: half a secret has no form to be told by.
        seen = text[: limit + _REACH]
        seen = seen[: max(seen.rfind(" "), seen.rfind("\n")) + 1]
    masked = _SECRETS.mask(seen)
    for pattern, replacement in _RULES:
        masked = pattern.sub(replacement, masked)
    if len(seen) == len(text) and len(masked) <= limit:
        return masked
    return masked[: limit - 1].rstrip() + "…"
