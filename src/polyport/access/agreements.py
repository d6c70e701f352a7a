"""Data sharing agreements: who may read which ports, for which purpose, in which role, from when until when.

As documents they are Bitol OAAS (RFC-0056, a draft): `kind: AccessAgreement`. What the draft cannot say stands in its
`customProperties`: `polyport.ports` (more ports than one), `polyport.columns`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

    from polyport.access.control import Control
    from polyport.model import Entry, Principal

Decision: TypeAlias = Literal["requested", "approved", "refused", "revoked"]
State: TypeAlias = Literal["requested", "approved", "active", "expired", "refused", "revoked"]
ANY_PORT = "*"
ANY_OUTPUT = ("product", "metadata", "definition")
"""Ports for which an agreement on any output port is enough: they show no more than that one does."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """One agreement as it stands."""

    id: str
    product: str
    """The id of the product that provides the data."""
    ports: tuple[str, ...]
    """Names of output ports, whatever their version; `*`: all."""
    purpose: str
    decision: Decision
    team: str = ""
    consumer: str = ""
    """The id of the consuming data product."""
    user: str = ""
    """The id of the consuming principal: a person or a system."""
    roles: tuple[str, ...] = ()
    """Roles of the product's policy that it gives; empty: those that the platform vouches for count."""
    columns: tuple[str, ...] = ()
    """Columns that it is limited to, `column` or `dataset.column`; empty: all that the roles show."""
    starts: datetime | None = None
    ends: datetime | None = None
    note: str = ""
    """What was said with the last decision."""
    document: Mapping[str, Any] = field(default_factory=dict)
    """The OAAS document, whole."""

    def state(self, now: datetime) -> State:
        """How it stands at `now`: an approved one is active between its start and its end."""
        if self.decision != "approved":
            return self.decision
        if self.ends is not None and now >= self.ends:
            return "expired"
        return "approved" if self.starts is not None and now < self.starts else "active"

    def with_consumer(self, principal: Principal) -> bool:
        """Whether `principal` is its consumer: the most precise one named (product, user, team) decides."""
        if self.consumer:
            return principal.id == f"product:{self.consumer}"
        if self.user:
            return principal.id == self.user
        return bool(self.team) and self.team in principal.teams

    def for_port(self, port: str) -> bool:
        """Whether it holds for the output port; another product that reads within the mesh asks for any of them.

        So do the ports that only tell of the data.
        """
        return port in ANY_OUTPUT or ANY_PORT in self.ports or port in self.ports


def agreement(entry: Entry) -> Agreement:
    """The agreement that the journal's entry holds."""
    document: Mapping[str, Any] = entry.document["agreement"]
    provider, consumer = document["provider"], document["consumer"]
    own = {p["property"]: p.get("value") for p in document.get("customProperties") or ()}
    return Agreement(
        id=entry.name,
        product=entry.product,
        ports=tuple(own.get("polyport.ports") or (provider["outputPortId"],)),
        purpose=document["description"]["purpose"],
        decision=entry.document["decision"],
        team=consumer.get("teamId") or "",
        consumer=consumer.get("dataProductId") or "",
        user=consumer.get("userId") or "",
        roles=tuple(r["role"] for r in document.get("roles") or ()),
        columns=tuple(own.get("polyport.columns") or ()),
        starts=_time(document.get("startTimestamp")),
        ends=_time(document.get("endTimestamp")),
        note=entry.document.get("note") or "",
        document=document,
    )


def agreements(control: Control, product: str) -> Mapping[str, Agreement]:
    """All agreements of `product` as they stand, by id.

    Raises:
        StoreError: The journal cannot be read.
    """

    def made() -> Mapping[str, Agreement]:
        return {name: agreement(e) for name, e in control.current("agreement", product).items()}

    return control.derived(("agreements", product), made)


def _time(text: Any) -> datetime | None:
    if not text:
        return None
    found = text if isinstance(text, datetime) else datetime.fromisoformat(str(text))
    return found if found.tzinfo else found.replace(tzinfo=UTC)
