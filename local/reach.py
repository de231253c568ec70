"""Whether a server of the user's own can be reached: one TCP connection, in a bounded time."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import unquote, urlsplit

from local.presets import SERVERS

TIMEOUT = 2.5


def address(connection: str, usual_port: int) -> tuple[str, int] | None:
    """Return host and port of an Airflow connection (URL or JSON) or of a database URL; None: it names none."""
    try:
        if connection.lstrip().startswith("{"):
            found = json.loads(connection)
            return (str(found["host"]), int(found.get("port") or usual_port)) if found.get("host") else None
        parts = urlsplit(connection)
        return (unquote(parts.hostname), parts.port or usual_port) if parts.hostname else None
    except (ValueError, TypeError):
        return None


def trouble(host: str, port: int, timeout: float = TIMEOUT) -> str:
    """Return why a server cannot be reached; empty: something accepts connections there."""
    found = [f"{host}:{port} cannot be reached: no answer within {timeout:g} s"]

    def connect() -> None:
        try:
            with socket.create_connection((host, port), timeout):
                found.append("")
        except TimeoutError:
            pass
        except OSError as error:
            found.append(f"{host}:{port} cannot be reached: {error.strerror or error}")

    # The name server is asked without any time-out: that thread is left to itself.
    asking = threading.Thread(target=connect, name=f"reach-{host}", daemon=True)
    asking.start()
    asking.join(timeout)
    return found[-1]


def troubles(variables: Mapping[str, str], names: Mapping[str, str]) -> dict[str, str]:
    """Return what is wrong with each of these servers (name to variable); those that can be reached are left out."""

    def look(name: str) -> str:
        found = address(variables.get(names[name], ""), SERVERS[name][1])
        return trouble(*found) if found else f"{names[name]} names no host"

    with ThreadPoolExecutor(len(SERVERS), thread_name_prefix="reach") as pool:
        return {name: text for name, text in zip(names, pool.map(look, names), strict=True) if text}
