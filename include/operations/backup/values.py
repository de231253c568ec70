"""Values of Neo4j as JSON and back, without loss: bytes, temporal values, points, and the numbers JSON has not.

A property is never a map, so an object stands for a value that JSON cannot hold: `{"$": kind, "v": text}`.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Callable, Mapping
from typing import Any
from zoneinfo import ZoneInfo


def encode(value: Any) -> Any:
    """Return what `json` can write.

    Raises:
        TypeError: a kind of value that Neo4j has no property of.
    """
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"$": "float", "v": repr(value)}
    if isinstance(value, list):
        return [encode(item) for item in value]
    if isinstance(value, bytes | bytearray):
        return {"$": "bytes", "v": base64.b64encode(value).decode()}
    return _encode_rare(value)


def _encode_rare(value: Any) -> dict[str, Any]:
    from neo4j import spatial, time

    if isinstance(value, spatial.Point):
        return {"$": "point", "v": [value.srid, *map(float, value)]}
    # A DateTime is no Date to neo4j.time, so the order is of no matter.
    for kind in (time.DateTime, time.Date, time.Time, time.Duration):
        if isinstance(value, kind):
            found = {"$": kind.__name__, "v": value.iso_format()}
            zone = _zone(getattr(value, "tzinfo", None))
            return found | ({"zone": zone} if zone else {})
    raise TypeError(f"a property of type {type(value).__name__} cannot be exported")


def _zone(tz: Any) -> str | None:
    """The name of a time zone, of pytz's or the standard library's kind; a fixed offset has none."""
    return getattr(tz, "zone", None) or getattr(tz, "key", None)


def decode(value: Any) -> Any:
    """Return what `encode` was given."""
    if isinstance(value, list):
        return [decode(item) for item in value]
    if isinstance(value, dict):
        return _DECODERS[value["$"]](value)
    return value


def _decode_point(value: Mapping[str, Any]) -> Any:
    from neo4j import spatial

    srid, *parts = value["v"]
    kinds = {4326: spatial.WGS84Point, 4979: spatial.WGS84Point, 7203: spatial.CartesianPoint}
    return kinds.get(srid, spatial.CartesianPoint)(parts)


def _decode_time(value: Mapping[str, Any]) -> Any:
    from neo4j import time

    found = getattr(time, value["$"]).from_iso_format(value["v"])
    if "zone" not in value:
        return found
    return found.astimezone(ZoneInfo(value["zone"]))


_DECODERS: dict[str, Callable[[Mapping[str, Any]], Any]] = {
    "float": lambda value: float(value["v"]),
    "bytes": lambda value: base64.b64decode(value["v"]),
    "point": _decode_point,
    **dict.fromkeys(("DateTime", "Date", "Time", "Duration"), _decode_time),
}


def properties(values: Mapping[str, Any]) -> dict[str, Any]:
    """Properties of a node or relationship, encoded."""
    return {name: encode(value) for name, value in values.items()}


def fingerprint(*parts: Any) -> int:
    """64 bits that are equal for equal encoded parts, whatever the order of their keys."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")
