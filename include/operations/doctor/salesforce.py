"""Salesforce: reached and logged in, its API version, what is left of the day's quotas, objects and fields to sync."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from include.connections import SALESFORCE, salesforce
from include.operations.doctor.finding import Finding, Level, fail, ok, some, warn

if TYPE_CHECKING:
    from include.operations.doctor.servers import Clocks
    from include.vms.salesforce.client import Salesforce

_DOCS: Final = "docs/salesforce.md"


def check(clocks: Clocks) -> Iterator[Finding]:
    """Everything a sync needs; three calls, and one an object."""
    if not _defined():
        yield warn(SALESFORCE, "no connection: the VMS is not synced", f"define AIRFLOW_CONN_SALESFORCE: {_DOCS}")
        return
    with salesforce() as client:
        client.login()
        clocks.note("Salesforce", lambda: client.server_now().timestamp())
        grant = client.settings.grant.replace("_", " ")
        yield ok(SALESFORCE, f"logged in by {grant}")
        version = _version(client)
        yield version
        if version.level is Level.FAIL:
            return
        yield from _quotas(client)
        yield from _objects(client)


def _defined() -> bool:
    from airflow.sdk import Connection

    try:
        Connection.get(SALESFORCE)
    except Exception as error:
        if type(error).__name__ == "AirflowNotFoundException":
            return False
        raise
    return True


def _version(client: Salesforce) -> Finding:
    known = [str(one.get("version")) for one in client.get("/services/data/")]
    used = client.settings.version
    if used not in known:
        fix = f"set the connection's `version` to one of {some(known[::-1])}"
        return fail(SALESFORCE, f"the org has no API version {used}", fix)
    return ok(SALESFORCE, f"API version {used}, the org's newest is {known[-1]}")


def _quotas(client: Salesforce) -> Iterator[Finding]:
    from include.vms.salesforce import limits, rest

    found: Any = rest.limits(client)
    share = client.settings.reserve_share
    for name, what in (("DailyApiRequests", "API calls"), (limits.BULK_JOBS, "Bulk query jobs")):
        quota = limits.of_limits(found, name)
        if quota is None:
            yield warn(SALESFORCE, f"the org does not tell how many {what} are left", "give the user API access")
            continue
        said = f"{quota.used:,} of {quota.limit:,} {what} of the last 24 hours used, {share:.0%} are reserved"
        if quota.left(share) == 0:
            yield warn(SALESFORCE, said, "wait, buy calls, or lower SALESFORCE_RESERVE_SHARE: syncs are refused")
        else:
            yield ok(SALESFORCE, said)


def _objects(client: Salesforce) -> Iterator[Finding]:
    """Whether the user may read every object that is synced, and every field of it that a sync needs."""
    from include.vms import drift, registry
    from include.vms.salesforce import rest
    from include.vms.spec import SYSTEM_FIELDS

    reply = client.get(f"{client.root}/sobjects/")
    readable = {str(one["name"]) for one in reply["sobjects"] if one.get("queryable")}
    needed: dict[str, set[str]] = {}
    for spec in registry.objects().values():
        needed.setdefault(spec.sobject, set()).update(name for name in spec.select if name not in SYSTEM_FIELDS)
    if missing := sorted(needed.keys() - readable):
        fix = f"give the integration user read access to them: {_DOCS}"
        yield fail(SALESFORCE, f"the user cannot read {some(missing)}", fix)
    lacking = False
    for sobject in sorted(needed.keys() & readable):
        if gone := drift.missing(sorted(needed[sobject]), rest.describe(client, sobject)):
            lacking = True
            fix = "give the user the right to see it (field-level security): docs/runbooks/vms-sync.md"
            yield fail(SALESFORCE, f"{sobject} has no {some(gone)}, or hides it: its syncs refuse to run", fix)
    if not missing and not lacking:
        yield ok(SALESFORCE, f"{len(needed)} objects can be read, with every field that is synced")
