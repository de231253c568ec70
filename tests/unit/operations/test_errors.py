"""Every failure of our stack gets the right class, by type and code only."""

import errno
import json
import os
import pickle
import socket
import ssl
import urllib.error
from datetime import UTC, datetime, timedelta
from email.message import Message

import airflow.sdk.exceptions as airflow_errors
import httpx
import jsonschema
import neo4j.exceptions as neo4j_errors
import psycopg
import psycopg2
import pydantic
import pytest
import redis
import redis.exceptions as redis_errors
import requests
import sqlalchemy.exc
import urllib3.exceptions as urllib3_errors
from hypothesis import given
from hypothesis import strategies as st
from psycopg.errors import FinishedPGconn, lookup
from redis._parsers.base import BaseParser

from include.operations.errors import (
    ErrorClass,
    InputRejected,
    LeaseHeld,
    LeaseLost,
    PipelineError,
    ServerUnsupported,
    classify,
    parse_retry_after,
)

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
AUTH, RATE, NETWORK, DATABASE, VALIDATION, TIMEOUT, UNKNOWN = ErrorClass


def http_error(library, status, headers=None):
    if library == "requests":
        response = requests.Response()
        response.status_code = status
        response.headers.update(headers or {})
        return requests.HTTPError("no", response=response)
    if library == "httpx":
        request = httpx.Request("GET", "http://example.test")
        response = httpx.Response(status, headers=headers, request=request)
        return httpx.HTTPStatusError("no", request=request, response=response)
    message = Message()
    for name, value in (headers or {}).items():
        message[name] = value
    return urllib.error.HTTPError("http://example.test", status, "no", message, None)


def sql_error(state):
    kind = lookup(state)
    return kind("hunter2")


def psycopg2_error(state):
    class Refused(psycopg2.OperationalError):
        pgcode = state

    return Refused("hunter2")


def wrapped_by_sqlalchemy(orig):
    return sqlalchemy.exc.DBAPIError.instance("select 1", {}, orig, psycopg.Error)


def neo4j_error(code):
    return neo4j_errors.Neo4jError._hydrate_neo4j(code=code, message="hunter2")


def redis_reply(line):
    return BaseParser.parse_error(line)


def in_pipeline(error):
    # What redis-py does to the error of one command of a pipeline.
    error.args = (f"Command # 2 (XACK stream group 1-1) of pipeline caused error: {error.args[0]}", *error.args[1:])
    return error


def api_error(kind):
    from airflow.sdk.execution_time.comms import ErrorResponse

    return airflow_errors.AirflowRuntimeError(ErrorResponse(error=kind, detail={"hunter2": "x"}))


def validation_error():
    class Model(pydantic.BaseModel):
        number: int

    try:
        Model(number="hunter2")
    except pydantic.ValidationError as error:
        return error


