"""Who is let in: the agreement that a read stands on, asked for again for as long as the read goes on."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import quote

from polyport.access import keys, lifecycle
from polyport.access.agreements import agreements
from polyport.access.configuration import access_settings
from polyport.descriptor.agreement import BUILT_IN
from polyport.errors import AccessError, AuthenticationError
from polyport.model import OWNER_ROLE

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence
    from datetime import date

    from polyport.access.agreements import Agreement
    from polyport.access.control import Control
    from polyport.descriptor.types import DataProduct
    from polyport.errors import RetiredError
    from polyport.model import Principal

Fixes: TypeAlias = "tuple[str, str]"
"""What helps on the product's machine, and what helps from elsewhere."""
TELLING = (
    "document", "metadata", "lineage", "metrics", "quality", "definition", "feedback", "contracts",
)  # fmt: skip
"""Under which names, besides its output ports', a product is read: those under which it tells of itself."""


@dataclass(frozen=True, slots=True)
class Admission:
    """What came of one principal's asking to read through one port, for one purpose."""

    principal: Principal
    """With the roles that count here."""
    purpose: str
    """The one stated, or the agreements' where none was."""
    agreements: tuple[str, ...] = ()
    """The ids of those that it stands on; empty where none was needed."""
    refusal: AccessError | None = None
    """Why nothing may be read; None where something may."""
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
            return self._refused(principal, purpose, error.message, (error.fix, error.remote_fix))
        found = self._agreed(principal, port, purpose)
        return found if ends is None else replace(found, until=_sooner(found.until, ends))

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
        reason, fixes = self._reason(principal, port, purpose, theirs, here)
        return self._refused(
            principal,
            purpose,
            f"{principal.id} may not read {self.product!r} through {port!r}: {reason}",
            fixes,
        )

    def _refused(self, principal: Principal, purpose: str, reason: str, fixes: Fixes) -> Admission:
        nobody = replace(principal, roles=frozenset())
        refusal = AccessError(reason, where=self.product, fix=fixes[0], remote_fix=fixes[1])
        return Admission(nobody, purpose, refusal=refusal)

    def _at(self, agreement: Agreement, port: str) -> bool:
        return port in self.telling or agreement.for_port(port)

    @staticmethod
    def _until(theirs: Iterable[Agreement], now: datetime) -> datetime | None:
        """When the next of their agreements begins or ends: until then nothing changes by itself."""
        times = [t for a in theirs if a.decision == "approved" for t in (a.starts, a.ends)]
        return _sooner(*(t for t in times if t is not None and t > now))

    def _asking(self, port: str, *who: str) -> Fixes:
        """What asks for an agreement."""
        words = ("polyport", "agreement", "request", self.product, "--port", port, *who)
        return (
            f"ask for one: {shlex.join(words)} --purpose PURPOSE",
            f"ask for one: POST {address(self.product)}, for the port {port!r}",
        )

    def _reason(
        self,
        principal: Principal,
        port: str,
        purpose: str,
        theirs: Sequence[Agreement],
        here: Sequence[Agreement],
    ) -> tuple[str, Fixes]:
        """Why none of `theirs` lets the principal in, of which those in `here` are active at the port; what helps."""
        now, within = self.clock(), principal.id.removeprefix("product:")
        mesh = within not in ("", principal.id)
        who = ("--product", within) if mesh else ("--user", principal.id)
        ask = self._asking("*" if mesh and port == "product" else port, *who)
        if here:
            purposes = " or ".join(sorted({repr(a.purpose) for a in here}))
            reason = f"the agreements are for the purposes {purposes}, {_stated(purpose)}"
            fix = f"state one (header Polyport-Purpose): {purposes}"
            return reason, (fix, fix)
        at_port = [a for a in theirs if self._at(a, port)]
        if at_port:
            last = at_port[-1]
            return _why(last, now), self._next(last, now)
        elsewhere = sorted({p for a in theirs if a.state(now) == "active" for p in a.ports})
        if elsewhere:
            return f"its agreements are for the ports {', '.join(elsewhere)}", ask
        return "there is no data sharing agreement", ask

    def _next(self, agreement: Agreement, now: datetime) -> Fixes:
        """What helps whom the agreement does not let in."""
        show = f"polyport agreement show {agreement.id}"
        look = f"GET {address(self.product)}/{quote(agreement.id, safe='')}"
        match agreement.state(now):
            case "requested":
                decides = "its owner decides"
                return f"{decides}: polyport agreement approve {agreement.id}", f"{decides}; {look}"
            case "approved":
                return f"wait until then; {show}", f"wait until then; {look}"
            case _:
                ask, post = self._asking(agreement.ports[0], *agreement.named)
                became = "what became of this one"
                return f"{ask}; {became}: {show}", f"{post}; {became}: {look}"


def address(product: str) -> str:
    """Where a product's agreements are asked for over HTTP, below its server's address."""
    return f"/products/{quote(product, safe='')}/control/agreements"


def admissions(control: Control, product: DataProduct, clock: Callable[[], datetime]) -> Admissions:
    """Lets principals in to `product`, by its policy as it stands at each call."""

    def required() -> bool:
        return access_settings(control, product).agreements == "required"

    telling = {*TELLING} - {port.name for port in product.outputs}
    return Admissions(product.id, control, required, clock, frozenset(telling))


def refusal(
    product: DataProduct, principal: Principal, port: str, found: Admission, today: date
) -> AccessError | RetiredError | None:
    """Why `principal`, of whose asking came `found`, may read nothing: the product's state, or no agreement."""
    return lifecycle.refusal(product, principal, port, today) or found.refusal


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
        if self.admission.refusal is not None:
            return  # nothing was let in; the view says why
        until, position = self.admission.until, self.admissions.control.position()
        if position == self.position and (until is None or self.admissions.clock() < until):
            return
        now = self.admissions.admit(*self.asked)
        if now.refusal is not None:
            raise now.refusal
        before = (self.admission.principal, self.admission.purpose)
        if (now.principal, now.purpose) != before or not self.unchanged():
            raise AccessError(
                f"what {self.asked[0].id} may read has changed since this read began",
                where=self.admissions.product,
                fix="read again",
            )
        self.admission, self.position = now, position


def _sooner(*times: datetime | None) -> datetime | None:
    return min((time for time in times if time is not None), default=None)


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
    several = "" if purpose else ", with others to choose from"
    return f"it is for the purpose {agreement.purpose!r}, {_stated(purpose)}{several}"


def _stated(purpose: str) -> str:
    return f"not {purpose!r}" if purpose else "and none was stated"


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
