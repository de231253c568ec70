"""The real Slack SDK against the simulated Web API: answers, refusals, limits, faults."""

from __future__ import annotations

import time
from typing import Any

import httpx
import pytest
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError

from local.simulators.slack_messages import CHANNELS
from local.simulators.testing import AlertSink

ALERTS = CHANNELS["alerts"]
PNG = b"\x89PNG\r\n\x1a\n" + bytes(200)


@pytest.fixture
def client(alert_sink: AlertSink) -> WebClient:
    # Without the SDK's own repetition a fault is seen once.
    settings = alert_sink.settings
    return WebClient(settings.slack_token, base_url=settings.slack_url, timeout=60, retry_handlers=[])


def section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}}


def refused(call: Any, **arguments: Any) -> dict[str, Any]:
    with pytest.raises(SlackApiError) as raised:
        call(**arguments)
    answer: dict[str, Any] = raised.value.response.data
    assert answer["ok"] is False
    return answer


# --- posting ---------------------------------------------------------------------------------------
def test_a_message_arrives_as_it_was_sent(client: WebClient, alert_sink: AlertSink) -> None:
    before = time.time()
    answer = client.chat_postMessage(channel="#alerts", text="fallback", blocks=[section("*bold* & <https://x|y>")])
    assert answer["ok"] is True
    assert answer["channel"] == ALERTS
    assert answer["message"]["blocks"][0]["text"]["text"] == "*bold* & <https://x|y>"
    (message,) = alert_sink.slack_messages()
    assert (message["ts"], message["channel_name"], message["text"]) == (answer["ts"], "alerts", "fallback")
    assert message["via"] == "api"
    assert before <= message["received_at"] <= time.time()


def test_a_form_and_json_say_the_same(client: WebClient, alert_sink: AlertSink) -> None:
    # The SDK sends `json=` as JSON, `data=` as multipart, `params=` as a form.
    content = {"channel": ALERTS, "text": "hä", "blocks": '[{"type": "divider"}]'}
    client.api_call("chat.postMessage", json={**content, "blocks": [{"type": "divider"}]})
    client.api_call("chat.postMessage", data=content)
    client.api_call("chat.postMessage", params=content)
    assert [(m["text"], m["blocks"][0]["type"]) for m in alert_sink.slack_messages()] == [("hä", "divider")] * 3


def test_replies_are_in_the_thread_of_the_first_message(client: WebClient, alert_sink: AlertSink) -> None:
    first = client.chat_postMessage(channel=ALERTS, text="first")["ts"]
    reply = client.chat_postMessage(channel=ALERTS, text="reply", thread_ts=first)["ts"]
    # A reply to a reply belongs to the same thread, as in Slack.
    client.chat_postMessage(channel=ALERTS, text="second reply", thread_ts=reply)
    assert [m.get("thread_ts") for m in alert_sink.slack_messages()] == [None, first, first]
    thread = client.conversations_replies(channel=ALERTS, ts=first)["messages"]
    assert [m["text"] for m in thread] == ["first", "reply", "second reply"]
    assert [m["text"] for m in client.conversations_history(channel=ALERTS)["messages"]] == ["first"]


def test_an_edit_replaces_and_is_remembered(client: WebClient, alert_sink: AlertSink) -> None:
    ts = client.chat_postMessage(channel=ALERTS, text="down", blocks=[section("down")])["ts"]
    answer = client.chat_update(channel=ALERTS, ts=ts, text="up again", blocks=[section("up")])
    assert answer["message"]["edited"]["ts"] > ts
    (message,) = alert_sink.slack_messages()
    assert (message["text"], message["blocks"][0]["text"]["text"]) == ("up again", "up")
    assert [edit["text"] for edit in message["edits"]] == ["down"]


def test_an_edit_with_a_text_alone_removes_the_blocks(client: WebClient, alert_sink: AlertSink) -> None:
    ts = client.chat_postMessage(channel=ALERTS, text="down", blocks=[section("down")])["ts"]
    client.chat_update(channel=ALERTS, ts=ts, text="up")
    assert alert_sink.slack_messages()[0]["blocks"] == []


def test_a_deleted_message_is_gone_for_its_channel_only(client: WebClient, alert_sink: AlertSink) -> None:
    ts = client.chat_postMessage(channel=ALERTS, text="oops")["ts"]
    client.chat_delete(channel=ALERTS, ts=ts)
    assert alert_sink.slack_messages() == []
    assert alert_sink.slack_messages(deleted=True)[0]["text"] == "oops"
    assert refused(client.chat_update, channel=ALERTS, ts=ts, text="x")["error"] == "message_not_found"


def test_time_stamps_are_unique_and_ascend(client: WebClient) -> None:
    stamps = [client.chat_postMessage(channel=ALERTS, text=str(n))["ts"] for n in range(20)]
    assert stamps == sorted(set(stamps))


