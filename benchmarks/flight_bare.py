"""The least that Flight SQL costs: DuckDB behind pyarrow's own server, with no walls, policy, metering or cancelling.

`python -m benchmarks.flight_bare PARQUET PORT` answers each statement with the same rows, until it is ended.
"""

from __future__ import annotations

import sys

import duckdb
import pyarrow as pa
from pyarrow import flight

BATCH_ROWS = 32_768
INFO = b"GetSqlInfo"
"""In the command by which ADBC asks who it talks with."""


class Bare(flight.FlightServerBase):
    """Gives the rows of `files` that `benchmarks.flight` asks for, and an empty answer of the schema `info` besides."""

    def __init__(self, location: str, files: str, info: pa.Schema) -> None:
        self.engine = duckdb.connect()
        self.sql, self.info = f"SELECT * FROM '{files}' WHERE gross >= 0", info
        super().__init__(location)

    def get_flight_info(
        self, _: flight.ServerCallContext, asked: flight.FlightDescriptor
    ) -> flight.FlightInfo:
        """Where the rows are: here."""
        told = INFO in asked.command
        schema = self.info if told else self.engine.sql(self.sql).limit(0).to_arrow_table().schema
        ticket = flight.Ticket(INFO if told else b"rows")
        return flight.FlightInfo(schema, asked, [flight.FlightEndpoint(ticket, [])], -1, -1)

    def do_get(
        self, _: flight.ServerCallContext, ticket: flight.Ticket
    ) -> flight.RecordBatchStream:
        """The rows."""
        if ticket.ticket == INFO:
            return flight.RecordBatchStream(self.info.empty_table())
        return flight.RecordBatchStream(self.engine.sql(self.sql).to_arrow_reader(BATCH_ROWS))


if __name__ == "__main__":
    from polyport.ports.output.flight.sql_info import SCHEMA

    Bare(f"grpc://127.0.0.1:{sys.argv[2]}", sys.argv[1], SCHEMA).serve()
