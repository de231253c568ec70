"""Salesforce record ids: 15 case-sensitive characters, and three more that tell which of them are upper case."""

from __future__ import annotations

import re
from functools import lru_cache

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_CHECK = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
_SHAPE = re.compile(r"[A-Za-z0-9]{15}(?:[A-Z0-5]{3})?\Z")
# The part of an id that names the instance and a reserved character; every simulated record is on the same one.
_POD = "5e0"
MOST = len(_DIGITS) ** 9


def suffix(first15: str) -> str:
    """Return the three characters that follow the first 15: of each group of five, which are upper case."""
    return _letter(first15[0:5]) + _letter(first15[5:10]) + _letter(first15[10:15])


@lru_cache(maxsize=4096)  # ids that follow each other share two groups of three
def _letter(group: str) -> str:
    return _CHECK[sum(1 << n for n, letter in enumerate(group) if "A" <= letter <= "Z")]


def make_id(key_prefix: str, number: int) -> str:
    """Return the 18-character id of the n-th record of an object (its three-character prefix); n from 0."""
    if not 0 <= number < MOST:
        raise ValueError(f"record number {number} does not fit into an id")
    letters = []
    for _ in range(9):
        number, digit = divmod(number, 62)
        letters.append(_DIGITS[digit])
    first15 = f"{key_prefix}{_POD}{''.join(reversed(letters))}"
    return first15 + suffix(first15)


def number_of(record_id: str) -> int:
    """Return the number from which `make_id` makes this id."""
    number = 0
    for letter in record_id[6:15]:
        number = number * 62 + _DIGITS.index(letter)
    return number


def is_valid(text: str) -> bool:
    """Tell whether a text is an id of 15 characters, or of 18 with the right last three."""
    return _SHAPE.match(text) is not None and (len(text) == 15 or text[15:] == suffix(text[:15]))


def to_18(text: str) -> str:
    """Return the 18-character form of a valid id. Raises ValueError for anything else."""
    if not is_valid(text):
        raise ValueError("not a Salesforce id")
    return text if len(text) == 18 else text + suffix(text)


def is_ours(record_id: str) -> bool:
    """Tell whether `make_id` could have made this id: others come from imported data."""
    return record_id[3:6] == _POD and is_valid(record_id)
