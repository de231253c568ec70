"""Salesforce's errors: a code, a text, and the HTTP status that goes with them."""

from __future__ import annotations

from typing import Any

_STATUS = {
    "INVALID_SESSION_ID": 401,
    "INVALID_AUTH_HEADER": 401,
    "REQUEST_LIMIT_EXCEEDED": 403,
    "INSUFFICIENT_ACCESS": 403,
    "NOT_FOUND": 404,
    "ENTITY_IS_DELETED": 404,
    "METHOD_NOT_ALLOWED": 405,
    "UNSUPPORTED_API_VERSION": 410,
    "UNSUPPORTED_MEDIA_TYPE": 415,
    "SERVER_UNAVAILABLE": 503,
}
NO_RESOURCE = "The requested resource does not exist"


class ApiError(Exception):
    """One entry of the JSON array Salesforce answers with; `fields` names what a write was refused for."""

    def __init__(self, code: str, message: str, *, fields: tuple[str, ...] | None = None, status: int = 0) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.fields = fields
        self.status = status or _STATUS.get(code, 400)

    def body(self) -> list[dict[str, Any]]:
        """Return the JSON array."""
        entry: dict[str, Any] = {"message": self.message, "errorCode": self.code}
        if self.fields is not None:
            entry["fields"] = list(self.fields)
        return [entry]


def not_found() -> ApiError:
    """Return the error for whatever does not exist."""
    return ApiError("NOT_FOUND", NO_RESOURCE)
