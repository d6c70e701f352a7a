"""What makes a folder a data product, clause by clause: each passes, fails or is unknown, with the evidence in words.

A clause that cannot be established is unknown, never passed. Evidence names no column, row or consumer: anybody may
read it. What it rests on by name stands in `details`, for the owner.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from polyport.access.agreements import agreements
from polyport.descriptor.text import plural

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from polyport.descriptor.types import DataProduct, Port, Surroundings
    from polyport.model import Snapshot
    from polyport.ports.management import ManagementContext

Status: TypeAlias = Literal["pass", "fail", "unknown"]
INTERNAL = ("port:", "owner as ")
"""What principals of the product's own begin with: its pushed ports, and its owner's previews."""


_BUILD: tuple[str, tuple[str, ...], str] = ("polyport build", (), "its owner publishes a snapshot")
"""The fix where nothing is published, no details, and the fix for whoever reads over a network."""


@dataclass(frozen=True, slots=True)
class Clause:
    """One clause of the definition, and how the product stands to it."""

    id: str
    sentence: str
    status: Status
    evidence: str
    fix: str = ""
    """What to do where it does not pass."""
    details: tuple[str, ...] = ()
    remote_fix: str = ""
    """As `fix`, for whoever reads over a network, where that is a command of the product's machine."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a product."""

    product: DataProduct
    identifier: str
    snapshots: Sequence[Snapshot]
    around: Surroundings
    consumers: frozenset[str]
    """Principals other than its owner that read it."""
    active: int
    """How many agreements are active."""
    ratings: tuple[float, ...]
    """The newest of each consumer, 1 to 5."""

    @classmethod
    def of(cls, context: ManagementContext, now: datetime) -> Facts:
        """The facts at `now`.

        Raises:
            StoreError: The ledger cannot be read.
        """
        name = context.product.id
        reads = context.ledger.usage.reads(name)
        who = {r["principal"] for r in reads if r["outcome"] == "ok"}
        signed = agreements(context.control, name).values()
        said = {
            e.name: e.document for e in context.ledger.journal.entries("feedback", product=name)
        }
        rated = [d.get("rating") for d in said.values()]
        marks = tuple(float(r) for r in rated if isinstance(r, int | float))
        return cls(
            context.product,
            context.identifier,
            context.open.snapshots(),
            context.around(),
            frozenset(w for w in who if w != "owner" and not w.startswith(INTERNAL)),
            sum(a.state(now) == "active" for a in signed),
            marks,
        )


def clauses(facts: Facts) -> list[Clause]:
    """Every clause, in the order of the definition."""
    return [check(facts) for check in _CHECKS]


def _text(product: DataProduct, name: str) -> str:
    said = product.document.get("description")
    return str(said.get(name) or "").strip() if isinstance(said, dict) else ""


def _value(facts: Facts) -> Clause:
    told = bool(facts.product.purpose.strip())
    return Clause(
        "business-value",
        "It says what value it has for the business",
        "pass" if told else "fail",
        "its purpose is stated" if told else "no purpose is stated",
        "" if told else "dataproduct.odps.yaml: description.purpose",
    )


def _findable(facts: Facts) -> Clause:
    spec = facts.product
    lacking = [
        word
        for word, there in (
            ("a name", bool(spec.name)),
            ("a purpose", bool(spec.purpose)),
            ("tags", bool(spec.document.get("tags"))),
            ("a domain", bool(spec.domain)),
        )
        if not there
    ]
    known = f"its identifier is {facts.identifier}"
    if not facts.identifier.startswith("http"):
        known += " (mesh.yaml has no base_url, so it resolves on its node only)"
    return Clause(
        "findable",
        "It can be found: identifier, catalogue, description, tags",
        "fail" if lacking else "pass",
        f"{known}, listed at /catalog; "
        + (f"without {', '.join(lacking)}" if lacking else "named, described, tagged"),
        f"dataproduct.odps.yaml: add {', '.join(lacking)}" if lacking else "",
    )  # fmt: skip


def _accessible(facts: Facts) -> Clause:
    sentence = "It can be reached: an output port with an address, and a snapshot to read"
    ports = [p for p in facts.product.outputs if not p.deprecated]
    if not ports:
        fix = "dataproduct.odps.yaml: outputPorts"
        return Clause("accessible", sentence, "fail", "no output port is open", fix)
    if not facts.snapshots:
        return Clause("accessible", sentence, "fail", "nothing is published", *_BUILD)
    newest = facts.snapshots[-1]
    said = f"snapshot {newest.sequence} is served by {plural(len(ports), 'output port')}"
    return Clause("accessible", sentence, "pass", said)


