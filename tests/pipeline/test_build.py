"""The whole build, from inputs to a snapshot."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pyarrow as pa
import pytest
from tests.pipeline.logs import events

from polyport.descriptor.types import QualityRule
from polyport.errors import InputError, NotFoundError, QualityError, StoreError, TransformError


def test_a_folder_becomes_a_snapshot(films):
    result = films.build()
    assert result.run.outcome == "published"
    assert result.snapshot.sequence == 1
    assert films.rows("costs")[0] == {"id": 1, "title": "Alien", "budget": Decimal("11.00")}
    assert [(s.stage, s.name) for s in films.steps] == [
        ("raw", "films"),
        ("read", "films"),
        ("transform", "costs"),
        ("check", "quality"),
        ("publish", "costs"),
    ]
    assert result.run.steps == tuple(films.steps)
    assert result.report.snapshot == result.snapshot.id == result.run.snapshot
    assert result.snapshot.datasets["costs"].key == ("id",)
    assert result.snapshot.inputs["films"].startswith("sha256:")
    assert result.snapshot.run == result.run.id
    assert result.previous is None


def test_steps_chain_without_being_written(films):
    films.file("cleanse/films.sql", "SELECT id, trim(title) AS title, budget FROM films")
    films.file("transform/big.sql", "SELECT * FROM films WHERE budget > 10")
    films.file("transform/costs.sql", "SELECT * FROM big")
    scratch = []
    films.engine, real = Watched(films.engine, scratch), films.engine
    films.build()
    assert [r["title"] for r in films.rows("costs")] == ["Alien", "Brazil"]
    assert [p.parent.name for p in scratch] == [f"20260101T00{films.runs:04d}-abcdef"]
    films.engine = real


class Watched:
    """An engine that notes what it writes."""

    def __init__(self, engine, written):
        self._engine, self._written = engine, written

    def __getattr__(self, name):
        return getattr(self._engine, name)

    def write(self, sql, relations, target, **more):
        self._written.append(target)
        return self._engine.write(sql, relations, target, **more)


def test_what_two_steps_read_is_written_once(films):
    films.file("cleanse/films.sql", "SELECT id, title, budget, random() AS r FROM films")
    films.file("transform/a.sql", "SELECT id, r FROM films")
    films.file("transform/b.sql", "SELECT id, r FROM films")
    films.file("transform/costs.sql", "SELECT a.id, a.r = b.r AS same FROM a JOIN b USING (id)")
    films.objects.clear()
    films.promise("costs", "id key", "same")
    films.build()
    assert [r["same"] for r in films.rows("costs")] == [True] * 3


def test_a_published_table_that_another_reads_is_written_once(films):
    films.file("transform/costs.sql", "SELECT id, title, budget FROM films")
    films.file("transform/total.sql", "SELECT sum(budget) AS total FROM costs")
    films.objects.clear()
    films.promise("costs", "id key", "title", "budget")
    films.promise("total", "total")
    written = []
    films.engine, real = Watched(films.engine, written), films.engine
    films.build()
    films.engine = real
    assert sorted(p.name for p in written) == ["costs.parquet", "total.parquet"]
    assert films.rows("total") == [{"total": 33}]


def test_a_later_step_sees_all_columns_of_a_published_one(films):
    films.file("transform/costs.sql", "SELECT id, title, budget, 2 AS factor FROM films")
    films.file("transform/total.sql", "SELECT sum(budget * factor) AS total FROM costs")
    films.promise("total", "total")
    films.build()
    assert films.rows("total") == [{"total": 66}]


def test_an_input_and_a_cleanse_step_can_be_promised_as_they_are(films):
    films.file("cleanse/clean.sql", "SELECT id FROM films")
    films.objects.clear()
    films.promise("films", "id", "title")
    films.promise("clean", "id")
    result = films.build()
    assert {n: d.rows for n, d in result.snapshot.datasets.items()} == {"films": 3, "clean": 3}


def test_an_input_that_streams_is_consumed(films):
    films.inputs["films"].form = "reader"
    films.build()
    read = next(s for s in films.steps if s.stage == "read")
    assert (read.rows, read.detail) == (3, "films.csv, 3 rows")


def test_nothing_changed_publishes_nothing(films):
    first = films.build()
    second = films.build()
    assert second.run.outcome == "unchanged"
    assert second.snapshot == first.snapshot
    assert second.run.snapshot == first.snapshot.id
    assert second.report.snapshot == ""
    assert [s.sequence for s in films.store.history("costs")] == [1]
    assert second.run.steps[-1].detail == "nothing has changed; snapshot 1 stays"


def test_order_of_rows_is_no_change(films):
    films.build()
    head, *rows = films.inputs["films"].files["films.csv"].splitlines(keepends=True)
    films.input("films", b"".join([head, *reversed(rows)]))
    assert films.build().run.outcome == "unchanged"


@pytest.mark.parametrize(
    "body",
    [
        "id,title,budget\n1,Alien,11\n2,Brazil,15\n3,Crash,8\n",
        "id,title,budget\n1,Alien,11\n2,Brazil,15\n",
        "id,title,budget\n1,Brazil,11\n2,Alien,15\n3,Crash,7\n",
        "id,title,budget\n1,Alien,11\n2,,15\n3,Crash,7\n",
    ],
)
def test_any_change_of_rows_is_published(films, body):
    films.build()
    films.input("films", body)
    result = films.build()
    assert (result.run.outcome, result.snapshot.sequence) == ("published", 2)
    assert result.snapshot.parent == result.previous.id


def test_duplicates_do_not_cancel_out(films):
    films.objects.clear()
    films.promise("costs", "id", "title")
    films.file("transform/costs.sql", "SELECT id, title FROM films")
    films.input("films", "id,title\n1,a\n1,a\n2,b\n2,b\n")
    films.build()
    films.input("films", "id,title\n1,a\n1,a\n3,c\n3,c\n")
    assert films.build().run.outcome == "published"


def test_an_unchanged_dataset_shares_its_files(films):
    films.file("transform/other.sql", "SELECT title, budget FROM films")
    films.promise("other", "title", "budget")
    first = films.build().snapshot
    films.file("transform/other.sql", "SELECT title, budget + 1 AS budget FROM films")
    second = films.build().snapshot
    assert films.store.files(second, "costs") == films.store.files(first, "costs")
    assert films.store.files(second, "other") != films.store.files(first, "other")
    assert films.steps[-1].detail == "snapshot 2: other; unchanged: costs"


def test_a_new_type_key_version_or_a_dataset_gone_is_a_change(films):
    films.promise("also", "id")
    films.file("transform/also.sql", "SELECT id FROM films")
    films.build()
    films.version = "1.1.0"
    assert films.build().snapshot.version == "1.1.0"
    films.objects.pop()
    assert films.build().snapshot.sequence == 3
    films.objects.clear()
    films.promise("costs", "id BIGINT", "title VARCHAR key", "budget DECIMAL(18,2)")
    assert films.build().snapshot.datasets["costs"].key == ("title",)
    films.objects.clear()
    films.promise("costs", "id INTEGER", "title VARCHAR key", "budget DECIMAL(18,2)")
    assert films.build().snapshot.sequence == 5


def test_a_run_is_rebuilt_from_its_raw_data(films):
    first = films.build()
    films.input("films", "id,title,budget\n9,New,1\n")
    films.build()
    films.inputs["films"].fail = InputError("the source is gone")
    third = films.build(from_run=first.run.id)
    assert third.snapshot.sequence == 3
    assert films.rows("costs") == films.rows("costs", "1")
    assert third.snapshot.inputs == first.snapshot.inputs
    assert films.build(from_run=third.run.id).run.outcome == "unchanged"


def test_a_rebuild_from_raw_data_that_is_not_there(films):
    first = films.build()
    with pytest.raises(NotFoundError, match="no raw data of run 'nope'") as caught:
        films.build(from_run="nope")
    assert first.run.id in caught.value.fix
    assert caught.value.run.outcome == "failed"
    films.input("rates", "day\n2026-01-01\n")
    with pytest.raises(InputError, match="received nothing for rates"):
        films.build(from_run=first.run.id)


def test_a_rebuild_from_changed_raw_data_is_refused(films):
    first = films.build()
    raw = next(films.state.glob("raw/costs/*/*.csv"))
    raw.chmod(0o644)
    raw.write_bytes(raw.read_bytes().replace(b"Alien", b"Bambi"))
    with pytest.raises(StoreError, match=r"films\.csv' was changed") as caught:
        films.build(from_run=first.run.id)
    assert caught.value.where == str(raw)


def test_incremental_ports_go_on_from_the_last_accepted_run(films):
    port = films.inputs["films"]
    films.build()
    films.file("transform/costs.sql", "SELECT nope FROM films")
    with pytest.raises(TransformError):
        films.build()
    films.file("transform/costs.sql", "SELECT id, title, budget FROM films")
    films.build()
    runs = [r and [o.received_at.minute for o in r.objects] for r in port.asked]
    assert runs == [None, [1], [1]]


def test_the_gate_holds_back(films):
    films.build()
    rule = QualityRule(
        "cheap", "costs", "", "sql", query="SELECT count(*) FROM costs WHERE budget > 10",
        operator="mustBe", threshold=0, description="budgets are small",
    )  # fmt: skip
    films.objects[0] = replace(films.objects[0], quality=(rule,))
    films.input("films", "id,title,budget\n1,Alien,99\n")
    with pytest.raises(QualityError) as caught:
        films.build()
    error = caught.value
    assert error.unchanged == "nothing was published; snapshot 1 is still served"
    assert error.report.stops[0].rule == "cheap"
    assert error.run.outcome == "refused"
    assert error.run.steps[-1].status == "error"
    assert "1 of" in error.message
    assert films.store.snapshot("costs", "latest").sequence == 1
    logged = events(films.log(kind="errors.log"))
    assert logged[-1]["unchanged"] == error.unchanged
    assert logged[-1]["stage"] == "check"


def test_warnings_let_it_pass_and_are_told(films):
    rule = QualityRule(
        "cheap", "costs", "", "sql", query="SELECT count(*) FROM costs WHERE budget > 10",
        operator="mustBe", threshold=0, severity="warning",
    )  # fmt: skip
    films.objects[0] = replace(films.objects[0], quality=(rule,))
    assert films.build().run.outcome == "published"
    check = next(s for s in films.steps if s.stage == "check")
    assert check.status == "warn"
    assert "1 warning" in check.detail


def test_the_first_input_that_fails_ends_it_and_all_tried_are_logged(films):
    films.input("rates", "day\n1\n").fail = InputError("no route to host", where="rates")
    films.input("zebra", "day\n1\n")
    with pytest.raises(InputError, match="no route") as caught:
        films.build()
    assert caught.value.unchanged == "nothing was published; there is no snapshot yet"
    assert caught.value.run.error == "rates: no route to host"
    assert not films.inputs["zebra"].asked
    logged = events(films.log())
    assert [(e["name"], e["level"]) for e in logged if e["stage"] == "raw"] == [
        ("films", "info"),
        ("films", "info"),
        ("rates", "info"),
        ("rates", "error"),
    ]


def test_an_input_that_cannot_be_read(films):
    films.input("films", "garbage")
    with pytest.raises(InputError, match="not a table"):
        films.build()
    assert films.store.history("costs") == ()


def test_a_csv_that_breaks_far_down_is_the_inputs_fault(films):
    rows = "".join(f"{i},x,1\n" for i in range(50_000))
    films.input("films", f"id,title,budget\n{rows}broken,x,1\n")
    with pytest.raises(InputError) as caught:
        films.build()
    assert caught.value.where == "input port films"


def test_secrets_never_reach_a_log(films):
    films.secrets = ("s3cr3t",)
    films.inputs["films"].fail = InputError("401 for key s3cr3t", where="https://x/?key=s3cr3t")
    with pytest.raises(InputError):
        films.build()
    for kind in ("log", "errors.log"):
        text = films.log(kind=kind).read_text()
        assert "s3cr3t" not in text
        assert "key=***" in text or "key ***" in text


def test_scratch_is_gone_whatever_happens(films):
    films.build()
    assert list((films.state / "scratch").iterdir()) == []
    films.file("transform/costs.sql", "SELECT nope FROM films")
    with pytest.raises(TransformError):
        films.build()
    assert list((films.state / "scratch").iterdir()) == []


def test_no_promise_no_build(films):
    films.objects.clear()
    with pytest.raises(TransformError, match="promises no dataset"):
        films.build()


def test_a_product_id_is_a_safe_folder_name(films):
    films.product_id = "../up/and away"
    films.build()
    assert [p.name for p in (films.state / "raw").iterdir()] == ["%2E%2E%2Fup%2Fand away"]


def test_columns_that_the_engine_shows_as_text_are_kept_from_snapshot_to_snapshot(shop):
    one = "md5(title)::UUID"
    shop.input("films", "id,title\n1,Alien\n2,Brazil\n")
    shop.file(
        "transform/costs.sql",
        f"SELECT id, {one} AS u, [{one}] AS many, {{'u': {one}, 'n': 1}} AS part,"
        f" map {{{one}: {one}}} AS pairs, {{'a': id}}::JSON AS j FROM films",
    )
    shop.promise(
        "costs", "id BIGINT key", "u UUID", "many UUID[]", "part STRUCT(u UUID, n INTEGER)",
        "pairs MAP(UUID, UUID)", "j JSON",
    )  # fmt: skip
    first = shop.build()
    shop.input("films", "id,title\n1,Alien\n2,Crash\n")
    second = shop.build()
    assert second.snapshot.sequence == 2
    assert second.snapshot.datasets["costs"].schema == first.snapshot.datasets["costs"].schema
    assert first.snapshot.datasets["costs"].schema.field("u").type == pa.uuid()
    assert shop.build().snapshot.sequence == 2
    assert str(shop.rows("costs")[0]["u"]).count("-") == 4
