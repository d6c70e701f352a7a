"""Sessions: what names mean, what may be read, what is counted, and how it ends."""

from __future__ import annotations

import datetime as dt
import decimal
import gc
import threading
import time
import uuid
from dataclasses import replace

import pyarrow as pa
import pytest

from polyport.access.sql import CancelledError
from polyport.access.sql import names as names_module
from polyport.access.sql import opening as opening_module
from polyport.engine.walled.answers import Answers
from polyport.engine.walled.pool import Worker
from polyport.errors import (
    AccessError,
    LimitError,
    NotFoundError,
    PolyportError,
    QueryError,
    SizeError,
)
from polyport.model import OWNER, Principal

from .conftest import person

FREE = Principal("pat", frozenset({"all"}), needs_agreement=False)
LIMITED = Principal("pat", frozenset({"all"}))


def rows(session, sql, values=()):
    return session.query(sql, values).reader.read_all().to_pylist()


def one(session, sql, values=()):
    ((found,),) = (row.values() for row in rows(session, sql, values))
    return found


def reads(mesh, product="films", limit=1):
    return mesh.product(product).ledger.reads(product, limit=limit)


def publish(mesh, line):
    """One film more; the new snapshot's sequence."""
    film = mesh.product("films")
    path = film.spec.home / "inputs/films.csv"
    path.write_text(path.read_text() + line + "\n")
    return film.build().snapshot.sequence


@pytest.fixture
def agreed(mesh):
    """An agreement of pat with the ratings; gives what revokes it."""
    desk = mesh.product("ratings").desk()
    made, _ = desk.request(
        {
            "description": {"purpose": "reading"},
            "provider": {"outputPortId": "rest"},
            "consumer": {"userId": "pat"},
            "roles": [{"role": "all"}],
        },
        by="pat",
    )
    desk.decide(made.id, "approved", by="owner")
    over = []

    def revoke():
        if not over:
            over.append(desk.decide(made.id, "revoked", by="owner", note="enough"))

    yield revoke
    revoke()


# --- names ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["films", "FILMS", "films.films", "public.films", "messy.films.films", "Messy.Films", '"films@1"', 'films."films@1"'],
)  # fmt: skip
def test_a_dataset_has_these_names(opened, name):
    assert one(opened("partner"), f"SELECT count(*) FROM {name} WHERE id < 13") == 2


@pytest.mark.parametrize(
    ("name", "error", "said"),
    [
        ("nothing", NotFoundError, "no dataset 'nothing'"),
        ("filmz", NotFoundError, "no dataset 'filmz'"),
        ("ratings", NotFoundError, "no dataset 'ratings'"),
        ("nowhere.films", NotFoundError, "no product 'nowhere'"),
        ("a.b.c", NotFoundError, "no table 'a.b.c'"),
        ("messy.a.b.c", QueryError, "."),
        ("CANARY_crew", AccessError, "sees nothing of"),
        ('"films@77"', NotFoundError, "77"),
        ('"films@"', NotFoundError, "no snapshot"),
        ("polyport.nothing", NotFoundError, "no table polyport.nothing"),
    ],
)
def test_and_no_others(opened, name, error, said):
    with pytest.raises(error, match=said):
        rows(opened("partner"), f"SELECT * FROM {name}")


@pytest.mark.parametrize("ref", ["1", "sunday"])
def test_a_snapshot_of_one_product_says_nothing_of_another(opened, mesh, ref):
    home = mesh.product("films")
    home.store.tag("films", "sunday", "1")
    session = opened(who=FREE, ref=ref)
    assert one(session, "SELECT count(*) FROM films") == 4
    with pytest.raises(QueryError, match="is of 'films', not of 'ratings'") as caught:
        rows(session, "SELECT * FROM ratings.ratings")
    assert caught.value.fix.startswith('say which of it: "ratings"."DATASET@latest"')
    assert one(session, 'SELECT count(*) FROM ratings."ratings@latest"') == 3
    assert set(session.datasets()) == {"films"}
    session.at("2099-01-01T00:00:00Z")  # a time is of all
    assert one(session, "SELECT count(*) FROM ratings.ratings") == 3
    session.at("latest")
    assert one(session, "SELECT count(*) FROM ratings.ratings") == 3


@pytest.mark.parametrize("ref", ["1", "sunday", "20260501", "00000001-00000001"])
def test_of_all_products_only_a_time_can_be_asked_for(opened, ref):
    with pytest.raises(QueryError, match=f"not said which product the snapshot '{ref}' is of"):
        opened(who=FREE, mesh=True, ref=ref)
    session = opened(who=FREE, mesh=True)
    with pytest.raises(QueryError, match="not said which product"):
        session.at(ref)
    assert one(session, "SELECT count(*) FROM ratings") == 3
    session.at("2099-01-01")
    assert one(session, "SELECT count(*) FROM ratings") == 3