# --- what Slack refuses ----------------------------------------------------------------------------
@pytest.mark.filterwarnings("ignore:The top-level `text` argument is missing")
@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"channel": "#nowhere", "text": "x"}, "channel_not_found"),
        ({"channel": "#old-alerts", "text": "x"}, "is_archived"),
        ({"channel": "#secret", "text": "x"}, "not_in_channel"),
        ({"channel": ALERTS, "text": ""}, "no_text"),
        ({"channel": ALERTS, "text": "x" * 40_001}, "msg_too_long"),
        ({"channel": ALERTS, "text": "x", "thread_ts": "1700000000.000001"}, "thread_not_found"),
        ({"channel": ALERTS, "text": "x", "blocks": [section("x" * 2900)] * 5}, "msg_blocks_too_long"),
        ({"channel": ALERTS, "text": "x", "attachments": [{"text": "x"}] * 101}, "too_many_attachments"),
    ],
)
def test_refused_messages(client: WebClient, alert_sink: AlertSink, arguments: dict[str, Any], code: str) -> None:
    assert refused(client.chat_postMessage, **arguments)["error"] == code
    assert alert_sink.slack_messages() == []
    assert alert_sink.requests("slack")[-1]["outcome"] == code


def test_blocks_beyond_a_limit_are_refused_with_their_place(client: WebClient) -> None:
    answer = refused(client.chat_postMessage, channel=ALERTS, text="x", blocks=[section("x" * 3001)])
    assert answer["error"] == "invalid_blocks"
    wanted = "[ERROR] must be less than 3001 characters [json-pointer:/blocks/0/text/text]"
    assert wanted in answer["response_metadata"]["messages"]
    answer = refused(client.chat_postMessage, channel=ALERTS, text="x", attachments=[{"blocks": [{"type": "divide"}]}])
    assert answer["error"] == "invalid_attachments"


def test_blocks_that_are_no_json_are_refused(client: WebClient) -> None:
    answer = refused(client.api_call, api_method="chat.postMessage", data={"channel": ALERTS, "blocks": "[{"})
    assert answer["error"] == "invalid_blocks_format"


@pytest.mark.filterwarnings("ignore:The top-level `text` argument is missing")
def test_refused_edits(client: WebClient) -> None:
    ts = client.chat_postMessage(channel=ALERTS, text="x")["ts"]
    assert refused(client.chat_update, channel=ALERTS, ts="1.1", text="x")["error"] == "message_not_found"
    # Posting takes the channel's name, editing only its id.
    assert refused(client.chat_update, channel="#alerts", ts=ts, text="x")["error"] == "channel_not_found"
    assert refused(client.chat_update, channel=ALERTS, ts=ts, text="x" * 4001)["error"] == "msg_too_long"
    assert refused(client.chat_update, channel=ALERTS, ts=ts, text="")["error"] == "no_text"
    assert refused(client.api_call, api_method="chat.update", json={"channel": ALERTS, "ts": ts})["error"] == "no_text"


def test_tokens_are_checked(alert_sink: AlertSink) -> None:
    base_url = alert_sink.settings.slack_url
    assert refused(WebClient("xoxb-wrong", base_url=base_url).auth_test)["error"] == "invalid_auth"
    assert refused(WebClient(base_url=base_url).auth_test)["error"] == "not_authed"


def test_an_unknown_method_is_refused(client: WebClient) -> None:
    assert refused(client.api_call, api_method="chat.shout")["error"] == "unknown_method"


# --- channels, files -------------------------------------------------------------------------------
def test_channels_are_listed_page_by_page(client: WebClient) -> None:
    pages = [page["channels"] for page in client.conversations_list(limit=3)]
    assert [len(page) for page in pages] == [3, 1]
    assert {channel["name"] for page in pages for channel in page} == set(CHANNELS)
    assert client.conversations_info(channel=ALERTS)["channel"]["is_member"] is True


def test_a_picture_is_uploaded_and_can_be_seen(client: WebClient, alert_sink: AlertSink) -> None:
    parent = client.chat_postMessage(channel=ALERTS, text="digest")["ts"]
    done = client.files_upload_v2(
        channel=ALERTS, content=PNG, filename="week.png", title="Week", initial_comment="the week", thread_ts=parent
    )
    (file,) = alert_sink.slack_messages()[-1]["files"]
    assert (file["id"], file["title"], file["size"]) == (done["files"][0]["id"], "Week", len(PNG))
    assert alert_sink.slack_messages()[-1]["thread_ts"] == parent
    assert alert_sink.file(file["id"]) == PNG


