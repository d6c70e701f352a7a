"""The fixed parts of a workbook: content types, relationships, styles, properties, and the frame of a sheet."""

from __future__ import annotations

import re
from datetime import UTC
from typing import TYPE_CHECKING, NamedTuple
from xml.sax.saxutils import escape

from polyport.ports.formats.xlsx_cells import HEADER, MAX_SCALE

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from datetime import datetime

__all__ = ["HEADER", "Written", "documents", "letters", "sheet_head", "sheet_name", "sheet_tail"]

_XML = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_SHEET_ML = "application/vnd.openxmlformats-officedocument.spreadsheetml"
_NAME_LENGTH = 31
_FORBIDDEN = re.compile(r"[\[\]:*?/\\\x00-\x1f\ufffe\uffff]")


class Written(NamedTuple):
    """A sheet as it has been written."""

    name: str
    rows: int
    """Without the header."""
    columns: int


def letters(index: int) -> str:
    """The letters of a column: 0 is A, 26 is AA."""
    found = ""
    index += 1
    while index:
        index, rest = divmod(index - 1, 26)
        found = chr(65 + rest) + found
    return found


def sheet_name(name: str, taken: Collection[str]) -> str:
    """`name` as a workbook admits it: at most 31 characters, none of them reserved, and not `taken` (case-folded)."""
    base = _FORBIDDEN.sub("_", name).strip("'") or "Sheet"
    if base.casefold() == "history":
        base += "_"
    found, number = base[:_NAME_LENGTH], 1
    while found.casefold() in taken:
        number += 1
        suffix = f" ({number})"
        found = base[: _NAME_LENGTH - len(suffix)] + suffix
    return found


def sheet_part(number: int) -> str:
    """The name of the part that holds the sheet `number`, from 1."""
    return f"xl/worksheets/sheet{number}.xml"


def sheet_head(widths: Sequence[int], *, selected: bool) -> str:
    """A sheet up to its first row; the header row stays in sight."""
    columns = "".join(
        f'<col min="{at}" max="{at}" width="{width}" customWidth="1"/>'
        for at, width in enumerate(widths, 1)
    )
    return (
        f'{_XML}<worksheet xmlns="{_MAIN}"><sheetViews>'
        f'<sheetView workbookViewId="0"{" tabSelected=" + chr(34) + "1" + chr(34) if selected else ""}>'
        '<pane ySplit="1" topLeftCell="A2" activePane="bottomLeft" state="frozen"/></sheetView></sheetViews>'
        f'<sheetFormatPr defaultRowHeight="15"/><cols>{columns}</cols><sheetData>'
    )


def sheet_tail(rows: int, columns: int) -> str:
    """A sheet from its last row on: a filter over the whole table."""
    return f'</sheetData><autoFilter ref="A1:{letters(columns - 1)}{rows + 1}"/></worksheet>'


def documents(sheets: Sequence[Written], created: datetime | None) -> Iterator[tuple[str, str]]:
    """Name and content of every part that is not a sheet."""
    yield "[Content_Types].xml", _content_types(len(sheets))
    yield (
        "_rels/.rels",
        _relationships(
            [
                (f"{_OFFICE}/officeDocument", "xl/workbook.xml"),
                (f"{_PACKAGE}/relationships/metadata/core-properties", "docProps/core.xml"),
            ]
        ),
    )
    yield "docProps/core.xml", _core(created)
    yield "xl/workbook.xml", _workbook(sheets)
    targets = [(f"{_OFFICE}/worksheet", sheet_part(n)[3:]) for n in range(1, len(sheets) + 1)]
    styles = (f"{_OFFICE}/styles", "styles.xml")
    yield "xl/_rels/workbook.xml.rels", _relationships([*targets, styles])
    yield "xl/styles.xml", _styles()


def _content_types(sheets: int) -> str:
    names = {
        "/xl/workbook.xml": f"{_SHEET_ML}.sheet.main+xml",
        **{f"/{sheet_part(n)}": f"{_SHEET_ML}.worksheet+xml" for n in range(1, sheets + 1)},
        "/xl/styles.xml": f"{_SHEET_ML}.styles+xml",
        "/docProps/core.xml": "application/vnd.openxmlformats-package.core-properties+xml",
    }
    overrides = "".join(
        f'<Override PartName="{name}" ContentType="{kind}"/>' for name, kind in names.items()
    )
    return (
        f'{_XML}<Types xmlns="{_PACKAGE}/content-types"><Default Extension="rels" '
        'ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        f'<Default Extension="xml" ContentType="application/xml"/>{overrides}</Types>'
    )


