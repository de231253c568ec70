"""How connection ids become clients; no server is needed to make one."""

from __future__ import annotations

import pytest

from include.connections import neo4j_driver, redis_client, warehouse_arguments


def test_redis_reads_address_account_and_database_and_never_repeats_a_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_ORGANISM_REDIS", "redis://user:secret@cache.example:7000/3")
    with redis_client() as client:
        options = client.connection_pool.connection_kwargs
    assert (options["host"], options["port"], options["db"]) == ("cache.example", 7000, 3)
    assert (options["username"], options["password"]) == ("user", "secret")
    assert options["socket_timeout"] == 20
    assert options["socket_connect_timeout"] == 5
    assert options["retry"].get_retries() == 0
    assert client.connection_pool.max_connections == 50


@pytest.mark.parametrize(("extra", "encrypted"), [("", False), ("?ssl=false", False), ("?ssl=true", True)])
def test_redis_uses_tls_only_when_the_extra_says_true(
    monkeypatch: pytest.MonkeyPatch, extra: str, encrypted: bool
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_ORGANISM_REDIS", f"redis://:secret@cache.example:7000/3{extra}")
    with redis_client() as client:
        assert (client.connection_pool.connection_class.__name__ == "SSLConnection") is encrypted


@pytest.mark.parametrize(
    ("extras", "scheme", "encrypted"),
    [("", "bolt", False), ("?neo4j_scheme=true", "neo4j", False), ("?certs_trusted_ca=true", "bolt", True)],
)
def test_neo4j_extras_mean_what_they_mean_to_airflows_hook(
    monkeypatch: pytest.MonkeyPatch, extras: str, scheme: str, encrypted: bool
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_ORGANISM_NEO4J", f"neo4j://neo4j:secret@graph.example:7687/people{extras}")
    with neo4j_driver() as (driver, database):
        assert driver.encrypted is encrypted
        assert ("Neo4jDriver" if scheme == "neo4j" else "BoltDriver") == type(driver).__name__
    assert database == "people"


def test_the_warehouse_takes_tls_settings_from_the_extras(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", "postgres://loader:secret@db.example:6000/facts?sslmode=verify-full")
    assert warehouse_arguments() == {
        "host": "db.example",
        "port": 6000,
        "dbname": "facts",
        "user": "loader",
        "password": "secret",
        "sslmode": "verify-full",
    }
