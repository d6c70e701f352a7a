"""Opening a workbook and choosing its sheets."""

from __future__ import annotations

import re
import zipfile
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import python_calamine as calamine

from polyport.errors import ConfigurationError, InputError
from polyport.ports.input._settings import listed, suggest
from polyport.ports.input._sheet import Layout, Odd, Sheet, lay_out
from polyport.ports.input._source import CHUNK

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_ZIP, _OLE = b"PK\x03\x04", b"\xd0\xcf\x11\xe0"
_ENCRYPTED = "EncryptedPackage".encode("utf-16-le")
_ERROR_CELL = re.compile(rb'<c\s[^>]*?\bt="e"[^>]*>')
_NO_VALUE = re.compile(
    rb'<c\s(?![^>]*\bt="str")[^>]*>(?:<f\b[^>]*/>|<f\b[^>]*>[^<]*</f>)(?:<v\s*/>|<v>\s*</v>)?</c>'
)
"""A formula that nobody has calculated yet. One whose value is the empty text has t="str"."""
_REFERENCE = re.compile(rb'\br="([A-Z]+[0-9]+)"')


def sheets(path: Path, label: str, layout: Layout) -> Iterator[Sheet]:
    """The chosen sheets of the workbook at `path`, laid out.

    Raises:
        InputError: It is no workbook, cut off, locked by a password, or has no such sheet.
    """
    book = _open(path, label, layout.where)
    with book:
        names = book.sheet_names
        if not names:
            raise InputError(f"{label} has no sheets", where=layout.where)
        odd = _OddCells(path)
        for name in _chosen(names, label, layout):
            try:
                sheet = book.get_sheet_by_name(name)
            except calamine.CalamineError as error:
                raise _damaged(f"{label}, sheet {name}", error, layout.where) from error
            yield lay_out(sheet, label, layout, odd.of(name))


def _open(path: Path, label: str, where: str) -> calamine.CalamineWorkbook:
    size = path.stat().st_size
    if not size:
        raise InputError(f"{label} is empty (0 bytes)", where=where, fix="deliver the file again")
    with path.open("rb") as stream:
        start = stream.read(CHUNK)
    locked = InputError(
        f"{label} is locked by a password", where=where, fix="save it without one, and deliver it"
    )
    if not start.startswith((_ZIP, _OLE)):
        raise InputError(
            f"{label} is not a spreadsheet: it starts with {start[:20].decode(errors='replace')!r}",
            where=where,
            fix=_other_kind(start),
        )
    if start.startswith(_OLE) and _ENCRYPTED in start:
        raise locked
    try:  # the kind is told from the content: a workbook with the wrong suffix is still one
        with path.open("rb") as stream:
            return calamine.CalamineWorkbook.from_filelike(stream)
    except calamine.PasswordError as error:
        raise locked from error
    except (calamine.CalamineError, OSError) as error:
        raise _damaged(label, error, where) from error


def _other_kind(start: bytes) -> str:
    if start.lstrip()[:1] == b"<":
        return "it is HTML or XML with a spreadsheet's name: open it and save it as .xlsx"
    return "if it is CSV, use an input port of `type: files`"


def _damaged(label: str, error: Exception, where: str) -> InputError:
    said = str(error).splitlines()[0] if str(error) else type(error).__name__
    return InputError(
        f"{label} is cut off or damaged: {said}",
        where=where,
        fix="open it, save it again as .xlsx, and deliver it",
    )


def _chosen(names: list[str], label: str, layout: Layout) -> list[str]:
    asked = layout.sheet if isinstance(layout.sheet, list) else [layout.sheet]
    found = [name for one in asked for name in _matching(one, names, label, layout.where)]
    return list(dict.fromkeys(found))


def _matching(asked: Any, names: list[str], label: str, where: str) -> list[str]:
    if isinstance(asked, int) and not isinstance(asked, bool):
        if not -len(names) <= asked < len(names):
            raise InputError(
                f"{label} has no sheet {asked}: it has {len(names)}, counted from 0",
                where=where,
                fix=f"sheets: {listed(names)}",
            )
        return [names[asked]]
    if not isinstance(asked, str):
        raise ConfigurationError(
            "sheet cannot be read", where=where, fix="a name, a number from 0, a pattern, or a list"
        )
    if asked in names:
        return [asked]
    found = names if asked == "all" else [n for n in names if fnmatchcase(n, asked)]
    if not found:
        raise InputError(f"{label} has no sheet {asked!r}", where=where, fix=_near(asked, names))
    return found


def _near(asked: str, names: list[str]) -> str:
    hint = suggest(asked, names)
    return (
        f"{hint} sheets: {listed(names)}" if hint.startswith("did") else f"sheets: {listed(names)}"
    )


class _OddCells:
    """Where an .xlsx has cells that calamine gives as empty and that are not.

    For .xls, .xlsb and .ods nothing is known: such cells are null there without being counted.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.parts = _sheet_parts(path) if zipfile.is_zipfile(path) else {}

    def of(self, name: str) -> Odd:
        """Those of a sheet."""
        found = Odd()
        part = self.parts.get(name)
        if part is None:
            return found
        held = b""
        with zipfile.ZipFile(self.path) as archive, archive.open(part) as stream:
            while chunk := stream.read(CHUNK):
                text = held + chunk
                cut = text.rfind(b"<c ")
                cut = cut if cut >= 0 else len(text)
                held = text[cut:]
                _count(text[:cut], found)
        _count(held, found)
        return found


def _count(text: bytes, found: Odd) -> None:
    """Add the odd cells in a piece of a sheet that ends between cells."""
    for pattern, counted in ((_ERROR_CELL, found.errors), (_NO_VALUE, found.uncalculated)):
        for match in pattern.finditer(text):
            reference = _REFERENCE.search(match[0])
            counted.add(reference[1].decode() if reference else "")


def _sheet_parts(path: Path) -> dict[str, str]:
    """Sheet name -> its part in an .xlsx archive; empty for other kinds."""
    relation = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"
    with zipfile.ZipFile(path) as archive:
        held = set(archive.namelist())
        if not {"xl/workbook.xml", "xl/_rels/workbook.xml.rels"} <= held:
            return {}
        book = ET.fromstring(archive.read("xl/workbook.xml"))  # noqa: S314 - expat limits entities
        links = ET.fromstring(archive.read("xl/_rels/workbook.xml.rels"))  # noqa: S314
    targets = {link.get("Id"): str(link.get("Target")) for link in links}
    found = {}
    for sheet in (e for e in book.iter() if e.tag.endswith("}sheet")):
        target = targets.get(sheet.get(relation), "")
        part = target.lstrip("/") if target.startswith("/") else f"xl/{target}"
        if part in held:
            found[str(sheet.get("name"))] = part
    return found
