from __future__ import annotations

import csv
import datetime as dt
import io
import shutil
import subprocess
import zipfile
from decimal import Decimal
from xml.etree import ElementTree as ET

import openpyxl
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from python_calamine import CalamineWorkbook

from polyport.errors import QueryError
from polyport.ports.formats import xlsx, xlsx_parts
from polyport.ports.formats.xlsx_cells import cells

MAIN = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
UNSAYABLE = {chr(c) for c in range(32)} - {"\t", "\n", "\r"} | {"\ufffe", "\uffff"}


def reader_of(table, cut=3):
    return pa.RecordBatchReader.from_batches(table.schema, table.to_batches(max_chunksize=cut))


def book_of(**tables):
    sink = io.BytesIO()
    sheets = [xlsx.Sheet(name, lambda t=table: reader_of(t)) for name, table in tables.items()]
    assert xlsx.workbook(sheets, sink) == tuple(t.num_rows for t in tables.values())
    return sink.getvalue()


def opened(data, **options):
    return openpyxl.load_workbook(io.BytesIO(data), **options)


def column(data, letter="A", sheet=0):
    book = opened(data)
    return [cell.value for cell in book.worksheets[sheet][letter]][1:]


def test_types_are_kept():
    table = pa.table(
        {
            "whole": pa.array([1, -(2**53), 2**53 + 1, None], pa.int64()),
            "money": pa.array([Decimal("1.50"), Decimal("-0.01"), Decimal("9999999999999999.99"), None], pa.decimal128(20, 2)),
            "real": [0.1, -1e300, float("inf"), None],
            "flag": [True, False, None, True],
            "day": pa.array([dt.date(2026, 11, 22), dt.date(1900, 3, 1), dt.date(1900, 2, 28), dt.date(9999, 12, 31)]),
            "at": pa.array([dt.datetime(2026, 1, 2, 3, 4, 5), dt.datetime(1899, 1, 1), None, dt.datetime(2026, 1, 2)], pa.timestamp("us")),
            "there": pa.array([dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC), None, None, None], pa.timestamp("us", "Asia/Tokyo")),
            "clock": pa.array([dt.time(13, 30), None, None, dt.time(0)], pa.time64("us")),
            "took": pa.array([dt.timedelta(hours=30), dt.timedelta(-1), None, None], pa.duration("us")),
            "text": ["x", "", " y ", None],
            "list": pa.array([[1, 2], None, [], [None]]),
        }
    )  # fmt: skip
    sheet = opened(book_of(t=table))["t"]
    rows = [[cell.value for cell in row] for row in sheet.iter_rows(min_row=2)]
    assert rows[0] == [
        1, 1.5, 0.1, True, dt.datetime(2026, 11, 22), dt.datetime(2026, 1, 2, 3, 4, 5),
        dt.datetime(2026, 1, 2, 3, 4, 5), dt.time(13, 30), dt.timedelta(days=1, hours=6), "x", "[1,2]",
    ]  # fmt: skip
    assert rows[1][:6] == [
        -(2**53),
        -0.01,
        -1e300,
        False,
        dt.datetime(1900, 3, 1),
        "1899-01-01T00:00:00",
    ]
    assert rows[1][8] == "-PT86400S"
    assert rows[2][:5] == [str(2**53 + 1), "9999999999999999.99", "Infinity", None, "1900-02-28"]
    assert rows[3] == [None, None, None, True, dt.datetime(9999, 12, 31), dt.datetime(2026, 1, 2), None, dt.time(0), None, None, "[null]"]  # fmt: skip
    formats = {c: sheet[f"{c}2"].number_format for c in "ABEFHI"}
    assert formats == {"A": "0", "B": "0.00", "E": r"yyyy\-mm\-dd", "F": r"yyyy\-mm\-dd\ hh:mm:ss", "H": "hh:mm:ss", "I": "[h]:mm:ss"}  # fmt: skip


def test_fractions_of_seconds_are_kept_and_shown():
    at = dt.datetime(2026, 5, 6, 7, 8, 9, 125000)
    data = book_of(t=pa.table({"at": pa.array([at], pa.timestamp("us"))}))
    cell = opened(data)["t"]["A2"]
    assert abs(cell.value - at) < dt.timedelta(microseconds=500)
    assert cell.number_format.endswith("ss.000")


