"""The extended protocol: statements that are parsed, bound to values, described and run, message by message."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from polyport.ports.output.sql import answering
from polyport.ports.output.sql import commands as asked
from polyport.ports.output.sql.commands import ALL
from polyport.ports.output.sql.decode import value
from polyport.ports.output.sql.messages import ProtocolError, complete, message
from polyport.ports.output.sql.performing import perform
from polyport.ports.output.sql.portal import Portal, described, spread
from polyport.ports.output.sql.relaying import NO_VALUES, Found, Question, RelayedError, packed
from polyport.ports.output.sql.states import StateError
from polyport.ports.output.sql.transactions import IDLE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from polyport.ports.output.sql.catalogue import Message
    from polyport.ports.output.sql.connection import Connection
    from polyport.ports.output.sql.messages import Body
    from polyport.ports.output.sql.portal import Prepared


def parse(client: Connection, body: Body) -> None:
    """Parse."""
    held = client.held
    name, sql, oids = body.text(), body.text(), body.oids()
    body.end()
    client.asking = sql, 0
    prepared = held.parse(sql, oids)
    _asking(client, prepared)
    held.allow(prepared)
    if not name:
        held.prepared.pop("", None)
    prepared.relayed = held.relays(prepared)
    if prepared.relayed and not _relayed(client, prepared, _question(client, prepared).parsed()):
        return
    held.keep(name, prepared)
    client.transport.send(message(b"1"))


def _asking(client: Connection, prepared: Prepared) -> None:
    """From here on errors are of `prepared`."""
    if prepared.statement is not None:
        client.asking = prepared.statement.sql, prepared.statement.start


def _question(
    client: Connection, prepared: Prepared, values: bytes = NO_VALUES, formats: bytes = b""
) -> Question:
    sql = prepared.statement.sql if prepared.statement else ""
    return Question(client.held.relayed, sql, prepared.oids, values, formats)


def _relayed(
    client: Connection, prepared: Prepared, answers: Iterable[Message], *, but: Sequence[bytes] = ()
) -> bool:
    """Pass on what the catalogue answers, except messages of the types `but`; whether it did not refuse."""
    try:
        wanted = (told for told in answers if told[0] not in but)
        client.relay_all(wanted, moved=prepared.statement.start if prepared.statement else 0)
    except RelayedError:
        client.skipping = True
        return False
    return True


def bind(client: Connection, body: Body) -> None:
    """Bind: a portal of a statement and its values."""
    held = client.held
    name, prepared = body.text(), held.statement(body.text())
    if name:
        if name in held.portals:
            raise StateError("42P03", f'cursor "{name}" already exists')
    elif old := held.portals.pop("", None):
        old.close()
    _asking(client, prepared)
    if prepared.relayed:
        held.allow(prepared)
        _bind_relayed(client, name, prepared, body)
        return
    forms, raw, results = body.int16s(), body.values(), body.int16s()
    body.end()
    held.allow(prepared)
    values = _values(held.oids(prepared), forms, raw)
    held.portals[name] = Portal(prepared, values, results, raw=packed(forms, raw))
    client.transport.send(message(b"2"))


def _bind_relayed(client: Connection, name: str, prepared: Prepared, body: Body) -> None:
    """The catalogue looks at the values, and tells of the columns; it keeps no portal."""
    question = _question(client, prepared, body.rest())
    if prepared.statement is not None:
        question = replace(question, sql=client.held.asked_of_catalogue(prepared.statement))
    found = Found(question, client.held.told.append)

    def answers() -> Iterator[Message]:
        for told in question.bound():
            if told[0] in (b"T", b"n"):
                found.shown = told
            else:
                yield told

    if _relayed(client, prepared, answers()):
        client.held.portals[name] = Portal(prepared, found=found)
        client.transport.send(message(b"2"))


def _values(oids: Sequence[int], forms: Sequence[int], raw: Sequence[bytes | None]) -> list[Any]:
    if len(raw) != len(oids):
        raise StateError(
            "08P01",
            f"bind message supplies {len(raw)} parameters, but the statement requires {len(oids)}",
        )
    if len(forms) not in (0, 1, len(raw)):
        raise StateError("08P01", f"bind message has {len(forms)} parameter formats")
    spreads = forms if len(forms) == len(raw) else (forms[0] if forms else 0,) * len(raw)
    return [value(v, oid, form) for v, oid, form in zip(raw, oids, spreads, strict=True)]


def _portal(client: Connection, name: str) -> Portal:
    found = client.held.portals.get(name)
    if found is None:
        raise StateError("34000", f'portal "{name}" does not exist')
    _asking(client, found.prepared)
    return found


def describe(client: Connection, body: Body) -> None:
    """Describe of a statement or a portal."""
    kind, name = body.take(1), body.text()
    body.end()
    if kind == b"S":
        _describe_statement(client, client.held.statement(name))
    elif kind == b"P":
        _describe_portal(client, _portal(client, name))
    else:
        raise ProtocolError(f"invalid DESCRIBE message subtype {kind[0]}")


def _describe_statement(client: Connection, prepared: Prepared) -> None:
    _asking(client, prepared)
    if prepared.relayed:
        _relayed(client, prepared, _question(client, prepared).described())
        return
    oids = client.held.oids(prepared)
    told = len(oids).to_bytes(2, "big") + b"".join(o.to_bytes(4, "big") for o in oids)
    cursor = _of_catalogue(client, prepared)
    shown = None if cursor else client.held.describe(prepared)
    client.transport.send(message(b"t", told))
    if cursor:
        client.transport.send(message(*cursor.columns(())))
    else:
        _columns(client, shown, ())


def _of_catalogue(client: Connection, prepared: Prepared) -> Found | None:
    """The rows of the cursor over the catalogue that a FETCH is of."""
    given = prepared.command
    if not isinstance(given, asked.Fetch) or given.move or given.name not in client.held.portals:
        return None
    return client.held.portals[given.name].found


def _describe_portal(client: Connection, portal: Portal) -> None:
    if portal.prepared.relayed and portal.found is not None:
        client.transport.send(message(*portal.found.shown))
        return
    cursor = portal.found or _of_catalogue(client, portal.prepared)
    if cursor is not None:
        client.transport.send(message(*cursor.columns(portal.formats)))
        return
    if portal.rows is None and isinstance(portal.prepared.command, asked.Select):
        with (
            client.deadline()
        ):  # its rows are asked for next: to describe them before would be to ask twice
            _perform(client, portal)
    if portal.rows is not None:
        _columns(client, None if portal.copy else portal.rows.columns, portal.formats)
        return
    _columns(client, client.held.describe(portal.prepared), portal.formats)


def _columns(client: Connection, shown: Any, formats: Sequence[int]) -> None:
    if shown is None:
        client.transport.send(message(b"n"))
    else:
        client.transport.send(described(shown, spread(formats, len(shown))))


def _perform(client: Connection, portal: Portal) -> None:
    done = perform(client.held, portal.prepared, portal.values, portal.raw)
    client.notices()
    portal.prepared, portal.values = done.prepared, done.values
    portal.rows, portal.tag, portal.copy = done.rows, done.tag, done.copy


def execute(client: Connection, body: Body) -> None:
    """Execute: rows of a portal, or whatever it does."""
    name, most = body.text(), body.int32()
    body.end()
    portal = _portal(client, name)
    wanted = most if most > 0 else ALL
    if portal.prepared.relayed and portal.found is not None:
        client.held.allow(portal.prepared)
        _execute_relayed(client, portal.prepared, portal.found, wanted)
        return
    if portal.rows is None and portal.tag:
        raise StateError("55000", f'portal "{name}" cannot be run')
    with client.counted(portal.prepared) as send, client.deadline():
        if portal.rows is None:
            _perform(client, portal)
        answering.answer(client.held, portal, send, zone=client.zone, most=wanted)
    client.settled(portal.prepared)


def _execute_relayed(client: Connection, prepared: Prepared, found: Found, most: int) -> None:
    if found.done and found.shown[0] == b"n":
        raise StateError("55000", "the portal cannot be run again")
    if most == ALL and not found.begun:
        found.done = True
        _relayed(client, prepared, found.question.rows(), but=(b"T", b"n"))
        client.settled(prepared)
        return
    some = found.take(None, most)
    client.transport.send(b"".join(some))
    counted = found.tag.startswith("SELECT") or not found.tag
    last = complete(f"SELECT {len(some)}" if counted else found.tag)
    client.transport.send(last if found.done else message(b"s"))
    client.notices()
    client.settled(prepared)


def close(client: Connection, body: Body) -> None:
    """Close of a statement or a portal."""
    kind, name = body.take(1), body.text()
    body.end()
    if kind == b"P":
        portal = client.held.portals.pop(name, None)
        if portal is not None:
            portal.close()
    elif kind == b"S":
        client.held.prepared.pop(name, None)
    else:
        raise ProtocolError(f"invalid CLOSE message subtype {kind[0]}")
    client.transport.send(message(b"3"))


def flush(client: Connection, body: Body) -> None:
    """Flush."""
    body.end()
    client.transport.flush()


def sync(client: Connection, body: Body) -> None:
    """Sync: errors skip to here, and portals outside of a transaction end here."""
    body.end()
    client.skipping = False
    if client.held.block.status == IDLE:
        client.held.drop_portals()
    client.ready()


HANDLERS: Final[dict[bytes, Callable[[Connection, Body], None]]] = {
    b"P": parse,
    b"B": bind,
    b"D": describe,
    b"E": execute,
    b"C": close,
    b"H": flush,
    b"S": sync,
}
