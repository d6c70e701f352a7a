"""One API key as it stands: what it gives, what its secrets are checked by, and how the journal keeps both."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from polyport.errors import ConfigurationError
from polyport.model import OWNER, OWNER_ROLE, Credential, Principal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from polyport.model import Entry

State: TypeAlias = Literal["active", "expired", "revoked"]
LONGEST = 200
"""Characters of a name."""
MOST = 100
"""Roles, teams or attributes of one key."""
_TIMES = ("created", "expires", "revoked", "rotated", "before_until")


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

    def document(self) -> dict[str, Any]:
        """As the journal keeps it."""
        before = self.before or Secret("", "")
        times = {name: getattr(self, name) for name in _TIMES}
        return {
            "principal": self.principal,
            "digest": self.secret.digest,
            "scram": self.secret.scram,
            "roles": sorted(self.roles),
            "teams": sorted(self.teams),
            "attributes": dict(self.attributes),
            "note": self.note,
            "before": before.digest,
            "before_scram": before.scram,
            **{name: time.isoformat() if time else "" for name, time in times.items()},
        }

    @classmethod
    def of(cls, entry: Entry) -> Key:
        """The key that the journal's entry holds."""
        said = entry.document
        times = {name: datetime.fromisoformat(said[name]) for name in _TIMES if said[name]}
        before = Secret(said["before"], said.get("before_scram", "")) if said["before"] else None
        return cls(
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


def is_owner(role: str) -> bool:
    """Whether `role` is `owner` or `owner:<product id>`."""
    return role.partition(":")[0] == OWNER_ROLE


def is_key(text: str) -> bool:
    """Whether `text` is meant as a key."""
    return text.startswith("pp_")


def check(principal: Principal, note: str) -> None:
    """Make sure that a key can stand for `principal`, and have that note.

    Raises:
        ConfigurationError: A name, an attribute or the note cannot be kept, or they are too many.
    """
    _check_name("principal", principal.id)
    named = {"role": principal.roles, "team": principal.teams, "attribute": principal.attributes}
    for what, names in named.items():
        if len(names) > MOST:
            raise ConfigurationError(f"{len(names)} are too many of {what}", fix=f"at most {MOST}")
        for name in names:
            _check_name(what, name)
    if "id" in principal.attributes:
        raise ConfigurationError("the attribute 'id' is the principal's id", fix="another name")
    if principal.id == OWNER.id and OWNER_ROLE not in principal.roles:
        raise ConfigurationError(
            f"the principal {OWNER.id!r} is the owner", fix=f"another name, or --role {OWNER_ROLE}"
        )
    for text in (*principal.attributes.values(), note):
        if len(text) > 10 * LONGEST or not text.isprintable():
            raise ConfigurationError(
                f"{text[:40]!r} is too long, or holds what cannot be printed",
                fix=f"up to {10 * LONGEST} printable characters",
            )


def _check_name(what: str, name: str) -> None:
    if not name.strip() or name != name.strip() or len(name) > LONGEST or not name.isprintable():
        raise ConfigurationError(
            f"{name[:LONGEST]!r} cannot be a {what}", fix=f"1 to {LONGEST} printable characters"
        )
    if is_key(name):
        raise ConfigurationError(f"a key is given as {what}", fix=f"the name of the {what}")
