"""The listener: a thread for each connection, none of which outlives it."""

from __future__ import annotations

import logging
import secrets
import select
import socket
import ssl
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from polyport.errors import ConfigurationError, PolyportError, RetiredError
from polyport.ports.output.sql import scram
from polyport.ports.output.sql.connection import Connection
from polyport.ports.output.sql.login import Doorkeeper, RefusedError, fatal
from polyport.ports.output.sql.messages import (
    CANCEL_REQUEST,
    GSS_REQUEST,
    SSL_REQUEST,
    STARTUP_LIMIT,
    ProtocolError,
    Said,
    error,
    message,
    startup,
)
from polyport.ports.output.sql.states import said
from polyport.ports.output.sql.transport import DIRECT_TLS, Transport

if TYPE_CHECKING:
    from collections.abc import Callable

    from polyport.ports.output import Endpoint
    from polyport.ports.output.sql.catalogue import Catalogue
    from polyport.ports.output.sql.doors import Doors

LOG = logging.getLogger("polyport.sql")
CONNECTIONS: Final = 200
"""Open at once."""
STRANGERS: Final = 100
"""Connections besides, of whom it is not known who they are."""
LOGIN_SECONDS: Final = 20.0
_WATCH_SECONDS: Final = 0.2
_VERSION_BYTES: Final = 4
_ALPN: Final = "postgresql"
_PROTOCOL: Final = 3 << 16
_GONE: Final = getattr(select, "POLLRDHUP", 0) | select.POLLHUP | select.POLLERR


