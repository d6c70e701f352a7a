"""Bad files, bad data and bad sources: the build says what and where, and nobody who reads notices."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import openpyxl
import pytest

from polyport.testing.output_port import ROWS

FILES = {
    "settings": "polyport.yaml",
    "product": "dataproduct.odps.yaml",
    "contract": "contracts/films.odcs.yaml",
}


@pytest.mark.parametrize("name", FILES.values(), ids=FILES)
@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("a: [1, 2\nb: 3\n", "PP002"),
        ("a: b: c\n", "PP002"),
        ("inputs:\n\tsheet: 1\n", "PP003"),
        (b"name: caf\xe9\n", "PP"),
        (b"\x00\x01\x02", "PP"),
        ("", "PP"),
        ("- just\n- a list\n", "PP"),
    ],
    ids=["bracket", "colons", "tab", "latin-1", "binary", "empty", "list"],
)
def test_malformed_yaml(served, polyport, name, text, code):
    good = (served.home / name).read_bytes()
    served.write(name, text)
    checked = polyport("check", served.home)
    if (checked.code, name, text) == (0, "polyport.yaml", ""):
        return  # every setting is optional
    ended = polyport("build", served.home)
    assert ended.code in (2, 3)
    assert f"error[{code}" in ended.err
    assert name in ended.err
    assert "Traceback" not in ended.err
    served.unharmed()
    served.write(name, good)
    assert "Nothing changed" in polyport("build", served.home).err


def test_a_wrong_encoding(served):
    served.write(
        "inputs/films.csv", "id,title,released,studio,cost\n1,Amélie,,Fox,1\n".encode("cp1252")
    )
    served.refuses(3, "PP310", "films.csv", "encoding")
    served.recovers()


def test_a_column_gone(served):
    served.input("1,Alien,1979-05-25,11.50", header="id,title,released,cost")
    served.refuses(3, "PP320", "films.sql", "studio")
    served.recovers()


def test_a_column_renamed_gets_a_hint(served):
    served.input("1,Alien,1979-05-25,Fox,11.50", header="id,title,released,studios,cost")
    served.refuses(3, "PP320", "films.sql", "studios")


def test_a_column_retyped(served):
    served.input(*ROWS[:2], "3,Heat,1995-12-15,Fox,12 EUR")
    served.refuses(3, "PP320", "films.sql", "12 EUR")
    served.recovers()


def test_a_date_that_is_none(served):
    served.input(*ROWS[:2], "3,Heat,1995-13-45,Fox,12")
    served.refuses(3, "PP320", "films.sql", "1995-13-45")


def test_no_file_at_all(served):
    (served.home / "inputs/films.csv").unlink()
    served.refuses(3, "PP310", "inputs/*.csv")
    served.recovers()


def test_a_bad_row_is_refused_kept_and_reported(served, polyport):
    served.input(*ROWS, "1,Alien again,2000-01-01,Fox,3.00")
    said = served.refuses(3, "PP330", "id is unique")
    assert "1" in said
    asked = polyport("quality", served.home, "--json")
    assert asked.code == 3
    report = json.loads(asked.out)
    (failing,) = [r for r in report["results"] if r["status"] == "fail"]
    assert failing["rows_failing"] == 1
    assert report["snapshot"] == ""
    (run, *_) = json.loads(polyport("history", served.home, "--runs", "--json").out)
    assert (run["outcome"], run["snapshot"]) == ("refused", "")
    logs = served.home / f".polyport/logs/films/{run['id']}"
    kept = (
        "\n".join(p.read_text() for p in logs.rglob("*") if p.is_file())
        if logs.is_dir()
        else "\n".join(
            p.read_text()
            for p in (served.home / ".polyport/logs/films").iterdir()
            if run["id"] in p.name
        )
    )
    assert "id is unique" in kept
    served.recovers()
    assert json.loads(polyport("quality", served.home, "--json").out)["snapshot"]


# Spreadsheets


@pytest.fixture
def sheets(served):
    served.edit(
        "polyport.yaml",
        "{type: files, path: inputs/*.csv}",
        "{type: spreadsheet, path: inputs/*.xlsx}",
    )
    served.edit("transform/films.sql", "released::DATE AS released", "NULL::DATE AS released")
    return served


def workbook(served, *rows):
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    path = served.home / "inputs/films.xlsx"
    book.save(path)
    book.close()
    return path


HEADER = ("id", "title", "studio", "cost")


def test_a_workbook_cut_off(sheets, polyport):
    path = workbook(sheets, HEADER, *((n, f"Film {n}", "Fox", n) for n in range(500)))
    whole = path.read_bytes()
    for size in (0, 100, len(whole) // 2, len(whole) - 10):
        path.write_bytes(whole[:size])
        sheets.refuses(3, "PP310", "films.xlsx")
    path.write_bytes(whole)
    assert "Published snapshot 2" in polyport("build", sheets.home).err


@pytest.mark.parametrize("rows", [[], [HEADER]], ids=["empty", "header"])
def test_a_workbook_without_rows_never_takes_rows_away_unsaid(sheets, polyport, rows):
    workbook(sheets, *rows)
    ended = polyport("build", sheets.home)
    if not rows:
        assert ended.code == 3
        assert "films.xlsx" in ended.err
        sheets.unharmed()
        return
    assert "films.xlsx" in ended.err


def test_a_workbook_with_a_text_in_a_number(sheets):
    workbook(sheets, HEADER, (1, "Alien", "Fox", 11.5), (2, "Dune", "Fox", "n/a yet"))
    sheets.refuses(3, "PP320", "n/a yet")


# APIs


PAGE = {
    "films": [{"id": n, "title": f"Film {n}", "studio": "Fox", "cost": n} for n in (1, 2)],
    "next": "b",
}


@contextmanager
def api(*answers):
    """A server that gives these (status, body) one after the other, then the last again."""
    waiting = list(answers)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            status, body = waiting.pop(0) if len(waiting) > 1 else waiting[0]
            self.send_response(status)
            self.send_header("Content-Length", str(len(body) + 50 * (status == 299)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def as_json(value):
    return json.dumps(value).encode()


@pytest.mark.parametrize(
    ("answers", "says"),
    [
        ([(200, as_json(PAGE)), (500, b"boom")], "500"),
        ([(200, as_json(PAGE)), (404, b"gone")], "404"),
        ([(200, as_json(PAGE)), (200, b"<html>Login</html>")], "<html>"),
        ([(200, as_json(PAGE)), (200, as_json(PAGE)[:40])], "page 2"),
        ([(200, as_json(PAGE)), (200, b'{"error": "quota"}')], "films"),
        ([(200, as_json(PAGE)), (200, b"\xff\xfe\x00")], "page 2"),
        ([(200, as_json(PAGE)), (299, as_json({"films": []}))], "page 2"),
        ([(200, as_json(PAGE)), (200, as_json(PAGE))], "page"),
        ([(200, b"")], "page 1"),
    ],
    ids=[
        "error",
        "gone",
        "html",
        "truncated",
        "no records",
        "binary",
        "cut off",
        "a loop",
        "nothing",
    ],
)
def test_an_api_that_fails_half_way_or_answers_garbage(served, answers, says):
    with api(*answers) as url:
        settings = (
            f"{{type: http, url: '{url}/films', records: $.films, retries: 0, "
            "page: {by: cursor, cursor: $.next, param: cursor}}"
        )
        served.edit("polyport.yaml", "{type: files, path: inputs/*.csv}", settings)
        served.edit("transform/films.sql", "released::DATE AS released", "NULL::DATE AS released")
        served.refuses(3, "PP310", says)


def test_an_api_that_is_down(served):
    with api((200, b"")) as url:
        pass
    settings = f"{{type: http, url: '{url}/films', records: $.films, retries: 0}}"
    served.edit("polyport.yaml", "{type: files, path: inputs/*.csv}", settings)
    served.refuses(3, "PP310", url.removeprefix("http://"))
