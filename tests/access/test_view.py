from __future__ import annotations

import datetime as dt
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from polyport.access import Measure, Order, Policy, View
from polyport.access.results import Results
from polyport.descriptor.types import Role, RoleSettings
from polyport.engine.duckdb import DuckDBEngine
from polyport.errors import AccessError, NotFoundError, QueryError
from polyport.expression import parse
from polyport.model import OWNER, Dataset, Principal, Snapshot

FILMS = pa.table(
    {
        "id": pa.array([1, 2, 3, 4, 5], pa.int64()),
        "title": ["Alien", "Dune", None, "Heat", "It's"],
        "year": pa.array([1979, 1984, 2021, 1995, None], pa.int32()),
        "studio": ["Fox", "Universal", "Warner", "Warner", "Warner"],
        "director": ["Scott", "Lynch", "Villeneuve", "Mann", None],
        "cost": pa.array([11.0, 40.0, 165.0, 60.0, 1234.0]),
        "released": [
            dt.date(1979, 5, 25),
            dt.date(1984, 12, 14),
            None,
            dt.date(1995, 12, 15),
            dt.date(2001, 2, 3),
        ],
    }
)
ROLES = {
    "accountant": Role("accountant", RoleSettings()),
    "analyst": Role(
        "analyst",
        RoleSettings(
            rows=parse("year >= 1990"),
            mask={"director": "hash", "released": "year"},
            purposes=frozenset({"planning"}),
        ),
    ),
    "partner": Role(
        "partner",
        RoleSettings(rows=parse("studio = principal.studio"), columns=("id", "title", "cost")),
    ),
    "clerk": Role(
        "clerk",
        RoleSettings(
            mask={
                "title": "partial:2",
                "cost": "round:2",
                "director": "null",
                "studio": "constant:withheld",
            }
        ),
    ),
    "other": Role("other", RoleSettings(), {"elsewhere": RoleSettings()}, only=True),
}
ACCOUNTANT = Principal("ann", frozenset({"accountant"}))
PARTNER = Principal("pat", frozenset({"partner"}), {"studio": "Warner"})


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    with DuckDBEngine(scratch=tmp_path_factory.mktemp("spill")) as made:
        yield made


@pytest.fixture
def reads():
    return []


@pytest.fixture
def open_view(engine, tmp_path, reads):
    def make(principal=OWNER, purpose="", table=FILMS, name="now", key=("id",)):
        path = tmp_path / f"{name}.parquet"
        pq.write_table(table, path)
        dataset = Dataset("films", table.schema, key, table.num_rows)
        snapshot = Snapshot(
            "p", f"00000001-{name}", 1, None, dt.datetime.now(dt.UTC), {"films": dataset}
        )
        policy = Policy("p", ROLES, "salt")
        return View(
            snapshot,
            principal,
            "rest",
            purpose,
            policy,
            engine,
            lambda *_: [str(path)],
            reads.append,
        )

    return make


def read(view, **asked):
    with view:
        return view.scan("films", **asked).read_all().to_pylist()


def test_scan_asks_for_columns_rows_order_and_a_page(open_view):
    found = read(
        open_view(),
        columns=["id"],
        where=parse("title like 'D%' or year is null"),
        order=[Order("id", descending=True)],
    )
    assert found == [{"id": 5}, {"id": 2}]
    assert read(open_view(), columns=["id"], order=[Order("year")], limit=2) == [
        {"id": 1},
        {"id": 2},
    ]


def test_values_are_bound_not_pasted(open_view):
    assert read(
        open_view(),
        columns=["id"],
        where=parse("title = 'It''s' and studio != '''; drop table films; --'"),
    ) == [{"id": 5}]


def test_deny_by_default_and_why(open_view, reads):
    for principal, part in [
        (Principal("eve"), "no role"),
        (Principal("eve", frozenset({"king"})), "no role 'king'"),
        (Principal("eve", frozenset({"other"})), "sees nothing"),
        (Principal("eve", frozenset({"analyst"})), "none was stated"),
    ]:
        with open_view(principal) as view, pytest.raises(AccessError, match=part):
            view.scan("films")
    assert [r.outcome for r in reads] == ["denied"] * 4
    with (
        open_view(Principal("eve", frozenset({"analyst"}))) as view,
        pytest.raises(AccessError) as caught,
    ):
        view.scan("films")
    assert caught.value.fix == "state a purpose (header Polyport-Purpose): planning"


