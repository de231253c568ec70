"""One Airflow DAG for each Salesforce object: the modules of `include/vms/objects/` declare them."""

from include.vms.dag_factory import sync_dag
from include.vms.registry import objects

for position, spec in enumerate(objects().values()):
    sync_dag(spec, position)
