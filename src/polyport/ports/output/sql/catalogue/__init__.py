"""PostgreSQL's catalogue for the SQL port: what clients ask of tables, types, settings and rights."""

from __future__ import annotations

from polyport.ports.output.sql.catalogue.builtin import BuiltInCatalogue
from polyport.ports.output.sql.catalogue.postgres import PostgresCatalogue
from polyport.ports.output.sql.catalogue.programs import find, unprivileged
from polyport.ports.output.sql.catalogue.servers import Servers
from polyport.ports.output.sql.catalogue.types import (
    Catalogue,
    CatalogueSession,
    Message,
    Table,
)

__all__ = ["Catalogue", "CatalogueSession", "Message", "Table", "catalogue"]


def catalogue(*, most: int = 32) -> Catalogue:
    """PostgreSQL's own catalogue where there is a PostgreSQL, else a small one that is built in.

    `most`: how many users may have one at the same time; each takes some 8 MB of memory and 12 MB of disk.

    Raises:
        ConfigurationError: `POLYPORT_POSTGRES` names a folder without PostgreSQL.
    """
    programs = find()
    instead = BuiltInCatalogue()
    if programs is None:
        return instead
    return PostgresCatalogue(Servers(programs, unprivileged(), most=most), instead)
