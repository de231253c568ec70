"""What the real servers answer when they refuse: each gets its class, without a look at the words."""

import neo4j
import psycopg
import pytest
import redis
import sqlalchemy
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from include.operations.errors import ErrorClass, classify

pytestmark = pytest.mark.servers

AUTH, RATE, NETWORK, DATABASE, VALIDATION, TIMEOUT, UNKNOWN = ErrorClass


def verdict(action):
    with pytest.raises(Exception) as caught:  # noqa: PT011 - the class of the error is what is examined
        action()
    found = classify(caught.value)
    return found.error_class, found.transient, found.code


class TestPostgres:
    @pytest.fixture
    def connect(self, postgres_server):
        given = conninfo_to_dict(postgres_server.url)

        def connect(**changes):
            return psycopg.connect(make_conninfo(**{**given, **changes}), autocommit=True)

        return connect

    def test_wrong_password(self, connect):
        assert verdict(lambda: connect(password="wrong")) == (AUTH, False, "LOGIN_REFUSED")

    def test_wrong_password_through_sqlalchemy(self, postgres_server):
        url = sqlalchemy.make_url(postgres_server.url).set(drivername="postgresql+psycopg", password="wrong")
        engine = sqlalchemy.create_engine(url)
        assert verdict(engine.connect) == (AUTH, False, "LOGIN_REFUSED")

    @pytest.mark.parametrize(
        ("statement", "expected"),
        [
            ("select * from nowhere", (DATABASE, False, "42P01")),
            ("select 1/0", (VALIDATION, False, "22012")),
            ("select 'x'::int", (VALIDATION, False, "22P02")),
            ("set statement_timeout = '50ms'; select pg_sleep(5)", (TIMEOUT, True, "57014")),
            ("select pg_read_file('postgresql.conf')", (AUTH, False, "42501")),
            ("set transaction read only; create table t()", (DATABASE, True, "25006")),
        ],
    )
    def test_statements(self, connect, statement, expected):
        with connect() as connection:
            assert verdict(lambda: connection.execute(statement)) == expected

    def test_a_connection_the_server_ended(self, connect, postgres_server):
        with connect() as connection, psycopg.connect(postgres_server.admin_url, autocommit=True) as admin:
            admin.execute("select pg_terminate_backend(%s)", [connection.info.backend_pid])
            error_class, transient, _ = verdict(lambda: connection.execute("select 1"))
            assert (error_class, transient) in {(DATABASE, True), (NETWORK, True)}
            # And from then on, by a client that does not know yet.
            assert verdict(lambda: connection.execute("select 1"))[:2] == (NETWORK, True)

    def test_two_that_wait_for_each_other(self, connect):
        import threading

        with connect() as first, connect() as second:
            first.execute("create table if not exists deadlock_test as select generate_series(1, 2) as id")
            update = "update deadlock_test set id = id where id = %s"
            found = []

            def cross(connection, one, other, barrier):
                try:
                    with connection.transaction():
                        connection.execute(update, [one])
                        barrier.wait()
                        connection.execute(update, [other])
                except psycopg.Error as error:
                    found.append(classify(error))

            barrier = threading.Barrier(2)
            threads = [
                threading.Thread(target=cross, args=(first, 1, 2, barrier)),
                threading.Thread(target=cross, args=(second, 2, 1, barrier)),
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            first.execute("drop table deadlock_test")
        assert [(each.error_class, each.transient, each.code) for each in found] == [(DATABASE, True, "40P01")]


class TestRedis:
    @pytest.fixture
    def client(self, redis_server):
        with redis.Redis.from_url(redis_server.url) as client:
            yield client

    @pytest.fixture
    def settings(self, client):
        """Change the server's settings for one test."""
        before = {}

        def change(name, value):
            before.update(client.config_get(name))
            client.config_set(name, value)

        yield change
        for name, value in before.items():
            client.config_set(name, value)

    def test_wrong_password(self, client):
        given = {**client.connection_pool.connection_kwargs, "password": "wrong"}
        given = {key: given[key] for key in ("host", "port", "password")}
        assert verdict(redis.Redis(**given).ping)[:2] == (AUTH, False)

    def test_no_password(self, client):
        given = client.connection_pool.connection_kwargs
        plain = redis.Redis(host=given["host"], port=given["port"])
        assert verdict(plain.ping)[:2] == (AUTH, False)

    def test_out_of_memory_alone_and_in_a_pipeline(self, client, settings):
        settings("maxmemory", "1")
        assert verdict(lambda: client.set("k", "v")) == (DATABASE, True, "OOM")
        pipeline = client.pipeline(transaction=False).set("k", "v")
        assert verdict(pipeline.execute) == (DATABASE, True, "OOM")

    def test_no_group(self, client):
        client.xadd("errors:test", {"a": "b"})
        try:
            read = lambda: client.xreadgroup("g", "c", {"errors:test": ">"})  # noqa: E731 - two ways to call it follow
            assert verdict(read) == (DATABASE, True, "NOGROUP")
            pipeline = client.pipeline(transaction=False).xreadgroup("g", "c", {"errors:test": ">"})
            assert verdict(pipeline.execute) == (DATABASE, True, "NOGROUP")
        finally:
            client.delete("errors:test")

    def test_wrong_type(self, client):
        client.set("errors:text", "x", ex=60)
        assert verdict(lambda: client.xlen("errors:text")) == (DATABASE, False, "WRONGTYPE")

    def test_a_reply_that_does_not_come(self, client):
        given = {key: client.connection_pool.connection_kwargs[key] for key in ("host", "port", "password")}
        impatient = redis.Redis(**given, socket_timeout=0.1, retry=None)
        found = verdict(lambda: impatient.blpop(["errors:nothing"], timeout=3))
        assert found[:2] == (TIMEOUT, True)


class TestNeo4j:
    @pytest.fixture
    def driver(self, neo4j_server):
        with neo4j.GraphDatabase.driver(neo4j_server.uri, auth=neo4j_server.auth) as driver:
            yield driver

    def test_wrong_password(self, neo4j_server):
        with neo4j.GraphDatabase.driver(neo4j_server.uri, auth=("neo4j", "wrong-password")) as driver:
            assert verdict(driver.verify_connectivity) == (AUTH, False, "Neo.ClientError.Security.Unauthorized")

    def test_syntax(self, driver):
        expected = (DATABASE, False, "Neo.ClientError.Statement.SyntaxError")
        assert verdict(lambda: driver.execute_query("MATCH")) == expected

    def test_constraint(self, driver):
        driver.execute_query("CREATE CONSTRAINT errors_test IF NOT EXISTS FOR (n:ErrorsTest) REQUIRE n.id IS UNIQUE")
        try:
            expected = (VALIDATION, False, "Neo.ClientError.Schema.ConstraintValidationFailed")
            assert verdict(lambda: driver.execute_query("UNWIND [1, 1] AS i CREATE (:ErrorsTest {id: i})")) == expected
        finally:
            driver.execute_query("DROP CONSTRAINT errors_test")

    def test_time_limit(self, driver):
        def run():
            with driver.session() as session, session.begin_transaction(timeout=0.3) as transaction:
                transaction.run("UNWIND range(1, 100000000) AS i RETURN sum(i * i)").consume()

        assert verdict(run)[:2] == (TIMEOUT, True)
