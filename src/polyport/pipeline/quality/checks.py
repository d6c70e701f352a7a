"""What a compiled rule is: one check, and how it is counted."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, TypeAlias

from polyport.errors import QualityError
from polyport.expression import quote
from polyport.pipeline.quality import limits, nested, sentences
from polyport.pipeline.quality.conditions import Column, Condition
from polyport.pipeline.quality.nested import Place

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from polyport.descriptor.types import Relationship
    from polyport.engine import Engine
    from polyport.model import Status
    from polyport.pipeline.quality.limits import Limit
    from polyport.pipeline.quality.types import Candidate

Kind: TypeAlias = Literal["library", "sql", "text", "custom", "schema", "built-in"]


@dataclass(frozen=True, slots=True)
class Rows:
    """Count the rows that break a condition."""

    condition: Condition
    columns: tuple[str, ...]
    """The columns it looks at."""
    values: bool = True
    """Whether examples are the columns' values; else the rows' keys."""


@dataclass(frozen=True, slots=True)
class RowCount:
    """Count all rows."""


@dataclass(frozen=True, slots=True)
class Duplicates:
    """Count the rows that repeat values which another row has already; rows with a null are not compared."""

    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Orphans:
    """Count the rows that refer to a row which is not there; nulls refer to nothing."""

    relationship: Relationship


@dataclass(frozen=True, slots=True)
class Scalar:
    """Compare the one value of a query."""

    query: str


@dataclass(frozen=True, slots=True)
class Settled:
    """Known without a look at the rows."""

    status: Status
    reason: str = ""


How: TypeAlias = Rows | RowCount | Duplicates | Orphans | Scalar | Settled


@dataclass(frozen=True, slots=True)
class Check:
    """One rule, ready to run."""

    rule: str
    dataset: str
    column: str
    kind: Kind
    sentence: str
    how: How
    limit: Limit = limits.NONE
    dimension: str = ""
    severity: str = "error"
    quarantine: bool = False
    metric: str = ""
    """As the rule names it; empty: see `measures`."""

    @property
    def measures(self) -> str:
        """What is measured, in ODCS's words where it has some; empty where nothing is."""
        match self.how:
            case Settled():
                return ""
            case RowCount():
                return "rowCount"
            case Duplicates():
                return "duplicateValues"
            case Orphans():
                return "unmatchedValues"
            case Scalar():
                return "value"
        return self.metric or ("invalidValues" if self.how.values else "nullValues")

    @property
    def term(self) -> str:
        """What a scan calls the number of rows that break it."""
        return f"{self.kind} {self.rule}"


@dataclass(slots=True)
class Compiler:
    """What compiling a dataset's rules needs to know."""

    candidate: Candidate
    datasets: Mapping[str, Candidate]
    engine: Engine
    made: int = 0

    @property
    def dataset(self) -> str:
        """The dataset's name."""
        return self.candidate.object.name

    def column(self, name: str, inside: Sequence[str] = ()) -> Column:
        """The column `name`, or what lies `inside` of it, to write conditions on.

        Raises:
            QualityError: The dataset has no such column, or nothing of that name is inside.
        """
        found = require(self.candidate, name)
        self.made += 1
        start = Place(quote(found), self.candidate.table.schema.field(found).type, found)
        at = nested.walk(start, inside)
        return Column(at.name, at.type, f"q{self.made}", self.engine, at.sql, at.around)


def require(candidate: Candidate, name: str) -> str:
    """`name`, if it is a column of the candidate.

    Raises:
        QualityError: It is not; names the nearest.
    """
    names = candidate.table.schema.names
    if names.count(name) == 1:
        return name
    near = difflib.get_close_matches(name, names, 1)
    raise QualityError(
        f"{candidate.object.name} has no column {name!r}",
        fix=f"did you mean {near[0]!r}?"
        if near
        else f"its columns: {sentences.listed(names, limit=20)}",
    )


def attempt(check: Check, how: Callable[[], How]) -> Check:
    """`check`, to be counted as `how` says; where `how` finds that it cannot be run, a check that says so."""
    try:
        return replace(check, how=how())
    except QualityError as error:
        return replace(check, how=Settled("error", sentences.cannot(error)))
