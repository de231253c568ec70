"""Slack's Web API, its incoming webhook and its upload addresses, as the real SDK and Airflow's hooks call them."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from typing import Any

from aiohttp import web

from local.simulators.faults import Fault, Faults
from local.simulators.http import OUTCOME, Handler, faulty
from local.simulators.settings import CHANNEL, Settings
from local.simulators.slack_messages import APP, BOT, TEAM, USER, SlackError, Workspace

Arguments = dict[str, Any]
SCOPES = "chat:write,chat:write.public,channels:read,files:write,files:read"
# Arguments that are JSON when they come in a form.
_JSON = ("blocks", "attachments", "metadata", "files")
# The webhook answers in plain words, each with a status of its own.
_WEBHOOK = {
    "invalid_auth": (403, "invalid_token"),
    "channel_not_found": (404, "channel_not_found"),
    "is_archived": (410, "channel_is_archived"),
    "restricted_action": (403, "action_prohibited"),
}


class Slack:
    """The HTTP side of the simulated workspace."""

    def __init__(self, settings: Settings, workspace: Workspace, faults: Faults) -> None:
        self._settings = settings
        self._workspace = workspace
        self._faults = faults
        self._methods: dict[str, Callable[[Arguments], Arguments]] = {
            "api.test": lambda given: {"args": given},
            "auth.test": self._auth_test,
            "chat.postMessage": self._post,
            "chat.update": self._update,
            "chat.delete": self._delete,
            "chat.getPermalink": self._permalink,
            "conversations.list": self._list,
            "conversations.info": self._info,
            "conversations.join": self._info,
            "conversations.history": self._history,
            "conversations.replies": self._replies,
            "files.getUploadURLExternal": self._announce,
            "files.completeUploadExternal": self._complete,
        }

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of the Web API, of uploads and of the webhook."""

        def route(path: str, method: str, refuse: Callable[[Fault], web.Response], handler: Handler) -> web.RouteDef:
            return web.post(path, faulty(self._faults, "slack", method, refuse, handler))

        api = faulty(self._faults, "slack", "{method}", _refuse, self._api)
        return [
            web.post(r"/api/{method:[A-Za-z]+\.[A-Za-z.]+}", api),
            web.get(r"/api/{method:[A-Za-z]+\.[A-Za-z.]+}", api),
            route("/upload/v1/{secret}", "upload", _refuse, self._upload),
            route("/services/{hook:.+}", "webhook", _refuse_webhook, self._webhook),
        ]

    # --- Web API ---------------------------------------------------------------------------------
    async def _api(self, request: web.Request) -> web.Response:
        method = request.match_info["method"]
        try:
            given = await _arguments(request)
            self._check_token(request, given.pop("token", ""))
            return _answer({"ok": True, **self._call(method, given)}, "ok")
        except SlackError as error:
            return _answer(_refusal(error.code, error.details), error.code)

    def _check_token(self, request: web.Request, in_form: object) -> None:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ") or str(in_form)
        if not token:
            raise SlackError("not_authed")
        if not secrets.compare_digest(token.encode(), self._settings.slack_token.encode()):
            raise SlackError("invalid_auth")

    def _call(self, method: str, given: Arguments) -> Arguments:
        if method not in self._methods:
            raise SlackError("unknown_method", [f"unknown method {method}"])
        return self._methods[method](given)

    def _auth_test(self, _given: Arguments) -> Arguments:
        return {
            "url": f"{self._settings.root_url}/",
            "team": "Simulated",
            "user": "pipelines",
            "team_id": TEAM,
            "user_id": USER,
            "bot_id": BOT,
            "is_enterprise_install": False,
        }

    def _post(self, given: Arguments) -> Arguments:
        message = self._workspace.post(given)
        return {"channel": message["channel"], "ts": message["ts"], "message": _public(message)}

    def _update(self, given: Arguments) -> Arguments:
        message = self._workspace.update(given)
        found = {"channel": message["channel"], "ts": message["ts"], "text": message["text"]}
        return {**found, "message": _public(message)}

    def _delete(self, given: Arguments) -> Arguments:
        message = self._workspace.delete(given)
        return {"channel": message["channel"], "ts": message["ts"]}

    def _permalink(self, given: Arguments) -> Arguments:
        channel = self._workspace.channel_id(given.get("channel"))
        ts = str(given.get("message_ts") or "")
        if ts not in {message["ts"] for message in self._workspace.messages(channel)}:
            raise SlackError("message_not_found")
        # Slack's own ends in /archives/<channel>/p<digits of ts>; ours opens the page at that message.
        return {"channel": channel, "permalink": f"{self._settings.inbox_url}#m{ts.replace('.', '')}"}

    def _list(self, given: Arguments) -> Arguments:
        found = self._workspace.channels()
        if str(given.get("exclude_archived", "")).lower() in ("1", "true"):
            found = [channel for channel in found if not channel["is_archived"]]
        return _page(given, "channels", found)

    def _info(self, given: Arguments) -> Arguments:
        wanted = self._workspace.channel_id(given.get("channel"))
        return {"channel": next(c for c in self._workspace.channels() if c["id"] == wanted)}

    def _history(self, given: Arguments) -> Arguments:
        channel = self._workspace.channel_id(given.get("channel"))
        found = [m for m in self._workspace.messages(channel) if not m.get("thread_ts") or m["reply_broadcast"]]
        return _page(given, "messages", [_public(message) for message in reversed(found)])

    def _replies(self, given: Arguments) -> Arguments:
        channel = self._workspace.channel_id(given.get("channel"))
        return _page(given, "messages", [_public(m) for m in self._workspace.replies(channel, given.get("ts"))])

    def _announce(self, given: Arguments) -> Arguments:
        upload = self._workspace.announce(given)
        return {"upload_url": f"{self._settings.root_url}/upload/v1/{upload['secret']}", "file_id": upload["id"]}

    def _complete(self, given: Arguments) -> Arguments:
        files = self._workspace.complete(given)
        return {"files": [{"id": file["id"], "title": file["title"]} for file in files]}

    # --- uploads and webhook ---------------------------------------------------------------------
    async def _upload(self, request: web.Request) -> web.Response:
        if request.content_type == "multipart/form-data":
            form = await request.post()
            part = next((value for value in form.values() if isinstance(value, web.FileField)), None)
            content = part.file.read() if part is not None else b""
        else:
            content = await request.read()
        upload = self._workspace.receive(request.match_info["secret"], content)
        if upload is None:
            return web.Response(status=404, text="not found")
        return web.Response(text=f"OK - {len(content)}")

    async def _webhook(self, request: web.Request) -> web.Response:
        known = self._settings.slack_webhook.encode()
        if not secrets.compare_digest(request.match_info["hook"].encode(), known):
            return _plain(404, "no_service")
        try:
            given = await _arguments(request)
            if "payload" in given:
                given = _object(str(given["payload"]))
            # An app's webhook belongs to one channel: a `channel` in the payload is not followed.
            self._workspace.post({**given, "channel": CHANNEL}, via="webhook")
        except SlackError as error:
            return _plain(*_webhook_words(error.code))
        return _plain(200, "ok")


