"""From the text of a roster to people and refusals, without a graph."""

import csv
import io
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.operations.errors import InputRejected
from include.organism.messages import InvalidMessageError, Limits, Parser
from include.organism.people_file import Format
from include.organism.roster import ALIASES, parse


def people(roster):
    assert roster.refusals == []
    return {
        person.id: (person.values, person.manager if person.names_manager else "unsaid") for person in roster.people
    }


def refused(roster):
    return [(refusal.row, refusal.field, refusal.code) for refusal in roster.refusals]


HEADER = "id,name,team,role,is_manager,manager_id,on_leave,opted_out\n"
ANN = {"name": "Ann", "team": "Sales", "role": "Lead", "is_manager": True, "on_leave": False, "opted_out": True}


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_csv(delimiter, ending):
    text = "\ufeff" + (HEADER + "a1, Ann ,Sales,Lead,yes,,0,TRUE\n\nb2,,,,,a1,,\n").replace(",", delimiter)
    assert people(parse(text.replace("\n", ending))) == {
        "a1": (ANN, None),
        "b2": ({"name": None, "team": None, "role": None}, "a1"),
    }


def test_json_list_and_the_employees_of_an_object():
    items = [
        {"id": "a1", **ANN, "manager_id": None},
        {"id": 2, "on_leave": 1, "opted_out": None},
    ]
    wanted = {"a1": (ANN, None), "2": ({"on_leave": True}, "unsaid")}
    assert people(parse(json.dumps(items))) == wanted
    assert people(parse(json.dumps({"employees": items, "interactions": []}))) == wanted
    assert people(parse(items)) == wanted


def test_a_column_that_is_missing_says_nothing():
    assert people(parse("id,team\na,Sales\n")) == {"a": ({"team": "Sales"}, "unsaid")}


@pytest.mark.parametrize(("field", "alias"), [(name, alias) for name, many in ALIASES.items() for alias in many])
def test_other_names_of_a_field(field, alias):
    shown = alias.replace("_", " ").title()
    value = "yes" if field in {"is_manager", "on_leave", "opted_out"} else "x"
    if field == "id":
        assert people(parse(f"{shown},name\nx,n\n")) == {"x": ({"name": "n"}, "unsaid")}
        return
    (person,) = parse(f"id,{shown}\na,{value}\n").people
    assert (person.values | {"manager_id": person.manager})[field] in {"x", True}


@pytest.mark.parametrize("text", ["true", "True", "YES", " 1 ", "1"])
def test_yes(text):
    assert people(parse(f"id,opted_out\na,{text}\n")) == {"a": ({"opted_out": True}, "unsaid")}


@pytest.mark.parametrize("text", ["false", "No", "0"])
def test_no(text):
    assert people(parse(f"id,opted_out\na,{text}\n")) == {"a": ({"opted_out": False}, "unsaid")}


def test_an_empty_flag_says_nothing_so_that_no_opt_out_is_lost():
    assert people(parse("id,opted_out,team\na, ,\n")) == {"a": ({"team": None}, "unsaid")}


@pytest.mark.parametrize(
    ("row", "found"),
    [
        (",Ann,,,,,,", ("id", "missing_id")),
        (" ,Ann,,,,,,", ("id", "missing_id")),
        ("x" * 101 + ",,,,,,,", ("id", "too_long")),
        ("a\x07b,,,,,,,", ("id", "control_character")),
        ("a\u200bb,,,,,,,", ("id", "control_character")),
        ("SYSTEM,,,,,,,", ("id", "reserved_id")),
        ("a," + "x" * 201 + ",,,,,,", ("name", "too_long")),
        ("a,,x\x00,,,,,", ("team", "control_character")),
        ("a,,,,maybe,,,", ("is_manager", "bad_flag")),
        ("a,,,,,,2,", ("on_leave", "bad_flag")),
        ("a,,,,,,,y", ("opted_out", "bad_flag")),
        ("a,,,,,a,,", ("manager_id", "self_manager")),
        ("a,,,,," + "m" * 101 + ",,", ("manager_id", "too_long")),
        ("a,b,c", ("", "wrong_width")),
        ("a,,,,,,,,", ("", "wrong_width")),
    ],
)
def test_a_bad_row_is_refused_and_the_rows_around_it_are_used(row, found):
    roster = parse(f"{HEADER}before,,,,,,,\n{row}\nafter,,,,,,,\n")
    assert [person.id for person in roster.people] == ["before", "after"]
    assert refused(roster) == [(3, *found)]
    assert roster.rows == 3


