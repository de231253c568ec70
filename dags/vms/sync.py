"""One sync for each Salesforce object: the modules of `include/vms/objects/` declare them."""

from include.vms.registry import objects

from include.vms.dag_factory import sync_dag

for position, spec in enumerate(objects().values()):
    sync_dag(spec, position)
