"""Mounts the pages of the causal analysis into Airflow's api-server. All work is in `include/`."""

from __future__ import annotations

from typing import Any

from airflow.plugins_manager import AirflowPlugin


class LazyApp:
    """Made at the first request: every process of Airflow loads plugins, and only one serves pages."""

    def __init__(self) -> None:
        self._app: Any = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer, as an ASGI application does."""
        if self._app is None:
            from include.organism.analysis.web import app

            self._app = app()
        await self._app(scope, receive, send)


class AnalysisPlugin(AirflowPlugin):
    """The plugin."""

    name = "organism_analysis"
    fastapi_apps = [{"app": LazyApp(), "url_prefix": "/organism/analysis", "name": "Causal analysis"}]  # noqa: RUF012 - Airflow's interface
