"""What a Bulk query job refuses although REST would do it (salesforce-sync.md 5)."""

from __future__ import annotations

import re

from local.salesforce.errors import ApiError

_STRING = re.compile(r"'(?:\\.|[^'\\])*'", re.DOTALL)
# What is documented as not allowed, as a pattern of the query without its strings, and what Salesforce calls it. The
# text about compound data is a recorded one; the others follow its form, they are not documented.
_REFUSED = (
    (r"\bGROUP\s+BY\b", "Group By not supported in Bulk Query"),
    (r"\bOFFSET\s+\d", "Offset not supported in Bulk Query"),
    (r"\bTYPEOF\b", "Typeof not supported in Bulk Query"),
    (r"\b(?:COUNT|COUNT_DISTINCT|SUM|AVG|MIN|MAX)\s*\(", "Aggregate Relationships not supported in Bulk Query"),
    (r"\(\s*SELECT\b(?=.*\)\s*(?:,|FROM\b))", "Nested Relationships not supported in Bulk Query"),
)
_NO_CHUNKS = re.compile(r"\b(?:ORDER\s+BY|LIMIT)\b", re.IGNORECASE)


def check(soql: str) -> None:
    """Raise ApiError for a query that no Bulk job may run."""
    bare = _STRING.sub("''", soql)
    for pattern, text in _REFUSED:
        if re.search(pattern, bare, re.IGNORECASE | re.DOTALL):
            raise ApiError("FUNCTIONALITY_NOT_ENABLED", text)


def compound() -> ApiError:
    """Return the error for a query that selects an address as a whole."""
    return ApiError("FUNCTIONALITY_NOT_ENABLED", "Selecting compound data not supported in Bulk Query")


def unsupported(entity: str) -> ApiError:
    """Return the error for an object that only REST serves."""
    return ApiError("INVALIDENTITY", f"Entity '{entity}' is not supported by the Bulk API.")


def can_chunk(soql: str) -> bool:
    """Whether Salesforce would split the query by primary key: ORDER BY and LIMIT prevent it."""
    return not _NO_CHUNKS.search(_STRING.sub("''", soql))
