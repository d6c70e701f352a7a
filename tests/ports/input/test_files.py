from __future__ import annotations

import datetime as dt
import gc
import gzip
import json
import sys
from decimal import Decimal

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from polyport.descriptor.types import Port
from polyport.errors import ConfigurationError, InputError, MissingExtraError
from polyport.ports.input import InputContext
from polyport.testing.input_port import InputPortTests

TEXT = 'id,title,budget\n1,Heat,60000000\n2,"Ran, again",\n'
ROWS = [
    {"id": 1, "title": "Heat", "budget": 60000000},
    {"id": 2, "title": "Ran, again", "budget": None},
]


class TestFilesPort(InputPortTests):
    port_type = "files"

    def source(self, folder):
        (folder / "films.csv").write_text(TEXT, "utf-8")
        return InputContext(Port("films", "files", settings={"path": "*.csv"}), folder)

    def expected(self):
        return ROWS

    def remove(self, folder):
        (folder / "films.csv").unlink()

    def change(self, folder):
        (folder / "more.csv").write_text("id,title,budget\n3,Alien,1\n", "utf-8")


def test_bytes_are_kept_as_they_came_and_equal_ones_once(make, home, keep):
    for name in ("a.csv", "b.csv"):
        (home / name).write_bytes("\ufeffid;title\r\n1;Å\r\n".encode())
    received = make("files", path="*.csv").fetch(keep, None)
    assert received.objects[0].path == received.objects[1].path
    assert received.objects[0].path.read_bytes() == (home / "a.csv").read_bytes()
    assert [o.origin for o in received.objects] == ["a.csv", "b.csv"]


def test_equal_files_both_count_and_are_told_apart(make, home, rows):
    for name in ("a.csv", "b.csv"):
        (home / name).write_text("id\n1\n", "utf-8")
    found = rows(make("files", path="*.csv", filename=True))
    assert sorted(r["_file"] for r in found) == ["a.csv", "b.csv"]


def test_files_of_one_name_are_told_apart_by_their_path(make, home, rows):
    for folder in ("x", "it's"):
        (home / folder).mkdir()
        (home / folder / "a.csv").write_text(f"id\n{len(folder)}\n", "utf-8")
    found = rows(make("files", path="**/*.csv", filename=True))
    assert {r["_file"]: r["id"] for r in found} == {"x/a.csv": 1, "it's/a.csv": 4}


def test_columns_are_put_together_by_name(make, home, rows):
    (home / "a.csv").write_text("id,title\n1,Heat\n", "utf-8")
    (home / "b.csv").write_text("title,id,year\nRan,2,1985\n", "utf-8")
    assert sorted(rows(make("files", path=["a.csv", "b.csv"])), key=lambda r: r["id"]) == [
        {"id": 1, "title": "Heat", "year": None},
        {"id": 2, "title": "Ran", "year": 1985},
    ]


@pytest.mark.parametrize(
    ("encoding", "codec"),
    [("latin-1", "latin-1"), ("cp1252", "cp1252"), ("utf-16", "utf-16"), ("UTF-8", "utf-8-sig")],
)
def test_encodings(make, home, rows, keep, encoding, codec):
    text = "id,title\r\n1,Amélie “É”\r\n".replace("“É”", "É" if codec == "latin-1" else "“É”")
    (home / "a.csv").write_bytes(text.encode(codec))
    port = make("files", path="a.csv", encoding=encoding)
    received = port.fetch(keep, None)
    assert received.objects[0].path.read_bytes() == text.encode(codec)
    assert rows(port, received)[0]["title"] == text.splitlines()[1][2:]


def test_transcoded_copies_go_with_the_port(make, home, keep):
    (home / "a.csv").write_bytes("id,title\n1,é\n".encode("cp1252"))
    port = make("files", path="a.csv", encoding="cp1252")
    relation = port.read(port.fetch(keep, None))
    folder = port.scratch()
    assert any(folder.iterdir())
    del port, relation
    gc.collect()
    assert not folder.exists()


