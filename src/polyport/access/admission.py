"""Who is let in: the agreement that a read stands on, asked for again for as long as the read goes on."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from polyport.access import keys
from polyport.access.agreements import agreements
from polyport.descriptor.agreement import BUILT_IN
from polyport.errors import AccessError, AuthenticationError
from polyport.model import OWNER_ROLE

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from polyport.access.agreements import Agreement
    from polyport.access.control import Control
    from polyport.model import Principal


@dataclass(frozen=True, slots=True)
class Admission:
    """What came of one principal's asking to read through one port, for one purpose."""

    principal: Principal
    """With the roles that count here."""
    purpose: str
    """The one stated, or the agreements' where none was."""
    agreements: tuple[str, ...] = ()
    """The ids of those that it stands on; empty where none was needed."""
    refusal: str = ""
    """Why nothing may be read; empty where something may."""
    fix: str = ""
    until: datetime | None = None
    """When it ends by itself."""


@dataclass(frozen=True, slots=True)
class Admissions:
    """Lets principals in to one product."""

    product: str
    control: Control
    required: Callable[[], bool] = lambda: True
    """Whether the product's policy asks for an agreement where the platform vouches for roles."""
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    telling: Collection[str] = ()
    """Names under which the product tells of itself: an agreement for any of its output ports holds there."""

    def admit(self, principal: Principal, port: str, purpose: str = "") -> Admission:
        """What `principal` comes in as, or why not.

        Raises:
            StoreError: The journal cannot be read.
        """
        try:
            ends = self._known_until(principal)
        except AuthenticationError as error:
            nobody = replace(principal, roles=frozenset())
            return Admission(nobody, purpose, refusal=error.message, fix=error.fix)
        found = self._agreed(principal, port, purpose)
        return replace(found, until=_sooner(found.until, ends))

    def _known_until(self, principal: Principal) -> datetime | None:
        if principal.credential is None:
            return None
        return keys.lasts(self.control, principal.credential, self.clock())

    def _agreed(self, principal: Principal, port: str, purpose: str) -> Admission:
        """What a principal that is known comes in as."""
        if principal.owns(self.product):
            return Admission(
                replace(principal, roles=principal.roles | {OWNER_ROLE}, needs_agreement=False),
                purpose,
            )
        if not principal.needs_agreement:
            return Admission(principal, purpose)
        now = self.clock()
        theirs = [
            a for a in agreements(self.control, self.product).values() if a.with_consumer(principal)
        ]
        here = [a for a in theirs if a.state(now) == "active" and self._at(a, port)]
        purposes = {a.purpose.casefold() for a in here}
        meant = purpose.casefold() or (purposes.pop() if len(purposes) == 1 else "")
        found = [a for a in here if a.purpose.casefold() == meant]
        if found:
            return _admitted(principal, found[0].purpose, found, self._until(theirs, now))
        if not self.required():
            return Admission(principal, purpose, until=self._until(theirs, now))
        reason, fix = self._refusal(principal, port, purpose, theirs, here)
        return Admission(replace(principal, roles=frozenset()), purpose, refusal=reason, fix=fix)

    def renewed(self, admission: Admission, asked: Principal, port: str, purpose: str) -> Admission:
        """`admission` as it would be given now, which is for the same.

        Raises:
            AccessError: It would not: revoked, expired, or changed since.
            StoreError: The journal cannot be read.
        """
        now = self.admit(asked, port, purpose)
        if now.refusal:
            raise AccessError(now.refusal, where=self.product, fix=now.fix)
        if (now.principal, now.purpose) != (admission.principal, admission.purpose):
            raise _changed(asked, self.product)
        return now

    def _at(self, agreement: Agreement, port: str) -> bool:
        return port in self.telling or agreement.for_port(port)

    @staticmethod
    def _until(theirs: Iterable[Agreement], now: datetime) -> datetime | None:
        """When the next of their agreements begins or ends: until then nothing changes by itself."""
        times = [t for a in theirs if a.decision == "approved" for t in (a.starts, a.ends)]
        return _sooner(*(t for t in times if t is not None and t > now))

    def command(self, principal: Principal, port: str) -> str:
        """The command that asks for an agreement."""
        prefix, _, product = principal.id.partition(":")
        mesh = prefix == "product" and bool(product)
        who = ("--product", product) if mesh else ("--user", principal.id)
        shown = "*" if port == "product" and mesh else port
        words = ("polyport", "agreement", "request", self.product, "--port", shown, *who)
        return f"{shlex.join(words)} --purpose PURPOSE"

    def _refusal(
        self,
        principal: Principal,
        port: str,
        purpose: str,
        theirs: Sequence[Agreement],
        here: Sequence[Agreement],
    ) -> tuple[str, str]:
        who, now = f"{principal.id} may not read {self.product!r} through {port!r}", self.clock()
        if here:
            purposes = " or ".join(sorted({repr(a.purpose) for a in here}))
            stated = f"not {purpose!r}" if purpose else "and none was stated"
            reason = f"the agreements are for the purposes {purposes}, {stated}"
            return f"{who}: {reason}", f"state one (header Polyport-Purpose): {purposes}"
        at_port = [a for a in theirs if self._at(a, port)]
        if at_port:
            return f"{who}: {_why(at_port[-1], now)}", f"polyport agreement show {at_port[-1].id}"
        elsewhere = sorted({p for a in theirs if a.state(now) == "active" for p in a.ports})
        ask = f"ask for one: {self.command(principal, port)}"
        if elsewhere:
            return f"{who}: its agreements are for the ports {', '.join(elsewhere)}", ask
        return f"{who}: there is no data sharing agreement", ask


