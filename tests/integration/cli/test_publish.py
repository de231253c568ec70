"""`interactions publish` into a real Redis."""

import hashlib
import io
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time

import pytest
import redis as redis_py

from include.organism.event_files import read_rows
from include.organism.publish import Publisher

pytestmark = pytest.mark.servers


@pytest.fixture
def redis(redis_server):
    with redis_py.Redis.from_url(redis_server.url) as client:
        yield client


@pytest.fixture
def file(tmp_path):
    def write(text, name="events"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


def entries(redis, stream):
    return [fields for _, fields in redis.xrange(stream)]


def text_rows(count, start=0):
    return "".join(f"p{n % 50} q{n % 70} {n * 60}\n" for n in range(start, start + count))


def test_every_row_arrives_once_in_order(cli, redis, stream, file):
    done = cli("interactions", "publish", file(text_rows(2_345)))
    assert done.code == 0
    assert done.out.startswith("published 2,345 events in ")
    found = entries(redis, stream)
    assert [int(fields[b"timestamp"]) for fields in found] == [n * 60 for n in range(2_345)]
    assert {fields[b"type"] for fields in found} == {b"email"}
    assert len({fields[b"id"] for fields in found}) == 2_345


def test_the_same_file_again_brings_the_same_ids(cli, redis, stream, file):
    path = file(text_rows(20))
    cli("interactions", "publish", path)
    cli("interactions", "publish", path, "--until", "now")
    ids = [fields[b"id"] for fields in entries(redis, stream)]
    assert ids[:20] == ids[20:]


def test_standard_input_and_type(cli, redis, stream):
    assert cli("interactions", "publish", "-", "--type", "chat", stdin="a b 5\n").code == 0
    (fields,) = entries(redis, stream)
    assert (fields[b"type"], fields[b"source"]) == (b"chat", b"a")


@pytest.mark.parametrize("source", ["file", "-"])
def test_until_moves_the_last_event_and_keeps_distances(cli, redis, stream, file, source):
    text = "a b 100\na b 400\na b 250.5\n"
    until = ("--until", "2026-01-01T00:00:00Z")
    done = cli("interactions", "publish", *until, file(text) if source == "file" else "-", stdin=text)
    assert done.code == 0
    end = 1_767_225_600
    assert [fields[b"timestamp"] for fields in entries(redis, stream)] == [
        b"%d" % (end - 300),
        b"%d" % end,
        b"%d.5" % (end - 150),
    ]


def test_until_now_is_now(cli, redis, stream, file):
    before = int(time.time())
    cli("interactions", "publish", file("a b 100\n"), "--until", "now")
    (fields,) = entries(redis, stream)
    assert before <= int(fields[b"timestamp"]) <= time.time()


def test_until_leaves_what_is_no_time_to_the_dead_letters(cli, redis, stream, file):
    text = "source,target,timestamp\na,b,soon\na,b,nan\na,b,\na,b,100\n"
    assert cli("interactions", "publish", file(text), "--until", "2026-01-01").code == 0
    assert [fields[b"timestamp"] for fields in entries(redis, stream)] == [b"soon", b"nan", b"", b"1767225600"]


def test_a_bad_time_among_good_ones_moves_nothing_and_is_told(cli, redis, stream, file):
    path = file("a b 100\na b inf\na b 1767225600000\na b 1e400\na b 400\n")
    done = cli("interactions", "publish", path, "--until", "2026-01-01")
    assert done.code == 0
    assert [fields[b"timestamp"] for fields in entries(redis, stream)] == [
        b"1767225300",
        b"inf",
        b"1767225600000",
        b"1e400",
        b"1767225600",
    ]
    assert "3 of 5 rows not considered for --until" in done.err


def test_until_without_any_time_is_an_error(cli, redis, stream, file):
    done = cli("interactions", "publish", file("a b soon\n"), "--until", "now")
    assert done.code == 1
    assert "no row has a time" in done.err
    assert redis.xlen(stream) == 0


def test_bad_rows_are_published_for_the_dead_letters(cli, redis, stream, file):
    text = "source,target,type,timestamp,weight\na,,x,never,1e9\n"
    assert cli("interactions", "publish", file(text)).code == 0
    (fields,) = entries(redis, stream)
    assert fields.items() >= {b"target": b"", b"timestamp": b"never", b"weight": b"1e9"}.items()


def test_a_table_without_types_is_published_whole(cli, redis, stream, file):
    for name, text in {
        "csv": "source,target,timestamp\na,b,5\n",
        "jsonl": '{"source":"a","target":"b","timestamp":5}\n',
    }.items():
        assert cli("interactions", "publish", file(text, name)).code == 0
        assert entries(redis, stream)[-1].items() >= {b"type": b"email", b"source": b"a"}.items()
    assert cli("interactions", "publish", file(text), "--type", "x" * 51).code == 2


def test_unreadable_rows_are_named_counted_and_make_the_exit_code_3(cli, redis, stream, file):
    text = '{"source":"a"}\n{"source":\n' + "[]\n" * 25 + '{"source":"b"}\n'
    done = cli("interactions", "publish", file(text))
    assert done.code == 3
    assert "published 2 events" in done.out
    assert "line 2: not valid JSON at character 11" in done.err
    assert "line 3: not a JSON object" in done.err
    assert "error: 26 rows left out, unreadable or too large (6 more not shown)" in done.err
    assert redis.xlen(stream) == 2
    done = cli("interactions", "publish", file("a b 1\na b\n"))
    assert done.code == 3
    assert "published 1 event in" in done.out
    assert "error: 1 row left out" in done.err


@pytest.mark.parametrize("until", [(), ("--until", "now")])
@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "the file is empty"),
        ("source,target,timestamp\n", "the input has no rows"),
        ("{\n[]\n", "no row can be read"),
        ("a,b\n", "neither a CSV header"),
    ],
)
def test_when_nothing_can_be_published_the_exit_code_is_1_and_says_why(cli, redis, stream, file, text, says, until):
    done = cli("interactions", "publish", file(text), *until)
    assert (done.code, done.out) == (1, "")
    assert says in done.err.splitlines()[-1]
    assert redis.xlen(stream) == 0