@pytest.mark.parametrize(
    ("content", "encoding", "message", "fix"),
    [
        (b"id,title\n1,x\n2,Am\xe9lie\n", "utf-8", "byte 0xe9 at byte 17, line 3", "cp1252"),
        (b"id,title\n1,\x81\x8d\n", "utf-8", "byte 0x81", "latin-1"),
        ("id,title\n1,é\n".encode("utf-16"), "utf-8", "byte 0xff at byte 0, line 1", "utf-16"),
        (b"id\n\x81\n", "cp1252", "not cp1252: byte 0x81 at byte 3", "latin-1"),
        ("id,title\n1,Amélie €\n".encode(), "ascii", "never", ""),
        (b"PK\x03\x04\xff\xff", "utf-8", "byte 0xff", "type: spreadsheet"),
        (b"\xd0\xcf\x11\xe0\xa1", "utf-8", "not utf-8", "type: spreadsheet"),
        (b"id\n1\n\xc3", "utf-8", "byte 0xc3 at byte 5, line 3", "cp1252"),
    ],
)
def test_a_wrong_encoding_names_the_byte_and_the_likely_one(
    make, home, rows, content, encoding, message, fix
):
    (home / "a.csv").write_bytes(content)
    port = make("files", path="a.csv", encoding=encoding)
    if message == "never":
        assert rows(port)[0]["title"] == "Amélie €"
        return
    with pytest.raises(InputError, match=message) as caught:
        rows(port)
    assert fix in caught.value.fix
    assert "a.csv" in caught.value.message


def test_an_encoding_error_far_into_a_file(make, home, rows):
    (home / "a.csv").write_bytes(b"id\n" + b"12345678\n" * 200_000 + b"\xe9\n")
    with pytest.raises(InputError, match="line 200,002"):
        rows(make("files", path="a.csv"))


def test_csv_settings(make, home, rows):
    (home / "a.csv").write_text("007~1,5~-~'a~b'\n008~2,5~x~c\n", "utf-8")
    port = make(
        "files", path="a.csv", header=False, delimiter="~", quote="'", decimal=",",
        nulls=["-"], columns=["code", "price", "note", "text"], types={"code": "VARCHAR"}, filename=True,
    )  # fmt: skip
    assert rows(port) == [
        {"code": "007", "price": 1.5, "note": None, "text": "a~b", "_file": "a.csv"},
        {"code": "008", "price": 2.5, "note": "x", "text": "c", "_file": "a.csv"},
    ]


def test_all_text_and_date_format(make, home, rows):
    (home / "a.csv").write_text("n,d\n1,03.04.2020\n", "utf-8")
    assert rows(make("files", path="a.csv", all_text=True)) == [{"n": "1", "d": "03.04.2020"}]
    dated = make("files", path="a.csv", date_format="%d.%m.%Y", types={"d": "DATE"})
    assert rows(dated)[0]["d"] == dt.date(2020, 4, 3)


def test_a_header_of_texts_over_texts_is_a_header(make, home, rows):
    (home / "a.tsv").write_text("title\tstudio\nHeat\tWarner\n", "utf-8")
    assert rows(make("files", path="a.tsv")) == [{"title": "Heat", "studio": "Warner"}]


def test_a_header_alone_is_a_table_without_rows(make, home, rows):
    (home / "a.csv").write_text("id,title\n", "utf-8")
    assert rows(make("files", path="a.csv")) == []


def test_compressed_files(make, home, rows):
    (home / "a.csv.gz").write_bytes(gzip.compress(TEXT.encode()))
    assert rows(make("files", path="*.gz")) == ROWS
    (home / "b.csv.gz").write_bytes(gzip.compress(TEXT.encode())[:30])
    with pytest.raises(InputError, match=r"b\.csv\.gz"):
        rows(make("files", path="b.csv.gz"))


def test_json_ndjson_and_parquet(make, home, rows):
    records = [{"id": 1, "tags": ["a"]}, {"id": 2, "tags": None}]
    (home / "a.json").write_text(json.dumps(records), "utf-8")
    (home / "a.jsonl").write_text("\n".join(map(json.dumps, records)), "utf-8")
    pq.write_table(pa.Table.from_pylist(records), home / "a.parquet")
    for name in ("a.json", "a.jsonl", "a.parquet"):
        assert rows(make("files", path=name)) == records
        typed = rows(make("files", path=name, types={"id": "VARCHAR"}, filename=True))
        assert [(r["id"], r["_file"]) for r in typed] == [("1", name), ("2", name)]


