"""How much of a quality report a viewer may be told: words and counts of what it sees, values only as the owner."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from polyport.access.view import View
    from polyport.descriptor.types import DataProduct
    from polyport.model import Principal, QualityReport, RuleResult

_OF_THE_SCHEMA = ("schema", "built-in")
"""Kinds of rules whose words are ours: on a whole dataset they are told where they name nothing hidden."""


@dataclass(frozen=True, slots=True)
class Sight:
    """How much of a report somebody may be told."""

    seen: Mapping[str, frozenset[str]] | None = None
    """Dataset -> columns that are shown; None: whoever steers the product, all."""
    plain: Mapping[str, frozenset[str]] | None = None
    """Those that are shown unmasked."""
    hidden: frozenset[str] = frozenset()
    """Names of datasets and columns that are not shown."""
    whole: bool = False
    """Whether nothing is hidden or masked."""
    partly: frozenset[str] = frozenset()
    """Datasets of which some rows are hidden: how many there are is not told."""
    values: bool = False
    """Whether values of the data may be told, whatever the row: to the owner."""

    def of(self, report: QualityReport) -> QualityReport:
        """The report without what may not be told."""
        results = tuple(self.told(r) for r in report.results if self.may(r))
        tables = {
            name: facts if self.values else replace(facts, newest="", gaps=())
            for name, facts in report.tables.items()
            if self.seen is None or (name in self.seen and name not in self.partly)
        }
        return replace(report, results=results, tables=tables)

    def may(self, result: RuleResult) -> bool:
        """Whether it may be told at all."""
        if self.seen is None:
            return True
        columns = self.seen.get(result.dataset)
        if columns is None:
            return False
        if result.column:
            return result.column in columns
        return self.whole or (result.kind in _OF_THE_SCHEMA and self.says(result))

    def told(self, result: RuleResult) -> RuleResult:
        """The result without values, and without the words of what is masked."""
        if self.values:
            return result
        measured = None if isinstance(result.measured, str) else result.measured
        shown = replace(result, reason="", measured=measured)
        if result.dataset in self.partly:
            threshold = {} if result.metric == "rowCount" else result.threshold
            shown = replace(shown, measured=None, rows_checked=None, threshold=threshold)
        if self.seen is None or self.says(result):
            return shown
        generic = f"{result.column} keeps a rule ({result.dimension or result.kind})"
        name = f"{result.dataset}.{result.column}"
        return replace(shown, rule=name, sentence=generic, expected="", threshold={})

    def says(self, result: RuleResult) -> bool:
        """Whether the rule's words speak only of what is shown unmasked."""
        if self.seen is None:
            return True
        plain = (self.plain or {}).get(result.dataset, frozenset())
        said = f"{result.rule} {result.sentence} {result.expected} {result.threshold}"
        seen = not result.column or result.column in plain
        return seen and self.names_nothing_hidden(said, plain)

    def names_nothing_hidden(self, text: str, known: Collection[str] = ()) -> bool:
        """Whether no name of what is not shown stands in the text; those in `known` are shown where it is said."""
        return not any(name in text for name in self.hidden if name not in known)

    def sees(self, dataset: str, column: str = "") -> bool:
        """Whether it is shown the dataset, or a column of it as it is."""
        if self.seen is None:
            return True
        return dataset in self.seen and (not column or column in (self.plain or {})[dataset])


def sight_through(product: DataProduct, principal: Principal, view: View | None) -> Sight:
    """What of the product's reports `principal` may be told, who has `view`; None: nothing is published."""
    if principal.steers(product.id):
        return Sight(values=principal.owns(product.id))
    seen = {n: frozenset(view.schema(n).names) for n in view.datasets} if view else {}
    plain = {n: columns - frozenset(view.masked(n)) for n, columns in seen.items()} if view else {}
    hidden = {name for name in product.objects if name not in seen}
    for name, promised in product.objects.items():
        hidden |= {p.name for p in promised.properties} - seen.get(name, frozenset())
    partly = frozenset(n for n in seen if view and not view.whole(n))
    whole = not hidden and seen == plain
    return Sight(seen, plain, frozenset(hidden), whole=whole, partly=partly)
