"""Reading events from files: what is a row, what is not, and which id it gets."""

import csv
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.operations.errors import InputRejected
from include.organism.event_files import Format, event_seconds, last_event, read_rows

FIELDS = ["id", "source", "target", "type", "weight", "timestamp", "metadata"]
# What a CSV or JSON file can carry in one cell.
CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=20)
EVENTS = st.lists(st.fixed_dictionaries(dict.fromkeys(FIELDS, CELLS)), max_size=20)


def rows(text, written=Format.AUTO, **options):
    return list(read_rows(io.BytesIO(text if isinstance(text, bytes) else text.encode()), written, **options))


def fields(text, written=Format.AUTO):
    found = rows(text, written)
    assert [row.problem for row in found] == [""] * len(found)
    return [{name.decode(): value.decode() for name, value in row.fields.items()} for row in found]


@given(EVENTS)
def test_csv_carries_every_value(events):
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, FIELDS)
    writer.writeheader()
    writer.writerows(events)
    assert fields(text.getvalue(), Format.CSV) == events


@given(EVENTS)
def test_json_lines_carry_every_value(events):
    assert fields("".join(json.dumps(event) + "\n" for event in events), Format.JSONL) == events


def test_a_name_that_begins_like_a_comment_is_a_name():
    assert [row.fields[b"source"] for row in rows("# c o\n#chan b 1\n# x 1\n%x b 2\n")] == [b"#chan", b"%x"]


def test_text_rows_with_comments_blank_lines_and_odd_spacing():
    text = "# SNAP\n% other\n\n 1  2\t1000\r\n\n3 4 1001.5"
    (first, second) = rows(text, event_type="chat")
    assert first.fields.items() >= {b"source": b"1", b"target": b"2", b"timestamp": b"1000", b"type": b"chat"}.items()
    assert second.fields.items() >= {b"source": b"3", b"target": b"4", b"timestamp": b"1001.5"}.items()
    assert (first.line, second.line) == (4, 6)


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("source,target,timestamp\na,b,1\n", Format.CSV),
        ("\ufeffSource ; Target;timestamp\na;b;1\n", Format.CSV),
        ("timestamp\ttarget\tsource\n1\tb\ta\n", Format.CSV),
        ('\n{"source": "a", "target": "b", "timestamp": 1}\n', Format.JSONL),
        ("a b 1\n", Format.TEXT),
    ],
)
def test_the_format_is_seen(text, written):
    assert fields(text) == fields(text, written)
    (row,) = fields(text)
    assert (row["source"], row["target"], row["timestamp"]) == ("a", "b", "1")


@pytest.mark.parametrize("text", ["", "\n\n", "# only a comment\n"])
@pytest.mark.parametrize("written", Format)
def test_nothing_in_the_file_is_no_rows(text, written):
    assert rows(text, written) == []


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a,b,c\n1,2,3\n", "neither"),
        ("just some words here\n", "neither"),
        ('[{"source": "a"}]\n', "JSON list"),
        ("source,target,source,timestamp\n", "twice"),
    ],
)
def test_what_is_no_file_of_events_is_refused_whole(text, says):
    with pytest.raises(InputRejected, match=says):
        rows(text)


def test_a_csv_header_says_what_it_lacks():
    with pytest.raises(InputRejected, match="lacks source, timestamp"):
        rows("from,target,time\n", Format.CSV)


def test_csv_rows_that_cannot_be_read_are_named_by_line_and_the_others_go_on():
    text = 'source,target,timestamp\na,b,1\nc,d\n"e\nf",g,2,3\nh,i,4\n'
    found = rows(text)
    assert [(row.line, row.problem) for row in found] == [
        (2, ""),
        (3, "2 columns, the header has 3"),
        (4, "4 columns, the header has 3"),
        (6, ""),
    ]
    assert found[3].fields[b"source"] == b"h"


def test_an_open_quote_is_named_where_it_begins():
    found = rows('source,target,timestamp\na,b,1\n"c"d,e,2\nf,g,3\nh,"i,4\nj,k,5\n')
    assert [(row.line, bool(row.problem)) for row in found] == [(2, False), (3, True), (4, False), (5, True)]


def test_json_rows_that_cannot_be_read_are_named_by_line_and_the_others_go_on():
    good = b'{"source": "a", "target": "b", "timestamp": 1}\n'
    found = rows(good + b'{"source": \n[1]\n{"source": "\xff"}\n' + b"[" * 100_000 + b"\n" + good)
    problems = [(row.line, row.problem) for row in found if row.problem]
    assert problems == [
        (2, "not valid JSON at character 11"),
        (3, "not a JSON object"),
        (4, "not valid UTF-8"),
        (5, "not valid JSON"),
    ]
    assert [row.line for row in found if not row.problem] == [1, 6]


