from __future__ import annotations

import datetime as dt
import io
import re
import zipfile

import openpyxl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from polyport.descriptor.types import Port
from polyport.errors import ConfigurationError, InputError
from polyport.ports.input import InputContext
from polyport.ports.input._sheet import letters, snake
from polyport.testing.input_port import InputPortTests


def write(path, sheets, *, merges=()):
    """{sheet: [[cell, ...], ...]} as an .xlsx; merges: (sheet, "B6:B8")."""
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, cells in sheets.items():
        sheet = book.create_sheet(name)
        for row in cells:
            sheet.append(row)
    for name, area in merges:
        book[name].merge_cells(area)
    book.save(path)
    book.close()


def edit(path, part, change):
    """Rewrite one part of an .xlsx: what openpyxl cannot write."""
    with zipfile.ZipFile(path) as old:
        parts = {name: old.read(name) for name in old.namelist()}
    parts[part] = change(parts[part].decode()).encode()
    with zipfile.ZipFile(path, "w") as new:
        for name, content in parts.items():
            new.writestr(name, content)


def bare(found):
    return [{k: v for k, v in row.items() if not k.startswith("_")} for row in found]


class TestSpreadsheetPort(InputPortTests):
    port_type = "spreadsheet"

    def source(self, folder):
        write(folder / "warner.xlsx", {"Costs": [["Film", "Amount"], ["Heat", 300]]})
        return InputContext(Port("films", "spreadsheet", settings={"path": "*.xlsx"}), folder)

    def expected(self):
        return [
            {"film": "Heat", "amount": 300, "_file": "warner.xlsx", "_sheet": "Costs", "_row": 2}
        ]

    def remove(self, folder):
        (folder / "warner.xlsx").unlink()

    def change(self, folder):
        write(folder / "warner.xlsx", {"Costs": [["Film", "Amount"], ["Heat", 301]]})


MESSY = [
    ["Warner Bros. production costs", None, None, None, None],
    [None],
    ["Period:", "2019", None, None, None],
    [None],
    ["Film", " Amount ", "Amount", "Release date", "Box Office (USD)"],
    ["Heat", 300, 1.5, dt.date(1995, 12, 15), 187436818],
    [None, 200, 2, dt.date(1996, 1, 2), None],
    [" "],
    ["Total Recall", 5, None, dt.date(1990, 6, 1), 261317921],
    ["Subtotal 1995", 500, 3.5, None, None],
    ["Ran", 1, 1, dt.date(1985, 6, 1), 4135750],
    ["TOTAL", 506, 4.5, None, 452890489],
]


def test_a_sheet_as_people_keep_them(make, home, rows, keep):
    write(home / "warner.xlsx", {"Notes": [["x"]], "Costs": MESSY}, merges=[("Costs", "A6:A7")])
    port = make("spreadsheet", path="*.xlsx", sheet="Costs")
    received = port.fetch(keep, None)
    assert received.notes == (
        "warner.xlsx, sheet Costs: header in row 5, 4 rows, 2 totals rows skipped (row 10, 12), 1 blank rows skipped",
    )
    with port.read(received) as reader:
        assert reader.schema == pa.schema(
            [
                ("film", pa.string()), ("amount", pa.int64()), ("amount_2", pa.float64()),
                ("release_date", pa.date32()), ("box_office_usd", pa.int64()),
                ("_file", pa.string()), ("_sheet", pa.string()), ("_row", pa.int64()),
            ]
        )  # fmt: skip
        found = reader.read_all().to_pylist()
    assert [(r["film"], r["amount"], r["_row"]) for r in found] == [
        ("Heat", 300, 6),
        ("Heat", 200, 7),
        ("Total Recall", 5, 9),
        ("Ran", 1, 11),
    ]
    assert found[1] | {"film": 0} == {
        "film": 0, "amount": 200, "amount_2": 2.0, "release_date": dt.date(1996, 1, 2),
        "box_office_usd": None, "_file": "warner.xlsx", "_sheet": "Costs", "_row": 7,
    }  # fmt: skip


