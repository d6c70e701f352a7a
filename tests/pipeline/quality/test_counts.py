"""What the gate counts is what plain Python counts, over any rows."""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from polyport.descriptor.types import Property, Relationship, SchemaObject
from polyport.engine.duckdb import DuckDBEngine
from polyport.model import Relation
from polyport.pipeline.quality import measure

from .conftest import Bench, Counting, rule, table

TEXT = st.one_of(
    st.sampled_from(
        ["", "a", "ab", "A1", "N/A", "a\nb", "é", "日本", "😀", "' OR 1=1 --", '"', "%", "\\d"]
    ),
    st.text(
        alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=4
    ),
)
WHOLE = st.one_of(st.integers(-3, 12), st.integers(-(2**63), 2**63 - 1))
NUMBER = st.one_of(
    st.sampled_from([0.0, -0.0, 10.0, 10.5, math.nan, math.inf, -math.inf]), st.floats(width=64)
)
ROWS = st.lists(st.tuples(st.none() | TEXT, st.none() | WHOLE, st.none() | NUMBER), max_size=12)

PATTERNS = ["a", "^a$", "^[A-Z][0-9]$", "b$", "^.b", "日|é"]


def checks(draw):
    """A rule's metric, column and arguments, and the same said in Python of one value."""
    names = draw(st.lists(TEXT, min_size=1, max_size=3))
    low = draw(st.integers(0, 2))
    bound = draw(st.integers(-5, 12))
    pattern = re.compile(draw(st.sampled_from(PATTERNS)).replace("$", r"\Z"))
    written = pattern.pattern.replace(r"\Z", "$")
    yield "nullValues", "s", {}, lambda v: v is None
    yield "missingValues", "s", {"missingValues": [None, *names]}, lambda v: v is None or v in names
    yield "invalidValues", "s", {"validValues": names}, lambda v: v is not None and v not in names
    yield "invalidValues", "s", {"minLength": low}, lambda v: v is not None and len(v) < low
    yield "invalidValues", "s", {"maxLength": low}, lambda v: v is not None and len(v) > low
    yield (
        "invalidValues",
        "s",
        {"pattern": written},
        lambda v: v is not None and not pattern.search(v),
    )
    yield "nullValues", "i", {}, lambda v: v is None
    yield "missingValues", "i", {"missingValues": ["", bound]}, lambda v: v is None or v == bound
    yield "invalidValues", "i", {"minimum": bound}, lambda v: v is not None and v < bound
    yield "invalidValues", "i", {"exclusiveMaximum": bound}, lambda v: v is not None and v >= bound
    yield (
        "invalidValues",
        "i",
        {"multipleOf": low + 1},
        lambda v: v is not None and v % (low + 1) != 0,
    )
    yield (
        "invalidValues",
        "i",
        {"validValues": [bound, 3]},
        lambda v: v is not None and v not in (bound, 3),
    )
    yield "nullValues", "f", {}, lambda v: v is None
    yield "invalidValues", "f", {"minimum": bound}, lambda v: v is not None and not v >= bound
    yield (
        "invalidValues",
        "f",
        {"exclusiveMaximum": bound},
        lambda v: v is not None and not v < bound,
    )


def repeated(values):
    """Rows that repeat earlier ones; all not-a-numbers are one value, as are both zeros."""
    same = ["nan" if isinstance(v, float) and math.isnan(v) else v for v in values if v is not None]
    return sum(n - 1 for n in Counter(same).values())


def arrow(rows):
    s, i, f = ([row[n] for row in rows] for n in range(3))
    return pa.table(
        {
            "s": pa.array(s, pa.string()),
            "i": pa.array(i, pa.int64()),
            "f": pa.array(f, pa.float64()),
        }
    )


COLUMNS = (Property("s"), Property("i"), Property("f"))
QUIET = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def fresh(duck, tmp_path_factory):
    return lambda: Bench(tmp_path_factory.mktemp("t"), Counting(duck))


