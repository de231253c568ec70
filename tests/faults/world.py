"""One test's own stream, group and graph on real servers, and what was put into them."""

from __future__ import annotations

import itertools
import os
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

import neo4j
import pytest
import redis

from include import connections
from include.organism import update
from include.organism.deadletter import DeadLetter, DeadLetters
from include.organism.settings import Settings
from tests import oracle

Raw = list[bytes]
_numbers = itertools.count()
BAD = [[b"id", b"%d" % n, b"source", b"a"] for n in range(7)]
STEPS = ("fetch", "update", "acknowledge", "invalidate")


@contextmanager
def open_clients(redis_url: str, neo4j_url: str, repeat_s: float = 2.0) -> Iterator[update.Clients]:
    """The clients that the tasks use, of any servers; the driver gives up sooner than the tasks' half minute."""
    number = next(_numbers)
    ids = {"redis": f"test_redis_{number}", "neo4j": f"test_neo4j_{number}"}
    os.environ[f"AIRFLOW_CONN_TEST_REDIS_{number}"] = redis_url
    os.environ[f"AIRFLOW_CONN_TEST_NEO4J_{number}"] = neo4j_url
    with ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        patch.setattr(connections, "_REPEAT_S", repeat_s)
        client = stack.enter_context(connections.redis_client(ids["redis"]))
        driver, database = stack.enter_context(connections.neo4j_driver(ids["neo4j"]))
        yield update.Clients(client, driver, database)


def run_steps(clients: update.Clients, settings: Settings, run: str, steps: Iterable[str] = STEPS) -> dict[str, Any]:
    """The four steps as the DAG runs them; returns each one's result."""
    done: dict[str, Any] = {}
    for step in steps:
        match step:
            case "fetch":
                done[step] = update.fetch_interactions(clients, settings, run)
            case "update":
                done[step] = update.update_graph(clients, settings, done["fetch"])
            case "acknowledge":
                done[step] = update.acknowledge(clients, settings, done["update"])
            case "invalidate":
                done[step] = update.invalidate_cache(clients, settings, done["fetch"])
    return done


def event(number: int | str, source: str = "ann", target: str = "bob", **fields: str) -> dict[str, str]:
    """A valid event with an id of its own."""
    usual = {"type": "slack_message", "timestamp": "1700000000"}
    return {"id": f"e{number}", "source": source, "target": target, **usual, **fields}


def events(count: int, start: int = 0, people: int = 12) -> list[dict[str, str]]:
    """Valid events among a few people, the same ones every time."""
    return [
        event(
            n,
            f"p{n * 7 % people}",
            f"p{(n * n + n // 5) % people}",
            weight=f"{n % 9 + n % 4 / 8}",
            timestamp=f"{1_700_000_000 + n * 7919 % 5_000_000}.{n % 1000:03}",
        )
        for n in range(start, start + count)
    ]


def eventually(what: Callable[[], Any], seconds: float = 60.0) -> Any:
    """Poll until `what` gives something true."""
    deadline = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.01)
    return found


