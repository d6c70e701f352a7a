# ruff: noqa: RUF009 - `wire` is `dataclasses.field`
"""The messages of Arrow Flight and Flight SQL that the port speaks, with the specification's names and numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from polyport.errors import QueryError
from polyport.ports.output.flight.protobuf import Message, wire

PREFIX = "type.googleapis.com/arrow.flight.protocol.sql."
M = TypeVar("M", bound=Message)


@dataclass(frozen=True)
class Any(Message):
    """`google.protobuf.Any`: a message with its name."""

    type_url: str = wire(1, "string")
    value: bytes = wire(2, "bytes")


def wrap(message: Message) -> bytes:
    """`message` with its name."""
    return Any(type_url=PREFIX + type(message).__name__, value=message.encode()).encode()


def unwrap(data: bytes, *known: type[M]) -> M:
    """The message that `data` names and holds.

    Raises:
        QueryError: It is not well formed, or none of `known`.
    """
    found = Any.parse(data)
    name = found.type_url.rpartition("/")[2].rpartition(".")[2]
    for each in known:
        if found.type_url == PREFIX + each.__name__:
            return each.parse(found.value)
    raise QueryError(
        f"{name[:80]!r} is not what can be asked here", fix=", ".join(k.__name__ for k in known)
    )


# Statements


@dataclass(frozen=True)
class CommandStatementQuery(Message):
    """One SELECT."""

    query: str = wire(1, "string")
    transaction_id: bytes | None = wire(2, "bytes", optional=True)


@dataclass(frozen=True)
class TicketStatementQuery(Message):
    """Where the rows of a statement are."""

    statement_handle: bytes = wire(1, "bytes")


@dataclass(frozen=True)
class CommandStatementUpdate(Message):
    """A statement that would change something."""

    query: str = wire(1, "string")
    transaction_id: bytes | None = wire(2, "bytes", optional=True)


@dataclass(frozen=True)
class CommandStatementIngest(Message):
    """Rows to be written; what it says of them is not read."""


@dataclass(frozen=True)
class CommandStatementSubstraitPlan(Message):
    """A plan in Substrait; it is not read."""


@dataclass(frozen=True)
class ActionCreatePreparedStatementRequest(Message):
    """A SELECT with parameters."""

    query: str = wire(1, "string")
    transaction_id: bytes | None = wire(2, "bytes", optional=True)


@dataclass(frozen=True)
class ActionCreatePreparedStatementResult(Message):
    """What it gives and takes, as schemas of Arrow."""

    prepared_statement_handle: bytes = wire(1, "bytes")
    dataset_schema: bytes = wire(2, "bytes")
    parameter_schema: bytes = wire(3, "bytes")


@dataclass(frozen=True)
class ActionClosePreparedStatementRequest(Message):
    """It is needed no longer."""

    prepared_statement_handle: bytes = wire(1, "bytes")


@dataclass(frozen=True)
class CommandPreparedStatementQuery(Message):
    """Bind parameters (`do_put`), or run it."""

    prepared_statement_handle: bytes = wire(1, "bytes")


@dataclass(frozen=True)
class CommandPreparedStatementUpdate(Message):
    """Run it for what it changes."""

    prepared_statement_handle: bytes = wire(1, "bytes")


@dataclass(frozen=True)
class DoPutPreparedStatementResult(Message):
    """The handle to go on with."""

    prepared_statement_handle: bytes | None = wire(1, "bytes", optional=True)


# Transactions


@dataclass(frozen=True)
class ActionBeginTransactionRequest(Message):
    """From now on, one snapshot."""


@dataclass(frozen=True)
class ActionBeginTransactionResult(Message):
    """Its handle."""

    transaction_id: bytes = wire(1, "bytes")


@dataclass(frozen=True)
class ActionEndTransactionRequest(Message):
    """1: commit, 2: roll back; the same, for nothing was changed."""

    transaction_id: bytes = wire(1, "bytes")
    action: int = wire(2, "int32")


# What there is


@dataclass(frozen=True)
class CommandGetCatalogs(Message):
    """The mesh."""


@dataclass(frozen=True)
class CommandGetDbSchemas(Message):
    """The products."""

    catalog: str | None = wire(1, "string", optional=True)
    db_schema_filter_pattern: str | None = wire(2, "string", optional=True)


@dataclass(frozen=True)
class CommandGetTables(Message):
    """The datasets."""

    catalog: str | None = wire(1, "string", optional=True)
    db_schema_filter_pattern: str | None = wire(2, "string", optional=True)
    table_name_filter_pattern: str | None = wire(3, "string", optional=True)
    table_types: tuple[str, ...] = wire(4, "string", repeated=True)
    include_schema: bool = wire(5, "bool")


@dataclass(frozen=True)
class CommandGetTableTypes(Message):
    """`TABLE`."""


@dataclass(frozen=True)
class _OfTable(Message):
    catalog: str | None = wire(1, "string", optional=True)
    db_schema: str | None = wire(2, "string", optional=True)
    table: str = wire(3, "string")


@dataclass(frozen=True)
class CommandGetPrimaryKeys(_OfTable):
    """A dataset's key."""