def test_names_that_differ_by_case_only_are_told(opened, monkeypatch):
    session = opened(who=FREE)
    around = names_module._alike
    twins = {"films": ["films", "Films"], "ratings": ["ratings", "Ratings"]}
    monkeypatch.setattr(
        names_module, "_alike", lambda name, known: twins.get(name.lower()) or around(name, known)
    )
    for name, said in (
        ("films", "the datasets 'films' and 'Films' differ by upper and lower case only"),
        ("ratings.ratings", "the products 'ratings' and 'Ratings' differ by"),
    ):
        with pytest.raises(QueryError, match=said):
            rows(session, f"SELECT * FROM {name}")
    assert one(session, "SELECT 1") == 1  # and no worker is stopped by them


def test_errors_help(opened):
    session = opened("partner")
    for sql, fix in (
        ("SELECT * FROM filmz", "did you mean 'films'?"),
        ("SELECT * FROM rating.ratings", "did you mean 'ratings'?"),
        ("SELECT uper('x')", "did you mean upper?"),
    ):
        with pytest.raises(PolyportError) as caught:
            rows(session, sql)
        assert caught.value.fix == fix
    with pytest.raises(QueryError) as caught:
        rows(session, "SELECT id,\n  nope FROM films")
    assert (caught.value.line, caught.value.column) == (2, 3)
    with pytest.raises(QueryError) as caught:
        rows(session, "SELECT id,\n  error(id) FROM films")
    assert (caught.value.line, caught.value.column) == (2, 3)
    with pytest.raises(QueryError, match="syntax error"):
        rows(session, "SELEC 1")


def test_another_product(opened):
    session = opened("partner")
    assert rows(session, "SELECT * FROM ratings.ratings ORDER BY film") == [
        {"film": 11, "stars": 5}, {"film": 12, "stars": 3}
    ]  # fmt: skip
    joined = "SELECT title, stars FROM films JOIN ratings.ratings ON film = id ORDER BY id LIMIT 1"
    assert rows(session, joined) == [{"title": "Alien", "stars": 5}]


def test_a_session_of_no_product(opened):
    session = opened("partner", mesh=True)
    assert session.product == ""
    assert session.at("latest") is None
    assert one(session, "SELECT count(*) FROM ratings") == 2
    assert one(session, "SELECT count(*) FROM films.films WHERE id < 13") == 2
    with pytest.raises(NotFoundError, match="no dataset 'nothing'"):
        rows(session, "SELECT * FROM nothing")
    products = {r["product"] for r in rows(session, "SELECT product FROM polyport.datasets")}
    assert products == {"films", "ratings"}


def test_datasets_that_may_be_seen(opened):
    assert opened("partner").datasets() == {"films": ("films",), "ratings": ("ratings",)}
    assert opened("blind").datasets() == {"films": ("films",)}
    assert opened("nobody").datasets() == {}


def test_who_may_read_nothing_is_told_why(opened):
    session = opened("nobody")
    assert one(session, "SELECT 1") == 1
    with pytest.raises(AccessError, match="the product has no role 'nobody'"):
        rows(session, "SELECT * FROM films")
    for table in ("datasets", "columns", "snapshots", "quality"):
        assert rows(session, f"SELECT * FROM polyport.{table}") == []


# --- snapshots ------------------------------------------------------------------------------------------------------


def test_time_travel(opened, mesh):
    session = opened("all")
    before = session.at("latest").sequence
    count = one(session, "SELECT count(*) FROM films")
    after = publish(mesh, "20,Jaws,Fox,Open Spielberg,1975-06-20,9.00")
    film = mesh.product("films")
    film.store.tag("films", "Spring", str(before))
    film.store.tag("films", "spring", str(after))
    assert one(session, "SELECT count(*) FROM films") == count + 1
    for ref, expected in (
        (before, count),
        (after, count + 1),
        ("Spring", count),
        ("spring", count + 1),
    ):
        assert one(session, f'SELECT count(*) FROM "films@{ref}"') == expected
        assert one(session, f"SELECT count(*) FROM films AT (VERSION => '{ref}')") == expected
    now = dt.datetime.now(dt.UTC).isoformat()
    assert one(session, f"SELECT count(*) FROM films AT (TIMESTAMP => '{now}')") == count + 1
    both = f"SELECT (SELECT count(*) FROM films AT (VERSION => {before})) - (SELECT count(*) FROM films)"
    assert one(session, both) == -1
    assert session.at(str(before)).sequence == before
    assert one(session, "SELECT count(*) FROM films") == count
    with pytest.raises(NotFoundError):
        session.at("77")
    assert one(session, "SELECT count(*) FROM films") == count
    session.at("latest")
    assert one(session, "SELECT count(*) FROM films") == count + 1


def test_a_transaction_sees_one_snapshot(opened, mesh):
    session, other = opened("all"), opened("all")
    session.begin()
    count = one(session, "SELECT count(*) FROM films")
    publish(mesh, "21,Tron,Fox,Open Lisberger,1982-07-09,9.00")
    assert one(session, "SELECT count(*) FROM films") == count
    assert one(other, "SELECT count(*) FROM films") == count + 1
    session.end()
    assert one(session, "SELECT count(*) FROM films") == count + 1


