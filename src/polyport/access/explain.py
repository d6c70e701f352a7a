"""What a principal would see of a product, and why: by the same functions that decide when it reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from polyport.access import lifecycle
from polyport.access.admission import why_not
from polyport.access.agreements import agreements
from polyport.access.policy import filter_of, missing
from polyport.errors import AccessError, RetiredError
from polyport.expression import to_text
from polyport.model import Files

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from polyport.access.admission import Admission, Admissions
    from polyport.access.agreements import State
    from polyport.access.policy import Grant, Policy, Verdict
    from polyport.descriptor.types import DataProduct
    from polyport.model import Dataset, Principal

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
    port: str
    purpose: str = ""
    known: str = "what was given"
    """From where the principal's roles, teams and attributes are known."""


def explain(
    product: DataProduct,
    admissions: Admissions,
    policy: Policy,
    datasets: Sequence[Dataset],
    asked: Question,
) -> Explanation:
    """What `asked.principal` would see of `datasets`, and why.

    Raises:
        StoreError: The journal cannot be read.
    """
    principal, port = asked.principal, asked.port
    admission = admissions.admit(principal, port, asked.purpose)
    refused = _refused(product, principal, port) or (
        AccessError(admission.refusal, fix=admission.fix) if admission.refusal else None
    )
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
        purpose=admission.purpose,
        roles=tuple(sorted(admission.principal.roles)),
        admitted=refused is None,
        reason=refused.message if refused else "",
        fix=refused.fix if refused else "",
        status=lifecycle.status(product),
        agreements=_agreements(admissions, admission, asked),
        datasets=tuple(
            _nothing(dataset, refused.message) if refused else _sight(policy, dataset, admission)
            for dataset in datasets
        ),
    )


def _refused(
    product: DataProduct, principal: Principal, port: str
) -> AccessError | RetiredError | None:
    try:
        lifecycle.check_served(product, principal, port)
    except RetiredError as error:
        return error
    return lifecycle.refusal(product, principal)


def _agreements(
    admissions: Admissions, admission: Admission, asked: Question
) -> tuple[AgreementSeen, ...]:
    now = admissions.clock()
    theirs = agreements(admissions.control, admissions.product).values()
    return tuple(
        AgreementSeen(
            id=each.id,
            state=each.state(now),
            counts=each.id in admission.agreements,
            reason=""
            if each.id in admission.agreements
            else why_not(each, asked.port, asked.purpose, now),
            purpose=each.purpose,
            ports=each.ports,
            roles=each.roles,
        )
        for each in theirs
        if each.with_consumer(asked.principal)
    )


def _sight(policy: Policy, dataset: Dataset, admission: Admission) -> DatasetSeen:
    principal, purpose = admission.principal, admission.purpose
    verdicts = policy.verdicts(dataset, principal, purpose)
    roles = tuple(_role(verdict, principal) for verdict in verdicts)
    try:
        relation, masked = policy.secure(
            dataset, Files((), schema=dataset.schema), principal, purpose
        )
        grants = policy.grants(dataset, principal, purpose)
    except AccessError as error:
        hidden = tuple(ColumnSeen(name, "hidden", error.message) for name in dataset.schema.names)
        return DatasetSeen(dataset.name, False, error.message, roles, NO_ROW, hidden)
    shown = relation.columns or dict.fromkeys(dataset.schema.names, "")
    columns = tuple(_column(name, shown, masked, grants) for name in dataset.schema.names)
    return DatasetSeen(
        dataset.name,
        True,
        "",
        roles,
        _rows(grants, principal),
        columns,
    )


def _nothing(dataset: Dataset, reason: str) -> DatasetSeen:
    hidden = tuple(ColumnSeen(name, "hidden", reason) for name in dataset.schema.names)
    return DatasetSeen(dataset.name, False, reason, (), NO_ROW, hidden)


def _column(
    name: str, shown: Mapping[str, str], masked: Mapping[str, str], grants: Sequence[Grant]
) -> ColumnSeen:
    if name not in shown:
        reasons = dict.fromkeys(grant.hides(name) for grant in grants)
        return ColumnSeen(name, "hidden", "; ".join(reasons))
    if name not in masked:
        return ColumnSeen(name, "shown", "")
    return ColumnSeen(name, "masked", _as_seen(name, masked[name], grants))


def _as_seen(name: str, words: str, grants: Sequence[Grant]) -> str:
    """How it is masked; with several roles, which of them do what to the rows that they show."""
    if len(grants) == 1:
        return words
    said = []
    for grant in grants:
        mask = grant.settings.mask.get(name)
        how = f"masked as {mask}" if mask else "as it is"
        said.append(f"{how} in rows that role {grant.role!r} shows" if grant.shows(name) else "")
    return "; ".join(filter(None, said))


def _role(verdict: Verdict, principal: Principal) -> RoleSeen:
    grant = verdict.grant
    if grant is None:
        return RoleSeen(verdict.role, False, verdict.reason, "")
    unknown = " and ".join(f"principal.{name}" for name in missing(grant, principal))
    reason = f"{unknown} is not known of {principal.id}, and fits no row" if unknown else ""
    rows = grant.settings.rows
    return RoleSeen(verdict.role, True, reason, EVERY_ROW if rows is None else to_text(rows))


def _rows(grants: Sequence[Grant], principal: Principal) -> str:
    found = filter_of(grants, principal)
    return EVERY_ROW if found is None else to_text(found)