CASES = [
    # HTTP
    *[(http_error(lib, 401), AUTH, False, "HTTP_401") for lib in ("requests", "httpx", "urllib")],
    *[(http_error(lib, 403), AUTH, False, "HTTP_403") for lib in ("requests", "httpx", "urllib")],
    *[(http_error(lib, 429), RATE, True, "HTTP_429") for lib in ("requests", "httpx", "urllib")],
    (http_error("requests", 400), VALIDATION, False, "HTTP_400"),
    (http_error("httpx", 404), VALIDATION, False, "HTTP_404"),
    (http_error("httpx", 408), TIMEOUT, True, "HTTP_408"),
    (http_error("requests", 409), VALIDATION, False, "HTTP_409"),
    (http_error("httpx", 500), NETWORK, True, "HTTP_500"),
    (http_error("requests", 502), NETWORK, True, "HTTP_502"),
    (http_error("requests", 503), NETWORK, True, "HTTP_503"),
    (http_error("httpx", 504), TIMEOUT, True, "HTTP_504"),
    (http_error("httpx", 301), VALIDATION, False, "HTTP_301"),
    (requests.ReadTimeout("x"), TIMEOUT, True, "ReadTimeout"),
    (requests.ConnectTimeout("x"), TIMEOUT, True, "ConnectTimeout"),
    (requests.ConnectionError("x"), NETWORK, True, "ConnectionError"),
    (requests.exceptions.ChunkedEncodingError("x"), NETWORK, True, "ChunkedEncodingError"),
    (
        requests.ConnectionError(urllib3_errors.ReadTimeoutError(None, "/", "x")),
        TIMEOUT,
        True,
        "ReadTimeoutError",
    ),
    (
        requests.exceptions.SSLError(
            urllib3_errors.MaxRetryError(None, "/", urllib3_errors.SSLError(ssl.SSLCertVerificationError(1, "x")))
        ),
        AUTH,
        False,
        "SSLCertVerificationError",
    ),
    (requests.exceptions.InvalidURL("x"), VALIDATION, False, "InvalidURL"),
    (requests.exceptions.JSONDecodeError("x", "", 0), NETWORK, True, "JSONDecodeError"),
    (httpx.ReadTimeout("x"), TIMEOUT, True, "ReadTimeout"),
    (httpx.RemoteProtocolError("x"), NETWORK, True, "RemoteProtocolError"),
    (httpx.UnsupportedProtocol("x"), VALIDATION, False, "UnsupportedProtocol"),
    (urllib.error.URLError(ConnectionRefusedError(errno.ECONNREFUSED, "x")), NETWORK, True, "ECONNREFUSED"),
    # Operating system
    (ConnectionResetError(errno.ECONNRESET, "x"), NETWORK, True, "ECONNRESET"),
    (BrokenPipeError(errno.EPIPE, "x"), NETWORK, True, "EPIPE"),
    (OSError(errno.EHOSTUNREACH, "x"), NETWORK, True, "EHOSTUNREACH"),
    (TimeoutError("x"), TIMEOUT, True, "TimeoutError"),
    (socket.gaierror(-2, "x"), NETWORK, True, "gaierror"),
    (ssl.SSLError(1, "x"), NETWORK, True, "SSLError"),
    (ssl.SSLCertVerificationError(1, "x"), AUTH, False, "SSLCertVerificationError"),
    (OSError(errno.ENOSPC, "x"), DATABASE, False, "ENOSPC"),
    (FileNotFoundError(errno.ENOENT, "x"), VALIDATION, False, "ENOENT"),
    (PermissionError(errno.EACCES, "x"), AUTH, False, "EACCES"),
    (OSError("connection timed out"), UNKNOWN, True, "OSError"),
    # PostgreSQL
    (sql_error("40001"), DATABASE, True, "40001"),
    (sql_error("40P01"), DATABASE, True, "40P01"),
    (sql_error("53300"), DATABASE, True, "53300"),
    (sql_error("57P01"), DATABASE, True, "57P01"),
    (sql_error("55P03"), DATABASE, True, "55P03"),
    (sql_error("53100"), DATABASE, False, "53100"),
    (sql_error("42P01"), DATABASE, False, "42P01"),
    (sql_error("42501"), AUTH, False, "42501"),
    (sql_error("28P01"), AUTH, False, "28P01"),
    (sql_error("57014"), TIMEOUT, True, "57014"),
    (sql_error("23505"), VALIDATION, False, "23505"),
    (sql_error("22P02"), VALIDATION, False, "22P02"),
    (sql_error("08006"), NETWORK, True, "08006"),
    (psycopg2_error("40P01"), DATABASE, True, "40P01"),
    (psycopg.OperationalError("x"), NETWORK, True, "OperationalError"),
    (psycopg2.OperationalError("x"), NETWORK, True, "OperationalError"),
    (psycopg2.InterfaceError("connection already closed"), NETWORK, True, "InterfaceError"),
    (psycopg.OperationalError("x", pgconn=FinishedPGconn(used_password=True)), AUTH, False, "LOGIN_REFUSED"),
    (psycopg.OperationalError("x", pgconn=FinishedPGconn(needs_password=True)), AUTH, False, "LOGIN_REFUSED"),
    (psycopg.OperationalError("x", pgconn=FinishedPGconn()), NETWORK, True, "OperationalError"),
    (psycopg.errors.ConnectionTimeout("x"), TIMEOUT, True, "ConnectionTimeout"),
    (psycopg.DataError("x"), VALIDATION, False, "DataError"),
    (wrapped_by_sqlalchemy(sql_error("40001")), DATABASE, True, "40001"),
    (wrapped_by_sqlalchemy(sql_error("23503")), VALIDATION, False, "23503"),
    (wrapped_by_sqlalchemy(psycopg.OperationalError("x")), NETWORK, True, "OperationalError"),
    (sqlalchemy.exc.TimeoutError("x"), TIMEOUT, True, "TimeoutError"),
    (sqlalchemy.exc.ArgumentError("x"), DATABASE, False, "ArgumentError"),
    # Redis
    (redis_errors.AuthenticationError("x"), AUTH, False, "AuthenticationError"),
    (redis_errors.ConnectionError("x"), NETWORK, True, "ConnectionError"),
    (redis_errors.TimeoutError("x"), TIMEOUT, True, "TimeoutError"),
    (redis_errors.MaxConnectionsError("x"), NETWORK, True, "MaxConnectionsError"),
    (redis_errors.DataError("x"), VALIDATION, False, "DataError"),
    (redis_reply("NOAUTH Authentication required."), AUTH, False, "NOAUTH"),
    (redis_reply("WRONGPASS invalid username-password pair"), AUTH, False, "WRONGPASS"),
    (redis_reply("NOPERM this user has no permissions"), AUTH, False, "NOPERM"),
    (redis_reply("DENIED Redis is running in protected mode"), AUTH, False, "DENIED"),
    (redis_reply("OOM command not allowed"), DATABASE, True, "OOM"),
    (redis_reply("READONLY You can't write against a read only replica."), DATABASE, True, "READONLY"),
    (redis_reply("LOADING Redis is loading the dataset in memory"), DATABASE, True, "LOADING"),
    (redis_reply("MISCONF Redis is configured to save RDB snapshots"), DATABASE, True, "MISCONF"),
    (redis_reply("NOGROUP No such key"), DATABASE, True, "NOGROUP"),
    (redis_reply("WRONGTYPE Operation against a key"), DATABASE, False, "WRONGTYPE"),
    (redis_reply("ERR unknown command"), DATABASE, False, "ResponseError"),
    (redis_reply("ERR max number of clients reached"), NETWORK, True, "ConnectionError"),
    (in_pipeline(redis_reply("MISCONF errors writing to disk")), DATABASE, True, "MISCONF"),
    (in_pipeline(redis_reply("OOM command not allowed")), DATABASE, True, "OOM"),
    # Neo4j
    (neo4j_errors.ServiceUnavailable("x"), NETWORK, True, "ServiceUnavailable"),
    (neo4j_errors.SessionExpired("x"), NETWORK, True, "SessionExpired"),
    (neo4j_errors.ConnectionAcquisitionTimeoutError("x"), TIMEOUT, True, "ConnectionAcquisitionTimeoutError"),
    (neo4j_errors.ConfigurationError("x"), VALIDATION, False, "ConfigurationError"),
    (neo4j_errors.AuthError("x"), AUTH, False, "AuthError"),
    (neo4j_errors.TransientError("x"), DATABASE, True, "TransientError"),
    (neo4j_errors.ClientError("x"), DATABASE, False, "ClientError"),
    *[
        (neo4j_error(code), error_class, transient, code)
        for code, error_class, transient in [
            ("Neo.ClientError.Security.Unauthorized", AUTH, False),
            ("Neo.ClientError.Security.Forbidden", AUTH, False),
            ("Neo.ClientError.Security.AuthenticationRateLimit", AUTH, False),
            ("Neo.ClientError.Schema.ConstraintValidationFailed", VALIDATION, False),
            ("Neo.ClientError.Statement.SyntaxError", DATABASE, False),
            ("Neo.ClientError.Database.DatabaseNotFound", DATABASE, False),
            ("Neo.ClientError.Transaction.TransactionTimedOut", TIMEOUT, True),
            ("Neo.ClientError.Cluster.NotALeader", DATABASE, True),
            ("Neo.TransientError.Transaction.DeadlockDetected", DATABASE, True),
            ("Neo.TransientError.General.MemoryPoolOutOfMemoryError", DATABASE, True),
            ("Neo.TransientError.Transaction.Terminated", DATABASE, True),
            ("Neo.DatabaseError.Transaction.TransactionCommitFailed", DATABASE, True),
        ]
        # The driver renames some transient codes on their way in.
        if code != "Neo.TransientError.Transaction.Terminated"
    ],
    (
        neo4j_error("Neo.TransientError.Transaction.Terminated"),
        DATABASE,
        True,
        "Neo.ClientError.Transaction.Terminated",
    ),
    # Airflow
    (airflow_errors.AirflowTaskTimeout("x"), TIMEOUT, True, "AirflowTaskTimeout"),
    (airflow_errors.AirflowNotFoundException("x"), VALIDATION, False, "AirflowNotFoundException"),
    (airflow_errors.ParamValidationError("x"), VALIDATION, False, "ParamValidationError"),
    (airflow_errors.AirflowFailException("x"), UNKNOWN, False, "AirflowFailException"),
    (airflow_errors.AirflowException("x"), UNKNOWN, True, "AirflowException"),
    (api_error(airflow_errors.ErrorType.CONNECTION_NOT_FOUND), VALIDATION, False, "CONNECTION_NOT_FOUND"),
    (api_error(airflow_errors.ErrorType.PERMISSION_DENIED), AUTH, False, "PERMISSION_DENIED"),
    (api_error(airflow_errors.ErrorType.API_SERVER_ERROR), NETWORK, True, "API_SERVER_ERROR"),
    (api_error(airflow_errors.ErrorType.GENERIC_ERROR), UNKNOWN, True, "AirflowRuntimeError"),
    # Schemas and formats
    (jsonschema.ValidationError("x"), VALIDATION, False, "ValidationError"),
    (validation_error(), VALIDATION, False, "ValidationError"),
    (json.JSONDecodeError("x", "", 0), VALIDATION, False, "JSONDecodeError"),
    (UnicodeDecodeError("utf-8", b"", 0, 1, "x"), VALIDATION, False, "UnicodeDecodeError"),
    # Ours
    (InputRejected("x", what_to_do="y"), VALIDATION, False, "INPUT_REJECTED"),
    (LeaseLost("x", what_to_do="y"), VALIDATION, False, "LEASE_LOST"),
    (LeaseHeld("x", what_to_do="y"), DATABASE, True, "LEASE_HELD"),
    (ServerUnsupported("x", what_to_do="y"), DATABASE, False, "SERVER_UNSUPPORTED"),
    # Nothing known
    (ZeroDivisionError("x"), UNKNOWN, True, "ZeroDivisionError"),
    (ValueError("authentication failed, rate limit, timeout, deadlock"), UNKNOWN, True, "ValueError"),
    (KeyboardInterrupt(), UNKNOWN, True, "KeyboardInterrupt"),
]


