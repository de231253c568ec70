"""Where every sync stands, for a person: watermark, last run, what waits, what was refused, calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from include.vms import registry

if TYPE_CHECKING:
    import psycopg

_QUERY: Final = """
select asked.object, state.watermark, state.succeeded_at, state.last_full_at, state.swept_at, state.phase,
    coalesce(state.staged_rows, 0) as staged_rows, state.holder, run.run_id, run.mode, run.dry_run, run.started_at,
    run.finished_at, run.read, run.notes,
    case when run.run_id is null then null
        when run.outcome is not null then run.outcome
        when state.lease_until > now() and split_part(state.holder, '/', 1) = split_part(run.run_id, '/', 1)
        then 'running' else 'broken off' end as outcome,
    (select count(*) from vms.pending_link as link
        where link.object = asked.object and resolved_at is null and orphaned_at is null) as pending,
    (select count(*) from vms.pending_link as link
        where link.object = asked.object and resolved_at is null and orphaned_at is not null) as orphans,
    (select count(*) from vms.quarantine as held
        where held.object = asked.object and resolved_at is null) as quarantine,
    (select count(*) from vms.data_quality_flag as flag
        where flag.object = asked.object and status = 'open') as flags,
    run.api_calls, coalesce(day.calls, 0) as calls_24h, quota.api_used, quota.api_limit
from unnest(%s::text[]) with ordinality as asked (object, place)
left join ops.sync_state as state using (object)
left join lateral (
    select * from ops.sync_run where sync_run.object = asked.object order by started_at desc, run_id desc limit 1
) as run on true
left join lateral (
    select sum(api_calls)::bigint as calls from ops.sync_run
    where sync_run.object = asked.object and started_at > now() - interval '24 hours'
) as day on true
left join lateral (
    select api_used, api_limit from ops.sync_run
    where sync_run.object = asked.object and api_limit is not null order by started_at desc limit 1
) as quota on true
order by asked.place
"""


def standing(connection: psycopg.Connection) -> list[dict[str, Any]]:
    """One row for every declared object, parents first; an object that was never synced has no run.

    `outcome` is that of the last run: success, refused, failed, running, or broken off, when its process died and said
    nothing. `calls_24h` are ours for the object, `api_used` of `api_limit` everybody's in the org, as last told.
    """
    from psycopg.rows import dict_row

    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(_QUERY, [list(registry.objects())]).fetchall()
