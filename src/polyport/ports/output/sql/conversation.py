"""What a connection has said and been told, whatever the bytes: settings, statements, portals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from polyport.errors import NotFoundError, QueryError
from polyport.model import LATEST
from polyport.ports.output.sql import commands as asked
from polyport.ports.output.sql import parameters, types
from polyport.ports.output.sql.catalogue.ddl import literal
from polyport.ports.output.sql.catalogue.settings import assigned
from polyport.ports.output.sql.login import SETTINGS, as_whom
from polyport.ports.output.sql.messages import decoded
from polyport.ports.output.sql.portal import Column, Portal, Prepared, Rows, columns
from polyport.ports.output.sql.scanner import split
from polyport.ports.output.sql.statements import command
from polyport.ports.output.sql.states import StateError
from polyport.ports.output.sql.transactions import IDLE, Block, bounded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from polyport.access.sql import Described, Session
    from polyport.model import Principal
    from polyport.ports.output import OutputContext
    from polyport.ports.output.sql.catalogue import Catalogue, CatalogueSession, Message
    from polyport.ports.output.sql.doors import Doors
    from polyport.ports.output.sql.login import Login
    from polyport.ports.output.sql.messages import Said
    from polyport.ports.output.sql.scanner import Statement


class Conversation:
    """One connection's statements and portals. For one thread; `cancel` of its session for any."""

    def __init__(self, login: Login, doors: Doors, catalogue: Catalogue) -> None:
        """Open a session as what the login asks for.

        Raises:
            NotFoundError: No such database or snapshot.
            RetiredError: That major of the port is not served any more.
            AccessError: Somebody else than the owner asks as another.
            LimitError: There is no room for more.
        """
        self.login, self.doors, self.catalogue = login, doors, catalogue
        self.database = doors.database(login.database, login.user)
        self.settings = {name: login.settings.get(name, "") for name in SETTINGS}
        self.block = Block()
        self.prepared: dict[str, Prepared] = {}
        self.portals: dict[str, Portal] = {}
        self.notices: list[Said] = []
        self.told: list[Message] = []
        """What the catalogue said besides its answers."""
        self.restored = False
        """Whether settings of the catalogue were set back by the last statement."""
        self._local: dict[str, str] = {}
        self._ending: set[str] = set()
        self._known = login.still()
        self.session: Session = self._opened(self.settings)
        try:
            self.relayed: CatalogueSession = self._relayed()
        except BaseException:
            self.session.close()
            raise
        self._warn_of(doors.own(self.database))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.relayed.close()
        self.session.close()

    @property
    def principal(self) -> Principal:
        """Who asks."""
        return self.session.principal

    def check(self) -> None:
        """See that whoever was let in still is.

        Raises:
            AuthenticationError: It is not: the key was revoked, the token has expired.
        """
        known = self.login.still()
        if known != self._known:
            self._known = known
            self._reopen(self.settings)

    # Statements

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

    def keep(self, name: str, prepared: Prepared) -> None:
        """Keep a statement under a name.

        Raises:
            StateError: There is one already.
        """
        if name and name in self.prepared:
            raise StateError("42P05", f'prepared statement "{name}" already exists')
        bounded(self.prepared)
        self.prepared[name] = prepared

    def statement(self, name: str) -> Prepared:
        """The one of that name.

        Raises:
            StateError: There is none.
        """
        found = self.prepared.get(name)
        if found is None:
            raise StateError("26000", f'prepared statement "{name}" does not exist')
        return found

    def relays(self, prepared: Prepared) -> bool:
        """Whether the catalogue answers it."""
        kinds = (asked.Select, asked.Copy)
        return isinstance(prepared.command, kinds) and self.of_catalogue(prepared)

    def of_catalogue(self, prepared: Prepared) -> bool:
        """Whether the query in it is one over the catalogue."""
        return bool(prepared.query) and self.relayed.takes(prepared.query)

    def allow(self, prepared: Prepared) -> None:
        """See whether anything may be asked now.

        Raises:
            StateError: The transaction has failed.
        """
        if prepared.statement is not None:
            self.block.allow(prepared.command)

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
        if self.of_catalogue(prepared):
            return tuple(g or types.TEXT for g in given)
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
            return self.describe(self.statement(said.name))
        return None

    def concerned(self, prepared: Prepared) -> list[OutputContext]:
        """The ports that a statement is a request to; none, where it asks for nothing of a product."""
        if prepared.statement is None or not isinstance(prepared.command, _REQUESTS):
            return []
        if self.of_catalogue(prepared):
            return []
        names = frozenset(t.value.lower() for t in prepared.statement.tokens)
        found = self.doors.concerned(self.database, names)
        self._warn_of(found)
        return found

    def _warn_of(self, contexts: Sequence[OutputContext]) -> None:
        """Say once that a port is deprecated."""
        for name, words in self.doors.endings(contexts):
            if name not in self._ending:
                self._ending.add(name)
                self.notices.append(words)

    # Portals

    def cursor(self, name: str) -> Rows:
        """The rows of a portal over data.

        Raises:
            StateError: There is none, or it gives none.
        """
        portal = self.portals.get(name)
        if portal is None or portal.rows is None:
            raise StateError("34000", f'cursor "{name}" does not exist')
        return portal.rows

    def drop_portals(self, *, kept: bool = True) -> None:
        """Those that do not outlive a transaction go; nor, unless it is `kept`, do those that it has declared."""
        for name, portal in list(self.portals.items()):
            if not portal.hold or (portal.fresh and not kept):
                self.portals.pop(name).close()
            portal.fresh = False

    def end(self, *, kept: bool = True) -> None:
        """End the transaction; `kept`: it is not rolled back."""
        self.session.end()
        self.block.end()
        self.drop_portals(kept=kept)
        for name, before in self._local.items():
            back = f"SELECT set_config({literal(name)}, {literal(before)}, false)"
            self.told += [told for told in self.relayed.simple(back) if told[0] == b"S"]
            self.restored = True
        self._local.clear()

    def asked_of_catalogue(self, statement: Statement) -> str:
        """What the catalogue is asked by `statement`. It has no transaction: SET LOCAL is SET, `end` sets it back."""
        if [t.text for t in statement.tokens[:2]] != ["set", "local"] or self.block.status == IDLE:
            return statement.sql
        name = assigned(statement.sql)[0].lower()
        if name and name not in self._local:
            for kind, body in self.relayed.simple(f"SHOW {name}"):
                if kind == b"D":
                    self._local[name] = decoded(body[6:])
        word = statement.tokens[1]
        return statement.sql[: word.start] + " " * len("local") + statement.sql[word.end :]

    # Settings of ours

    def shown(self, name: str) -> str:
        """The value of one."""
        name = name.removeprefix("polyport.")
        return self.settings[name] or (LATEST if name == "snapshot" else "")

    def set(self, name: str, value: str) -> None:
        """Set one.

        Raises:
            StateError: It cannot have that value, or not now.
        """
        changed = {**self.settings, name: value}
        if name == "snapshot":
            try:
                self.session.at(value or LATEST)
            except (NotFoundError, QueryError) as error:
                raise StateError("22023", error.message, fix=error.remote_fix) from None
        elif self.block.status != IDLE:
            raise StateError(
                "25001", f"polyport.{name} cannot be set within a transaction", fix="COMMIT before"
            )
        else:
            self._reopen(changed)
        self.settings = changed

    def reset(self) -> None:
        """All as they were at the login."""
        for name in SETTINGS:
            default = self.login.settings.get(name, "")
            if self.settings[name] != default:
                self.set(name, default)

    def _opened(self, settings: dict[str, str]) -> Session:
        principal = as_whom(self._known, settings["role"])
        return self.doors.session(
            self.database, principal, settings["snapshot"], settings["purpose"]
        )

    def _relayed(self) -> CatalogueSession:
        sees = self.doors.sees(
            self.session, self.database, self.settings["purpose"], self.settings["snapshot"]
        )
        return self.catalogue.open(self.database, self.login.user, sees, self.doors.databases)

    def _reopen(self, settings: dict[str, str]) -> None:
        """The same conversation, as somebody else or for another purpose."""
        before = self.session
        self.session = self._opened(settings)
        before.close()
        if self.block.status != IDLE:
            self.session.begin()
        for prepared in self.prepared.values():
            prepared.told = None


_REQUESTS = (asked.Select, asked.Copy, asked.Declare, asked.Execute, asked.Write)
