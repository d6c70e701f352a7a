"""A product in a few words, written to Parquet as a build does, and put through the gate."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from polyport.descriptor.types import (
    Contract,
    DataProduct,
    Port,
    Property,
    QualityRule,
    SchemaObject,
    Settings,
)
from polyport.engine.duckdb import DuckDBEngine
from polyport.expression import quote
from polyport.model import Files, Relation, RuleResult
from polyport.pipeline.quality import Before, Candidate, Gate, gate

if TYPE_CHECKING:
    import pyarrow as pa

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
RUN = "20261122T120000-abcdef"


class Counting:
    """An engine that keeps what it was asked, with the names of the relations."""

    dialect = "duckdb"

    def __init__(self, engine: DuckDBEngine) -> None:
        self.engine = engine
        self.asked: list[tuple[str, tuple[str, ...]]] = []

    @property
    def scans(self) -> list[str]:
        """The queries that looked at rows."""
        return [sql for sql, names in self.asked if names]

    def query(self, sql, relations, params=None):
        self.asked.append((sql, tuple(relations)))
        return self.engine.query(sql, relations, params)

    def schema(self, sql, relations):
        return self.engine.schema(sql, relations)

    def write(self, sql, relations, target, *, field_ids=None, columns=None):
        return self.engine.write(sql, relations, target, field_ids=field_ids, columns=columns)

    def consume(self, reader, target):
        return self.engine.consume(reader, target)


@dataclass
class Bench:
    """Where datasets are made and judged."""

    folder: Path
    engine: Counting
    candidates: dict[str, Candidate] = field(default_factory=dict)

    def write(self, name: str, data: pa.Table | str, **ids: Any):
        """The rows of an Arrow table or of a SELECT, as a Parquet file."""
        target = self.folder / f"{len(list(self.folder.iterdir()))}.parquet"
        if isinstance(data, str):
            return self.engine.write(data, {}, target, **ids)
        everything = f"SELECT * FROM {quote(name)}"
        return self.engine.write(everything, {name: Relation(data)}, target, **ids)

    def add(self, thing: SchemaObject, data: pa.Table | str, **ids: Any) -> Candidate:
        self.candidates[thing.name] = Candidate(thing, self.write(thing.name, data, **ids))
        return self.candidates[thing.name]

    def relation(self, name: str, data: pa.Table | str) -> Relation:
        """What an earlier snapshot held."""
        return Relation(Files(tuple(map(str, self.write(name, data).files))))

    def gate(self, *, before: Before | None = None, contract: Contract | None = None) -> Gate:
        self.engine.asked.clear()
        return gate(
            dict(self.candidates),
            product=product(contract or self.contract()),
            run=RUN,
            now=NOW,
            before=before or Before(),
            engine=self.engine,
            quarantine=self.folder / "quarantine",
        )

    def contract(self, **more: Any) -> Contract:
        objects = tuple(c.object for c in self.candidates.values())
        return replace(Contract("c", "1.0.0", "c", Path("c.odcs.yaml"), objects), **more)

    def one(self, rule: str, **given: Any) -> RuleResult:
        """The result of one rule of the whole report."""
        return result(self.gate(**given), rule)


def result(found: Gate, rule: str) -> RuleResult:
    (one,) = [r for r in found.report.results if r.rule == rule]
    return one


def product(contract: Contract) -> DataProduct:
    port = Port("rest", "rest", contract_id=contract.id)
    return DataProduct(
        Path(),
        "p",
        "p",
        "1.0.0",
        "active",
        "d",
        "",
        (),
        (port,),
        (),
        {contract.id: contract},
        Settings(),
    )


def rule(metric: str = "", *, column: str = "x", **given: Any) -> QualityRule:
    """A rule `r` on column `x` of dataset `t`; an operator is given by its name: `mustBe=0`."""
    operator = next((k for k in given if k.startswith("must")), None)
    threshold = given.pop(operator) if operator else None
    kind = given.pop("type", "library")
    return replace(
        QualityRule("r", "t", column, kind, metric, operator=operator, threshold=threshold), **given
    )


def table(
    *rules: QualityRule, columns: tuple[Property, ...] | None = None, **more: Any
) -> SchemaObject:
    """Dataset `t` with the rules on the object."""
    return SchemaObject(
        "t", (Property("x"),) if columns is None else columns, quality=rules, **more
    )


@pytest.fixture(scope="session")
def duck():
    with DuckDBEngine(threads=1) as engine:
        yield engine


@pytest.fixture
def bench(duck, tmp_path):
    return Bench(tmp_path, Counting(duck))
