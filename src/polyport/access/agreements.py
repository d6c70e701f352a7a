"""Data sharing agreements: who may read which ports, for which purpose, in which role, from when until when.

As documents they are Bitol OAAS (RFC-0056, a draft): `kind: AccessAgreement`. What the draft cannot say stands in its
`customProperties`: `polyport.ports` (more ports than one), `polyport.columns`. What becomes of one is in
`polyport.access.deciding`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from polyport.descriptor.agreement import (
    ANY_PORT,
    COLUMNS,
    HISTORY,
    PORTS,
    STATE,
    moment,
    own_properties,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from polyport.access.control import Control
    from polyport.model import Entry, Principal

Decision: TypeAlias = Literal["requested", "approved", "refused", "revoked"]
State: TypeAlias = Literal["requested", "approved", "active", "expired", "refused", "revoked"]


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
    seq: int = 0
    """The number of its newest entry in the journal: another one, another agreement."""
    at: datetime | None = None
    """When it came to stand so."""
    by: str = ""
    """Who did that."""
    document: Mapping[str, Any] = field(default_factory=dict)
    """The OAAS document, whole, as it was agreed."""

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
        """Whether it holds for the output port; another product that reads within the mesh asks for any of them."""
        mesh = port == "product" and bool(self.consumer)
        return mesh or ANY_PORT in self.ports or port in self.ports

    @property
    def named(self) -> tuple[str, str]:
        """Its consumer, as `polyport agreement request` takes it."""
        if self.consumer:
            return "--product", self.consumer
        return ("--user", self.user) if self.user else ("--team", self.team)

    @property
    def consumer_name(self) -> str:
        """Its consumer, for people: `product:scripts`, `ann`, `team finance`."""
        return f"product:{self.consumer}" if self.consumer else self.user or f"team {self.team}"


def agreement(entry: Entry) -> Agreement:
    """The agreement that the journal's entry holds."""
    document: Mapping[str, Any] = entry.document["agreement"]
    provider, consumer = document["provider"], document["consumer"]
    own = own_properties(document)
    return Agreement(
        id=entry.name,
        product=entry.product,
        ports=tuple(own.get(PORTS) or (provider["outputPortId"],)),
        purpose=document["description"]["purpose"].strip(),
        decision=entry.document["decision"],
        team=consumer.get("teamId") or "",
        consumer=consumer.get("dataProductId") or "",
        user=consumer.get("userId") or "",
        roles=tuple(r["role"] for r in document.get("roles") or ()),
        columns=tuple(own.get(COLUMNS) or ()),
        starts=moment(document.get("startTimestamp")),
        ends=moment(document.get("endTimestamp")),
        note=entry.document.get("note") or "",
        seq=entry.seq,
        at=entry.at,
        by=entry.by,
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


def history(control: Control, product: str, name: str) -> list[Entry]:
    """Who did what when with one agreement: its entries in the journal, oldest first.

    Raises:
        StoreError: The journal cannot be read.
    """
    return control.journal.entries("agreement", product=product, name=name)


def document(found: Agreement, entries: Sequence[Entry], now: datetime) -> dict[str, Any]:
    """The OAAS document of an agreement as it stands, with its state, ports, columns and history.

    OAAS knows three kinds of status. Revoked: approved, and ended when it was revoked; rejected where it never began.
    """
    status, ends = _status(found, entries)
    own = [
        {"property": STATE, "value": found.state(now)},
        {"property": PORTS, "value": list(found.ports)},
        *([{"property": COLUMNS, "value": list(found.columns)}] if found.columns else []),
        {"property": HISTORY, "value": [_step(entry) for entry in entries]},
    ]
    made = {**found.document, "status": status, "customProperties": [*_others(found), *own]}
    return {**made, "endTimestamp": written(ends)} if ends is not None else made


def bare(document: Mapping[str, Any]) -> dict[str, Any]:
    """`document` without what `document()` adds to tell how it stands."""
    kept = [
        node
        for node in document.get("customProperties") or ()
        if node["property"] not in (STATE, HISTORY)
    ]
    rest = {k: v for k, v in document.items() if k != "customProperties"}
    return {**rest, "customProperties": kept} if kept else rest


def written(time: datetime) -> str:
    """`time` as RFC 3339 in UTC."""
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _status(found: Agreement, entries: Sequence[Entry]) -> tuple[str, datetime | None]:
    match found.decision:
        case "refused":
            return "rejected", None
        case "revoked":
            if not any(entry.document["decision"] == "approved" for entry in entries):
                return "rejected", None
            times = [t for t in (found.at, found.ends) if t is not None]
            return "approved", min(times)
        case decision:
            return decision, None


def _step(entry: Entry) -> dict[str, Any]:
    note, version = entry.document.get("note"), entry.document["agreement"].get("version")
    return {
        "decision": entry.document["decision"],
        "by": entry.by,
        "at": written(entry.at),
        **({"version": version} if version else {}),
        **({"note": note} if note else {}),
    }


def _others(found: Agreement) -> list[Mapping[str, Any]]:
    return [
        node
        for node in found.document.get("customProperties") or ()
        if node["property"] not in (STATE, PORTS, COLUMNS, HISTORY)
    ]