@dataclass(slots=True)
class Server:
    """What listens: a `Listener`."""

    doors: Doors
    doorkeeper: Doorkeeper
    catalogue: Catalogue
    listening: socket.socket
    tls: ssl.SSLContext | None = None
    most: int = CONNECTIONS
    login_seconds: float = LOGIN_SECONDS
    _open: dict[Transport, threading.Thread] = field(default_factory=dict)
    _known: dict[int, Connection] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _ended: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    @classmethod
    def start(cls, doors: Doors, at: Endpoint, catalogue: Callable[[], Catalogue]) -> Server:
        """Begin to listen.

        Raises:
            ConfigurationError: The address or the certificate cannot be used.
        """
        tls = _tls(at)
        bound = scram.binding(at.certificate) if at.certificate else None
        keeper = Doorkeeper(at.identity, bound)
        listening = _listening(at)
        try:
            server = cls(doors, keeper, catalogue(), listening, tls)
        except BaseException:
            listening.close()
            raise
        server.run()
        return server

    @property
    def port(self) -> int:
        """The one that it is bound to."""
        number: int = self.listening.getsockname()[1]
        return number

    @property
    def note(self) -> str:
        """What its users should know of how it runs."""
        return self.catalogue.note

    def run(self) -> None:
        """Accept connections, and watch for clients that go, in threads."""
        for name, work in (("accept", self._accept), ("watch", self._watch)):
            thread = threading.Thread(target=work, name=f"sql-{name}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def close(self) -> None:
        """End every connection, and all that was started."""
        self._ended.set()
        with suppress(OSError):
            self.listening.shutdown(socket.SHUT_RDWR)
        self.listening.close()
        with self._lock:
            known, opened = list(self._known.values()), dict(self._open)
        for connection in known:
            connection.cancel(shutdown=True)
        for transport in opened:
            transport.shut()
        self.catalogue.close()  # before: connections may be waiting for it
        for thread in (*self._threads, *opened.values()):
            thread.join()

    def _accept(self) -> None:
        while not self._ended.is_set():
            try:
                connection, address = self.listening.accept()
            except OSError as problem:
                if self._ended.is_set():
                    return
                LOG.warning("a connection could not be accepted: %s", problem)
                time.sleep(0.1)  # there may be too many open files: others have to end
                continue
            self._begin(connection, str(address[0]))

    def _begin(self, connection: socket.socket, address: str) -> None:
        transport = Transport(connection)
        transport.deadline = time.monotonic() + self.login_seconds
        thread = threading.Thread(
            target=self._serve, args=(transport, address), name="sql-connection", daemon=True
        )
        with self._lock:
            full = len(self._open) >= self.most + STRANGERS
            if not full and not self._ended.is_set():
                self._open[transport] = thread
                thread.start()
                return
        transport.close()

    def _serve(self, transport: Transport, address: str) -> None:
        try:
            self._converse(transport, address)
        except RefusedError as refused:
            _last_words(transport, refused.said)
        except ProtocolError as problem:
            _last_words(transport, Said(problem.state, problem.message, severity="FATAL"))
        except (OSError, ValueError) as problem:  # the client went, or TLS failed
            LOG.debug("connection of %s ended: %s", address, problem)
        except Exception:
            LOG.exception("connection of %s", address)
            _last_words(transport, Said("XX000", "internal error", severity="FATAL"))
        finally:
            with self._lock:
                self._open.pop(transport, None)
            transport.close()

    def _converse(self, transport: Transport, address: str) -> None:
        parameters = self._opening(transport)
        if parameters is None:
            return
        login = self.doorkeeper.admit(transport, parameters, address)
        number = self._number()
        secret = secrets.token_bytes(4)
        try:
            connection = Connection(transport, login, self.doors, self.catalogue, (number, secret))
        except PolyportError as problem:
            raise RefusedError(_fatal(problem)) from problem
        with connection:
            with self._lock:
                full = len(self._known) >= self.most
                if not full:
                    self._known[number] = connection
            if full:
                raise fatal("53300", "sorry, too many clients already")
            try:
                transport.trust()
                connection.run()
            finally:
                with self._lock:
                    self._known.pop(number, None)

    def _number(self) -> int:
        with self._lock:
            while (number := secrets.randbelow(1 << 31)) in self._known:
                continue
            return number

    def _opening(self, transport: Transport) -> dict[str, str] | None:
        """The parameters of the startup message; None where the client wanted something else, and got it."""
        if self.tls and transport.first_byte() == DIRECT_TLS:
            transport.encrypt(self.tls)
            if (
                transport.protocol != _ALPN
            ):  # what is meant for another protocol is not taken for ours
                raise fatal(
                    "08P01",
                    "received direct SSL connection request without ALPN protocol negotiation extension",
                    f"ALPN {_ALPN!r}, as libpq sends it from version 17 on",
                )
        while True:
            size = int.from_bytes(transport.exactly(4), "big") - 4
            if not _VERSION_BYTES <= size <= STARTUP_LIMIT:
                raise ProtocolError("invalid length of startup packet")
            body = transport.exactly(size)
            version = int.from_bytes(body[:4], "big")
            if version == SSL_REQUEST and self.tls and not transport.encrypted:
                transport.socket.sendall(b"S")
                transport.encrypt(self.tls)
            elif version in (SSL_REQUEST, GSS_REQUEST):
                transport.socket.sendall(b"N")
            elif version == CANCEL_REQUEST:
                self._cancel(body[4:])
                return None
            else:
                return self._started(transport, version, body[4:])

    def _started(self, transport: Transport, version: int, body: bytes) -> dict[str, str]:
        if version >> 16 != _PROTOCOL >> 16:
            raise fatal(
                "0A000", f"unsupported frontend protocol {version >> 16}.{version & 0xFFFF}"
            )
        parameters = startup(body)
        extra = [name for name in parameters if name.startswith("_pq_.")]
        if version != _PROTOCOL or extra:
            told = len(extra).to_bytes(4, "big") + b"".join(n.encode() + b"\0" for n in extra)
            transport.send(message(b"v", (_PROTOCOL).to_bytes(4, "big") + told))
        return {n: v for n, v in parameters.items() if n not in extra}

    def _cancel(self, body: bytes) -> None:
        number, secret = int.from_bytes(body[:4], "big"), body[4:]
        with self._lock:
            connection = self._known.get(number)
        if connection is not None and secrets.compare_digest(connection.secret[1], secret):
            connection.cancel()

    def _watch(self) -> None:
        """Cancel what is computed for clients that have gone."""
        while not self._ended.wait(_WATCH_SECONDS):
            with self._lock:
                running = [c for c in self._known.values() if c.running]
            if not running:
                continue
            poll = select.poll()
            places: dict[int, Connection] = {}
            for connection in running:
                place = connection.transport.socket.fileno()
                if place >= 0:
                    places[place] = connection
                    poll.register(place, _GONE)
            for place, events in poll.poll(0):
                if events & _GONE:
                    places[place].cancel()


def _last_words(transport: Transport, words: Said) -> None:
    with suppress(OSError, ValueError):
        transport.socket.settimeout(1.0)
        transport.send(error(words))
        transport.flush()


def _fatal(problem: PolyportError) -> Said:
    found = said(problem)
    gone = found.message.startswith("database ") or isinstance(problem, RetiredError)
    state = "3D000" if gone else found.state
    return Said(state, found.message, found.hint, found.detail, severity="FATAL")


def _listening(at: Endpoint) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in at.host else socket.AF_INET
        return socket.create_server((at.host, at.port), family=family, backlog=128)
    except OSError as problem:
        raise ConfigurationError(
            f"the SQL port cannot listen at {at.host}:{at.port}: {problem.strerror or problem}",
            fix="another port, or end what listens there",
        ) from problem


def _tls(at: Endpoint) -> ssl.SSLContext | None:
    if at.certificate is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols([_ALPN])
    try:
        context.load_cert_chain(at.certificate, at.certificate_key)
    except (OSError, ssl.SSLError) as problem:
        raise ConfigurationError(
            f"the certificate {at.certificate.name} cannot be used: {problem}",
            where=str(at.certificate),
            fix="PEM files of the certificate with its chain, and of its private key",
        ) from problem
    return context
