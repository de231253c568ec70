"""One organisation: everything its services share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from aiohttp import web

from local.salesforce.behaviours import Call, Step
from local.salesforce.bulk import Jobs
from local.salesforce.changes import change
from local.salesforce.clock import Clock
from local.salesforce.faults import Faults
from local.salesforce.queries import Queries
from local.salesforce.quotas import Quotas
from local.salesforce.replication import Replication
from local.salesforce.requests import RequestLog
from local.salesforce.rest import Rest
from local.salesforce.sessions import Sessions
from local.salesforce.settings import Settings
from local.salesforce.store import Store

P = ParamSpec("P")
T = TypeVar("T")


class Org:
    """Records, clock, sessions, quotas, request log and faults of one simulated organisation."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.clock = Clock()
        self.store = Store(Path(settings.directory) if settings.directory else None, clock=self.clock)
        self.sessions = Sessions(settings, self.clock)
        self.quotas = Quotas(self.clock)
        self.requests = RequestLog()
        self.faults = Faults(self)
        self.queries = Queries(self.store, self.clock)
        self.replication = Replication(self.store, self.clock)
        self.rest = Rest(self.store, self.quotas, self.queries, self.replication)
        self.jobs = Jobs(self.store, self.clock, self.quotas, self.run)
        self._pool = ThreadPoolExecutor(8, thread_name_prefix="salesforce")

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do something with the store in a thread, so that other requests are answered meanwhile."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, lambda: work(*args, **kwargs))

    # --- what misbehaving needs ---------------------------------------------------------------------
    def now(self) -> datetime:
        """Return the organisation's time."""
        return self.clock.now()

    def object_of(self, call: Call) -> str:
        """Return the object behind a job's id or a locator; empty when there is none."""
        return self.jobs.object_of(call.job) if call.job else self.queries.object_of(call.locator)

    def revoke(self, authorization: str) -> None:
        """End the session of an Authorization header."""
        self.sessions.revoke(authorization.partition(" ")[2].strip() or "none")

    def change_job(self, job_id: str, step: Step) -> None:
        """Let a Bulk job go wrong."""
        self.jobs.misbehave(job_id, step)

    async def do(self, operations: Sequence[Mapping[str, Any]]) -> None:
        """Carry out changes of records."""
        await self.run(lambda: [change(self.store, **each) for each in operations])

    def reset(self) -> None:
        """Forget records, schema changes, logins and uses; show real time. Faults and jobs belong to the event loop."""
        self.clock.reset()
        self.store.reset()
        self.sessions.reset()
        self.quotas.reset()
        self.requests.clear()
        self.queries.reset()
        self.replication.reset()

    def close(self) -> None:
        """Close the files."""
        self._pool.shutdown(cancel_futures=True)
        self.queries.reset()
        self.store.close()


ORG: web.AppKey[Org] = web.AppKey("org", Org)
# What handlers tell the request log: the query, the bulk job, as how many API calls the request counts.
SOQL: web.RequestKey[str] = web.RequestKey("soql", str)
JOB_ID: web.RequestKey[str] = web.RequestKey("job_id", str)
CALLS_MADE: web.RequestKey[int] = web.RequestKey("calls_made", int)
# The answer carries Sforce-Limit-Info.
LIMIT_INFO: web.RequestKey[bool] = web.RequestKey("limit_info", bool)
