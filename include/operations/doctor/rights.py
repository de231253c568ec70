"""Rights a connection's account needs, and rights it should not have."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

from include.operations.doctor.finding import Finding, fail, ok, some, warn

if TYPE_CHECKING:
    import psycopg
    import redis

# What a role can turn into any other role or into a shell on the server, and what is merely not needed.
_DANGEROUS: Final = {
    "is a superuser": "rolsuper",
    "may create roles": "rolcreaterole",
    "may run programs on the server": "pg_has_role(current_user, 'pg_execute_server_program', 'member')",
    "may write files on the server": "pg_has_role(current_user, 'pg_write_server_files', 'member')",
    "may read files of the server": "pg_has_role(current_user, 'pg_read_server_files', 'member')",
}
_NEEDLESS: Final = {
    "may create databases": "rolcreatedb",
    "may replicate": "rolreplication",
    "passes over row security": "rolbypassrls",
}
_ROLE: Final = (
    f"select {', '.join([*_DANGEROUS.values(), *_NEEDLESS.values()])} from pg_roles where rolname = current_user"  # noqa: S608
)
_PLAIN_ROLE: Final = "use a plain role: `alter role ... nosuperuser nocreaterole nocreatedb noreplication nobypassrls`"

_UNWRITABLE: Final = """
select c.oid::regclass::text from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
where c.relkind in ('r', 'p') and n.nspname in ('ops', 'organism', 'vms') and not (
  has_schema_privilege(n.oid, 'usage')
  -- By its number: a name in a schema that may not be used is refused. Of several in one word, any would do.
  and has_table_privilege(c.oid, 'select')
  and has_table_privilege(c.oid, 'insert')
  and has_table_privilege(c.oid, 'update')
  and has_table_privilege(c.oid, 'delete'))
order by 1
"""
# Commands that end the stream or the server, or take over the machine it runs on.
_REDIS_DANGEROUS: Final = ("FLUSHALL", "CONFIG", "SHUTDOWN", "DEBUG", "MODULE", "REPLICAOF", "ACL")
# The ACL that is enough for the pipelines; docs/configuration.md explains it, a test runs the pipeline under it.
REDIS_RULES: Final = (
    "~interactions*", "~metrics:*", "~graph:*", "~vms:*", "~ops:*", "-@all", "+@stream", "+@read", "+@write",
    "+@transaction", "+@connection", "+@scripting", "+info", "+time", "-@dangerous", "+info",
)  # fmt: skip


def role_excess(connection: psycopg.Connection) -> tuple[list[str], list[str]]:
    """Say in words which dangerous and which merely needless rights a Postgres role has."""
    row: tuple[Any, ...] = connection.execute(_ROLE).fetchone() or ()
    held = [words for words, has in zip([*_DANGEROUS, *_NEEDLESS], row, strict=False) if has]
    return [words for words in held if words in _DANGEROUS], [words for words in held if words in _NEEDLESS]


def check_role(connection: psycopg.Connection, area: str) -> Iterator[Finding]:
    """What the role may do that no pipeline needs."""
    dangerous, needless = role_excess(connection)
    if dangerous:
        yield fail(area, f"the role {', '.join([*dangerous, *needless])}", _PLAIN_ROLE)
    elif needless:
        yield warn(area, f"the role {', '.join(needless)}", _PLAIN_ROLE)


def check_tables(connection: psycopg.Connection, area: str) -> Iterator[Finding]:
    """Whether the role can read and write every table of the warehouse."""
    tables = [name for (name,) in connection.execute(_UNWRITABLE)]
    if tables:
        fix = f"as their owner: `grant select, insert, update, delete on {tables[0]}, ... to <the role>`"
        yield fail(area, f"no right to read and write {some(tables)}", fix)


def check_redis_user(client: redis.Redis, area: str, *, local: bool) -> Iterator[Finding]:
    """Dangerous commands that the Redis user may run; on this machine's own server that is all right."""
    import redis

    user = str(client.connection_pool.connection_kwargs.get("username") or "default")
    try:
        allowed = [name for name in _REDIS_DANGEROUS if _may(client, user, name)]
    except redis.exceptions.NoPermissionError:
        # Only somebody with the right to manage users may ask, which is what should not be.
        allowed = []
    if not allowed:
        yield ok(area, f"the user {user} cannot run dangerous commands")
    elif not local:
        fix = f"give the pipelines a user of their own: `ACL SETUSER pipelines on >... {' '.join(REDIS_RULES)}`"
        yield warn(area, f"the user {user} may run {', '.join(allowed)}", fix)


def check_neo4j_user(ask: Callable[[str], list[Any]], area: str) -> Iterator[Finding]:
    """Roles of the Neo4j user. The Community edition has none: there every user may do everything."""
    (user,) = ask("SHOW CURRENT USER YIELD user, roles, passwordChangeRequired")
    if user["passwordChangeRequired"]:
        yield fail(
            area, f"the user {user['user']} still has its first password", "`ALTER CURRENT USER SET PASSWORD ...`"
        )
    if "admin" in (user["roles"] or ()):
        fix = "give the pipelines a user with the roles publisher and reader"
        yield warn(area, f"the user {user['user']} is an administrator", fix)


def _may(client: redis.Redis, user: str, command: str) -> bool:
    arguments = {"CONFIG": ["GET", "x"], "DEBUG": ["SLEEP", "0"], "MODULE": ["LIST"], "ACL": ["LIST"]}
    arguments["REPLICAOF"] = ["NO", "ONE"]
    answer = client.execute_command("ACL", "DRYRUN", user, command, *arguments.get(command, []))  # type: ignore[no-untyped-call]
    return _text(answer) == "OK"


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
