"""Any error becomes one clear line."""

import pytest
import redis

from include.cli.errors import CommandError, explain
from include.operations.errors import InputRejected, LeaseHeld


def test_our_own_errors_say_what_to_do_and_their_code_which_the_runbooks_go_by():
    assert explain(InputRejected("it is bad.", what_to_do="mend it")) == "it is bad. What to do: mend it"
    assert explain(LeaseHeld("Taken.", what_to_do="wait")) == "Taken (LEASE_HELD). What to do: wait"
    assert explain(CommandError("this\nand that")) == "this and that"


def test_a_driver_error_is_classed_and_explained():
    said = explain(redis.ConnectionError("Error 111 connecting to somewhere."))
    assert said.startswith(
        "NETWORK ConnectionError: Error 111 connecting to somewhere. What to do: check that the server"
    )


def test_later_lines_of_a_message_are_left_out_because_databases_put_values_there():
    said = explain(ValueError("duplicate key\nDETAIL: Key (id)=(alice)"))
    assert "alice" not in said
    assert "\n" not in said


def test_an_error_without_a_message_still_reads_well():
    assert explain(KeyError()).startswith("UNKNOWN KeyError. What to do: run it again with --debug")


@pytest.mark.parametrize(
    "words", [["nonsense"], ["warehouse", "nonsense"], ["trigger"], ["trigger", "d", "--conf", "{"]]
)
def test_wrong_usage_is_exit_code_2_and_no_traceback(cli, words):
    done = cli(*words)
    assert done.code == 2
    assert done.out == ""
    assert "Traceback" not in done.err


def test_an_error_is_one_line_and_exit_code_1(cli, monkeypatch):
    monkeypatch.delenv("AIRFLOW_CONN_WAREHOUSE", raising=False)
    done = cli("warehouse", "current")
    assert (done.code, done.out) == (1, "")
    (line,) = done.err.splitlines()
    assert line.startswith("error: The conn_id `warehouse` isn't defined")
    assert "AIRFLOW_CONN_" in line


@pytest.mark.parametrize("words", [["--debug", "warehouse", "current"], ["warehouse", "current", "--debug"]])
def test_debug_shows_the_traceback_wherever_it_stands(cli, monkeypatch, words):
    monkeypatch.delenv("AIRFLOW_CONN_WAREHOUSE", raising=False)
    with pytest.raises(Exception, match="isn't defined"):
        cli(*words)
