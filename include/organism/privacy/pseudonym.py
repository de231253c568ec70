"""Pseudonyms of people, made where their ids come in: the stream, the roster, the assessments, the command line.

With a key, an id becomes `p` + base32 of the first 16 bytes of HMAC-SHA256(key, id). Who has the graph, the warehouse
or a backup, but not the key, cannot find out whose the rows are; without the key nobody ever can again, so destroying
it is erasure of all. Without a key ids are what the producers call people.

A graph built with one key cannot be continued with another, or with none: everybody would become two people. The graph
remembers the key's fingerprint.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
from collections.abc import Mapping
from typing import Final, Self

from include.operations.secret_key import read_key

VARIABLE: Final = "ORGANISM_PSEUDONYM_KEY"
_BYTES: Final = 16
# So that a tombstone is no pseudonym of anybody, whatever the key.
_PERSON, _TOMBSTONE, _FINGERPRINT = b"person:", b"tombstone:", b"fingerprint"


class Pseudonyms:
    """Names people as the graph and the warehouse do."""

    def __init__(self, key: bytes | None = None) -> None:
        self._key = key

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Self:
        """With the key of `ORGANISM_PSEUDONYM_KEY` or `ORGANISM_PSEUDONYM_KEY_FILE`, if there is one.

        Raises:
            InputRejected: it is no key.
        """
        return cls(read_key(os.environ if environ is None else environ, VARIABLE))

    @property
    def are_made(self) -> bool:
        """Whether there is a key."""
        return self._key is not None

    @property
    def fingerprint(self) -> str:
        """Tells keys apart without telling them; "": no key."""
        return self._digest(_FINGERPRINT).hex()[:16] if self._key else ""

    def of(self, person: str) -> str:
        """The name of a person, given the producers' id."""
        if not self._key:
            return person
        digest = self._digest(_PERSON + person.encode())[:_BYTES]
        return "p" + base64.b32encode(digest).decode().rstrip("=").lower()

    def tombstone(self, name: str) -> str:
        """What remains of an erased person, given what `of` gave: enough to know them again, and to leave them out.

        Without a key it is a plain digest, which who can guess ids can find.
        """
        return self._digest(_TOMBSTONE + name.encode()).hex()

    def _digest(self, text: bytes) -> bytes:
        return hmac.new(self._key or b"", text, hashlib.sha256).digest()
