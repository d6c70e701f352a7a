"""An error tells nothing of what lies below the policy: not its values, and not that there are any.

Each statement raises for some values. What is said holds none of the values that are hidden, and it is the same, word
by word, over other files: without the hidden rows, and with other values behind the masks.
"""

from __future__ import annotations

import datetime as dt
import importlib.util
import secrets as secrets_
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.workers import ask

from polyport.access import Policy, View
from polyport.descriptor.types import Role, RoleSettings
from polyport.engine.duckdb import DuckDBEngine
from polyport.engine.walled.pool import Workers
from polyport.engine.walled.universe import Named, Universe, Walls
from polyport.errors import AccessError, QueryError
from polyport.expression import parse
from polyport.model import OWNER, Dataset, Principal, Snapshot

_spec = importlib.util.spec_from_file_location("oracle", Path(__file__).with_name("oracle.py"))
oracle = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(oracle)

NOW = dt.datetime(2026, 5, 1, tzinfo=dt.UTC)
SALT = "CANARY salt"
SCHEMA = pa.schema(
    {
        "id": pa.int64(),
        "studio": pa.string(),
        "name": pa.string(),
        "number": pa.int32(),
        "day": pa.date32(),
        "cost": pa.decimal128(18, 2),
    }
)
ROWS = [
    (1, "Fox", "CANARY 1", 980011, dt.date(1985, 6, 17), Decimal("60.25")),
    (2, "Fox", "CANARY 2", 980012, dt.date(1986, 7, 18), Decimal("61.26")),
    (980013, "Other", "CANARY 3", 980013, dt.date(1987, 8, 19), Decimal("9999999999962.27")),
    (980014, None, "CANARY 4", 0, dt.date(9999, 12, 31), Decimal("-63.28")),
]  # fmt: skip
TABLE = pa.Table.from_pylist([dict(zip(SCHEMA.names, r, strict=True)) for r in ROWS], SCHEMA)

MASKS = {
    "none": {},
    "null": {"name": "null", "number": "null", "day": "null", "cost": "null"},
    "hash": {"name": "hash", "number": "hash", "day": "hash", "cost": "hash"},
    "partial": {
        "name": "partial:2",
        "number": "partial:2",
        "day": "partial:3",
        "cost": "partial:1",
    },
    "constant": {"name": "constant:x", "number": "constant:7", "day": "constant:2020-01-01"},
    "prefix": {"name": "prefix:2", "number": "prefix:2", "day": "prefix:3", "cost": "prefix:1"},
    "coarse": {"name": "hash", "number": "round:2", "day": "year", "cost": "round:1"},
    "month": {"name": "null", "number": "round:3", "day": "month", "cost": "round:2"},
}
FILTERS = {
    "none": None,
    "equal": "studio = 'Fox'",
    "attribute": "studio = principal.studio",
    "like": "studio LIKE 'F%'",
    "in": "studio IN ('Fox', 'Nobody')",
    "null": "studio IS NOT NULL AND studio != 'Other'",
    "number": "number > 1000 AND cost < 100",
    "none of them": "id = 5",
}
POLICIES = {
    **{f"rows {k}": {"r": (k, "none")} for k in FILTERS if k != "none"},
    **{f"mask {k}": {"r": ("none", k)} for k in MASKS if k != "none"},
    **{f"rows and mask {k}": {"r": ("equal", k)} for k in MASKS if k != "none"},
    "row by row": {"r": ("equal", "none"), "s": ("none", "hash")},
    "row by row, both masked": {"r": ("attribute", "coarse"), "s": ("none", "null")},
}
RAISING = (
    "name::INT", "name::DATE", "name::TIMESTAMP", "name::UUID", "name::DOUBLE", "name::BOOLEAN",
    "name::INT[]", "name::STRUCT(a INT)", "name::INTERVAL", "name::BLOB::BIT", "name::JSON",
    "strptime(name, '%Y')", "from_hex(name)", "from_base64(name)", "json_extract(name, '$.a')",
    "regexp_matches('x', '(' || name)", "printf('%d', name)", "name::ENUM('a')", "list_value(1)[name::INT]",
    "number::UTINYINT", "number::TINYINT", "factorial(number::INT)", "chr(number::INT)", "-number::INT::UINTEGER",
    "number::INT * 2147483647", "make_date(number::INT, 1, 1)", "1 << number::INT", "sqrt(-number::INT)",
    "ln(number::INT - 980013)", "ln(number::INT)", "1 // number::INT", "1 % number::INT", "id::UTINYINT", "id::INT::DATE",
    "repeat('x', -id::INT)", "log(id - 980013)", "range(id, id, id - 980013)", "number::DECIMAL(3,2)",
    "day::TIMESTAMP_NS", "day::INT", "day::DATE + number::INT * 1000", "date_diff('ns', day::TIMESTAMP, TIMESTAMP '1970-01-01')",
    "epoch_ns(day::TIMESTAMP)", "strptime(day::VARCHAR, '%d.%m.%Y')", "day::TIMESTAMP + INTERVAL 300000 YEAR",
    "cost::TINYINT", "cost::DECIMAL(4,3)", "cost::UTINYINT", "cost::DECIMAL(18,10)", "sqrt(cost::DOUBLE)", "acos(cost::DOUBLE)",
    "cost::VARCHAR::INT", "cost::DATE", "(name || studio)::INT", "CASE WHEN id > 2 THEN name::INT END",
    "array_value(1, 2)[id]", "strftime(day::DATE, name)", "json_object(name, 1)::INT[]", "name COLLATE nocase",
)  # fmt: skip
PLACES = (
    "SELECT {} AS x FROM people",
    "SELECT count(*) AS x FROM people WHERE {} IS NOT NULL",
    "SELECT max(id) OVER (ORDER BY {}) AS x FROM people",
    "SELECT p.id AS x FROM people p SEMI JOIN (SELECT {} AS e FROM people) q ON e IS NOT NULL",
    "SELECT (SELECT count({}) FROM people) AS x",
    "SELECT max({}) AS x FROM people GROUP BY studio",
    "SELECT * FROM people WHERE studio = 'Other' AND {} IS NOT NULL",
)  # fmt: skip
STATEMENTS = [place.format(one) for one in RAISING for place in PLACES]
SHORT = [PLACES[n % len(PLACES)].format(one) for n, one in enumerate(RAISING)] + [
    PLACES[(n + 3) % len(PLACES)].format(one) for n, one in enumerate(RAISING)
]
"""Each expression in two places: all of them in all are asked of one policy of each kind."""


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    with DuckDBEngine(scratch=tmp_path_factory.mktemp("spill")) as made:
        yield made