@QUIET
@given(rows=ROWS, data=st.data())
def test_rules_count_as_python_does(fresh, rows, data):
    bench = fresh()
    given = list(checks(data.draw))
    rules = [
        replace(
            rule(metric, column=column, arguments=arguments, mustBe=0, severity="warning"),
            id=str(n),
        )
        for n, (metric, column, arguments, _) in enumerate(given)
    ]
    twice = [replace(rule("duplicateValues", column=c, mustBe=0), id=f"twice {c}") for c in "sif"]
    bench.add(table(*rules, *twice, columns=COLUMNS), arrow(rows))
    gate = bench.gate()
    found = {r.rule: r for r in gate.report.results}
    for n, (metric, column, arguments, wrong) in enumerate(given):
        counted = sum(wrong(row["sif".index(column)]) for row in rows)
        one = found[str(n)]
        assert (one.rows_failing, one.status) == (counted, "warn" if counted else "pass"), (
            metric,
            arguments,
        )
        assert one.rows_checked == len(rows)
    for n, column in enumerate("sif"):
        assert found[f"twice {column}"].rows_failing == repeated([row[n] for row in rows])


@QUIET
@given(rows=ROWS, data=st.data())
def test_what_is_set_aside_and_what_remains_are_the_rows_there_were(fresh, rows, data):
    bench = fresh()
    given = data.draw(st.lists(st.sampled_from(list(checks(data.draw))), min_size=1, max_size=3))
    rules = [
        replace(rule(m, column=c, arguments=a, mustBe=0, on_failure="quarantine"), id=f"r{n}")
        for n, (m, c, a, _) in enumerate(given)
    ]
    bench.add(table(*rules, columns=COLUMNS), arrow(rows))
    gate = bench.gate()
    kept = pq.read_table(gate.candidates["t"].table.files[0]).to_pylist()
    aside = pq.read_table(gate.quarantined["t"]).to_pylist() if gate.quarantined else []

    def broken(row):
        return [f"r{n}" for n, (_, c, _, wrong) in enumerate(given) if wrong(row["sif".index(c)])]

    bad = [row for row in rows if broken(row)]
    if len(bad) == len(rows):
        assert (len(kept), aside) == (len(rows), [])
        return
    assert Counter(map(repr, (tuple(r.values()) for r in kept))) == Counter(
        repr(r) for r in rows if not broken(r)
    )
    assert Counter(repr((r["s"], r["i"], r["f"], r["_rule"])) for r in aside) == Counter(
        repr((*r, "; ".join(broken(r)))) for r in bad
    )
    assert not gate.report.stops


@QUIET
@given(
    here=st.lists(
        st.tuples(st.none() | st.integers(0, 3), st.none() | st.sampled_from("ab")), max_size=8
    ),
    there=st.lists(
        st.tuples(st.none() | st.integers(0, 3), st.none() | st.sampled_from("ab")), max_size=8
    ),
)
def test_orphans(fresh, here, there):
    bench = fresh()
    columns = (Property("n"), Property("c"))
    link = Relationship(("n", "c"), "there", ("n", "c"))
    for name, rows, links in (("here", here, (link,)), ("there", there, ())):
        data = pa.table(
            {
                "n": pa.array([r[0] for r in rows], pa.int64()),
                "c": pa.array([r[1] for r in rows], pa.string()),
            }
        )
        bench.add(SchemaObject(name, columns, relationships=links), data)
    orphans = [row for row in here if None not in row and row not in there]
    assert bench.one("here.n-c.refers-to.there.n-c").rows_failing == len(orphans)


@pytest.fixture(scope="module")
def engine():
    with DuckDBEngine() as made:
        yield made


KINDS = [
    pa.int8(),
    pa.int16(),
    pa.int32(),
    pa.int64(),
    pa.uint8(),
    pa.uint64(),
    pa.string(),
    pa.float64(),
]


@settings(max_examples=60, deadline=None)
@given(
    values=st.lists(st.none() | st.integers(0, 127) | st.sampled_from([3, 4, 5]), max_size=40),
    shift=st.sampled_from([0, 2**40, -(2**62), 2**63 - 200, -(2**63)]),
    far=st.booleans(),
)
def test_repeated_whole_numbers_are_counted_alike_by_marks_and_by_groups(
    engine, values, shift, far
):
    moved = [None if v is None else v + shift for v in values] + ([shift // 2] if far else [])
    relation = Relation(pa.table({"k": pa.array(moved, pa.int64())}))
    filled = [v for v in moved if v is not None]
    found = measure.Grouped(engine, {"t": relation}).repeated("t", ("k",))
    assert found == len(filled) - len(set(filled))


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_repeated_values_of_every_kind(engine, kind):
    values = pa.array([1, 2, 2, 3, 3, 3, None, None], pa.int64()).cast(kind)
    grouped = measure.Grouped(engine, {"t": Relation(pa.table({"k": values}))})
    assert grouped.repeated("t", ("k",)) == 3
