"""API keys: who a program or a person is, by a secret that is shown once and never kept.

What it is checked by is kept: its digest, and a SCRAM verifier for protocols that prove a password without sending it.
A key reads `pp_<12 hex digits: its id>_<43 characters: 256 random bits>`. Keys are entries of the journal, so that one
revoked by any process stops the next request of each.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from polyport.access import scram as scrams
from polyport.access.credentials import Key, Secret, check, is_key, is_owner
from polyport.access.scram import Scram
from polyport.errors import AuthenticationError, ConfigurationError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from polyport.access.control import Control
    from polyport.model import Credential, Principal

_TEXT = re.compile(r"pp_([0-9a-f]{12})_([A-Za-z0-9_-]{43})", re.ASCII)
_NOBODY = "0" * 64


def create(
    control: Control,
    principal: Principal,
    *,
    expires: datetime | None = None,
    note: str = "",
    by: str,
) -> tuple[Key, str]:
    """A new key that stands for `principal`, and its text: the only time that it can be seen.

    Raises:
        ConfigurationError: A name cannot be used, or `expires` is not in the future.
        StoreError: The journal cannot be written.
    """
    now = datetime.now(UTC)
    if expires is not None and expires <= now:
        raise ConfigurationError(
            f"a key that expires at {expires.isoformat()} would never work", fix="90d, or a date"
        )
    check(principal, note)
    name = secrets.token_hex(6)
    secret, text = _made(name, principal.id)
    key = Key(
        name,
        principal.id,
        secret,
        now,
        principal.roles,
        principal.teams,
        principal.attributes,
        expires,
        note,
    )
    return _write(control, key, by), text


def keys(control: Control) -> Mapping[str, Key]:
    """All keys as they stand, by id, in the order in which they were made.

    Raises:
        StoreError: The journal cannot be read.
    """
    return control.derived(
        "keys", lambda: {n: Key.of(e) for n, e in control.current("key").items()}
    )


def one(control: Control, name: str) -> Key:
    """The key with the id `name`.

    Raises:
        NotFoundError: There is none.
        StoreError: The journal cannot be read.
    """
    found = keys(control).get(name)
    if found is None:
        shown = name[:15] + "..." if name.startswith("pp_") else name[:20]
        raise NotFoundError(
            f"no key {shown!r}",
            fix="polyport access key list",
            remote_fix="GET .../control/keys lists them",
        )
    return found


def rotate(
    control: Control, name: str, *, grace: timedelta = timedelta(0), by: str
) -> tuple[Key, str]:
    """The key with a new secret, and its text; for `grace` the secret before works, too.

    Raises:
        NotFoundError: There is no such key.
        ConfigurationError: It is revoked or expired.
        StoreError: The journal cannot be written.
    """
    now, key = datetime.now(UTC), one(control, name)
    state = key.state(now)
    if state != "active":
        raise ConfigurationError(f"the key {key.id} is {state}", fix="create another")
    secret, text = _made(key.id, key.principal)
    graced = grace > timedelta(0)
    fresh = replace(
        key,
        secret=secret,
        rotated=now,
        before=key.secret if graced else None,
        before_until=now + grace if graced else None,
    )
    return _write(control, fresh, by), text


def revoke(control: Control, name: str, *, by: str) -> Key:
    """The key, of no use from the next request on; one that is revoked stays as it is.

    Raises:
        NotFoundError: There is no such key.
        StoreError: The journal cannot be written.
    """
    key = one(control, name)
    if key.revoked is not None:
        return key
    return _write(control, replace(key, revoked=datetime.now(UTC)), by)


def authenticate(control: Control, text: str, *, now: datetime | None = None) -> Principal:
    """Who comes with the key `text`. Costs microseconds: the journal is read again only once it grew.

    Raises:
        AuthenticationError: It is of no use; whether it is unknown, wrong, expired or revoked is not told.
        StoreError: The journal cannot be read.
    """
    found = _TEXT.fullmatch(text)
    name, secret = found.groups() if found else ("", "")
    given, (key, working) = _digest(secret), _working(control, name, now)
    right = [hmac.compare_digest(given, digest) for digest in _digests(working)]
    if key is None or not any(right):
        raise refused()
    return key.as_principal(working[right.index(True)])


def lasts(control: Control, credential: Credential, now: datetime) -> datetime | None:
    """Until when `credential` is good by itself; None: no end is set.

    Raises:
        AuthenticationError: It has ended.
        StoreError: The journal cannot be read.
    """
    if not credential.key:
        if credential.until is not None and now >= credential.until:
            raise _ended("the token has expired")
        return credential.until
    key, working = _working(control, credential.key, now)
    used = next((secret for secret in working if secret.mark == credential.secret), None)
    if key is None or used is None:
        raise _ended("the key has expired, or was revoked or rotated")
    ends = (key.expires, key.before_until if used == key.before else None)
    return min((end for end in ends if end is not None), default=None)


def _ended(reason: str) -> AuthenticationError:
    return AuthenticationError(f"the login has ended: {reason}", fix="log in again")


def refused() -> AuthenticationError:
    """What is said of any key that is of no use."""
    return AuthenticationError(
        "the key is not accepted", fix="ask whoever gave it: it is wrong, expired or revoked"
    )


def scram(control: Control, principal: str, *, now: datetime | None = None) -> Scram | None:
    """What a client that says it is `principal` proves one of its keys by; None where none of them works now.

    Answer a principal without one as any other, with `polyport.access.scram.salt`, and refuse its proof: nobody is told
    who has keys. A proof that fits gives the principal by `proved`.

    Raises:
        StoreError: The journal cannot be read.
    """
    at = now or datetime.now(UTC)
    theirs = [key for key in keys(control).values() if key.principal == principal]
    found = [(key.id, s.scram) for key in theirs for s in key.secrets(at) if s.scram]
    verifiers = tuple(scrams.read(name, kept) for name, kept in found)
    return Scram(scrams.salt(principal), scrams.ITERATIONS, verifiers) if verifiers else None


def proved(control: Control, name: str, stored: bytes, *, now: datetime | None = None) -> Principal:
    """Who comes with the key `name`, whose secret with the SCRAM StoredKey `stored` was proved: see `scram`.

    In the grace of a rotation there are two secrets, and the older one ends with it.

    Raises:
        AuthenticationError: It is of no use by now.
        StoreError: The journal cannot be read.
    """
    key, working = _working(control, name, now)
    fitting = (s for s in working if s.scram and scrams.read(name, s.scram).stored == stored)
    secret = next(fitting, None)
    if key is None or secret is None:
        raise refused()
    return key.as_principal(secret)


def usable(control: Control, now: datetime | None = None) -> int:
    """How many keys let somebody in.

    Raises:
        StoreError: The journal cannot be read.
    """
    now = now or datetime.now(UTC)
    return sum(key.state(now) == "active" for key in keys(control).values())


def _working(
    control: Control, name: str, now: datetime | None
) -> tuple[Key | None, tuple[Secret, ...]]:
    """The key with the id `name`, and its secrets that work now."""
    key = keys(control).get(name)
    return key, key.secrets(now or datetime.now(UTC)) if key else ()


def _made(name: str, principal: str) -> tuple[Secret, str]:
    """A new secret of the key `name`, and the key's text."""
    secret = secrets.token_urlsafe(32)
    text = f"pp_{name}_{secret}"
    return Secret(_digest(secret), scrams.made(text, principal)), text


def _digests(working: tuple[Secret, ...]) -> tuple[str, str]:
    """Two, however many work: whether there are any is not told by the time it takes."""
    first, second, *_ = (*(secret.digest for secret in working), _NOBODY, _NOBODY)
    return first, second


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _write(control: Control, key: Key, by: str) -> Key:
    control.journal.append("key", key.id, key.document(), by=by)
    return key


__all__ = [
    "Key", "authenticate", "create", "is_key", "is_owner", "keys", "lasts", "one", "proved", "refused", "revoke",
    "rotate", "scram", "usable",
]  # fmt: skip