def test_problems_never_show_a_value():
    texts = ["source,target,timestamp\nalice,1\n", '{"source": "alice"\n', "a b 1\nalice bob\n"]
    assert all("alice" not in row.problem and "bob" not in row.problem for text in texts for row in rows(text))
    assert all(sum(bool(row.problem) for row in rows(text)) == 1 for text in texts)


def test_an_overlong_csv_field_is_one_bad_row(monkeypatch):
    monkeypatch.setattr("include.organism.event_files._LONGEST_FIELD", 100)
    found = rows("source,target,timestamp\na,b,1\n" + "x" * 200 + ",b,1\nc,d,2\n")
    assert [bool(row.problem) for row in found] == [False, True, False]
    assert found[1].line == 3


def test_bytes_that_are_no_utf8_reach_the_stream_as_they_are():
    (row,) = rows(b"source,target,timestamp\na\xff,b,1\n")
    assert row.fields[b"source"] == b"a\xff"
    (row,) = rows(b"a\xff b 1\n")
    assert row.fields[b"source"] == b"a\xff"


def test_json_values_become_text():
    (row,) = rows(
        '{"source": 7, "target": ["a", 2], "timestamp": 1.5, "weight": null, "metadata": {"n": 1}, "x": true}'
    )
    assert {name: value for name, value in row.fields.items() if name != b"id"} == {
        b"source": b"7",
        b"target": b'["a", 2]',
        b"timestamp": b"1.5",
        b"metadata": b'{"n": 1}',
        b"x": b"true",
    }


def test_an_empty_cell_means_none_for_optional_fields_only():
    (row,) = rows("id,source,target,type,weight,timestamp,metadata\n,a,,,,1,\n")
    assert row.fields.keys() == {b"id", b"source", b"target", b"type", b"timestamp"}
    assert row.fields[b"target"] == row.fields[b"type"] == b""
    assert len(row.fields[b"id"]) == 32


@pytest.mark.parametrize(
    ("text", "changed"),
    [
        ("a b 1\na b 1\nc d 2\n", "a b 1\na b 1\nc d 3\n"),
        ("source,target,timestamp\na,b,1\na,b,1\nc,d,2\n", "source,target,timestamp\na,b,1\na,b,1\nc,d,3\n"),
        ('{"source":"a"}\n{"source":"a"}\n{"source":"c"}\n', '{"source":"a"}\n{"source":"a"}\n{"source":"d"}\n'),
    ],
)
def test_rows_without_id_get_one_of_their_line_and_content(text, changed):
    ids = [row.fields[b"id"] for row in rows(text)]
    assert len(set(ids)) == 3
    assert [row.fields[b"id"] for row in rows(text.replace("\n", "\r\n"))] == ids
    other = [row.fields[b"id"] for row in rows(changed)]
    assert other[:2] == ids[:2]
    assert other[2] != ids[2]


def test_an_id_of_the_row_is_kept():
    assert fields("id,source,target,timestamp\ne1,a,b,1\n")[0]["id"] == "e1"
    assert fields('{"id": "e1", "source": "a"}\n')[0]["id"] == "e1"


@pytest.mark.parametrize(
    ("timestamp", "seconds"),
    [
        ("1700000000", 1_700_000_000),
        ("1700000000.25", 1_700_000_000.25),
        ("2023-11-14T22:13:20Z", 1_700_000_000),
        ("2023-11-14T22:13:20", 1_700_000_000),
        ("2023-11-14T23:13:20+01:00", 1_700_000_000),
        ("yesterday", None),
    ],
)
def test_event_times(timestamp, seconds):
    (row,) = rows(f"source,target,timestamp\na,b,{timestamp}\n")
    assert event_seconds(row) == seconds


def test_the_last_event_is_the_latest_one_that_has_a_time():
    text = "a b 5\na b nan\na b 9\na b x\na b 7\n"
    assert last_event(rows(text)) == 9
    assert last_event(rows("a b x\n")) is None


def test_the_stream_stays_open_for_a_second_reading():
    stream = io.BytesIO(b"source,target,timestamp\na,b,1\n")
    first = list(read_rows(stream))
    stream.seek(0)
    assert list(read_rows(stream)) == first
