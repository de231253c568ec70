"""The tables behind `classify`: which exception, status or code belongs to which error class.

Classes of libraries are named by their dotted name and looked up along an exception's method resolution order, so
that nothing here imports a driver: a DAG file that imports the retry policy stays cheap to parse.
"""

from __future__ import annotations

import errno
from enum import StrEnum
from typing import Final, NamedTuple


class ErrorClass(StrEnum):
    """The seven classes every failure of the system is sorted into."""

    AUTH = "AUTH"
    RATE_LIMIT = "RATE_LIMIT"
    NETWORK = "NETWORK"
    DATABASE = "DATABASE"
    VALIDATION = "VALIDATION"
    TIMEOUT = "TIMEOUT"
    UNKNOWN = "UNKNOWN"


class Verdict(NamedTuple):
    """An error class, and whether trying again can help."""

    error_class: ErrorClass
    transient: bool


class Rule(NamedTuple):
    """How to judge an exception class.

    `reader` names the function that reads a code from the exception; `verdict` holds when there is no such code.
    `inner` names the attribute in which the class carries the error it wraps. With `refine` the wrapped error's
    verdict, when there is one, is the better one: a refused certificate inside a connection error.
    """

    verdict: Verdict | None
    reader: str = ""
    inner: str = ""
    refine: bool = False


AUTH: Final = Verdict(ErrorClass.AUTH, transient=False)
RATE_LIMIT: Final = Verdict(ErrorClass.RATE_LIMIT, transient=True)
# Waiting helps, but not within a run.
DAILY_LIMIT: Final = Verdict(ErrorClass.RATE_LIMIT, transient=False)
NETWORK: Final = Verdict(ErrorClass.NETWORK, transient=True)
TIMEOUT: Final = Verdict(ErrorClass.TIMEOUT, transient=True)
DATABASE: Final = Verdict(ErrorClass.DATABASE, transient=True)
DATABASE_FOR_GOOD: Final = Verdict(ErrorClass.DATABASE, transient=False)
VALIDATION: Final = Verdict(ErrorClass.VALIDATION, transient=False)
UNKNOWN: Final = Verdict(ErrorClass.UNKNOWN, transient=True)

# --- HTTP -----------------------------------------------------------------------
HTTP_STATUS: Final[dict[int, Verdict]] = {
    401: AUTH,
    403: AUTH,
    407: AUTH,
    408: TIMEOUT,
    425: NETWORK,
    429: RATE_LIMIT,
    500: NETWORK,
    501: VALIDATION,
    502: NETWORK,
    503: NETWORK,
    504: TIMEOUT,
    505: VALIDATION,
}
# Redirects nobody followed and refused requests stay refused; a failing server may recover.
HTTP_HUNDREDS: Final[dict[int, Verdict]] = {3: VALIDATION, 4: VALIDATION, 5: NETWORK}

# --- PostgreSQL: exact SQLSTATE, then its class (first two characters) -----------
SQLSTATE: Final[dict[str, Verdict]] = {
    "25006": DATABASE,  # read_only_sql_transaction: the server became a standby
    "25P03": TIMEOUT,  # idle_in_transaction_session_timeout
    "25P04": TIMEOUT,  # transaction_timeout
    "40002": VALIDATION,  # the deferred constraint check refused the data
    "42501": AUTH,  # insufficient_privilege
    "53100": DATABASE_FOR_GOOD,  # disk_full: waiting seconds frees no disk, a human must
    "53400": DATABASE_FOR_GOOD,  # configuration_limit_exceeded
    "55P03": DATABASE,  # lock_not_available
    "55006": DATABASE,  # object_in_use
    "57014": TIMEOUT,  # query_canceled: statement_timeout
    "57P04": DATABASE_FOR_GOOD,  # database_dropped
    "57P05": TIMEOUT,  # idle_session_timeout
}
SQLSTATE_CLASS: Final[dict[str, Verdict]] = {
    "08": NETWORK,  # connection exceptions
    "22": VALIDATION,  # data exceptions
    "23": VALIDATION,  # integrity constraints
    "28": AUTH,
    "40": DATABASE,  # serialization_failure, deadlock_detected
    "53": DATABASE,  # too_many_connections, out_of_memory
    "57": DATABASE,  # shut down by an administrator, still starting
}

