"""The check behind `astro dev parse`: every DAG file can be imported, and none of them is empty.

The one the Astro CLI scaffolds fails on Airflow 3.3, which took an argument of DagBag away. The full policy is in
tests/unit/dags; this needs nothing but Airflow.
"""

from pathlib import Path

# ruff: noqa: S101 - pytest tests assert
from airflow.dag_processing.dagbag import DagBag

ROOT = Path(__file__).resolve().parents[1]


def test_every_dag_file_can_be_imported() -> None:
    """Import errors are shown with their traceback."""
    bag = DagBag(dag_folder=ROOT / "dags", bundle_path=ROOT / "dags")
    assert not bag.import_errors, "\n\n".join(f"{name}:\n{error}" for name, error in bag.import_errors.items())
    assert bag.dags, "there is no DAG"