@dataclass(slots=True)
class Standing:
    """Called before each read and each batch: raises where what let the principal in no longer holds."""

    admissions: Admissions
    admission: Admission
    asked: tuple[Principal, str, str]
    """(principal, port, purpose), as first asked."""
    position: int
    unchanged: Callable[[], bool]
    """Whether the policy is what it was."""

    def __call__(self) -> None:
        """Make sure that the read may go on.

        Raises:
            AccessError: Revoked, expired, or changed since.
            StoreError: The journal cannot be read.
        """
        if self.admission.refusal:
            return  # nothing was let in; the view says why
        until, position = self.admission.until, self.admissions.control.position()
        if position == self.position and (until is None or self.admissions.clock() < until):
            return
        principal, port, purpose = self.asked
        renewed = self.admissions.renewed(self.admission, principal, port, purpose)
        if not self.unchanged():
            raise _changed(principal, self.admissions.product)
        self.admission, self.position = renewed, position


def _sooner(*times: datetime | None) -> datetime | None:
    return min((time for time in times if time is not None), default=None)


def _changed(principal: Principal, product: str) -> AccessError:
    return AccessError(
        f"what {principal.id} may read has changed since this read began",
        where=product,
        fix="read again",
    )


def _admitted(
    principal: Principal, purpose: str, found: Sequence[Agreement], until: datetime | None
) -> Admission:
    """Agreements add up; one without roles gives those that the platform vouches for."""
    limits: dict[str, frozenset[str] | None] = {}
    for each in found:
        for role in each.roles or sorted(principal.roles):
            if role.partition(":")[0] in BUILT_IN:
                continue  # an agreement shares data; it does not hand over the product
            known = limits.get(role, frozenset())
            limit = frozenset(each.columns) if each.columns else None
            limits[role] = None if known is None or limit is None else known | limit
    admitted = replace(
        principal,
        roles=frozenset(limits),
        columns={role: limit for role, limit in limits.items() if limit is not None},
    )
    return Admission(admitted, purpose, tuple(a.id for a in found), until=until)


def why_not(agreement: Agreement, port: str, purpose: str, now: datetime) -> str:
    """Why a read through `port` for `purpose` cannot stand on `agreement`, which does not let its consumer in."""
    if agreement.state(now) != "active":
        return _why(agreement, now)
    if not agreement.for_port(port):
        return f"it is for the ports {', '.join(agreement.ports)}"
    stated = f"not {purpose!r}" if purpose else "and none was stated, with others to choose from"
    return f"it is for the purpose {agreement.purpose!r}, {stated}"


def _why(agreement: Agreement, now: datetime) -> str:
    """Why the agreement does not let anybody in."""
    note = f": {agreement.note}" if agreement.note else ""
    match agreement.state(now):
        case "requested":
            return f"the agreement {agreement.id} is requested and not decided yet"
        case "approved":
            return f"the agreement {agreement.id} begins on {agreement.starts:%Y-%m-%d}"
        case "expired":
            return f"the agreement {agreement.id} ended on {agreement.ends:%Y-%m-%d}"
        case state:
            return f"the agreement {agreement.id} was {state}{note}"
