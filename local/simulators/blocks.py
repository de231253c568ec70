"""Slack's limits on blocks, and what it says when one is broken.

Limits: docs.slack.dev/reference/block-kit. The wording is Slack's own: "[ERROR] must be less than 3001 characters
[json-pointer:/blocks/0/text/text]".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

MOST_BLOCKS = 50
MOST_MARKDOWN = 12_000
# All text of a message together; not documented, observed by users (github.com/slackapi/bolt-js/issues/2509).
MOST_TEXT = 13_200
_STYLES = ("primary", "danger")
_SHALLOW = ("rich_text", "table", "video", "file", "input", "call", "context_actions", "task_card", "plan")

Value = Mapping[str, Any]


class _Checker:
    """Collects what is wrong, with the place as a JSON pointer."""

    def __init__(self) -> None:
        self.errors: list[str] = []

    def wrong(self, reason: str, pointer: str) -> None:
        self.errors.append(f"{reason} [json-pointer:{pointer}]")

    def length(self, text: str, most: int, pointer: str) -> None:
        if len(text) > most:
            self.wrong(f"must be less than {most + 1} characters", pointer)
        elif not text:
            self.wrong("must be more than 0 characters", pointer)

    def string(self, holder: Value, name: str, most: int, pointer: str, *, needed: bool = False) -> None:
        value = holder.get(name)
        if value is None:
            if needed:
                self.wrong(f"missing required field: {name}", pointer)
        elif not isinstance(value, str):
            self.wrong("must be a string", f"{pointer}/{name}")
        else:
            self.length(value, most, f"{pointer}/{name}")

    def text(self, value: object, most: int, pointer: str, *, plain: bool = False) -> None:
        """A text object; `plain`: only plain_text is allowed here."""
        before = len(self.errors)
        if not isinstance(value, Mapping):
            self.wrong("must provide an object", pointer)
            return
        kind = value.get("type")
        if kind not in (("plain_text",) if plain else ("plain_text", "mrkdwn")):
            self.wrong(f"unsupported type: {kind}", f"{pointer}/type")
        elif kind == "mrkdwn" and "emoji" in value:
            self.wrong("invalid additional property: emoji", pointer)
        self.string(value, "text", most, pointer, needed=True)
        if len(self.errors) > before and not plain:
            self.errors.insert(before, f"failed to match all allowed schemas [json-pointer:{pointer}]")

    def items(self, holder: Value, name: str, most: int, pointer: str) -> Sequence[Any]:
        """A list with at least one item and at most so many."""
        value = holder.get(name)
        if value is None:
            self.wrong(f"missing required field: {name}", pointer)
            return ()
        if not isinstance(value, list):
            self.wrong("must provide an array", f"{pointer}/{name}")
            return ()
        if not value:
            self.wrong("no less than 1 items allowed", f"{pointer}/{name}")
        if len(value) > most:
            self.wrong(f"no more than {most} items allowed", f"{pointer}/{name}")
        return value

    # --- elements --------------------------------------------------------------------------------
    def element(self, value: object, pointer: str) -> None:
        """A button or another interactive element."""
        if not isinstance(value, Mapping):
            self.wrong("must provide an object", pointer)
            return
        self.string(value, "action_id", 255, pointer)
        kind = value.get("type")
        if kind == "button":
            self.text(value.get("text"), 75, f"{pointer}/text", plain=True)
            self.string(value, "url", 3000, pointer)
            self.string(value, "value", 2000, pointer)
            if "style" in value and value["style"] not in _STYLES:
                self.wrong(f"must be a valid enum value: {', '.join(_STYLES)}", f"{pointer}/style")
        elif kind == "image":
            self.image(value, pointer)
        elif not isinstance(kind, str) or not kind.endswith(("_select", "overflow", "picker", "buttons", "boxes")):
            self.wrong(f"unsupported type: {kind}", f"{pointer}/type")

    def image(self, value: Value, pointer: str) -> None:
        """An image: by address, or an uploaded file."""
        self.string(value, "alt_text", 2000, pointer, needed=True)
        if "slack_file" not in value:
            self.string(value, "image_url", 3000, pointer, needed=True)

    # --- blocks ----------------------------------------------------------------------------------
    def section(self, block: Value, pointer: str) -> None:
        if "text" not in block and "fields" not in block:
            self.wrong("missing required field: text", pointer)
        if "text" in block:
            self.text(block["text"], 3000, f"{pointer}/text")
        if "fields" in block:
            for index, field in enumerate(self.items(block, "fields", 10, pointer)):
                self.text(field, 2000, f"{pointer}/fields/{index}")
        if "accessory" in block:
            self.element(block["accessory"], f"{pointer}/accessory")

    def header(self, block: Value, pointer: str) -> None:
        self.text(block.get("text"), 150, f"{pointer}/text", plain=True)

    def context(self, block: Value, pointer: str) -> None:
        for index, element in enumerate(self.items(block, "elements", 10, pointer)):
            place = f"{pointer}/elements/{index}"
            if isinstance(element, Mapping) and element.get("type") == "image":
                self.image(element, place)
            else:
                self.text(element, 3000, place)

    def actions(self, block: Value, pointer: str) -> None:
        elements = self.items(block, "elements", 25, pointer)
        seen: set[object] = set()
        for index, element in enumerate(elements):
            self.element(element, f"{pointer}/elements/{index}")
            name = element.get("action_id") if isinstance(element, Mapping) else None
            if name is not None and name in seen:
                self.wrong(f"`action_id` {name} already exists", f"{pointer}/elements/{index}/action_id")
            seen.add(name)

    def image_block(self, block: Value, pointer: str) -> None:
        self.image(block, pointer)
        if "title" in block:
            self.text(block["title"], 2000, f"{pointer}/title", plain=True)

    def markdown(self, block: Value, pointer: str) -> None:
        self.string(block, "text", MOST_MARKDOWN, pointer, needed=True)

    def divider(self, block: Value, pointer: str) -> None:
        for name in set(block) - {"type", "block_id"}:
            self.wrong(f"invalid additional property: {name}", pointer)

    def block(self, block: object, pointer: str) -> None:
        if not isinstance(block, Mapping):
            self.wrong("must provide an object", pointer)
            return
        kind = block.get("type")
        known: dict[object, Callable[[Value, str], None]] = {
            "section": self.section,
            "header": self.header,
            "context": self.context,
            "actions": self.actions,
            "image": self.image_block,
            "markdown": self.markdown,
            "divider": self.divider,
        }
        if kind is None:
            self.wrong("missing required field: type", pointer)
        elif kind in known:
            known[kind](block, pointer)
        elif kind not in _SHALLOW:
            self.wrong(f"unsupported type: {kind}", f"{pointer}/type")
        self.string(block, "block_id", 255, pointer)


def check(blocks: object, pointer: str = "/blocks") -> list[str]:
    """Return what Slack would say is wrong with the blocks of a message; nothing when it would take them."""
    checker = _Checker()
    if not isinstance(blocks, list):
        checker.wrong("must provide an array", pointer)
        return checker.errors
    if len(blocks) > MOST_BLOCKS:
        checker.wrong(f"no more than {MOST_BLOCKS} items allowed", pointer)
    seen: set[str] = set()
    for index, block in enumerate(blocks):
        checker.block(block, f"{pointer}/{index}")
        name = block.get("block_id") if isinstance(block, Mapping) else None
        if isinstance(name, str):
            if name in seen:
                checker.wrong(f"`block_id` {name} already exists", f"{pointer}/{index}/block_id")
            seen.add(name)
    return checker.errors


def text_size(value: object) -> int:
    """Return the number of characters of all texts inside blocks."""
    if isinstance(value, Mapping):
        return sum(len(v) if k == "text" and isinstance(v, str) else text_size(v) for k, v in value.items())
    return sum(text_size(item) for item in value) if isinstance(value, list) else 0
