"""The server: each call of Arrow Flight, and which messages of Flight SQL it may bring."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pyarrow import flight

from polyport.errors import QueryError
from polyport.ports.output.flight import actions, catalog, sql_info
from polyport.ports.output.flight import messages as m
from polyport.ports.output.flight.calls import Admitted, Doorkeeper, Handshake
from polyport.ports.output.flight.errors import NoUpdateError, telling
from polyport.ports.output.flight.statements import PARAMETERS, bound, describe, run, stream
from polyport.ports.output.flight.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from polyport.ports.output.flight.calls import Caller
    from polyport.ports.output.flight.protobuf import Message
    from polyport.ports.output.flight.state import State
    from polyport.ports.output.flight.statements import Row, Statement

DOOR = "door"
LONGEST = 1 << 20
"""Bytes of a command, a ticket or an action; of rows of parameters 16 times as many."""
_READS = (m.CommandStatementQuery, m.CommandPreparedStatementQuery)
_TOLD = (*catalog.COMMANDS, m.CommandGetSqlInfo)
_WRITES = (
    m.CommandStatementUpdate,
    m.CommandPreparedStatementUpdate,
    m.CommandStatementIngest,
    m.CommandStatementSubstraitPlan,
)


class FlightSqlServer(flight.FlightServerBase):  # type: ignore[misc]
    """Answers the calls; it serves from the moment that it is made."""

    def __init__(
        self, state: State, location: str, certificates: list[tuple[bytes, bytes]] | None = None
    ) -> None:
        self.state = state
        self.told = catalog.Catalog(state.mesh, state.majors.listed)
        self.watch = Watch([state.sweep])
        try:
            super().__init__(
                location,
                auth_handler=Handshake(),
                tls_certificates=certificates,
                middleware={DOOR: Doorkeeper(state.door)},
            )
        except BaseException:
            self.watch.close()
            raise

    def close(self) -> None:
        """End what runs, then the server."""
        self.state.close()
        self.shutdown()
        self.watch.close()
        self.state.close()  # what began while it ended

    # What is asked

    @telling
    def get_flight_info(
        self, context: flight.ServerCallContext, descriptor: flight.FlightDescriptor
    ) -> flight.FlightInfo:
        """Run a statement, or say where what is told of the products can be had."""
        caller, asked = _caller(context), _command(descriptor)
        if not isinstance(asked, _READS):
            return _info(self._schema(asked), descriptor, descriptor.command)
        statement = self._run(context, caller, asked)
        handle = self.state.statements.keep(caller.principal, statement)
        ticket = m.wrap(m.TicketStatementQuery(statement_handle=handle))
        return _info(statement.answer.reader.schema, descriptor, ticket)

    def _run(
        self,
        context: flight.ServerCallContext,
        caller: Caller,
        asked: m.CommandStatementQuery | m.CommandPreparedStatementQuery,
    ) -> Statement:
        sql, transaction, rows = self._text(caller, asked)
        talk = self.state.talk(caller, transaction)
        with self.watch.over(context, talk.session.cancel):
            return run(talk, caller.principal.id, sql, rows)

    def _text(
        self, caller: Caller, asked: m.CommandStatementQuery | m.CommandPreparedStatementQuery
    ) -> tuple[str, bytes | None, tuple[Row, ...]]:
        """A statement's text, its transaction, and the values of its parameters."""
        if isinstance(asked, m.CommandStatementQuery):
            return asked.query, asked.transaction_id, ((),)
        kept = self.state.prepared.get(caller.principal, asked.prepared_statement_handle)
        return kept.sql, kept.transaction, kept.rows

    @telling
    def get_schema(
        self, context: flight.ServerCallContext, descriptor: flight.FlightDescriptor
    ) -> flight.SchemaResult:
        """The columns of an answer; no statement is run for it."""
        caller, asked = _caller(context), _command(descriptor)
        if not isinstance(asked, _READS):
            return flight.SchemaResult(self._schema(asked))
        sql, transaction, _ = self._text(caller, asked)
        talk = self.state.talk(caller, transaction)
        with self.watch.over(context, talk.session.cancel):
            return flight.SchemaResult(describe(talk, caller.principal.id, sql).columns)

    def _schema(self, asked: Message) -> pa.Schema:
        if isinstance(asked, m.CommandGetSqlInfo):
            return sql_info.SCHEMA
        return catalog.schema(asked)

    @telling
    def do_get(
        self, context: flight.ServerCallContext, ticket: flight.Ticket
    ) -> flight.FlightDataStream:
        """The rows."""
        caller = _caller(context)
        asked = m.unwrap(_short(ticket.ticket), m.TicketStatementQuery, *_TOLD)
        if isinstance(asked, m.TicketStatementQuery):
            return self._rows(context, caller, asked.statement_handle)
        return flight.RecordBatchStream(catalog.table(self.told, caller, asked))

    def _rows(
        self, context: flight.ServerCallContext, caller: Caller, handle: bytes
    ) -> flight.FlightDataStream:
        statement = self.state.statements.get(caller.principal, handle)
        statement.start()
        number = self.watch.begin(context, statement.cancel)
        rows = stream(statement, partial(self._done, number, caller, handle))
        return flight.GeneratorStream(statement.answer.reader.schema, rows)

    def _done(self, number: int, caller: Caller, handle: bytes) -> None:
        self.watch.end(number)
        self.state.statements.drop(caller.principal, handle)

    # What is sent

    @telling
    def do_put(
        self,
        context: flight.ServerCallContext,
        descriptor: flight.FlightDescriptor,
        reader: flight.MetadataRecordBatchReader,
        writer: flight.FlightMetadataWriter,
    ) -> None:
        """Bind the parameters of a prepared statement. Nothing else can be put."""
        caller = _caller(context)
        asked = m.unwrap(
            _short(descriptor.command or b""), m.CommandPreparedStatementQuery, *_WRITES
        )
        if not isinstance(asked, m.CommandPreparedStatementQuery):
            raise NoUpdateError("nothing can be changed here", fix="send SQL: one SELECT")
        handle = asked.prepared_statement_handle
        kept = self.state.prepared.get(caller.principal, handle)
        rows = _parameters(reader, kept.parameters)
        self.state.prepared.keep(caller.principal, replace(kept, rows=rows), handle)
        done = m.DoPutPreparedStatementResult(prepared_statement_handle=handle)
        writer.write(pa.py_buffer(done.encode()))

    @telling
    def do_action(
        self, context: flight.ServerCallContext, action: flight.Action
    ) -> Iterator[flight.Result]:
        """Prepare, begin, end, cancel, and the session's options."""
        caller, body = _caller(context), _short(bytes(action.body))
        answer = actions.act(self.state, caller, action.type, body)
        return iter([] if answer is None else [flight.Result(pa.py_buffer(answer))])

    @telling
    def list_actions(self, context: flight.ServerCallContext) -> list[flight.ActionType]:
        """The actions that there are."""
        _caller(context)
        return [flight.ActionType(name, words) for name, (_, words) in actions.ACTIONS.items()]

    @telling
    def list_flights(self, *_: object) -> Iterator[flight.FlightInfo]:
        """None: what there is, is asked in Flight SQL."""
        raise NoUpdateError(
            "flights are not listed", fix="Flight SQL: GetTables; SELECT * FROM ..."
        )

    @telling
    def do_exchange(self, *_: object) -> None:
        """Nothing is exchanged."""
        raise NoUpdateError("nothing can be exchanged here", fix="send SQL: one SELECT")


