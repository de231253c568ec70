"""Reading events from files: what is a row, what is not, and which id it gets."""

import csv
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.operations.errors import InputRejected
from include.organism.event_files import Format, read_rows
from include.organism.event_times import event_seconds

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


@pytest.mark.parametrize(
    ("text", "field", "at_most"),
    [
        ("source,target,timestamp\na,b,1\n{0},b,1\nc,d,2\n", "x" * 11, "x" * 10),
        ("source,target,timestamp\na,b,1\n{0},b,1\nc,d,2\n", "é" * 6, "é" * 5),
        ('{{"target": 1}}\n{{"target": 2}}\n{{"target": "{0}"}}\n{{"target": 3}}\n', "x" * 11, "x" * 10),
        ("a b 1\na b 1\n{0} b 1\nc d 2\n", "x" * 11, "x" * 10),
    ],
)
def test_a_field_too_large_for_the_stream_stays_out(text, field, at_most):
    options = {"max_field_bytes": 32}
    padded = [each + "x" * 22 for each in (field, at_most)]
    found = rows(text.format(padded[0]), **options)
    assert [bool(row.problem) for row in found[-2:]] == [True, False]
    assert (found[-2].line, found[-2].fields) == (3, {})
    assert "more than the 32 bytes allowed" in found[-2].problem
    assert not any(row.problem for row in rows(text.format(padded[1]), **options))


class Counting(io.BytesIO):
    """Remembers how much was asked for at once."""

    most = 0

    def readline(self, size=-1):
        line = super().readline(size)
        self.most = max(self.most, len(line))
        return line


@pytest.mark.parametrize(
    ("head", "row", "written"),
    [
        ("source,target,timestamp\n", "a,b,1\n", Format.AUTO),
        ("", '{"source": "a"}\n', Format.AUTO),
        ("", "a b 1\n", Format.AUTO),
        ("", "a b 1\n", Format.TEXT),
    ],
)
@pytest.mark.parametrize("end", ["\n", ""])
def test_a_giant_line_is_one_bad_row_and_never_held_whole(head, row, written, end):
    giant = row.rstrip("\n") + "x" * 3_000_000 + end
    stream = Counting((head + row + giant + (row if end else "")).encode())
    found = list(read_rows(stream, written, max_field_bytes=1_000))
    assert [bool(row.problem) for row in found] == [False, True, False][: 3 if end else 2]
    assert found[1].line == 2 + head.count("\n")
    assert found[1].problem == "longer than the 16,000 bytes allowed"
    assert stream.most <= 65_536
    # Also as the first line.
    first = list(read_rows(Counting((head + giant).encode()), written if head else Format.JSONL, max_field_bytes=1_000))
    assert [bool(row.problem) for row in first] == [True]


def test_a_giant_header_is_refused():
    with pytest.raises(InputRejected, match="header is too long"):
        rows("source,target,timestamp," + "x" * 1_000_000, Format.CSV, max_field_bytes=1_000)


def test_an_open_quote_takes_in_no_more_than_a_long_line_and_says_what_is_lost():
    text = 'source,target,timestamp\na,b,1\n"c,d,2\n' + "e,f,3\n" * 100
    found = rows(text, max_field_bytes=10)
    assert [bool(row.problem) for row in found[:3]] == [False, True, False]
    assert found[1].line == 3
    last = found[2].line - 1
    assert found[1].problem.endswith(f"lost with it: the lines up to {last}")
    assert len(found) == 2 + 103 - last


@pytest.mark.parametrize(
    ("content", "says", "what_to_do"),
    [
        (b"source,target,timestamp\ra,b,1\rc,d,2\r", "carriage return only", "tr '"),
        (b"# text\ra b 1\rc d 2\r", "carriage return only", "tr '"),
        (b"a b 1\r" * 100_000, "carriage return only", "tr '"),
        (b"\x7fELF\x02\x01\x01\0\0\0", "binary", "CSV"),
        (b"\x1f\x8b\x08\0\0", "compressed", "gunzip"),
        (b"PK\x03\x04\x14\0", "spreadsheet", "CSV"),
        ("source,target,timestamp\n".encode("utf-16"), "UTF-16", "iconv"),
    ],
)
@pytest.mark.parametrize("written", Format)
def test_what_holds_no_lines_of_text_is_refused_in_plain_words(content, says, what_to_do, written):
    with pytest.raises(InputRejected, match=says) as caught:
        rows(content, written, max_field_bytes=1_000)
    assert what_to_do in caught.value.what_to_do


@pytest.mark.parametrize("given", ["", ",type"])
def test_csv_rows_that_name_no_type_get_one(given):
    text = f"source,target,timestamp{given}\na,b,1{',' if given else ''}\n"
    assert fields(text)[0]["type"] == "email"
    (row,) = rows(text, event_type="chat")
    assert row.fields[b"type"] == b"chat"


@pytest.mark.parametrize("given", ["", ', "type": null', ', "type": ""'])
def test_json_rows_that_name_no_type_get_one(given):
    (row,) = rows(f'{{"source": "a", "target": "b", "timestamp": 1{given}}}\n', event_type="chat")
    assert row.fields[b"type"] == b"chat"


def test_a_type_of_the_row_is_kept():
    assert fields("source,target,timestamp,type\na,b,1,call\n")[0]["type"] == "call"
    assert fields('{"source": "a", "type": "call"}\n')[0]["type"] == "call"


def test_bytes_that_are_no_utf8_reach_the_stream_as_they_are():
    (row,) = rows(b"source,target,timestamp\na\xff,b,1\n")
    assert row.fields[b"source"] == b"a\xff"
    (row,) = rows(b"a\xff b 1\n")
    assert row.fields[b"source"] == b"a\xff"


def test_json_values_become_text():
    (row,) = rows(
        '{"source": 7, "target": ["a", 2], "timestamp": 1.5, "weight": null, "metadata": {"n": 1}, "x": true}'
    )
    assert {name: value for name, value in row.fields.items() if name not in {b"id", b"type"}} == {
        b"source": b"7",
        b"target": b'["a", 2]',
        b"timestamp": b"1.5",
        b"metadata": b'{"n": 1}',
        b"x": b"true",
    }


def test_an_empty_cell_means_none_for_optional_fields_only():
    (row,) = rows("id,source,target,type,weight,timestamp,metadata\n,a,,,,1,\n")
    assert row.fields.keys() == {b"id", b"source", b"target", b"type", b"timestamp"}
    assert row.fields[b"target"] == b""
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


def test_the_stream_stays_open_for_a_second_reading():
    stream = io.BytesIO(b"source,target,timestamp\na,b,1\n")
    first = list(read_rows(stream))
    stream.seek(0)
    assert list(read_rows(stream)) == first