# --- Neo4j: exact status code, then the longest matching prefix ------------------
NEO4J_CODE: Final[dict[str, Verdict]] = {
    "Neo.ClientError.Schema.ConstraintValidationFailed": VALIDATION,
    "Neo.ClientError.Transaction.TransactionTimedOut": TIMEOUT,
    "Neo.ClientError.Transaction.TransactionTimedOutClientConfiguration": TIMEOUT,
    "Neo.ClientError.Transaction.Terminated": DATABASE,
    "Neo.ClientError.Transaction.LockClientStopped": DATABASE,
    "Neo.ClientError.Cluster.NotALeader": DATABASE,
    "Neo.ClientError.General.ForbiddenOnReadOnlyDatabase": DATABASE,
}
NEO4J_PREFIX: Final[dict[str, Verdict]] = {
    "Neo.ClientError.Security.": AUTH,
    "Neo.ClientError.": DATABASE_FOR_GOOD,
    "Neo.TransientError.": DATABASE,
    "Neo.DatabaseError.": DATABASE,
}
# What the driver writes in when the server sent no code; it says nothing.
NEO4J_NO_CODE: Final = "Neo.DatabaseError.General.UnknownError"

# --- Redis: the code word that begins an error reply ------------------------------
REDIS_CODE: Final[dict[str, Verdict]] = {
    "NOAUTH": AUTH,
    "WRONGPASS": AUTH,
    "NOPERM": AUTH,
    "DENIED": AUTH,  # protected mode
    "OOM": DATABASE,
    "READONLY": DATABASE,
    "LOADING": DATABASE,
    "MISCONF": DATABASE,
    "BUSY": DATABASE,
    "NOREPLICAS": DATABASE,
    "MASTERDOWN": DATABASE,
    "CLUSTERDOWN": DATABASE,
    "TRYAGAIN": DATABASE,
    "NOGROUP": DATABASE,  # the reader makes the group anew, so the next try finds it
    "BUSYGROUP": DATABASE_FOR_GOOD,
    "WRONGTYPE": DATABASE_FOR_GOOD,
    "EXECABORT": DATABASE_FOR_GOOD,
    "CROSSSLOT": DATABASE_FOR_GOOD,
    "NOPROTO": DATABASE_FOR_GOOD,
}

# --- operating system -------------------------------------------------------------
ERRNO: Final[dict[int, Verdict]] = {
    **dict.fromkeys(
        (
            errno.ECONNREFUSED,
            errno.ECONNRESET,
            errno.ECONNABORTED,
            errno.EPIPE,
            errno.ENOTCONN,
            errno.ESHUTDOWN,
            errno.ENETDOWN,
            errno.ENETUNREACH,
            errno.ENETRESET,
            errno.EHOSTDOWN,
            errno.EHOSTUNREACH,
            errno.EADDRNOTAVAIL,
        ),
        NETWORK,
    ),
    errno.ETIMEDOUT: TIMEOUT,
    **dict.fromkeys((errno.EACCES, errno.EPERM), AUTH),
    **dict.fromkeys((errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG), VALIDATION),
    # A full disk is the storage's failure, and like SQLSTATE 53100 it needs a human.
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EROFS), DATABASE_FOR_GOOD),
}

# --- Airflow's task SDK: error types of its API -------------------------------------
AIRFLOW_API: Final[dict[str, Verdict]] = {
    "CONNECTION_NOT_FOUND": VALIDATION,
    "VARIABLE_NOT_FOUND": VALIDATION,
    "XCOM_NOT_FOUND": VALIDATION,
    "ASSET_NOT_FOUND": VALIDATION,
    "DAGRUN_ALREADY_EXISTS": VALIDATION,
    "PERMISSION_DENIED": AUTH,
    "API_SERVER_ERROR": NETWORK,
}

