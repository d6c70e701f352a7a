"""Bearer tokens of OpenID Connect issuers: verified with the issuer's own keys, which are asked for as they rotate.

OpenID Connect Discovery 1.0, RFC 7517 (JWK), RFC 7519 (JWT), RFC 8725 (what to refuse).
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from polyport.errors import AuthenticationError, ConfigurationError, MissingExtraError
from polyport.model import OWNER, Credential, Principal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    import jwt

ALGORITHMS = (
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
)  # fmt: skip
"""Asymmetric ones only: whoever can check a token must not be able to make one."""
FAMILIES = {"R": "RSA", "P": "RSA", "ES": "EC", "Ed": "OKP"}
TOKEN_LIMIT = 16_384
ANSWER_LIMIT = 1 << 20
"""Bytes of an issuer's answer."""
TIMEOUT = 5.0
"""Seconds for a whole answer of an issuer."""
FRESH = 600.0
"""Seconds after which the issuer's keys are asked for again."""
STALE = 86_400.0
"""Seconds for which they count while the issuer cannot be asked."""
PAUSE = 10.0
"""Seconds between two askings."""
CACHED = 4096
"""Tokens that are known to be right."""
LOCAL = ("127.0.0.1", "localhost", "::1")
USER = "user:"
OURS = (OWNER.id, "polyport.yaml")
"""Who Polyport says did something where it was no principal of an issuer."""
KINDS = ("product:", "team:", "file:", USER)
"""What names of Polyport's own begin with."""
LONGEST = 255
"""Characters of a subject, as OpenID Connect Core has it."""


@dataclass(frozen=True, slots=True)
class Settings:
    """One issuer as `mesh.yaml` names it."""

    issuer: str
    audience: tuple[str, ...]
    groups_claim: str = "groups"
    subject_claim: str = "sub"
    teams_claim: str = ""
    """The groups' claim, where empty."""
    leeway: int = 60
    """Seconds that its clock and ours may differ."""
    prefix: str = ""
    """What names of it begin with, and a `#`; where empty, and there are several issuers, the issuer."""


