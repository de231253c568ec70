"""Serves the pages of the causal analysis beside Airflow's own, to whoever may see plugins in Airflow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from airflow.sdk import BaseOperatorLink

if TYPE_CHECKING:
    from fastapi import FastAPI

PREFIX: Final = "/organism/analysis"
_FIND: Final = """
select content from organism.causal_report
where name = %s and measured_at = (
    select measured_at from organism.causal_estimate where run_id = %s order by measured_at desc limit 1)
"""
# Nothing but the page itself: no script, no other server, no frame of a stranger.
_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; img-src data:; style-src 'unsafe-inline'; frame-ancestors 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "private, no-store",
}
_KINDS: Final = {"html": "text/html; charset=utf-8", "png": "image/png"}


class ReportLink(BaseOperatorLink):
    """The button beside a task that leads to its run's page."""

    name = "Report"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:  # noqa: ARG002 - Airflow's interface
        """The page's address, below that of Airflow."""
        return f"{PREFIX}/runs/{quote(ti_key.run_id, safe='')}/index.html"


def app() -> FastAPI:
    """The pages as an application; anonymous requests get 401."""
    from airflow.api_fastapi.auth.managers.models.resource_details import AccessView
    from airflow.api_fastapi.core_api.security import requires_access_view
    from fastapi import Depends, FastAPI

    made = FastAPI(
        title="Causal analysis",
        dependencies=[Depends(requires_access_view(AccessView.PLUGINS))],
        openapi_url=None,
    )
    made.add_api_route("/runs/{run_id:path}/{name}", file_of_run, methods=["GET"])
    return made


def file_of_run(run_id: str, name: str) -> Any:
    """The page of a run, or one of its pictures; 404 when there is none."""
    from fastapi import HTTPException, Response

    from include.connections import warehouse

    with warehouse(quick=True) as connection:
        row = connection.execute(_FIND, [name, run_id]).fetchone()
    kind = _KINDS.get(name.rpartition(".")[2])
    if row is None or kind is None:
        raise HTTPException(404, "There is no such page: the run has not analysed anything, or it was long ago.")
    return Response(bytes(row[0]), media_type=kind, headers=_HEADERS)
