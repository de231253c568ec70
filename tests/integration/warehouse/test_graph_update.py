"""`ops.graph_update` holds exactly what the pipeline's report writes."""

import psycopg
import pytest

from include.organism import report
from include.warehouse import schema

pytestmark = pytest.mark.servers

RESULT = {
    **{name: number for number, name in enumerate(report._COLUMNS, start=2**33)},
    "watermark": "1700000000000-7",
    "drained": True,
    "lag": None,
    "skipped": {"system": 1, "self_loop": 2},
    "seconds": {"total": 1.5},
    "healed": ["group_recreated", "redis_went_back"],
}


@pytest.fixture
def connection(database):
    schema.upgrade()
    with psycopg.connect(database, row_factory=psycopg.rows.dict_row) as connection:
        yield connection


def test_every_column_is_written_and_read_back(connection):
    report.write(connection, "run", RESULT)
    row = connection.execute("select * from ops.graph_update").fetchone()
    written = {name: value for name, value in row.items() if name in RESULT}
    assert written == RESULT
    rest = set(row) - set(RESULT)
    assert rest == {"run_id", "people_invalidated", "keys_deleted", "created_at", "updated_at", "finished_at"}
    assert row["finished_at"] is None


def test_a_repeated_step_doubles_nothing(connection):
    report.write(connection, "run", RESULT)
    connection.commit()
    report.write(connection, "run", {**RESULT, "written": 5})
    report.amend(connection, "run", {"acknowledged": 8, "pending": 1, "lag": 4})
    report.close(connection, "run", {"people": 3, "deleted": 2})
    (row,) = connection.execute("select * from ops.graph_update").fetchall()
    assert (row["written"], row["acknowledged"], row["pending"], row["lag"]) == (5, 8, 1, 4)
    assert (row["people_invalidated"], row["keys_deleted"]) == (3, 2)
    assert row["created_at"] < row["updated_at"] == row["finished_at"]