@pytest.fixture(scope="module")
def workers(tmp_path_factory):
    made = Workers(Walls(workers=2, memory="256MB"), scratch=tmp_path_factory.mktemp("scratch"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("store") / "people.parquet"
    pq.write_table(TABLE, path)
    return path


def roles(policy):
    return {
        name: Role(
            name, RoleSettings(rows=FILTERS[r] and parse(FILTERS[r]), mask=MASKS[m]), {}
        )
        for name, (r, m) in policy.items()
    }  # fmt: skip


def seen(made, principal, engine, file, table=TABLE):
    datasets = {"people": Dataset("people", table.schema, ("id",), table.num_rows)}
    snapshot = Snapshot("p", "00000001-abcdef01", 1, None, NOW, datasets)
    policy = Policy("p", made, SALT, {"people": table.schema.names})
    return View(
        snapshot, principal, "out", "", policy, engine, lambda *_: [str(file)], lambda _: None
    )


def asked(worker, sql):
    """What is said: the cells as text, in any order, or an error."""
    said = ask(worker, sql)
    if isinstance(said, dict):
        return said
    chunks = [chunk for column in said.columns for chunk in column.chunks]
    cells = [c for each in chunks for c in each.to_string(window=len(ROWS)).splitlines()[1:-1]]
    return sorted(cell.strip(" ,") for cell in cells)


def hidden(shown):
    """What the text of no cell that is shown holds."""
    words = [SALT, "980011", "980012", "980013", "980014", "60.25", "61.26", "62.27", "63.28"]
    words += [*(f"CANARY {n}" for n in range(1, 5)), "85-06-17", "86-07-18", "87-08-19", "9999-12"]
    words += [
        "1985-06",
        "1986-07",
        "1987-08",
        "Other",
        str(ROWS[2][4] - dt.date(1970, 1, 1)).split()[0],
    ]
    told = repr([[oracle.text(cell) for cell in row.values()] for row in shown])
    return [word for word in words if word not in told]


BEHIND = {
    "name": lambda v: v.replace("CANARY", "CABBAGE"),
    "number": lambda v: v and v + 11,
    "day": lambda v: v - dt.timedelta(1),
    "cost": lambda v: v - Decimal("0.11"),
}
"""Other values that the masks show alike: all but `hash`."""


def otherwise(policy, shown):
    """Rows of which the policy shows the same."""
    masks = [MASKS[m] for _, m in policy.values()]
    ids = {row["id"] for row in shown}
    other = [dict(row) for row in TABLE.to_pylist() if row["id"] in ids]
    for row in other:
        for column, change in BEHIND.items():
            if all(m.get(column, "hash") != "hash" for m in masks):
                row[column] = change(row[column])
    return pa.Table.from_pylist(other, SCHEMA)


@pytest.mark.parametrize("name", POLICIES)
def test_no_error_tells_of_what_is_hidden(name, engine, workers, file, tmp_path):
    made = roles(POLICIES[name])
    principal = Principal("ann", frozenset(made), {"studio": "Fox"})
    sight = oracle.Sight(
        SCHEMA.names, made, principal, "", "people",
        promised=SCHEMA.names, salt=SALT, admitted=dict.fromkeys(made),
    )  # fmt: skip
    shown = sight.rows(TABLE.to_pylist())
    secrets, failed = hidden(shown), 0
    assert len(secrets) > 3
    other = otherwise(POLICIES[name], shown)
    assert sight.rows(other.to_pylist()) == shown
    pq.write_table(other, tmp_path / "other.parquet")
    with (
        lent(workers, seen(made, principal, engine, file)) as worker,
        lent(workers, seen(made, principal, engine, tmp_path / "other.parquet", other)) as twin,
    ):
        for sql in STATEMENTS if name in ("rows equal", "mask month", "row by row") else SHORT:
            said = asked(worker, sql)
            told = [w for w in secrets if w in repr(said) and w not in sql]
            assert not told, (sql, said)
            assert asked(twin, sql) == said, sql
            failed += isinstance(said, dict)
    assert failed


@contextmanager
def lent(workers, view):
    with view:
        digest = secrets_.token_hex(4)
        worker = workers.lend(Universe((Named(digest, (("people",),), view.relation("people")),)))
        try:
            yield worker
        finally:
            worker.kill()
            workers.give_back(worker)


def test_over_everything_they_do(engine, workers, file):
    """Else the test above could not fail."""
    with lent(workers, seen({}, OWNER, engine, file)) as worker:
        said = [asked(worker, sql) for sql in STATEMENTS]
    errors = [repr(s) for s in said if isinstance(s, dict)]
    words = ("CANARY 1", "980011", "980013", "85-06-17", "60.25", "62.27")
    assert [w for w in words if any(w in e for e in errors)] == list(words)
    assert len(errors) > len(STATEMENTS) / 3


UNFIT = {
    "name = 5": "name",
    "name = true": "name",
    "studio = 'Fox' AND name IN (1, 2)": "name",
    "number > 0 OR name >= 1.5": "name",
    "cost = 1.000000000000000000000000000001": "cost",
    "id > 0.00000000000000000000000000000001": "id",
}
"""What the engine casts row by row, and the column whose values its error would quote."""


@pytest.mark.parametrize(("rows", "column"), UNFIT.items())
def test_a_filter_that_does_not_fit_a_snapshot_shows_nothing_of_it(rows, column, engine, file):
    """A contract of today cannot have such a policy; a snapshot from before its columns changed can."""
    made = {"r": Role("r", RoleSettings(rows=parse(rows)), {})}
    with (
        seen(made, Principal("ann", frozenset({"r"})), engine, file) as view,
        pytest.raises(AccessError, match=f"chooses rows by '{column}', which has another type"),
    ):
        view.relation("people")


@pytest.mark.parametrize(("rows", "column"), UNFIT.items())
def test_a_consumers_filter_that_does_not_fit_is_refused(rows, column, engine, file):
    """The engine is free to look at rows that the policy hides first."""
    made = roles({"r": ("like", "none")})
    with (
        seen(made, Principal("ann", frozenset({"r"})), engine, file) as view,
        pytest.raises(QueryError, match=f"column '{column}' is") as caught,
    ):
        view.scan("people", where=parse(rows)).read_all()
    assert caught.value.fix


def test_what_fits_is_let_in(engine, file):
    made = roles({"r": ("like", "none")})
    with seen(made, Principal("ann", frozenset({"r"})), engine, file) as view:
        for rows in ("cost > 1.0000000001", "id > 0.5", "number < 1e9", "name > 'A'", "id > 0"):
            assert view.scan("people", where=parse(rows)).read_all().num_rows == 2, rows