class Issuers:
    """The issuers whose tokens are taken."""

    def __init__(
        self,
        issuers: Sequence[Settings],
        roles: Mapping[str, Iterable[str]],
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Takes tokens of `issuers`; `roles`: role -> the groups, or `user:<principal>`, that have it.

        Raises:
            ConfigurationError: Two cannot be told apart, or an address is neither https nor of this machine.
            MissingExtraError: The extra `oidc` is not installed.
        """
        _library()
        several = len(issuers) > 1
        self.known: dict[str, _Issuer] = {}
        for each in issuers:
            _check_address(each.issuer)
            name = each.prefix or (each.issuer if several else "")
            if each.issuer in self.known or name in {i.name for i in self.known.values()}:
                raise ConfigurationError(
                    f"the issuer {each.issuer!r} or its prefix is there twice",
                    where="mesh.yaml: identity.oidc",
                    fix="one entry for each issuer; its audience may be a list",
                )
            self.known[each.issuer] = _Issuer(each, name, clock)
        self.roles = {role: frozenset(entries) for role, entries in roles.items()}
        self._clock = clock
        self._right: dict[bytes, tuple[Principal, float, _Issuer, str, object]] = {}

    def authenticate(self, token: str) -> Principal:
        """Who comes with `token`.

        Raises:
            AuthenticationError: It is none, not signed by an issuer, not for us, expired; or the issuer is gone.
        """
        mark = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        found = self._right.get(mark)
        if found is not None:
            principal, until, issuer, kid, key = found
            if self._clock() < until and issuer.keys().get(kid) is key:
                return principal
            self._right.pop(mark, None)
        return self._verified(token, mark)

    def _verified(self, token: str, mark: bytes) -> Principal:
        if len(token) > TOKEN_LIMIT:
            raise _refused("it is too long")
        header, claims = _unverified(token)
        issuer = self.known.get(str(claims.get("iss")))
        if issuer is None:
            raise _refused("its issuer is none of those that are trusted here")
        kid, key = issuer.key(header)
        claims = _decoded(token, _jwk(key, header["alg"]), header["alg"], issuer.settings)
        principal = self._principal(issuer, claims)
        if len(self._right) >= CACHED:
            self._right.clear()
        until = float(claims["exp"]) + issuer.settings.leeway
        principal = replace(principal, credential=_credential(until))
        self._right[mark] = (principal, until, issuer, kid, key)
        return principal

    def _principal(self, issuer: _Issuer, claims: Mapping[str, Any]) -> Principal:
        given = issuer.settings
        subject = claims.get(given.subject_claim)
        if not isinstance(subject, str) or not _names_somebody(subject):
            raise _refused(f"its claim {given.subject_claim!r} names nobody")
        groups = issuer.named(_listed(claims.get(given.groups_claim)))
        teams = issuer.named(_listed(claims.get(given.teams_claim or given.groups_claim)))
        name = issuer.principal(subject)
        roles = {
            role
            for role, entries in self.roles.items()
            if USER + name in entries or {e for e in entries if not e.startswith(USER)} & groups
        }
        return Principal(name, frozenset(roles), teams=teams)


@dataclass(slots=True)
class _Issuer:
    """One issuer and its keys, as last seen."""

    settings: Settings
    name: str
    """What tells its names from those of other issuers; empty where it is the only one."""
    clock: Callable[[], float]
    _keys: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    _seen: float = float("-inf")
    _asked: float = float("-inf")
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def named(self, names: Iterable[str]) -> frozenset[str]:
        """The names of groups, told from those of other issuers."""
        return frozenset(f"{self.name}#{name}" if self.name else name for name in names)

    def principal(self, subject: str) -> str:
        """The principal's id; no issuer can give one that is Polyport's own, or one of another issuer."""
        ours = subject in OURS or subject.startswith(KINDS) or "#" in subject
        qualifier = self.name or (self.settings.issuer if ours else "")
        return f"{qualifier}#{subject}" if qualifier else subject

    def keys(self) -> Mapping[str, Mapping[str, Any]]:
        """Its keys by id, not older than ten minutes; a day, while it cannot be asked."""
        if self.clock() - self._seen > FRESH:
            self._ask(wait=not self._keys)
        return self._keys if self.clock() - self._seen < STALE else {}

    def key(self, header: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
        """The key that a token names: its id, and itself.

        Raises:
            AuthenticationError: The issuer has no such key, or cannot be asked.
        """
        kid = header.get("kid")
        known = self.keys()
        if isinstance(kid, str) and kid not in known:
            self._ask()
            known = self.keys()
        if not known:
            raise AuthenticationError(
                f"the issuer {self.settings.issuer} cannot be asked for its keys now",
                fix="try again later",
            )
        if kid is None and len(known) == 1:
            (kid,) = known
        found = known.get(kid) if isinstance(kid, str) else None
        if not isinstance(kid, str) or found is None:
            raise _refused("its issuer has no key of that id")
        if found.get("alg", header["alg"]) != header["alg"] or not _of_family(found, header["alg"]):
            raise _refused("its algorithm is not that of its key")
        return kid, found

    def _ask(self, *, wait: bool = True) -> None:
        """Ask for the keys, if they were not just asked for; what is known stays known.

        One thread asks; the others wait for it, or go on with what is known.
        """
        if not self._lock.acquire(blocking=wait):
            return
        try:
            now = self.clock()
            if now - self._asked < PAUSE:
                return
            self._asked = now
            found = self._found()
            if found:
                same = {k: self._keys[k] for k, v in found.items() if self._keys.get(k) == v}
                self._keys, self._seen = {**found, **same}, self.clock()
        finally:
            self._lock.release()

    def _found(self) -> dict[str, Mapping[str, Any]]:
        """The keys as the issuer tells them now; none where it cannot be asked, or answers something else."""
        issuer = self.settings.issuer
        told = _fetched(issuer.rstrip("/") + "/.well-known/openid-configuration")
        address = told.get("jwks_uri")
        if told.get("issuer") != issuer or not isinstance(address, str) or not _safe(address):
            return {}
        listed = _fetched(address).get("keys")
        keys = [k for k in listed if isinstance(k, dict)] if isinstance(listed, list) else []
        return {str(k.get("kid", "")): k for k in keys if _usable(k)}


def _names_somebody(subject: str) -> bool:
    named = bool(subject) and subject == subject.strip() and subject.isprintable()
    return named and len(subject) <= LONGEST


def _usable(key: Mapping[str, Any]) -> bool:
    return key.get("kty") in FAMILIES.values() and key.get("use", "sig") == "sig"


def _of_family(key: Mapping[str, Any], algorithm: str) -> bool:
    return any(key["kty"] == kind and algorithm.startswith(a) for a, kind in FAMILIES.items())


def _fetched(url: str) -> Mapping[str, Any]:
    """The JSON object at `url`; empty where there is none, in time, of a sensible size."""
    import httpx  # noqa: PLC0415 - 0.2 s to import, for issuers only

    ends = time.monotonic() + TIMEOUT
    here = urlsplit(url).hostname in LOCAL
    body = b""
    try:
        with (
            httpx.Client(timeout=TIMEOUT, trust_env=not here) as client,
            client.stream("GET", url, headers={"Accept": "application/json"}) as answer,
        ):
            for chunk in answer.iter_bytes(65_536) if answer.status_code == httpx.codes.OK else ():
                body += chunk
                if len(body) > ANSWER_LIMIT or time.monotonic() > ends:
                    return {}
        found = json.loads(body)
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _safe(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOCAL)


def issuers(identity: Mapping[str, Any]) -> Issuers | None:
    """The issuers of the block `identity` of a `mesh.yaml`; None where it names none.

    Raises:
        ConfigurationError: Two cannot be told apart, or an address cannot be used.
        MissingExtraError: The extra `oidc` is not installed.
    """
    listed = identity.get("oidc") or ()
    found = [Settings(**{**each, "audience": _texts(each["audience"])}) for each in listed]
    roles = {role: _texts(entries) for role, entries in (identity.get("roles") or {}).items()}
    return Issuers(found, roles) if found else None


def _texts(given: str | Sequence[str]) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given)


def _check_address(url: str) -> None:
    if not _safe(url) or "#" in url or "?" in url:
        raise ConfigurationError(
            f"the issuer {url!r} is not an https address",
            where="mesh.yaml: identity.oidc",
            fix="https://...; http is for this machine only",
        )


def _credential(until: float) -> Credential:
    """What is good until `until`; a time beyond what a calendar holds is as good as none."""
    try:
        return Credential(until=datetime.fromtimestamp(until, UTC))
    except (ValueError, OverflowError, OSError):
        return Credential()


def _listed(claim: Any) -> list[str]:
    """Names in a claim: a list, or one text with spaces between, as `scope` has it."""
    if isinstance(claim, str):
        return claim.split()
    return [each for each in claim if isinstance(each, str)] if isinstance(claim, list) else []


def _refused(reason: str) -> AuthenticationError:
    return AuthenticationError(f"the token is not accepted: {reason}", fix="get a new token")


def _library() -> Any:
    try:
        import cryptography  # noqa: F401, PLC0415 - an extra
        import jwt  # noqa: PLC0415
    except ImportError:
        raise MissingExtraError(
            "tokens of OpenID Connect need the extra 'oidc'", fix="pip install 'polyport[oidc]'"
        ) from None
    return jwt


def _unverified(token: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Header and claims, to find the issuer and its key by; nothing else is believed of them."""
    jwt = _library()
    try:
        parsed = jwt.decode_complete(token, options={"verify_signature": False})
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
        raise _refused("it is not a JSON Web Token") from None
    if parsed["header"].get("alg") not in ALGORITHMS:
        raise _refused(f"its algorithm is none of {', '.join(ALGORITHMS)}")
    return parsed["header"], parsed["payload"]


def _jwk(key: Mapping[str, Any], algorithm: str) -> jwt.PyJWK:
    library = _library()
    try:
        made: jwt.PyJWK = library.PyJWK(dict(key), algorithm)
    except (library.PyJWTError, ValueError, TypeError, KeyError):
        raise _refused("its issuer's key cannot be read") from None
    return made


def _decoded(token: str, key: jwt.PyJWK, algorithm: str, given: Settings) -> Mapping[str, Any]:
    jwt = _library()
    try:
        claims: Mapping[str, Any] = jwt.decode(
            token,
            key,
            algorithms=[algorithm],
            audience=list(given.audience),
            issuer=given.issuer,
            leeway=given.leeway,
            options={"require": ["exp", "iss", "aud"], "enforce_minimum_key_length": True},
        )
    except (jwt.PyJWTError, ValueError, TypeError, OverflowError) as error:
        raise _refused(_REASONS.get(type(error).__name__, "it is not valid")) from None
    return claims


_REASONS = {
    "ExpiredSignatureError": "it has expired",
    "ImmatureSignatureError": "it is not valid yet",
    "InvalidAudienceError": "it is for another audience",
    "InvalidSignatureError": "its signature is wrong",
    "MissingRequiredClaimError": "exp, iss or aud is missing",
}
