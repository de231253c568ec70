"""Log lines can be split back into their fields."""

import logging
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.operations.log import format_event, log_event


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (3, "3"),
        (True, "true"),
        (0.1234567, "0.123457"),
        (12345678.0, "1.23457e+07"),
        (timedelta(milliseconds=1500), "1.5s"),
        (datetime(2026, 1, 1, tzinfo=UTC), "2026-01-01T00:00:00+00:00"),
        ("plain-text", "plain-text"),
        ("two words", '"two words"'),
        ("", '""'),
        ('a "quote"', '"a \\"quote\\""'),
        ("line\nbreak", '"line\\nbreak"'),
        ("a=b", '"a=b"'),
        ("é", '"\\u00e9"'),
    ],
)
def test_values(value, text):
    assert format_event("e", key=value) == f"e key={text}"


def test_order_and_missing_values():
    assert format_event("read", b=1, a=None, c=2) == "read b=1 c=2"


@given(st.text())
def test_one_line_whatever_the_value(value):
    text = format_event("e", key=value, after=1)
    assert len(text.splitlines()) == 1
    assert text.endswith(" after=1")


def test_percent_signs_are_text(caplog):
    with caplog.at_level(logging.INFO):
        log_event(logging.getLogger("x"), "e", share="50%d")
    assert caplog.messages == ["e share=50%d"]


def test_level(caplog):
    with caplog.at_level(logging.INFO):
        log_event(logging.getLogger("x"), "e", level=logging.WARNING, level_of=1)
    assert caplog.records[0].levelno == logging.WARNING


def test_the_line_is_the_callers(caplog):
    with caplog.at_level(logging.INFO):
        log_event(logging.getLogger("x"), "e")
    assert caplog.records[0].filename == "test_log.py"
