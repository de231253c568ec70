"""Ways to bring an object of Salesforce into Postgres, each run in a process of its own by `benchmarks.salesforce`.

`python -m benchmarks.salesforce_peers NAME`; what it needs is in variables. Prints rows, seconds, CPU seconds of this
process without imports, and its peak memory as JSON.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import requests
from requests.adapters import HTTPAdapter

if TYPE_CHECKING:
    import psycopg
    from psycopg import sql

# What the peers read: the fields of affiliations, and the records our sync keeps.
FIELDS = (
    "Id",
    "SystemModstamp",
    "CreatedDate",
    "LastModifiedDate",
    "IsDeleted",
    "npe5__Contact__c",
    "npe5__Organization__c",
    "npe5__Role__c",
    "npe5__Status__c",
    "npe5__Primary__c",
    "npe5__StartDate__c",
    "npe5__EndDate__c",
)
SOQL = (
    f"SELECT {', '.join(FIELDS)} FROM npe5__Affiliation__c "  # noqa: S608 - constants
    "WHERE (npe5__Contact__r.Contact_Type__c = null OR npe5__Contact__r.Contact_Type__c != 'Student')"
)
_TYPES = {"SystemModstamp": "timestamptz", "CreatedDate": "timestamptz", "LastModifiedDate": "timestamptz"}
_TYPES |= {"IsDeleted": "boolean", "npe5__Primary__c": "boolean"}
_TYPES |= {"npe5__StartDate__c": "date", "npe5__EndDate__c": "date"}
# Rows that are written one by one: enough to know how fast that is.
ORM_ROWS = 3000
# What each way imports, before its time counts.
_OURS = ("psycopg", "include.vms.sync", "include.vms.registry", "include.vms.salesforce.client")
_DLT = ("simple_salesforce", "dlt", "psycopg2")
_IMPORTS = {
    "one_by_one": ("simple_salesforce", "sqlalchemy.orm", "psycopg"),
    **dict.fromkeys(("bare", "bare_here"), ("psycopg",)),
    **dict.fromkeys(("dlt", "dlt_again"), _DLT),
    **dict.fromkeys(("ours", "others", "everything"), _OURS),
}
_COMMIT_EVERY = 100


class Plain(HTTPAdapter):
    """Sends to the simulator over HTTP what a client insists on calling HTTPS."""

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        """Send a request."""
        request.url = (request.url or "").replace("https://", "http://")
        return super().send(request, *args, **kwargs)


def records(soql: str) -> Iterator[dict[str, Any]]:
    """Return records as simple-salesforce brings them, by REST."""
    from simple_salesforce.api import Salesforce

    session = requests.Session()
    session.mount("https://", Plain())
    client = Salesforce(session_id=os.environ["TOKEN"], instance_url=os.environ["INSTANCE"], session=session)
    for record in client.query_all_iter(soql, include_deleted=True):
        yield {name: record[name] for name in FIELDS}


def one_by_one() -> int:
    """Look for each row through an ORM, add or change it, commit each hundred: the way of the original."""
    import sqlalchemy as sa
    from sqlalchemy.orm import DeclarativeBase, Session, mapped_column

    class Base(DeclarativeBase):
        pass

    columns = {name: mapped_column(sa.String, primary_key=name == "Id") for name in FIELDS}
    row_type: Any = type("Affiliation", (Base,), {"__tablename__": "affiliation", "__module__": __name__, **columns})
    engine = sa.create_engine(os.environ["DATABASE"].replace("postgresql://", "postgresql+psycopg://"))
    Base.metadata.create_all(engine)
    done = 0
    with Session(engine) as session:
        for record in records(f"{SOQL} LIMIT {ORM_ROWS}"):
            values = {name: None if value is None else str(value) for name, value in record.items()}
            found = session.get(row_type, values["Id"])
            if found is None:
                session.add(row_type(**values))
            else:
                for name, value in values.items():
                    setattr(found, name, value)
            done += 1
            if done % _COMMIT_EVERY == 0:
                session.commit()
        session.commit()
    return done


def bare() -> int:
    """COPY the CSV of a Bulk job into a staging table and upsert it: no checks, no state, no second look."""
    import psycopg
    from psycopg import sql

    kinds = [sql.SQL("{} {}").format(sql.Identifier(n), sql.SQL(_TYPES.get(n, "text"))) for n in FIELDS]
    typed = [sql.SQL("{}::{}").format(sql.Identifier(n), sql.SQL(_TYPES.get(n, "text"))) for n in FIELDS]
    sets = sql.SQL(", ").join(sql.SQL("{0} = excluded.{0}").format(sql.Identifier(n)) for n in FIELDS[1:])
    with psycopg.connect(os.environ["DATABASE"]) as connection:
        connection.execute(sql.SQL('CREATE TABLE affiliation ({}, PRIMARY KEY ("Id"))').format(_listed(kinds)))
        _copied(connection)
        upsert = sql.SQL(
            'INSERT INTO affiliation SELECT DISTINCT ON ("Id") {} FROM stage ORDER BY "Id", "SystemModstamp" DESC '
            'ON CONFLICT ("Id") DO UPDATE SET {} WHERE affiliation."SystemModstamp" < excluded."SystemModstamp"'
        )
        return connection.execute(upsert.format(_listed(typed), sets)).rowcount


_HERE = """
INSERT INTO vms.affiliation AS t (salesforce_id, system_modstamp, created_at, last_modified_at, salesforce_contact_id,
    salesforce_org_id, role, status, is_primary, start_date, end_date, person_id, organization_id, school_id,
    district_id, synced_at)