@dataclass(frozen=True)
class CommandGetExportedKeys(_OfTable):
    """What refers to a dataset."""


@dataclass(frozen=True)
class CommandGetImportedKeys(_OfTable):
    """What a dataset refers to."""


@dataclass(frozen=True)
class CommandGetCrossReference(Message):
    """What one dataset refers to in another."""

    pk_catalog: str | None = wire(1, "string", optional=True)
    pk_db_schema: str | None = wire(2, "string", optional=True)
    pk_table: str = wire(3, "string")
    fk_catalog: str | None = wire(4, "string", optional=True)
    fk_db_schema: str | None = wire(5, "string", optional=True)
    fk_table: str = wire(6, "string")


@dataclass(frozen=True)
class CommandGetXdbcTypeInfo(Message):
    """The types of columns."""

    data_type: int | None = wire(1, "int32", optional=True)


@dataclass(frozen=True)
class CommandGetSqlInfo(Message):
    """What the server can do."""

    info: tuple[int, ...] = wire(1, "uint32", repeated=True)


# Cancelling; these of Arrow Flight are sent without their name


@dataclass(frozen=True)
class Ticket(Message):
    """What `do_get` is asked with."""

    ticket: bytes = wire(1, "bytes")


@dataclass(frozen=True)
class FlightEndpoint(Message):
    """One part of an answer."""

    ticket: Ticket | None = wire(1, Ticket)


@dataclass(frozen=True)
class FlightInfo(Message):
    """What `get_flight_info` gave; only what says which answer it was."""

    endpoint: tuple[FlightEndpoint, ...] = wire(3, FlightEndpoint, repeated=True)


@dataclass(frozen=True)
class CancelFlightInfoRequest(Message):
    """End this."""

    info: FlightInfo | None = wire(1, FlightInfo)


@dataclass(frozen=True)
class CancelFlightInfoResult(Message):
    """1: it has ended."""

    status: int = wire(1, "int32")


@dataclass(frozen=True)
class ActionCancelQueryRequest(Message):
    """End this; as clients before Arrow 13 say it."""

    info: bytes = wire(1, "bytes")


@dataclass(frozen=True)
class ActionCancelQueryResult(Message):
    """1: it has ended."""

    result: int = wire(1, "int32")


# Session options


@dataclass(frozen=True)
class StringListValue(Message):
    """Several texts."""

    values: tuple[str, ...] = wire(1, "string", repeated=True)


@dataclass(frozen=True)
class SessionOptionValue(Message):
    """One of these; none: the option is unset."""

    string_value: str | None = wire(1, "string", optional=True)
    bool_value: bool | None = wire(2, "bool", optional=True)
    int64_value: int | None = wire(3, "sfixed64", optional=True)
    double_value: float | None = wire(4, "double", optional=True)
    string_list_value: StringListValue | None = wire(5, StringListValue)


@dataclass(frozen=True)
class SessionOption(Message):
    """An entry of the map of options."""

    key: str = wire(1, "string")
    value: SessionOptionValue | None = wire(2, SessionOptionValue)


@dataclass(frozen=True)
class SetSessionOptionsRequest(Message):
    """Options by name."""

    session_options: tuple[SessionOption, ...] = wire(1, SessionOption, repeated=True)


@dataclass(frozen=True)
class SessionError(Message):
    """1: there is no such option; 2: it cannot have that value; 3: it could not be set."""

    value: int = wire(1, "int32")


@dataclass(frozen=True)
class NamedError(Message):
    """An entry of the map of errors."""

    key: str = wire(1, "string")
    value: SessionError | None = wire(2, SessionError)


@dataclass(frozen=True)
class SetSessionOptionsResult(Message):
    """What could not be set."""

    errors: tuple[NamedError, ...] = wire(1, NamedError, repeated=True)


@dataclass(frozen=True)
class GetSessionOptionsRequest(Message):
    """All, please."""


@dataclass(frozen=True)
class GetSessionOptionsResult(Message):
    """Options by name."""

    session_options: tuple[SessionOption, ...] = wire(1, SessionOption, repeated=True)


@dataclass(frozen=True)
class CloseSessionRequest(Message):
    """Forget the options, and end what is open."""


@dataclass(frozen=True)
class CloseSessionResult(Message):
    """1: closed."""

    status: int = wire(1, "int32")
