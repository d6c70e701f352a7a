"""What a principal would see of a product, and why: by the same functions that decide when it reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from polyport.access import lifecycle
from polyport.access.admission import TELLING, refusal, why_not
from polyport.access.agreements import agreements
from polyport.access.known import PRODUCT
from polyport.access.policy import filter_of, missing
from polyport.errors import AccessError, NotFoundError
from polyport.expression import to_text
from polyport.model import Files

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from polyport.access.admission import Admission, Admissions
    from polyport.access.agreements import State
    from polyport.access.policy import Grant, Policy, Verdict
    from polyport.descriptor.types import DataProduct
    from polyport.errors import PolyportError
    from polyport.expression import Expression
    from polyport.model import Dataset, Principal, Snapshot

NO_ROW = "no row"
EVERY_ROW = "every row"


@dataclass(frozen=True, slots=True)
class AgreementSeen:
    """One of the principal's agreements, and whether the read stands on it."""

    id: str
    state: State
    counts: bool
    reason: str
    """Why it does not count; empty where it does."""
    purpose: str
    ports: tuple[str, ...]
    roles: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RoleSeen:
    """One role of the principal, and what it shows of a dataset."""

    role: str
    counts: bool
    reason: str
    """Why it does not count, or what keeps rows away."""
    rows: str
    """The rows that it shows: `every row`, or its filter; empty where it does not count."""
    unknown: tuple[str, ...] = ()
    """The attributes that its filter asks for and that the principal does not have."""


@dataclass(frozen=True, slots=True)
class ColumnSeen:
    """One column."""

    column: str
    verdict: Literal["shown", "masked", "hidden"]
    reason: str
    """How it is masked, or why it is hidden; empty where it is shown."""


@dataclass(frozen=True, slots=True)
class DatasetSeen:
    """What the principal sees of one dataset."""

    dataset: str
    seen: bool
    reason: str
    """Why nothing of it is seen; empty where something is."""
    roles: tuple[RoleSeen, ...]
    rows: str
    """`every row`, `no row`, or the filter whose rows it sees, with what is known of the principal filled in."""
    columns: tuple[ColumnSeen, ...]


@dataclass(frozen=True, slots=True)
class Who:
    """What the principal has of its own, before any agreement."""

    roles: tuple[str, ...]
    teams: tuple[str, ...]
    attributes: Mapping[str, str]
    known: str
    """From where that is known."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a principal sees of a product, and why."""

    product: str
    principal: str
    who: Who
    port: str
    purpose: str
    """The one that counts: the one stated, or that of the agreements."""
    roles: tuple[str, ...]
    """Those that it comes in with."""
    admitted: bool
    reason: str
    """Why it is not let in; empty where it is."""
    fix: str
    status: str
    """Of the product."""
    agreements: tuple[AgreementSeen, ...]
    datasets: tuple[DatasetSeen, ...]


@dataclass(frozen=True, slots=True)
class Question:
    """Who reads, and how."""

    principal: Principal
    port: str = ""
    """Empty: the product's first output port; of another product of the mesh: the way in which it reads."""
    purpose: str = ""
    dataset: str = ""
    """Only this one; empty: all."""
    known: str = "what was given"
    """From where the principal's roles, teams and attributes are known."""
    remote: bool = False
    """Whether the answer is read over a network: `fix` is no command of this machine then."""


def explain(
    product: DataProduct,
    admissions: Admissions,
    policy: Policy,
    snapshots: Sequence[Snapshot],
    asked: Question,
) -> Explanation:
    """What `asked.principal` would see of the newest of `snapshots`, and why.

    Raises:
        NotFoundError: There is no such port, or no such dataset.
        StoreError: The journal cannot be read.
    """
    principal, port = asked.principal, _port(product, asked)
    datasets = _datasets(product, snapshots, asked.dataset)
    found = admissions.admit(principal, port, asked.purpose)
    refused = refusal(product, principal, port, found, admissions.clock().date())
    return Explanation(
        product=product.id,
        principal=principal.id,
        who=Who(
            tuple(sorted(principal.roles)),
            tuple(sorted(principal.teams)),
            dict(principal.attributes),
            asked.known,
        ),
        port=port,
        purpose=found.purpose,
        roles=tuple(sorted(found.principal.roles)),
        admitted=refused is None,
        reason=refused.message if refused else "",
        fix=_fix(refused, remote=asked.remote),
        status=lifecycle.status(product),
        agreements=_agreements(admissions, found, principal, port, asked.purpose),
        datasets=tuple(
            _nothing(each, refused.message, ()) if refused else _sight(policy, each, found)
            for each in datasets
        ),
    )


