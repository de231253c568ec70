"""Trimming takes what every group is done with and the graph holds, and nothing else; on a real Redis."""

import random

import pytest
import redis

from include.operations.housekeeping.stream import trim
from include.organism.settings import Settings
from include.organism.stream import StreamId
from tests.faults.world import events

pytestmark = pytest.mark.servers

STREAM = "trim-test"
SETTINGS = Settings(stream=STREAM)
HOUR = 3_600_000


@pytest.fixture
def client(redis_server):
    with redis.Redis.from_url(redis_server.url, protocol=2) as found:
        # Redis removes whole nodes: small ones let a few entries show what happens.
        before = found.config_get("stream-node-max-entries")["stream-node-max-entries"]
        found.config_set("stream-node-max-entries", 5)
        found.delete(STREAM)
        yield found
        found.delete(STREAM)
        found.config_set("stream-node-max-entries", before)


def fill(client, hours, group=SETTINGS.group, start="0"):
    """One entry a minute; returns the ids."""
    ids = [f"{HOUR + minute * 60_000}-0" for minute in range(hours * 60)]
    with client.pipeline() as pipe:
        for entry in ids:
            pipe.xadd(STREAM, {"id": entry}, entry)
        pipe.execute()
    client.xgroup_create(STREAM, group, id=start)
    return ids


def deliver(client, group, count, *, acknowledge):
    reply = client.xreadgroup(group, "someone", {STREAM: ">"}, count=count)
    ids = [entry.decode() for entry, _ in reply[0][1]]
    if acknowledge:
        client.xack(STREAM, group, *ids)
    return ids


def there(client):
    return [entry.decode() for entry, _ in client.xrange(STREAM)]


def missing(client, ids):
    return set(ids) - set(there(client))


def test_committed_entries_behind_the_margin_go(client):
    ids = fill(client, 10)
    deliver(client, SETTINGS.group, 600, acknowledge=True)
    done = trim(client, SETTINGS, StreamId.parse(ids[-1]), keep_hours=2)
    kept = there(client)
    assert kept[-120:] == ids[-120:]
    assert len(kept) <= 125  # all but a node's rest
    assert (done.removed, done.left, done.held_by) == (600 - len(kept), len(kept), "")
    assert client.xinfo_stream(STREAM)["entries-added"] == 600


def test_nothing_beyond_the_watermark_goes_although_it_is_acknowledged(client):
    """Acknowledged but not in the graph: as after a graph was restored from a backup."""
    ids = fill(client, 10)
    deliver(client, SETTINGS.group, 600, acknowledge=True)
    trim(client, SETTINGS, StreamId.parse(ids[200]), keep_hours=0.001)
    assert not missing(client, ids[200:])
    assert missing(client, ids[:200])


def test_pending_and_unread_entries_stay_whatever_the_watermark_says(client):
    ids = fill(client, 10)
    deliver(client, SETTINGS.group, 100, acknowledge=True)
    pending = deliver(client, SETTINGS.group, 50, acknowledge=False)
    done = trim(client, SETTINGS, StreamId(10**15, 0), keep_hours=1)
    assert not missing(client, ids[100:])
    assert done.before == StreamId.parse(pending[0])
    assert done.held_by == SETTINGS.group
    assert missing(client, ids[:100])


@pytest.mark.parametrize("how", ["unread", "pending", "new"])
def test_a_second_group_that_lags_loses_nothing(client, how):
    ids = fill(client, 10)
    deliver(client, SETTINGS.group, 600, acknowledge=True)
    client.xgroup_create(STREAM, "archive", id="0")
    needs = ids
    if how != "new":
        deliver(client, "archive", 70, acknowledge=True)
        needs = ids[70:]
    if how == "pending":
        deliver(client, "archive", 400, acknowledge=False)
        deliver(client, "archive", 130, acknowledge=True)
    done = trim(client, SETTINGS, StreamId.parse(ids[-1]), keep_hours=1)
    assert done.held_by == "archive"
    assert not missing(client, needs)
    assert bool(missing(client, ids)) == (how != "new")
    assert (
        len(client.xreadgroup("archive", "someone", {STREAM: "0" if how == "pending" else ">"})[0][1])
        == {
            "unread": 530,
            "pending": 400,
            "new": 600,
        }[how]
    )