NUMBERS = {
    pa.int64(): st.integers(-(2**63), 2**63 - 1),
    pa.int32(): st.integers(-(2**31), 2**31 - 1),
    pa.uint64(): st.integers(0, 2**64 - 1),
    pa.float64(): st.floats(allow_nan=False, allow_infinity=False),
    pa.decimal128(9, 4): st.decimals(-99999, 99999, places=4),
    pa.decimal128(38, 6): st.decimals(-(10**31), 10**31, places=6),
    pa.bool_(): st.booleans(),
    pa.date32(): st.dates(),
    pa.timestamp("s"): st.datetimes(dt.datetime(1, 1, 1), dt.datetime(9999, 12, 31)).map(lambda v: v.replace(microsecond=0)),
}  # fmt: skip


def expected(value):
    """What a spreadsheet is to hold for a value: a number or date where it can, exact text where it cannot."""
    match value:
        case bool() | None | float():
            return value
        case int():
            return value if abs(value) <= 2**53 else str(value)
        case Decimal():
            return (
                float(value)
                if abs(value.scaleb(-value.as_tuple().exponent)) < 10**15
                else format(value, "f")
            )
        case dt.datetime():
            return value if value >= dt.datetime(1900, 3, 1) else value.isoformat()
        case dt.date():
            moment = dt.datetime.combine(value, dt.time())
            return moment if moment >= dt.datetime(1900, 3, 1) else value.isoformat()
    raise AssertionError(value)


@settings(max_examples=120, deadline=None)
@given(st.data())
def test_numbers_dates_and_booleans_come_back_as_they_were_or_as_exact_text(data):
    kind = data.draw(st.sampled_from(list(NUMBERS)))
    values = data.draw(st.lists(st.none() | NUMBERS[kind], min_size=1, max_size=8))
    table = pa.table({"v": pa.array(values, kind), "n": list(range(len(values)))})
    found = column(book_of(t=table))
    wanted = [expected(value) for value in values]
    assert [type(v) for v in found] == [
        int if isinstance(f, int) and isinstance(w, float) else type(w)
        for f, w in zip(found, wanted, strict=True)
    ]
    for value, want in zip(found, wanted, strict=True):
        if isinstance(want, dt.datetime):
            assert abs(value - want) < dt.timedelta(microseconds=500)
        else:
            assert value == want


def read_back(text):
    """What is left of a text in a cell: XML has no way to say control characters."""
    return "".join(c for c in text if c not in UNSAYABLE)