# --- exception classes --------------------------------------------------------------
RULES: Final[dict[str, Rule]] = {
    # Python
    "builtins.TimeoutError": Rule(TIMEOUT, reader="errno"),
    "builtins.ConnectionError": Rule(NETWORK, reader="errno"),
    "builtins.OSError": Rule(None, reader="errno"),
    "builtins.UnicodeError": Rule(VALIDATION),
    "json.decoder.JSONDecodeError": Rule(VALIDATION),
    "_csv.Error": Rule(VALIDATION),
    "socket.gaierror": Rule(NETWORK),
    "socket.herror": Rule(NETWORK),
    "ssl.SSLCertVerificationError": Rule(AUTH),
    "ssl.SSLError": Rule(NETWORK),
    "subprocess.TimeoutExpired": Rule(TIMEOUT),
    "multiprocessing.context.TimeoutError": Rule(TIMEOUT),
    "urllib.error.HTTPError": Rule(NETWORK, reader="http"),
    "urllib.error.URLError": Rule(NETWORK, inner="reason", refine=True),
    "http.client.InvalidURL": Rule(VALIDATION),
    "http.client.HTTPException": Rule(NETWORK),
    # HTTP clients
    "requests.exceptions.HTTPError": Rule(NETWORK, reader="http"),
    "requests.exceptions.ConnectTimeout": Rule(TIMEOUT),
    "requests.exceptions.Timeout": Rule(TIMEOUT),
    "requests.exceptions.ConnectionError": Rule(NETWORK, inner="args", refine=True),
    # An answer that is not JSON comes from a proxy or a maintenance page in front of the service.
    "requests.exceptions.JSONDecodeError": Rule(NETWORK),
    "requests.exceptions.InvalidJSONError": Rule(VALIDATION),
    "requests.exceptions.InvalidURL": Rule(VALIDATION),
    "requests.exceptions.InvalidHeader": Rule(VALIDATION),
    "requests.exceptions.InvalidSchema": Rule(VALIDATION),
    "requests.exceptions.MissingSchema": Rule(VALIDATION),
    "requests.exceptions.URLRequired": Rule(VALIDATION),
    "requests.exceptions.TooManyRedirects": Rule(VALIDATION),
    "requests.exceptions.RequestException": Rule(NETWORK, reader="http"),
    "httpx.HTTPStatusError": Rule(NETWORK, reader="http"),
    "httpx.TimeoutException": Rule(TIMEOUT),
    "httpx.ConnectError": Rule(NETWORK, refine=True),
    "httpx.LocalProtocolError": Rule(VALIDATION),
    "httpx.UnsupportedProtocol": Rule(VALIDATION),
    "httpx.TooManyRedirects": Rule(VALIDATION),
    "httpx.InvalidURL": Rule(VALIDATION),
    "httpx.RequestError": Rule(NETWORK),
    "httpcore.TimeoutException": Rule(TIMEOUT),
    "httpcore.ConnectError": Rule(NETWORK, refine=True),
    "httpcore.NetworkError": Rule(NETWORK),
    "httpcore.RemoteProtocolError": Rule(NETWORK),
    "urllib3.exceptions.NewConnectionError": Rule(NETWORK, refine=True),
    "urllib3.exceptions.TimeoutError": Rule(TIMEOUT),
    "urllib3.exceptions.MaxRetryError": Rule(NETWORK, inner="reason", refine=True),
    "urllib3.exceptions.SSLError": Rule(NETWORK, inner="args", refine=True),
    "urllib3.exceptions.LocationValueError": Rule(VALIDATION),
    "urllib3.exceptions.HTTPError": Rule(NETWORK),
    "aiohttp.client_exceptions.ClientResponseError": Rule(NETWORK, reader="http"),
    "aiohttp.client_exceptions.TooManyRedirects": Rule(VALIDATION),
    "aiohttp.client_exceptions.ClientConnectorCertificateError": Rule(AUTH),
    "aiohttp.client_exceptions.ClientConnectorError": Rule(NETWORK, reader="errno", refine=True),
    "aiohttp.client_exceptions.ServerTimeoutError": Rule(TIMEOUT),
    "aiohttp.client_exceptions.InvalidURL": Rule(VALIDATION),
    "aiohttp.client_exceptions.NonHttpUrlClientError": Rule(VALIDATION),
    "aiohttp.client_exceptions.ClientError": Rule(NETWORK, reader="errno"),
    "httplib2.error.RedirectLimit": Rule(VALIDATION),
    "httplib2.error.RedirectMissingLocation": Rule(VALIDATION),
    "httplib2.error.RelativeURIError": Rule(VALIDATION),
    "httplib2.error.HttpLib2Error": Rule(NETWORK),
    # Salesforce
    "include.vms.salesforce.errors.SalesforceFailed": Rule(VALIDATION, reader="salesforce"),
    "include.vms.salesforce.errors.Unreachable": Rule(NETWORK, refine=True),
    "simple_salesforce.exceptions.SalesforceAuthenticationFailed": Rule(AUTH, reader="salesforce"),
    "simple_salesforce.exceptions.SalesforceError": Rule(VALIDATION, reader="salesforce"),
    # A bulk job that failed on their side; a wrong query is refused before.
    "simple_salesforce.exceptions.SalesforceOperationError": Rule(NETWORK, refine=True),
    # Google
    "googleapiclient.errors.HttpError": Rule(NETWORK, reader="google"),
    "googleapiclient.errors.InvalidJsonError": Rule(NETWORK),
    "googleapiclient.errors.Error": Rule(VALIDATION),
    "google.api_core.exceptions.RetryError": Rule(TIMEOUT, inner="_cause", refine=True),
    "google.api_core.exceptions.GoogleAPICallError": Rule(NETWORK, reader="http"),
    "google.auth.exceptions.TransportError": Rule(NETWORK, inner="args", refine=True),
    "google.auth.exceptions.TimeoutError": Rule(TIMEOUT),
    "google.auth.exceptions.ResponseError": Rule(NETWORK),
    "google.auth.exceptions.GoogleAuthError": Rule(AUTH, reader="google_auth"),
    # Slack
    "slack_sdk.errors.SlackApiError": Rule(NETWORK, reader="slack"),
    "slack_sdk.errors.SlackTokenRotationError": Rule(AUTH, inner="api_error", refine=True),
    "slack_sdk.errors.BotUserAccessError": Rule(AUTH),
    "slack_sdk.errors.SlackClientNotConnectedError": Rule(NETWORK),
    "slack_sdk.errors.SlackClientError": Rule(VALIDATION),
    # Mail and Sentry
    "smtplib.SMTPNotSupportedError": Rule(VALIDATION),
    "smtplib.SMTPException": Rule(NETWORK, reader="smtp"),
    "sentry_sdk.utils.BadDsn": Rule(VALIDATION),
    # Redis
    "redis.exceptions.AuthenticationError": Rule(AUTH, reader="redis"),
    "redis.exceptions.AuthorizationError": Rule(AUTH, reader="redis"),
    "redis.exceptions.AuthenticationWrongNumberOfArgsError": Rule(AUTH),
    "redis.exceptions.NoPermissionError": Rule(AUTH, reader="redis"),
    "redis.exceptions.TimeoutError": Rule(TIMEOUT),
    "redis.exceptions.BusyLoadingError": Rule(DATABASE, reader="redis"),
    "redis.exceptions.ConnectionError": Rule(NETWORK, reader="redis", refine=True),
    "redis.exceptions.OutOfMemoryError": Rule(DATABASE, reader="redis"),
    "redis.exceptions.ReadOnlyError": Rule(DATABASE, reader="redis"),
    "redis.exceptions.ClusterError": Rule(DATABASE, reader="redis"),
    "redis.exceptions.TryAgainError": Rule(DATABASE, reader="redis"),
    "redis.exceptions.WatchError": Rule(DATABASE),
    "redis.exceptions.LockError": Rule(DATABASE),
    "redis.exceptions.InvalidResponse": Rule(NETWORK),
    "redis.exceptions.DataError": Rule(VALIDATION),
    "redis.exceptions.RedisError": Rule(DATABASE_FOR_GOOD, reader="redis"),
    "redis.exceptions.RedisClusterException": Rule(NETWORK),
    # Neo4j
    "neo4j.exceptions.AuthError": Rule(AUTH, reader="neo4j"),
    "neo4j.exceptions.Forbidden": Rule(AUTH, reader="neo4j"),
    "neo4j.exceptions.ConstraintError": Rule(VALIDATION, reader="neo4j"),
    "neo4j.exceptions.TransientError": Rule(DATABASE, reader="neo4j"),
    "neo4j.exceptions.DatabaseError": Rule(DATABASE, reader="neo4j"),
    "neo4j.exceptions.Neo4jError": Rule(DATABASE_FOR_GOOD, reader="neo4j"),
    "neo4j.exceptions.ServiceUnavailable": Rule(NETWORK, refine=True),
    "neo4j.exceptions.SessionExpired": Rule(NETWORK, refine=True),
    "neo4j.exceptions.ConnectionAcquisitionTimeoutError": Rule(TIMEOUT),
    "neo4j.exceptions.UnsupportedServerProduct": Rule(DATABASE_FOR_GOOD),
    "neo4j.exceptions.ConfigurationError": Rule(VALIDATION),
    "neo4j._exceptions.BoltError": Rule(NETWORK, refine=True),
    # PostgreSQL and what sits on it
    "psycopg.errors.ConnectionTimeout": Rule(TIMEOUT, reader="sqlstate"),
    **{
        f"{driver}.{name}": Rule(verdict, reader="sqlstate", refine=verdict is NETWORK)
        for driver in ("psycopg", "psycopg2")
        for name, verdict in (
            # Without a SQLSTATE the server was not reached, or it went away.
            ("OperationalError", NETWORK),
            ("InterfaceError", NETWORK),
            ("DataError", VALIDATION),
            ("IntegrityError", VALIDATION),
            ("Error", DATABASE_FOR_GOOD),
        )
    },
    "sqlalchemy.exc.TimeoutError": Rule(TIMEOUT),
    "sqlalchemy.exc.DataError": Rule(VALIDATION, inner="orig", refine=True),
    "sqlalchemy.exc.IntegrityError": Rule(VALIDATION, inner="orig", refine=True),
    "sqlalchemy.exc.OperationalError": Rule(NETWORK, inner="orig", refine=True),
    "sqlalchemy.exc.InterfaceError": Rule(NETWORK, inner="orig", refine=True),
    "sqlalchemy.exc.StatementError": Rule(DATABASE_FOR_GOOD, inner="orig", refine=True),
    "sqlalchemy.exc.SQLAlchemyError": Rule(DATABASE_FOR_GOOD),
    "alembic.util.exc.CommandError": Rule(DATABASE_FOR_GOOD),
    # Spark: a server that does not answer, a path or column that is not there
    "pyspark.errors.exceptions.connect.SparkConnectGrpcException": Rule(NETWORK),
    "py4j.protocol.Py4JNetworkError": Rule(NETWORK),
    "pyspark.errors.exceptions.base.AnalysisException": Rule(VALIDATION),
    # Airflow
    "airflow.sdk.exceptions.AirflowTaskTimeout": Rule(TIMEOUT),
    "airflow.sdk.exceptions.AirflowSensorTimeout": Rule(TIMEOUT),
    "airflow.sdk.exceptions.TaskDeferralTimeout": Rule(TIMEOUT),
    "airflow.sdk.exceptions.AirflowNotFoundException": Rule(VALIDATION),
    "airflow.sdk.exceptions.ParamValidationError": Rule(VALIDATION),
    "airflow.sdk.exceptions.XComNotFound": Rule(VALIDATION),
    "airflow.sdk.exceptions.UnmappableXComTypePushed": Rule(VALIDATION),
    "airflow.sdk.exceptions.XComForMappingNotPushed": Rule(VALIDATION),
    "airflow.sdk.exceptions.AirflowSecretsBackendAccessDenied": Rule(AUTH),
    "airflow.sdk.exceptions.AirflowRuntimeError": Rule(None, reader="airflow_api"),
    "airflow.sdk._shared.configuration.exceptions.AirflowConfigException": Rule(VALIDATION),
    "airflow._shared.configuration.exceptions.AirflowConfigException": Rule(VALIDATION),
    # Schemas
    "jsonschema.exceptions._Error": Rule(VALIDATION),
    "pydantic_core._pydantic_core.ValidationError": Rule(VALIDATION),
}