def test_a_transaction_sees_other_products_as_they_were_when_it_began(opened, mesh):
    session, whole = opened("all"), opened("all", mesh=True)
    one(session, "SELECT count(*) FROM films")
    session.begin()
    whole.begin()
    ratings = mesh.product("ratings")
    path = ratings.spec.home / "inputs/ratings.csv"
    text = path.read_text()
    path.write_text(text + "99,5,CANARY New\n")
    ratings.build()
    assert one(session, "SELECT count(*) FROM ratings.ratings") == 3
    assert one(whole, "SELECT count(*) FROM ratings") == 3
    for each in (session, whole):
        each.end()
        assert one(each, "SELECT count(*) FROM ratings.ratings") == 4
    path.write_text(text)
    ratings.build()
    assert one(session, "SELECT count(*) FROM ratings.ratings") == 3


def test_a_product_without_a_snapshot_is_in_nobodys_way(opened, mesh, monkeypatch):
    session = opened("partner", mesh=True)
    store = mesh.product("ratings").store
    hold = store.hold

    def gone(product, ref):
        raise NotFoundError(f"{product} has no snapshot")

    with monkeypatch.context() as patched:
        patched.setattr(
            type(store), "hold", lambda s, p, r: gone(p, r) if p == "ratings" else hold(p, r)
        )
        assert session.datasets() == {"films": ("films",)}
        assert one(session, "SELECT count(*) FROM films WHERE id < 13") == 2
        assert len(rows(session, "SELECT * FROM polyport.datasets")) == 1
        with pytest.raises(NotFoundError):
            rows(session, "SELECT * FROM ratings.ratings")


def test_changes_turn_one_snapshot_into_the_other(opened, mesh):
    session = opened("all")
    before = session.at("latest").sequence
    film = mesh.product("films")
    path = film.spec.home / "inputs/films.csv"
    text = path.read_text()
    path.write_text(
        text.replace("12,Heat,Fox", "12,Heat II,Fox") + "22,Big,Fox,Open Marshall,1988-06-03,1.00\n"
    )
    after = film.build().snapshot.sequence
    path.write_text(text)
    last = film.build().snapshot.sequence
    for one_, other in ((before, after), (after, last), (before, last)):
        state = {r["id"]: r for r in rows(session, f'SELECT * FROM "films@{one_}"')}
        for change in rows(session, f"SELECT * FROM polyport.changes('films', {one_}, {other})"):
            if change["_change"] == "removed":
                state.pop(change["before"]["id"])
            else:
                state[change["after"]["id"]] = change["after"]
        assert state == {r["id"]: r for r in rows(session, f'SELECT * FROM "films@{other}"')}
    assert len(rows(session, f"SELECT * FROM polyport.changes('films', {before}, {after})")) == 2
    time = film.store.snapshot("films", str(after)).committed_at.isoformat()
    assert len(rows(session, f"SELECT * FROM polyport.changes('films', {before}, '{time}')")) == 2


def test_changes_are_of_what_is_seen(opened, mesh):
    session = opened("partner")
    before = session.at("latest").sequence
    publish(mesh, "980099,CANARY New,Other,CANARY New,2001-01-01,1.00")
    assert rows(session, f"SELECT * FROM polyport.changes('films', {before})") == []
    with pytest.raises(AccessError):
        rows(session, f"SELECT * FROM polyport.changes('CANARY_crew', {before})")
    with pytest.raises(NotFoundError):
        rows(session, "SELECT * FROM polyport.changes('nothing', 1)")


def test_the_product_tells_of_itself_what_may_be_known(opened):
    session = opened("partner")
    said = [
        rows(session, f"SELECT * FROM polyport.{t}") for t in ("datasets", "columns", "quality")
    ]
    assert all(said)
    assert "CANARY" not in repr(said)
    whole = opened(who=OWNER)
    assert "CANARY" in repr(rows(whole, "SELECT * FROM polyport.quality"))
    columns = rows(session, "SELECT column_name, masked FROM polyport.columns ORDER BY position")
    assert [c["column_name"] for c in columns] == ["id", "title", "studio", "director", "released"]
    assert columns[3]["masked"]
    checked = "SELECT DISTINCT rows_checked AS n FROM polyport.quality WHERE dataset = 'films'"
    assert rows(session, checked) == [{"n": None}], "it sees two rows, not how many there are"
    assert max(row["n"] for row in rows(whole, checked)) >= 4
    assert rows(session, "SELECT snapshot FROM polyport.datasets") == [
        {"snapshot": session.at("latest").sequence}
    ]


