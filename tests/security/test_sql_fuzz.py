"""Random SELECTs over what a policy shows give what they give over a copy that holds nothing else.

The copy is made by the policy written down in plain Python (`oracle.py`), and asked in a bare engine without walls.
"""

from __future__ import annotations

import importlib.util
import itertools
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, Phase, event, given, settings
from hypothesis import strategies as st
from tests.workers import ask

from polyport.access import Policy, View
from polyport.engine.duckdb import DuckDBEngine
from polyport.engine.walled.pool import Workers
from polyport.engine.walled.universe import Named, Universe, Walls
from polyport.model import Dataset, Snapshot

_spec = importlib.util.spec_from_file_location(
    "one_policy", Path(__file__).with_name("test_one_policy.py")
)
one_policy = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(one_policy)
SCHEMA, BILLS, SALT = one_policy.SCHEMA, one_policy.BILLS, one_policy.SALT
EACH = 6
"""How many statements are asked of one drawn policy."""


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    with DuckDBEngine(scratch=tmp_path_factory.mktemp("spill")) as made:
        yield made


@pytest.fixture(scope="module")
def workers(tmp_path_factory):
    made = Workers(Walls(workers=2, memory="256MB"), scratch=tmp_path_factory.mktemp("scratch"))
    yield made
    made.close()


@pytest.fixture
def folder(tmp_path):
    numbers = itertools.count()

    def make():
        made = tmp_path / str(next(numbers))
        made.mkdir()
        return made

    return make


# --- the grammar ----------------------------------------------------------------------------------------------------

LITERALS = {
    "int": ("0", "7", "-3", "14", "NULL"),
    "text": ("''", "'a'", "'b%'", "'red'", "'***'", "NULL"),
    "dec": ("0.00", "1.50", "-20", "NULL"),
    "date": ("DATE '1990-01-01'", "DATE '2020-02-29'", "NULL"),
    "bool": ("true", "false", "NULL"),
}


def kind(field):
    """What expressions may do with a column."""
    for name, test in (
        ("int", pa.types.is_integer),
        ("text", pa.types.is_string),
        ("dec", pa.types.is_decimal),
        ("date", pa.types.is_date),
        ("bool", pa.types.is_boolean),
    ):
        if test(field.type):
            return name
    return None