@pytest.mark.parametrize(("error", "error_class", "transient", "code"), CASES, ids=lambda value: str(value)[:40])
def test_class_and_code(error, error_class, transient, code):
    found = classify(error)
    assert (found.error_class, found.transient, found.code) == (error_class, transient, code)


@pytest.mark.parametrize("error", [case[0] for case in CASES], ids=lambda error: type(error).__name__)
def test_no_message_text_leaves(error):
    found = classify(error)
    assert "hunter2" not in repr(found)
    assert len(found.fingerprint) == 12


def refused_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


@pytest.mark.parametrize(
    "attempt",
    [
        lambda port: redis.Redis(port=port, retry=None).ping(),
        lambda port: httpx.get(f"http://127.0.0.1:{port}"),
        lambda port: requests.get(f"http://127.0.0.1:{port}", timeout=1),
        lambda port: psycopg.connect(f"host=127.0.0.1 port={port} connect_timeout=1"),
        lambda port: psycopg2.connect(f"host=127.0.0.1 port={port} connect_timeout=1"),
        lambda port: sqlalchemy.create_engine(f"postgresql+psycopg://x@127.0.0.1:{port}/x").connect(),
    ],
    ids=["redis", "httpx", "requests", "psycopg", "psycopg2", "sqlalchemy"],
)
def test_a_refused_connection_of_each_client_is_network(attempt):
    with pytest.raises(Exception) as caught:  # noqa: PT011 - each client raises its own class; that is the point
        attempt(refused_port())
    found = classify(caught.value)
    assert (found.error_class, found.transient) == (NETWORK, True)


