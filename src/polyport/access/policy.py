"""The access policy of a product, and what it makes of a dataset for one principal. No rule, no data."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from polyport.access import fit
from polyport.access.masks import Mask
from polyport.access.statements import digest
from polyport.descriptor.types import RoleSettings
from polyport.errors import AccessError
from polyport.expression import Or, attributes, columns, filled, quote, to_sql
from polyport.model import OWNER_ROLE, PLATFORM_ROLE, Relation

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    import pyarrow as pa

    from polyport.descriptor.types import Role
    from polyport.expression import Expression
    from polyport.model import Dataset, Files, Principal

_MOST_JUDGED = 1_000
NOTHING = "-"
"""The policy class of whoever sees nothing of a dataset."""


@dataclass(frozen=True, slots=True)
class Grant:
    """What one of the principal's roles lets it see of one dataset."""

    role: str
    settings: RoleSettings
    promised: Collection[str] | None = None
    """The columns that the contract names today; None: not known."""
    own: RoleSettings | None = None
    """What the role itself says, where agreements limit its columns."""

    @property
    def plain(self) -> bool:
        """Whether the role shows every column, as it is."""
        return self.settings.columns is None and not self.settings.mask

    def shows(self, column: str) -> bool:
        """Whether the role shows `column` at all, masked or not."""
        return not self.hides(column)

    def shown(self, columns: Sequence[str]) -> Sequence[str]:
        """Those of `columns` that the role shows."""
        return columns if self.plain else [*filter(self.shows, columns)]

    def hides(self, column: str) -> str:
        """Why the role does not show `column`, masked or not; empty where it does.

        A role with masks was written for the columns of today. One that only an older snapshot has may be what a mask
        now covers under another name, so that role does not show it.
        """
        if self.settings.columns is not None:
            if column in self.settings.columns:
                return ""
            if self.own is not None and Grant(self.role, self.own, self.promised).shows(column):
                return f"the agreements that give role {self.role!r} do not name it"
            return f"role {self.role!r} does not show it"
        if not self.settings.mask or self.promised is None or column in self.promised:
            return ""
        return f"no contract promises it today, and role {self.role!r} masks columns of today"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether one of a principal's roles counts for a dataset."""

    role: str
    grant: Grant | None
    """What it shows; None: it does not count."""
    reason: str = ""
    """Why it does not count."""