def test_parquet_of_two_schemas(make, home, rows):
    pq.write_table(pa.table({"id": [1]}), home / "a.parquet")
    pq.write_table(pa.table({"title": ["x"], "id": pa.array([2], pa.int32())}), home / "b.parquet")
    found = rows(make("files", path="*.parquet"))
    assert sorted(found, key=lambda r: r["id"]) == [
        {"id": 1, "title": None},
        {"id": 2, "title": "x"},
    ]


def test_parquet_of_two_scales_loses_no_digit(make, home, rows):
    wide = pa.decimal128(38, 2)
    pq.write_table(pa.table({"n": pa.array([Decimal("1.10")], wide)}), home / "a.parquet")
    fine = pa.decimal128(38, 5)
    pq.write_table(pa.table({"n": pa.array([Decimal("1.23456")], fine)}), home / "b.parquet")
    found = rows(make("files", path="*.parquet"))
    assert sorted(r["n"] for r in found) == [Decimal("1.10"), Decimal("1.23456")]
    texts = rows(make("files", path="*.parquet", types={"n": "VARCHAR"}))
    assert sorted(r["n"] for r in texts) == ["1.10", "1.23456"]


@pytest.mark.parametrize(
    ("name", "content", "message", "fix"),
    [
        ("a.csv", b"", "empty", "again"),
        ("a.json", b'[{"id": 1}, {"id"', "cut off", "again"),
        ("a.json", b'{"id": 1}\n{"id": 2}', "not a JSON list", "ndjson"),
        ("a.json", b"<html>", "starts with '<html>'", ""),
        ("a.json", b"   ", "starts with nothing", ""),
        ("a.ndjson", b'{"id": 1}\n{"id": ', "ends with", "again"),
        ("a.ndjson", b'[{"id": 1}]', "starts with", "format: json"),
        ("a.parquet", b"PAR1 cut", "not a whole Parquet", "again"),
        ("a.parquet", b"no", "not a whole Parquet", "again"),
    ],
)
def test_files_that_are_not_whole(make, home, rows, name, content, message, fix):
    (home / name).write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        rows(make("files", path=name))
    assert fix in caught.value.fix
    assert name in str(caught.value)


def test_no_match_says_what_is_near(make, home, rows):
    (home / "inputs").mkdir()
    (home / "inputs" / "films.csv").touch()
    with pytest.raises(InputError, match=r"nothing matches 'inputs/film.csv'") as caught:
        rows(make("files", path="inputs/film.csv"))
    assert "did you mean `films.csv`" in caught.value.fix
    with pytest.raises(InputError, match="nothing matches") as caught:
        rows(make("files", path="input/deep/*.csv"))
    assert "did you mean `inputs`" in caught.value.fix
    with pytest.raises(InputError, match="is a folder") as caught:
        rows(make("files", path="inputs"))
    assert "inputs/*" in caught.value.fix


def test_formats_must_be_told_and_be_one(make, home, rows):
    for name in ("a.csv", "a.json", "a.dat", "a.xlsx"):
        (home / name).write_text("id\n1\n", "utf-8")
    with pytest.raises(InputError, match="several formats"):
        rows(make("files", path=["a.csv", "a.json"]))
    with pytest.raises(ConfigurationError, match=r"a\.dat"):
        rows(make("files", path="a.dat"))
    with pytest.raises(ConfigurationError) as caught:
        rows(make("files", path="a.xlsx"))
    assert "type: spreadsheet" in caught.value.fix
    assert rows(make("files", path="a.dat", format="csv")) == [{"id": 1}]