def _relationships(targets: Sequence[tuple[str, str]]) -> str:
    items = "".join(
        f'<Relationship Id="rId{at}" Type="{kind}" Target="{target}"/>'
        for at, (kind, target) in enumerate(targets, 1)
    )
    return f'{_XML}<Relationships xmlns="{_PACKAGE}/relationships">{items}</Relationships>'


def _core(created: datetime | None) -> str:
    when = ""
    if created is not None:
        stamp = created.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        when = f'<dcterms:created xsi:type="dcterms:W3CDTF">{stamp}</dcterms:created>'
    return (
        f'{_XML}<cp:coreProperties xmlns:cp="{_PACKAGE}/metadata/core-properties" '
        'xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:dcterms="http://purl.org/dc/terms/" '
        'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">'
        f"<dc:creator>Polyport</dc:creator>{when}</cp:coreProperties>"
    )


def _workbook(sheets: Sequence[Written]) -> str:
    listed = "".join(
        f'<sheet name="{_attribute(sheet.name)}" sheetId="{at}" r:id="rId{at}"/>'
        for at, sheet in enumerate(sheets, 1)
    )
    filters = "".join(
        f'<definedName name="_xlnm._FilterDatabase" localSheetId="{at}" hidden="1">'
        f"{_area(sheet)}</definedName>"
        for at, sheet in enumerate(sheets)
    )
    return (
        f'{_XML}<workbook xmlns="{_MAIN}" xmlns:r="{_OFFICE}"><bookViews><workbookView/></bookViews>'
        f"<sheets>{listed}</sheets><definedNames>{filters}</definedNames></workbook>"
    )


def _area(sheet: Written) -> str:
    name = sheet.name.replace("'", "''")
    return escape(f"'{name}'!$A$1:${letters(sheet.columns - 1)}${sheet.rows + 1}")


def _attribute(value: str) -> str:
    return escape(value, {'"': "&quot;"})


_FIRST_OWN_FORMAT = 164


def _styles() -> str:
    formats = [
        "yyyy\\-mm\\-dd",
        "yyyy\\-mm\\-dd\\ hh:mm:ss",
        "yyyy\\-mm\\-dd\\ hh:mm:ss.000",
        "hh:mm:ss",
        "[h]:mm:ss",
        # LibreOffice's own: without it, it shows 1 and 0
        '"TRUE";"TRUE";"FALSE"',
        *("0" + "." * bool(scale) + "0" * scale for scale in range(MAX_SCALE + 1)),
    ]
    listed = "".join(
        f'<numFmt numFmtId="{at}" formatCode="{_attribute(code)}"/>'
        for at, code in enumerate(formats, _FIRST_OWN_FORMAT)
    )
    own = [
        f'<xf numFmtId="{at}" fontId="0" fillId="0" borderId="0" xfId="0" applyNumberFormat="1"/>'
        for at in range(_FIRST_OWN_FORMAT, _FIRST_OWN_FORMAT + len(formats))
    ]
    cell_formats = [
        '<xf numFmtId="0" fontId="0" fillId="0" borderId="0" xfId="0"/>',
        '<xf numFmtId="0" fontId="1" fillId="0" borderId="0" xfId="0" applyFont="1"/>',
        '<xf numFmtId="1" fontId="0" fillId="0" borderId="0" xfId="0" applyNumberFormat="1"/>',
        *own,
    ]
    font = '<sz val="11"/><name val="Calibri"/><family val="2"/>'
    return (
        f'{_XML}<styleSheet xmlns="{_MAIN}"><numFmts count="{len(formats)}">{listed}</numFmts>'
        f'<fonts count="2"><font>{font}</font><font><b/>{font}</font></fonts>'
        '<fills count="2"><fill><patternFill patternType="none"/></fill>'
        '<fill><patternFill patternType="gray125"/></fill></fills>'
        '<borders count="1"><border><left/><right/><top/><bottom/><diagonal/></border></borders>'
        '<cellStyleXfs count="1"><xf numFmtId="0" fontId="0" fillId="0" borderId="0"/></cellStyleXfs>'
        f'<cellXfs count="{len(cell_formats)}">{"".join(cell_formats)}</cellXfs>'
        '<cellStyles count="1"><cellStyle name="Normal" xfId="0" builtinId="0"/></cellStyles></styleSheet>'
    )