@pytest.mark.parametrize(
    ("item", "found"),
    [
        ({"name": "x"}, ("id", "missing_id")),
        ({"id": None}, ("id", "missing_id")),
        ({"id": True}, ("id", "not_text")),
        ({"id": 1.5}, ("id", "not_text")),
        ({"id": ["a"]}, ("id", "not_text")),
        ({"id": "\ud800"}, ("id", "control_character")),
        ({"id": "a", "team": {"x": 1}}, ("team", "not_text")),
        ({"id": "a", "on_leave": 2}, ("on_leave", "bad_flag")),
        ({"id": "a", "on_leave": 1.0}, ("on_leave", "bad_flag")),
        ({"id": "a", "salary": 1}, ("", "unknown_field")),
        ({"id": "a", "employee_id": "a"}, ("", "repeated_field")),
        ("a", ("", "not_an_object")),
        (None, ("", "not_an_object")),
    ],
)
def test_a_bad_item_is_refused_and_the_items_around_it_are_used(item, found):
    roster = parse([{"id": "before"}, item, {"id": "after"}])
    assert [person.id for person in roster.people] == ["before", "after"]
    assert refused(roster) == [(2, *found)]


def test_all_that_is_wrong_with_a_row_is_said_at_once():
    roster = parse(f"{HEADER},,,,maybe,,perhaps,\n")
    assert {refusal.field for refusal in roster.refusals} == {"id", "is_manager", "on_leave"}


def test_the_first_usable_row_of_a_person_counts():
    roster = parse("id,team,on_leave\na,one,?\na,two,\na,three,\nb,four,\n")
    assert [(person.id, person.values["team"]) for person in roster.people] == [("a", "two"), ("b", "four")]
    assert refused(roster) == [(2, "on_leave", "bad_flag"), (4, "id", "duplicate_id")]
    assert "row 3" in roster.refusals[1].reason


def test_ids_of_refused_rows_are_known_so_that_their_reports_are_not_refused_too():
    roster = parse("id,manager_id,on_leave\nboss,,?\na,boss,\n")
    assert roster.ids == {"boss", "a"}


@pytest.mark.parametrize(
    ("text", "written", "says"),
    [
        ("", Format.AUTO, "no header"),
        ("\n\n", Format.CSV, "no header"),
        ("EMP_1,Ann Smith\n", Format.AUTO, "no header"),
        ("name,team\nAnn,x\n", Format.CSV, "lacks the column id"),
        ("id,Employee ID\na,b\n", Format.CSV, "two columns mean the same"),
        ("id,name,opted-owt\na,b,yes\n", Format.CSV, "in column 3$"),
        ('id,name\na,"open\nb,c\n', Format.CSV, "not valid CSV at line 3"),
        ('{"id": "a"}', Format.AUTO, "not a JSON list"),
        ('[{"id": "a"},\n', Format.AUTO, "not valid JSON at line 2"),
        ("[" * 100_000, Format.JSON, "not valid JSON"),
    ],
)
def test_what_is_no_roster_is_refused_whole(text, written, says):
    with pytest.raises(InputRejected) as caught:
        parse(text, written)
    assert re.search(says, caught.value.args[0])
    assert "Ann" not in str(caught.value)


def test_no_reason_shows_a_value():
    roster = parse(f"{HEADER}secret\x07,secret,,,secret,secret\x07,,\nsecret,,,,secret\nsecret,,,,,secret,,\n")
    assert len(roster.refusals) >= 4
    assert "secret" not in str(roster.refusals)


@given(st.text(max_size=120))
def test_an_id_is_good_here_if_it_is_good_in_an_interaction(text):
    # The other way round spaces at the ends are the interactions' own: a roster is typed by hand, so they are cut.
    roster = parse([{"id": text}])
    if not roster.people:
        return
    message = [b"id", b"e", b"source", roster.people[0].id.encode(), b"target", b"t", b"type", b"x", b"timestamp", b"1"]
    try:
        Parser(Limits(earliest_ms=0, latest_ms=10**14)).parse(message)
    except InvalidMessageError as why:
        raise AssertionError(why.reason) from why


NAMES = st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "Zs"]), min_size=1, max_size=20)


@given(
    st.dictionaries(
        NAMES.map(str.strip).filter(lambda text: text and text != "SYSTEM" and text.isprintable()),
        st.tuples(NAMES, st.booleans()),
        max_size=10,
    )
)
def test_csv_and_json_say_the_same(given_people):
    rows = [{"id": person, "team": team, "on_leave": leave} for person, (team, leave) in given_people.items()]
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, ["id", "team", "on_leave"])
    writer.writeheader()
    writer.writerows(rows)
    from_csv, from_json = parse(text.getvalue(), Format.CSV), parse(json.dumps(rows))
    assert from_csv.refusals == [refusal._replace(row=refusal.row + 1) for refusal in from_json.refusals]
    assert [(p.id, p.values) for p in from_csv.people] == [(p.id, p.values) for p in from_json.people]
    assert all(person.values["team"] == (given_people[person.id][0].strip() or None) for person in from_csv.people)