def test_rows_and_columns_of_a_role(open_view):
    assert read(open_view(PARTNER), order=[Order("id")]) == [
        {"id": 3, "title": None, "cost": 165.0},
        {"id": 4, "title": "Heat", "cost": 60.0},
        {"id": 5, "title": "It's", "cost": 1234.0},
    ]
    with open_view(PARTNER) as view, pytest.raises(QueryError, match="no column 'director'"):
        view.scan("films", columns=["id"], where=parse("director = 'Mann'"))
    assert read(open_view(replace(PARTNER, attributes={}))) == []


def test_masks(open_view):
    analyst = Principal("al", frozenset({"analyst"}))
    view = open_view(analyst, "planning")
    assert view.masked("films") == {"director": "shown as a hash", "released": "shown by year"}
    found = read(view, columns=["id", "director", "released"], order=[Order("id")])
    assert [r["id"] for r in found] == [3, 4]
    assert found[1]["released"] == dt.date(1995, 1, 1)
    assert len(found[1]["director"]) == 16
    assert found[1]["director"] != "Mann"
    clerk = Principal("cl", frozenset({"clerk"}))
    first = read(
        open_view(clerk),
        columns=["title", "cost", "director", "studio"],
        order=[Order("id")],
        limit=3,
    )
    assert first[0] == {"title": "Al***", "cost": 0.0, "director": None, "studio": "withheld"}
    assert first[2] == {"title": None, "cost": 200.0, "director": None, "studio": "withheld"}


def test_a_filter_cannot_probe_behind_a_mask(open_view):
    clerk = Principal("cl", frozenset({"clerk"}))
    assert read(open_view(clerk), columns=["id"], where=parse("studio = 'Warner'")) == []
    analyst = Principal("al", frozenset({"analyst"}))
    assert (
        read(open_view(analyst, "planning"), columns=["id"], where=parse("director = 'Mann'")) == []
    )


def test_roles_add_up_row_by_row(open_view):
    both = Principal("b", frozenset({"analyst", "partner"}), {"studio": "Fox"})
    found = read(
        open_view(both, "planning"), columns=["id", "title", "director"], order=[Order("id")]
    )
    assert [r["id"] for r in found] == [1, 3, 4]
    assert found[0]["director"] is None  # only the partner's role shows Alien, and not its director
    assert len(found[2]["director"]) == 16
    clear = Principal("b", frozenset({"analyst", "accountant"}))
    assert read(open_view(clear, "planning"), where=parse("id = 4"))[0]["director"] == "Mann"


def test_policy_class_is_equal_exactly_where_sight_is(open_view):

    def of(*args):
        return open_view(*args).policy_class

    assert of(ACCOUNTANT) == of(Principal("other", frozenset({"accountant"})))
    assert of(PARTNER) != of(replace(PARTNER, attributes={"studio": "Fox"}))
    assert of(ACCOUNTANT) != of(Principal("c", frozenset({"clerk"})))
    assert open_view(Principal("eve")).datasets == ()


def test_schema_shows_what_masking_makes_of_it(open_view):
    clerk = open_view(Principal("cl", frozenset({"clerk"})))
    assert clerk.schema("films").field("studio").type == pa.string()
    assert open_view(PARTNER).schema("films").names == ["id", "title", "cost"]
    with open_view() as view, pytest.raises(NotFoundError, match="did you mean 'films'"):
        view.schema("film")


def test_reads_are_metered_once_with_how_they_ended(open_view, reads):
    with open_view(ACCOUNTANT, "audit") as view:
        view.scan("films", columns=["id"]).read_all()
        view.scan("films", columns=["id", "title"])
    done, cut = reads
    assert (done.rows, done.columns, done.principal, done.port, done.purpose) == (
        5,
        ("id",),
        "ann",
        "rest",
        "audit",
    )
    assert (done.outcome, cut.outcome, cut.rows) == ("ok", "cut", 0)
    assert done.bytes > 0
    with open_view(ACCOUNTANT) as view:
        view.touch("films", columns=["id"], rows=5, size=99)
    assert (reads[2].rows, reads[2].bytes) == (5, 99)


def test_a_view_lets_go_once(open_view):
    let_go = []
    view = replace(open_view(), release=lambda: let_go.append(1))
    with view:
        pass
    view.close()
    assert let_go == [1]


def test_aggregate(open_view):
    with open_view() as view:
        found = view.aggregate(
            "films",
            group=["studio"],
            measures=[
                Measure("count"),
                Measure("sum", "cost", "total"),
                Measure("count_distinct", "year"),
            ],
            where=parse("cost > 20"),
            having=parse("total > 50"),
            order=[Order("total", descending=True)],
        )
        assert found.read_all().to_pylist() == [
            {"studio": "Warner", "count": 3, "total": 1459.0, "count_distinct_year": 2}
        ]
        with pytest.raises(QueryError, match="needs a column"):
            view.aggregate("films", measures=[Measure("sum")])
        with pytest.raises(QueryError, match="no column 'tota'"):
            view.aggregate("films", measures=[Measure("count")], order=[Order("tota")])


