"""An encrypted file, written and read as a stream: AES-256-GCM in chunks of a mebibyte (the STREAM construction).

    magic (8) | salt (16) | chunk | chunk | ... | last chunk        each chunk: ciphertext, then its tag (16)

Each file has a key of its own, derived from the backup key and the salt, so a nonce never comes twice. The nonce is
the chunk's number and whether it is the last one: a chunk that is changed, moved, left out or cut off, or a file that
ends early, does not decrypt. The backup's name is authenticated too, so files cannot be exchanged.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Iterator
from typing import BinaryIO, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from include.operations.backup.errors import BackupDamaged

MAGIC: Final = b"OVSEAL1\n"
_SALT: Final = 16
_TAG: Final = 16
CHUNK: Final = 1 << 20
_DAMAGED_ADVICE: Final = "take another backup: this one cannot be used"


def key_id(key: bytes) -> str:
    """A short name of a key that tells nothing about it: which key made a backup is written in its manifest."""
    return hmac.new(key, b"backup key id", hashlib.sha256).hexdigest()[:8]


def _file_key(key: bytes, salt: bytes, name: str) -> AESGCM:
    return AESGCM(HKDF(SHA256(), 32, salt, b"backup " + name.encode()).derive(key))


def _nonce(number: int, *, last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes([last])


class SealedWriter:
    """Encrypts what is written into `file`. Only `finish` makes it readable; without it the file counts as cut off."""

    def __init__(self, file: BinaryIO, key: bytes, name: str) -> None:
        salt = os.urandom(_SALT)
        self._file = file
        self._cipher = _file_key(key, salt, name)
        self._buffer = bytearray()
        self._number = 0
        file.write(MAGIC + salt)

    def write(self, data: bytes) -> None:
        """Take some bytes; a chunk is written when there is more than one, because the last one is marked."""
        self._buffer += data
        while len(self._buffer) > CHUNK:
            self._seal(bytes(self._buffer[:CHUNK]), last=False)
            del self._buffer[:CHUNK]

    def finish(self) -> None:
        """Write the last chunk, which may be empty."""
        self._seal(bytes(self._buffer), last=True)
        self._buffer.clear()

    def _seal(self, chunk: bytes, *, last: bool) -> None:
        self._file.write(self._cipher.encrypt(_nonce(self._number, last=last), chunk, None))
        self._number += 1


def unseal(file: BinaryIO, key: bytes, name: str) -> Iterator[bytes]:
    """Decrypt a file chunk by chunk. What was given before an error must not be used.

    Raises:
        BackupDamaged: the file is cut off, changed, of another backup, or of another key.
    """
    head = file.read(len(MAGIC) + _SALT)
    if len(head) != len(MAGIC) + _SALT or not head.startswith(MAGIC):
        raise BackupDamaged(f"{name}: not an encrypted backup", what_to_do=_DAMAGED_ADVICE)
    cipher = _file_key(key, head[len(MAGIC) :], name)
    number = 0
    chunk = file.read(CHUNK + _TAG)
    while True:
        following = file.read(CHUNK + _TAG)
        try:
            yield cipher.decrypt(_nonce(number, last=not following), chunk, None)
        except InvalidTag as error:
            raise BackupDamaged(f"{name}: damaged or cut off at chunk {number}", what_to_do=_DAMAGED_ADVICE) from error
        if not following:
            return
        chunk, number = following, number + 1
