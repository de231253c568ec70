"""The generated pages show what the code says."""

import sys

import pytest

from include.operations import error_rules as rules
from include.operations.docs import __main__ as command
from include.operations.docs import dags, errors

SOURCE = '''\
"""Counts sheep.

# Why

To sleep.
"""

from datetime import timedelta

from airflow.sdk import Param, dag, task

from include.operations.dag_defaults import dag_defaults

PARAMS = {
    "breed": Param("merino", type=["string", "null"], enum=["merino", "a|b", None], description="Which"),
    "limit": Param(5, type="integer", minimum=1, description="How many"),
}


@dag(
    dag_id="sheep",
    schedule="0 22 * * *",
    doc_md=__doc__,
    params=PARAMS,
    **dag_defaults(
        owner="shepherd", tags=["vms"], task_timeout=timedelta(minutes=1), run_timeout=timedelta(hours=3)
    ),
)
def build():
    @task
    def count():
        return 1

    @task
    def bed(n):
        return n

    bed(count())


build()
'''


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("repository") / "dags"
    folder.mkdir()
    (folder / "sheep.py").write_text(SOURCE)
    return folder


class TestDags:
    def test_page(self, folder):
        page = dags.render(folder)
        assert "| [`sheep`](#sheep) | `0 22 * * *` | shepherd | vms | `count` → `bed` | 1 | 3 h |" in page
        assert "file `dags/sheep.py`" in page
        assert "\n### Why\n" in page
        assert "| `bed` | `count` | 3 | 1 min | `default_pool` |" in page
        assert '| `breed` | string or null | `"merino"` | enum `["merino", "a\\|b", null]` | Which |' in page
        assert "| `limit` | integer | `5` | minimum `1` | How many |" in page
        assert 'trigger sheep --conf \'{"breed": "merino", "limit": 5}\'' in page

    def test_twice_the_same(self, folder):
        assert dags.render(folder) == dags.render(folder)

    def test_a_broken_file_is_named(self, tmp_path):
        (tmp_path / "broken.py").write_text("from airflow.sdk import dag\nimport nowhere\n")
        with pytest.raises(dags.DagImportFailed, match=r"broken\.py: ModuleNotFoundError: No module named 'nowhere'"):
            dags.render(tmp_path)


class TestErrors:
    def test_every_rule_is_on_the_page(self):
        page = errors.render()
        for table in (rules.HTTP_STATUS, rules.SQLSTATE, rules.REDIS_CODE, rules.NEO4J_CODE, rules.RULES):
            for code in table:
                assert str(code) in page
        for name in rules.ErrorClass:
            assert f"| **{name}** |" in page
        for code in ("INPUT_REJECTED", "LEASE_LOST", "LEASE_HELD", "SERVER_UNSUPPORTED"):
            assert code in page

    def test_waits_are_those_of_the_policy(self):
        assert "| 3 | 60 s / 120 s / 240 s |" in errors.render()


class TestCommand:
    @pytest.fixture(autouse=True)
    def repository(self, folder, monkeypatch):
        monkeypatch.setattr(command, "_ROOT", folder.parent)
        # The command sets Airflow's home for its own process; here it must not stay.
        monkeypatch.setattr(command.os, "environ", dict(command.os.environ))

    def test_write_then_check_then_stale(self, folder, capsys):
        assert command.main(["--check"]) == 1
        assert "docs/DAGs.md is stale: run `make docs`" in capsys.readouterr().err
        assert command.main([]) == 0
        assert command.main(["--check"]) == 0
        page = folder.parent / "docs" / "DAGs.md"
        page.write_text(page.read_text().replace("shepherd", "wolf"))
        capsys.readouterr()
        assert command.main(["--check"]) == 1
        said = capsys.readouterr().err
        assert "wolf" in said
        assert "errors.md is stale" not in said

    def test_import_error_fails_in_one_line(self, folder, capsys):
        broken = folder / "broken.py"
        broken.write_text("from airflow.sdk import dag\nimport nowhere\n")
        try:
            assert command.main(["--check"]) == 1
        finally:
            broken.unlink()
        assert len(capsys.readouterr().err.splitlines()) == 1
        sys.modules.pop("nowhere", None)