# Whose client raised an exception, by the package that defines its class.
SERVICE: Final[dict[str, str]] = {
    "redis": "redis",
    "neo4j": "neo4j",
    "psycopg": "postgres",
    "psycopg2": "postgres",
    "sqlalchemy": "postgres",
    "alembic": "postgres",
    "simple_salesforce": "salesforce",
    "include.vms.salesforce": "salesforce",
    "googleapiclient": "google",
    "google": "google",
    "slack_sdk": "slack",
    "smtplib": "smtp",
    "sentry_sdk": "sentry",
}
# Instead of what its class says.
DAILY_LIMIT_TO_DO: Final = "Nothing today: calls are refused until the limit is reset. If it happens often, raise it."

# Codes by which a server in good health answers: what was asked for collided with somebody else. They begin so.
ANSWERED: Final = ("40", "55", "NOGROUP", "TRYAGAIN", "WatchError", "LockError", "Neo.TransientError.Transaction.")

# The author of a task raised one of these to say "do not try again"; the class is that of the cause.
NEVER_AGAIN: Final = frozenset({"airflow.sdk.exceptions.AirflowFailException"})

WHAT_TO_DO: Final[dict[ErrorClass, str]] = {
    ErrorClass.AUTH: "Check the connection's login, secret, certificate and rights; then clear the task.",
    ErrorClass.RATE_LIMIT: "Nothing if a later try succeeds; else lower the load or ask for a higher limit.",
    ErrorClass.NETWORK: "Nothing if a later try succeeds; else check that the server runs and can be reached.",
    ErrorClass.DATABASE: "Look the code up; check the server's state, disk, memory, schema and version.",
    ErrorClass.VALIDATION: "Correct the input or the configuration the log names; then clear the task.",
    ErrorClass.TIMEOUT: "Nothing if a later try succeeds; else look for a slow server, a lock or too small a limit.",
    ErrorClass.UNKNOWN: "Read the traceback in the task's log; if it is a bug, report it with the fingerprint.",
}
