"""Who comes, and what they ask for as they come: the startup message, passwords, settings."""

from __future__ import annotations

import re
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from polyport.access import keys
from polyport.access.identity import LOOPBACK, preview
from polyport.errors import AccessError, AuthenticationError
from polyport.model import OWNER, Principal
from polyport.ports.output.sql import scram
from polyport.ports.output.sql.messages import Body, ProtocolError, Said, message

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from polyport.access.identity import Identity
    from polyport.access.scram import Verifier
    from polyport.ports.output.sql.transport import Transport

PREFIX: Final = "polyport."
SETTINGS: Final = ("snapshot", "purpose", "role")
"""Of ours: `polyport.snapshot`, ..."""
_LONGEST_WAIT: Final = 4.0
_FORGOTTEN: Final = 60.0
"""Seconds after which a wrong password counts no more."""
_REMEMBERED: Final = 10_000


@dataclass(frozen=True, slots=True)
class Login:
    """Whoever was let in."""

    user: str
    database: str
    """As asked for; empty: none."""
    still: Callable[[], Principal]
    """Who it is now. Raises AuthenticationError once what let it in is of no use."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """Of ours, by their names without the prefix."""
    others: Mapping[str, str] = field(default_factory=dict)
    """PostgreSQL's own: `application_name`."""


class RefusedError(Exception):
    """The client is not let in."""

    def __init__(self, said: Said) -> None:
        super().__init__(said.message)
        self.said = said


def fatal(state: str, text: str, hint: str = "") -> RefusedError:
    """A refusal."""
    return RefusedError(Said(state, text, hint=hint, severity="FATAL"))


class Guesses:
    """Wrong passwords of each address: the more there were, the longer the next answer takes."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[int, float]] = {}
        self._lock = threading.Lock()

    def wrong(self, address: str) -> float:
        """Count one; the seconds to wait before it is answered."""
        now = time.monotonic()
        with self._lock:
            count, last = self._known.pop(address, (0, now))
            count = 1 if now - last > _FORGOTTEN else count + 1
            if len(self._known) >= _REMEMBERED:
                self._known.pop(next(iter(self._known)))
            self._known[address] = (count, now)
        return min(0.1 * float(2 ** min(count, 10)), _LONGEST_WAIT)

    def right(self, address: str) -> None:
        """Forget them."""
        with self._lock:
            self._known.pop(address, None)


@dataclass(slots=True)
class Doorkeeper:
    """Lets clients in."""

    identity: Identity | None
    """None: only the owner can come."""
    bound: bytes | None = None
    """What TLS is bound to."""
    guesses: Guesses = field(default_factory=Guesses)
    pause: Callable[[float], object] = time.sleep

    def admit(self, transport: Transport, parameters: Mapping[str, str], address: str) -> Login:
        """Whoever comes.

        Raises:
            RefusedError: They are not let in.
            ProtocolError: What they say is none of the protocol.
        """
        user = parameters.get("user", "")
        if not user:
            raise fatal("28000", "no PostgreSQL user name specified in startup packet")
        settings, others = split_settings(parameters)
        still = self._known(transport, user, address)
        return Login(user, parameters.get("database", ""), still, settings, others)

    def _known(self, transport: Transport, user: str, address: str) -> Callable[[], Principal]:
        if self.identity is None or (self.identity.local_owner and user == OWNER.id):
            if user != OWNER.id:
                raise fatal("28000", f'no user "{user}": here only "{OWNER.id}" can come')
            return lambda: OWNER
        try:
            still = self._proved(transport, self.identity, user, local=is_local(address))
        except AuthenticationError:
            still = None
        if still is None:
            self.pause(self.guesses.wrong(address))
            raise fatal(
                "28P01",
                f'password authentication failed for user "{user}"',
                "the user is the principal's id, the password its API key or token",
            )
        self.guesses.right(address)
        return still

    def _proved(
        self, transport: Transport, identity: Identity, user: str, *, local: bool
    ) -> Callable[[], Principal] | None:
        known = keys.scram(identity.control, user)
        if known is None and identity.issuers is not None and (local or transport.encrypted):
            return self._token(transport, identity, user)
        bound = self.bound if transport.encrypted else None
        found = scram.prove(transport, user, known, bound)
        return _by_key(identity, found) if found else None

    def _token(
        self, transport: Transport, identity: Identity, user: str
    ) -> Callable[[], Principal] | None:
        transport.send(message(b"R", (3).to_bytes(4, "big")))
        kind, raw = transport.message()
        if kind != b"p":
            raise ProtocolError("expected password response")
        body = Body(raw)
        token = body.text()
        body.end()

        def still() -> Principal:
            if identity.issuers is None or keys.is_key(token):
                return keys.authenticate(identity.control, token)
            return identity.issuers.authenticate(token)

        return still if still().id == user else None


def _by_key(identity: Identity, found: Verifier) -> Callable[[], Principal]:
    def still() -> Principal:
        return keys.proved(identity.control, found.key_id, found.stored)

    still()
    return still


def is_local(address: str) -> bool:
    """Whether `address` is of this machine."""
    return address in LOOPBACK or address.startswith("127.") or address == "::ffff:127.0.0.1"


def as_whom(known: Principal, role: str) -> Principal:
    """`known`, or whom the owner asks as.

    Raises:
        AccessError: It is not the owner who asks.
    """
    try:
        return preview(known, role) if role else known
    except AccessError as error:
        fix = error.fix.replace("Polyport-Role: ", "polyport.role = ").replace(
            "Polyport-Role", "polyport.role"
        )
        raise AccessError(
            error.message.replace("Polyport-Role", "polyport.role"), fix=fix
        ) from None


_OPTION: Final = re.compile(r"(?:\\.|[^\s\\])+", re.DOTALL)


def split_settings(parameters: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """The settings of a startup message: ours, and PostgreSQL's.

    Raises:
        RefusedError: One of ours is not known, or `options` is not written right.
    """
    given = {**_options(parameters.get("options", "")), **parameters}
    ours: dict[str, str] = {}
    others: dict[str, str] = {}
    for name, value in given.items():
        lowered = name.lower()
        if lowered.startswith(PREFIX):
            ours[known(lowered.removeprefix(PREFIX))] = value
        elif lowered not in ("user", "database", "options", "replication"):
            others[name] = value
    if parameters.get("replication", "off").lower() not in ("off", "false", "no", "0"):
        raise fatal("0A000", "there is no replication from a data product")
    return ours, others


def known(name: str) -> str:
    """`name`, if it is a setting of ours.

    Raises:
        RefusedError: It is not.
    """
    if name not in SETTINGS:
        raise fatal(
            "42704",
            f'unrecognized configuration parameter "{PREFIX}{name}"',
            ", ".join(PREFIX + each for each in SETTINGS),
        )
    return name


def _options(given: str) -> dict[str, str]:
    """`-c name=value --name=value`; a backslash keeps what follows it."""
    words = [re.sub(r"\\(.)", r"\1", word, flags=re.DOTALL) for word in _OPTION.findall(given)]
    found: dict[str, str] = {}
    while words:
        word = words.pop(0)
        if word == "-c" and words:
            word = words.pop(0)
        elif word.startswith(("-c", "--")):
            word = word[2:]
        else:
            raise fatal("42601", f"invalid command-line argument for server process: {word}")
        name, equals, value = word.partition("=")
        if not equals:
            raise fatal("42601", f"-c {name} requires a value")
        found[name.strip()] = value
    return found
