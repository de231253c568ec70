"""The HTTP side of Bulk API 2.0 query jobs: `/services/data/vXX.X/jobs/query`."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any

from aiohttp import web

from local.salesforce.behaviours import JOBS, Step
from local.salesforce.bulk import Jobs
from local.salesforce.bulk_results import Range, Snapshot
from local.salesforce.errors import ApiError, not_found
from local.salesforce.faults import STEPS
from local.salesforce.org import JOB_ID, ORG, SOQL
from local.salesforce.rows import concerns_rows, edit

_ROOT = r"/services/data/v{version:[\d.]+}/jobs/query"
_PAGES_LISTED = 5
_PARALLEL_FROM = 58.0
# A client that asks for the state waits so long for a job that is running.
_PATIENCE = 5.0
# Rows before a page, for a page that repeats some of them.
_BEFORE = 200


def routes() -> list[web.RouteDef]:
    """Return the routes of query jobs."""
    job = _ROOT + r"/{job:\w+}"
    return [
        web.post(_ROOT, _create),
        web.post(_ROOT + "/", _create),
        web.get(_ROOT, _list),
        web.get(_ROOT + "/", _list),
        web.get(job, _info),
        web.get(job + "/", _info),
        web.patch(job, _change),
        web.delete(job, _delete),
        web.get(job + "/results", _results),
        web.get(job + "/resultPages", _pages),
    ]


def _jobs(request: web.Request) -> Jobs:
    request[JOB_ID] = request.match_info.get("job", "")
    return request.app[ORG].jobs


async def _json(request: web.Request) -> dict[str, Any]:
    try:
        given = json.loads(await request.read())
    except ValueError:
        given = None
    if not isinstance(given, dict):
        raise ApiError("JSON_PARSER_ERROR", "The HTTP entity body is required, as JSON")
    return given


async def _create(request: web.Request) -> web.Response:
    given = await _json(request)
    request[SOQL] = str(given.get("query", ""))
    jobs = _jobs(request)
    job = jobs.create(given, request.match_info["version"])
    request[JOB_ID] = job.id
    # What a client is told now does not know of it yet.
    body = jobs.shown(job, whole=False)
    for step in _steps(request):
        if step.kind in JOBS:
            await jobs.settle(job, _PATIENCE)
            jobs.misbehave(job.id, step)
    return web.json_response(body)


async def _list(request: web.Request) -> web.Response:
    jobs = _jobs(request)
    records = [jobs.shown(job, whole=False) | {"jobType": "V2Query"} for job in jobs.all()]
    return web.json_response({"done": True, "nextRecordsUrl": None, "records": records})


async def _info(request: web.Request) -> web.Response:
    jobs = _jobs(request)
    job = jobs.get(request.match_info["job"], request.match_info["version"])
    await jobs.settle(job, _PATIENCE)
    return web.json_response(jobs.look(job))


async def _change(request: web.Request) -> web.Response:
    jobs = _jobs(request)
    job = jobs.get(request.match_info["job"], request.match_info["version"])
    if (await _json(request)).get("state") != "Aborted":
        raise ApiError("INVALIDJOBSTATE", "The only state a query job can be given is Aborted")
    jobs.abort(job)
    return web.json_response(jobs.shown(job, whole=False))


async def _delete(request: web.Request) -> web.Response:
    jobs = _jobs(request)
    job = jobs.get(request.match_info["job"], request.match_info["version"])
    await jobs.settle(job, _PATIENCE)
    jobs.delete(job)
    return web.Response(status=204)


async def _results(request: web.Request) -> web.StreamResponse:
    jobs = _jobs(request)
    job = jobs.get(request.match_info["job"], request.match_info["version"])
    snapshot = jobs.snapshot(job)
    first, end = _range(request, snapshot, jobs.page_rows, jobs.most_rows)
    pieces: Iterator[bytes] = itertools.chain([snapshot.header], snapshot.chunks(first, end))
    count, steps = end - first, _steps(request)
    if concerns_rows(steps):
        content, count = _edited(snapshot, first, end, steps)
        pieces = iter([content])
    response = web.StreamResponse()
    response.content_type, response.charset = "text/csv", "UTF-8"
    response.headers["Sforce-NumberOfRecords"] = str(count)
    # The last page says "null", as a text.
    response.headers["Sforce-Locator"] = Range(end).locator if end < snapshot.rows else "null"
    return await request.app[ORG].faults.stream(request, response, pieces)


async def _pages(request: web.Request) -> web.Response:
    jobs, version = _jobs(request), request.match_info["version"]
    job = jobs.get(request.match_info["job"], version)
    if float(version) < _PARALLEL_FROM:
        raise not_found()
    snapshot, size = jobs.snapshot(job), jobs.page_rows
    first, _ = _range(request, snapshot, size, size)
    starts = range(first, max(snapshot.rows, first + 1), size)
    root = f"/services/data/v{version}/jobs/query/{job.id}"
    listed = [Range(start, min(start + size, snapshot.rows)) for start in starts[:_PAGES_LISTED]]
    body: dict[str, Any] = {
        "resultPages": [{"resultUrl": f"{root}/results?locator={page.locator}"} for page in listed],
        "done": len(starts) <= _PAGES_LISTED,
    }
    if not body["done"]:
        body["nextRecordsUrl"] = f"{root}/resultPages?locator={Range(starts[_PAGES_LISTED]).locator}"
    return web.json_response(body)


def _range(request: web.Request, snapshot: Snapshot, usual: int, limit: int) -> tuple[int, int]:
    """Return the rows a request means: from its locator, as many as it wants or the locator says."""
    try:
        most = min(int(request.query.get("maxRecords") or usual), limit)
        wanted = Range.of(request.query["locator"]) if request.query.get("locator") else Range(0)
        end = wanted.end if wanted.end is not None else min(wanted.first + most, snapshot.rows)
    except ValueError:
        raise ApiError("INVALID_QUERY_LOCATOR", "invalid query locator") from None
    if most < 1 or not 0 <= wanted.first <= end <= snapshot.rows:
        raise ApiError("INVALID_QUERY_LOCATOR", "invalid query locator")
    return wanted.first, end


def _edited(snapshot: Snapshot, first: int, end: int, steps: tuple[Step, ...]) -> tuple[bytes, int]:
    def named(begin: int, until: int) -> list[dict[str, Any]]:
        return [dict(zip(snapshot.columns, row, strict=True)) for row in snapshot.read(begin, until)]

    page = edit(steps, named(first, end), named(max(0, first - _BEFORE), first))
    lines = snapshot.dialect.lines([list(row.values()) for row in page.rows])
    return b"".join([snapshot.header if page.header else b"", *lines]), page.counted


def _steps(request: web.Request) -> tuple[Step, ...]:
    steps: tuple[Step, ...] = request.get(STEPS, ())
    return steps
