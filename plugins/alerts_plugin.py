"""Registers the listener that tells when a deployed DAG file cannot be imported. All work is in `include/`."""

from __future__ import annotations

from airflow.listeners import hookimpl
from airflow.plugins_manager import AirflowPlugin


class ImportErrorListener:
    """Called by the DAG processor when a file fails that could be imported before."""

    @hookimpl
    def on_new_dag_import_error(self, filename: str, stacktrace: str) -> None:
        """Start a process that tells it."""
        from include.operations.alerts.import_errors import tell

        tell(filename, stacktrace)


class AlertsPlugin(AirflowPlugin):
    """The plugin."""

    name = "pipeline_alerts"
    listeners = [ImportErrorListener()]  # noqa: RUF012 - Airflow's interface