# --- values and types -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        None, True, 7, 2**62, 1.5, decimal.Decimal("1.25"), "it's", "", "a\0b", b"\x00\xff", dt.date(2026, 1, 2),
        dt.time(3, 4, 5), dt.datetime(2026, 1, 2, 3, 4, 5, 6), uuid.UUID(int=7), [1, 2], ["a", None], {"a": 1},
        dt.timedelta(days=1, seconds=2), "1; DROP VIEW films", "' OR 1=1 --",
    ],
)  # fmt: skip
def test_values(opened, value):
    found = one(opened("partner"), "SELECT $1 AS v", [value])
    if isinstance(value, uuid.UUID):
        found = uuid.UUID(found)
    if isinstance(value, dt.timedelta):
        found = dt.timedelta(days=found.days, microseconds=found.nanoseconds // 1000)
    assert found == value


def test_what_is_none_of_them_is_an_error(opened):
    session = opened("partner")
    for values in ([object()], [1, 2], []):
        with pytest.raises(PolyportError):
            rows(session, "SELECT $1", values)
    assert one(session, "SELECT 1") == 1


@pytest.mark.parametrize(
    ("sql", "given", "parameters"),
    [
        ("SELECT * FROM films WHERE id = $1 AND released > $2", (), ("BIGINT", "DATE")),
        ("SELECT * FROM films WHERE title LIKE $1 LIMIT $2", (), ("VARCHAR", "BIGINT")),
        ("SELECT $1::DECIMAL(9,2), $2", ("", "UUID"), ("DECIMAL", "UUID")),
        ("SELECT * FROM films WHERE id IN ($1, $2)", (), ("BIGINT", "BIGINT")),
        ("SELECT upper($1)", (), ("",)),
        ("SELECT * FROM films WHERE id BETWEEN ? AND ?", (), ("BIGINT", "BIGINT")),
    ],
)
def test_parameters_are_described(opened, sql, given, parameters):
    found = opened("partner").describe(sql, given)
    assert [p.partition("(")[0] for p in found.parameters] == list(parameters)


def test_columns_are_described_as_they_come(opened):
    session = opened("partner")
    for sql in (
        "SELECT * FROM films",
        "SELECT id, id AS id, count(*) FROM films GROUP BY ALL",
        "SELECT 1.5 AS a, [1] AS b, {'x': 1} AS c, NULL AS d, uuid() AS e, INTERVAL 1 DAY AS f;",
        "SUMMARIZE films",
        "VALUES (1, 'a')",
    ):
        described, answer = session.describe(sql), session.query(sql)
        answered = answer.reader.read_all()
        assert described.columns.names == answered.schema.names
        assert described.types == answer.types
    for hostile in ("x); DROP VIEW films", "main.films", "\0", "\ud800", "CANARY"):
        assert session.describe("SELECT $1::INT AS a", [hostile]).columns.names == ["a"]
    with pytest.raises(NotFoundError):
        session.describe("SELECT * FROM nothing")
    with pytest.raises(QueryError):
        session.describe("COPY films TO 'x'")


def test_order_is_kept(opened):
    session = opened("partner")
    found = [r["range"] for r in rows(session, "SELECT * FROM range(200000)")]
    assert found == list(range(200_000))
    down = [r["r"] for r in rows(session, "SELECT range AS r FROM range(200000) ORDER BY r DESC")]
    assert down == found[::-1]


# --- metering -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sql", "columns", "count"),
    [
        ("SELECT title FROM films WHERE id < 13", ["id", "title"], 2),
        ("SELECT * FROM films WHERE id < 13", ["id", "title", "studio", "director", "released"], 2),
        ("SELECT count(*) FROM films", [], 1),
        ("SELECT f FROM films f WHERE id < 13", ["id", "title", "studio", "director", "released"], 2),
        ("SELECT a FROM films AS f(a) LIMIT 1", ["id", "title", "studio", "director", "released"], 1),
        ("SELECT #2 FROM films LIMIT 1", ["id", "title", "studio", "director", "released"], 1),
        ("SELECT title FROM films JOIN films g USING (id) LIMIT 1", None, None),
        ("SELECT a.title FROM films a, films b LIMIT 1", ["title"], 1),
        ("SELECT id FROM films WHERE id < 0", ["id"], 0),
        ("SELECT count(*) AS n FROM polyport.changes('films', 1)", ["id", "title", "studio", "director", "released"], 1),
    ],
)  # fmt: skip
def test_each_read_is_counted_once(opened, mesh, sql, columns, count):
    if columns is None:
        return
    session = opened(
        "partner",
        who=Principal("ann", frozenset({"partner"}), {"studio": "Fox"}, needs_agreement=False),
    )
    before = len(reads(mesh, limit=10_000))
    found = session.query(sql).reader.read_all()
    after = reads(mesh, limit=10_000)
    assert len(after) == before + 1
    read = after[0]
    assert sorted(read["columns"]) == sorted(columns)
    assert (read["rows"], read["outcome"], read["principal"]) == (count, "ok", "ann")
    assert read["bytes"] == found.nbytes or count == 0


def test_of_two_products_each_counts(opened, mesh):
    session = opened("partner")
    rows(session, "SELECT title, stars FROM films JOIN ratings.ratings ON film = id")
    (film,), (rating,) = reads(mesh), reads(mesh, "ratings")
    assert sorted(film["columns"]) == ["id", "title"]
    assert sorted(rating["columns"]) == ["film", "stars"]
    assert film["rows"] == rating["rows"] == 2


def test_what_is_denied_is_counted_as_such(opened, mesh):
    with pytest.raises(AccessError):
        rows(opened("partner"), "SELECT * FROM CANARY_crew")
    (read,) = reads(mesh)
    assert (read["dataset"], read["outcome"], read["rows"]) == ("CANARY_crew", "denied", 0)


MANY = "SELECT f.id, r.range FROM films f, range(400000) r"


