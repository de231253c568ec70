"""A client of the simulated Salesforce that is logged in."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from local.salesforce.testing import SalesforceServer

DATA = "/services/data/v62.0"


@pytest.fixture
def client(salesforce: SalesforceServer) -> Iterator[httpx.Client]:
    """HTTP below the version that most tests use."""
    headers = {"Authorization": f"Bearer {salesforce.token()}"}
    with httpx.Client(base_url=salesforce.instance_url + DATA, headers=headers, trust_env=False, timeout=60) as made:
        yield made