def test_a_sheet_that_does_not_start_at_its_corner(make, home, rows):
    book = openpyxl.Workbook()
    for cell, value in {"C4": "Film", "D4": "Year", "C5": "Heat", "D5": 1995, "C6": "Ran"}.items():
        book.active[cell] = value
    book.active.merge_cells("D5:D6")
    book.save(home / "a.xlsx")
    found = rows(make("spreadsheet", path="a.xlsx"))
    assert [(r["film"], r["year"], r["_row"]) for r in found] == [
        ("Heat", 1995, 5),
        ("Ran", 1995, 6),
    ]


def test_types_and_text_as_a_person_sees_it(make, home, rows):
    write(
        home / "a.xlsx",
        {
            "S": [
                ["mixed", "flag", "when", "day or time", "span", "clock", "none"],
                [300, True, dt.datetime(2020, 1, 2, 3, 4, 5), dt.date(2020, 1, 2), dt.timedelta(hours=30), dt.time(3, 4), None],
                ["x", False, None, dt.datetime(2020, 1, 2, 3, 4), None, None, None],
                [1.5, None, None, None, None, None, None],
            ]
        },
    )  # fmt: skip
    found = bare(rows(make("spreadsheet", path="a.xlsx")))
    assert [r["mixed"] for r in found] == ["300", "x", "1.5"]
    assert found[0] | {"mixed": 0} == {
        "mixed": 0, "flag": True, "when": dt.datetime(2020, 1, 2, 3, 4, 5),
        "day_or_time": dt.datetime(2020, 1, 2), "span": "30:00:00", "clock": dt.time(3, 4), "none": None,
    }  # fmt: skip


def test_cached_values_of_formulas_and_error_cells(make, home, rows, keep):
    write(home / "a.xlsx", {"S": [["a", "b", "c"], [1, 2, 9], [3, 4, "#N/A"], ["n/a", 5, "#REF!"]]})

    def formulas(xml):
        xml = xml.replace('<c r="C2" t="n"><v>9</v></c>', '<c r="C2"><f>A2+B2</f><v>3</v></c>')
        assert "<f>A2+B2</f>" in xml
        return xml

    edit(home / "a.xlsx", "xl/worksheets/sheet1.xml", formulas)
    port = make("spreadsheet", path="a.xlsx")
    received = port.fetch(keep, None)
    assert [r["c"] for r in rows(port, received)] == [3, None, None]
    assert "2 error cells read as empty (C3, C4)" in received.notes[0]


def test_formulas_that_nobody_calculated_are_told(make, home, keep):
    """As openpyxl and other programs write them; an empty text that was calculated is one."""
    openpyxl = pytest.importorskip("openpyxl", reason="openpyxl is not installed")
    book = openpyxl.Workbook()
    for row in (["Film", "Cost", "Double"], *(["x", n, f"=B{n}*2"] for n in range(2, 9_002))):
        book.active.append(row)
    book.save(home / "a.xlsm")
    book.close()
    (note,) = make("spreadsheet", path="a.xlsm").fetch(keep, None).notes
    assert "9,000 formulas without a value read as empty (C2, C3, C4, C5, C6): open it" in note
    write(home / "b.xlsx", {"S": [["a", "b"], ["x", "y"]]})
    sheet = "xl/worksheets/sheet1.xml"
    edit(
        home / "b.xlsx",
        sheet,
        lambda xml: xml.replace(
            "</row></sheetData>", '<c r="C2" t="str"><f>""</f><v></v></c></row></sheetData>'
        ),
    )
    (note,) = make("spreadsheet", path="b.xlsx").fetch(keep, None).notes
    assert "formulas" not in note


