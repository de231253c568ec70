"""Keys of 32 bytes, from an environment variable `<NAME>` or from the file that `<NAME>_FILE` names."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from include.operations.errors import InputRejected

KEY_BYTES: Final = 32
_OPENSSL: Final = "openssl rand -base64 32"


def read_key(given: Mapping[str, str], variable: str) -> bytes | None:
    """The key's bytes, from base64; None when neither variable is set.

    Raises:
        InputRejected: it cannot be read, or is no such key; the message names the variable, never the key.
    """
    name = f"{variable}_FILE" if given.get(f"{variable}_FILE") else variable
    text = given.get(name)
    if not text:
        return None
    if name != variable:
        try:
            text = Path(text).expanduser().read_text(encoding="ascii")
        except (OSError, ValueError) as error:
            # Without its key the work would silently go on unprotected.
            raise InputRejected(
                f"the file that {name} names cannot be read", what_to_do="mend it, or leave the variable out"
            ) from error
    try:
        key = base64.b64decode(text.strip().replace("-", "+").replace("_", "/"), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        raise InputRejected(
            f"{name} is not base64 of {KEY_BYTES} bytes", what_to_do=f"make a key with `{_OPENSSL}` and keep it safe"
        )
    return key