def test_neo4j_refused_connection_is_network():
    from neo4j import GraphDatabase

    with (
        GraphDatabase.driver(f"bolt://127.0.0.1:{refused_port()}") as driver,
        pytest.raises(neo4j_errors.ServiceUnavailable) as caught,
    ):
        driver.verify_connectivity()
    assert classify(caught.value).error_class is NETWORK


def raised(outer, inner, *, how):
    try:
        try:
            raise inner  # noqa: TRY301 - raised here to be the context
        except BaseException as error:
            if how == "cause":
                raise outer from error
            if how == "hidden":
                raise outer from None
            raise outer  # noqa: B904 - the context is what is tested
    except BaseException as error:  # noqa: BLE001 - any class goes through here
        return error


class TestChains:
    @pytest.mark.parametrize("how", ["cause", "context"])
    def test_an_unknown_wrapper_takes_the_class_of_what_it_wraps(self, how):
        found = classify(raised(RuntimeError("x"), redis_errors.TimeoutError("y"), how=how))
        assert (found.error_class, found.exception) == (TIMEOUT, "redis.exceptions.TimeoutError")

    def test_two_wrappers_deep(self):
        inner = raised(airflow_errors.AirflowException("x"), sql_error("40P01"), how="cause")
        assert classify(raised(RuntimeError("y"), inner, how="context")).code == "40P01"

    def test_the_outermost_known_error_decides(self):
        error = raised(InputRejected("x", what_to_do="y"), json.JSONDecodeError("x", "", 0), how="cause")
        assert classify(error).code == "INPUT_REJECTED"

    def test_a_hidden_context_stays_hidden(self):
        assert classify(raised(RuntimeError("x"), TimeoutError("y"), how="hidden")).error_class is UNKNOWN

    def test_a_connection_error_in_the_handler_of_a_bad_row_is_a_connection_error(self):
        error = raised(redis_errors.ConnectionError("x"), jsonschema.ValidationError("y"), how="context")
        assert classify(error).error_class is NETWORK

    def test_the_oserror_behind_a_connection_error_gives_the_code(self):
        error = raised(redis_errors.ConnectionError("x"), OSError(errno.ECONNREFUSED, "y"), how="context")
        assert classify(error).code == "ECONNREFUSED"

    def test_fail_exception_takes_the_class_of_its_cause_and_is_final(self):
        found = classify(raised(airflow_errors.AirflowFailException("x"), httpx.ReadTimeout("y"), how="cause"))
        assert (found.error_class, found.transient) == (TIMEOUT, False)

    def test_a_chain_in_a_circle_ends(self):
        first, second = RuntimeError("a"), RuntimeError("b")
        first.__cause__, second.__cause__ = second, first
        assert classify(first).error_class is UNKNOWN

    def test_a_very_long_chain_ends(self):
        error = RuntimeError("bottom")
        for _ in range(5000):
            outer = RuntimeError("x")
            outer.__cause__ = error
            error = outer
        assert classify(error).error_class is UNKNOWN