def test_days_counted_from_1904(make, home, rows):
    """As workbooks of old Macs count them; and the first days of 1900, which has no 29 February."""
    openpyxl = pytest.importorskip("openpyxl", reason="openpyxl is not installed")
    for name, epoch in {"mac": dt.datetime(1904, 1, 1), "pc": dt.datetime(1899, 12, 30)}.items():
        book = openpyxl.Workbook()
        book.epoch = epoch
        book.active.append(["Film", "Day", "At"])
        for year in (1905, 2020):
            book.active.append(["x", dt.date(year, 3, 1), dt.datetime(year, 12, 31, 23, 59, 59)])
        book.save(home / f"{name}.xlsx")
        book.close()
    found = rows(make("spreadsheet", path=["mac.xlsx", "pc.xlsx"]))
    assert [r["day"] for r in found] == [dt.date(1905, 3, 1), dt.date(2020, 3, 1)] * 2
    assert [r["at"].isoformat() for r in found] == [
        "1905-12-31T23:59:59",
        "2020-12-31T23:59:59",
    ] * 2


def test_error_cells_are_counted_over_chunks_of_the_sheet(make, home, rows, keep):
    cells = [["a", "b"], *([f"text number {i} " * 4, "#N/A"] for i in range(20_000))]
    write(home / "a.xlsx", {"S": cells})
    assert (
        "20,000 error cells read as empty (B2, B3, B4, B5, B6)"
        in make("spreadsheet", path="a.xlsx").fetch(keep, None).notes[0]
    )


def test_several_workbooks_and_sheets_become_one_table(make, home, rows):
    write(
        home / "a.xlsx",
        {"2019": [["Film", "Cost"], ["Heat", 1]], "2020": [["Cost", "Film"], [2.5, "Ran"]]},
    )
    write(home / "b.xlsx", {"2019": [["Film", "Studio"], ["Alien", "Fox"]], "Notes": [["x"]]})
    found = rows(make("spreadsheet", path="*.xlsx", sheet="20*"))
    assert [(r["film"], r["cost"], r["studio"], r["_file"], r["_sheet"]) for r in found] == [
        ("Heat", 1.0, None, "a.xlsx", "2019"),
        ("Ran", 2.5, None, "a.xlsx", "2020"),
        ("Alien", None, "Fox", "b.xlsx", "2019"),
    ]


@pytest.mark.parametrize(
    ("sheet", "names"),
    [
        (0, ["A"]), (1, ["B"]), (-1, ["C"]), ("B", ["B"]), (["C", "A"], ["C", "A"]),
        ("all", ["A", "B", "C"]), ("[AB]", ["A", "B"]), (["A", 0], ["A"]),
    ],
)  # fmt: skip
def test_which_sheets(make, home, rows, sheet, names):
    write(home / "a.xlsx", {n: [["Film", "Cost"], ["Heat", 1]] for n in "ABC"})
    assert [r["_sheet"] for r in rows(make("spreadsheet", path="a.xlsx", sheet=sheet))] == names


@pytest.mark.parametrize(
    ("sheet", "message", "fix"),
    [
        ("Cost", "no sheet 'Cost'", "did you mean `Costs`"),
        (7, "no sheet 7", "Costs"),
        ("Z*", r"no sheet 'Z\*'", "sheets: Costs, Other"),
    ],
)
def test_a_sheet_that_is_not_there(make, home, rows, sheet, message, fix):
    write(home / "a.xlsx", {"Costs": [["a", "b"], [1, 2]], "Other": [["a"]]})
    with pytest.raises(InputError, match=message) as caught:
        rows(make("spreadsheet", path="a.xlsx", sheet=sheet))
    assert fix in caught.value.fix
    assert "a.xlsx" in caught.value.message


def test_a_header_given_and_rows_skipped(make, home, rows):
    cells = [["x", "y"], [1, 2], ["Film", "Cost"], ["Heat", 5]]
    write(home / "a.xlsx", {"S": cells})
    assert bare(rows(make("spreadsheet", path="a.xlsx", header=3))) == [{"film": "Heat", "cost": 5}]
    assert bare(rows(make("spreadsheet", path="a.xlsx", skip_rows=2))) == [
        {"film": "Heat", "cost": 5}
    ]
    with pytest.raises(InputError, match="no row 9 for a header"):
        rows(make("spreadsheet", path="a.xlsx", header=9))


