"""What each command does, but for the messages that it is answered with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from polyport.ports.output.sql import commands as asked
from polyport.ports.output.sql import parameters
from polyport.ports.output.sql.decode import from_text
from polyport.ports.output.sql.login import SETTINGS
from polyport.ports.output.sql.messages import Said
from polyport.ports.output.sql.portal import Portal, Rows
from polyport.ports.output.sql.relaying import NO_VALUES, Found, Question
from polyport.ports.output.sql.states import StateError
from polyport.ports.output.sql.transactions import FAILED, IDLE, bounded

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from polyport.ports.output.sql.conversation import Conversation
    from polyport.ports.output.sql.portal import Prepared


def perform(
    held: Conversation, prepared: Prepared, values: Sequence[Any] = (), raw: bytes = NO_VALUES
) -> Portal:
    """Do what a statement asks; the portal has its rows, or what its end is told with.

    `raw`: the values as they came, for the catalogue.

    Raises:
        PolyportError: It cannot be done.
    """
    held.allow(prepared)
    portal = Portal(prepared, values, raw=raw)
    if prepared.statement is not None:
        _PERFORM[type(prepared.command)](held, prepared.command, portal)
    return portal


def _select(held: Conversation, _: asked.Select, portal: Portal) -> None:
    portal.rows = Rows(held.session.query(portal.prepared.query, portal.values))


def _copy(held: Conversation, said: asked.Copy, portal: Portal) -> None:
    portal.rows = Rows(held.session.query(said.query, portal.values))
    portal.copy = said


def _transaction(held: Conversation, said: asked.Transaction, portal: Portal) -> None:
    match said.action:
        case "begin":
            if held.block.status == IDLE:
                held.session.begin()
                held.block.begin()
            else:
                _warn(held, "25001", "there is already a transaction in progress")
            portal.tag = "BEGIN"
        case "commit" | "rollback":
            wrong = said.action == "rollback" or held.block.status == FAILED
            portal.tag = "ROLLBACK" if wrong else "COMMIT"
            if held.block.status == IDLE:
                _warn(held, "25P01", "there is no transaction in progress")
            else:
                held.end(kept=not wrong)
        case _:
            portal.tag = held.block.savepoint(said)


def _warn(held: Conversation, state: str, words: str) -> None:
    held.notices.append(Said(state, words, severity="WARNING"))


def _setting(held: Conversation, said: asked.Setting, portal: Portal) -> None:
    name = said.name.removeprefix("polyport.")
    if name not in SETTINGS:
        known = ", ".join(f"polyport.{each}" for each in SETTINGS)
        raise StateError("42704", f'unrecognized configuration parameter "{said.name}"', fix=known)
    portal.tag = said.action.upper()
    if said.action != "show":
        default = held.login.settings.get(name, "")
        held.set(name, said.value if said.action == "set" else default)


def _declare(held: Conversation, said: asked.Declare, portal: Portal) -> None:
    if held.block.status == IDLE and not said.hold:
        raise StateError(
            "25P01",
            "DECLARE CURSOR can only be used in transaction blocks",
            fix="BEGIN before; or WITH HOLD",
        )
    if said.name in held.portals:
        raise StateError("42P03", f'cursor "{said.name}" already exists')
    bounded(held.portals)
    made = Portal(portal.prepared, formats=(1,) if said.binary else (), hold=said.hold)
    made.fresh = held.block.status != IDLE
    if held.relayed.takes(said.query):
        question = Question(held.relayed, said.query, portal.prepared.oids, portal.raw)
        made.found = Found(question, held.told.append)
        made.found.columns(made.formats)
    else:
        made.rows = Rows(held.session.query(said.query, portal.values))
    held.portals[said.name] = made
    portal.tag = "DECLARE CURSOR"


def _close(held: Conversation, said: asked.Close, portal: Portal) -> None:
    if said.name and said.name not in held.portals:
        raise StateError("34000", f'cursor "{said.name}" does not exist')
    for name in [said.name] if said.name else list(held.portals):
        held.portals.pop(name).close()
    portal.tag = "CLOSE CURSOR" if said.name else "CLOSE CURSOR ALL"


def _fetch(held: Conversation, said: asked.Fetch, _: Portal) -> None:
    """See that there are rows; they are taken as they are answered."""
    named = held.portals.get(said.name)
    over_catalogue = None if named is None else named.found
    taken = (over_catalogue or held.cursor(said.name)).taken
    if said.backward or said.passed(taken) < 0:
        raise StateError(
            "55000", "cursor can only scan forward", fix="a cursor streams: FETCH FORWARD n"
        )


def _prepare(held: Conversation, said: asked.Prepare, portal: Portal) -> None:
    oids = tuple(parameters.oid(name) for name in said.types)
    held.keep(said.name, held.parse(said.query, oids))
    portal.tag = "PREPARE"


def _execute(held: Conversation, said: asked.Execute, portal: Portal) -> None:
    prepared = held.statement(said.name)
    values: list[Any] = []
    if said.values:
        with_types = held.session.query(f"SELECT {said.values}")
        values = [column[0].as_py() for column in with_types.reader.read_all().columns]
    oids = held.oids(prepared)
    if len(values) != len(oids):
        raise StateError(
            "42601",
            f'wrong number of parameters for prepared statement "{said.name}"',
            fix=f"it has {len(oids)}",
        )
    if held.relays(prepared):
        raise StateError(
            "0A000",
            f'"{said.name}" asks the catalogue, which EXECUTE does not',
            fix="ask it directly, or prepare it by the protocol instead of PREPARE",
        )
    known = [
        from_text(v, o) if isinstance(v, str) else v for v, o in zip(values, oids, strict=True)
    ]
    portal.prepared, portal.values = prepared, known
    _PERFORM[type(prepared.command)](held, prepared.command, portal)


def _deallocate(held: Conversation, said: asked.Deallocate, portal: Portal) -> None:
    if said.name:
        held.statement(said.name)
        del held.prepared[said.name]
    else:
        held.prepared.clear()
    portal.tag = "DEALLOCATE" if said.name else "DEALLOCATE ALL"


def _discard(held: Conversation, said: asked.Discard, portal: Portal) -> None:
    if said.what == "all":
        if held.block.status != IDLE:
            raise StateError("25001", "DISCARD ALL cannot run inside a transaction block")
        for name in list(held.portals):
            held.portals.pop(name).close()
        held.prepared.clear()
        held.reset()
        held.told += held.relayed.simple("DISCARD ALL")
    portal.tag = f"DISCARD {said.what.upper()}"


def _ignored(_: Conversation, said: asked.Ignored, portal: Portal) -> None:
    portal.tag = said.tag


def _write(_: Conversation, said: asked.Write, __: Portal) -> None:
    if said.verb == "EXPLAIN":
        raise StateError(
            "0A000", "EXPLAIN is not answered: plans are the engine's own", fix="SELECT"
        )
    raise StateError(
        "25006",
        f"cannot execute {said.verb}: a data product is read-only",
        fix="SELECT, or COPY ... TO STDOUT",
    )


_PERFORM: Final[dict[type, Callable[[Conversation, Any, Portal], None]]] = {
    asked.Select: _select,
    asked.Copy: _copy,
    asked.Transaction: _transaction,
    asked.Setting: _setting,
    asked.Declare: _declare,
    asked.Close: _close,
    asked.Fetch: _fetch,
    asked.Prepare: _prepare,
    asked.Execute: _execute,
    asked.Deallocate: _deallocate,
    asked.Discard: _discard,
    asked.Ignored: _ignored,
    asked.Write: _write,
}
