"""Names, addresses and jobs that look real and belong to nobody, from `words.toml`."""

from __future__ import annotations

import tomllib
import unicodedata
from collections.abc import Sequence
from functools import cache, lru_cache
from itertools import accumulate
from pathlib import Path
from random import Random
from typing import Any, TypeVar

T = TypeVar("T")

DOMAINS = ("example.org", "example.com", "example.net", "mail.example.org", "staff.example.com", "school.example.edu")
_FOLD = str.maketrans({"ø": "o", "Ø": "o", "ł": "l", "Ł": "l", "đ": "d", "Đ": "d", "ß": "ss"})


def _split(text: str) -> list[str]:
    return text.split()


def _spaced(text: str) -> list[str]:
    return [word.replace("-", " ") for word in text.split()]


class Words:
    """The word lists, prepared for fast choice. Use `words()`, which reads the file once."""

    def __init__(self, source: dict[str, Any]) -> None:
        cultures = source["culture"]
        self._cultures = [(_split(item["first"]), _split(item["last"])) for item in cultures]
        self._weights = list(accumulate(item["weight"] for item in cultures))
        places, organisations, schools, jobs = (source[k] for k in ("places", "organisations", "schools", "jobs"))
        self.cities: list[tuple[str, str, str]] = [tuple(city) for city in places["cities"]]
        self.streets = _spaced(places["streets"])
        self.street_kinds = _split(places["street_kinds"])
        self.units: list[str] = places["units"]
        self.heads = _spaced(organisations["heads"])
        self.middles = _split(organisations["middles"])
        self.tails: list[str] = organisations["tails"]
        self.types = [name for name, _ in organisations["types"]]
        self.type_weights = list(accumulate(weight for _, weight in organisations["types"]))
        self.industries = _split(organisations["industries"])
        self.districts: list[str] = schools["districts"]
        self.school_words = _spaced(schools["words"])
        self.school_kinds = [name for name, _ in schools["kinds"]]
        self.school_weights = list(accumulate(weight for _, weight in schools["kinds"]))
        self.titles: list[str] = jobs["titles"]
        self.departments: list[str] = jobs["departments"]
        self.skills: list[str] = jobs["skills"]
        self.interests: list[str] = jobs["interests"]

    def person(self, rng: Random) -> tuple[str, str]:
        """Return a first and a last name; both mostly of one culture, as in life."""
        chosen = rng.choices(self._cultures, cum_weights=self._weights)[0]
        other = chosen if rng.random() < 0.9 else rng.choices(self._cultures, cum_weights=self._weights)[0]
        return pick(rng, chosen[0]), pick(rng, other[1])

    def first_name(self, rng: Random) -> str:
        """Return a first name alone."""
        return pick(rng, rng.choices(self._cultures, cum_weights=self._weights)[0][0])

    def street(self, rng: Random) -> str:
        """Return house number and street; one in twelve has a second line."""
        street = f"{1 + int(rng.random() * 9800)} {pick(rng, self.streets)} {pick(rng, self.street_kinds)}"
        return street if rng.random() > 0.08 else f"{street}\n{pick(rng, self.units)}"

    def city(self, rng: Random) -> tuple[str, str, str]:
        """Return city, state and postal code."""
        name, state, zone = pick(rng, self.cities)
        return name, state, f"{zone}{int(rng.random() * 100):02d}"


def pick(rng: Random, items: Sequence[T]) -> T:
    """Choose one, several times faster than `rng.choice`."""
    return items[int(rng.random() * len(items))]


@lru_cache(maxsize=4096)
def mailbox(name: str) -> str:
    """Return a name as it stands in an e-mail address: ASCII letters only; empty if it has none (李)."""
    plain = unicodedata.normalize("NFKD", name.translate(_FOLD)).encode("ascii", "ignore").decode()
    return "".join(c for c in plain.lower() if c.isalnum())


def email(rng: Random, first: str, last: str, number: int) -> str:
    """Return an address of a reserved domain that no two people share."""
    local = ".".join(part for part in (mailbox(first), mailbox(last)) if part) or "person"
    return f"{local}{number}@{DOMAINS[int(rng.random() * len(DOMAINS))]}"


def phone(rng: Random) -> str:
    """Return a number of the block that is reserved for fiction (555-01xx), written in one of five ways."""
    area = ("816", "913", "785", "660", "417")[int(rng.random() * 5)]
    line = f"01{int(rng.random() * 100):02d}"
    way = int(rng.random() * 5)
    if way == 0:
        return f"({area}) 555-{line}"
    if way == 1:
        return f"{area}-555-{line}"
    if way == 2:
        return f"+1 {area} 555 {line}"
    return f"{area}555{line}" if way == 3 else f"{area}.555.{line}"


@cache
def words() -> Words:
    """Read the word lists (once a process)."""
    return Words(tomllib.loads(Path(__file__).with_name("words.toml").read_text(encoding="utf-8")))
