"""PostgreSQL's wire protocol: consumers' own SQL, from the tools that they already use."""

from __future__ import annotations

from shlex import quote as shell
from typing import TYPE_CHECKING, ClassVar, Self
from urllib.parse import quote

from polyport.expression import quote as identifier
from polyport.model import OWNER
from polyport.ports.output.majors import called
from polyport.ports.output.sql.catalogue import catalogue
from polyport.ports.output.sql.doors import Doors
from polyport.ports.output.sql.server import Server

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from polyport.ports.output import Endpoint, OutputContext


class SqlPort:
    """The SQL port of a product: an `OutputPort` that is `Listening`."""

    scheme: ClassVar[str] = "postgresql"
    offset: ClassVar[int] = 32
    """8432 where HTTP is 8400."""

    def __init__(self, context: OutputContext) -> None:
        self.context = context

    @classmethod
    def listen(cls, ports: Sequence[Self], at: Endpoint) -> Server:
        """Begin to answer for `ports`; see `Listening.listen`.

        Raises:
            ConfigurationError: The address or TLS cannot be used.
        """
        doors = Doors.of([port.context for port in ports], at.mesh)
        return Server.start(doors, at, catalogue)

    def client_line(self, base_url: str, dataset: str) -> str:
        """A `psql` command that shows the first rows of `dataset`."""
        sql = f"SELECT * FROM {identifier(dataset)} LIMIT 3"
        return f"psql {shell(self.address(base_url, OWNER.id))} -c {shell(sql)}"

    def snippets(self, base_url: str, dataset: str) -> Mapping[str, str]:
        """Python with psycopg, with ADBC, and a URL for SQLAlchemy."""
        sql, address = (
            f"SELECT * FROM {identifier(dataset)} LIMIT 3",
            self.address(base_url, OWNER.id),
        )
        return {
            "psycopg": "\n".join(
                (
                    "import psycopg",
                    f"with psycopg.connect({address!r}) as connection:",
                    f"    print(connection.execute({sql!r}).fetchall())",
                )
            ),
            "adbc": "\n".join(
                (
                    "import adbc_driver_postgresql.dbapi as adbc",
                    f"with adbc.connect({address!r}) as connection, connection.cursor() as cursor:",
                    f"    cursor.execute({sql!r})",
                    "    print(cursor.fetch_arrow_table())",
                )
            ),
        }

    def address(self, base_url: str, user: str = "") -> str:
        """With `user`, where none is named, and the product as database: an older major, `films@1`.

        `base_url` over TLS is `postgresql+tls://`, which is not PostgreSQL's: it has `sslmode` for that.
        """
        scheme, _, host = base_url.partition("://")
        named = "" if "@" in host or not user else f"{user}@"
        database = quote(called(self.context.product, self.context.spec), safe="@")
        tls = "?sslmode=require" if scheme.endswith("+tls") else ""
        return f"{self.scheme}://{named}{host}/{database}{tls}"