@pytest.mark.parametrize(
    ("settings", "message", "fix"),
    [
        ({}, "path is missing", "path:"),
        ({"path": "a.csv", "delimeter": ";"}, "delimeter", "did you mean `delimiter`"),
        ({"path": "a.csv", "format": "cvs"}, "cvs", "did you mean `csv`"),
        ({"path": "a.csv", "encoding": "utf9"}, "utf9", "utf-8"),
        ({"path": "a.csv", "types": {"id": "NUMBER"}}, "NUMBER", "BIGINT"),
        ({"path": "a.csv", "types": {"id": "DECIMAL(99,1)"}}, "DECIMAL", ""),
        ({"path": "a.csv", "header": "yes"}, "header must be true or false", ""),
        ({"path": 3}, "path must be", ""),
        ({"path": "nope://x/y.csv"}, "nope://", ""),
    ],
)
def test_settings_that_cannot_be_used(make, home, rows, settings, message, fix):
    (home / "a.csv").write_text("id\n1\n", "utf-8")
    with pytest.raises(ConfigurationError, match=message) as caught:
        rows(make("files", **settings))
    assert fix in caught.value.fix
    assert "films" in caught.value.where


def test_columns_and_types_that_do_not_fit_the_file(make, home, rows):
    (home / "a.csv").write_text("id,title\n1,x\n", "utf-8")
    with pytest.raises(InputError, match="'titel'") as caught:
        rows(make("files", path="a.csv", types={"titel": "VARCHAR"}))
    assert "did you mean `title`" in caught.value.fix
    with pytest.raises(InputError, match="has 2 columns, `columns` names 1"):
        rows(make("files", path="a.csv", columns=["id"]))


def test_urls(make, rows, keep):
    memory = fsspec.filesystem("memory")
    memory.pipe("/polyport-test/a.csv", TEXT.encode())
    port = make("files", path="memory://polyport-test/*.csv")
    received = port.fetch(keep, None)
    memory.rm("/polyport-test", recursive=True)
    assert rows(port, received) == ROWS
    assert received.objects[0].origin.startswith("memory://")
    with pytest.raises(InputError, match="nothing matches"):
        port.fetch(keep, None)


def test_a_url_whose_package_is_missing_names_it(make, rows, monkeypatch):
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    with pytest.raises(MissingExtraError) as caught:
        rows(make("files", path="gs://key:hush@bucket/a.csv"))
    assert caught.value.fix == "pip install gcsfs"
    assert "hush" not in str(caught.value)


def test_file_urls_and_absolute_paths(make, home, rows):
    (home / "a.csv").write_text("id\n1\n", "utf-8")
    assert rows(make("files", path=f"file://{home}/a.csv")) == [{"id": 1}]
    assert rows(make("files", path=f"{home}/*.csv")) == [{"id": 1}]