class World:
    """Publishes messages, remembers the valid ones, runs the steps, and holds the graph to the oracle.

    `urls` are the addresses of Redis and Neo4j, for processes of their own.
    """

    def __init__(self, clients: update.Clients, urls: tuple[str, str], **settings: Any) -> None:
        self.clients = clients
        self.urls = urls
        name = f"test-{uuid.uuid4().hex[:12]}"
        self.settings = replace(Settings(stream=name, group=f"group-{name}", lease_wait_s=0), **settings)
        self.valid: dict[bytes, oracle.Event] = {}
        self.bad: dict[bytes, Raw] = {}
        self.lost = 0
        self._runs = itertools.count()

    @property
    def redis(self) -> redis.Redis:
        return self.clients.redis

    @property
    def driver(self) -> neo4j.Driver:
        return self.clients.driver

    @property
    def stream(self) -> str:
        return self.settings.stream

    # --- putting in -----------------------------------------------------------------
    def publish(self, messages: Iterable[oracle.Event]) -> list[bytes]:
        """Add valid events; the oracle will count them."""
        messages = list(messages)
        ids = self.add([_flat(message) for message in messages])
        self.valid |= dict(zip(ids, messages, strict=True))
        return ids

    def publish_bad(self, messages: Iterable[Raw]) -> list[bytes]:
        """Add entries that must become dead letters."""
        messages = list(messages)
        ids = self.add(messages)
        self.bad |= dict(zip(ids, messages, strict=True))
        return ids

    def add(self, entries: Iterable[Raw], entry_id: str = "*") -> list[bytes]:
        """XADD each one."""
        with self.redis.pipeline(transaction=False) as pipe:
            for flat in entries:
                pipe.execute_command("XADD", self.stream, entry_id, *flat)
            return pipe.execute()

    def new_group(self, after: str) -> None:
        """Somebody makes the group anew."""
        self.redis.xgroup_destroy(self.stream, self.settings.group)
        self.redis.xgroup_create(self.stream, self.settings.group, after)

    def forget(self, ids: Iterable[bytes]) -> None:
        """These entries are gone for good; the accounting must say so."""
        for entry_id in ids:
            del self.valid[entry_id]
            self.lost += 1

    # --- running --------------------------------------------------------------------
    def new_run(self) -> str:
        return f"run-{next(self._runs)}"

    def run(
        self,
        run: str | None = None,
        steps: Iterable[str] = STEPS,
        clients: update.Clients | None = None,
        **settings: Any,
    ) -> dict[str, Any]:
        """One whole run in this process, perhaps with clients of other servers or proxies."""
        return run_steps(clients or self.clients, replace(self.settings, **settings), run or self.new_run(), steps)

    def end_lease(self) -> None:
        """As if the lease's time were over: a dead run cannot end it itself."""
        self.driver.execute_query("MATCH (l:StreamLedger) SET l.lease_until = 0")

    # --- looking --------------------------------------------------------------------
    def ledger(self) -> Any:
        return self.clients.graph(self.settings).ledger()

    def pending(self, consumer: str | None = None) -> list[bytes]:
        rows = self.redis.xpending_range(self.stream, self.settings.group, "-", "+", 1_000_000, consumername=consumer)
        return [row["message_id"] for row in rows]

    def letters(self) -> list[DeadLetter]:
        return list(DeadLetters(self.redis, self.settings).letters())

    def check_graph(self) -> None:
        """The graph is what the oracle makes of all valid events."""
        self.check_against(oracle.expected(self.valid.values(), self.settings.half_life_days))

    def check_against(self, wanted: oracle.Graph, *, edges_only: bool = False) -> None:
        found = oracle.read_graph(self.driver)
        if edges_only:
            found.people, wanted.people = {}, {}
        assert oracle.differences(found, wanted) == []

    def check(self, *, redelivered: int = 0) -> None:
        """Graph, totals, pending lists and dead letters are as if nothing had ever gone wrong.

        Args:
            redelivered: entries that Redis gave out a second time after they had been applied.
        """
        wanted = oracle.expected(self.valid.values(), self.settings.half_life_days)
        self.check_against(wanted)
        assert self.pending() == []
        totals = self.ledger().totals
        assert {
            "read": totals.read,
            "duplicates": totals.duplicates,
            "written": totals.written,
            "dead": totals.dead,
            "lost": totals.lost,
            "skipped": {"system": totals.skipped_system, "self_loop": totals.skipped_self_loop},
            "people": totals.people_created,
            "edges": totals.edges_created,
        } == {
            "read": len(self.valid) + len(self.bad) + redelivered,
            "duplicates": wanted.duplicates + redelivered,
            "written": wanted.written,
            "dead": len(self.bad),
            "lost": self.lost,
            "skipped": wanted.skipped,
            "people": len(wanted.people),
            "edges": len(wanted.edges),
        }
        assert sorted(letter.original_id.encode() for letter in self.letters()) == sorted(self.bad)


def _flat(message: oracle.Event) -> Raw:
    return [part.encode() for pair in message.items() for part in pair]


def clear(driver: neo4j.Driver) -> None:
    """Empty the graph; the constraints stay."""
    with driver.session() as session:
        # In steps that also a server with little memory takes.
        session.run("MATCH ()-[r]->() CALL (r) { DELETE r } IN TRANSACTIONS OF 500 ROWS").consume()
        session.run("MATCH (n) CALL (n) { DELETE n } IN TRANSACTIONS OF 500 ROWS").consume()