def _together(facts: Facts) -> Clause:
    sentence = "It works together with other products: columns share terms or global identifiers"
    shared = sorted(_meanings(facts.product) & _others(facts.around))
    if shared:
        said = f"{plural(len(shared), 'meaning')} shared with columns of other products"
        return Clause("works-together", sentence, "pass", said, details=tuple(shared))
    fix = "refer columns to the mesh's glossary (authoritativeDefinitions: /glossary/{term})"
    if not facts.around.products or facts.around.unread:
        said = "the other products of its mesh are not known here"
        return Clause("works-together", sentence, "unknown", said, fix)
    said = "no column means by reference what one of another product means"
    return Clause("works-together", sentence, "fail", said, fix)


def _contexts(facts: Facts) -> Clause:
    kinds = {p.type for p in facts.product.outputs if not p.deprecated}
    used = len(facts.consumers)
    good = len(kinds) > 1 or used > 1
    return Clause(
        "different-contexts",
        "It can be used in different contexts: several kinds of port, or several consumers",
        "pass" if good else "fail",
        f"{plural(len(kinds), 'kind')} of output port, {plural(used, 'consumer')} so far",
        "" if good else "dataproduct.odps.yaml: a second output port of another type",
        tuple(sorted(kinds)),
    )


def _autonomous(facts: Facts) -> Clause:
    spec = facts.product
    steps = [
        p for d in ("cleanse", "transform") for p in (spec.home / d).glob("*") if p.suffix in (".sql", ".py")
    ]  # fmt: skip
    reading = [p for p in spec.inputs if p.type == "product"]
    promised = _input_contracts(spec)
    bare = [p for p in reading if not _covered(p, facts.around, promised)]
    lacking = [
        word
        for word, there in (
            ("a team of its own", bool(_team(spec))),
            ("a pipeline of its own", bool(steps)),
            (f"a contract on {plural(len(bare), 'input')} from other products", not bare),
        )
        if not there
    ]
    under = sum(bool(p.contract_id) for p in spec.inputs if p.type != "product")
    outside = len(spec.inputs) - len(reading)
    said = (
        f"team, {plural(len(steps), 'step')} of its own, {plural(len(reading), 'input')} from other products "
        f"under contract, {under} of {outside} from outside the mesh"
    )
    return Clause(
        "autonomous",
        "It is autonomous: own team, own pipeline, inputs from other products under contract",
        "fail" if lacking else "pass",
        f"without {', '.join(lacking)}" if lacking else said,
        "dataproduct.odps.yaml: team, contractId of the input port or inputContracts" if lacking else "",
        tuple(p.name for p in bare),
    )  # fmt: skip


def _optimised(facts: Facts) -> Clause:
    sentence = "It is optimised to be read: published snapshots, columnar files, keys"
    if not facts.snapshots:
        return Clause("read-optimised", sentence, "unknown", "nothing is published", *_BUILD)
    datasets = facts.snapshots[-1].datasets.values()
    keyless = [d.name for d in datasets if not d.key]
    said = f"{len(datasets) - len(keyless)} of {len(datasets)} datasets have a key; all lie in columnar files"
    fix = "primaryKey: true on the columns that identify a row" if keyless else ""
    status: Status = "fail" if keyless else "pass"
    return Clause("read-optimised", sentence, status, said, fix, tuple(keyless))


def _standardised(facts: Facts) -> Clause:
    spec = facts.product
    bare = [p.name for p in spec.outputs if spec.contract(p) is None]
    said = f"ODPS {spec.document.get('apiVersion')} and {plural(len(spec.contracts), 'ODCS contract')} are valid"
    if bare:
        said = f"{plural(len(bare), 'output port')} without a contract: {', '.join(bare)}"
    return Clause(
        "standardised",
        "It follows standards: valid ODPS and ODCS documents, a contract on each output port",
        "fail" if bare else "pass",
        said,
        "outputPorts[].contractId, and the contract in contracts/" if bare else "",
    )


def _node(facts: Facts) -> Clause:
    sentence = "It is a node of a mesh: it reads other products, or they read it"
    up, down = _upstream(facts), _downstream(facts)
    if up or down:
        said = f"it reads {plural(len(up), 'product')}, {plural(len(down), 'product')} read it"
        return Clause("mesh-node", sentence, "pass", said, details=(*up, *down))
    if facts.around.name and facts.around.products:
        said = f"it is one of {len(facts.around.products) + 1} products of {facts.around.name}, and linked to none"
        return Clause(
            "mesh-node", sentence, "fail", said, "an input port of type product, here or there"
        )
    said = "no other product of its mesh is known here"
    return Clause("mesh-node", sentence, "unknown", said, "put it below a folder with a mesh.yaml")