def test_one_old_pending_entry_among_many_acknowledged(client):
    ids = fill(client, 10)
    deliver(client, SETTINGS.group, 600, acknowledge=False)
    client.xack(STREAM, SETTINGS.group, *ids[:37], *ids[38:])
    trim(client, SETTINGS, StreamId.parse(ids[-1]), keep_hours=1)
    assert ids[37] in there(client)
    assert missing(client, ids[:30])


def test_without_our_group_nothing_goes(client):
    ids = fill(client, 3, group="others", start="$")
    assert trim(client, SETTINGS, StreamId.parse(ids[-1]), keep_hours=0.1).removed == 0
    assert there(client) == ids


def test_a_missing_stream_and_an_early_watermark_are_no_error(client):
    assert trim(client, SETTINGS, StreamId(5, 0), keep_hours=1).removed == 0
    ids = fill(client, 1)
    deliver(client, SETTINGS.group, 60, acknowledge=True)
    assert trim(client, SETTINGS, StreamId(5, 0), keep_hours=1).removed == 0
    assert there(client) == ids


def test_ids_beyond_what_lua_can_count(client):
    """2^53 is where Lua's numbers end; ids are larger."""
    base = 2**60
    for number in range(20):
        client.xadd(STREAM, {"id": "x"}, f"{base}-{number}")
    client.xgroup_create(STREAM, SETTINGS.group, id="0")
    deliver(client, SETTINGS.group, 20, acknowledge=False)
    client.xack(STREAM, SETTINGS.group, *[f"{base}-{number}" for number in range(9)])
    trim(client, SETTINGS, StreamId(base + 1, 0), keep_hours=1e-9)
    assert not missing(client, [f"{base}-{number}" for number in range(9, 20)])
    assert missing(client, [f"{base}-{number}" for number in range(5)])


@pytest.mark.parametrize("seed", range(6))
def test_nothing_that_anybody_needs_ever_goes(client, seed):
    """Random groups, deliveries, acknowledgements, watermarks and margins."""
    rand = random.Random(seed)
    ids = fill(client, 4)
    groups = [SETTINGS.group, *(f"g{number}" for number in range(3))]
    for group in groups[1:]:
        client.xgroup_create(STREAM, group, id=rand.choice(["0", "$", rand.choice(ids)]))
    for _ in range(15):
        group = rand.choice(groups)
        read = client.xreadgroup(group, rand.choice("ab"), {STREAM: ">"}, count=rand.randrange(1, 90))
        got = [entry for entry, _ in read[0][1]] if read else []
        if chosen := rand.sample(got, rand.randrange(len(got) + 1)) if rand.random() < 0.8 else got:
            client.xack(STREAM, group, *chosen)
        needed = set()
        for item in client.xinfo_groups(STREAM):
            last = StreamId.parse(item["last-delivered-id"])
            needed |= {entry for entry in there(client) if StreamId.parse(entry) > last}
            pending = client.xpending_range(STREAM, item["name"], "-", "+", 1000)
            needed |= {row["message_id"].decode() for row in pending}
        watermark = StreamId.parse(rand.choice(ids))
        keep_hours = rand.choice([0.01, 0.5, 2])
        needed |= {e for e in there(client) if StreamId.parse(e).ms >= watermark.ms - keep_hours * HOUR}
        trim(client, SETTINGS, watermark, keep_hours)
        assert not missing(client, needed)


def test_the_pipeline_reports_nothing_as_lost(world):
    """Trimmed between its runs, with an idle night in between: no loss, no healing, and the graph is right."""
    for part in range(2):
        world.publish(events(150, start=part * 1_000))
        assert world.run()["update"]["lost"] == 0
        trim(world.redis, world.settings, world.ledger().watermark, keep_hours=1e-9)
        result = world.run()
        assert (result["update"]["lost"], result["fetch"]["healed"]) == (0, [])
    assert world.redis.xlen(world.stream) < 600
    world.check()
    # The watermark's own entry is never trimmed: by it a stream that lost its group is known again.
    world.redis.xgroup_destroy(world.stream, world.settings.group)
    world.publish(events(30, start=9_000))
    result = world.run()
    assert (result["fetch"]["healed"], result["update"]["lost"]) == (["group_recreated"], 0)
    world.check()
    # Real loss is still seen.
    world.forget(world.publish(events(20, start=20_000)))
    world.redis.xtrim(world.stream, 0, approximate=False)
    assert world.run()["update"]["lost"] == 20
    world.check()