@dataclass(frozen=True, slots=True)
class Policy:
    """Who sees what of a product's datasets."""

    product: str
    roles: Mapping[str, Role]
    salt: str
    """Secret of the product: what hashes are made with, so that they cannot be looked up."""
    promised: Mapping[str, Collection[str]] | None = None
    """The columns of each dataset as the contracts name them today; None: not known."""
    _judged: dict[tuple[int, int], tuple[RoleSettings, Dataset, str]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )
    """What `_wrong` gave, by which settings and dataset: neither ever changes."""

    def grants(self, dataset: Dataset, principal: Principal, purpose: str) -> tuple[Grant, ...]:
        """The roles that count, for `purpose`.

        Raises:
            AccessError: None does; says for each of the principal's roles why.
        """
        if OWNER_ROLE in principal.roles:
            return (Grant(OWNER_ROLE, RoleSettings()),)
        verdicts = self.verdicts(dataset, principal, purpose)
        found = tuple(v.grant for v in verdicts if v.grant is not None)
        if not found:
            raise self._denied(dataset.name, principal, [v.reason for v in verdicts])
        return found

    def verdicts(self, dataset: Dataset, principal: Principal, purpose: str) -> tuple[Verdict, ...]:
        """Each of the principal's roles, whether it counts for `purpose`, and why not."""
        if OWNER_ROLE in principal.roles:
            return (Verdict(OWNER_ROLE, Grant(OWNER_ROLE, RoleSettings())),)
        return tuple(
            self._verdict(name, dataset, principal, purpose) for name in sorted(principal.roles)
        )

    def secure(
        self, dataset: Dataset, files: Files, principal: Principal, purpose: str = ""
    ) -> tuple[Relation, Mapping[str, str]]:
        """What `principal` may see of `dataset`, and for each masked column how, in words.

        Roles add up row by row: a row shows if any role shows it, and a column of it shows as the roles that show
        that very row allow.

        Raises:
            AccessError: The policy shows nothing of it.
        """
        grants = self.grants(dataset, principal, purpose)
        params: dict[str, Any] = {}
        known = _known(principal)
        conditions = [_condition(grant, params, known, dataset.schema) for grant in grants]
        where = "" if "" in conditions else " OR ".join(f"({c})" for c in conditions)
        if all(grant.plain for grant in grants):
            return Relation(files, {}, where, params), {}
        shown, masked, bind = {}, {}, _binder(params)
        for name in dataset.schema.names:
            masked_as = partial(
                Mask.sql, field=dataset.schema.field(name), salt=self.salt, bind=bind
            )
            seen = _column(name, grants, conditions, masked_as)
            if seen is not None:
                shown[name], words = seen
                masked.update({name: words} if words else {})
        plain = not masked and len(shown) == len(dataset.schema.names)
        return Relation(files, {} if plain else shown, where, params), masked

    def plain_rows(
        self, dataset: Dataset, principal: Principal, purpose: str = ""
    ) -> tuple[Expression | None] | None:
        """The rows that `principal` sees, as one filter, where every column it sees shows as it is; else None.

        Raises:
            AccessError: The policy shows nothing of it.
        """
        grants = self.grants(dataset, principal, purpose)
        shown = {grant.settings.columns for grant in grants}
        if len(shown) > 1 or any(grant.settings.mask for grant in grants):
            return None
        rows = filter_of(grants, principal)
        return None if rows is not None and attributes(rows) else (rows,)

    def policy_class(
        self, dataset: Dataset, principal: Principal, purpose: str, columns: Collection[str]
    ) -> str:
        """A digest: equal for principals that see the same of `dataset`; `NOTHING` where it is none of `columns`."""
        try:
            grants = self.grants(dataset, principal, purpose)
        except AccessError:
            return NOTHING
        if not any(grant.shows(column) for grant in grants for column in columns):
            return NOTHING
        known, names = _known(principal), dataset.schema.names
        filters = [grant.settings.rows for grant in grants if grant.settings.rows is not None]
        used = {name: known.get(name) for rows in filters for name in attributes(rows)}
        seen = [(g.settings.rows, g.shown(names), sorted(g.settings.mask.items())) for g in grants]
        return digest(seen, sorted(used.items()), self.salt)

    def _verdict(self, role: str, dataset: Dataset, principal: Principal, purpose: str) -> Verdict:
        settings, reason = self._settings(role, dataset, purpose)
        if settings is None:
            return Verdict(role, None, reason)
        grant = self._grant(role, dataset, settings, principal)
        if any(map(grant.shows, dataset.schema.names)):
            return Verdict(role, grant)
        return Verdict(role, None, f"role {role!r} sees no column of {dataset.name!r}")

    def _settings(
        self, role: str, dataset: Dataset, purpose: str
    ) -> tuple[RoleSettings | None, str]:
        if role == PLATFORM_ROLE:
            return None, f"role {role!r} configures, and sees no data"
        if role not in self.roles:
            return None, f"the product has no role {role!r}"
        settings = self.roles[role].sees(dataset.name)
        if settings is None:
            return None, f"role {role!r} sees nothing of {dataset.name!r}"
        if settings.purposes and not _among(purpose, settings.purposes):
            stated = f"not {purpose!r}" if purpose else "and none was stated"
            return (
                None,
                f"role {role!r} is for the purposes {', '.join(sorted(settings.purposes))}, {stated}",
            )
        wrong = self._wrong(settings, dataset)
        return (None, f"role {role!r} {wrong}") if wrong else (settings, "")

    def _wrong(self, settings: RoleSettings, dataset: Dataset) -> str:
        """Why settings do not fit a snapshot's dataset; empty where they do. Asked several times by each read."""
        key = (id(settings), id(dataset))
        known = self._judged.get(key)
        if known is None or known[0] is not settings or known[1] is not dataset:
            if len(self._judged) >= _MOST_JUDGED:
                self._judged.clear()
            said = _not_here(settings, dataset) or _not_masked(settings, dataset)
            known = self._judged[key] = (settings, dataset, said)
        return known[2]

    def _grant(
        self, role: str, dataset: Dataset, settings: RoleSettings, principal: Principal
    ) -> Grant:
        promised = None if self.promised is None else self.promised.get(dataset.name, ())
        grant = Grant(role, settings, promised)
        limit = principal.columns.get(role)
        if limit is None:
            return grant
        agreed = tuple(
            name
            for name in dataset.schema.names
            if grant.shows(name) and (name in limit or f"{dataset.name}.{name}" in limit)
        )
        return Grant(role, replace(settings, columns=agreed), promised, settings)

    def _denied(self, dataset: str, principal: Principal, reasons: list[str]) -> AccessError:
        why = "; ".join(reasons) or "it has no role"
        seen = [
            self.roles[name].sees(dataset) for name in sorted(principal.roles & self.roles.keys())
        ]
        purposes = sorted(
            {purpose for settings in seen if settings for purpose in settings.purposes}
        )
        roles = f"roles of this product: {', '.join(self.roles) or 'none, only its owner reads it'}"
        return AccessError(
            f"{principal.id} may not read {dataset!r}: {why}",
            where=f"{self.product}/{dataset}",
            fix=f"state a purpose (header Polyport-Purpose): {' or '.join(purposes)}"
            if purposes
            else roles,
        )


