"""One HTTP client for all of Salesforce: login, one re-login on 401, a few short repeats, usage, the server's clock.

What can be repeated here is repeated twice within seconds; longer waits are the business of the task's retry policy.
"""

from __future__ import annotations

import json
import logging
import random
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http.cookiejar import DefaultCookiePolicy
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from include.operations.errors import parse_retry_after
from include.operations.log import log_event
from include.operations.scrub import register_secrets
from include.vms.salesforce import auth
from include.vms.salesforce.errors import SalesforceFailed, Unreachable
from include.vms.salesforce.limits import Quota, read_usage

if TYPE_CHECKING:
    import requests

    from include.vms.salesforce.settings import Settings

log = logging.getLogger(__name__)

_CONNECT_S: Final = 10.0
# Salesforce ends a query after 2 minutes, and an API call after 10.
_READ_S: Final = 150.0
_TRIES: Final = 3
_PAUSE_S: Final = 1.0
# Longer waits belong to the task's retry, which holds no worker.
_LONGEST_WAIT_S: Final = 10.0
# Answers that may be another one in a second; 406 and 420 come from what stands before Salesforce.
_PASSING: Final = frozenset({406, 420, 429, 500, 502, 503, 504})
_UNAUTHORIZED: Final = 401
_ERROR: Final = 400
_MOVED: Final = 300
_NOT_MODIFIED: Final = 304
# URL and headers together may have 16,384 bytes.
LONGEST_URL: Final = 14_000


