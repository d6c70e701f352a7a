"""The demo's popularity service: a paged JSON API over HTTP, as an outside provider would run it.

    python examples/messflix/api/server.py --port 8401 --week 1

prints its address when it is ready, and serves until it is stopped.

* `GET /movies?limit=400&cursor=...`  a page of films, in order of release:
  `{"as_of": "2014-12-21", "total": ..., "movies": [...], "next": "..."}`; `next` is null on the last page, else
  the cursor of the page after. At most 500 a page.
* `GET /`  what there is.

`--week 1` knows the films released by Sunday 2014-12-21, `--week 2` those released a week later too. Nothing else
changes, and nothing is made up: the figures and dates are those in `movies.csv`.
"""

from __future__ import annotations

import argparse
import base64
import csv
import json
from datetime import date, timedelta
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

DATA = Path(__file__).with_name("movies.csv")
WEEK_1 = date(2014, 12, 21)
WEEKS = (1, 2)
LIMIT, MOST = 100, 500


class BadRequestError(Exception):
    """What the client asked for cannot be answered."""


def movies(as_of: date) -> list[dict[str, Any]]:
    """The films released by `as_of`, as the service shows them."""
    with DATA.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["released"] <= as_of.isoformat()]
    return [movie(row, as_of) for row in rows]


def movie(row: dict[str, str], as_of: date) -> dict[str, Any]:
    """One film."""
    return {
        "imdb_id": row["imdb_id"],
        "title": row["title"],
        "year": int(row["year"]),
        "released": row["released"],
        "runtime_min": int(row["runtime_min"]) if row["runtime_min"] else None,
        "genres": row["genres"].split(", ") if row["genres"] else [],
        "rating": {
            "tomatometer": int(row["tomatometer"]),
            "reviews": int(row["reviews"]),
            "average": float(row["average"]) if row["average"] else None,
        },
        "box_office_usd": float(row["box_office_usd"]) if row["box_office_usd"] else None,
        "as_of": as_of.isoformat(),
    }


def page(found: list[dict[str, Any]], as_of: date, query: dict[str, list[str]]) -> dict[str, Any]:
    """One page of `found`, and the cursor of the next.

    Raises:
        BadRequestError: The limit or the cursor is not one.
    """
    limit = number("limit", query.get("limit", [str(LIMIT)])[-1])
    if not 1 <= limit <= MOST:
        raise BadRequestError(f"limit is {limit}; it must be from 1 to {MOST}")
    start = position(query["cursor"][-1]) if "cursor" in query else 0
    after = start + limit
    return {
        "as_of": as_of.isoformat(),
        "total": len(found),
        "movies": found[start:after],
        "next": cursor(after) if after < len(found) else None,
    }


def number(name: str, text: str) -> int:
    """`text` as a number.

    Raises:
        BadRequestError: It is not one.
    """
    if not (text.isascii() and text.isdecimal()):
        raise BadRequestError(f"{name} is {text!r}, not a number")
    return int(text)


def cursor(at: int) -> str:
    """The cursor of the page that begins at row `at`."""
    return base64.urlsafe_b64encode(f"row:{at}".encode()).decode().rstrip("=")


def position(text: str) -> int:
    """The row at which the page of a cursor begins.

    Raises:
        BadRequestError: The service never gave that cursor.
    """
    try:
        found = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
    except ValueError:
        found = ""
    if not found.startswith("row:"):
        raise BadRequestError(f"cursor is {text!r}, which this service never gave")
    return number("cursor", found.removeprefix("row:"))


class Handler(BaseHTTPRequestHandler):
    """Answers GET."""

    protocol_version = "HTTP/1.1"

    def __init__(self, *args: Any, found: list[dict[str, Any]], as_of: date) -> None:
        self.found, self.as_of = found, as_of
        super().__init__(*args)

    def do_GET(self) -> None:
        """Answers with a page, with what there is, or with what is wrong."""
        address = urlsplit(self.path)
        try:
            match address.path:
                case "/":
                    self.answer(
                        {"movies": "/movies{?limit,cursor}", "as_of": self.as_of.isoformat()}
                    )
                case "/movies":
                    query = parse_qs(address.query, keep_blank_values=True)
                    self.answer(page(self.found, self.as_of, query))
                case _:
                    self.answer({"error": f"nothing at {address.path}"}, HTTPStatus.NOT_FOUND)
        except BadRequestError as error:
            self.answer({"error": str(error)}, HTTPStatus.BAD_REQUEST)

    def answer(self, body: dict[str, Any], status: HTTPStatus = HTTPStatus.OK) -> None:
        """Sends `body` as JSON."""
        content = json.dumps(body, ensure_ascii=False).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Says nothing: the demo's own words are on this terminal."""


def make_server(week: int = 1, port: int = 0) -> ThreadingHTTPServer:
    """A server bound to 127.0.0.1 that knows the films of `week`; port 0: any that is free.

    Call `serve_forever`, and from another thread `shutdown`; then `server_close`.
    """
    as_of = WEEK_1 + timedelta(weeks=week - 1)
    handler = partial(Handler, found=movies(as_of), as_of=as_of)
    return ThreadingHTTPServer(("127.0.0.1", port), handler)


def main() -> None:
    """Serves until it is stopped."""
    parser = argparse.ArgumentParser(description="The demo's popularity service.")
    parser.add_argument("--port", type=int, default=8401, help="0: any that is free (default 8401)")
    parser.add_argument("--week", type=int, choices=WEEKS, default=1, help="which state to serve")
    given = parser.parse_args()
    with make_server(given.week, given.port) as server:
        print(f"http://127.0.0.1:{server.server_port}", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            return


if __name__ == "__main__":
    main()