class Says:
    """Draws one statement over tables, each a list of (column, kind)."""

    def __init__(self, draw, tables):
        self.draw, self.tables, self.names = draw, tables, itertools.count()

    def one(self, *choices):
        return self.draw(st.sampled_from(choices))

    def source(self, depth):
        """A table expression: its SQL, and its columns as they are called outside."""
        how = self.one("table", "table", "join", "sub", "cte") if depth else "table"
        name = f"q{next(self.names)}"
        if how == "table":
            table = self.one(*sorted(self.tables))
            return f'"{table}" AS {name}', [(f'{name}."{c}"', k) for c, k in self.tables[table]]
        if how == "join":
            (left, ours), (right, theirs) = self.source(0), self.source(depth - 1)
            join = self.one(
                "JOIN", "LEFT JOIN", "FULL JOIN", "SEMI JOIN", "ANTI JOIN", "CROSS JOIN"
            )
            pairs = [(a, b) for a, k in ours for b, o in theirs if k == o]
            if join == "CROSS JOIN" or not pairs:
                return f"{left} CROSS JOIN {right}", ours + theirs
            a, b = self.one(*pairs)
            shown = ours if join in ("SEMI JOIN", "ANTI JOIN") else ours + theirs
            return (
                f"{left} {join} {right} ON {a} {self.one('=', 'IS NOT DISTINCT FROM')} {b}",
                shown,
            )
        query, columns = self.select(depth - 1)
        if how == "cte":
            kept = self.one("", "MATERIALIZED ", "NOT MATERIALIZED ")
            query = f"WITH c AS {kept}({query}) SELECT * FROM c"
        return f"({query}) AS {name}", [(f"{name}.{c}", k) for c, k in columns]

    def value(self, columns, wanted, depth=1):  # noqa: PLR0911 - one line a form
        """An expression of a kind."""
        fits = [c for c, k in columns if k == wanted]
        if not fits:
            return self.one(*LITERALS[wanted][:-1])
        if not depth or self.one(True, True, False):
            return self.one(*fits)
        inner = self.value(columns, wanted, depth - 1)
        match wanted:
            case "int":
                return self.one(f"{inner} + 1", f"abs({inner})", f"coalesce({inner}, 3)")
            case "text":
                return self.one(
                    f"upper({inner})",
                    f"{inner} || 'x'",
                    f"left({inner}, 2)",
                    f"coalesce({inner}, 'z')",
                )
            case "dec":
                return self.one(f"{inner} * 2", f"round({inner}, 1)", f"-{inner}")
            case "date":
                return self.one(f"date_trunc('month', {inner})::DATE", f"{inner} + 1")
        return f"NOT {inner}"

    def condition(self, columns, depth):  # noqa: PLR0911 - one line a form
        how = self.one("compare", "null", "like", "in", "exists", "and", "or", "not")
        kinds = [k for _, k in columns]
        if how in ("and", "or", "not") and depth:
            one = self.condition(columns, 0)
            return (
                f"NOT ({one})" if how == "not" else f"({one}) {how} ({self.condition(columns, 0)})"
            )
        if how == "exists" and depth:
            query, inner = self.select(0)
            shared = [(a, b) for a, k in columns for b, o in inner if k == o]
            if shared:
                a, b = self.one(*shared)
                return f"{a} {self.one('IN', 'NOT IN')} (SELECT {b} FROM ({query}) AS e)"
            return f"EXISTS ({query})"
        if how == "like" and "text" in kinds:
            return f"{self.value(columns, 'text')} {self.one('LIKE', 'NOT LIKE', '>')} {self.one(*LITERALS['text'])}"
        wanted = self.one(*kinds)
        left = self.value(columns, wanted)
        if how == "null":
            return f"{left} IS {self.one('', 'NOT ')}NULL"
        if how == "in":
            return f"{left} IN ({self.one(*LITERALS[wanted])}, {self.one(*LITERALS[wanted])})"
        op = self.one("=", "<>", "<", ">=") if wanted != "bool" else "="
        return f"{left} {op} {self.one(self.value(columns, wanted), *LITERALS[wanted])}"

    def raising(self, columns):
        """A condition that is an error for some values: those of hidden rows may not be among them."""
        found = []
        for column, name in columns:
            found += {
                "int": [f"1 // ({column} - {self.one(0, 7, 14)}) IS NOT NULL", f"{column}::UTINYINT >= 0"],
                "text": [f"CASE WHEN {column} = 'red' THEN {column}::INT = 1 ELSE true END"],
                "date": [f"strptime({column}::VARCHAR, '%Y-0%m-%d') IS NOT NULL"],
            }.get(name, [])  # fmt: skip
        return self.one(*found) if found else "true"

    def select(self, depth):
        """A SELECT: its SQL, and its columns."""
        source, columns = self.source(depth)
        if depth and self.one(True, False, False, False):
            return self.both(depth)
        where = f" WHERE {self.condition(columns, depth)}" if self.one(True, False) else ""
        if self.one(True, False, False):
            return self.grouped(source, columns, where)
        picked = self.draw(st.lists(st.sampled_from(columns), min_size=1, max_size=3))
        shown = [(self.value(columns, k), k) for _, k in picked]
        if self.one(True, False, False, False):
            shown.append((self.windowed(columns), "int"))
        names = [(f"x{n}", k) for n, (_, k) in enumerate(shown)]
        listed = ", ".join(
            f"{sql} AS {name}" for (sql, _), (name, _) in zip(shown, names, strict=True)
        )
        distinct = self.one("", "", "DISTINCT ")
        return f"SELECT {distinct}{listed} FROM {source}{where}", names

    def windowed(self, columns):
        over = ", ".join(c for c, _ in columns)
        parted = self.one(*columns)[0]
        return self.one(
            f"row_number() OVER (ORDER BY {over})",
            f"count(*) OVER (PARTITION BY {parted})",
            f"rank() OVER (PARTITION BY {parted} ORDER BY {over})",
            f"ntile(3) OVER (ORDER BY {over})",
        )

    def grouped(self, source, columns, where):
        by, name = self.one(*columns)
        other, other_kind = self.one(*columns)
        measures = ["count(*)", f"count({other})", f"count(DISTINCT {other})"]
        shown = [(by, name), (self.one(*measures), "int")]
        if other_kind != "bool":
            shown.append((f"{self.one('min', 'max')}({other})", other_kind))
        if other_kind == "text":
            shown.append((f"string_agg({other}, '|' ORDER BY {other})", "text"))
        names = [(f"x{n}", k) for n, (_, k) in enumerate(shown)]
        listed = ", ".join(f"{sql} AS x{n}" for n, (sql, _) in enumerate(shown))
        having = self.one("", " HAVING count(*) > 1")
        return f"SELECT {listed} FROM {source}{where} GROUP BY {by}{having}", names

    def both(self, depth):
        one, columns = self.select(depth - 1)
        kinds = [k for _, k in columns]
        other, more = self.select(depth - 1)
        if [k for _, k in more] != kinds:
            other = one
        return (
            f"({one}) {self.one('UNION', 'UNION ALL', 'INTERSECT', 'EXCEPT', 'EXCEPT ALL')} ({other})",
            columns,
        )

    def statement(self):
        how = self.one("plain", "plain", "plain", "raise", "top", "unnest", "recursive", "pivot")
        table = self.one(*sorted(self.tables))
        columns = [(f'"{c}"', k) for c, k in self.tables[table]]
        every = ", ".join(c for c, _ in columns)
        match how:
            case "raise":
                return f'SELECT {every} FROM "{table}" WHERE {self.raising(columns)}'
            case "top":
                way = self.one("ASC", "DESC NULLS FIRST")
                order = ", ".join(f"{c} {way}" for c, _ in columns)
                return f'SELECT {every} FROM "{table}" ORDER BY {order} LIMIT {self.one(1, 2, 5)} OFFSET {self.one(0, 1)}'
            case "unnest":
                return f'SELECT unnest(list({self.one(*columns)[0]})) AS u, count(*) AS n FROM "{table}"'
            case "recursive":
                return (
                    f'WITH RECURSIVE "{table}" AS (SELECT *, 1 AS n FROM "{table}" UNION ALL '
                    f'SELECT * REPLACE (n + 1 AS n) FROM "{table}" WHERE n < 3) SELECT * FROM "{table}"'
                )
            case "pivot":
                by, k = self.one(*columns)
                values = ", ".join(LITERALS[k][:-1])
                return f'SELECT * FROM (SELECT {by} AS p FROM "{table}") PIVOT (count(*) FOR p IN ({values}))'
        query, _ = self.select(2)
        return query