SELECT DISTINCT ON ("Id") "Id", "SystemModstamp"::timestamptz, "CreatedDate"::timestamptz,
    "LastModifiedDate"::timestamptz, "npe5__Contact__c", "npe5__Organization__c", "npe5__Role__c",
    coalesce("npe5__Status__c", 'Current'), coalesce("npe5__Primary__c"::boolean, false), "npe5__StartDate__c"::date,
    "npe5__EndDate__c"::date, p.salesforce_id, o.salesforce_id, s.salesforce_id, d.salesforce_id, now()
FROM stage
LEFT JOIN vms.person AS p ON p.salesforce_id = "npe5__Contact__c"
LEFT JOIN vms.organization AS o ON o.salesforce_id = "npe5__Organization__c"
LEFT JOIN vms.school AS s ON s.salesforce_id = "npe5__Organization__c"
LEFT JOIN vms.district AS d ON d.salesforce_id = "npe5__Organization__c"
WHERE "npe5__Contact__c" IS NOT NULL AND "npe5__Organization__c" IS NOT NULL AND "IsDeleted" = 'false'
ORDER BY "Id", "SystemModstamp" DESC
ON CONFLICT (salesforce_id) DO UPDATE SET system_modstamp = excluded.system_modstamp, role = excluded.role,
    status = excluded.status, is_primary = excluded.is_primary, start_date = excluded.start_date,
    end_date = excluded.end_date, person_id = excluded.person_id, organization_id = excluded.organization_id,
    school_id = excluded.school_id, district_id = excluded.district_id, synced_at = now()
