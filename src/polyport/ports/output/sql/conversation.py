"""What a connection has said and been told, whatever the bytes: settings, transactions, statements, portals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Self

from polyport.errors import NotFoundError, QueryError
from polyport.model import LATEST
from polyport.ports.output.sql import commands as asked
from polyport.ports.output.sql import parameters, types
from polyport.ports.output.sql.decode import from_text
from polyport.ports.output.sql.login import SETTINGS, as_whom
from polyport.ports.output.sql.messages import Said
from polyport.ports.output.sql.portal import Column, Portal, Prepared, Rows, columns
from polyport.ports.output.sql.scanner import split
from polyport.ports.output.sql.statements import command
from polyport.ports.output.sql.states import StateError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from polyport.access.sql import Described, Session
    from polyport.model import Principal
    from polyport.ports.output import OutputContext
    from polyport.ports.output.sql.catalogue import Catalogue, CatalogueSession
    from polyport.ports.output.sql.doors import Doors
    from polyport.ports.output.sql.login import Login

IDLE: Final = b"I"
OPEN: Final = b"T"
FAILED: Final = b"E"
_MOST: Final = 1_000
"""Prepared statements, portals or savepoints of one connection."""


class Conversation:
    """One connection's statements and portals. For one thread; `cancel` for any."""

    def __init__(self, login: Login, doors: Doors, catalogue: Catalogue) -> None:
        """Open a session as what the login asks for.

        Raises:
            NotFoundError: No such database or snapshot.
            AccessError: Somebody else than the owner asks as another.
            LimitError: There is no room for more.
        """
        self.login, self.doors, self.catalogue = login, doors, catalogue
        self.database = doors.database(login.database, login.user)
        self.settings = {name: login.settings.get(name, "") for name in SETTINGS}
        self.status = IDLE
        self.prepared: dict[str, Prepared] = {}
        self.portals: dict[str, Portal] = {}
        self.notices: list[Said] = []
        self._savepoints: list[str] = []
        self._known = login.still()
        self.session: Session = self._opened(self.settings)
        try:
            self.relayed: CatalogueSession = self._relayed()
        except BaseException:
            self.session.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.relayed.close()
        self.session.close()

    def check(self) -> None:
        """See that whoever was let in still is.

        Raises:
            AuthenticationError: It is not: the key was revoked, the token has expired.
        """
        known = self.login.still()
        if known != self._known:
            self._known = known
            self._reopen(self.settings)

    def parse(self, sql: str, oids: Sequence[int] = ()) -> Prepared:
        """The one statement in `sql`.

        Raises:
            QueryError: There are several, or it is not written right.
        """
        found = split(sql)
        if len(found) > 1:
            raise StateError("42601", "cannot insert multiple commands into a prepared statement")
        if not found:
            return Prepared(None, oids=tuple(oids))
        return Prepared(found[0], command(found[0]), tuple(oids))

    def relays(self, prepared: Prepared) -> bool:
        """Whether the catalogue answers it."""
        if prepared.statement is None or isinstance(prepared.command, asked.Declare):
            return False
        if isinstance(prepared.command, asked.Select):
            return self.relayed.takes(prepared.statement.sql)
        return isinstance(prepared.command, asked.Copy) and self.relayed.takes(
            prepared.command.query
        )

    def allow(self, prepared: Prepared) -> None:
        """See whether anything may be asked now.

        Raises:
            StateError: The transaction has failed.
        """
        ends = isinstance(prepared.command, asked.Transaction) and prepared.command.action in (
            "commit",
            "rollback",
            "return",
        )
        if self.status == FAILED and not ends and prepared.statement is not None:
            raise StateError(
                "25P02",
                "current transaction is aborted, commands ignored until end of transaction block",
                fix="ROLLBACK",
            )

    def fail(self) -> None:
        """A statement failed: so has its transaction."""
        if self.status == OPEN:
            self.status = FAILED

    def oids(self, prepared: Prepared) -> tuple[int, ...]:
        """The types of all parameters: as given, as PostgreSQL finds them, as the engine does; else text."""
        if prepared.found is None:
            prepared.found = self._found(prepared)
        return prepared.found

    def _found(self, prepared: Prepared) -> tuple[int, ...]:
        used = parameters.used(prepared)
        given = (*prepared.oids, *(0 for _ in range(used - len(prepared.oids))))
        if all(given) or not prepared.query:
            return given
        exact = self.relayed.parameter_types(prepared.query, given)
        if exact is not None and len(exact) >= len(given):
            return tuple(g or e for g, e in zip(given, exact, strict=False))
        told = self._told(prepared, given)
        named = [types.pg_type(name).oid if name else types.TEXT for name in told.parameters]
        return tuple(g or (named[i] if i < len(named) else types.TEXT) for i, g in enumerate(given))

    def _told(self, prepared: Prepared, oids: Sequence[int]) -> Described:
        if prepared.told is None:
            names = [types.sql_name(oid) if oid else "" for oid in oids]
            prepared.told = self.session.describe(prepared.query, names)
        return prepared.told

    def describe(self, prepared: Prepared) -> tuple[Column, ...] | None:
        """The columns that it gives; None where it gives no rows."""
        said = prepared.command
        if isinstance(said, asked.Select) and prepared.statement is not None:
            told = self._told(prepared, self.oids(prepared))
            return columns(told.columns.names, told.types)
        if isinstance(said, asked.Setting) and said.action == "show":
            return (Column(said.name, types.PgType(types.TEXT)),)
        if isinstance(said, asked.Fetch) and not said.move:
            return self.cursor(said.name).columns
        if isinstance(said, asked.Execute):
            return self.describe(self._statement(said.name))
        return None

    def cursor(self, name: str) -> Rows:
        """The rows of a portal.

        Raises:
            StateError: There is none, or it gives none.
        """
        portal = self.portals.get(name)
        if portal is None or portal.rows is None:
            raise StateError("34000", f'cursor "{name}" does not exist')
        return portal.rows

    def perform(self, prepared: Prepared, values: Sequence[Any] = ()) -> Portal:
        """Do what a statement asks; the portal has its rows, or what its end is told with.

        Raises:
            PolyportError: It cannot be done.
        """
        self.allow(prepared)
        portal = Portal(prepared, values)
        if prepared.statement is None:
            return portal
        _PERFORM[type(prepared.command)](self, prepared.command, portal)
        return portal

    def select(self, _: asked.Select, portal: Portal) -> None:
        """Rows."""
        portal.rows = Rows(self.session.query(portal.prepared.query, portal.values))

    def copy(self, said: asked.Copy, portal: Portal) -> None:
        """Rows, too."""
        portal.rows = Rows(self.session.query(said.query, portal.values))
        portal.copy = said

    def transaction(self, said: asked.Transaction, portal: Portal) -> None:
        """Begin, end, savepoints."""
        match said.action:
            case "begin":
                self._begin()
                portal.tag = "BEGIN"
            case "commit" | "rollback":
                wrong = said.action == "rollback" or self.status == FAILED
                portal.tag = "ROLLBACK" if wrong else "COMMIT"
                self._end()
            case _:
                self._savepoint(said)
                portal.tag = {"savepoint": "SAVEPOINT", "release": "RELEASE", "return": "ROLLBACK"}[
                    said.action
                ]

    def _begin(self) -> None:
        if self.status != IDLE:
            self._warn("25001", "there is already a transaction in progress")
            return
        self.session.begin()
        self.status = OPEN

    def _end(self) -> None:
        if self.status == IDLE:
            self._warn("25P01", "there is no transaction in progress")
            return
        self.session.end()
        self.status = IDLE
        self._savepoints.clear()
        self.drop_portals()

    def _savepoint(self, said: asked.Transaction) -> None:
        if self.status == IDLE:
            raise StateError(
                "25P01", f"{said.action.upper()} can only be used in transaction blocks"
            )
        if said.action == "savepoint":
            self._savepoints.append(said.name)
            _bounded(self._savepoints)
            return
        if said.name not in self._savepoints:
            raise StateError("3B001", f'savepoint "{said.name}" does not exist')
        place = len(self._savepoints) - 1 - self._savepoints[::-1].index(said.name)
        del self._savepoints[place + (said.action == "return") :]
        self.status = OPEN

    def drop_portals(self) -> None:
        """Those that do not outlive a transaction go."""
        for name, portal in list(self.portals.items()):
            if not portal.hold:
                self.portals.pop(name).close()

    def setting(self, said: asked.Setting, portal: Portal) -> None:
        """Settings of ours."""
        name = said.name.removeprefix("polyport.")
        if name not in SETTINGS:
            known = ", ".join(f"polyport.{each}" for each in SETTINGS)
            raise StateError(
                "42704", f'unrecognized configuration parameter "{said.name}"', fix=known
            )
        portal.tag = said.action.upper()
        if said.action != "show":
            default = self.login.settings.get(name, "")
            self._set(name, said.value if said.action == "set" else default)

    def shown(self, name: str) -> str:
        """The value of a setting of ours."""
        name = name.removeprefix("polyport.")
        return self.settings[name] or (LATEST if name == "snapshot" else "")

    def _set(self, name: str, value: str) -> None:
        changed = {**self.settings, name: value}
        if name == "snapshot":
            try:
                self.session.at(value or LATEST)
            except (NotFoundError, QueryError) as error:
                raise StateError("22023", error.message, fix=error.fix) from None
        elif self.status != IDLE:
            raise StateError(
                "25001", f"polyport.{name} cannot be set within a transaction", fix="COMMIT before"
            )
        else:
            self._reopen(changed)
        self.settings = changed

    def reset(self) -> None:
        """All settings of ours as they were at the login."""
        for name in SETTINGS:
            default = self.login.settings.get(name, "")
            if self.settings[name] != default:
                self._set(name, default)

    def declare(self, said: asked.Declare, portal: Portal) -> None:
        """A cursor: rows that are taken later."""
        if self.status == IDLE and not said.hold:
            raise StateError(
                "25P01",
                "DECLARE CURSOR can only be used in transaction blocks",
                fix="BEGIN before; or WITH HOLD",
            )
        if said.name in self.portals:
            raise StateError("42P03", f'cursor "{said.name}" already exists')
        _bounded(self.portals)
        rows = Rows(self.session.query(said.query, portal.values))
        formats = (1,) if said.binary else ()
        self.portals[said.name] = Portal(
            portal.prepared, rows=rows, formats=formats, hold=said.hold
        )
        portal.tag = "DECLARE CURSOR"

    def close(self, said: asked.Close, portal: Portal) -> None:
        """Cursors end."""
        if said.name and said.name not in self.portals:
            raise StateError("34000", f'cursor "{said.name}" does not exist')
        for name in [said.name] if said.name else list(self.portals):
            self.portals.pop(name).close()
        portal.tag = "CLOSE CURSOR" if said.name else "CLOSE CURSOR ALL"

    def fetch(self, said: asked.Fetch, _: Portal) -> None:
        """Rows of a cursor; see `Connection`."""
        self.cursor(said.name)
        if said.backward:
            raise StateError(
                "55000", "cursor can only scan forward", fix="a cursor streams: FETCH FORWARD n"
            )

    def prepare(self, said: asked.Prepare, portal: Portal) -> None:
        """A statement for EXECUTE."""
        oids = tuple(parameters.oid(name) for name in said.types)
        self.keep(said.name, self.parse(said.query, oids))
        portal.tag = "PREPARE"

    def keep(self, name: str, prepared: Prepared) -> None:
        """Keep a statement under a name.

        Raises:
            StateError: There is one already.
        """
        if name and name in self.prepared:
            raise StateError("42P05", f'prepared statement "{name}" already exists')
        _bounded(self.prepared)
        self.prepared[name] = prepared

    def execute(self, said: asked.Execute, portal: Portal) -> None:
        """A statement with values that are written as SQL."""
        prepared = self._statement(said.name)
        values: list[Any] = []
        if said.values:
            with_types = self.session.query(f"SELECT {said.values}")
            values = [column[0].as_py() for column in with_types.reader.read_all().columns]
        oids = self.oids(prepared)
        if len(values) != len(oids):
            raise StateError(
                "42601", f'wrong number of parameters for prepared statement "{said.name}"',
                fix=f"it has {len(oids)}",
            )  # fmt: skip
        known = [
            from_text(v, o) if isinstance(v, str) else v for v, o in zip(values, oids, strict=True)
        ]
        portal.prepared, portal.values = prepared, known
        _PERFORM[type(prepared.command)](self, prepared.command, portal)

    def _statement(self, name: str) -> Prepared:
        found = self.prepared.get(name)
        if found is None:
            raise StateError("26000", f'prepared statement "{name}" does not exist')
        return found

    def deallocate(self, said: asked.Deallocate, portal: Portal) -> None:
        """Forget prepared statements."""
        if said.name:
            self._statement(said.name)
            del self.prepared[said.name]
        else:
            self.prepared.clear()
        portal.tag = "DEALLOCATE" if said.name else "DEALLOCATE ALL"

    def discard(self, said: asked.Discard, portal: Portal) -> None:
        """Forget all of that."""
        if said.what == "all":
            if self.status != IDLE:
                raise StateError("25001", "DISCARD ALL cannot run inside a transaction block")
            for name in list(self.portals):
                self.portals.pop(name).close()
            self.prepared.clear()
            self.reset()
        portal.tag = f"DISCARD {said.what.upper()}"

    def ignored(self, said: asked.Ignored, portal: Portal) -> None:
        """What changes nothing."""
        portal.tag = said.tag

    def write(self, said: asked.Write, _: Portal) -> None:
        """What would change something."""
        raise StateError(
            "25006",
            f"cannot execute {said.verb}: a data product is read-only",
            fix="SELECT, or COPY ... TO STDOUT",
        )

    def _warn(self, state: str, message: str) -> None:
        self.notices.append(Said(state, message, severity="WARNING"))

    def _opened(self, settings: dict[str, str]) -> Session:
        principal = as_whom(self._known, settings["role"])
        return self.doors.session(
            self.database, principal, settings["snapshot"], settings["purpose"]
        )

    def _relayed(self) -> CatalogueSession:
        sees = self.doors.sees(
            self.session, self.database, self.settings["purpose"], self.settings["snapshot"]
        )
        return self.catalogue.open(self.database, self.login.user, sees)

    def _reopen(self, settings: dict[str, str]) -> None:
        """The same conversation, as somebody else or for another purpose."""
        before = self.session
        self.session = self._opened(settings)
        before.close()
        if self.status != IDLE:
            self.session.begin()
        for prepared in self.prepared.values():
            prepared.told = None

    def concerned(self, prepared: Prepared) -> list[OutputContext]:
        """The ports that a statement is a request to; none, where it asks for nothing of a product."""
        if prepared.statement is None or not isinstance(prepared.command, _REQUESTS):
            return []
        names = frozenset(t.value.lower() for t in prepared.statement.tokens)
        return self.doors.concerned(self.database, names)

    @property
    def principal(self) -> Principal:
        """Who asks."""
        return self.session.principal


def _bounded(held: dict[str, Any] | list[str]) -> None:
    if len(held) >= _MOST:
        raise StateError(
            "54000", f"one connection may hold {_MOST} of these", fix="CLOSE, DEALLOCATE"
        )


_REQUESTS: Final = (asked.Select, asked.Copy, asked.Declare, asked.Execute, asked.Write)
_PERFORM: Final[dict[type, Callable[[Conversation, Any, Portal], None]]] = {
    asked.Select: Conversation.select,
    asked.Copy: Conversation.copy,
    asked.Transaction: Conversation.transaction,
    asked.Setting: Conversation.setting,
    asked.Declare: Conversation.declare,
    asked.Close: Conversation.close,
    asked.Fetch: Conversation.fetch,
    asked.Prepare: Conversation.prepare,
    asked.Execute: Conversation.execute,
    asked.Deallocate: Conversation.deallocate,
    asked.Discard: Conversation.discard,
    asked.Ignored: Conversation.ignored,
    asked.Write: Conversation.write,
}
