"""Who calls, and under which options: from the headers of each call."""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any

from pyarrow import flight

from polyport.access.identity import credential, preview
from polyport.errors import AccessError, AuthenticationError
from polyport.model import LATEST, OWNER
from polyport.ports.output.flight.errors import telling
from polyport.ports.output.flight.kept import Kept
from polyport.ports.output.majors import ending

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date

    from polyport.access.identity import Identity
    from polyport.model import Principal, Ref
    from polyport.ports.output.majors import Majors

COOKIE = "arrow_flight_session_id"
IDLE = 8 * 3600
"""Seconds for which a login or a session's options are kept after the last call."""
_COOKIE = re.compile(rf"(?:^|;)\s*{COOKIE}=([A-Za-z0-9_-]{{1,128}})\s*(?:;|$)")


@dataclass(frozen=True, slots=True)
class Options:
    """What holds for the statements of a session, as its client set it."""

    product: str = ""
    """The database schema: the product whose datasets need no schema in SQL."""
    purpose: str = ""
    snapshot: Ref = ""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, and what holds for the call."""

    principal: Principal
    session: bytes
    """Where the options are kept."""
    options: Options
    """As the session has them."""
    product: str = ""
    """Empty: none was chosen."""
    purpose: str = ""
    snapshot: Ref = LATEST


@dataclass(slots=True)
class Door:
    """Lets callers in, and knows them again."""

    identity: Identity | None
    """None: only the owner can call."""
    majors: Majors
    logins: Kept[str] = field(
        default_factory=lambda: Kept("login", seconds=IDLE, each=256, most=65_536)
    )
    """Digest of a token -> the key or token that it was given for: that is looked at anew at each call."""
    sessions: Kept[Options] = field(default_factory=lambda: Kept("session", seconds=IDLE))

    def caller(self, headers: Mapping[str, Sequence[Any]]) -> tuple[Caller, Mapping[str, str]]:
        """Who calls, and the headers of the answer.

        Raises:
            AuthenticationError: There are no credentials, or they are of no use.
            AccessError: A header is sent twice, or somebody else than the owner asks for a preview.
        """
        known, login, reply = self._known(once(headers, "authorization"))
        asked = once(headers, "polyport-role")
        principal = known if asked is None else preview(known, asked)
        client = _client(headers) or login
        if not client:
            client = secrets.token_urlsafe(24)
            reply["set-cookie"] = f"{COOKIE}={client}"
        session = hashlib.sha256(f"{principal.id}\0{client}".encode()).digest()
        options = self.sessions.find(principal, session) or Options()
        caller = Caller(
            principal,
            session,
            options,
            once(headers, "polyport-product") or options.product,
            once(headers, "polyport-purpose") or options.purpose,
            once(headers, "polyport-snapshot") or options.snapshot or LATEST,
        )
        return caller, {**reply, **self._ending(caller.product)}

    def _ending(self, product: str) -> Mapping[str, str]:
        """Headers that say that the port which was chosen is deprecated, as those of HTTP do (RFC 9745, RFC 8594)."""
        context = self.majors.find(product or self.majors.only)
        found = None if context is None else ending(context)
        if found is None:
            return {}
        told = {"polyport-notice": f"{found.message}: {found.fix}"}
        if found.since:
            told["deprecation"] = f"@{int(_midnight(found.since).timestamp())}"
        if found.sunset:
            told["sunset"] = format_datetime(_midnight(found.sunset), usegmt=True)
        if found.successor:
            told["polyport-successor"] = found.successor
        return {name: value.encode("ascii", "replace").decode() for name, value in told.items()}

    def _known(self, given: str | None) -> tuple[Principal, str, dict[str, str]]:
        """The principal, the token of its login (empty: it has none), and the headers of the answer."""
        if given is None:
            if self.identity is None or self.identity.local_owner:
                return OWNER, "", {}
            raise AuthenticationError(
                "it is not known who asks", fix="Authorization: Bearer KEY; or KEY as the password"
            )
        text = credential(given)
        if self.identity is None:
            raise AuthenticationError("no key is known here", fix="call without credentials")
        behind = self.logins.find(None, _digest(text))
        principal = self.identity.authenticate(behind or text)
        if not given.strip().lower().startswith("basic"):
            return principal, text if behind else "", {}
        token = secrets.token_urlsafe(32)
        self.logins.keep(principal, text, _digest(token))
        return principal, token, {"authorization": f"Bearer {token}"}


class Doorkeeper(flight.ServerMiddlewareFactory):  # type: ignore[misc]
    """Stands before each call."""

    def __init__(self, door: Door) -> None:
        self.door = door

    @telling
    def start_call(self, info: Any, headers: Mapping[str, Sequence[Any]]) -> Admitted:  # noqa: ARG002
        """Let it in, or not."""
        return Admitted(*self.door.caller(headers))


class Admitted(flight.ServerMiddleware):  # type: ignore[misc]
    """A call that was let in."""

    def __init__(self, caller: Caller, reply: Mapping[str, str]) -> None:
        self.caller, self.reply = caller, reply

    def sending_headers(self) -> Mapping[str, str]:
        """Those of the answer."""
        return self.reply


class Handshake(flight.ServerAuthHandler):  # type: ignore[misc]
    """The first call of a client that logs in: `Doorkeeper` has done all there is to do."""

    def authenticate(self, outgoing: Any, incoming: Any) -> None:
        """Nothing is left to say."""

    def is_valid(self, token: bytes) -> bytes:  # noqa: ARG002
        """Callers are known by their headers."""
        return b""


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def once(headers: Mapping[str, Sequence[Any]], name: str) -> str | None:
    """The header's value, or None where it is not sent.

    Raises:
        AccessError: It is sent twice.
    """
    given = headers.get(name, ())
    if len(given) > 1:
        raise AccessError(f"the header {name} is sent {len(given)} times", fix="send it once")
    return str(given[0]).strip() if given else None


def _client(headers: Mapping[str, Sequence[Any]]) -> str:
    """What the client's cookie calls its session; empty where it has none."""
    found = (_COOKIE.search(str(value)) for value in headers.get("cookie", ()))
    return next((match.group(1) for match in found if match), "")


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