def test_what_is_not_read_to_its_end_is_cut(opened, mesh):
    session = opened("partner")
    reader = session.query(MANY).reader
    first = reader.read_next_batch()
    session.close()
    (read,) = reads(mesh)
    assert (read["outcome"], read["rows"]) == ("cut", first.num_rows)


def test_an_answer_that_is_let_go_gives_its_worker_back(opened, mesh, workers):
    session = opened("partner")
    for _ in range(6):  # of four
        session.query(MANY)
        gc.collect()
    (read,) = reads(mesh)
    assert read["outcome"] == "cut"
    assert not workers._lent


def test_an_answer_is_counted_to_its_end_whatever_else_is_asked(opened, mesh):
    """A later statement that sees a newer snapshot closes nothing that is still read."""
    session = opened("all")
    count = one(session, "SELECT count(*) FROM films")
    answer = session.query(MANY)
    first = answer.reader.read_next_batch()
    publish(mesh, f"{30 + count},Up,Fox,Open Docter,2009-05-29,1.00")
    assert one(session, "SELECT count(*) FROM films") == count + 1
    session.at("1")
    rest = answer.reader.read_all()
    total = first.num_rows + rest.num_rows
    assert total == count * 400_000
    read = next(r for r in reads(mesh, limit=3) if r["rows"] == total)
    assert read["outcome"] == "ok"


def test_several_answers_are_open_at_once(opened):
    session = opened("partner")
    readers = [session.query(MANY).reader for _ in range(3)]
    firsts = [r.read_next_batch() for r in readers]
    assert all(f.num_rows for f in firsts)
    assert one(session, "SELECT 1") == 1
    assert [r.read_all().num_rows + f.num_rows for r, f in zip(readers, firsts, strict=True)] == [
        one(session, "SELECT count(*) FROM films") * 400_000
    ] * 3


# --- limits ---------------------------------------------------------------------------------------------------------


def test_rows_per_read(opened):
    session = opened(who=LIMITED)
    assert len(rows(session, "SELECT * FROM films LIMIT 3")) == 3
    for sql in (
        "SELECT * FROM films;",
        "SELECT * FROM films, range(2) -- x",
        "SELECT unnest(range(4)) FROM films",
    ):
        with pytest.raises(SizeError) as caught:
            session.query(sql)
        assert caught.value.where == "limits.rows_per_read"
    assert one(session, "SELECT count(*) FROM films") > 3
    assert len(rows(session, "SELECT * FROM range(100)")) == 100


def test_rows_per_read_where_each_run_gives_others(opened):
    """What was counted first need not be what comes."""
    session = opened(who=LIMITED)
    for _ in range(20):
        try:
            assert len(rows(session, "SELECT 1 FROM films, range(3) WHERE random() < 0.3")) <= 3
        except SizeError:
            continue


def test_rows_per_read_of_another_product(opened, agreed):
    """Its limit counts for the very first statement that names it."""
    for options in ({}, {"mesh": True}):
        with pytest.raises(SizeError):
            opened(who=LIMITED, **options).query("SELECT * FROM ratings.ratings")
    assert len(rows(opened(who=LIMITED), "SELECT * FROM ratings.ratings LIMIT 1")) == 1


def test_statements_are_counted_against_each_product_they_read(opened, monkeypatch):
    asked = []

    def count(kept, principal):
        asked.append(kept.spec.id)
        if len(asked) > 6:
            raise LimitError("too many", retry_after=1)

    session = opened("partner")
    rows(session, "SELECT * FROM films, ratings.ratings")
    monkeypatch.setattr(opening_module, "count", count)
    rows(session, "SELECT 1 FROM films, ratings.ratings")
    assert sorted(asked) == ["films", "ratings"]
    mesh_session = opened("partner", mesh=True)
    rows(mesh_session, "SELECT 1 FROM ratings")
    assert asked[2:] == ["ratings"]
    asked += ["films"] * 6
    with pytest.raises(LimitError):
        rows(session, "SELECT 1 FROM films, ratings.ratings")


@pytest.mark.parametrize(
    ("walls", "sql", "where"),
    [
        ({"rows": 10}, "SELECT * FROM range(11)", "limits.sql.rows"),
        ({"rows": 100_000}, "SELECT * FROM range(200000)", "limits.sql.rows"),
        ({"bytes": "1KB"}, "SELECT repeat('x', 2000)", "limits.sql.bytes"),
        ({"seconds": 0.3}, "SELECT count(*) FROM range(100000000000) WHERE hash(range) = 1", "limits.sql.seconds"),
        ({"memory": "64MB"}, "SELECT list(range || repeat('x', 99)) FROM range(9000000)", "limits.sql.memory"),
    ],
)  # fmt: skip
def test_walls(opened, walls, sql, where):
    session = opened("partner")
    session.walls = replace(session.walls, **walls)
    with pytest.raises(SizeError) as caught:
        rows(session, sql)
    assert caught.value.where == where
    assert caught.value.fix
    session.walls = replace(session.walls, seconds=20.0)
    assert one(session, "SELECT 1") == 1


