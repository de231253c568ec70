"""A calendar and a task system behind the contract of docs/interventions.md: one PUT per action and person.

What a person has is worked out from the actions that are active, so that cancelling one gives back exactly what was
there without it.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from typing import Any

from aiohttp import web

from local.simulators.faults import Fault, Faults
from local.simulators.http import OUTCOME, Handler, faulty
from local.simulators.inbox import Inbox
from local.simulators.settings import Settings

KIND = "action"
# Which actions each system knows.
KNOWN = {
    "calendar": {"reduce_meetings", "schedule_focus_time", "major_schedule_change"},
    "tasks": {"suggest_focus_time", "redistribute_tasks"},
}
_MEETINGS, _TASKS = 10, 8


class Actions:
    """Calendar and tasks of people who need not be known beforehand."""

    def __init__(self, settings: Settings, inbox: Inbox, faults: Faults) -> None:
        self._settings = settings
        self._inbox = inbox
        self._faults = faults

    def routes(self) -> list[web.RouteDef]:
        """Return the routes; they need the connection's token."""
        put = faulty(self._faults, "actions", "{system}", _refuse, self._keyed(self._put))
        return [
            web.put(r"/{system:calendar|tasks}/actions/{key:[0-9a-f-]{36}}", put),
            web.get(r"/{system:calendar|tasks}/people/{person}", self._keyed(self._person)),
        ]

    def _keyed(self, handler: Handler) -> Handler:
        async def handle(request: web.Request) -> web.Response:
            given = request.headers.get("Authorization", "").removeprefix("Bearer ")
            if not secrets.compare_digest(given.encode(), self._settings.actions_token.encode()):
                return _answer(401, {"error": "unauthorized"})
            return await handler(request)

        return handle

    async def _put(self, request: web.Request) -> web.Response:
        system, key = request.match_info["system"], request.match_info["key"]
        try:
            wanted = await request.json()
            asked = {name: wanted[name] for name in ("person", "action", "parameters")}
            state, revision = wanted["state"], int(wanted["revision"])
        except (ValueError, KeyError, TypeError):
            return _answer(400, {"error": "bad_request"})
        if request.headers.get("Idempotency-Key") != key or state not in ("active", "cancelled"):
            return _answer(400, {"error": "bad_request"})
        if asked["action"] not in KNOWN[system]:
            return _answer(422, {"error": "unknown_action"})
        return self._change(system, key, asked, state, revision)

    def _change(self, system: str, key: str, asked: dict[str, Any], state: str, revision: int) -> web.Response:
        found = self._inbox.get(KIND, key)
        if found is not None:
            if found["asked"] != asked or found["system"] != system:
                return _answer(422, {"error": "other_action_of_this_key"})
            if revision < found["revision"]:
                return _answer(409, {"error": "stale_revision"})
            if found["state"] == "cancelled" and state == "active":
                return _answer(409, {"error": "cancelled"})
        before = self.of(system, asked["person"])
        captured = found["captured"] if found is not None else before
        effects = (found["effects"] if found is not None else 0) + (found is None or found["state"] != state)
        entry = {
            "system": system,
            "asked": asked,
            "state": state,
            "revision": revision,
            "captured": captured,
            "effects": effects,
            "at": found["at"] if found is not None else time.time(),
        }
        self._inbox.put(KIND, key, entry)
        return _answer(200 if found else 201, {"state": state, "captured": captured, "restored": True})

    async def _person(self, request: web.Request) -> web.Response:
        return _answer(200, self.of(request.match_info["system"], request.match_info["person"]))

    def of(self, system: str, person: str) -> dict[str, Any]:
        """What a person's calendar or task list holds."""
        active = [
            entry["asked"]
            for entry in self._inbox.all(KIND)
            if entry["system"] == system and entry["state"] == "active" and entry["asked"]["person"] == person
        ]
        return _calendar(person, active) if system == "calendar" else _tasks(person, active)


def _calendar(person: str, active: list[dict[str, Any]]) -> dict[str, Any]:
    meetings = [f"{_mark(person)}-{number}" for number in range(_MEETINGS)]
    focus: list[dict[str, Any]] = []
    schedule = "usual"
    for each in active:
        parameters = each["parameters"]
        if each["action"] == "reduce_meetings":
            kept = len(meetings) - round(len(meetings) * float(parameters["percent"]) / 100)
            meetings = meetings[:kept]
        elif each["action"] == "schedule_focus_time":
            focus.append({"minutes": parameters["minutes"], "per_week": parameters["per_week"]})
        else:
            schedule = parameters["schedule"]
    return {"meetings": meetings, "focus": focus, "schedule": schedule}


def _tasks(person: str, active: list[dict[str, Any]]) -> dict[str, Any]:
    tasks = [f"{_mark(person)}-{number}" for number in range(_TASKS)]
    for each in active:
        if each["action"] == "redistribute_tasks":
            tasks = tasks[: len(tasks) - round(len(tasks) * float(each["parameters"]["percent"]) / 100)]
        else:
            tasks = [*tasks, f"focus time: {json.dumps(each['parameters'], sort_keys=True)}"]
    return {"tasks": tasks}


def _mark(person: str) -> str:
    return hashlib.sha256(person.encode()).hexdigest()[:8]


def _answer(status: int, body: dict[str, Any]) -> web.Response:
    answer = web.json_response(body, status=status)
    answer[OUTCOME] = f"{status} {body.get('error', body.get('state', ''))}".strip()
    return answer


def _refuse(fault: Fault) -> web.Response:
    if fault.mode == "rate_limit":
        return _answer(429, {"error": "too_many_requests"})
    return _answer(fault.status if fault.mode == "server_error" else 422, {"error": fault.mode})
