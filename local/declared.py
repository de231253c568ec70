"""Pools and variables that `airflow_settings.yaml` declares, given to the running Airflow over its REST API.

The Astro CLI does the same with this file. Connections in it are not used here: the local system has its own.
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from local.errors import PartError

FILE = "airflow_settings.yaml"
PART = "airflow settings"


def login(url: str, username: str, password: str) -> httpx.Client:
    """Return an HTTP client that is logged in."""
    # A machine that starts everything at once may be slow to answer.
    client = httpx.Client(base_url=url, timeout=120, trust_env=False)
    try:
        answer = client.post("/auth/token", json={"username": username, "password": password})
        answer.raise_for_status()
    except httpx.HTTPError:
        client.close()
        raise
    client.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
    return client


def apply(root: Path, url: str, username: str, password: str) -> str:
    """Create or update what is declared; a file that is not there declares nothing. Returns what was done."""
    import yaml  # type: ignore[import-untyped]

    try:
        content = yaml.safe_load((root / FILE).read_text(encoding="utf-8")) or {}
    except FileNotFoundError:
        return f"no {FILE}"
    except (OSError, yaml.YAMLError) as error:
        raise PartError(PART, f"{FILE} cannot be read: {error}") from error
    declared: dict[str, Any] = content.get("airflow") or {}
    pools = [pool for pool in declared.get("pools") or [] if pool and pool.get("pool_name")]
    variables = [item for item in declared.get("variables") or [] if item and item.get("variable_name")]
    try:
        with closing(login(url, username, password)) as client:
            for pool in pools:
                name, text = str(pool["pool_name"]), str(pool.get("pool_description") or "")
                body = {"slots": int(pool.get("pool_slot") or 1), "description": text, "include_deferred": False}
                _put(client, "/api/v2/pools", name, {"name": name, **body}, {"pool": name, **body})
            for item in variables:
                key = str(item["variable_name"])
                body = {"key": key, "value": str(item.get("variable_value") or "")}
                _put(client, "/api/v2/variables", key, body, body)
    except (httpx.HTTPError, ValueError) as error:
        raise PartError(PART, f"{FILE} cannot be applied: {error}") from error
    return f"{len(pools)} pools, {len(variables)} variables"


def ensure_variable(url: str, username: str, password: str, key: str, value: str) -> None:
    """Create a variable; one that is there keeps its value, for it may be a switch that somebody has thrown."""
    with closing(login(url, username, password)) as client:
        answer = client.post("/api/v2/variables", json={"key": key, "value": value})
        if answer.is_error and answer.status_code != httpx.codes.CONFLICT:
            raise PartError(PART, f"the variable {key} cannot be made: HTTP {answer.status_code}")


def _put(client: httpx.Client, path: str, name: str, new: dict[str, Any], changed: dict[str, Any]) -> None:
    answer = client.post(path, json=new)
    if answer.status_code == httpx.codes.CONFLICT:
        answer = client.patch(f"{path}/{quote(name, safe='')}", json=changed)
    if answer.is_error:
        raise ValueError(f"{name}: HTTP {answer.status_code} {answer.text}")
