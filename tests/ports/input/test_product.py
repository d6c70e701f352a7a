from __future__ import annotations

import datetime as dt
import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from polyport import expression
from polyport.descriptor.types import Port
from polyport.engine.duckdb import DuckDBEngine
from polyport.errors import AccessError, ConfigurationError, InputError, NotFoundError
from polyport.model import Relation, Snapshot
from polyport.ports.input import InputContext, _client
from polyport.ports.input.product import ProductInput
from polyport.testing.input_port import InputPortTests

DAY = dt.date(2020, 1, 2)
TABLE = pa.table(
    {
        "id": [1, 2, 3],
        "title": ["Heat", "Ran", None],
        "rating": [8.3, 8.2, None],
        "day": pa.array([DAY, dt.date(2021, 1, 1), None]),
        "at": pa.array(
            [dt.datetime(2020, 1, 2, tzinfo=dt.UTC), None, None], pa.timestamp("us", "UTC")
        ),
    }
)
NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


class Views:
    """What `open_product` gives in a mesh: views of tables in memory."""

    def __init__(self, **tables):
        self.tables, self.asked, self.refuses, self.open = tables, [], None, 0

    def __call__(self, product, ref):
        self.asked.append((product, ref))
        if product != "movie-popularity":
            raise NotFoundError(f"no product {product!r}", fix="did you mean 'movie-popularity'?")
        return View(self)


class View:
    snapshot = Snapshot("movie-popularity", "00000042-1a2b3c4d", 42, None, NOW, {})

    def __init__(self, views):
        self.views = views

    def __enter__(self):
        self.views.open += 1
        return self

    def __exit__(self, *_):
        self.views.open -= 1

    def scan(self, dataset, *, columns=(), where=None):
        if self.views.refuses:
            raise AccessError(self.views.refuses)
        if dataset not in self.views.tables:
            raise NotFoundError(
                f"no dataset {dataset!r}", fix=f"one of: {', '.join(self.views.tables)}"
            )
        table = self.views.tables[dataset]
        params = {}
        shown = ", ".join(columns) or "*"
        sql = f"SELECT {shown} FROM t" + (
            f" WHERE {expression.to_sql(where, params)}" if where else ""
        )
        with (
            DuckDBEngine(threads=1) as engine,
            engine.query(sql, {"t": Relation(table)}, params) as reader,
        ):
            return reader.read_all().to_reader()


def remote(table=TABLE, *, header="42; id=00000042-1a2b3c4d"):
    sink = io.BytesIO()
    pq.write_table(table, sink)
    headers = {"Polyport-Snapshot": header} if header else {}
    return lambda request: (
        200,
        {**headers, "Content-Type": "application/octet-stream"},
        sink.getvalue(),
    )


@pytest.fixture
def local(home):
    def made(views, *, contract=None, **given):
        given = {"product": "movie-popularity", "dataset": "ranking"} | given
        spec = Port("films", "product", settings=given)
        return ProductInput(InputContext(spec, home, contract, views))

    return made


@pytest.fixture
def node(home, serve):
    def made(answer, *, secrets=None, contract=None, **given):
        api = serve(answer)
        given = {
            "product": f"{api.url}/products/movie-popularity", "dataset": "ranking", "retries": 1, "backoff": 0,
        } | given  # fmt: skip
        spec = Port("films", "product", settings=given)
        clock = _client.Clock(lambda _: None)
        port = ProductInput(InputContext(spec, home, contract, secrets=secrets or {}), clock=clock)
        port.api = api
        return port

    return made


class TestLocalProduct(InputPortTests):
    port_type = "product"

    def source(self, folder):
        self.views = Views(ranking=TABLE)
        settings = {"product": "movie-popularity", "dataset": "ranking", "columns": ["id"]}
        return InputContext(Port("films", "product", settings=settings), folder, None, self.views)

    def expected(self):
        return [{"id": 1}, {"id": 2}, {"id": 3}]

    def remove(self, folder):
        self.views.refuses = "the policy has no role for it"

    def change(self, folder):
        View.snapshot, self.before = (
            Snapshot("movie-popularity", "43-x", 43, None, NOW, {}),
            View.snapshot,
        )

    @pytest.fixture(autouse=True)
    def _same_snapshot(self, monkeypatch):
        monkeypatch.setattr(View, "snapshot", View.snapshot)