def _among(purpose: str, purposes: Collection[str]) -> bool:
    """Whether it is one of them, as agreements compare purposes: in upper or lower case."""
    return purpose.casefold() in {each.casefold() for each in purposes}


def filter_of(grants: Sequence[Grant], principal: Principal) -> Expression | None:
    """The rows that `grants` show together, what is known of the principal filled in; None: all."""
    filters = [grant.settings.rows for grant in grants]
    if None in filters:
        return None
    known = _known(principal)
    terms = dict.fromkeys(filled(rows, known) or rows for rows in filters if rows is not None)
    return next(iter(terms)) if len(terms) == 1 else Or(tuple(terms))


def missing(grant: Grant, principal: Principal) -> tuple[str, ...]:
    """The names that the grant's filter asks of the principal and that it does not have: they fit no row."""
    rows = grant.settings.rows
    known = _known(principal)
    return () if rows is None else tuple(n for n in attributes(rows) if n not in known)


def _known(principal: Principal) -> Mapping[str, str]:
    """What row filters may ask of the principal; no attribute stands in for its id."""
    return {**principal.attributes, "id": principal.id}


def _chosen_by(settings: RoleSettings) -> tuple[str, ...]:
    return columns(settings.rows) if settings.rows is not None else ()


def _not_here(settings: RoleSettings, dataset: Dataset) -> str:
    """That rows cannot be chosen by a column of a snapshot, and why; empty where they can."""
    gone = [c for c in _chosen_by(settings) if c not in dataset.schema.names]
    if gone:
        return f"chooses rows by {gone[0]!r}, which is not in this snapshot"
    other = fit.unfit(settings.rows, dataset.schema)
    return f"chooses rows by {other!r}, which has another type in this snapshot" if other else ""


def _not_masked(settings: RoleSettings, dataset: Dataset) -> str:
    """That a column of a snapshot has a type that its mask is not for; empty where all have theirs."""
    for name, text in settings.mask.items():
        shown = settings.columns is None or name in settings.columns
        if shown and name in dataset.schema.names:
            kind = dataset.schema.field(name).type
            if not Mask.parse(text).fits(kind):
                return f"masks {name!r} by {text!r}, which is {kind} in this snapshot"
    return ""


def _condition(
    grant: Grant, params: dict[str, Any], known: Mapping[str, str], schema: pa.Schema
) -> str:
    """SQL for the rows that the grant shows; empty for all."""
    rows = grant.settings.rows
    return "" if rows is None else to_sql(fit.typed(rows, schema, known), params, known)


def _column(
    name: str, grants: tuple[Grant, ...], conditions: list[str], masked_as: Callable[[Mask], str]
) -> tuple[str, str] | None:
    """The SQL that shows the column and how it is masked in words; None where no grant shows it."""
    pairs = [(g, c) for g, c in zip(grants, conditions, strict=True) if g.shows(name)]
    if not pairs:
        return None
    raw = [c for g, c in pairs if name not in g.settings.mask]
    if "" in raw or len(raw) == len(grants):
        return quote(name), ""
    masks = [(Mask.parse(g.settings.mask[name]), c) for g, c in pairs if name in g.settings.mask]
    text = any(mask.text_only for mask, _ in masks)
    arms = [(c, _as_text(quote(name), text)) for c in raw]
    arms += [(c or "TRUE", _as_text(f"({masked_as(m)})", text)) for m, c in masks]
    words = masks[0][0].words if masks else "withheld"
    if len(arms) == len(grants) == 1:
        return arms[0][1], words
    return f"CASE {' '.join(f'WHEN {c} THEN {shown}' for c, shown in arms)} END", words


def _binder(params: dict[str, Any]) -> Callable[[Any], str]:
    def bind(value: Any) -> str:
        key = f"f{len(params)}"
        params[key] = value
        return f"${key}"

    return bind


def _as_text(sql: str, text: bool) -> str:
    return f"{sql}::VARCHAR" if text else sql
