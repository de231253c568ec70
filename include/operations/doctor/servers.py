"""Redis, Neo4j and the warehouse: reached, logged in, new enough, set up; and how far their clocks are apart."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from include.connections import METADATA, NEO4J, REDIS, WAREHOUSE, neo4j_driver, redis_client, warehouse
from include.operations.doctor import rights
from include.operations.doctor.finding import Finding, fail, ok, some, warn
from include.operations.doctor.secrets import is_local
from include.operations.errors import InputRejected
from include.operations.words import counted
from include.organism.settings import DAY_MS, Settings

if TYPE_CHECKING:
    import neo4j
    import psycopg
    import redis

    from include.organism.backlog import Backlog

_MIN_REDIS = (7, 0)
# The writer's Cypher uses CALL with a variable scope clause.
_MIN_NEO4J = (5, 23)
_MIN_POSTGRES = 17
_SKEW_S = 5.0
_CONSTRAINTS = ("employee_id", "stream_ledger_key")
_FIRST_RUN = "nothing: the first run of organism_incremental_update makes it"


class Clocks:
    """How far each server's clock is ahead of this machine's, in seconds."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self.ahead: dict[str, float] = {"this machine": 0.0}

    def note(self, server: str, ask: Callable[[], float]) -> None:
        """Ask a server for its time in epoch seconds; half of the way there and back is taken off."""
        before = self._now()
        told = ask()
        self.ahead[server] = told - (before + self._now()) / 2

    def findings(self) -> Iterator[Finding]:
        """Whether any two clocks are too far apart; said only when there is more than one."""
        spread = max(self.ahead.values()) - min(self.ahead.values())
        shown = ", ".join(f"{name} {ahead:+.1f} s" for name, ahead in self.ahead.items())
        if len(self.ahead) == 1:
            return
        if spread > _SKEW_S:
            yield warn("clocks", f"{spread:.1f} s apart: {shown}", "let every machine follow one time server (NTP)")
        else:
            yield ok("clocks", f"at most {spread:.1f} s apart: {', '.join(self.ahead)}")


def check_redis(clocks: Clocks) -> Iterator[Finding]:
    """Redis and the interaction stream."""
    with redis_client() as client:
        clocks.note("Redis", lambda: _redis_seconds(client))
        info = client.info()
        text = str(info["redis_version"])
        if _numbers(text) < _MIN_REDIS:
            yield fail(
                REDIS, f"Redis {text} lacks the stream counters that show lost entries", "use Redis 7.0 or newer"
            )
            return
        yield ok(REDIS, f"Redis {text} reached")
        if not info["aof_enabled"]:
            yield warn(REDIS, "appendonly is off: a crash loses accepted events", "set `appendonly yes`")
        if info["maxmemory_policy"] != "noeviction":
            found = f"maxmemory-policy is {info['maxmemory_policy']}: Redis may drop the stream"
            yield warn(REDIS, found, "set `maxmemory-policy noeviction`")
        local = is_local(client.connection_pool.connection_kwargs.get("host"))
        yield from rights.check_redis_user(client, REDIS, local=local)
        if settings := _settings():
            yield from _stream(client, settings)


def _settings() -> Settings | None:
    """Our settings; None when they are wrong, which the check of the settings says."""
    try:
        return Settings.from_env()
    except InputRejected:
        return None


def _redis_seconds(client: redis.Redis) -> float:
    seconds, micros = client.time()
    return float(seconds) + float(micros) / 1e6


def _stream(client: redis.Redis, settings: Settings) -> Iterator[Finding]:
    from include.organism.backlog import backlog

    found = backlog(client, settings)
    area = f"stream {found.stream}"
    if not found.group_exists:
        yield warn(area, f"{counted(found.length, 'entry', 'entries')}, no group {settings.group} yet", _FIRST_RUN)
        return
    yield _waiting(area, found, settings)
    if found.dead_letters:
        wait = "waits" if found.dead_letters == 1 else "wait"
        shown = f"{counted(found.dead_letters, 'dead letter')} {wait} for a decision"
        yield warn(area, shown, "`deadletter list`, then `deadletter replay` or `deadletter discard`")


def _waiting(area: str, found: Backlog, settings: Settings) -> Finding:
    pending, oldest = sum(found.pending.values()), found.oldest_pending_s or 0.0
    unread = "many" if found.unread is None else f"{found.unread:,}"
    shown = f"{counted(found.length, 'entry', 'entries')}, {unread} unread, {pending:,} pending"
    if oldest > settings.claim_idle_s:
        fix = "see whether organism_incremental_update is paused or fails: `dags list`"
        return warn(area, f"{shown}, the oldest for {oldest:,.0f} s", fix)
    return ok(area, shown)