WHERE t.system_modstamp < excluded.system_modstamp
"""


def bare_here() -> int:
    """The same into our own table, with its foreign keys and indexes and the references that our sync sets."""
    import psycopg

    with psycopg.connect(os.environ["DATABASE"]) as connection:
        _copied(connection)
        return connection.execute(_HERE).rowcount


def _copied(connection: psycopg.Connection) -> None:
    """Let a Bulk job run, and copy its pages into a table `stage` of texts."""
    from psycopg import sql

    root, headers = f"{os.environ['INSTANCE']}/services/data/v62.0/jobs/query", _authorized()
    made = requests.post(root, json={"operation": "queryAll", "query": SOQL}, headers=headers, timeout=600).json()
    while requests.get(f"{root}/{made['id']}", headers=headers, timeout=600).json()["state"] != "JobComplete":
        time.sleep(0.1)
    names = _listed([sql.Identifier(n) for n in FIELDS])
    texts = _listed([sql.SQL("{} text").format(sql.Identifier(n)) for n in FIELDS])
    connection.execute(sql.SQL("CREATE TEMP TABLE stage ({})").format(texts))
    statement = sql.SQL("COPY stage ({}) FROM STDIN (FORMAT csv, HEADER, FORCE_NULL ({}))").format(names, names)
    locator = ""
    while locator != "null":
        url = f"{root}/{made['id']}/results?maxRecords=50000" + (f"&locator={locator}" if locator else "")
        with requests.get(url, headers=headers, stream=True, timeout=600) as answer:
            with connection.cursor().copy(statement) as copy:
                for piece in answer.iter_content(1 << 17):
                    copy.write(piece)
            locator = answer.headers["Sforce-Locator"]


def _listed(parts: Sequence[sql.Composable]) -> sql.Composed:
    from psycopg import sql

    return sql.SQL(", ").join(parts)


def ours() -> int:
    """Sync affiliations with everything that belongs to it."""
    return _sync(["affiliations"])


def others() -> int:
    """Sync all other objects, so that references are there."""
    from include.vms import registry

    return _sync([name for name in registry.objects() if name != "affiliations"])


def everything() -> int:
    """Sync all objects."""
    from include.vms import registry

    return _sync(list(registry.objects()))


def _sync(names: list[str]) -> int:
    import psycopg

    from include.vms import registry, sync
    from include.vms.contracts import Mode, Request
    from include.vms.salesforce.client import Salesforce
    from include.vms.salesforce.settings import Settings

    # As Airflow's Connection has it: Airflow itself is in none of these processes.
    settings = Settings.from_connection(cast("Any", SimpleNamespace(**json.loads(os.environ["SALESFORCE"]))))
    read = 0
    with Salesforce(settings) as client:
        for name in names:
            run_id = f"bench-{time.time_ns()}"
            connect = lambda: psycopg.connect(os.environ["DATABASE"])  # noqa: E731
            read += sync.run(client, connect, registry.get(name), Request(Mode.INCREMENTAL), run_id).read
    return read


def _authorized() -> dict[str, str]:
    return {"Authorization": f"Bearer {os.environ['TOKEN']}"}


def measured(work: Callable[[], int]) -> dict[str, float]:
    """Do the work; return rows, seconds, CPU seconds, and peak memory in MB: in all and before it."""
    imported, begun, before = _peak_mb(), time.perf_counter(), time.process_time()
    rows = work()
    return {
        "rows": rows,
        "seconds": time.perf_counter() - begun,
        "cpu": time.process_time() - before,
        "peak_mb": _peak_mb(),
        "before_mb": imported,
    }


def _peak_mb() -> float:
    # Not getrusage: its figure begins with the memory of the process that started this one.
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def dlt() -> int:
    """A pipeline of dlt with merge by id; in an environment of its own."""
    return _dlt(SOQL)


def dlt_again() -> int:
    """The same since the newest modstamp that is there: what its incremental loading comes to, without its cost."""
    import psycopg2  # type: ignore[import-untyped,import-not-found,unused-ignore]

    with psycopg2.connect(os.environ["DATABASE"]) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT max(system_modstamp) FROM bench_dataset.affiliation")
        since = cursor.fetchone()[0]
    return _dlt(f"{SOQL} AND SystemModstamp > {since:%Y-%m-%dT%H:%M:%SZ}")


def _dlt(soql: str) -> int:
    import dlt as library  # type: ignore[import-not-found,unused-ignore]

    pipeline = library.pipeline(
        "bench",
        destination=library.destinations.postgres(os.environ["DATABASE"]),
        dataset_name="bench_dataset",
        pipelines_dir=os.environ["SCRATCH"],
    )
    source = library.resource(
        records(soql), name="affiliation", primary_key="Id", write_disposition="merge", max_table_nesting=0
    )
    pipeline.run(source)
    normalized = pipeline.last_trace.last_normalize_info
    return int(normalized.row_counts.get("affiliation", 0)) if normalized else 0


if __name__ == "__main__":
    for module in _IMPORTS[sys.argv[1]]:
        importlib.import_module(module)
    contender: Callable[[], int] = globals()[sys.argv[1]]
    print("\n" + json.dumps(measured(contender)))
