"""One factory per server: from an Airflow connection id to a client with bounded pool and timeouts.

Inside a task Airflow resolves the id; outside one, `AIRFLOW_CONN_<ID>` in the environment does.
Every client is closed at the end of its `with` block.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from include.operations.scrub import register_secrets

if TYPE_CHECKING:
    import httpx
    import neo4j
    import psycopg
    import redis
    from airflow.sdk import Connection
    from pyspark.sql import SparkSession

    from include.operations.breaker import Call
    from include.vms.salesforce.client import Salesforce

REDIS = "organism_redis"
NEO4J = "organism_neo4j"
WAREHOUSE = "warehouse"
METADATA = "airflow_metadata"
SALESFORCE = "salesforce"
SPARK = "spark"
INTERVENTIONS = "interventions"

_CONNECT_S = 5
_POOL_NEO4J = 20
# So long the driver repeats a transaction: a restart of Neo4j takes 5 to 15 s.
_REPEAT_S = 30.0
_POOL_REDIS = 50
_ACQUIRE_REDIS_S = 2
# The longest a server may take over one reply. A page of 10,000 entries takes 0.1 s.
_REDIS_REPLY_S = 20
_ACTION_REPLY_S = 20.0
# A query of the warehouse takes seconds; a transaction nobody goes on with holds its locks no longer than this.
_STATEMENT_S = 600
# For what is done beside the work and must not hold it up: connecting, and each reply.
_QUICK_S = 2
# A server that vanished without a word is noticed after 30 + 3 * 10 s.
_KEEPALIVE: dict[str, Any] = {
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}
_WORDS = ("true", "false")
_LIBPQ_EXTRAS = ("sslmode", "sslrootcert", "sslcert", "sslkey", "options", "target_session_attrs")


def _connection(conn_id: str) -> Connection:
    from airflow.sdk import Connection

    found: Connection = Connection.get(conn_id)
    # A server may repeat it in an error.
    register_secrets(found.password)
    return found


def exists(conn_id: str) -> bool:
    """Whether there is a connection of this name."""
    from airflow.sdk.exceptions import AirflowNotFoundException

    try:
        _connection(conn_id)
    except AirflowNotFoundException:
        return False
    return True


@contextmanager
def redis_client(conn_id: str = REDIS, *, quick: bool = False) -> Iterator[redis.Redis]:
    """A Redis client that answers with bytes and never repeats a command by itself.

    A repeated XADD whose first reply was lost adds the entry twice; a repeated XREADGROUP hides
    that entries went to the pending list. The task is the unit that is repeated. `quick` is for
    what is done beside the work and must not hold it up.
    """
    import redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    found = _connection(conn_id)
    extra = found.extra_dejson
    tls: dict[str, Any] = {
        key: _on(value) if str(value).lower() in _WORDS else value for key, value in extra.items() if key[:3] == "ssl"
    }
    encrypted = _on(tls.pop("ssl", False))
    pool = redis.BlockingConnectionPool(  # type: ignore[no-untyped-call]
        connection_class=redis.SSLConnection if encrypted else redis.Connection,
        host=found.host or "localhost",
        port=found.port or 6379,
        db=int(extra.get("db") or found.schema or 0),
        username=found.login or None,
        password=found.password or None,
        socket_connect_timeout=_QUICK_S if quick else _CONNECT_S,
        socket_timeout=_QUICK_S if quick else _REDIS_REPLY_S,
        max_connections=_POOL_REDIS,
        timeout=_ACQUIRE_REDIS_S,
        retry=Retry(NoBackoff(), 0),
        protocol=2,
        **(tls if encrypted else {}),
    )
    with redis.Redis.from_pool(pool) as client, _guarded("redis", quick) as call:
        if call.probing:
            client.ping()
            call.reached()
        yield client


@contextmanager
def neo4j_driver(conn_id: str = NEO4J) -> Iterator[tuple[neo4j.Driver, str | None]]:
    """A Neo4j driver, and the database to use (the connection's schema; None: the server's default)."""
    import neo4j

    found = _connection(conn_id)
    driver = neo4j.GraphDatabase.driver(
        f"{_neo4j_scheme(found.extra_dejson)}://{found.host or 'localhost'}:{found.port or 7687}",
        auth=(found.login or "neo4j", found.password or ""),
        connection_timeout=_CONNECT_S,
        connection_acquisition_timeout=_CONNECT_S,
        max_connection_pool_size=_POOL_NEO4J,
        max_connection_lifetime=3600,
        max_transaction_retry_time=_REPEAT_S,
        # "The constraint exists already", several times a run, is no news.
        notifications_disabled_classifications=["SCHEMA", "UNRECOGNIZED"],
    )
    with driver, _guarded("neo4j", quick=False) as call:
        if call.probing:
            driver.verify_connectivity()
            call.reached()
        yield driver, found.schema or None


@contextmanager
def salesforce(conn_id: str = SALESFORCE) -> Iterator[Salesforce]:
    """A session with Salesforce: OAuth, the token in memory only, a new login when it expires."""
    from include.vms.salesforce.client import Salesforce
    from include.vms.salesforce.settings import Settings

    settings = Settings.from_connection(_connection(conn_id))
    with Salesforce(settings) as client, _guarded("salesforce", quick=False) as call:
        if call.probing:
            client.login()
            call.reached()
        yield client


@contextmanager
def action_systems(conn_id: str = INTERVENTIONS) -> Iterator[httpx.Client]:
    """A client of calendar and task system: base URL, the connection's password as bearer token, time-outs.

    Each request is guarded by itself (include/organism/interventions/action_systems.py).
    """
    import httpx

    found = _connection(conn_id)
    host = found.host or "localhost"
    address = host if "://" in host else f"{found.schema or 'http'}://{host}"
    with httpx.Client(
        base_url=f"{address}:{found.port}" if found.port else address,
        headers={"Authorization": f"Bearer {found.password or ''}"},
        timeout=httpx.Timeout(_ACTION_REPLY_S, connect=_CONNECT_S),
    ) as client:
        yield client


@contextmanager
def spark(conn_id: str = SPARK) -> Iterator[SparkSession]:
    """A Spark session: on this machine (`local[*]`), on a cluster (`spark://...`), or through Spark Connect (`sc://...`).

    Raises:
        ServerUnsupported: PySpark, or the Java that a session other than `sc://` needs, is not installed.
    """
    from include.organism.causal.spark_session import session

    with session(_connection(conn_id)) as made:
        yield made


@contextmanager
def _guarded(service: str, quick: bool) -> Iterator[Call]:
    """The service's circuit breaker, for the work of tasks; what is done beside it must not be refused."""
    from include.operations.breaker import Call, guarded

    if quick:
        yield Call()
        return
    with guarded(service) as call:
        yield call