def _caller(context: flight.ServerCallContext) -> Caller:
    admitted: Admitted = context.get_middleware(DOOR)
    return admitted.caller


def _command(descriptor: flight.FlightDescriptor) -> Any:
    if descriptor.command is None:
        raise QueryError("a path is no command of Flight SQL", fix="send SQL: one SELECT")
    asked = m.unwrap(_short(descriptor.command), *_READS, *_TOLD, *_WRITES)
    if isinstance(asked, _WRITES):
        raise NoUpdateError("nothing can be changed here", fix="send SQL: one SELECT")
    return asked


def _short(data: bytes) -> bytes:
    if len(data) > LONGEST:
        raise QueryError(f"{len(data)} bytes are more than {LONGEST}", fix="a shorter statement")
    return data


def _info(
    schema: pa.Schema, descriptor: flight.FlightDescriptor, ticket: bytes
) -> flight.FlightInfo:
    return flight.FlightInfo(
        schema, descriptor, [flight.FlightEndpoint(flight.Ticket(ticket), [])], -1, -1
    )


def _parameters(reader: flight.MetadataRecordBatchReader, wanted: int) -> tuple[Row, ...]:
    """The rows of parameters that `reader` brings.

    Raises:
        QueryError: There are none, too many, or not as many columns as the statement has parameters.
    """
    if len(reader.schema) != wanted:
        raise QueryError(f"{len(reader.schema)} parameters are sent, and {wanted} are wanted")
    batches: list[pa.RecordBatch] = []
    for chunk in reader:
        if chunk.data is not None:
            batches.append(chunk.data)
        rows, size = sum(b.num_rows for b in batches), sum(b.nbytes for b in batches)
        if rows > PARAMETERS or size > 16 * LONGEST:
            raise QueryError(
                f"more than {PARAMETERS} rows or {16 * LONGEST} bytes of parameters",
                fix="fewer at a time",
            )
    found = bound(batches)
    if not found:
        raise QueryError("no row of parameters is sent", fix="one row")
    return found