def test_a_merged_header_names_all_its_columns(make, home, rows):
    write(
        home / "a.xlsx",
        {"S": [["Film", "Budget", None, None], ["Heat", 1, 2, "x"]]},
        merges=[("S", "B1:C1")],
    )
    assert bare(rows(make("spreadsheet", path="a.xlsx"))) == [
        {"film": "Heat", "budget": 1, "budget_2": 2, "column_d": "x"}
    ]


def test_columns_are_renamed(make, home, rows):
    write(home / "a.xlsx", {"S": [["Film", "Kosten ($)"], ["Heat", 1]]})
    port = make(
        "spreadsheet", path="a.xlsx", columns={"Kosten ($)": "cost"}, types={"cost": "DECIMAL(9,2)"}
    )
    assert str(bare(rows(port))[0]["cost"]) == "1.00"
    with pytest.raises(InputError, match=r"'Kosten' that `columns`") as caught:
        rows(make("spreadsheet", path="a.xlsx", columns={"Kosten": "cost"}))
    assert "did you mean `Kosten ($)`" in caught.value.fix
    with pytest.raises(InputError, match=r"'kost' that `types`"):
        rows(make("spreadsheet", path="a.xlsx", types={"kost": "DATE"}))


def test_a_cell_that_does_not_fit_its_type_is_named(make, home, rows):
    write(home / "a.xlsx", {"S": [["Film", "Cost"], ["Heat", 1], ["Ran", "much"]]})
    with pytest.raises(InputError) as caught:
        rows(make("spreadsheet", path="a.xlsx", types={"cost": "BIGINT"}))
    assert caught.value.message == "a.xlsx, sheet S, row 3, column `cost`: 'much' is not integer"


@pytest.mark.parametrize(
    ("totals", "kept"),
    [
        ("auto", ["Heat", "Total Recall", "Summer", "Sum of us"]),
        ("keep", ["Heat", "Total Recall", "Grand total:", "Total 2019", "Summer", "Sum of us"]),
        ({"skip": ["sum", "Heat"]}, ["Total Recall", "Grand total:", "Total 2019", "Summer"]),
    ],
)
def test_totals_rows(make, home, rows, totals, kept):
    cells = [
        ["Film", "Cost", "Studio"], ["Heat", 1, "W"], ["Total Recall", 2, "T"], ["Grand total:", 3, "all"],
        ["Total 2019", 3, None], ["Summer", 4, None], ["Sum of us", 1, "x"],
    ]  # fmt: skip
    write(home / "a.xlsx", {"S": cells})
    found = rows(make("spreadsheet", path="a.xlsx", totals=totals))
    assert [r["film"] for r in found] == kept


def test_a_table_that_is_all_text(make, home, rows):
    write(
        home / "a.xlsx",
        {"S": [["Report of 2019"], ["Film", "Studio"], ["Heat", "Warner"], ["Ran", "Toho"]]},
    )
    assert bare(rows(make("spreadsheet", path="a.xlsx"))) == [
        {"film": "Heat", "studio": "Warner"},
        {"film": "Ran", "studio": "Toho"},
    ]


def test_other_sheets_and_lock_files_are_passed_over(make, home, rows):
    write(home / "a.xlsx", {"S": [["Film", "Cost"], ["Heat", 1]]})
    (home / "~$a.xlsx").write_bytes(b"lock")
    assert len(rows(make("spreadsheet", path="*.xlsx"))) == 1


def test_a_workbook_with_another_kinds_suffix_is_read(make, home, rows):
    write(home / "a.xlsx", {"S": [["Film", "Cost"], ["Heat", 1]]})
    (home / "a.xlsx").rename(home / "a.xls")
    assert bare(rows(make("spreadsheet", path="a.xls"))) == [{"film": "Heat", "cost": 1}]