def _on(value: object) -> bool:
    """Whether an extra is switched on: a connection that is a URL carries the word `false`, which is not empty."""
    return str(value).lower() == "true"


def _neo4j_scheme(extra: dict[str, Any]) -> str:
    """The extras mean what they mean to Airflow's Neo4jHook."""
    on = {name for name, value in extra.items() if _on(value)}
    tls = "+ssc" if "certs_self_signed" in on else "+s" if "certs_trusted_ca" in on else ""
    return ("neo4j" if "neo4j_scheme" in on else "bolt") + tls


@contextmanager
def warehouse(conn_id: str = WAREHOUSE, *, quick: bool = False) -> Iterator[psycopg.Connection]:
    """A Postgres connection: one transaction, committed at the end, rolled back by an exception.

    No statement takes longer than 10 minutes; with `quick`, for what is done beside the work, 2 seconds.
    """
    from include.postgres_connect import connect

    arguments = warehouse_arguments(conn_id)
    seconds = _QUICK_S if quick else _STATEMENT_S
    limits = f"-c statement_timeout={seconds}s -c idle_in_transaction_session_timeout={seconds}s"
    # The connection's own options come last, so that they win.
    arguments["options"] = f"{limits} {arguments.get('options', '')}".rstrip()
    with (
        _guarded("postgres", quick) as call,
        connect(
            **arguments,
            **_KEEPALIVE,
            connect_timeout=_QUICK_S if quick else _CONNECT_S,
            application_name="pipelines",
        ) as connection,
    ):
        call.reached()
        yield connection


def warehouse_arguments(conn_id: str = WAREHOUSE) -> dict[str, Any]:
    """The connection's host, port, database, user, password and TLS settings under libpq's names."""
    found = _connection(conn_id)
    options = {name: value for name, value in found.extra_dejson.items() if name in _LIBPQ_EXTRAS}
    return {
        "host": found.host or "localhost",
        "port": found.port or 5432,
        "dbname": found.schema or "warehouse",
        "user": found.login,
        "password": found.password,
        **options,
    }
