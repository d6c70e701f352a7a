"""Filters on what is inside of columns give what the policy, written down in plain Python, gives."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.security import test_one_policy as one_policy
from tests.security.oracle import truth

from polyport.access import Policy, View
from polyport.descriptor.types import Role, RoleSettings
from polyport.engine.duckdb import DuckDBEngine
from polyport.errors import AccessError, QueryError
from polyport.expression import And, Compare, In, Inside, IsNull, Like, Not, Or
from polyport.model import Dataset, Principal, Snapshot

GEO = pa.struct({"n": pa.int64(), "who's \"it": pa.string()})
SCHEMA = pa.schema(
    {
        "id": pa.int64(),
        "team": pa.string(),
        "at": pa.struct({"city": pa.string(), "geo": GEO}),
        "tags": pa.list_(pa.string()),
    }
)
WORDS = st.sampled_from(("", "a", "it's", "A", "b%"))
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "team": st.none() | st.sampled_from(("red", "blue")),
            "at": st.none()
            | st.fixed_dictionaries(
                {
                    "city": st.none() | WORDS,
                    "geo": st.none()
                    | st.fixed_dictionaries(
                        {"n": st.none() | st.integers(0, 3), "who's \"it": st.none() | WORDS}
                    ),
                }
            ),
            "tags": st.none() | st.lists(st.none() | WORDS, max_size=3),
        }
    ),
    min_size=1,
    max_size=8,
)
OPS = st.sampled_from(("=", "!=", "<", ">="))
TEXTS = st.one_of(
    st.builds(Compare, st.just("x"), OPS, WORDS),
    st.builds(In, st.just("x"), st.lists(WORDS, max_size=2).map(tuple)),
    st.builds(Like, st.just("x"), WORDS),
    st.just(IsNull("x")),
)
NUMBERS = st.builds(Compare, st.just("x"), OPS, st.integers(0, 3)) | st.just(IsNull("x"))
TESTS = st.one_of(
    st.builds(Inside, st.just("at"), st.just(("city",)), TEXTS),
    st.builds(Inside, st.just("at"), st.just(("geo", "n")), NUMBERS),
    st.builds(Inside, st.just("at"), st.just(("geo", "who's \"it")), TEXTS),
    st.builds(Inside, st.just("at"), st.just(("geo",)), st.just(IsNull("x"))),
    st.builds(Inside, st.just("tags"), st.just(()), st.builds(Compare, st.just("x"), st.just("="), WORDS), st.just(True)),
    st.builds(Compare, st.just("id"), OPS, st.integers(0, 50)),
)  # fmt: skip
FILTERS = st.recursive(
    TESTS,
    lambda inner: (
        st.builds(Not, inner)
        | st.builds(And, st.lists(inner, min_size=1, max_size=2).map(tuple))
        | st.builds(Or, st.lists(inner, min_size=1, max_size=2).map(tuple))
    ),
    max_leaves=4,
)
SIGHTS = st.builds(
    RoleSettings,
    rows=st.sampled_from((None, Compare("team", "=", "red"), Compare("id", ">", 7))),
    columns=st.sampled_from((None, None, None, ("id", "tags"), ("at", "team"))),
    mask=st.sampled_from(({}, {"at": "null"}, {"tags": "null"})),
)
POLICIES = st.dictionaries(st.sampled_from("ab"), SIGHTS, min_size=1)


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    with DuckDBEngine(scratch=tmp_path_factory.mktemp("spill")) as made:
        yield made


@settings(max_examples=150, suppress_health_check=list(HealthCheck))
@given(ROWS, POLICIES, st.lists(FILTERS, min_size=4, max_size=8))
def test_the_same_rows_as_in_plain_python(engine, tmp_path_factory, rows, sights, filters):
    numbered = [{"id": n * 7, **row} for n, row in enumerate(rows)]
    whole = pa.Table.from_pylist(numbered, SCHEMA)
    file = tmp_path_factory.mktemp("rows") / "people.parquet"
    pq.write_table(whole, file)
    roles = {name: Role(name, seen, {}, False) for name, seen in sights.items()}
    principal = Principal("ann", frozenset(roles), {})
    dataset = Dataset("people", SCHEMA, ("id",), whole.num_rows)
    snapshot = Snapshot("p", "00000001-abcdef01", 1, None, one_policy.NOW, {"people": dataset})
    policy = Policy("p", roles, "salt", {"people": SCHEMA.names})
    sight = one_policy.Sight(
        SCHEMA.names, roles, principal, "", "people",
        promised=SCHEMA.names, salt="salt", admitted=dict.fromkeys(roles),
    )  # fmt: skip
    with View(
        snapshot, principal, "out", "", policy, engine, lambda *_: [str(file)], lambda _: None
    ) as view:
        try:
            shown = view.schema("people").names
        except AccessError:
            return
        visible = [{n: row[n] for n in shown} for row in sight.rows(whole.to_pylist())]
        for where in filters:
            try:
                found = view.scan("people", where=where).read_all().to_pylist()
            except QueryError as error:
                assert error.message.startswith("no column")
                assert not set(_named(where)) <= set(shown)
                continue
            expected = [row for row in visible if truth(where, row, {})]
            assert sorted(map(repr, found)) == sorted(map(repr, expected)), where


def _named(where):
    terms = where.terms if isinstance(where, And | Or) else [where.term] if isinstance(where, Not) else ()  # fmt: skip
    return [where.column] if not terms else [name for term in terms for name in _named(term)]