def check_neo4j(clocks: Clocks) -> Iterator[Finding]:
    """Neo4j and the constraints of the people graph."""
    with neo4j_driver() as (driver, database):

        def ask(query: Any) -> list[Any]:
            return driver.execute_query(query, database_=database).records

        # Fails at once, where a query would try for half a minute.
        driver.verify_connectivity()
        clocks.note("Neo4j", lambda: float(ask("RETURN timestamp() AS ms")[0]["ms"]) / 1000)
        (kernel,) = ask("CALL dbms.components() YIELD name, versions, edition WHERE name = 'Neo4j Kernel' RETURN *")
        text = kernel["versions"][0]
        if _numbers(text) < _MIN_NEO4J:
            yield fail(
                NEO4J, f"Neo4j {text} is too old for the queries", "use Neo4j 5.26 (the long-term version) or newer"
            )
            return
        yield ok(NEO4J, f"Neo4j {text} {kernel['edition']} reached")
        there = {record["name"] for record in ask("SHOW CONSTRAINTS YIELD name")}
        if missing := [name for name in _CONSTRAINTS if name not in there]:
            yield warn(NEO4J, f"no constraint {', '.join(missing)} yet", _FIRST_RUN)
        yield from rights.check_neo4j_user(ask, NEO4J)
        if settings := _settings():
            yield from _half_life(driver, database, settings)


def _half_life(driver: neo4j.Driver, database: str | None, settings: Settings) -> Iterator[Finding]:
    """Whether the graph was built with the half-life that is set; the next run would refuse to mix two."""
    query = "MATCH (l:StreamLedger {key: $key}) RETURN l.half_life_ms AS half_life_ms"
    found = driver.execute_query(query, key=settings.ledger_key, database_=database).records
    if found and found[0]["half_life_ms"] != settings.half_life_ms:
        days = found[0]["half_life_ms"] / DAY_MS
        said = f"the graph was built with a half-life of {days:g} days, the setting says {settings.half_life_days:g}"
        fix = f"export ORGANISM_HALF_LIFE_DAYS={days:g}, or build a new graph from the events"
        yield fail(NEO4J, said, fix)


def check_warehouse(clocks: Clocks) -> Iterator[Finding]:
    """The warehouse and its schema."""
    from include.warehouse import schema

    with warehouse() as connection:

        def ask(query: Any) -> Any:
            row = connection.execute(query).fetchone()
            return row[0] if row else None

        clocks.note("Postgres", lambda: _postgres_seconds(connection))
        version = ask("select current_setting('server_version_num')::int") // 10_000
        text = ask("select current_setting('server_version')").split()[0]
        if version < _MIN_POSTGRES:
            yield warn(WAREHOUSE, f"PostgreSQL {text} is not tested", f"use PostgreSQL {_MIN_POSTGRES} or newer")
        else:
            yield ok(WAREHOUSE, f"PostgreSQL {text} reached")
        yield from rights.check_role(connection, WAREHOUSE)
        yield from rights.check_tables(connection, WAREHOUSE)
    found, newest = schema.current(), schema.head()
    if found == newest:
        yield ok(WAREHOUSE, f"schema at {found}, the newest")
    else:
        fix = "`python -m include.cli warehouse upgrade`"
        yield fail(WAREHOUSE, f"schema at {found or 'nothing'}, the code needs {newest}", fix)


def check_metadata(clocks: Clocks) -> Iterator[Finding]:
    """Airflow's metadata database, as the statistics and the watchdog read it."""
    from include.operations.metadata import ROLE, excess_rights, metadata, missing_rights

    with metadata() as connection:
        row = connection.execute("select current_user").fetchone()
        clocks.note("metadata", lambda: _postgres_seconds(connection))
        grants = "run the statements of docs/statistics.md as the owner of Airflow's tables"
        if missing := missing_rights(connection):
            yield fail(METADATA, f"cannot read {some(missing)}", grants)
        if excess := excess_rights(connection):
            yield warn(METADATA, f"the role {', '.join(excess)}", f"{grants}, and use the role {ROLE}")
        if not missing and not excess:
            yield ok(METADATA, f"reached as {row[0] if row else '?'}, which may read run statistics and nothing else")


def _postgres_seconds(connection: psycopg.Connection) -> float:
    row = connection.execute("select extract(epoch from clock_timestamp())").fetchone()
    return float(row[0]) if row else 0.0


def _numbers(version: str) -> tuple[int, ...]:
    """Major and minor of `7.0.15` or `2026.04.0`."""
    return tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
