"""Admin routes: what tests and the demo do to the organisation. They are no part of Salesforce.

Every request carries the admin key (`Authorization: Bearer KEY` or `?key=KEY`).
GET /admin/state · POST /admin/reset · POST /admin/clock · POST /admin/records · POST /admin/schema ·
POST /admin/load · POST /admin/live · POST /admin/bulk · GET, POST, DELETE /admin/behave ·
POST /admin/quotas · POST /admin/sessions · POST /admin/replication · POST /admin/locators/expire ·
GET, DELETE /admin/requests · GET /admin/objects/NAME
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Any

from aiohttp import web

from local.salesforce import generate, live
from local.salesforce.changes import change
from local.salesforce.clock import parse, stamp
from local.salesforce.errors import ApiError
from local.salesforce.metadata import field_from_json
from local.salesforce.org import ORG, Org

Work = Callable[[Org, Any], Awaitable[Any]]


def routes() -> list[web.RouteDef]:
    """Return the admin routes."""
    return [
        web.get("/admin/state", _handler(_state)),
        web.post("/admin/reset", _handler(_reset)),
        web.post("/admin/clock", _handler(_clock)),
        web.post("/admin/records", _handler(_records)),
        web.post("/admin/schema", _handler(_schema)),
        web.post("/admin/load", _handler(_load)),
        web.post("/admin/live", _handler(_live)),
        web.post("/admin/quotas", _handler(_quotas)),
        web.post("/admin/sessions", _handler(_sessions)),
        web.post("/admin/replication", _handler(_replication)),
        web.post("/admin/locators/expire", _handler(_expire_locators)),
        web.post("/admin/bulk", _handler(_bulk)),
        web.get("/admin/behave", _handler(_scripts)),
        web.post("/admin/behave", _handler(_behave)),
        web.delete("/admin/behave", _handler(_behave_well)),
        web.get("/admin/requests", _handler(_requests)),
        web.delete("/admin/requests", _handler(_forget_requests)),
        web.get("/admin/objects/{name}", _dump),
    ]


def check_key(request: web.Request) -> None:
    """Raise HTTPUnauthorized unless the request carries the admin key."""
    given = request.headers.get("Authorization", "").removeprefix("Bearer ") or request.query.get("key", "")
    if not hmac.compare_digest(given.encode(), request.app[ORG].settings.admin_key.encode()):
        raise web.HTTPUnauthorized


def _handler(work: Work) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handle(request: web.Request) -> web.Response:
        check_key(request)
        try:
            given = await request.json() if request.can_read_body else {}
            return web.json_response(await work(request.app[ORG], given))
        except ApiError as error:
            return web.json_response({"error": error.code, "message": error.message}, status=400)
        except (ValueError, TypeError, KeyError) as error:
            return web.json_response({"error": type(error).__name__, "message": str(error)}, status=400)

    return handle


async def _state(org: Org, _: Any) -> dict[str, Any]:
    counts = await org.run(lambda: {meta.name: org.store.count(meta.name, deleted=True) for meta in org.store.catalog})
    return {"now": org.clock.now().isoformat(), "records": counts, "limits": org.quotas.limits()}


async def _reset(org: Org, _: Any) -> dict[str, Any]:
    org.faults.clear()
    org.jobs.reset()
    await org.run(org.reset)
    return {}


async def _clock(org: Org, given: Mapping[str, Any]) -> dict[str, Any]:
    for word, value in given.items():
        match word:
            case "move":
                org.clock.move(float(value))
            case "set":
                org.clock.set(parse(value))
            case "stop":
                org.clock.stop()
            case "run":
                org.clock.run()
            case _:
                raise ValueError(f"{word}: move, set, stop or run")
    return {"now": org.clock.now().isoformat()}


async def _records(org: Org, given: list[dict[str, Any]]) -> list[Any]:
    return await org.run(lambda: [change(org.store, **each) for each in given])


async def _schema(org: Org, given: Mapping[str, Any]) -> dict[str, Any]:
    """`op` add (`meta`), remove (`field`) or change (`field`, `meta`) of a field of `object`."""
    store, name = org.store, given["object"]
    match given["op"]:
        case "add":
            await org.run(store.add_field, name, field_from_json(given["meta"]))
        case "remove":
            await org.run(store.remove_field, name, given["field"])
        case "change":
            await org.run(store.change_field, name, given["field"], field_from_json(given["meta"]))
        case other:
            raise ValueError(f"{other}: add, remove or change")
    return {}


async def _load(org: Org, given: Mapping[str, Any]) -> dict[str, int]:
    """Generate an organisation: `percent`, `seed`. Returns the records of each object."""
    return await org.run(generate.fill, org.store, int(given.get("seed", 7)), float(given.get("percent", 1)))


async def _live(org: Org, given: Mapping[str, Any]) -> dict[str, int]:
    """Let `minutes` pass in which people work, `per_minute` changes in each. Returns what they did."""
    pace = float(given.get("per_minute", live.PER_MINUTE))
    return await org.run(live.step, org.store, float(given["minutes"]), per_minute=pace)


async def _quotas(org: Org, given: Mapping[str, Any]) -> dict[str, Any]:
    """`NAME: {"max": n, "used": n}` of a limit; `bursts` chooses the longer form of Sforce-Limit-Info."""
    for name, value in given.items():
        if name == "bursts":
            org.quotas.bursts = bool(value)
            continue
        if "max" in value:
            org.quotas.most[name] = int(value["max"])
        if "used" in value:
            org.quotas.set_used(name, float(value["used"]))
    return org.quotas.limits()


async def _sessions(org: Org, given: Mapping[str, Any]) -> dict[str, Any]:
    """`lifetime` (seconds) of new tokens, `password` and `soap` (allowed or not), `revoke` (a token, or true: all).

    `issue`: "token" or "refresh_token" returns a new one.
    """
    sessions = org.sessions
    if "lifetime" in given:
        sessions.lifetime = timedelta(seconds=float(given["lifetime"]))
    sessions.password_allowed = bool(given.get("password", sessions.password_allowed))
    sessions.soap_allowed = bool(given.get("soap", sessions.soap_allowed))
    if revoke := given.get("revoke"):
        sessions.revoke("" if revoke is True else str(revoke))
    match given.get("issue"):
        case "token":
            return {"token": sessions.issue()}
        case "refresh_token":
            return {"token": sessions.issue_refresh_token()}
    return {}


async def _replication(org: Org, given: Mapping[str, Any]) -> dict[str, Any]:
    """`most_ids`: ids in one answer. `log_since`: the delete log was purged then."""
    if "most_ids" in given:
        org.replication.most_ids = int(given["most_ids"])
    if "log_since" in given:
        org.replication.log_since = parse(given["log_since"])
    return {"most_ids": org.replication.most_ids, "now": stamp(org.clock.now())}


async def _expire_locators(org: Org, _: Any) -> dict[str, Any]:
    org.queries.expire()
    return {}


async def _bulk(org: Org, given: Mapping[str, Any]) -> dict[str, Any]:
    """`page_rows`: of results whose client asks for no size; `most_rows`: of any; `seconds`: that a job takes."""
    org.jobs.page_rows = int(given.get("page_rows", org.jobs.page_rows))
    org.jobs.most_rows = int(given.get("most_rows", org.jobs.most_rows))
    org.jobs.seconds = float(given.get("seconds", org.jobs.seconds))
    return {"page_rows": org.jobs.page_rows, "most_rows": org.jobs.most_rows, "seconds": org.jobs.seconds}


async def _scripts(org: Org, _: Any) -> list[dict[str, Any]]:
    return org.faults.scripts.state()


async def _behave(org: Org, given: list[dict[str, Any]]) -> dict[str, Any]:
    """Start a script: a list of steps as behaviours.Step describes them."""
    return {"number": org.faults.scripts.add(given)}


async def _behave_well(org: Org, _: Any) -> dict[str, Any]:
    org.faults.clear()
    return {}


async def _requests(org: Org, _: Any) -> list[dict[str, Any]]:
    return org.requests.entries()


async def _forget_requests(org: Org, _: Any) -> dict[str, Any]:
    org.requests.clear()
    return {}


async def _dump(request: web.Request) -> web.Response:
    """Answer with all records of an object as they are stored, deleted ones too: one JSON object a line."""
    check_key(request)
    store = request.app[ORG].store

    def lines() -> str:
        return "\n".join(json.dumps(row, ensure_ascii=False) for row in store.rows(request.match_info["name"]))

    try:
        return web.Response(text=await request.app[ORG].run(lines), content_type="application/x-ndjson")
    except ApiError as error:
        return web.json_response({"error": error.code, "message": error.message}, status=400)