class TestGroups:
    def test_a_permanent_member_decides(self):
        group = ExceptionGroup("g", [ConnectionResetError(), InputRejected("x", what_to_do="y"), TimeoutError()])
        assert classify(group).error_class is VALIDATION

    def test_an_unknown_member_comes_before_transient_ones(self):
        assert classify(ExceptionGroup("g", [ConnectionResetError(), ZeroDivisionError()])).error_class is UNKNOWN

    def test_nested_and_wrapped(self):
        group = ExceptionGroup("g", [ExceptionGroup("h", [raised(RuntimeError("x"), TimeoutError(), how="cause")])])
        assert classify(group).error_class is TIMEOUT


class TestRetryAfter:
    @pytest.mark.parametrize("library", ["requests", "httpx", "urllib"])
    def test_seconds_from_each_client(self, library):
        assert classify(http_error(library, 429, {"Retry-After": "17"})).retry_after == timedelta(seconds=17)

    def test_date(self):
        header = {"Retry-After": "Thu, 01 Jan 2026 12:00:30 GMT"}
        assert classify(http_error("httpx", 503, header), now=NOW).retry_after == timedelta(seconds=30)

    @pytest.mark.parametrize(
        ("value", "seconds"),
        [
            ("0", 0),
            (" 5 ", 5),
            ("1.5", 1.5),
            ("Thu, 01 Jan 2026 11:00:00 GMT", 0),
            ("Thu, 01 Jan 2026 12:00:10", 10),
            ("-1", None),
            ("soon", None),
            ("", None),
            (None, None),
            ("9" * 400, None),
            ("nan", None),
        ],
    )
    def test_parse(self, value, seconds):
        expected = None if seconds is None else timedelta(seconds=seconds)
        assert parse_retry_after(value, NOW) == expected

    @given(st.text())
    def test_any_header_is_read_or_ignored(self, value):
        found = parse_retry_after(value, NOW)
        assert found is None or found >= timedelta(0)

    def test_a_lease_says_when_it_ends(self):
        wait = timedelta(seconds=8)
        assert classify(LeaseHeld("x", what_to_do="y", retry_after=wait)).retry_after == wait


