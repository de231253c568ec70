"""The simulator in a test: `SalesforceServer` is a process of its own; `.store` and `.clock` act on it over HTTP."""

from __future__ import annotations

import json
import signal
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

import httpx

from local import process
from local.files import write_private
from local.layout import ROOT
from local.salesforce.metadata import FieldMeta
from local.salesforce.settings import ADMIN, CONNECTION, AuthMethod, Settings

_PATIENCE = 10.0


class Admin:
    """Sends requests to the admin routes. Raises ValueError with what was wrong."""

    def __init__(self, url: str, certificate: str = "") -> None:
        parts = urlsplit(url)
        key = parse_qs(parts.query)["key"][0]
        self._client = httpx.Client(
            base_url=f"{parts.scheme}://{parts.netloc}",
            headers={"Authorization": f"Bearer {key}"},
            timeout=600,
            trust_env=False,
            verify=ssl.create_default_context(cafile=certificate) if certificate else True,
        )

    def send(self, method: str, path: str, body: object = None) -> httpx.Response:
        """Return the answer to one request."""
        answer = self._client.request(method, path, content=None if body is None else json.dumps(body))
        if answer.is_error:
            raise ValueError(f"{method} {path}: {answer.status_code} {answer.text}")
        return answer

    def post(self, path: str, body: object = None) -> Any:
        """Return the JSON a POST answers with."""
        return self.send("POST", path, body).json()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


class RemoteClock:
    """The organisation's clock."""

    def __init__(self, admin: Admin) -> None:
        self._admin = admin

    def now(self) -> datetime:
        """The organisation's time."""
        return self._do({})

    def move(self, seconds: float) -> datetime:
        """Go forward (or back); returns the new time, as the others do."""
        return self._do({"move": seconds})

    def set(self, moment: datetime) -> datetime:
        """Show this time now."""
        return self._do({"set": moment.isoformat()})

    def stop(self) -> datetime:
        """Stand still."""
        return self._do({"stop": True})

    def run(self) -> datetime:
        """Run again."""
        return self._do({"run": True})

    def _do(self, what: Mapping[str, Any]) -> datetime:
        return datetime.fromisoformat(self._admin.post("/admin/clock", what)["now"])


class RemoteStore:
    """The organisation's records: the methods of `Store`, and `batch` for many changes in one request."""

    def __init__(self, admin: Admin) -> None:
        self._admin = admin

    def batch(self, changes: Sequence[Mapping[str, Any]]) -> list[Any]:
        """Do changes in this order, each a JSON object as `admin.change` takes it; returns the result of each."""
        found: list[Any] = self._admin.post("/admin/records", list(changes))
        return found

    def insert(self, name: str, values: Mapping[str, Any], **options: Any) -> str:
        """Create a record and return its id."""
        return self.insert_many(name, [values], **options)[0]

    def insert_many(self, name: str, rows: Iterable[Mapping[str, Any]], **options: Any) -> list[str]:
        """Create records and return their ids. Options: late_by, told."""
        made: list[str] = self._one("insert", name, rows=[dict(row) for row in rows], **options)
        return made

    def update(self, name: str, record_id: str, values: Mapping[str, Any], **options: Any) -> None:
        """Change a record. Options: stamps, late_by, told."""
        self.update_many(name, [{**values, "Id": record_id}], **options)

    def update_many(self, name: str, rows: Iterable[Mapping[str, Any]], **options: Any) -> None:
        """Change records, each with its Id. Options: stamps, late_by, told."""
        self._one("update", name, rows=[dict(row) for row in rows], **options)

    def delete(self, name: str, record_ids: Sequence[str], **options: Any) -> None:
        """Put records into the recycle bin. Options: late_by, told."""
        self._one("delete", name, ids=list(record_ids), **options)

    def undelete(self, name: str, record_ids: Sequence[str]) -> None:
        """Take records out of the recycle bin."""
        self._one("undelete", name, ids=list(record_ids))

    def hard_delete(self, name: str, record_ids: Sequence[str], **options: Any) -> None:
        """Remove records for good. Options: logged."""
        self._one("hard_delete", name, ids=list(record_ids), **options)

    def merge(self, name: str, winner: str, losers: Sequence[str], values: Mapping[str, Any] | None = None) -> None:
        """Merge one or two records into another."""
        self._one("merge", name, winner=winner, losers=list(losers), values=dict(values or {}))

    def rows(self, name: str) -> list[dict[str, Any]]:
        """Return all records as they are stored, deleted ones too, by id."""
        text = self._admin.send("GET", f"/admin/objects/{name}").text
        return [json.loads(line) for line in text.split("\n") if line]

    def add_field(self, name: str, new: FieldMeta) -> None:
        """Add a field."""
        self._admin.post("/admin/schema", {"op": "add", "object": name, "meta": asdict(new)})

    def remove_field(self, name: str, field_name: str) -> None:
        """Remove a field."""
        self._admin.post("/admin/schema", {"op": "remove", "object": name, "field": field_name})

    def change_field(self, name: str, field_name: str, new: FieldMeta) -> None:
        """Rename or retype a field."""
        self._admin.post("/admin/schema", {"op": "change", "object": name, "field": field_name, "meta": asdict(new)})

    def _one(self, op: str, name: str, **given: Any) -> Any:
        return self.batch([{"op": op, "object": name, **given}])[0]