def xml_texts(data, part="xl/worksheets/sheet1.xml"):
    """The texts of column A as an XML parser sees them, with SpreadsheetML's own escape undone (22.9.2.19, ST_Xstring)."""
    root = ET.fromstring(zipfile.ZipFile(io.BytesIO(data)).read(part))
    found = []
    for row in root.iter(f"{MAIN}row"):
        cell = row.find(f"{MAIN}c")
        is_a = cell is not None and cell.get("r").rstrip("0123456789") == "A"
        found.append(cell.find(f"{MAIN}is/{MAIN}t").text or "" if is_a else None)
    return [None if t is None else t.replace("_x005F_", "_") for t in found][1:]


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.none() | st.text(st.characters(codec="utf-8"), max_size=20), min_size=1, max_size=6)
)
@example(["=cmd|'/c calc'!A1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "'=1"])
@example(["<c/>", "]]>", "&amp;", "&#0;", '"', "'"])
@example(["_x0041_", "_x005F_", "_x_", "__x0041__", "_xZZZZ_"])
@example([" a", "a ", "a  b", "\n", "\r\n", "\t", " "])
@example(["\x00", "\x0b\x1f", "\ufffe", "\uffff", "\ud7ff", "\U0001f3ac", ""])
def test_any_text_is_a_text_cell_and_comes_back(values):
    data = book_of(t=pa.table({"v": pa.array(values, pa.string()), "n": [1] * len(values)}))
    assert xml_texts(data) == [None if v is None else read_back(v) for v in values]
    assert {cell.data_type for cell in opened(data)["t"]["A"][1:] if cell.value is not None} <= {
        "inlineStr",
        "s",
    }
    assert b"<f>" not in zipfile.ZipFile(io.BytesIO(data)).read("xl/worksheets/sheet1.xml")


def test_openpyxl_and_calamine_read_hostile_texts_as_texts():
    hostile = [
        "=1+1",
        "+1",
        "-1",
        "@x",
        "007",
        "1e5",
        "2026-01-01",
        "TRUE",
        "#N/A",
        "<b>&",
        " padded ",
        "a\nb",
    ]
    data = book_of(t=pa.table({"v": hostile}))
    assert column(data) == hostile
    found = CalamineWorkbook.from_filelike(io.BytesIO(data)).get_sheet_by_name("t").to_python()
    assert [row[0] for row in found[1:]] == hostile


def test_calamine_reads_types():
    table = pa.table({"n": [1.5], "d": [dt.date(2026, 1, 2)], "b": [True], "t": ["x"]})
    found = (
        CalamineWorkbook.from_filelike(io.BytesIO(book_of(t=table)))
        .get_sheet_by_name("t")
        .to_python()
    )
    assert found == [["n", "d", "b", "t"], [1.5, dt.date(2026, 1, 2), True, "x"]]


def test_a_text_longer_than_a_cell_is_cut_with_a_mark():
    long = ["x" * 32_767, "x" * 32_768, "🎬" * 20_000]
    found = column(book_of(t=pa.table({"v": long})))
    assert found[0] == long[0]
    assert found[1] == "x" * 32_766 + "…"
    assert found[2] == "🎬" * 16_383 + "…"
    assert max(len(v.encode("utf-16-le")) // 2 for v in found) <= 32_767


def test_the_header_is_bold_frozen_and_filters_and_columns_have_widths():
    table = pa.table({"a & b": ["a long text, longer than the header"], "<n>": [1]})
    sheet = opened(book_of(t=table))["t"]
    assert [cell.value for cell in sheet[1]] == ["a & b", "<n>"]
    assert all(cell.font.b for cell in sheet[1])
    assert not sheet["A2"].font.b
    assert sheet.freeze_panes == "A2"
    assert sheet.auto_filter.ref == "A1:B2"
    widths = [sheet.column_dimensions[c].width for c in "AB"]
    assert widths[0] > 30
    assert 8 <= widths[1] < 12


def test_a_dataset_longer_than_a_sheet_goes_on_in_the_next(monkeypatch):
    monkeypatch.setattr(xlsx, "SHEET_ROWS", 5)
    table = pa.table({"n": list(range(9))})
    for rows, sheets in ((0, [0]), (4, [4]), (5, [4, 1]), (8, [4, 4]), (9, [4, 4, 1])):
        book = opened(book_of(films=table.slice(0, rows)))
        assert book.sheetnames == ["films", "films (2)", "films (3)"][: len(sheets)]
        assert [sheet.max_row - 1 for sheet in book] == sheets
        values = [row[0] for sheet in book for row in sheet.iter_rows(min_row=2, values_only=True)]
        assert values == list(range(rows))


def test_a_sheet_ends_before_its_part_needs_zip64(monkeypatch):
    monkeypatch.setattr(xlsx, "_XML_BYTES", 1_000)
    monkeypatch.setattr(xlsx, "_ROWS", 100)
    book = opened(book_of(films=pa.table({"n": list(range(250))})))
    assert [sheet.max_row - 1 for sheet in book] == [100, 100, 50]


def test_no_part_has_zip64_fields_that_programs_offer_to_repair():
    data = book_of(t=pa.table({"n": [1, 2, 3]}))
    for info in zipfile.ZipFile(io.BytesIO(data)).infolist():
        assert info.extract_version < zipfile.ZIP64_VERSION
        assert info.extra == b""


def test_a_workbook_has_a_sheet_for_each_dataset_and_one_about_them():
    sink = io.BytesIO()
    tables = {
        "costs": pa.table({"n": [1]}),
        "Costs": pa.table({"n": [2, 3]}),
        "a/b:c": pa.table({"n": [4]}),
    }
    sheets = [xlsx.Sheet(name, lambda t=t: reader_of(t)) for name, t in tables.items()]
    about = [("Data product", "Costs & <Co>"), ("Snapshot", "42")]
    xlsx.workbook(sheets, sink, about=about, created=dt.datetime(2026, 1, 2, tzinfo=dt.UTC))
    book = opened(sink.getvalue())
    assert book.sheetnames == ["costs", "Costs (2)", "a_b_c", "About"]
    rows = list(book["About"].iter_rows(min_row=2, values_only=True))
    assert rows == [*about, ("Rows of costs", "1"), ("Rows of Costs", "2"), ("Rows of a/b:c", "1")]
    assert book.properties.created == dt.datetime(2026, 1, 2)


def test_a_workbook_of_nothing_still_opens():
    sink = io.BytesIO()
    xlsx.workbook([], sink)
    assert opened(sink.getvalue()).sheetnames == ["About"]


@given(st.lists(st.text(max_size=40), max_size=8))
@example(["history", "History", "'", "''", "x" * 40, "x" * 50])
def test_sheet_names_are_legal_and_unique(names):
    taken = set()
    for name in names:
        found = xlsx_parts.sheet_name(name, taken)
        assert 0 < len(found) <= 31
        assert not set(found) & set("[]:*?/\\")
        assert not found.startswith("'")
        assert not found.endswith("'")
        assert found.casefold() not in taken | {"history"}
        taken.add(found.casefold())


def test_too_many_columns_are_refused_with_a_way_out():
    table = pa.table({f"c{n}": [1] for n in range(16_385)})
    with pytest.raises(QueryError, match=r"16385 columns.*`fields`"):
        book_of(wide=table)


def test_the_last_column_of_a_sheet_has_its_letters():
    assert [xlsx_parts.letters(n) for n in (0, 25, 26, 701, 702, 16_383)] == [
        "A",
        "Z",
        "AA",
        "ZZ",
        "AAA",
        "XFD",
    ]


def test_the_bytes_depend_on_the_rows_alone():
    table = pa.table({"n": list(range(100))})
    made = set()
    for cut in (1, 7, 100):
        sink = io.BytesIO()
        xlsx.write(reader_of(table, cut), sink)
        made.add(sink.getvalue())
    assert len(made) == 1


def test_a_null_is_no_cell():
    found = cells(pa.array([1, None]))
    assert found.values.to_pylist() == ["1", None]
    data = book_of(t=pa.table({"a": [None, 1], "b": ["x", None]}))
    xml = zipfile.ZipFile(io.BytesIO(data)).read("xl/worksheets/sheet1.xml").decode()
    assert 'r="A2"' not in xml
    assert 'r="B3"' not in xml
    assert pc.count(found.values).as_py() == 1


def test_it_streams_to_a_sink_that_cannot_seek():
    class Pipe(io.RawIOBase):
        def __init__(self):
            self.data = bytearray()

        def writable(self):
            return True

        def write(self, data):
            self.data += bytes(data)
            return len(bytes(data))

    with Pipe() as pipe:
        assert xlsx.write(reader_of(pa.table({"n": [1, 2]})), pipe) == 2
        data = bytes(pipe.data)
    assert column(data) == [1, 2]


@pytest.mark.skipif(
    shutil.which("soffice") is None, reason="LibreOffice (soffice) is not installed"
)
def test_libreoffice_opens_it_with_types_kept(tmp_path):
    table = pa.table(
        {
            "whole": pa.array([12345678901, -1], pa.int64()),
            "money": pa.array([Decimal("1234.50"), None], pa.decimal128(12, 2)),
            "day": [dt.date(2026, 1, 2), dt.date(1900, 3, 1)],
            "at": pa.array([dt.datetime(2026, 1, 2, 3, 4, 5), None], pa.timestamp("us", "UTC")),
            "flag": [True, False],
            "text": ["=1+1", " <é🎬> "],
            "escape": ["_x0041_", "00123"],
        }
    )
    source = tmp_path / "costs.xlsx"
    source.write_bytes(book_of(costs=table))
    profile = f"-env:UserInstallation={(tmp_path / 'profile').as_uri()}"
    command = ["soffice", profile, "--headless", "--convert-to"]
    for target in ("fods", "csv:Text - txt - csv (StarCalc):44,34,76,1,,0,false,false"):
        done = subprocess.run(
            [*command, target, "--outdir", tmp_path, source], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
    office = "{urn:oasis:names:tc:opendocument:xmlns:office:1.0}"
    root = ET.parse(tmp_path / "costs.fods").getroot()
    table_ns = "{urn:oasis:names:tc:opendocument:xmlns:table:1.0}"
    rows = [
        [c for c in row if c.tag == f"{table_ns}table-cell"]
        for row in root.iter(f"{table_ns}table-row")
    ]
    kinds = [[c.get(f"{office}value-type") for c in row][:7] for row in rows]
    assert ["float", "float", "date", "date", "boolean", "string", "string"] in kinds
    assert ["float", None, "date", None, "boolean", "string", "string"] in kinds
    formulas = {c.get(f"{table_ns}formula") for row in rows for c in row}
    assert formulas == {None, "of:=TRUE()", "of:=FALSE()"}  # its own way to hold a boolean
    with (tmp_path / "costs.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert rows[1] == [
        "12345678901",
        "1234.50",
        "2026-01-02",
        "2026-01-02 03:04:05",
        "TRUE",
        "=1+1",
        "_x0041_",
    ]
    assert rows[2][2:] == ["1900-03-01", "", "FALSE", " <é🎬> ", "00123"]
