"""SCRAM-SHA-256 (RFC 5802, RFC 7677): what a server checks a key by that a client proves without sending it.

A verifier is kept as RFC 5803 writes it: `SCRAM-SHA-256$4096:<salt>$<StoredKey>:<ServerKey>`. It is never shown: with
it and a login that was overheard, the key's client could be played until the key is rotated.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass, field
from typing import Final

SCHEME: Final = "SCRAM-SHA-256"
ITERATIONS: Final = 4096
"""As few as RFC 7677 allows. More would slow down the guessing of a password that a person chose; 256 random bits
cannot be guessed, however fast each guess is."""
_SALT_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class Verifier:
    """What one secret of one key is checked by."""

    key_id: str
    stored: bytes = field(repr=False)
    """RFC 5802 StoredKey."""
    server: bytes = field(repr=False)
    """RFC 5802 ServerKey."""


@dataclass(frozen=True, slots=True)
class Scram:
    """What a server answers a client's first message with, and what it may then be proved by."""

    salt: bytes
    iterations: int
    verifiers: tuple[Verifier, ...]
    """One for each secret that works now; a proof fits at most one of them."""


def salt(principal: str) -> bytes:
    """The salt of all keys of the principal with that id, and of one that does not exist: which it is cannot be told.

    It is made from the id, so that two processes that give a principal its first two keys at once make one salt. A salt
    keeps tables of guesses from being made before; of 256 random bits there are none.
    """
    said = principal.encode("utf-8", "surrogatepass")
    return hashlib.sha256(b"polyport scram salt\0" + said).digest()[:_SALT_BYTES]


def made(text: str, principal: str) -> str:
    """The verifier of a key's whole text, which a client has for a password. It is ASCII: SASLprep changes nothing."""
    salted = hashlib.pbkdf2_hmac("sha256", text.encode("ascii"), salt(principal), ITERATIONS)
    stored = hashlib.sha256(_hmac(salted, b"Client Key")).digest()
    parts = (_written(each) for each in (salt(principal), stored, _hmac(salted, b"Server Key")))
    return "{}${}:{}${}:{}".format(SCHEME, ITERATIONS, *parts)


def read(key_id: str, kept: str) -> Verifier:
    """The verifier that `made` wrote."""
    stored, _, server = kept.rpartition("$")[2].partition(":")
    return Verifier(key_id, base64.b64decode(stored), base64.b64decode(server))


def _hmac(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, "sha256")


def _written(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")
