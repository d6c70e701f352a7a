"""The actions: prepared statements, transactions, cancelling, and the options of a session."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pyarrow as pa

from polyport.errors import NotFoundError, PolyportError, QueryError
from polyport.ports.output.flight import messages as m
from polyport.ports.output.flight import types
from polyport.ports.output.flight.errors import NoUpdateError
from polyport.ports.output.flight.statements import Prepared, chosen, describe

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from polyport.ports.output.flight.calls import Caller, Options
    from polyport.ports.output.flight.state import State

CANCELLED = 1
CLOSED = 1
BAD_NAME, BAD_VALUE = 1, 2
CATALOG, SCHEMA = "catalog", "schema"
SNAPSHOT, PURPOSE = "polyport.snapshot", "polyport.purpose"


def _prepare(state: State, caller: Caller, body: bytes) -> bytes:
    asked = m.unwrap(body, m.ActionCreatePreparedStatementRequest)
    found = describe(state.talk(caller, asked.transaction_id), caller.principal.id, asked.query)
    kept = Prepared(asked.query, asked.transaction_id or b"", parameters=len(found.parameters))
    parameters = pa.schema(
        [pa.field(f"${n}", types.arrow(name)) for n, name in enumerate(found.parameters, 1)]
    )
    return m.wrap(
        m.ActionCreatePreparedStatementResult(
            prepared_statement_handle=state.prepared.keep(caller.principal, kept),
            dataset_schema=bytes(found.columns.serialize()),
            parameter_schema=bytes(parameters.serialize()),
        )
    )


def _close_prepared(state: State, caller: Caller, body: bytes) -> None:
    asked = m.unwrap(body, m.ActionClosePreparedStatementRequest)
    state.prepared.drop(caller.principal, asked.prepared_statement_handle)


def _begin(state: State, caller: Caller, body: bytes) -> bytes:
    m.unwrap(body, m.ActionBeginTransactionRequest)
    talk = state.talk(caller, None)
    try:
        talk.session.begin()
        talk.lasting = True
        handle = state.transactions.keep(caller.principal, talk)
    except PolyportError:
        talk.close()
        raise
    return m.wrap(m.ActionBeginTransactionResult(transaction_id=handle))


def _end(state: State, caller: Caller, body: bytes) -> None:
    """Nothing was changed, so that it is the same to commit, to roll back, and to do so twice."""
    asked = m.unwrap(body, m.ActionEndTransactionRequest)
    state.transactions.drop(caller.principal, asked.transaction_id)


def _cancel_query(state: State, caller: Caller, body: bytes) -> bytes:
    asked = m.unwrap(body, m.ActionCancelQueryRequest)
    _cancel(state, caller, m.FlightInfo.parse(asked.info))
    return m.wrap(m.ActionCancelQueryResult(result=CANCELLED))


def _cancel_info(state: State, caller: Caller, body: bytes) -> bytes:
    asked = m.CancelFlightInfoRequest.parse(body)
    _cancel(state, caller, asked.info or m.FlightInfo())
    return m.CancelFlightInfoResult(status=CANCELLED).encode()


def _cancel(state: State, caller: Caller, info: m.FlightInfo) -> None:
    tickets = [e.ticket.ticket for e in info.endpoint if e.ticket is not None]
    if not tickets:
        raise QueryError(
            "it is not said what to cancel", fix="send the FlightInfo of the statement"
        )
    for ticket in tickets:
        handle = m.unwrap(ticket, m.TicketStatementQuery).statement_handle
        statement = state.statements.get(caller.principal, handle)
        statement.cancel()
        if not statement.started:
            state.statements.drop(caller.principal, handle)


# Session options


def _set_options(state: State, caller: Caller, body: bytes) -> bytes:
    asked = m.SetSessionOptionsRequest.parse(body)
    options, errors = caller.options, []
    for option in asked.session_options:
        try:
            options = _with(state, caller, options, option)
        except _CannotError as error:
            bad = m.SessionError(value=error.args[0])
            errors.append(m.NamedError(key=option.key, value=bad))
    state.door.sessions.keep(caller.principal, options, caller.session)
    return m.SetSessionOptionsResult(errors=tuple(errors)).encode()


class _CannotError(Exception):
    """An option cannot be set: `BAD_NAME` or `BAD_VALUE`."""


def _with(state: State, caller: Caller, options: Options, option: m.SessionOption) -> Options:
    given = option.value or m.SessionOptionValue()
    text = given.string_value if given.int64_value is None else str(given.int64_value)
    if text is None and given != m.SessionOptionValue():
        raise _CannotError(BAD_VALUE)
    text = text or ""
    match option.key:
        case "polyport.snapshot":
            return _at(state, caller, replace(options, snapshot=text))
        case "polyport.purpose":
            return replace(options, purpose=text)
        case "schema":
            if text and state.majors.find(text) is None:
                raise _CannotError(BAD_VALUE)
            return replace(options, product=text)
        case "catalog":
            if text not in ("", state.mesh):
                raise _CannotError(BAD_VALUE)
            return options
    raise _CannotError(BAD_NAME)


def _at(state: State, caller: Caller, options: Options) -> Options:
    """`options`, where there is that snapshot of the product that they name."""
    product = options.product or state.majors.only
    if options.snapshot and product:
        context = chosen(state.majors, product)
        try:
            context.open(caller.principal, options.snapshot, purpose=options.purpose).close()
        except NotFoundError:
            raise _CannotError(BAD_VALUE) from None
    return options


def _get_options(state: State, caller: Caller, body: bytes) -> bytes:
    m.GetSessionOptionsRequest.parse(body)
    named = {
        CATALOG: state.mesh,
        SCHEMA: caller.product or state.majors.only,
        SNAPSHOT: caller.snapshot,
        PURPOSE: caller.purpose,
    }
    options = tuple(
        m.SessionOption(key=key, value=m.SessionOptionValue(string_value=value))
        for key, value in named.items()
    )
    return m.GetSessionOptionsResult(session_options=options).encode()


def _close_session(state: State, caller: Caller, body: bytes) -> bytes:
    m.CloseSessionRequest.parse(body)
    state.door.sessions.drop(caller.principal, caller.session)
    return m.CloseSessionResult(status=CLOSED).encode()


def _none(what: str) -> Callable[[State, Caller, bytes], None]:
    def refused(state: State, caller: Caller, body: bytes) -> None:  # noqa: ARG001
        raise NoUpdateError(f"there are no {what} here", fix="send SQL: one SELECT")

    return refused


ACTIONS: Mapping[str, tuple[Callable[[State, Caller, bytes], bytes | None], str]] = {
    "CreatePreparedStatement": (_prepare, "Prepare a SELECT"),
    "ClosePreparedStatement": (_close_prepared, "Forget a prepared statement"),
    "BeginTransaction": (_begin, "See one snapshot from now on"),
    "EndTransaction": (_end, "See what is current again"),
    "CancelQuery": (_cancel_query, "End a statement"),
    "CancelFlightInfo": (_cancel_info, "End a statement"),
    "SetSessionOptions": (_set_options, f"Set {CATALOG}, {SCHEMA}, {SNAPSHOT}, {PURPOSE}"),
    "GetSessionOptions": (_get_options, "Tell the options of the session"),
    "CloseSession": (_close_session, "Forget the options of the session"),
}
"""Name -> what does it, and what it does in words."""
REFUSED: Mapping[str, Callable[[State, Caller, bytes], None]] = {
    "CreatePreparedSubstraitPlan": _none("Substrait plans"),
    "BeginSavepoint": _none("savepoints"),
    "EndSavepoint": _none("savepoints"),
}


def act(state: State, caller: Caller, name: str, body: bytes) -> bytes | None:
    """Do what the action `name` asks; the answer, None where there is none to send.

    Raises:
        QueryError: There is no such action, or its message is not well formed.
        PolyportError: It cannot be done.
    """
    if name in REFUSED:
        REFUSED[name](state, caller, body)
    if name not in ACTIONS:
        raise NoUpdateError(f"no action {name[:80]!r}", fix=", ".join(ACTIONS))
    return ACTIONS[name][0](state, caller, body)


__all__ = ["ACTIONS", "act"]