# --- reading requests ------------------------------------------------------------------------------
async def _arguments(request: web.Request) -> Arguments:
    """Return the arguments of a call: JSON, a form, or the query."""
    given: Arguments = dict(request.query)
    if request.content_type == "application/json":
        # The SDK says JSON also when it sends nothing.
        return given | _object(await request.text() or "{}")
    if request.method == "POST":
        given |= {name: value for name, value in (await request.post()).items() if isinstance(value, str)}
    for name in _JSON:
        if isinstance(given.get(name), str):
            try:
                given[name] = json.loads(given[name])
            except ValueError:
                raise SlackError(f"invalid_{name}_format" if name == "blocks" else "invalid_arguments") from None
    return given


def _object(text: str) -> Arguments:
    try:
        found = json.loads(text)
    except ValueError:
        raise SlackError("invalid_json") from None
    if not isinstance(found, dict):
        raise SlackError("json_not_object")
    return found


# --- answering -------------------------------------------------------------------------------------
def _answer(body: Arguments, outcome: str, status: int = 200) -> web.Response:
    headers = {"X-OAuth-Scopes": SCOPES, "X-Slack-Req-Id": secrets.token_hex(16)}
    answer = web.json_response(body, status=status, headers=headers)
    answer[OUTCOME] = outcome
    return answer


def _plain(status: int, text: str) -> web.Response:
    answer = web.Response(status=status, text=text)
    answer[OUTCOME] = text
    return answer


def _refusal(code: str, details: list[str]) -> Arguments:
    body: Arguments = {"ok": False, "error": code}
    if details:
        body["response_metadata"] = {"messages": [f"[ERROR] {line}" for line in details]}
        if code == "invalid_blocks":
            body["errors"] = details
    return body


def _refuse(fault: Fault) -> web.Response:
    if fault.mode == "rate_limit":
        return _answer(_refusal("ratelimited", []), "ratelimited", 429)
    if fault.mode == "server_error":
        return _answer(_refusal("internal_error", []), "internal_error", fault.status)
    return _answer(_refusal(fault.code, []), fault.code)


def _webhook_words(code: str) -> tuple[int, str]:
    return _WEBHOOK.get(code, (400, "invalid_payload" if code in ("invalid_json", "json_not_object") else code))


def _refuse_webhook(fault: Fault) -> web.Response:
    if fault.mode == "rate_limit":
        return _plain(429, "rate_limited")
    if fault.mode == "server_error":
        return _plain(fault.status, "rollup_error")
    return _plain(*_webhook_words(fault.code))


def _public(message: Arguments) -> Arguments:
    """Return a message as Slack shows it, without what only the inbox needs."""
    ours = ("channel", "channel_name", "via", "edits", "deleted", "received_at")
    shown = {name: value for name, value in message.items() if name not in ours and value not in ([], None)}
    return {**shown, "bot_profile": {"id": BOT, "app_id": APP, "team_id": TEAM, "name": "pipelines"}}


def _page(given: Arguments, name: str, items: list[Arguments]) -> Arguments:
    """Return one page of a list, and the cursor of the next one."""
    start, size = str(given.get("cursor") or "0"), str(given.get("limit") or "100")
    if not start.isdigit():
        raise SlackError("invalid_cursor")
    if not size.isdigit() or int(size) < 1:
        raise SlackError("invalid_limit")
    first, end = int(start), int(start) + int(size)
    more = str(end) if end < len(items) else ""
    return {name: items[first:end], "response_metadata": {"next_cursor": more}, "has_more": bool(more)}