def test_a_field_too_large_for_the_stream_is_not_sent(cli, redis, stream, file):
    row = '{{"source":"a","target":"b","timestamp":1,"metadata":"{}"}}\n'
    done = cli("interactions", "publish", file(row.format("x" * 70_000) + row.format("x" * 3_000_000) + row.format("")))
    assert done.code == 3
    assert "line 1: field 'metadata' has more than the 65,536 bytes allowed" in done.err
    assert "line 2: longer than the 1,048,576 bytes allowed" in done.err
    assert redis.xlen(stream) == 1


def test_nothing_left_behind_the_skipped_rows_is_said(cli, redis, stream, file):
    path = file("a b 1\na b 2\n")
    done = cli("interactions", "publish", path, "--skip", "2")
    assert (done.code, done.out) == (0, "nothing was left to publish: the input has 2 rows, --skip 2\n")
    done = cli("interactions", "publish", path, "--skip", "99")
    assert done.code == 1
    assert "nothing was left to publish: the input has 2 rows, --skip 99. Is it another file?" in done.err
    assert redis.xlen(stream) == 0


def test_a_rate_is_kept(cli, redis, stream, file):
    begun = time.monotonic()
    assert cli("interactions", "publish", file(text_rows(200)), "--rate", "200").code == 0
    assert time.monotonic() - begun > 0.9
    assert redis.xlen(stream) == 200


def test_a_replay_keeps_the_events_distances(cli, redis, stream, file):
    begun = time.monotonic()
    assert cli("interactions", "publish", file("a b 0\na b 60\na b 120\n"), "--speed", "120").code == 0
    assert time.monotonic() - begun > 0.9
    assert redis.xlen(stream) == 3


@pytest.mark.parametrize(
    "options",
    [("--rate", "1", "--speed", "1"), ("--rate", "0"), ("--speed", "-1"), ("--until", "soon"), ("--skip", "-1")],
)
def test_wrong_options_are_usage_errors(cli, redis, stream, file, options):
    assert cli("interactions", "publish", file("a b 1\n"), *options).code == 2
    assert redis.exists(stream) == 0


