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
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from polyport.access import scram as scrams
from polyport.access.scram import Scram
from polyport.errors import AuthenticationError, ConfigurationError, NotFoundError
from polyport.model import OWNER, OWNER_ROLE, Credential, Principal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from polyport.access.control import Control
    from polyport.model import Entry

State: TypeAlias = Literal["active", "expired", "revoked"]
LONGEST = 200
"""Characters of a name."""
MOST = 100
"""Roles, teams or attributes of one key."""
_TEXT = re.compile(r"pp_([0-9a-f]{12})_([A-Za-z0-9_-]{43})", re.ASCII)
_NOBODY = "0" * 64


@dataclass(frozen=True, slots=True)
class Secret:
    """What one secret is checked by."""

    digest: str = field(repr=False)
    """SHA-256 of it, in hexadecimal digits."""
    scram: str = field(repr=False)
    """Its SCRAM-SHA-256 verifier; empty: it was made before there were any, and is taken over HTTP only."""

    @property
    def mark(self) -> str:
        """Which one it is, to tell it from those before and after it."""
        return self.digest[:16]


@dataclass(frozen=True, slots=True)
class Key:
    """One API key as it stands; its secret is nowhere."""

    id: str
    principal: str
    """The id of the principal that it stands for."""
    secret: Secret
    created: datetime
    roles: frozenset[str] = frozenset()
    teams: frozenset[str] = frozenset()
    attributes: Mapping[str, str] = field(default_factory=dict)
    expires: datetime | None = None
    note: str = ""
    revoked: datetime | None = None
    rotated: datetime | None = None
    before: Secret | None = None
    """The secret before the last rotation, where it was given a grace."""
    before_until: datetime | None = None
    """Until when that one works, too."""

    def state(self, now: datetime) -> State:
        """How it stands at `now`."""
        if self.revoked is not None:
            return "revoked"
        return "expired" if self.expires is not None and now >= self.expires else "active"

    def secrets(self, now: datetime) -> tuple[Secret, ...]:
        """The secrets that work at `now`: one; two, in the grace of a rotation; none, once it is of no use."""
        if self.state(now) != "active":
            return ()
        graced = self.before_until is not None and now < self.before_until
        return (self.secret, self.before) if graced and self.before else (self.secret,)

    @property
    def owns(self) -> bool:
        """Whether it is an owner's: of the mesh or of one product."""
        return any(is_owner(role) for role in self.roles)

    def as_principal(self, secret: Secret | None = None) -> Principal:
        """Who comes with it, and with which of its secrets; None: without any, to be asked about."""
        known = Credential(self.id, secret.mark) if secret else None
        return Principal(self.principal, self.roles, self.attributes, self.teams, credential=known)

    def record(self, now: datetime) -> dict[str, Any]:
        """What may be told of it: all but what its secrets are checked by."""
        return {
            "id": self.id,
            "principal": self.principal,
            "state": self.state(now),
            "roles": sorted(self.roles),
            "teams": sorted(self.teams),
            "attributes": dict(self.attributes),
            "created": self.created,
            "expires": self.expires,
            "rotated": self.rotated,
            "revoked": self.revoked,
            "note": self.note,
        }


def is_owner(role: str) -> bool:
    """Whether `role` is `owner` or `owner:<product id>`."""
    return role.partition(":")[0] == OWNER_ROLE


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
    name, who = secrets.token_hex(6), _named("principal", principal.id)
    secret, text = _made(name, who)
    key = Key(
        name,
        who,
        secret,
        now,
        _names("role", principal.roles),
        _names("team", principal.teams),
        _attributes(principal.attributes),
        expires,
        _note(note),
    )
    if key.principal == OWNER.id and OWNER_ROLE not in key.roles:
        raise ConfigurationError(
            f"the principal {OWNER.id!r} is the owner", fix=f"another name, or --role {OWNER_ROLE}"
        )
    return _write(control, key, by), text


def keys(control: Control) -> Mapping[str, Key]:
    """All keys as they stand, by id, in the order in which they were made.

    Raises:
        StoreError: The journal cannot be read.
    """
    return control.derived("keys", lambda: {n: _key(e) for n, e in control.current("key").items()})


def one(control: Control, name: str) -> Key:
    """The key with the id `name`.

    Raises:
        NotFoundError: There is none.
        StoreError: The journal cannot be read.
    """
    found = keys(control).get(name)
    if found is None:
        shown = name[:15] + "..." if name.startswith("pp_") else name[:20]
        raise NotFoundError(f"no key {shown!r}", fix="polyport access key list")
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