def _datasets(facts: Facts) -> Clause:
    declared, published = len(facts.product.objects), facts.snapshots[-1:]
    held = len(published[0].datasets) if published else 0
    said = f"{plural(declared, 'dataset')} promised, {held} published"
    if declared and not published:
        return Clause("dataset", _AT_LEAST, "unknown", said, *_BUILD)
    status: Status = "pass" if held else "fail"
    return Clause(
        "dataset", _AT_LEAST, status, said, "" if held else "transform/NAME.sql, and a contract"
    )


_AT_LEAST = "It holds at least one dataset"


def _needs(facts: Facts) -> Clause:
    sentence = "It satisfies needs that its users stated"
    purposes = {p for r in facts.product.settings.roles.values() for p in r.default.purposes}
    stated = bool(_text(facts.product, "usage") or purposes or facts.active)
    if not stated:
        fix = "dataproduct.odps.yaml: description.usage; data sharing agreements with a purpose"
        return Clause("user-needs", sentence, "fail", "no use or purpose is stated", fix)
    marks = facts.ratings
    mean = sum(marks) / len(marks) if marks else 0.0
    used = f"{plural(len(facts.consumers), 'consumer')} read it, {plural(facts.active, 'agreement')} active"
    told = f"{plural(len(marks), 'rating')}" + (f" of {mean:.1f} on average" if marks else "")
    said = f"its use is stated; {used}, {told}"
    fix = "ask consumers for feedback; polyport agreement"
    if marks and mean < _ENOUGH:
        return Clause(
            "user-needs", sentence, "fail", said, "answer the feedback, and mend what it says"
        )
    if marks or facts.consumers:
        return Clause("user-needs", sentence, "pass", said, details=tuple(sorted(facts.consumers)))
    unmet = f"{said}: whether it is met cannot be told"
    elsewhere = "ask consumers for feedback, and for agreements"
    return Clause("user-needs", sentence, "unknown", unmet, fix, remote_fix=elsewhere)


_ENOUGH = 3.0


def _intention(facts: Facts) -> Clause:
    spec = facts.product
    lacking = [
        word
        for word, there in (
            ("an owner (team.members[].role: owner)", _owner(spec)),
            ("a lifecycle state (status)", bool(spec.status)),
            ("support", bool(spec.document.get("support"))),
            ("service levels (slaProperties in a contract)", _sla(spec)),
        )
        if not there
    ]
    return Clause(
        "conscious-intention",
        "It is meant: an owner, a lifecycle state, support, service levels",
        "fail" if lacking else "pass",
        f"without {', '.join(lacking)}" if lacking else
        f"owner named, status {spec.status}, support and service levels stated",
        f"add {', '.join(lacking)}" if lacking else "",
    )  # fmt: skip


_CHECKS = (
    _value, _findable, _accessible, _together, _contexts, _autonomous, _optimised, _standardised, _node,
    _datasets, _needs, _intention,
)  # fmt: skip


def _team(spec: DataProduct) -> Mapping[str, object]:
    team = spec.document.get("team")
    return team if isinstance(team, dict) else {"members": team} if team else {}


def _owner(spec: DataProduct) -> bool:
    members = _team(spec).get("members")
    listed = members if isinstance(members, list) else []
    return any(isinstance(m, dict) and str(m.get("role", "")).lower() == "owner" for m in listed)


def _sla(spec: DataProduct) -> bool:
    return any(c.sla for port in spec.outputs if (c := spec.contract(port)) is not None)


def _input_contracts(spec: DataProduct) -> set[str]:
    listed = [e for port in spec.outputs for e in port.document.get("inputContracts") or ()]
    return {str(e.get("id") or "") for e in listed}


def _covered(port: Port, around: Surroundings, promised: set[str]) -> bool:
    """Whether an input from another product is under a contract of that product, or names one."""
    source = around.products.get(str(port.settings.get("product", "")))
    theirs = {p.contract_id for p in source.outputs} if source else set()
    return bool(port.contract_id or theirs & promised)


def _upstream(facts: Facts) -> list[str]:
    named = {
        str(p.settings.get("product", "")) for p in facts.product.inputs if p.type == "product"
    }
    return sorted(named)


def _downstream(facts: Facts) -> list[str]:
    mine = facts.product.id
    return sorted(
        name
        for name, other in facts.around.products.items()
        if any(p.type == "product" and p.settings.get("product") == mine for p in other.inputs)
    )


def _meanings(spec: DataProduct) -> set[str]:
    """The glossary's terms and the global identifiers that columns refer to."""
    columns = [p for o in spec.objects.values() for p in o.properties]
    return {meant for p in columns for meant in (*p.terms, *p.definitions)}


def _others(around: Surroundings) -> set[str]:
    return {meant for other in around.products.values() for meant in _meanings(other)}
