"""A call of the REST interface and its answer, apart from HTTP: a composite request holds several."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from local.salesforce.errors import ApiError


@dataclass(frozen=True)
class Call:
    """One request below `/services/data/vXX.X/`: `path` is what follows, without a slash in front."""

    method: str
    version: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    @classmethod
    def inner(cls, method: str, version: str, url: str, body: object = None) -> Call:
        """Return the call of a subrequest; `url` may carry a query string."""
        parts = urlsplit(url)
        content = b"" if body is None else json.dumps(body).encode()
        return cls(method.upper(), version, parts.path.strip("/"), dict(parse_qsl(parts.query)), {}, content)

    def json(self) -> Any:
        """Return the body. Raises ApiError."""
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise ApiError("JSON_PARSER_ERROR", f"The HTTP entity body is required, as JSON: {error}") from error

    def object(self) -> dict[str, Any]:
        """Return the body, which must be a JSON object. Raises ApiError."""
        found = self.json()
        if not isinstance(found, dict):
            raise ApiError("JSON_PARSER_ERROR", "a JSON object is expected")
        return found


@dataclass(frozen=True)
class Answer:
    """Status and content: a JSON value, or JSON that is ready to send. `calls`: as how many API calls it counts."""

    status: int = 200
    body: Any = None
    raw: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    calls: int = 1

    def content(self) -> bytes:
        """Return what is sent."""
        if self.raw is not None:
            return self.raw
        return b"" if self.status in (204, 304) else json.dumps(self.body, ensure_ascii=False).encode()

    def value(self) -> Any:
        """Return the JSON value."""
        return json.loads(self.raw) if self.raw is not None else self.body
