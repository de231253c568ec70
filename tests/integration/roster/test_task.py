"""The task's body: where a roster comes from, where its refusals go, and when the task is red."""

import json

import psycopg
import pytest

from include.operations.errors import ErrorClass, InputRejected, classify
from include.organism.tasks_roster import load_roster

pytestmark = pytest.mark.servers

BAD = "id,team,on_leave\nann,Sales,no\n,Sales,no\nbob,Sales,perhaps\nann,Sales,no\n"


def params(**given):
    return {"path": None, "inline": None, "format": "auto", "dry_run": False, **given}


def rejections(url):
    with psycopg.connect(url) as connection:
        return connection.execute(
            "select run_id, row_number, field, code, reason from organism.roster_rejection order by 1, 2, 3"
        ).fetchall()


def ids(clients):
    records, _, _ = clients.driver.execute_query("MATCH (e:Employee) RETURN e.id AS id ORDER BY id")
    return [record["id"] for record in records]


@pytest.mark.parametrize("how", ["path", "inline text", "inline list"])
def test_sources(how, connections, clients, tmp_path):
    items = [{"id": "ann", "name": "Änn"}, {"id": "bob", "manager": "ann"}]
    text = json.dumps(items, ensure_ascii=False)
    (tmp_path / "people.json").write_text(text, encoding="utf-8")
    source = {
        "path": {"path": str(tmp_path / "people.json")},
        "inline text": {"inline": text},
        "inline list": {"inline": items},
    }
    result = load_roster("run", params(**source[how]))
    assert (result["rows"], result["loaded"], result["created"], result["managers_changed"]) == (2, 2, 2, 1)
    assert ids(clients) == ["ann", "bob"]


def test_refused_rows_are_in_the_result_and_in_the_warehouse_without_values(connections, clients):
    result = load_roster("run", params(inline=BAD))
    assert (result["loaded"], result["refused"]) == (1, 3)
    assert result["refused_by_code"] == {"bad_flag": 1, "duplicate_id": 1, "missing_id": 1}
    kept = rejections(connections)
    assert [row[:4] for row in kept] == [
        ("run", 3, "id", "missing_id"),
        ("run", 4, "on_leave", "bad_flag"),
        ("run", 5, "id", "duplicate_id"),
    ]
    assert [(row[1], row[2], row[3], row[4]) for row in kept] == [
        tuple(refusal.values()) for refusal in result["refusals"]
    ]
    assert not {"ann", "bob", "perhaps"} & set(json.dumps([result, kept]).replace('"', " ").split())


def test_the_result_stays_small_and_the_warehouse_has_everything(connections, clients):
    text = "id,team\nann,x\n" + ",x\n" * 300
    result = load_roster("run", params(inline=text))
    assert result["refused"] == 300
    assert len(result["refusals"]) == 20
    assert len(json.dumps(result)) < 5_000
    assert len(rejections(connections)) == 300


def test_a_retry_doubles_nothing_and_another_run_keeps_its_own(connections, clients):
    load_roster("run", params(inline=BAD))
    load_roster("run", params(inline=BAD))
    load_roster("other", params(inline=BAD))
    assert [row[0] for row in rejections(connections)] == ["other"] * 3 + ["run"] * 3


def test_a_dry_run_reports_and_leaves_the_graph_alone(connections, clients):
    result = load_roster("run", params(inline=BAD, dry_run=True))
    assert (result["loaded"], result["created"], result["refused"]) == (1, 1, 3)
    assert ids(clients) == []
    assert len(rejections(connections)) == 3


def test_not_one_usable_row_is_a_failure_that_keeps_its_reasons(connections, clients):
    with pytest.raises(InputRejected, match="not one of the 1 rows") as caught:
        load_roster("run", params(inline="id,on_leave\nann,perhaps\n"))
    assert classify(caught.value).error_class is ErrorClass.VALIDATION
    assert len(rejections(connections)) == 1


def test_a_roster_without_rows_is_nothing_to_do(connections, clients):
    assert load_roster("run", params(inline="id,team\n"))["rows"] == 0
    assert load_roster("run", params(inline=[]))["rows"] == 0


@pytest.mark.parametrize("given", [{}, {"path": "x", "inline": "id\n"}])
def test_exactly_one_source(given):
    with pytest.raises(InputRejected, match=r"`path` or from `inline`"):
        load_roster("run", params(**given))


def test_a_missing_file_is_not_tried_again(tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        load_roster("run", params(path=str(tmp_path / "nowhere")))
    found = classify(caught.value)
    assert (found.error_class, found.transient) == (ErrorClass.VALIDATION, False)


def test_a_file_that_is_not_utf8_says_where(tmp_path):
    path = tmp_path / "latin.csv"
    path.write_bytes("id,name\na,Jürgen\n".encode("latin-1"))
    with pytest.raises(InputRejected, match="UTF-8 at byte 11"):
        load_roster("run", params(path=str(path)))


def test_a_file_without_end_is_not_read_to_it():
    with pytest.raises(InputRejected, match="larger than 64 MiB"):
        load_roster("run", params(path="/dev/zero"))
