"""A catalogue session behind a TCP port, so that real clients can ask it; statements of no catalogue are refused."""

from __future__ import annotations

import socketserver
import struct
import threading
from contextlib import contextmanager, suppress

from polyport.descriptor.types import Property, Relationship, SchemaObject
from polyport.ports.output.sql.catalogue import Table
from polyport.ports.output.sql.catalogue.backend import error_response

FILMS = SchemaObject(
    "films",
    (
        Property("film_id", required=True, primary_key=True, description="Number of the film"),
        Property("title", required=True, description='It\'s called "this"'),
        Property("director", description="hidden from some"),
        Property("price"),
        Property("tags"),
        Property("released"),
    ),
    description="All films",
)
COSTS = SchemaObject(
    "costs",
    (Property("cost_id", primary_key=True), Property("film_id"), Property("amount")),
    relationships=(Relationship(("film_id",), "films", ("film_id",)),),
)
SEES = (
    Table(
        "movies",
        FILMS,
        {
            "film_id": "INTEGER",
            "title": "VARCHAR",
            "price": "DECIMAL(18,2)",
            "tags": "VARCHAR[]",
            "released": "TIMESTAMP WITH TIME ZONE",
        },
        "What films cost",
    ),
    Table("movies", COSTS, {"cost_id": "BIGINT", "film_id": "INTEGER", "amount": "DOUBLE"}),
)
"""What the user sees: not who directed."""


def rows(messages):
    """The rows in an answer, as text; an error is raised as `RuntimeError("SQLSTATE message")`."""
    found = []
    for kind, body in messages:
        if kind == b"E":
            said = {p[:1]: p[1:].decode() for p in body.split(b"\0") if p}
            raise RuntimeError(f"{said[b'C']} {said[b'M']}")
        if kind == b"D":
            at, row = 2, []
            for _ in range(struct.unpack_from("!h", body)[0]):
                (length,) = struct.unpack_from("!i", body, at)
                row.append(None if length < 0 else body[at + 4 : at + 4 + length].decode())
                at += 4 + max(length, 0)
            found.append(tuple(row))
    return found


class Relay:
    """`port` to connect to; `asked`: all statements, `strange`: those that were not for the catalogue."""

    def __init__(self, catalogue, sees=SEES):
        self.catalogue, self.sees = catalogue, sees
        self.asked, self.strange = [], []
        self.port = 0


@contextmanager
def relay(catalogue, sees=SEES):
    given = Relay(catalogue, sees)

    class Handler(socketserver.StreamRequestHandler):
        def handle(self):
            with suppress(ConnectionError):
                _Conversation(self, given).run()

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = False
        allow_reuse_address = True

    with Server(("127.0.0.1", 0), Handler) as server:
        given.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield given
        finally:
            server.shutdown()
            thread.join()


class _Conversation:
    def __init__(self, handler, given):
        self.given, self.inp, self.out = given, handler.rfile, handler.wfile
        self.state = b"I"

    def run(self):
        size, code = struct.unpack("!ii", self.inp.read(8))
        while code != 196608:
            self.inp.read(size - 8)
            if code == 80877102:
                return
            self.out.write(b"N")
            size, code = struct.unpack("!ii", self.inp.read(8))
        parts = self.inp.read(size - 8).split(b"\0")
        said = dict(zip(parts[::2], parts[1::2], strict=False))
        session = self.given.catalogue.open(
            said[b"database"].decode(), said[b"user"].decode(), self.given.sees
        )
        try:
            self.send(b"R", struct.pack("!i", 0))
            for name, value in session.parameters.items():
                self.send(b"S", f"{name}\0{value}\0".encode())
            self.send(b"K", struct.pack("!ii", 1, 1))
            self.send(b"Z", self.state)
            self.talk(session)
        finally:
            session.close()

    def talk(self, session):
        failed = False
        while head := self.inp.read(5):
            kind, body = head[:1], self.inp.read(struct.unpack("!i", head[1:])[0] - 4)
            if kind == b"X":
                return
            if kind == b"Q":
                for sql in split(body[:-1].decode()):
                    if self.one(session, sql):
                        break
                self.send(b"Z", self.state)
            elif kind == b"S":
                failed = False
                self.send(b"Z", self.state)
            elif kind != b"H" and not failed:
                failed = self.extended(session, kind, body)

    def extended(self, session, kind, body):
        if kind == b"P":
            self.noted(session, body.split(b"\0")[1].decode())
        return self.relayed(session.extended([(kind, body)]))

    def one(self, session, sql):
        word = sql.split()[0].lower()
        if word in {"savepoint", "release", "close", "deallocate"}:
            self.send(b"C", f"{word.upper()}\0".encode())
            return False
        if word in {"begin", "start", "commit", "rollback"}:
            self.state = b"T" if word in {"begin", "start"} else b"I"
            self.send(b"C", f"{word.upper()}\0".encode())
            return False
        if self.noted(session, sql):
            return self.relayed(session.simple(sql))
        self.send(*error_response("42601", "not for the catalogue"))
        return True

    def noted(self, session, sql):
        self.given.asked.append(sql)
        if not session.takes(sql):
            self.given.strange.append(sql)
        return session.takes(sql)

    def relayed(self, answers):
        failed = False
        for kind, body in answers:
            failed |= kind == b"E"
            self.send(kind, body)
        return failed

    def send(self, kind, body):
        self.out.write(kind + struct.pack("!i", len(body) + 4) + body)


def split(sql):
    """Statements apart; semicolons in quotes are none."""
    found, quote = [""], ""
    for c in sql:
        if c == ";" and not quote:
            found.append("")
            continue
        found[-1] += c
        if c == quote:
            quote = ""
        elif not quote and c in "'\"":
            quote = c
    return [s for s in found if s.strip()]