class TestExpectations:
    def test_every_difference_is_in_one_error(self, make, home, rows, contract):
        (home / "a.csv").write_text(
            "Title,Budget USD,year,seen\nHeat,6,1995,2020-01-01\n,7,MCM,today\n", "utf-8"
        )
        expected = contract(Title="string!", budget="number", year="integer", seen="date", x="map")
        with pytest.raises(InputError) as caught:
            rows(make("files", path="a.csv", contract=expected))
        text = caught.value.message
        assert "a.csv" in text
        assert (
            "column `Title` is required, and 1 of 2 rows have none, first in a.csv, data row 2"
            in text
        )
        assert "expected column `budget` (number), came `Budget USD`" in text
        assert "did you mean `Budget USD`?" in text
        assert "expected column `year` (integer), came `year` (string: 'MCM' in data row 2)" in text
        assert "expected column `seen` (date), came `seen` (string: 'today' in data row 2)" in text
        assert "expected column `x` (map), came none" in text

    def test_what_fits_is_read_and_text_stays_text(self, make, home, rows, contract):
        (home / "a.csv").write_text("code,n,d\n007,1e3,2020-01-02\n008,,\n", "utf-8")
        port = make("files", path="a.csv", contract=contract(code="string!", n="number", d="date"))
        assert rows(port) == [
            {"code": "007", "n": 1000.0, "d": dt.date(2020, 1, 2)},
            {"code": "008", "n": None, "d": None},
        ]

    def test_a_ragged_row(self, make, home, rows, contract):
        (home / "a.csv").write_text("id,title\n1,x\n2\n", "utf-8")
        with pytest.raises(InputError, match=r"not well-formed CSV: .*2 columns, got 1"):
            rows(make("files", path="a.csv", contract=contract(id="integer")))

    @pytest.mark.parametrize("name", ["a.json", "a.ndjson", "a.parquet"])
    def test_documents(self, make, home, rows, contract, name):
        records = [{"id": 1, "title": "x", "tags": ["a"]}, {"id": None, "title": "7", "tags": []}]
        path = home / name
        if name == "a.parquet":
            pq.write_table(pa.Table.from_pylist(records), path)
        elif name == "a.json":
            path.write_text(json.dumps(records), "utf-8")
        else:
            path.write_text("\n".join(map(json.dumps, records)), "utf-8")
        good = contract(id="integer", title="string!", tags="array")
        assert rows(make("files", path=name, contract=good)) == records
        with pytest.raises(InputError) as caught:
            rows(
                make("files", path=name, contract=contract(id="string!", title="date", y="number"))
            )
        assert "expected column `id` (string), came `id` (integer)" in caught.value.message
        assert "expected column `title` (date), came `title` (string)" in caught.value.message
        assert "`y`" in caught.value.message
        with pytest.raises(InputError, match="1 of 2 rows have none"):
            rows(make("files", path=name, contract=contract(id="integer!")))

    def test_a_record_in_the_middle_that_is_not_json(self, make, home, rows, contract):
        (home / "a.ndjson").write_text('{"id": 1}\n{"id": }\n{"id": 3}\n', "utf-8")
        with pytest.raises(InputError, match="record 2 is not JSON"):
            rows(make("files", path="a.ndjson", contract=contract(id="integer")))

    def test_a_field_that_only_some_records_have_is_missing_in_others(
        self, make, home, rows, contract
    ):
        (home / "a.json").write_text('[{"id": 1, "t": "x"}, {"id": 2}]', "utf-8")
        with pytest.raises(InputError, match="column `t` is required, and 1 of 2"):
            rows(make("files", path="a.json", contract=contract(t="string!")))

    def test_a_contract_of_several_objects(self, make, home, rows, contract):
        made = contract("other", id="integer")
        both = type(made)(
            made.id, made.version, made.name, made.file, made.objects + contract("others").objects
        )
        with pytest.raises(ConfigurationError, match="no object 'films'"):
            make("files", path="a.csv", contract=both)
        (home / "a.csv").write_text("id\nx\n", "utf-8")
        with pytest.raises(InputError, match="'other'"):
            rows(make("files", path="a.csv", contract=both, object="other"))


def test_a_json_list_larger_than_a_chunk_is_read_record_by_record(make, home, rows, contract):
    records = [{"id": i, "text": "ü" * 900} for i in range(2000)]
    (home / "a.json").write_text(json.dumps(records, ensure_ascii=False), "utf-8")
    assert len(rows(make("files", path="a.json", contract=contract(id="integer!")))) == 2000


CELL = st.one_of(
    st.none(),
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=12).filter(
        lambda t: t.strip() == t and t not in ("", "\ufeff")
    ),
)
QUIET = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@QUIET
@given(st.lists(st.tuples(st.integers(-(2**40), 2**40), CELL), min_size=1, max_size=8))
def test_csv_gives_back_what_was_written(make, home, rows, table):
    lines = ["id,title"]
    for number, text in table:
        quoted = "" if text is None else '"' + text.replace('"', '""') + '"'
        lines.append(f"{number},{quoted}")
    (home / "h.csv").write_bytes(("\n".join(lines) + "\n").encode())
    found = rows(make("files", path="h.csv", types={"title": "VARCHAR", "id": "BIGINT"}))
    assert [(r["id"], r["title"]) for r in found] == table


@QUIET
@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "id": st.integers(-(2**53), 2**53),
                "x": st.none() | st.floats(allow_nan=False, allow_infinity=False, width=32),
                "title": st.none() | st.text(st.characters(codec="utf-8"), max_size=12),
                "ok": st.none() | st.booleans(),
            }
        ),
        min_size=1,
        max_size=8,
    )
)
def test_ndjson_gives_back_what_was_written(make, home, rows, records):
    lines = [json.dumps(r, ensure_ascii=True) for r in records]
    (home / "h.ndjson").write_text("\n".join(lines), "utf-8")
    found = rows(
        make("files", path="h.ndjson", types={"title": "VARCHAR", "x": "DOUBLE", "ok": "BOOLEAN"})
    )
    assert found == records
