"""Arrow Flight SQL: consumers' own SELECTs, answered in Arrow batches."""

from __future__ import annotations

import re
from shlex import quote as shell
from typing import TYPE_CHECKING, ClassVar, Self

from pyarrow import ArrowException

from polyport.access.identity import LOOPBACK
from polyport.errors import ConfigurationError, MissingExtraError
from polyport.expression import quote
from polyport.ports.output.majors import Majors, called

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from polyport.ports.output import Endpoint, OutputContext
    from polyport.ports.output.flight.server import FlightSqlServer

PRODUCT = "adbc.flight.sql.rpc.call_header.polyport-product"
"""How ADBC is told to send the header that chooses a product."""
KEY = "adbc.flight.sql.authorization_header"


class FlightPort:
    """The Flight SQL port of a product: an `OutputPort` that is `Listening`."""

    scheme: ClassVar[str] = "grpc"
    offset: ClassVar[int] = 33

    def __init__(self, context: OutputContext) -> None:
        self.context = context

    @classmethod
    def listen(cls, ports: Sequence[Self], at: Endpoint) -> FlightListener:
        """Begin to answer for `ports`, those of all products.

        Raises:
            ConfigurationError: The address or TLS cannot be used.
            MissingExtraError: This build of pyarrow has no Flight.
        """
        return FlightListener(_started(Majors.of([port.context for port in ports]), at))

    def client_line(self, base_url: str, dataset: str) -> str:
        """A command that reads the first rows of `dataset` with ADBC."""
        schema = called(self.context.product, self.context.spec)
        sql = f"SELECT * FROM {quote(schema)}.{quote(dataset)} LIMIT 3"
        address, key = _login(base_url)
        arguments = ", ".join(map(repr, (address, key) if key else (address,)))
        lines = (
            "import adbc_driver_flightsql.dbapi as flight",
            f"cursor = flight.connect({arguments}).cursor()",
            f"cursor.execute({sql!r})",
            "print(cursor.fetch_arrow_table())",
        )
        return f"python -c {_shell('; '.join(lines))}"

    def snippets(self, base_url: str, dataset: str) -> Mapping[str, str]:
        """ADBC gives a table of Arrow, or data frames."""
        opening, sql = self._opening(base_url), self._sql(dataset)
        asked = f"cursor.execute({sql!r})"
        return {
            "python": "\n".join([*opening, asked, "print(cursor.fetch_arrow_table())", *_CLOSING]),
            "pandas": "\n".join([*opening, asked, "print(cursor.fetch_df())", *_CLOSING]),
            "polars": "\n".join(
                [
                    "import polars",
                    *opening,
                    f"print(polars.read_database({sql!r}, connection))",
                    *_CLOSING,
                ]
            ),
            "duckdb": "\n".join(
                [
                    "import duckdb",
                    *opening,
                    asked,
                    "rows = cursor.fetch_record_batch()",
                    "duckdb.sql('FROM rows').show()",
                    *_CLOSING,
                ]
            ),
        }

    def _opening(self, base_url: str) -> list[str]:
        address, key = _login(base_url)
        options = {PRODUCT: called(self.context.product, self.context.spec), **key}
        return [
            "import adbc_driver_flightsql.dbapi as flight",
            f"connection = flight.connect({address!r}, {options!r}, autocommit=True)",
            "cursor = connection.cursor()",
        ]

    def _sql(self, dataset: str) -> str:
        return f"SELECT * FROM {quote(dataset)} LIMIT 3"


def _login(base_url: str) -> tuple[str, Mapping[str, str]]:
    """The address without its user, and ADBC's options for one: a key says who asks."""
    scheme, _, place = base_url.partition("://")
    user, _, host = place.rpartition("@")
    return f"{scheme}://{host}", {KEY: "Bearer KEY"} if user else {}


def _shell(text: str) -> str:
    """`text` as one word of a shell; in double quotes, which leave Python's quotes alone, where that is safe."""
    if "!" in text:  # history, where a person types
        return shell(text)
    return '"' + re.sub(r'([\\"$`])', r"\\\1", text) + '"'


_CLOSING = ("cursor.close()", "connection.close()")


class FlightListener:
    """A `Listener`."""

    def __init__(self, server: FlightSqlServer) -> None:
        self.port: int = server.port
        self.note = ""
        self._server = server

    def close(self) -> None:
        """End every statement, and the server."""
        self._server.close()


def _started(majors: Majors, at: Endpoint) -> FlightSqlServer:
    try:
        from polyport.ports.output.flight.server import FlightSqlServer  # noqa: PLC0415 - heavy
    except ImportError as error:
        raise MissingExtraError(
            f"this pyarrow has no Flight: {error}", fix="pip install pyarrow"
        ) from error
    from polyport.ports.output.flight.calls import Door  # noqa: PLC0415
    from polyport.ports.output.flight.state import State  # noqa: PLC0415

    if at.identity is None and at.host not in LOOPBACK:
        raise ConfigurationError(
            f"on {at.host!r} others can reach it, and nobody can log in", fix="listen on 127.0.0.1"
        )
    certificates = _certificates(at)
    host = at.host.strip("[]")
    named = f"[{host}]" if ":" in host else host
    location = f"{'grpc+tls' if certificates else 'grpc'}://{named}:{at.port}"
    try:
        return FlightSqlServer(
            State(at.mesh, majors, Door(at.identity, majors)), location, certificates
        )
    except (OSError, ArrowException) as error:
        raise ConfigurationError(
            f"{named}:{at.port} cannot be used for Flight: {_said(error)}",
            fix="another port, an address of this machine, and a certificate with its key",
        ) from error


def _said(error: Exception) -> str:
    """The first words of what gRPC says."""
    return str(error).partition(". Detail")[0].splitlines()[0][:200]


def _certificates(at: Endpoint) -> list[tuple[bytes, bytes]] | None:
    if at.certificate is None:
        return None
    try:
        chain = at.certificate.read_bytes()
        key = (at.certificate_key or at.certificate).read_bytes()
    except OSError as error:
        raise ConfigurationError(f"TLS cannot be set up: {error.strerror}") from error
    return [(chain, key)]
