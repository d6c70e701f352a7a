"""Erasing a person from a product that keeps her in every form, as its owner does it."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from pyiceberg.table import StaticTable

from polyport.model import OWNER, QualityReport, Read, RuleResult
from polyport.product import Product

_SPEC = importlib.util.spec_from_file_location("people", Path(__file__).with_name("people.py"))
_PEOPLE = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(_PEOPLE)
JANE, OTHERS, build, call, people = (
    _PEOPLE.JANE, _PEOPLE.OTHERS, _PEOPLE.build, _PEOPLE.call, _PEOPLE.people
)  # fmt: skip
erase_jane, rows_of, write_people = _PEOPLE.erase_jane, _PEOPLE.rows_of, _PEOPLE.write_people

PLAIN = re.compile("jan.{0,6} o.{0,12}canary", re.IGNORECASE)


def spoken(home):
    """She stands in the ledger, too: in a reason, in a purpose; and in a cache."""
    from datetime import UTC, datetime

    now = datetime.now(UTC)
    result = RuleResult("r", "people", "person", "library", "warn", "s", reason=f"found: '{JANE}'")
    with Product.load(home) as product:
        product.ledger.record_report(QualityReport("people", "r1", now, (result,), {}))
        product.ledger.record_read(
            Read(now, "people", "rest", "x", f"about {JANE}", "s", "people", (), 1, 1, 0.1)
        )
        product.ledger.journal.append(
            "feedback", "f1", {"text": f"{JANE} is wrong"}, product="people", by="ann"
        )
        product.ledger.journal.append(
            "contract",
            "other",
            {"sha256": "0", "document": {"examples": [JANE]}},
            product="other",
            by="ann",
        )
        product.speed_up()
        rows_of(product)
        with product.open(OWNER) as view:
            product.keyed.get(view.snapshot, "people")
            product.keyed.wait()
    cached = home / ".polyport/scratch/ports/polyport-files-dead/00000001"
    cached.parent.mkdir()
    cached.write_text(f"4,{JANE}\n", "utf-8")


@pytest.fixture
def full(home):
    spoken(home)
    return home


def kinds(found):
    return {one["kind"] for one in found}


def test_the_dry_run_finds_each_kind_and_changes_nothing(full):
    before = {p: p.read_bytes() for p in full.rglob("*") if p.is_file() and "ledger" not in p.name}
    code, (told,) = erase_jane(full, yes=False)
    assert (code, told["dry_run"]) == (0, True)
    assert told["rows"] == {"2": {"people": 1}, "3": {"people": 1}}
    held = kinds(told["found"]["held_by"])
    assert held == {"store", "raw", "quarantine", "logs", "keyed", "scratch", "ledger", "exports"}
    suffixes = {
        one["path"].rsplit(".", 1)[-1]
        for one in told["found"]["held_by"]
        if one["kind"] == "exports"
    }
    assert suffixes == {"csv", "parquet", "xlsx", "json", "ndjson", "arrow"}
    assert before == {
        p: p.read_bytes() for p in full.rglob("*") if p.is_file() and "ledger" not in p.name
    }


def test_it_goes_from_everything_and_the_proof_says_so(full):
    with Product.load(full) as product:
        before = {n: rows_of(product, str(n)) for n in (1, 2, 3)}
        ids = [s.id for s in product.history()]
        product.store.tag("people", "spring", "2")
    assert call("erase", "--prove", full, "--value", JANE)[0] == 1
    code, (told,) = erase_jane(full)
    assert (code, told["ok"], told["proof"]["held_by"], told["proof"]["unread"]) == (
        0,
        True,
        [],
        [],
    )
    assert told["rows"] == {"2": {"people": 1}, "3": {"people": 1}}
    assert {
        "raw objects",
        "quarantine files",
        "cached files",
        "exported files",
        "ledger rows",
    } <= set(told["removed"])
    assert call("erase", "--prove", full, "--value", JANE)[0] == 0
    assert call("erase", "--prove", full)[0] == 0
    for path in (p for p in full.rglob("*") if p.is_file() and "inputs" not in p.parts):
        assert JANE.encode() not in path.read_bytes(), path
    with Product.load(full) as product:
        for number, rows in before.items():
            assert rows_of(product, str(number)) == [r for r in rows if r["person"] != JANE]
        history = product.history()
        assert [s.id for s in history] == ids
        assert [s.erasures for s in history] == [0, 1, 1]
        assert product.store.snapshot("people", "spring").sequence == 2
        assert product.store.snapshot("people", history[0].committed_at.isoformat()).sequence == 1
        entry = product.ledger.journal.entries("erasure", product="people")[-1]
        assert (entry.by, entry.document["state"], entry.document["reason"]) == (
            "owner",
            "done",
            "asked",
        )
        assert entry.document["rows"] == {"2": {"people": 1}, "3": {"people": 1}}
        assert not PLAIN.search(json.dumps(entry.document))
        feedback = product.ledger.journal.newest("feedback", product="people")
        assert feedback.document == {"text": f"{entry.document['pseudonym']} is wrong"}


def test_change_history_has_no_trace(full):
    erase_jane(full)
    for pair in (("1", "2"), ("2", "3"), ("1", "3")):
        code, out, _ = call("diff", full, "--from", pair[0], "--to", pair[1], "--json")
        assert code == 0
        assert not PLAIN.search(out)
    assert not PLAIN.search(call("history", full, "--runs", "--json")[1])
    assert not PLAIN.search(call("quality", full, "--json")[1])


def test_every_kept_snapshot_reads_as_iceberg(own):
    erase_jane(own)
    with Product.load(own) as product:
        for snapshot in product.history():
            table = StaticTable.from_metadata(product.store.iceberg(snapshot, "people"))
            assert sorted(table.scan().to_arrow()["id"].to_pylist()) == [
                r["id"] for r in sorted(rows_of(product, snapshot.id), key=lambda r: r["id"])
            ]
            assert JANE not in str(table.scan().to_arrow().to_pylist())
            for number in table.metadata.snapshots:  # its history leads nowhere that is gone
                assert table.scan(snapshot_id=number.snapshot_id).to_arrow().num_rows >= 3


def test_the_doctor_finds_all_files_and_expiry_goes_on(full):
    erase_jane(full)
    assert call("doctor", full)[0] == 0
    with Product.load(full) as product:
        assert product.store.expire("people", keep=1).snapshots == (1, 2)
        assert len(rows_of(product)) == 4
    assert not list((full / ".polyport/store/people/snapshots").glob(".superseded*"))


def test_pushed_folders_are_whole_and_latest_is_the_newest(full):
    erase_jane(full)
    drive = full / "drive"
    for number in ("00000002", "00000003", "latest"):
        account = json.loads((drive / number / "SNAPSHOT.json").read_text())
        assert {f["format"] for f in account["files"]} == {
            "csv",
            "parquet",
            "xlsx",
            "json",
            "ndjson",
            "arrow",
        }
        assert JANE not in pq.read_table(drive / number / "people.parquet")["person"].to_pylist()
    assert (drive / "latest").resolve().name == "00000003"


def test_a_pushed_folder_of_an_expired_snapshot_goes(full):
    with Product.load(full) as product:
        product.store.expire("people", keep=1)
    assert (full / "drive/00000002").exists()
    code, _ = erase_jane(full)
    assert code == 0
    assert not (full / "drive/00000002").exists()


# It does not come back


def test_the_next_build_leaves_her_out_and_keeps_nothing_of_her(full):
    erase_jane(full)
    write_people(full, people(f"4,{JANE},Bonn,30", f"5,{JANE},Nowhere,34", "7,Later One,Rome,30"))
    result = build(full)
    (step,) = [s for s in result.run.steps if s.name == "erasures"]
    assert (step.status, step.erased) == ("warn", 2)
    assert "still send it" in step.detail
    with Product.load(full) as product:
        assert [r["id"] for r in rows_of(product)] == [1, 2, 3, 7]
        recorded = product.ledger.runs("people", limit=1)[0].steps
        assert next(s for s in recorded if s.stage == "cleanse").refused == {}
    code, out, _ = call("erase", "--prove", full, "--value", JANE, "--json")
    assert (code, json.loads(out)[0]["proof"]["held_by"]) == (0, [])


@pytest.mark.parametrize("extra", ["", ", 1 AS not_promised"])
def test_what_is_computed_from_the_rows_is_computed_without_hers(full, extra):
    erase_jane(full)
    people_sql = full / "transform/people.sql"
    people_sql.write_text(people_sql.read_text().replace(" FROM", f"{extra} FROM"))
    (full / "transform/notes.sql").write_text(
        "SELECT count(*)::VARCHAR AS note, max(city) AS about FROM people"
    )
    write_people(full, people(f"4,{JANE},Zurich,30"))
    build(full)
    with Product.load(full) as product:
        assert rows_of(product, dataset="notes") == [{"note": "3", "about": "Rome"}]


def test_a_refused_build_keeps_nothing_of_her_either(full):
    erase_jane(full)
    write_people(full, people(f"4,{JANE},Bonn,30", "x,Some Body,Bonn,30"))
    code, _, err = call("build", full)
    assert code == 3, err
    assert call("erase", "--prove", full, "--value", JANE)[0] == 0


def test_the_run_that_received_her_cannot_be_rebuilt_and_says_why(full):
    with Product.load(full) as product:
        runs = [s.run for s in product.history()]
    _, (told,) = erase_jane(full)
    code, _, err = call("build", full, "--from-run", runs[1])
    assert code == 5
    assert "cannot be rebuilt" in err
    assert told["erasure"] in err
    assert call("build", full, "--from-run", runs[0])[0] == 0


def test_somebody_of_a_similar_name_stays(full):
    write_people(full, people(f"8,{JANE} Junior,Oslo,30", f"9,{JANE}son,Oslo,30"))
    build(full)
    code, (told,) = erase_jane(full)
    assert code == 1  # "Junior" holds the name as a whole: that is for the owner to decide
    assert kinds(told["proof"]["held_by"]) <= {"store", "exports"}
    code, out, _ = call(
        "erase",
        "people",
        full,
        "--where",
        "id = 8",
        "--column",
        "person",
        "--reason",
        "x",
        "--yes",
        "--json",
    )
    assert (code, json.loads(out)[0]["ok"]) == (0, True)
    with Product.load(full) as product:
        assert [r["id"] for r in rows_of(product)] == [1, 2, 3, 9]


# Which rows


def test_other_datasets_are_named_or_everywhere(full):
    write_people(full, people(f"4,{JANE},Rome,30"))
    build(full)
    code, (told,) = erase_jane(full)
    assert code == 1
    assert any("column about" in one["where"] for one in told["proof"]["held_by"])
    code, (told,) = erase_jane(full, "--everywhere")
    assert (code, told["rows"]["4"]) == (0, {"notes": 1})
    build(full)
    with Product.load(full) as product:
        assert JANE not in str(rows_of(product, dataset="notes"))
    assert call("erase", "--prove", full, "--value", JANE)[0] == 0


def test_what_was_not_named_is_suggested_the_personal_first(full):
    contract = full / "contracts/people.odcs.yaml"
    contract.write_text(
        contract.read_text().replace(
            "{name: about, logicalType: string,",
            "{name: about, logicalType: string, tags: [personal-data],",
        )
    )
    (full / "transform/notes.sql").write_text(
        "SELECT 'see ' || person AS note, person AS about FROM checked WHERE city = 'Rome'"
    )
    write_people(full, people(f"4,{JANE},Rome,30", f"5,{JANE} Smith,Rome,30"))
    build(full)
    _, (told,) = erase_jane(full, yes=False)
    notes = {"dataset": "notes", "rows": 2}
    assert told["suggested"] == [
        {**notes, "column": "about", "personal": True},
        {**notes, "column": "note", "personal": False},
        {"dataset": "people", "column": "person", "rows": 1, "personal": False},  # Smith
    ]
    code, out, _ = call("erase", "people", full, "--value", JANE, "--column", "person")
    assert "not named: notes.about, personal data by its contract: 2 rows mention it" in out
    assert """--with "notes: about = '...'" """ in out
    code, (told,) = erase_jane(full, "--also", f"{JANE} Smith", "--everywhere")
    assert [(s["dataset"], s["column"]) for s in told["suggested"]] == []
    assert code == 0


def test_another_dataset_by_its_own_filter(full):
    write_people(full, people(f"4,{JANE},Rome,30"))
    build(full)
    code, (told,) = erase_jane(full, "--with", f"notes: about like '{JANE[:4]}%'")
    assert (code, told["rows"]["4"]) == (0, {"people": 1, "notes": 1})


def test_by_key(full):
    code, out, _ = call(
        "erase",
        "people",
        full,
        "--key",
        "4",
        "--column",
        "person",
        "--reason",
        "x",
        "--yes",
        "--json",
    )
    assert (code, json.loads(out)[0]["ok"]) == (0, True)


def test_another_spelling_is_looked_for(full):
    write_people(full, people("4,Doe Janet,Rome,30"))
    build(full)
    _, (told,) = erase_jane(full, "--also", "Doe Janet", yes=False)
    assert "raw" in kinds(told["found"]["held_by"])
    assert told["values"] == 2


def test_a_snapshot_from_before_the_column_is_searched_by_value(full):
    contract = full / "contracts/people.odcs.yaml"
    contract.write_text(contract.read_text().replace("{name: city,", "{name: town,"))
    for file in (
        contract,
        full / "dataproduct.odps.yaml",
    ):  # who takes a column away says a new major version
        file.write_text(file.read_text().replace("version: 1.0.0", "version: 2.0.0"))
    (full / "transform/people.sql").write_text(
        "SELECT id::BIGINT AS id, person, city AS town, age::BIGINT AS age FROM checked"
    )
    build(full)
    code, out, _ = call(
        "erase",
        "people",
        full,
        "--where",
        "town = 'Bonn'",
        "--column",
        "person",
        "--reason",
        "x",
        "--yes",
        "--json",
    )
    told = json.loads(out)[0]
    assert (code, told["ok"]) == (0, True)
    assert {n for n, rows in told["rows"].items() if rows} == {"2", "3", "4"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["people", "--where", "person = 'Nobody Here' and city is null"], "no such row"),
        (["people", "--where", "id = 4"], "cannot be looked for"),
        (["people", "--where", "person = 'ERASED'"], "marks that erasures leave"),
        (["people"], "which rows go"),
        (["people", "--where", "colour = 'red'"], "colour"),
        (["people", "--where", "person ="], "expected"),
        (["peeple", "--where", "id = 4"], "have a dataset 'peeple'"),
        (["people", "--value", "x"], "no such single column"),
        (["people", "--key", "4", "--with", "notes"], "says no filter"),
    ],
)
def test_what_is_asked_wrongly(home, arguments, said):
    name, *rest = arguments
    code, out, err = call("erase", name, home, *rest, "--reason", "x", "--yes")
    if said == "no such row":  # a literal can be looked for, though no row has it
        assert (code, "no kept byte holds it" in out) == (0, True)
        return
    assert code in (2, 5, 6)
    assert said in err.lower() or said in err
    with Product.load(home) as product:
        assert {s.erasures for s in product.history()} == {0}


def test_a_reason_is_needed(home):
    code, _, err = call("erase", "people", home, "--value", JANE, "--column", "person", "--yes")
    assert (code, "needs a reason" in err) == (2, True)


def test_without_yes_nothing_is_changed(home):
    call("erase", "people", home, "--value", JANE, "--column", "person", "--reason", "x")
    call(
        "erase",
        "people",
        home,
        "--value",
        JANE,
        "--column",
        "person",
        "--reason",
        "x",
        "--yes",
        "--dry-run",
    )
    with Product.load(home) as product:
        assert {s.erasures for s in product.history()} == {0}


def test_a_file_that_cannot_be_looked_into_is_no_proof(full):
    erase_jane(full)
    (full / ".polyport/left.zip").write_bytes(b"PK\x03\x04 broken")
    code, out, _ = call("erase", "--prove", full, "--value", JANE, "--json")
    assert code == 1
    assert json.loads(out)[0]["proof"]["unread"][0].startswith("left.zip")


def test_a_canary_anywhere_is_no_proof(full):
    erase_jane(full)
    (full / ".polyport/somewhere/else").mkdir(parents=True)
    (full / ".polyport/somewhere/else/x.bin").write_bytes(b"\0\1" + JANE.encode("utf-16-le"))
    code, out, _ = call("erase", "--prove", full, "--value", JANE, "--json")
    assert (code, json.loads(out)[0]["proof"]["held_by"][0]["path"]) == (1, "somewhere/else/x.bin")


def test_erasing_twice_is_harmless(full):
    erase_jane(full)
    code, (told,) = erase_jane(full)
    assert (code, told["rows"], told["ok"]) == (0, {}, True)


def test_nobody_was_ever_erased(home):
    assert call("erase", "--prove", home)[0] == 5
    code, out, _ = call("erase", "--resume", home, "--json")
    assert (code, json.loads(out)) == (0, [{"product": "people", "resumed": 0, "ok": True}])


def test_all_rows_may_go(home):
    code, out, _ = call(
        "erase",
        "people",
        home,
        "--where",
        "id > 0",
        "--column",
        "person",
        "--everywhere",
        "--reason",
        "x",
        "--yes",
        "--json",
    )
    assert (code, json.loads(out)[0]["ok"]) == (0, True)
    with Product.load(home) as product:
        assert rows_of(product) == []
        assert len(OTHERS) == 3