def test_a_missing_file_and_a_strange_one_are_one_line(cli, stream, tmp_path, file):
    done = cli("interactions", "publish", tmp_path / "nowhere")
    assert (done.code, len(done.err.splitlines())) == (1, 1)
    assert "No such file" in done.err
    done = cli("interactions", "publish", file("one two three four\n"))
    assert (done.code, len(done.err.splitlines())) == (1, 1)
    assert "--format" in done.err


def test_without_redis_nothing_is_in(cli, monkeypatch, stream, file):
    monkeypatch.setenv("AIRFLOW_CONN_ORGANISM_REDIS", "redis://127.0.0.1:1/0")
    done = cli("interactions", "publish", file("a b 1\na b\n"))
    assert done.code == 1
    assert "line 2: 2 words" in done.err
    assert "Nothing was published: give the same command again" in done.err


def test_with_a_wrong_password_nothing_is_in_doubt(cli, monkeypatch, redis_server, stream, file):
    url = f"redis://:wrong@{redis_server.host}:{redis_server.port}/0"
    monkeypatch.setenv("AIRFLOW_CONN_ORGANISM_REDIS", url)
    done = cli("interactions", "publish", file("a b 1\na b 2\n"))
    assert done.code == 1
    assert "Nothing was published" in done.err
    assert "may be" not in done.err


# --- interruptions ------------------------------------------------------------------


class CuttingProxy:
    """Passes everything on to Redis, but cuts the line instead of passing on the reply to the n-th chunk."""

    def __init__(self, host, port, chunks):
        self._target = (host, port)
        self._replies = chunks
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self):
        client, _ = self._listener.accept()
        with client, socket.create_connection(self._target) as server:
            threading.Thread(target=self._pass, args=(client, server), daemon=True).start()
            received = b""
            while data := server.recv(65536):
                received += data
                if self._count(received) > self._replies * 1_000:
                    # Redis does the whole chunk; nobody will hear of it.
                    while self._count(received) < (self._replies + 1) * 1_000:
                        received += server.recv(65536)
                    client.shutdown(socket.SHUT_RDWR)
                    return
                client.sendall(data)

    @staticmethod
    def _count(received):
        """Entries that Redis says it has added."""
        return len(re.findall(rb"\d+-\d+\r\n", received))

    @staticmethod
    def _pass(client, server):
        try:
            while data := client.recv(65536):
                server.sendall(data)
        except OSError:
            pass

    def close(self):
        self._listener.close()
        self._thread.join(60)


def test_after_a_lost_reply_it_says_what_is_sure_and_goes_on_there(cli, redis, redis_server, stream, file, monkeypatch):
    path = file(text_rows(4_500))
    proxy = CuttingProxy(redis_server.host, redis_server.port, chunks=2)
    url = f"redis://:{redis_server.password}@127.0.0.1:{proxy.port}/0"
    monkeypatch.setenv("AIRFLOW_CONN_ORGANISM_REDIS", url)
    done = cli("interactions", "publish", path, "--until", "now")
    proxy.close()
    assert done.code == 1
    assert "Traceback" not in done.err
    sure = int(done.err.split(" events are surely in")[0].rpartition(" ")[2].replace(",", ""))
    doubt = int(done.err.split(" more may be")[0].rpartition(" ")[2].replace(",", ""))
    assert 2_000 <= sure < 3_000
    assert sure + doubt == 3_000
    # No command was repeated: the chunk in doubt is there once.
    assert redis.xlen(stream) == 3_000
    again = done.err.partition("same command and ")[2].partition(";")[0].split()
    assert again[:2] == ["--skip", str(sure)]
    assert again[2] == "--until"
    monkeypatch.setenv("AIRFLOW_CONN_ORGANISM_REDIS", redis_server.url)
    assert cli("interactions", "publish", path, *again).code == 0
    found = entries(redis, stream)
    assert len(found) == 4_500 + doubt
    by_id = {fields[b"id"]: fields for fields in found}
    assert len(by_id) == 4_500
    times = sorted(int(fields[b"timestamp"]) for fields in by_id.values())
    assert times == [times[0] + n * 60 for n in range(4_500)]