class TestRemoteProduct(InputPortTests):
    port_type = "product"

    @pytest.fixture(autouse=True)
    def _node(self, serve):
        self.answer = remote()
        self.api = serve(self.asked)

    def asked(self, request):
        return self.answer(request)

    def source(self, folder):
        settings = {
            "product": f"{self.api.url}/products/movie-popularity", "dataset": "ranking", "columns": ["id"],
            "token": "hush", "retries": 0,
        }  # fmt: skip
        return InputContext(
            Port("films", "product", settings=settings), folder, secrets={"T": "hush"}
        )

    def expected(self):
        return [{"id": 1}, {"id": 2}, {"id": 3}]

    def remove(self, folder):
        self.api.close()

    def change(self, folder):
        self.answer = remote(header="43; id=00000043-9")


def test_a_view_is_read_pinned_and_closed(local, keep, rows):
    views = Views(ranking=TABLE)
    port = local(
        views, columns=["title", "id"], where="rating > 8.25 or day is null", snapshot="@monday"
    )
    received = port.fetch(keep, None)
    assert rows(port, received) == [{"title": "Heat", "id": 1}, {"title": None, "id": 3}]
    assert received.identity == "movie-popularity@00000042-1a2b3c4d"
    assert received.notes == ("movie-popularity@00000042-1a2b3c4d: 2 rows",)
    assert views.asked == [("movie-popularity", "@monday")]
    assert views.open == 0


def test_a_dataset_without_rows(local, keep):
    port = local(Views(ranking=TABLE.slice(0, 0)))
    assert pq.read_schema(port.fetch(keep, None).objects[0].path).names == TABLE.column_names


@pytest.mark.parametrize(
    ("given", "message", "fix"),
    [
        ({"product": "movies"}, "no product 'movies'", "movie-popularity"),
        ({"dataset": "rankings"}, "no dataset 'rankings'", "ranking"),
    ],
)
def test_what_is_not_there(local, rows, given, message, fix):
    with pytest.raises(InputError, match=message) as caught:
        rows(local(Views(ranking=TABLE), **given))
    assert fix in caught.value.fix


def test_a_refusal_says_why(local, rows):
    views = Views(ranking=TABLE)
    views.refuses = "no role for scripts"
    with pytest.raises(InputError, match="product movie-popularity: no role for scripts"):
        rows(local(views))
    assert views.open == 0


def test_without_a_mesh(local, rows):
    with pytest.raises(ConfigurationError, match="there is none here"):
        rows(local(None))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"product": ""}, "product is missing"),
        ({"dataset": ""}, "dataset is missing"),
        ({"where": "rating >"}, "where cannot be read at column 9"),
        ({"where": "studio = principal.studio"}, "principal.studio"),
        ({"token": "written down"}, "stands in the file"),
        ({"colums": ["x"]}, "colums"),
    ],
)
def test_settings_that_cannot_be_used(local, given, message):
    with pytest.raises(ConfigurationError, match=message):
        local(Views(ranking=TABLE), **given)


def test_another_nodes_dataset_is_kept_as_it_came(node, keep, rows):
    port = node(
        remote(),
        token="hush",
        secrets={"T": "hush"},
        columns=["id"],
        where="title like 'H%'",
        snapshot="41",
    )
    received = port.fetch(keep, None)
    asked = port.api.asked[0]
    assert asked["path"] == "/products/movie-popularity/files/v1/ranking.parquet"
    assert asked["query"] == {"snapshot": "41"}
    assert asked["headers"]["authorization"] == "Bearer hush"
    assert received.identity == "movie-popularity@00000042-1a2b3c4d"
    assert pq.read_table(received.objects[0].path).equals(TABLE)
    assert rows(port, received) == [{"id": 1}]


@pytest.mark.parametrize(
    "header", ["00000042-1a2b3c4d", '42; id="00000042-1a2b3c4d"', "42; id=00000042-1a2b3c4d; x=y"]
)
def test_forms_of_the_snapshots_name(node, keep, header):
    assert node(remote(header=header)).fetch(keep, None).identity.endswith("@00000042-1a2b3c4d")


def test_failures_of_another_node(node, keep, rows):
    with pytest.raises(InputError, match="does not say which snapshot"):
        node(remote(header="")).fetch(keep, None)
    with pytest.raises(InputError, match=r"status 403 .*no agreement"):
        node(lambda r: (403, {}, {"title": "no agreement"})).fetch(keep, None)
    with pytest.raises(InputError, match="failed: status 503"):
        node(lambda r: (503, {}, b"")).fetch(keep, None)
    whole = remote()(None)[2]
    with pytest.raises(InputError, match="failed: RemoteProtocolError"):
        node(lambda r: (200, {"Content-Length": str(len(whole))}, whole[:100])).fetch(keep, None)
    with pytest.raises(InputError, match="not a whole Parquet"):
        node(lambda r: (200, {"Polyport-Snapshot": "1"}, b"<html>")).fetch(keep, None)
    with pytest.raises(InputError, match="more than 9 bytes"):
        node(remote(), max_bytes=9).fetch(keep, None)
    for wrong in ({"columns": ["titel"]}, {"where": "titel = 'x'"}):
        with pytest.raises(InputError, match="no column 'titel'") as caught:
            rows(node(remote(), **wrong))
        assert "did you mean `title`" in caught.value.fix