class Salesforce:
    """A session with one org. May be used by several threads.

    Attributes:
        calls: API calls made; logins are none.
        quota: calls of the org in the last 24 hours, as the last reply said.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
        read_s: float = _READ_S,
    ) -> None:
        import requests

        register_secrets(*settings.secrets)
        self.settings = settings
        self.calls = 0
        self.quota: Quota | None = None
        self.sleep = sleep
        self.monotonic = monotonic
        self._timeout = (_CONNECT_S, read_s)
        self._lock = threading.Lock()
        self._token: auth.Token | None = None
        self._server_time: tuple[datetime, float] | None = None
        self._session = requests.Session()
        self._session.headers.update({"Accept-Encoding": "gzip", "User-Agent": "vms-sync"})
        # A .netrc would replace our token.
        self._session.auth = _no_auth
        # Nothing is remembered but the token; threads share the session.
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        # A proxy leads out of this machine.
        self._session.trust_env = settings.login_url.startswith("https:")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._session.close()

    @property
    def root(self) -> str:
        """Path of the API's version."""
        return f"/services/data/v{self.settings.version}"

    @property
    def instance_url(self) -> str:
        """Scheme and host of the org; logs in when that is not done yet."""
        return self._login(None).instance_url

    def login(self) -> None:
        """Get a token unless there is one.

        Raises:
            SalesforceFailed: refused. Unreachable: no answer.
        """
        self._login(None)

    def server_now(self) -> datetime:
        """The time there, by the last reply and what has passed since; never this machine's clock.

        Raises:
            Unreachable: no reply said it.
        """
        if self._server_time is None:
            self.login()
        if self._server_time is None:
            raise Unreachable("No reply of Salesforce had a Date header; something in between takes it away")
        date, at = self._server_time
        return date + timedelta(seconds=max(self.monotonic() - at, 0.0))

    def get(self, path: str, params: Mapping[str, str] | None = None) -> Any:
        """Return the JSON reply; `path` begins with `/services/`."""
        return self.json(self.send("GET", path, params=params))

    def post(self, path: str, body: Any, *, repeat: bool = False) -> Any:
        """Return the JSON reply to a JSON body; `repeat`: when sending it twice does no harm."""
        return self.json(self.send("POST", path, body=body, repeat=repeat))

    def json(self, response: requests.Response) -> Any:
        """Return the body; numbers stay the text they are, so that none is rounded.

        Raises:
            Unreachable: it is not JSON: a page of something in between.
        """
        try:
            return json.loads(response.content, parse_float=str)
        except ValueError:
            # As a cause it would be judged as bad input of ours, which nobody tries again; and it quotes the page.
            raise Unreachable(f"{_said(response)} was answered with a page that is not JSON") from None

    def send(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Any = None,
        stream: bool = False,
        repeat: bool | None = None,
    ) -> requests.Response:
        """Send one request and return its reply, which is no error.

        Args:
            method: of HTTP.
            path: begins with `/services/`.
            params: of the query.
            body: sent as JSON.
            stream: leave the body to be read by the caller, who closes the reply.
            repeat: whether it may be sent twice; as a rule GET may.

        Raises:
            SalesforceFailed: an error reply. Unreachable: none.
        """
        again = method == "GET" if repeat is None else repeat
        token = self._login(None)
        relogged = False
        tries = 0
        while True:
            tries += 1
            last = tries >= _TRIES or not again
            try:
                response = self._once(method, token, path, params, body, stream=stream)
            except Unreachable as error:
                if last:
                    raise
                self._pause(tries, None, f"{method} {_name(path)}", type(error.__cause__).__name__)
                continue
            status = response.status_code
            if status < _MOVED or status == _NOT_MODIFIED:
                return response
            failed = _failure(response)
            if status == _UNAUTHORIZED and not relogged:
                log_event(log, "salesforce_relogin", code=failed.error_code)
                token, relogged, tries = self._login(token), True, tries - 1
                continue
            wait = parse_retry_after(response.headers.get("Retry-After"), self._now_or_local())
            long = wait is not None and wait.total_seconds() > _LONGEST_WAIT_S
            if last or long or status not in _PASSING:
                raise failed
            self._pause(tries, wait, f"{method} {_name(path)}", failed.error_code or str(status))

    def _once(
        self,
        method: str,
        token: auth.Token,
        path: str,
        params: Mapping[str, str] | None,
        body: Any,
        *,
        stream: bool,
    ) -> requests.Response:
        import requests

        headers = {"Authorization": f"Bearer {token.value}"}
        with self._lock:
            self.calls += 1
        try:
            response = self._session.request(
                method,
                token.instance_url + path,
                params=params,
                json=body,
                headers=headers,
                timeout=self._timeout,
                stream=stream,
                # A redirect would carry the token to another host.
                allow_redirects=False,
            )
        except requests.RequestException as error:
            raise Unreachable(f"{method} {_name(path)} got no complete reply ({type(error).__name__})") from error
        self._note(response)
        return response

    def _note(self, response: requests.Response) -> None:
        """Learn usage and time from a reply's headers."""
        usage = read_usage(response.headers.get("Sforce-Limit-Info"))
        date = _date(response.headers.get("Date"))
        with self._lock:
            self.quota = usage or self.quota
            if date is not None:
                self._server_time = (date, self.monotonic())

    def _now_or_local(self) -> datetime:
        return self.server_now() if self._server_time else datetime.now(UTC)

    def _pause(self, tries: int, wait: timedelta | None, what: str, why: str) -> None:
        seconds = wait.total_seconds() if wait is not None else _PAUSE_S * 2 ** (tries - 1)
        log_event(log, "salesforce_repeat", request=what, code=why, wait_s=seconds)
        self.sleep(seconds + random.uniform(0, 0.1 * seconds))  # noqa: S311 - spreads, hides nothing

    def _login(self, stale: auth.Token | None) -> auth.Token:
        """Return a token other than `stale`; of several threads that ask, one gets it for all."""
        with self._lock:
            if self._token is not None and self._token is not stale:
                return self._token
            token = self._fetch_token()
            self._token = token
            return token

    def _fetch_token(self) -> auth.Token:
        import requests

        for tries in range(1, _TRIES + 1):
            try:
                response = self._session.post(
                    auth.url(self.settings),
                    data=auth.form(self.settings),
                    headers={"Accept": "application/json"},
                    timeout=self._timeout,
                    allow_redirects=False,
                )
            except requests.RequestException as error:
                if tries == _TRIES:
                    raise Unreachable(f"The login got no reply ({type(error).__name__})") from error
                self._pause(tries, None, "login", type(error).__name__)
                continue
            if response.status_code not in _PASSING or tries == _TRIES:
                break
            self._pause(tries, None, "login", str(response.status_code))
        token = auth.read(response)
        date = _date(response.headers.get("Date"))
        if date is not None:
            self._server_time = (date, self.monotonic())
        return token


def _no_auth(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


def _failure(response: requests.Response) -> SalesforceFailed:
    import requests

    try:
        content: Any = response.json()
    except (ValueError, requests.RequestException):
        content = None
    finally:
        response.close()
    return SalesforceFailed(_said(response), response.status_code, content, response.headers)


def _said(response: requests.Response) -> str:
    return f"{response.request.method} {_name(response.request.path_url)}"


def _name(path: str) -> str:
    """The path without its query, which is long."""
    return path.partition("?")[0]


def _date(text: str | None) -> datetime | None:
    try:
        found = parsedate_to_datetime(text or "")
    except ValueError:
        return None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