def is_key(text: str) -> bool:
    """Whether `text` is meant as a key."""
    return text.startswith("pp_")


def authenticate(control: Control, text: str, *, now: datetime | None = None) -> Principal:
    """Who comes with the key `text`. Costs microseconds: the journal is read again only once it grew.

    Raises:
        AuthenticationError: It is of no use; whether it is unknown, wrong, expired or revoked is not told.
        StoreError: The journal cannot be read.
    """
    found = _TEXT.fullmatch(text)
    key = keys(control).get(found[1]) if found else None
    given = _digest(found[2] if found else "")
    working = key.secrets(now or datetime.now(UTC)) if key else ()
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
    key = keys(control).get(credential.key)
    working = key.secrets(now) if key else ()
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
    who has keys. A proof that fits gives the principal by `Identity.by_key_id`.

    Raises:
        StoreError: The journal cannot be read.
    """
    at = now or datetime.now(UTC)
    theirs = [key for key in keys(control).values() if key.principal == principal]
    found = [(key.id, s.scram) for key in theirs for s in key.secrets(at) if s.scram]
    verifiers = tuple(scrams.read(name, kept) for name, kept in found)
    return Scram(scrams.salt(principal), scrams.ITERATIONS, verifiers) if verifiers else None


def proved(
    control: Control, name: str, stored: bytes | None = None, *, now: datetime | None = None
) -> Principal:
    """Who comes with the key `name`, whose secret with the SCRAM StoredKey `stored` (None: the newest) was proved.

    Raises:
        AuthenticationError: It is of no use by now.
        StoreError: The journal cannot be read.
    """
    key = keys(control).get(name)
    working = key.secrets(now or datetime.now(UTC)) if key else ()
    if stored is not None:
        working = tuple(
            s for s in working if s.scram and scrams.read(name, s.scram).stored == stored
        )
    if key is None or not working:
        raise refused()
    return key.as_principal(working[0])


def usable(control: Control, now: datetime | None = None) -> int:
    """How many keys let somebody in.

    Raises:
        StoreError: The journal cannot be read.
    """
    now = now or datetime.now(UTC)
    return sum(key.state(now) == "active" for key in keys(control).values())


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
    document = {
        "principal": key.principal,
        "digest": key.secret.digest,
        "scram": key.secret.scram,
        "roles": sorted(key.roles),
        "teams": sorted(key.teams),
        "attributes": dict(key.attributes),
        "note": key.note,
        "before": key.before.digest if key.before else "",
        "before_scram": key.before.scram if key.before else "",
        **{name: _text(getattr(key, name)) for name in _TIMES},
    }
    control.journal.append("key", key.id, document, by=by)
    return key


_TIMES = ("created", "expires", "revoked", "rotated", "before_until")


def _key(entry: Entry) -> Key:
    said = entry.document
    times = {name: datetime.fromisoformat(said[name]) for name in _TIMES if said[name]}
    before = Secret(said["before"], said.get("before_scram", "")) if said["before"] else None
    return Key(
        entry.name,
        said["principal"],
        Secret(said["digest"], said.get("scram", "")),
        roles=frozenset(said["roles"]),
        teams=frozenset(said["teams"]),
        attributes=said["attributes"],
        note=said["note"],
        before=before,
        **times,
    )


def _text(time: datetime | None) -> str:
    return time.isoformat() if time else ""


def _named(what: str, name: str) -> str:
    if not name.strip() or name != name.strip() or len(name) > LONGEST or not name.isprintable():
        raise ConfigurationError(
            f"{name[:LONGEST]!r} cannot be a {what}", fix=f"1 to {LONGEST} printable characters"
        )
    if is_key(name):
        raise ConfigurationError(f"a key is given as {what}", fix=f"the name of the {what}")
    return name


def _names(what: str, names: Iterable[str]) -> frozenset[str]:
    found = frozenset(_named(what, name) for name in names)
    if len(found) > MOST:
        raise ConfigurationError(f"{len(found)} are too many of {what}", fix=f"at most {MOST}")
    return found


def _attributes(given: Mapping[str, str]) -> Mapping[str, str]:
    for name in _names("attribute", given):
        if name == "id":
            raise ConfigurationError("the attribute 'id' is the principal's id", fix="another name")
    return {name: _note(value) for name, value in given.items()}


def _note(text: str) -> str:
    if len(text) > 10 * LONGEST or not text.isprintable():
        raise ConfigurationError(
            f"{text[:40]!r} is too long, or holds what cannot be printed",
            fix=f"up to {10 * LONGEST} printable characters",
        )
    return text
