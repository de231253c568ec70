"""A warehouse with its schema, and the connection of it that the code opens."""

import neo4j
import psycopg
import pytest

from include.warehouse import schema
from tests.cli_runner import cli
from tests.integration.interventions.world import World

__all__ = ["cli"]


@pytest.fixture(scope="session")
def migrated(postgres_server):
    """A database to copy: migrations take a second each time."""
    url = postgres_server.create_database("interventions_template")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW_CONN_WAREHOUSE", url.replace("postgresql://", "postgres://"))
        schema.upgrade()
    return url


@pytest.fixture
def database(migrated, postgres_server, monkeypatch):
    """The address of a fresh copy, which is the connection `warehouse`."""
    with psycopg.connect(postgres_server.url_of("postgres", "postgres"), autocommit=True) as admin:
        admin.execute("drop database if exists interventions_test with (force)")
        admin.execute("create database interventions_test template interventions_template owner warehouse")
    url = migrated.replace("interventions_template", "interventions_test")
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", url.replace("postgresql://", "postgres://"))
    return url


@pytest.fixture
def connection(database):
    with psycopg.connect(database) as connection:
        yield connection


@pytest.fixture
def world(database, neo4j_server, alert_sink, monkeypatch):
    """People, metrics, and calendars; nothing stops actions."""
    monkeypatch.setenv("AIRFLOW_CONN_ORGANISM_NEO4J", neo4j_server.url)
    monkeypatch.setenv("AIRFLOW_CONN_INTERVENTIONS", alert_sink.connections["AIRFLOW_CONN_INTERVENTIONS"])
    monkeypatch.setenv("AIRFLOW_VAR_INTERVENTIONS_ENABLED", "true")
    with neo4j.GraphDatabase.driver(neo4j_server.uri, auth=neo4j_server.auth) as driver:
        world = World(database, driver)
        world.fill()
        yield world
