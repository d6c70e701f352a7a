from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from polyport.descriptor.types import Contract, Port, Property, SchemaObject
from polyport.engine.duckdb import DuckDBEngine
from polyport.ports import load
from polyport.ports.input import InputContext
from polyport.testing.input_port import RawFolder


@pytest.fixture(scope="session")
def engine():
    with DuckDBEngine(threads=1) as made:
        yield made


@pytest.fixture
def keep(tmp_path):
    return RawFolder(tmp_path / "raw")


@pytest.fixture
def home(tmp_path):
    made = tmp_path / "home"
    made.mkdir()
    return made


@pytest.fixture
def make(home):
    """An input port called `films`: make("files", path="*.csv")."""

    def made(port_type, *, contract=None, open_product=None, secrets=None, **settings):
        spec = Port("films", port_type, settings=settings)
        context = InputContext(spec, home, contract, open_product, secrets or {})
        return load("input", port_type)(context)

    return made


@pytest.fixture
def rows(request, keep):
    """The rows that a port fetches and reads; or reads, from what was received."""

    def found(port, received=None):
        read = port.read(received or port.fetch(keep, None))
        if hasattr(read, "read_all"):
            with read:
                return read.read_all().to_pylist()
        engine = request.getfixturevalue("engine")
        with engine.query("FROM came", {"came": read}) as reader:
            return reader.read_all().to_pylist()

    return found


@pytest.fixture
def contract():
    """contract(title="string!", budget="number"): `!` means required."""

    def made(object_name="films", **columns):
        properties = tuple(
            Property(name, kind.rstrip("!"), required=kind.endswith("!"))
            for name, kind in columns.items()
        )
        objects = (SchemaObject(object_name, properties),)
        return Contract("film-source", "1.0.0", "Films", Path("films.odcs.yaml"), objects)

    return made


class Api:
    """A server for tests: `answer(request) -> (status, headers, body)`, and the requests that it got."""

    def __init__(self, answer):
        self.answer, self.asked = answer, []
        api = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                parts = urlsplit(self.path)
                query = {k: v[-1] for k, v in parse_qs(parts.query).items()}
                request = {
                    "path": parts.path,
                    "query": query,
                    "headers": self.headers,
                    "n": len(api.asked) + 1,
                }
                api.asked.append(request)
                status, headers, body = api.answer(request)
                content = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                headers = {
                    "Content-Type": "application/json",
                    "Content-Length": str(len(content)),
                    **headers,
                }
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)
                if int(headers["Content-Length"]) != len(content):
                    self.close_connection = True

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server.server_port}"

    def close(self):
        if self.thread.is_alive():
            self.server.shutdown()
            self.thread.join()
            self.server.server_close()


@pytest.fixture
def serve():
    """serve(answer) -> a running Api."""
    running = []

    def start(answer):
        running.append(Api(answer))
        return running[-1]

    yield start
    for api in running:
        api.close()