def test_what_a_contract_expects(local, node, rows, contract):
    good = contract(id="integer!", title="string", day="date")
    assert len(rows(local(Views(ranking=TABLE), contract=good))) == 3
    assert len(rows(node(remote(), contract=good))) == 3
    bad = contract(id="string", title="string!", x="date")
    for port in (local(Views(ranking=TABLE), contract=bad), node(remote(), contract=bad)):
        with pytest.raises(InputError) as caught:
            rows(port)
        text = caught.value.message
        assert "expected column `id` (string), came `id` (integer)" in text
        assert "column `title` is required, and 1 of 3 rows have none" in text
        assert "expected column `x` (date), came none" in text


VALUES = {
    "id": st.integers(-3, 5), "rating": st.decimals(0, 10, places=1), "title": st.sampled_from(["Heat", "Ran", "it's"]),
    "day": st.sampled_from([DAY, dt.date(2021, 6, 1)]),
    "at": st.just(dt.datetime(2020, 1, 2, tzinfo=dt.UTC)),
}  # fmt: skip
LEAF = st.sampled_from(sorted(VALUES)).flatmap(
    lambda name: st.one_of(
        st.builds(
            expression.Compare,
            st.just(name),
            st.sampled_from(["=", "!=", "<", "<=", ">", ">="]),
            VALUES[name],
        ),
        st.builds(
            expression.In, st.just(name), st.lists(VALUES[name], min_size=1, max_size=2).map(tuple)
        ),
        st.builds(expression.IsNull, st.just(name)),
        st.builds(expression.Like, st.just("title"), st.sampled_from(["H%", "_an", "%"])),
    )
)
TREE = st.recursive(
    LEAF,
    lambda c: (
        st.builds(expression.Not, c)
        | st.builds(expression.And, st.lists(c, max_size=3).map(tuple))
        | st.builds(expression.Or, st.lists(c, max_size=3).map(tuple))
    ),
    max_leaves=5,
)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(TREE)
def test_rows_of_another_node_are_those_that_sql_would_choose(engine, tmp_path, tree):
    from pyarrow import dataset

    from polyport.ports.input.product import arrow_filter

    path = tmp_path / "t.parquet"
    pq.write_table(TABLE, path)
    source = dataset.dataset(str(path))
    found = source.to_table(filter=arrow_filter(tree, source.schema))["id"].to_pylist()
    params = {}
    sql = f"SELECT id FROM t WHERE {expression.to_sql(tree, params)} ORDER BY id"
    with engine.query(sql, {"t": Relation(TABLE)}, params) as reader:
        assert reader.read_all()["id"].to_pylist() == found


def test_what_is_refused_halfway_is_not_kept(node, keep):
    """A node that breaks off, as it does where an agreement was revoked, and refuses when it is asked again."""
    whole = remote()(None)[2]
    problem = {"detail": "the agreement a1 was revoked", "fix": "ask for one: POST /agreements"}
    answers = {
        1: (200, {"Content-Length": str(len(whole)), "Polyport-Snapshot": "1"}, whole[:100]),
        2: (403, {"Content-Type": "application/problem+json"}, problem),
    }
    kept = []
    with pytest.raises(InputError, match="403 Forbidden: the agreement a1 was revoked") as caught:
        node(lambda r: answers[r["n"]]).fetch(lambda *a, **k: kept.append(a), None)
    assert caught.value.fix == "ask for one: POST /agreements"
    assert kept == []


def test_a_problem_is_told_without_secrets_and_not_at_any_length(node, keep):
    problem = {"detail": "hush " + "x" * 10_000, "fix": 5}
    answer = (403, {"Content-Type": "application/problem+json"}, problem)
    with pytest.raises(InputError) as caught:
        node(lambda _: answer, token="hush", secrets={"T": "hush"}).fetch(keep, None)
    assert "hush" not in str(caught.value)
    assert len(str(caught.value)) < 1_000


def test_a_node_that_drips_is_given_up(node, keep):
    """Each byte comes in time; all of them never would."""
    port = node(remote(), timeout=30, retries=0)
    ticks = iter(range(0, 100_000_000, 1_000))
    port.clock = _client.Clock(lambda _: None, monotonic=lambda: float(next(ticks)))
    with pytest.raises(InputError, match=r"failed: only [\d,]+ bytes came in [\d,]+ s"):
        port.fetch(keep, None)