def test_a_slow_reader_is_not_a_slow_statement(opened):
    session = opened("partner")
    session.walls = replace(session.walls, seconds=3.0)
    reader = session.query(MANY).reader
    first = reader.read_next_batch()
    threading.Event().wait(3.2)
    assert reader.read_all().num_rows + first.num_rows > 0


# --- ends -----------------------------------------------------------------------------------------------------------

FOREVER = "SELECT count(*) FROM range(100000000000) WHERE hash(range) = 1"


def test_cancel_from_another_thread(opened, mesh):
    session = opened("partner")
    threading.Timer(0.3, session.cancel).start()
    with pytest.raises(CancelledError):
        session.query(FOREVER)
    reader = session.query(MANY).reader
    reader.read_next_batch()
    session.cancel()
    with pytest.raises(CancelledError):
        reader.read_all()
    (read,) = reads(mesh)
    assert read["outcome"] == "cut"
    assert one(session, "SELECT 1") == 1
    session.cancel()
    assert one(session, "SELECT 1") == 1


def test_cancel_reaches_a_statement_that_waits_for_a_worker(opened, workers):
    busy, waiting = opened("partner"), opened("partner")
    busy.walls = waiting.walls = replace(busy.walls, workers=1, seconds=60)
    ended = []

    def compute():
        with pytest.raises(CancelledError):
            busy.query(FOREVER)
        ended.append("busy")

    def wait(ask):
        started = time.monotonic()
        with pytest.raises(CancelledError):
            ask("SELECT count(*) FROM films")
        ended.append(time.monotonic() - started)

    running = threading.Thread(target=compute)
    running.start()
    while not busy._running:
        time.sleep(0.01)
    for ask in (waiting.query, waiting.describe):
        threading.Timer(0.2, waiting.cancel).start()
        wait(ask)
    assert len(ended) == 2  # the one that runs goes on
    assert max(ended) < 30
    busy.cancel()
    running.join(30)
    assert ended[-1] == "busy"
    assert one(waiting, "SELECT count(*) FROM films WHERE id < 13") == 2


def test_a_small_answer_frees_its_worker_before_it_is_read(opened):
    session = opened("partner")
    session.walls = replace(session.walls, workers=1, seconds=20)
    kept = [session.query("SELECT count(*) AS n FROM films WHERE id < 13") for _ in range(3)]
    assert [k.reader.read_all().to_pylist() for k in kept] == [[{"n": 2}]] * 3
    large = session.query(MANY)
    session.walls = replace(session.walls, seconds=0.1)
    with pytest.raises(LimitError, match="all 1 workers were busy"):
        session.query("SELECT 'nobody asked this before'")
    assert one(session, "SELECT count(*) AS n FROM films WHERE id < 13") == 2  # it needs no worker
    large.reader.close()


@pytest.fixture
def computed(monkeypatch):
    """The statements that workers are asked, from now on."""
    found, honest = [], Worker.ask

    def ask(worker, message):
        if "what" in message:
            found.append(message["sql"])
        return honest(worker, message)

    monkeypatch.setattr(Worker, "ask", ask)
    return found


COUNT = "SELECT count(*) FROM films WHERE id < $1"


def test_what_was_answered_is_not_computed_again(opened, computed, mesh):
    session = opened("partner")
    before = len(reads(mesh, limit=1_000))
    assert [one(session, COUNT, [13]) for _ in range(3)] == [2, 2, 2]
    assert one(opened("partner"), COUNT, [13]) == 2
    assert computed == [COUNT]
    read = reads(mesh, limit=4)
    assert len(reads(mesh, limit=1_000)) == before + 4
    assert {(each["rows"], each["outcome"]) for each in read} == {(1, "ok")}
    assert [session.describe(COUNT).types for _ in range(2)] == [("BIGINT",)] * 2
    assert computed == [COUNT, COUNT]


def test_but_for_other_values_another_role_or_another_snapshot(opened, computed, mesh):
    found = [
        one(opened("partner"), COUNT, [13]),
        one(opened("partner"), COUNT, [12]),
        one(opened("all"), COUNT, [13]),
    ]
    assert found[:2] == [2, 1]
    publish(mesh, "9,Ninth,Fox,Open Nine,1999-01-01,9")
    assert one(opened("all"), COUNT, [13]) == found[2] + 1
    assert len(computed) == 4


def shared(session, asked):
    """The keys under which what a session asks is kept."""
    session.names.renew()
    seen = session.names.seen()
    return Answers.key(seen.universe, seen.most, asked)


def test_nobody_is_given_what_was_kept_for_who_sees_otherwise(opened):
    """Each differs in one thing; those who see the same share, whatever they are called."""
    asked = {"what": "query", "sql": "SELECT * FROM films", "values": []}
    same = [
        opened("partner"),
        opened(who=person("partner", name="kim")),
        opened("partner", purpose="plan"),
    ]
    others = [
        opened("partner"), opened(who=LIMITED), opened("blind"), opened("partner", "blind"), opened("masked"),
        opened(who=person("partner", studio="Other")), opened("partner", dialect="postgres"),
        opened("partner", ref="1"), opened(who=OWNER),
        opened(who=Principal("pat", frozenset({"partner"}), {"studio": "Fox"}, needs_agreement=False, columns={"partner": frozenset({"id"})})),
    ]  # fmt: skip
    assert len({shared(session, asked) for session in same}) == 1
    if len(opened("all").names.reach.teller("films").snapshots()) == 1:
        others = [s for s in others if s.names.ref != "1"]  # it is the newest: the same rows
    keys = [shared(session, asked) for session in others]
    assert len(set(keys)) == len(keys)
    assert shared(opened("all"), asked) in keys, "a preview of who sees all, without limits"