# --- the comparison -------------------------------------------------------------------------------------------------


def asked(worker, sql):
    """The rows that the worker gives, or its error."""
    said = ask(worker, sql)
    return said.get("error", said) if isinstance(said, dict) else said


def bag(table):
    return sorted(
        repr(tuple(row.values()))
        for row in table.rename_columns([str(n) for n in range(table.num_columns)]).to_pylist()
    )


@settings(
    max_examples=60 if settings.default.derandomize else 150,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.generate, Phase.shrink),
)
@given(
    one_policy.ROWS, one_policy.POLICIES, one_policy.PRINCIPALS, st.sampled_from(("", "plan")), st.data()
)  # fmt: skip
def test_the_same_rows_as_from_a_copy(
    engine, workers, folder, rows, roles, principal, purpose, data
):
    home = folder()
    whole = {
        "people": pa.Table.from_pylist([{"id": n * 7, **r} for n, r in enumerate(rows)], SCHEMA),
        "bills": BILLS,
    }
    keys = {"people": ("id",), "bills": ("bill",)}
    datasets = {n: Dataset(n, t.schema, keys[n], t.num_rows) for n, t in whole.items()}
    for name, table in whole.items():
        pq.write_table(table, home / f"{name}.parquet")
    snapshot = Snapshot("p", "00000001-abcdef01", 1, None, one_policy.NOW, datasets)
    policy = Policy("p", roles, SALT, one_policy.PROMISED)
    view = View(
        snapshot, principal, "out", purpose, policy, engine,
        lambda _, name: [str(home / f"{name}.parquet")], lambda _: None,
    )  # fmt: skip
    tables, named = {}, []
    with duckdb.connect() as copy, view:
        copy.execute("SET TimeZone = 'UTC'")
        for name in view.datasets:
            sight = one_policy.Sight(
                whole[name].schema.names, roles, principal, purpose, name,
                promised=one_policy.PROMISED[name], salt=SALT, admitted=dict.fromkeys(principal.roles),
            )  # fmt: skip
            schema = view.schema(name)
            shown = pa.Table.from_pylist(sight.rows(whole[name].to_pylist()), schema)
            copy.register("shown", shown)
            copy.execute(f"CREATE TABLE {name} AS SELECT * FROM shown")
            copy.unregister("shown")
            columns = [(f.name, kind(f)) for f in schema if kind(f)]
            if columns:
                tables[name] = columns
            named.append(Named(f"{home}/{name}", ((name,),), view.relation(name)))
        event(f"{len(tables)} datasets")
        if not tables:
            return
        worker = workers.lend(Universe(tuple(named)))
        try:
            for _ in range(EACH):
                sql = Says(data.draw, tables).statement()
                compare(worker, copy, sql)
        finally:
            worker.kill()
            workers.give_back(worker)


def compare(worker, copy, sql):
    try:
        expected = copy.sql(sql).to_arrow_table()
    except duckdb.Error as error:
        event(type(error).__name__)
        assert not isinstance(error, duckdb.ParserException | duckdb.CatalogException), sql
        found = asked(worker, sql)
        assert isinstance(found, dict), sql
        return
    found = asked(worker, sql)
    assert isinstance(found, pa.Table), (sql, found)
    event(f"rows: {min(expected.num_rows, 3)}")
    assert bag(found) == bag(expected), sql
