"""Several calls in one request: `composite` and `composite/batch`."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from local.salesforce.answer import Answer, Call
from local.salesforce.errors import ApiError

_MOST = 25
# Queries and collections among the subrequests of `composite`.
_MOST_QUERIES = 5
_QUERIES = re.compile(r"(query|queryAll|composite/sobjects)(/|\?|\Z)", re.IGNORECASE)
_URL = re.compile(r"(?:/?services/data/)?/?v(\d+\.\d)/(.*)\Z", re.DOTALL)
Work = Callable[[Call], Answer]


def batch(call: Call, answer: Work) -> Answer:
    """Answer up to 25 independent subrequests, one after another. Each counts as an API call."""
    body = call.object()
    requests = _listed(body.get("batchRequests"))
    results: list[dict[str, Any]] = []
    for request in requests:
        if body.get("haltOnError") and any(r["statusCode"] >= 400 for r in results):
            message = "The request has been halted due to an earlier error."
            results.append(
                {"statusCode": 412, "result": [{"errorCode": "BATCH_PROCESSING_HALTED", "message": message}]}
            )
            continue
        done = _one(request, request.get("richInput"), {}, answer)
        results.append({"statusCode": done.status, "result": done.value()})
    errors = any(r["statusCode"] >= 400 for r in results)
    return Answer(body={"hasErrors": errors, "results": results}, calls=max(1, len(requests)))


def composite(call: Call, answer: Work) -> Answer:
    """Answer up to 25 subrequests, at most five of them queries. All together count as one API call."""
    requests = _listed(call.object().get("compositeRequest"))
    queries = [r for r in requests if (found := _URL.match(str(r.get("url", "")))) and _QUERIES.match(found[2])]
    if len(queries) > _MOST_QUERIES:
        message = f"The request exceeds the limit of {_MOST_QUERIES} query and collection subrequests"
        raise ApiError("INVALID_INPUT", message)
    results = []
    for request in requests:
        headers = {str(k): str(v) for k, v in (request.get("httpHeaders") or {}).items()}
        done = _one(request, request.get("body"), headers, answer)
        results.append(
            {
                "body": done.value(),
                "httpHeaders": dict(done.headers),
                "httpStatusCode": done.status,
                "referenceId": str(request.get("referenceId", "")),
            }
        )
    return Answer(body={"compositeResponse": results})


def _listed(found: Any) -> list[dict[str, Any]]:
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise ApiError("JSON_PARSER_ERROR", "a list of subrequests is expected")
    if len(found) > _MOST:
        raise ApiError("INVALID_INPUT", f"The request exceeds the limit of {_MOST} subrequests")
    return found


def _one(request: dict[str, Any], body: object, headers: dict[str, str], answer: Work) -> Answer:
    found = _URL.match(str(request.get("url", "")))
    if found is None or found[2] == "composite" or found[2].startswith(("composite/batch", "jobs/")):
        return Answer(400, ApiError("INVALID_INPUT", "The requested subrequest URL is not supported").body())
    inner = Call.inner(str(request.get("method", "")), found[1], found[2], body)
    try:
        return answer(Call(inner.method, inner.version, inner.path, inner.query, headers, inner.body))
    except ApiError as error:
        return Answer(error.status, error.body())