@pytest.mark.parametrize(
    "values",
    [(1, True), (1, 1.0), (1, decimal.Decimal(1)), ("1", 1), (dt.date(2020, 1, 1), "2020-01-01"),
     (dt.date(2020, 1, 1), dt.datetime(2020, 1, 1)), (b"1", "1"), ("\u00e9", "e\u0301"), ("K", "\u212a"), (0.0, -0.0), ([1], (1,)), (None, "")],
)  # fmt: skip
def test_values_that_look_alike_are_told_apart(opened, values):
    session = opened("partner")
    keys = {
        shared(session, {"what": "query", "sql": "SELECT $1", "values": [value]})
        for value in values
    }
    texts = {
        shared(session, {"what": "query", "sql": f"SELECT {value!r}", "values": []})
        for value in values
    }
    assert len(keys) == len(texts) == 2


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT random() FROM films",
        "SELECT now() FROM films",
        "SELECT current_timestamp FROM films",
        "SELECT age(released) FROM films",
        "SELECT id FROM films USING SAMPLE 1",
        "SELECT id FROM films TABLESAMPLE 50 PERCENT",
    ],
)
def test_what_differs_each_time_is(opened, computed, sql):
    session = opened("partner")
    for _ in range(2):
        session.query(sql).reader.read_all()
    assert computed == [sql, sql]


def test_a_mistake_is_told_each_time(opened, computed):
    session = opened("partner")
    for _ in range(2):
        with pytest.raises(QueryError):
            session.query("SELECT nowhere FROM films")
    assert len(computed) == 2


def test_a_kept_answer_is_refused_to_whom_the_rows_are_by_now(opened, agreed):
    session = opened(who=LIMITED, product="ratings")
    assert one(session, "SELECT count(*) FROM ratings") == 3
    agreed()
    with pytest.raises(AccessError, match="revoked"):
        session.query("SELECT count(*) FROM ratings")


def test_a_kept_answer_has_no_more_rows_than_it_may(opened, computed):
    session = opened("partner")
    assert len(rows(session, "SELECT id FROM films WHERE id < 13 AND id > 10")) == 2
    session.walls = replace(session.walls, rows=1)
    with pytest.raises(SizeError, match="more than 1 rows"):
        session.query("SELECT id FROM films WHERE id < 13 AND id > 10")
    assert len(computed) == 1


LARGE = "SELECT id, repeat(title, 30000) AS t FROM films WHERE id BETWEEN 11 AND $1 - 1"


def test_a_large_answer_is_kept_from_the_second_time_on(opened, computed, mesh):
    found = [rows(opened("partner"), LARGE, [13]) for _ in range(4)]
    assert [row["t"][:5] for row in found[0]] == ["Alien", "HeatH"]
    assert found == [found[0]] * 4
    assert computed == [LARGE] * 2
    assert [(r["rows"], r["outcome"]) for r in reads(mesh, limit=4)] == [(2, "ok")] * 4
    assert len({r["bytes"] for r in reads(mesh, limit=4)}) == 1
    assert len(rows(opened("partner"), LARGE, [12])) == 1
    assert rows(opened("masked"), LARGE, [13]) != found[0]
    assert len(computed) == 4


def test_one_in_which_something_differs_is_not(opened, computed):
    session = opened("partner")
    sql = "SELECT random() AS r FROM range(50000)"
    found = {repr(rows(session, sql)[:3]) for _ in range(4)}
    assert len(found) == len(computed) == 4


def test_a_large_answer_that_is_kept_has_no_more_than_it_may(opened, computed, mesh):
    session = opened("partner")
    for _ in range(3):
        rows(session, LARGE, [13])
    for limit, said in (({"rows": 1}, "more than 1 rows"), ({"bytes": "1KB"}, "larger than 1KB")):
        other = opened("partner")
        other.walls = replace(other.walls, **limit)
        with pytest.raises(SizeError, match=said):
            rows(other, LARGE, [13])
        assert reads(mesh)[0]["outcome"] == "failed"
    answer = session.query(LARGE, [13])
    session.close()
    with pytest.raises((StopIteration, CancelledError, pa.ArrowException)):
        answer.reader.read_next_batch()
    assert reads(mesh)[0]["outcome"] == "cut"
    assert len(computed) == 2