ODS = """<?xml version="1.0"?><office:document-content xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0"
xmlns:table="urn:oasis:names:tc:opendocument:xmlns:table:1.0" xmlns:text="urn:oasis:names:tc:opendocument:xmlns:text:1.0">
<office:body><office:spreadsheet><table:table table:name="Costs">
<table:table-row>{}</table:table-row><table:table-row>{}</table:table-row>
</table:table></office:spreadsheet></office:body></office:document-content>"""


def test_ods(make, home, rows):
    text = '<table:table-cell office:value-type="string"><text:p>{}</text:p></table:table-cell>'
    number = '<table:table-cell office:value-type="float" office:value="{0}"><text:p>{0}</text:p></table:table-cell>'
    day = '<table:table-cell office:value-type="date" office:date-value="2020-01-02"><text:p>x</text:p></table:table-cell>'
    content = ODS.format(
        "".join(map(text.format, ["Film", "Cost", "Day"])),
        text.format("Heat") + number.format(300) + day,
    )
    with zipfile.ZipFile(home / "a.ods", "w") as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        archive.writestr("META-INF/manifest.xml", "<manifest/>")
        archive.writestr("content.xml", content)
    assert bare(rows(make("spreadsheet", path="a.ods"))) == [
        {"film": "Heat", "cost": 300, "day": dt.date(2020, 1, 2)}
    ]


def truncated():
    sink = io.BytesIO()
    write(sink, {"S": [["Film", "Cost"], ["Heat", 1]]})
    return sink.getvalue()[:-300]


@pytest.mark.parametrize(
    ("content", "message", "fix"),
    [
        (b"", "is empty", "again"),
        (b"Film,Cost\nHeat,1\n", "not a spreadsheet: it starts with 'Film,Cost", "type: files"),
        (b"<html><table>", "not a spreadsheet", "HTML"),
        (b"PK\x03\x04 and then nothing", "cut off or damaged", "open it"),
        (truncated(), "cut off or damaged", "open it"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600, "cut off or damaged", "open it"),
        (
            b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + "EncryptedPackage".encode("utf-16-le"),
            "password",
            "without one",
        ),
    ],
)
def test_bytes_that_are_no_workbook(make, home, rows, content, message, fix):
    (home / "a.xlsx").write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        rows(make("spreadsheet", path="a.xlsx"))
    assert fix in caught.value.fix
    assert "a.xlsx" in caught.value.message


def test_a_zip_that_is_no_workbook(make, home, rows):
    with zipfile.ZipFile(home / "a.xlsx", "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(InputError, match=r"a\.xlsx"):
        rows(make("spreadsheet", path="a.xlsx"))


def test_a_sheet_whose_xml_is_broken(make, home, rows):
    write(home / "a.xlsx", {"S": [["Film", "Cost"], ["Heat", 1]]})
    edit(home / "a.xlsx", "xl/worksheets/sheet1.xml", lambda xml: xml[: len(xml) // 2])
    with pytest.raises(InputError, match=r"a\.xlsx, sheet S"):
        rows(make("spreadsheet", path="a.xlsx"))


def test_empty_sheets_and_sheets_without_a_header(make, home, rows):
    write(home / "a.xlsx", {"Empty": [], "Numbers": [[1, 2], [3, 4]], "Alone": [["Film", "Cost"]]})
    with pytest.raises(InputError, match="sheet Empty is empty"):
        rows(make("spreadsheet", path="a.xlsx"))
    with pytest.raises(InputError, match="looks like a header") as caught:
        rows(make("spreadsheet", path="a.xlsx", sheet="Numbers"))
    assert "header: N" in caught.value.fix
    assert rows(make("spreadsheet", path="a.xlsx", sheet="Alone", header=1)) == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"header": 0}, "header is 0"),
        ({"header": "first"}, "header is 'first'"),
        ({"totals": {"drop": []}}, "totals"),
        ({"sheet": True}, "sheet cannot be read"),
        ({"sheets": "x"}, "sheets"),
        ({"skip_rows": -1}, "skip_rows"),
        ({"columns": ["x"]}, "columns must be a mapping"),
        ({"types": {"a": "MONEY"}}, "MONEY"),
    ],
)
def test_settings_that_cannot_be_used(make, home, rows, settings, message):
    write(home / "a.xlsx", {"S": [["Film", "Cost"], ["Heat", 1]]})
    with pytest.raises(ConfigurationError, match=message):
        rows(make("spreadsheet", path="a.xlsx", **settings))


