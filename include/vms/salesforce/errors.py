"""What can go wrong with Salesforce. `include/operations/error_rules.py` sorts it into the seven classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from include.operations.error_rules import ErrorClass
from include.operations.errors import DailyLimitReached, PipelineError

# Their texts name fields, objects and positions in our own query, which holds ids and times only.
_TOLD: Final = frozenset(
    {
        "INVALIDENTITY",
        "INVALID_FIELD",
        "INVALID_REPLICATION_DATE",
        "INVALID_TYPE",
        "LIMIT_EXCEEDED",
        "MALFORMED_QUERY",
        "REQUEST_LIMIT_EXCEEDED",
    }
)
_LONGEST: Final = 400


class SalesforceFailed(Exception):  # noqa: N818 - named for what happened
    """A reply that is an error.

    Attributes:
        what: method and path.
        status: of HTTP.
        content: the body: a list of errors, of OAuth one object, None when it was not JSON.
        headers: of the reply, for its Retry-After.
    """

    def __init__(self, what: str, status: int, content: Any, headers: Mapping[str, str]) -> None:
        self.what = what
        self.status = status
        self.content = content
        self.headers = headers
        code = self.error_code
        told = f": {self.error_message[:_LONGEST].strip()}" if code in _TOLD else ""
        super().__init__(f"{what} was answered with {status} {code}".rstrip() + told)

    def __reduce__(self) -> tuple[type[SalesforceFailed], tuple[Any, ...]]:
        # The default would call the class with the message alone and fail in another process.
        return type(self), (self.what, self.status, self.content, dict(self.headers))

    @property
    def error_code(self) -> str:
        """Salesforce's code of the first error, empty when there is none."""
        return self._first("errorCode", "error", "exceptionCode")

    @property
    def error_message(self) -> str:
        """Salesforce's text of the first error."""
        return self._first("message", "error_description", "exceptionMessage")

    def _first(self, *names: str) -> str:
        first = self.content[0] if isinstance(self.content, list) and self.content else self.content
        if not isinstance(first, dict):
            return ""
        return next((str(first[name]) for name in names if name in first), "")


class Unreachable(Exception):  # noqa: N818 - named for what happened
    """No usable reply: no connection, a time-out, a page that is not Salesforce's. The cause says more."""


class DownloadIncomplete(PipelineError):  # noqa: N818 - named for what happened
    """A page of results broke off or holds another number of rows than announced; nothing of it was kept."""

    error_class = ErrorClass.NETWORK
    transient = True
    code = "DOWNLOAD_INCOMPLETE"


class JobFailed(PipelineError):  # noqa: N818 - named for what happened
    """Salesforce gave up a Bulk query job, or has lost it."""

    error_class = ErrorClass.NETWORK
    transient = True
    code = "BULK_JOB_FAILED"


class JobTooSlow(PipelineError):  # noqa: N818 - named for what happened
    """A Bulk query job was not ready in time; the next try goes on waiting for the same job."""

    error_class = ErrorClass.TIMEOUT
    transient = True
    code = "BULK_JOB_SLOW"


class QuotaReserved(DailyLimitReached):
    """What is left of the day's quota is reserved for others; `retry_after` is when to ask again."""