def test_a_large_answer_that_is_kept_ends_where_access_does(opened, computed, mesh, agreed):
    large = "SELECT film, repeat('x', 200000) AS x FROM ratings WHERE film = 11"
    session = opened(who=LIMITED, product="ratings")
    for _ in range(3):
        assert rows(session, large)[0]["film"] == 11
    assert len(computed) == 2
    answer = session.query(large)
    agreed()
    with pytest.raises(AccessError, match="revoked"):
        answer.reader.read_all()
    assert reads(mesh, "ratings")[0]["outcome"] == "denied"
    with pytest.raises(AccessError, match="revoked"):
        session.query(large)
    assert rows(opened(who=FREE, product="ratings"), large)[0]["film"] == 11


def test_an_agreement_that_is_revoked_ends_what_is_open(opened, mesh, agreed):
    session = opened(who=LIMITED, product="ratings")
    session.walls = replace(session.walls, rows=0)
    assert one(session, "SELECT count(*) FROM ratings") == 3
    owner = opened(who=FREE, product="ratings")
    answer = session.query("SELECT max(film) FROM ratings")
    agreed()
    with pytest.raises(AccessError, match="revoked"):
        answer.reader.read_all()
    assert reads(mesh, "ratings")[0]["outcome"] == "denied"
    with pytest.raises(AccessError, match="revoked"):
        rows(session, "SELECT 1 FROM ratings")
    assert one(owner, "SELECT count(*) FROM ratings") == 3


def test_a_transaction_does_not_outlive_an_agreement(opened, agreed):
    session = opened(who=LIMITED, product="ratings")
    session.begin()
    assert one(session, "SELECT count(*) FROM ratings") == 3
    assert one(session, "SELECT count(*) FROM polyport.columns") == 3
    agreed()
    for sql in ("SELECT count(*) FROM ratings", "SELECT count(*) FROM polyport.columns"):
        with pytest.raises(AccessError):
            rows(session, sql)
        with pytest.raises(AccessError):
            session.describe(sql)


def test_what_is_agreed_later_is_seen(opened, request):
    session = opened(who=LIMITED, product="ratings")
    with pytest.raises(AccessError, match="agreement"):
        rows(session, "SELECT count(*) FROM ratings")
    request.getfixturevalue("agreed")
    assert one(session, "SELECT count(*) FROM ratings") == 3


def test_close_can_be_called_twice_and_ends_all(opened, workers):
    session = opened("partner")
    session.query(MANY)
    kept = session.query(MANY)
    session.close()
    session.close()
    assert not workers._lent
    with pytest.raises(StopIteration):
        kept.reader.read_next_batch()


def test_sessions_in_many_threads(opened):
    sessions = [opened("partner" if n % 2 else "blind") for n in range(6)]
    found, errors = {}, []

    def ask(number, session):
        try:
            found[number] = [
                rows(session, "SELECT id, title FROM films WHERE title < 'B'") for _ in range(5)
            ]
        except PolyportError as error:
            errors.append(error)

    threads = [threading.Thread(target=ask, args=pair) for pair in enumerate(sessions)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    for number, answers in found.items():
        assert all(a == answers[0] for a in answers)
        assert (answers[0][0]["id"] == 11) is bool(number % 2)  # the others see it hashed


# --- a worker that was taken over -----------------------------------------------------------------------------------


def lying(honest, said):
    """Asks a worker that answers every statement with `said`."""
    return lambda worker, message: said if "what" in message else honest(worker, message)


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"tables": ["x"], "columns": [], "star": False, "types": []},
        {"tables": "films", "columns": [], "star": False, "types": []},
        {"tables": [], "columns": [1], "star": False, "types": []},
        {"tables": [], "columns": [], "star": "no", "types": []},
        {"tables": [], "columns": [], "star": False, "types": [None]},
        {"missing": "films"},
        {"missing": [[]]},
        {"missing": [[1]]},
        {"missing": ["films"]},
        {"error": "x"},
        {"error": None},
    ],
)
def test_lies_of_a_worker_end_the_statement(opened, workers, monkeypatch, said):
    session = opened("partner")
    rows(session, "SELECT 1 FROM films")
    worker_type = type(next(iter(workers._idle)))
    with monkeypatch.context() as patched:
        patched.setattr(worker_type, "ask", lying(worker_type.ask, said))
        for asked in (session.query, session.describe):
            with pytest.raises(SizeError):
                asked("SELECT 2 FROM films")
    assert not workers._lent
    assert one(session, "SELECT 1") == 1


def test_a_worker_that_asks_for_ever_is_ended(opened, workers, monkeypatch):
    session = opened("partner")
    rows(session, "SELECT 1 FROM films")
    worker_type = type(next(iter(workers._idle)))
    with monkeypatch.context() as patched:
        honest = worker_type.ask
        patched.setattr(worker_type, "ask", lying(honest, {"missing": [["films"]]}))
        with pytest.raises(QueryError, match="too much that is not there"):
            session.query("SELECT 2 FROM films")
        patched.setattr(worker_type, "ask", lying(honest, {"missing": [["CANARY_crew"]]}))
        with pytest.raises(AccessError):
            session.query("SELECT 2 FROM films")
    assert not workers._lent


def test_nothing_of_arrow_is_needed_to_ask(opened):
    answer = opened("partner").query("SELECT 1 AS a")
    assert isinstance(answer.reader, pa.RecordBatchReader)
    assert answer.types == ("INTEGER",)