def test_an_upload_that_never_came_is_refused(client: WebClient) -> None:
    announced = client.files_getUploadURLExternal(filename="a.png", length=5)
    answer = refused(client.files_completeUploadExternal, files=[{"id": announced["file_id"]}], channel_id=ALERTS)
    assert answer["error"] == "file_not_found"
    # Sharing takes the channel's id.
    assert httpx.post(announced["upload_url"], content=b"12345", timeout=60).status_code == 200
    wanted = {"files": [{"id": announced["file_id"]}], "channel_id": "#alerts"}
    assert refused(client.files_completeUploadExternal, **wanted)["error"] == "channel_not_found"
    wanted["channel_id"] = CHANNELS["secret"]
    assert refused(client.files_completeUploadExternal, **wanted)["error"] == "not_in_channel"
    wanted |= {"channel_id": ALERTS, "thread_ts": "1.1"}
    assert refused(client.files_completeUploadExternal, **wanted)["error"] == "thread_not_found"
    # What was refused can be completed later.
    del wanted["thread_ts"]
    assert client.files_completeUploadExternal(**wanted)["ok"]


# --- faults ----------------------------------------------------------------------------------------
def test_rate_limit_says_when_to_come_back(client: WebClient, alert_sink: AlertSink) -> None:
    alert_sink.behave("slack", "rate_limit", retry_after=7, times=1)
    with pytest.raises(SlackApiError) as raised:
        client.chat_postMessage(channel=ALERTS, text="x")
    assert raised.value.response.status_code == 429
    assert raised.value.response["error"] == "ratelimited"
    assert raised.value.response.headers["Retry-After"] == "7"
    assert client.chat_postMessage(channel=ALERTS, text="x")["ok"], "only one request was asked to fail"


@pytest.mark.parametrize(("status", "word"), [(500, "internal_error"), (503, "non-JSON")])
def test_server_errors(client: WebClient, alert_sink: AlertSink, status: int, word: str) -> None:
    alert_sink.behave("slack", "server_error", status=status)
    with pytest.raises(SlackApiError, match=word) as raised:
        client.chat_postMessage(channel=ALERTS, text="x")
    assert raised.value.response.status_code == status


def test_any_error_code_can_be_asked_for(client: WebClient, alert_sink: AlertSink) -> None:
    alert_sink.behave("slack", "invalid_auth")
    assert refused(client.auth_test)["error"] == "invalid_auth"
    alert_sink.behave("slack", "error", code="team_access_not_granted", method="chat.update")
    ts = client.chat_postMessage(channel=ALERTS, text="other methods work")["ts"]
    assert refused(client.chat_update, channel=ALERTS, ts=ts, text="x")["error"] == "team_access_not_granted"


def test_reset_and_drop_end_the_connection_before_anything_is_done(client: WebClient, alert_sink: AlertSink) -> None:
    alert_sink.behave("slack", "reset")
    with pytest.raises(ConnectionResetError):
        client.chat_postMessage(channel=ALERTS, text="x")
    alert_sink.behave("slack", "drop")
    with pytest.raises(OSError, match="closed connection without response"):
        client.chat_postMessage(channel=ALERTS, text="x")
    assert alert_sink.slack_messages() == []


def test_a_lost_reply_leaves_the_message(client: WebClient, alert_sink: AlertSink) -> None:
    alert_sink.behave("slack", "lose_reply", times=1)
    with pytest.raises(OSError, match=r"reset|closed"):
        client.chat_postMessage(channel=ALERTS, text="arrived")
    assert [m["text"] for m in alert_sink.slack_messages()] == ["arrived"]


@pytest.fixture
def impatient(alert_sink: AlertSink) -> WebClient:
    settings = alert_sink.settings
    return WebClient(settings.slack_token, base_url=settings.slack_url, timeout=1, retry_handlers=[])


def test_a_hang_lasts_until_the_client_gives_up(impatient: WebClient, alert_sink: AlertSink) -> None:
    alert_sink.behave("slack", "hang", seconds=60)
    with pytest.raises(TimeoutError):
        impatient.chat_postMessage(channel=ALERTS, text="x")
    # When the service recovers, the request of a client that has gone does nothing.
    alert_sink.behave("slack", "ok")
    alert_sink.wait(lambda sink: "has gone" in (sink.requests("slack") or [{"outcome": ""}])[-1]["outcome"])
    assert alert_sink.slack_messages() == []


def test_a_short_hang_is_only_slow(client: WebClient, alert_sink: AlertSink) -> None:
    alert_sink.behave("slack", "hang", seconds=0.2)
    assert client.chat_postMessage(channel=ALERTS, text="late")["ok"]


def test_an_unknown_fault_is_refused(alert_sink: AlertSink) -> None:
    for service, mode in (("slack", "explode"), ("pigeon", "ok"), ("smtp", "rate_limit")):
        with pytest.raises(ValueError, match=r"unknown|cannot"):
            alert_sink.behave(service, mode)
    with pytest.raises(ValueError, match="colour"):
        alert_sink.behave("slack", "ok", colour="red")