def _port(product: DataProduct, asked: Question) -> str:
    outputs = dict.fromkeys(port.name for port in product.outputs)
    if not asked.port:
        within = asked.principal.id.startswith(PRODUCT)
        return "product" if within else next(iter(outputs), lifecycle.LIBRARY)
    if asked.port not in {*outputs, *TELLING, "product", lifecycle.LIBRARY}:
        raise NotFoundError(
            f"no port {asked.port!r}", where=product.id, fix=f"output ports: {', '.join(outputs)}"
        )
    return asked.port


def _fix(refused: PolyportError | None, *, remote: bool) -> str:
    if refused is None:
        return ""
    return refused.remote_fix if remote else refused.fix


def _datasets(product: DataProduct, snapshots: Sequence[Snapshot], only: str) -> Sequence[Dataset]:
    kept = snapshots[-1].datasets if snapshots else {}
    if only and only not in kept:
        fix = f"datasets: {', '.join(kept)}" if kept else "polyport build"
        elsewhere = fix if kept else "its owner publishes a snapshot"
        raise NotFoundError(f"no dataset {only!r}", where=product.id, fix=fix, remote_fix=elsewhere)
    return [kept[only]] if only else list(kept.values())


def _agreements(
    admissions: Admissions, found: Admission, principal: Principal, port: str, purpose: str
) -> tuple[AgreementSeen, ...]:
    now = admissions.clock()
    return tuple(
        AgreementSeen(
            id=each.id,
            state=each.state(now),
            counts=each.id in found.agreements,
            reason="" if each.id in found.agreements else why_not(each, port, purpose, now),
            purpose=each.purpose,
            ports=each.ports,
            roles=each.roles,
        )
        for each in agreements(admissions.control, admissions.product).values()
        if each.with_consumer(principal)
    )


def _sight(policy: Policy, dataset: Dataset, found: Admission) -> DatasetSeen:
    principal, purpose = found.principal, found.purpose
    verdicts = policy.verdicts(dataset, principal, purpose)
    roles = tuple(_role(verdict, principal) for verdict in verdicts)
    try:
        _, masked = policy.secure(dataset, Files((), schema=dataset.schema), principal, purpose)
        grants = policy.grants(dataset, principal, purpose)
    except AccessError as error:
        return _nothing(dataset, error.message, roles)
    columns = tuple(_column(name, masked, grants) for name in dataset.schema.names)
    rows = filter_of(grants, principal)
    return DatasetSeen(dataset.name, True, "", roles, _text(rows), columns)


def _nothing(dataset: Dataset, reason: str, roles: tuple[RoleSeen, ...]) -> DatasetSeen:
    hidden = tuple(ColumnSeen(name, "hidden", reason) for name in dataset.schema.names)
    return DatasetSeen(dataset.name, False, reason, roles, NO_ROW, hidden)


def _column(name: str, masked: Mapping[str, str], grants: Sequence[Grant]) -> ColumnSeen:
    showing = [grant for grant in grants if grant.shows(name)]
    if not showing:
        reasons = dict.fromkeys(grant.hides(name) for grant in grants)
        return ColumnSeen(name, "hidden", "; ".join(reasons))
    if name not in masked:
        return ColumnSeen(name, "shown", "")
    if len(grants) == 1:
        return ColumnSeen(name, "masked", masked[name])
    masks = [(grant.role, grant.settings.mask.get(name)) for grant in showing]
    said = [(f"masked as {mask}" if mask else "as it is", role) for role, mask in masks]
    words = "; ".join(f"{how} in rows that role {role!r} shows" for how, role in said)
    return ColumnSeen(name, "masked", words)


def _role(verdict: Verdict, principal: Principal) -> RoleSeen:
    grant = verdict.grant
    if grant is None:
        return RoleSeen(verdict.role, False, verdict.reason, "")
    unknown = missing(grant, principal)
    named = " and ".join(f"principal.{name}" for name in unknown)
    reason = f"{named} is not known of {principal.id}, and fits no row" if unknown else ""
    return RoleSeen(verdict.role, True, reason, _text(grant.settings.rows), unknown)


def _text(rows: Expression | None) -> str:
    return EVERY_ROW if rows is None else to_text(rows)