def test_what_a_contract_expects(make, home, rows, contract):
    write(
        home / "warner.xlsx",
        {
            "Costs": [
                ["Film", "Budget USD", "Day", "Code"],
                ["Heat", "6 M", "x", 7],
                [None, "7", "y", 8],
            ]
        },
    )
    expected = contract(film="string!", budget="number", day="date", code="string", note="string!")
    with pytest.raises(InputError) as caught:
        rows(make("spreadsheet", path="*.xlsx", contract=expected))
    text = caught.value.message
    assert (
        "expected column `budget` (number), came `budget_usd` (string); did you mean `budget_usd`?"
        in text
    )
    assert "1 of 2 rows have none, first in warner.xlsx, sheet Costs, row 3" in text
    assert "expected column `day` (date), came `day` (string)" in text
    assert "`note`" in text
    assert "`code`" not in text
    read = make("spreadsheet", path="*.xlsx", contract=contract(code="string"))
    assert [r["code"] for r in rows(read)] == ["7", "8"]


def test_many_rows_come_in_batches(make, home, keep, monkeypatch):
    monkeypatch.setattr("polyport.ports.input.spreadsheet.BATCH_ROWS", 100)
    write(home / "a.xlsx", {"S": [["id", "name"], *([i, "x"] for i in range(250))]})
    port = make("spreadsheet", path="a.xlsx")
    with port.read(port.fetch(keep, None)) as reader:
        assert [b.num_rows for b in reader] == [100, 100, 50]


def test_workbooks_too_large_to_hold_are_read_again(make, home, rows, monkeypatch):
    monkeypatch.setattr("polyport.ports.input.spreadsheet._CELLS_HELD", 0)
    write(home / "a.xlsx", {"S": MESSY})
    write(home / "b.xlsx", {"S": MESSY})
    assert len(rows(make("spreadsheet", path="*.xlsx"))) == 8


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (" Amount ", "amount"), ("BoxOffice", "box_office"), ("Box-Office (USD)", "box_office_usd"),
        ("2019", "n2019"), ("Année", "année"), ("%", ""), ("__x__", "x"), ("US Gross", "us_gross"),
    ],
)  # fmt: skip
def test_names_of_columns(text, name):
    assert snake(text) == name


@given(st.integers(0, 16_383))
def test_column_letters_are_those_of_a_spreadsheet(index):
    assert letters(index) == re.sub(r"\d", "", openpyxl.utils.get_column_letter(index + 1))


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(
        st.tuples(
            st.integers(-(10**12), 10**12),
            st.none() | st.dates(dt.date(1950, 1, 1), dt.date(2090, 1, 1)),
            st.none() | st.from_regex(r"[A-Za-z][A-Za-z ]{0,8}[a-z]", fullmatch=True),
            st.none() | st.booleans(),
            st.none() | st.integers(-(10**9), 10**9).map(lambda n: n / 100),
        ),
        min_size=1,
        max_size=8,
    )
)
def test_a_workbook_gives_back_what_was_written(make, home, rows, table):
    names = ["Id", "Day", "Name", "Flag", "Amount"]
    write(home / "h.xlsx", {"S": [names, *map(list, table)]})
    found = rows(make("spreadsheet", path="h.xlsx", totals="keep", header=1))
    assert [tuple(r[n.lower()] for n in names) for r in found] == table
    assert [r["_row"] for r in found] == list(range(2, len(table) + 2))