class TestOddThings:
    @pytest.mark.parametrize("thing", [None, "a string", 7, ValueError])
    def test_what_is_no_exception_is_unknown(self, thing):
        assert classify(thing).error_class is UNKNOWN

    def test_hostile_attributes(self):
        class Hostile(requests.RequestException):
            def __getattribute__(self, name):
                if name in {"response", "code", "headers", "errno"}:
                    raise RuntimeError(name)
                return super().__getattribute__(name)

        assert classify(Hostile("x")).error_class is NETWORK

    @given(st.one_of(st.none(), st.integers(), st.text(), st.binary(), st.lists(st.text())))
    def test_codes_of_the_wrong_kind(self, value):
        class Odd(psycopg.Error):
            sqlstate = value

        assert classify(Odd("x")).error_class in set(ErrorClass)

    def test_httpx_request_property_raises_without_request(self):
        assert classify(httpx.ConnectError("x")).error_class is NETWORK


class TestFingerprint:
    def test_same_place_same_kind(self):
        def fail(text):
            with pytest.raises(ValueError, match=text) as caught:
                raise ValueError(text)
            return classify(caught.value)

        assert fail("alice").fingerprint == fail("bob").fingerprint

    def test_another_kind_differs(self):
        assert classify(sql_error("40001")).fingerprint != classify(sql_error("40P01")).fingerprint

    def test_a_wrapper_differs_from_the_bare_error(self):
        bare = TimeoutError("x")
        assert classify(bare).fingerprint != classify(raised(RuntimeError("y"), bare, how="cause")).fingerprint


class TestPipelineErrors:
    @pytest.mark.parametrize("kind", [PipelineError, InputRejected, LeaseLost, LeaseHeld, ServerUnsupported])
    def test_survives_another_process(self, kind):
        error = pickle.loads(pickle.dumps(kind("m", what_to_do="w", retry_after=timedelta(1))))  # noqa: S301 - own
        assert (type(error), error.args, error.what_to_do, error.retry_after) == (kind, ("m",), "w", timedelta(1))

    def test_says_what_to_do(self):
        error = InputRejected("row 3 has no id.", what_to_do="Add it.")
        assert str(error) == "row 3 has no id. What to do: Add it."
        assert classify(error).what_to_do == "Add it."


def test_nothing_heavy_is_imported(tmp_path):
    import subprocess
    import sys

    code = "import sys, include.operations.errors; print(sorted(set(sys.modules) & set(sys.argv[1:])))"
    heavy = ["redis", "neo4j", "psycopg", "psycopg2", "sqlalchemy", "requests", "httpx", "airflow", "pydantic"]
    env = {**os.environ, "PYTHONPATH": os.getcwd()}  # noqa: PTH109 - text for the environment
    result = subprocess.run([sys.executable, "-c", code, *heavy], capture_output=True, text=True, env=env, check=True)
    assert result.stdout.strip() == "[]"