class SalesforceServer:
    """A simulator in a process of its own, empty at first; or one that runs already, by `attach`.

    `certificate` lets it speak HTTPS (`local.simulators.certificate.make`); clients trust it by REQUESTS_CA_BUNDLE.
    """

    def __init__(self, directory: Path | None = None, *, certificate: Path | None = None) -> None:
        self._certificate = "" if certificate is None else str(certificate)
        self._own = None if directory else tempfile.TemporaryDirectory(prefix="salesforce-server-")
        self._directory = directory or Path(self._own.name if self._own else "")
        self._child: subprocess.Popen[str] | None = None
        self._settings: Settings | None = None
        self._admin: Admin | None = None
        self._connection = ""

    @classmethod
    def attach(cls, env: Mapping[str, str]) -> Self:
        """Steer the simulator of a running system, given its variables."""
        server = cls()
        server._admin = Admin(env[ADMIN])
        server._connection = env[CONNECTION]
        return server

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # --- the process -------------------------------------------------------------------------------
    def start(self) -> None:
        """Start and wait until it answers. After `kill` it comes back with its records and its port."""
        if self._settings is None:
            self._settings = Settings.make(directory=str(self._directory / "data"), certificate=self._certificate)
        file, log = self._directory / "settings.json", self._directory / "server.log"
        write_private(file, self._settings.text())
        command = [sys.executable, "-m", "local.salesforce", str(file)]
        with log.open("a") as errors:
            self._child = subprocess.Popen(
                process.tied_to_parent(command, signal.SIGTERM, ()),
                cwd=ROOT,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        assert self._child.stdout is not None  # noqa: S101 - it is a pipe
        port = self._child.stdout.readline().strip()
        if not port:
            raise RuntimeError(f"the simulator ended at its start: {log.read_text()[-2000:]}")
        self._settings = replace(self._settings, port=int(port))
        self._admin = Admin(self._settings.admin_url, self._certificate)

    def kill(self) -> None:
        """SIGKILL, as a power cut would."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Stop the process; records in a temporary directory are gone."""
        self._end(signal.SIGTERM)
        if self._own is not None:
            self._own.cleanup()

    def _end(self, number: signal.Signals) -> None:
        if self._admin is not None:
            self._admin.close()
            self._admin = None
        if self._child is None:
            return
        self._child.send_signal(number)
        try:
            self._child.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        with suppress(OSError):
            if self._child.stdout is not None:
                self._child.stdout.close()
        self._child = None

    # --- what clients need -------------------------------------------------------------------------
    @property
    def settings(self) -> Settings:
        """Addresses and secrets; only of a server started here."""
        if self._settings is None:
            raise RuntimeError("not started here: use .connection_uri")
        return self._settings

    @property
    def instance_url(self) -> str:
        """Address of the organisation; logins go there, too."""
        return self.settings.url

    @property
    def connection_uri(self) -> str:
        """Value of AIRFLOW_CONN_SALESFORCE, by client credentials."""
        return self._connection or self.settings.connection()

    def connection(self, method: AuthMethod) -> str:
        """Return the value of AIRFLOW_CONN_SALESFORCE for one way to log in."""
        return self.settings.connection(method)

    def token(self) -> str:
        """Return a new access token."""
        return str(self.sessions(issue="token")["token"])

    # --- steering ----------------------------------------------------------------------------------
    @property
    def admin(self) -> Admin:
        """The admin routes."""
        if self._admin is None:
            raise RuntimeError("the simulator is not running")
        return self._admin

    @property
    def clock(self) -> RemoteClock:
        """The organisation's clock."""
        return RemoteClock(self.admin)

    @property
    def store(self) -> RemoteStore:
        """The organisation's records."""
        return RemoteStore(self.admin)

    def reset(self) -> None:
        """Forget records, schema changes, logins, uses and faults; show real time."""
        self.admin.post("/admin/reset")

    def load(self, percent: float = 1, seed: int = 7) -> dict[str, int]:
        """Generate an organisation into it; `local.salesforce.generator.defects` tells what is wrong with it."""
        found: dict[str, int] = self.admin.post("/admin/load", {"percent": percent, "seed": seed})
        return found

    def live(self, minutes: float, *, per_minute: float = 2.0) -> dict[str, int]:
        """Let that many minutes pass in which people work; returns what they did."""
        done: dict[str, int] = self.admin.post("/admin/live", {"minutes": minutes, "per_minute": per_minute})
        return done

    def state(self) -> dict[str, Any]:
        """Return the time, the number of records of each object, and the limits."""
        found: dict[str, Any] = self.admin.send("GET", "/admin/state").json()
        return found

    def requests(self, path: str = "") -> list[dict[str, Any]]:
        """Return the requests whose path contains a text, oldest first: fields of `requests.Entry`."""
        return [each for each in self.admin.send("GET", "/admin/requests").json() if path in each["path"]]

    def forget_requests(self) -> None:
        """Forget all requests so far."""
        self.admin.send("DELETE", "/admin/requests")

    def quotas(self, **given: Any) -> dict[str, Any]:
        """Set limits (`DailyApiRequests={"max": 10, "used": 9}`) or `bursts`; returns all limits."""
        found: dict[str, Any] = self.admin.post("/admin/quotas", given)
        return found

    def sessions(self, **given: Any) -> dict[str, Any]:
        """Set `lifetime`, `password`, `soap`; `revoke` tokens; `issue` one."""
        found: dict[str, Any] = self.admin.post("/admin/sessions", given)
        return found

    def replication(self, **given: Any) -> None:
        """Set `most_ids` and `log_since` of getDeleted and getUpdated."""
        self.admin.post("/admin/replication", given)

    def bulk(self, **given: Any) -> None:
        """Set `page_rows` of results whose size nobody asks for, `most_rows` of any, and the `seconds` a job takes."""
        self.admin.post("/admin/bulk", given)

    def behave(self, *steps: Mapping[str, Any]) -> None:
        """Start a script of misbehaviour (fields of behaviours.Step); without steps end all scripts."""
        if steps:
            self.admin.post("/admin/behave", list(steps))
        else:
            self.admin.send("DELETE", "/admin/behave")

    def expire_locators(self) -> None:
        """Let all query locators end now."""
        self.admin.post("/admin/locators/expire")
