"""The warehouse of the sync's tests."""

from tests.integration.vms.conftest import vms_template, warehouse

__all__ = ["vms_template", "warehouse"]