def test_a_redis_that_refuses_for_want_of_memory(redis, stream):
    # Every row but the refused one and those behind it counts as in, and the retry begins at the refused one.
    used = redis.info("memory")["used_memory"]
    rows = list(read_rows(io.BytesIO(text_rows(30_000).encode())))
    publisher = Publisher(redis, stream)
    redis.config_set("maxmemory", used + 1_500_000)
    try:
        with pytest.raises(redis_py.RedisError, match=r"OOM|maxmemory"):
            publisher.publish(rows)
    finally:
        redis.config_set("maxmemory", 0)
    assert 0 < publisher.published == publisher.settled < 30_000
    first_missing = rows[publisher.settled].fields[b"id"]
    assert first_missing not in {fields[b"id"] for fields in entries(redis, stream)[: publisher.published]}
    rest = Publisher(redis, stream)
    rest.publish(rows, skip=publisher.settled)
    assert {fields[b"id"] for fields in entries(redis, stream)} == {row.fields[b"id"] for row in rows}


def test_ctrl_c_says_how_to_go_on(redis, redis_server, stream, file):
    path = file(text_rows(100_000))
    # Tests in the background of a script inherit that interrupts are ignored.
    heard = ["env", "--default-signal=INT", sys.executable]
    process = subprocess.Popen(
        [*heard, "-m", "include.cli", "interactions", "publish", str(path), "--rate", "1000"],
        env={**os.environ, "ORGANISM_STREAM": stream},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while redis.xlen(stream) < 100:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(2)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 1, err
    assert out == ""
    length = redis.xlen(stream)
    assert f"interrupted. {length:,} events are surely in. Go on with the same command and --skip {length}" in err


# --- size and speed -----------------------------------------------------------------


def test_rows_cost_little_enough_for_50_000_a_second(redis, stream):
    # The processor's time, because others may use the machine, in units of what it needs to read, hash and format
    # the same lines: 0.22 s where 50,000 rows a second would be nine of them, and it is about four.
    text = text_rows(100_000).encode()

    def reference():
        for line in io.BytesIO(text):
            source, target, _ = line.split()
            hashlib.sha256(line).hexdigest()
            json.dumps({"source": source.decode(), "target": target.decode()})

    def seconds(work):
        begun = time.process_time()
        work()
        return time.process_time() - begun

    spent = seconds(lambda: Publisher(redis, stream).publish(read_rows(io.BytesIO(text))))
    assert redis.xlen(stream) == 100_000
    redis.delete(stream)
    assert spent < 9 * seconds(reference)


def test_memory_stays_flat(redis, stream, tmp_path):
    import tracemalloc

    path = tmp_path / "many"
    path.write_text(text_rows(60_000))

    def peak(rows):
        tracemalloc.start()
        try:
            with path.open("rb") as file:
                Publisher(redis, stream).publish(read for read, _ in zip(read_rows(file), range(rows), strict=False))
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(3_000)
    assert peak(60_000) < 1.5 * peak(6_000)
    redis.delete(stream)


def test_json_output_of_lag_is_json_and_nothing_else(redis_server, stream, redis):
    redis.xadd(stream, {"x": "y"})
    done = subprocess.run(
        [sys.executable, "-m", "include.cli", "interactions", "lag", "--json"],
        env={
            **os.environ,
            "ORGANISM_STREAM": stream,
            # A secret this short makes Airflow print a warning.
            "AIRFLOW_CONN_WAREHOUSE": "postgres://a:b@127.0.0.1:1/x",
            "AIRFLOW_CONN_ORGANISM_NEO4J": "neo4j://a:b@127.0.0.1:1",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    facts = json.loads(done.stdout)
    assert (facts["length"], facts["unread"], facts["watermark"], facts["last_run"]) == (1, 1, None, None)
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 2
