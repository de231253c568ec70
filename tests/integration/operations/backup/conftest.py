"""Databases, a scratch server and a folder for backups."""

import base64

import psycopg
import pytest
from psycopg import sql

from include.operations.backup.postgres import Postgres
from include.operations.backup.settings import BackupSettings
from include.operations.backup.store import Store
from local.servers.postgres import binaries

KEY = bytes(range(32))
SCRATCH_ROLE = "scratch_test"


@pytest.fixture(scope="session")
def scratch_url(postgres_server):
    """The maintenance database for a role that may create databases and nothing else."""
    with psycopg.connect(postgres_server.admin_url, autocommit=True) as connection:
        password = postgres_server.password_of(SCRATCH_ROLE)
        connection.execute(
            sql.SQL("create role {} login createdb password {}").format(
                sql.Identifier(SCRATCH_ROLE), sql.Literal(password)
            )
        )
    return postgres_server.url_of("postgres", SCRATCH_ROLE)


@pytest.fixture
def scratch(scratch_url):
    return postgres(scratch_url)


@pytest.fixture(params=["plain", "encrypted"])
def store(request, tmp_path):
    key = KEY if request.param == "encrypted" else None
    return Store(BackupSettings(tmp_path / "backups", min_free_mb=0, key=key))


@pytest.fixture
def plain_store(tmp_path):
    return Store(BackupSettings(tmp_path / "backups", min_free_mb=0))


@pytest.fixture
def source(postgres_server):
    """A database with what is awkward to dump and to compare."""
    url = postgres_server.create_database("backup_source")
    with psycopg.connect(url) as connection:
        connection.execute(AWKWARD)
    return postgres(url)


def postgres(url):
    info = psycopg.conninfo.conninfo_to_dict(url)
    return Postgres(info, binaries())


def as_key_text(key=KEY):
    return base64.b64encode(key).decode()


AWKWARD = """
create schema vms;
create type vms.mood as enum ('good', 'bad');
create table vms.person (
  id bigint generated always as identity primary key, name text not null, mood vms.mood default 'good',
  at timestamptz default '2026-03-29 02:30+01', span interval default '1 mon 2 days', share float8 default 0.1,
  extra jsonb default '{"b": 1, "a": [null, 1.50]}', raw bytea default '\\x00ff', tags text[] default '{a,"b c"}');
insert into vms.person (name) select repeat('Zoë ''\\n\t', 3) || n from generate_series(1, 2000) n;
update vms.person set share = 'NaN', name = '', span = null where id = 7;
create table vms.visit (person bigint references vms.person, day date, primary key (person, day))
  partition by range (day);
create table vms.visit_2026 partition of vms.visit for values from ('2026-01-01') to ('2027-01-01');
insert into vms.visit select id, date '2026-01-01' + (id % 300)::int from vms.person;
create table "Odd ""name" (a int);
create table vms.twin (a int);
insert into vms.twin values (1), (1), (2);
create view vms.moods as select mood, count(*) from vms.person group by 1;
create materialized view vms.days as select day, count(*) from vms.visit group by 1;
"""