def test_aggregates_are_kept_for_each_policy_class(open_view, reads, monkeypatch):
    results = Results()

    def total(principal):
        with replace(open_view(principal), results=results) as view:
            reader = view.aggregate(
                "films", measures=[Measure("sum", "cost", "total")], where=parse("id > 0")
            )
            return reader.read_all().to_pylist()[0]["total"]

    first = total(ACCOUNTANT), total(PARTNER)
    assert first == (1310.0 + 0.0 + 200.0, 1459.0)
    monkeypatch.setattr(DuckDBEngine, "query", lambda *_: pytest.fail("computed again"))
    assert (total(ACCOUNTANT), total(PARTNER)) == first
    assert [r.rows for r in reads] == [1, 1, 1, 1]
    with pytest.raises(AccessError):
        total(Principal("eve"))


def test_a_large_result_is_not_kept_and_loses_no_row():
    results = Results(limit=3 * 2**19)
    batches = [pa.record_batch({"x": range(n, n + 50_000)}) for n in range(0, 500_000, 50_000)]
    reader = pa.RecordBatchReader.from_batches(batches[0].schema, iter(batches))
    assert results.keep("large", reader).read_all().num_rows == 500_000
    assert results.get("large") is None
    for name in "abcde":
        one = pa.RecordBatchReader.from_batches(batches[0].schema, iter(batches[:1]))
        assert results.keep(name, one).read_all().num_rows == 50_000
    assert [name for name in "abcde" if results.get(name)] == ["c", "d", "e"]


def test_a_value_that_does_not_fit_its_column_is_the_consumers_error(open_view):
    with open_view() as view, pytest.raises(QueryError):
        view.scan("films", where=parse("year = 'many'")).read_all()


TABLES = st.lists(
    st.tuples(
        st.integers(0, 3) | st.none(),
        st.sampled_from(["a", "b", None]),
        st.floats(width=16, allow_nan=False) | st.none(),
    ),
    max_size=12,
)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    TABLES,
    st.permutations([("x", True), ("x", False), ("y", True), ("y", False), ("z", True)]),
    st.integers(1, 4),
)
def test_keyset_pages_visit_each_row_once(open_view, rows, terms, size):
    table = pa.table(
        {
            "id": pa.array(range(len(rows)), pa.int64()),
            "x": pa.array([r[0] for r in rows], pa.int32()),
            "y": pa.array([r[1] for r in rows], pa.string()),
            "z": pa.array([r[2] for r in rows], pa.float64()),
        }
    )
    order = [Order(c, d) for c, d in dict(terms[:3]).items()] + [Order("id")]
    whole = read(open_view(table=table), order=order)
    seen, after = [], None
    while page := read(open_view(table=table), order=order, limit=size, after=after):
        seen += page
        after = [page[-1][o.column] for o in order]
    assert seen == whole


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    *[st.dictionaries(st.integers(0, 6), st.sampled_from(["a", "b", None]), max_size=6)] * 2,
    st.booleans(),
)
def test_changes_turn_before_into_after(open_view, old, new, keyed):
    def make(name, rows):
        columns = {
            "k": pa.array(rows.keys(), pa.int64()),
            "v": pa.array(rows.values(), pa.string()),
        }
        return open_view(table=pa.table(columns), name=name, key=("k",) if keyed else ())

    with make("old", old) as before, make("new", new) as after:
        found = after.changes(before, "films").read_all().to_pylist()
        counts = after.count_changes(before, "films")
    state = sorted(old.items(), key=str)
    for change in found:
        if change["before"]:
            state.remove((change["before"]["k"], change["before"]["v"]))
        if change["after"]:
            state.append((change["after"]["k"], change["after"]["v"]))
    assert sorted(state, key=str) == sorted(new.items(), key=str)
    kinds = [c["_change"] for c in found]
    assert counts == {kind: kinds.count(kind) for kind in set(kinds)}


def test_changes_across_a_new_column(open_view):
    wider = FILMS.append_column("extra", pa.array([1] * 5))
    with open_view(table=FILMS, name="old") as before, open_view(table=wider, name="new") as after:
        assert after.count_changes(before, "films") == {"changed": 5}
        assert after.changes(before, "films").read_all().to_pylist()[0]["after"]["extra"] == 1
