"""PostgreSQL's functions of the built-in catalogue."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from polyport.ports.output.sql.catalogue.settings import VERSION
from polyport.ports.output.sql.catalogue.small import TYPES

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

    from polyport.ports.output.sql.catalogue.settings import Settings


@dataclass(slots=True)
class Functions:
    """What they know of the session; `tables`, once there are some."""

    database: str
    user: str
    schema: str
    settings: Settings
    tables: sqlite3.Connection | None = None

    def _set_config(self, name: str, value: str, *_: object) -> str:
        self.settings.set(name, value)
        return value

    def _regclass(self, value: object) -> str | int | None:
        """The OID of a relation by its name; numbers are OIDs already."""
        if value is None or isinstance(value, int) or str(value).isdigit():
            return None if value is None else int(str(value))
        known = {"pg_class": 1259, "pg_namespace": 2615, "pg_type": 1247, "pg_database": 1262}
        name = str(value).rpartition(".")[2].strip('"')
        return self._one("select oid from pg_class where relname = ?", name) or known.get(name)

    def _description(self, oid: object, part: object = 0) -> str | None:
        number = part if isinstance(part, int) else 0
        found = self._one(
            "select description from pg_description where objoid = ? and objsubid = ?", oid, number
        )
        return None if found is None else str(found)

    def _one(self, sql: str, *values: object) -> int | str | None:
        if self.tables is None:
            return None
        row = self.tables.execute(sql, values).fetchone()
        found: int | str | None = row[0] if row else None
        return found

    def all(self) -> dict[str, Callable[..., str | int | None]]:
        """All of them, by name."""
        by_oid = {oid: said[4] for said in TYPES.values() for oid in said[:1]}
        by_oid |= {said[1]: f"{said[4]}[]" for said in TYPES.values()}
        by_name = {name: said[0] for name, said in TYPES.items()}
        by_name |= {text: oid for oid, text in by_oid.items()}

        def regtype(value: object) -> str | int | None:
            return (
                by_oid.get(value, str(value)) if isinstance(value, int) else by_name.get(str(value))
            )

        true = dict.fromkeys(
            [
                "pg_table_is_visible",
                "pg_type_is_visible",
                "pg_function_is_visible",
                "has_schema_privilege",
                "has_database_privilege",
                "has_any_column_privilege",
                "has_column_privilege",
                "has_type_privilege",
            ],
            lambda *_: 1,
        )
        nothing = dict.fromkeys(
            [
                "pg_get_expr",
                "pg_get_partkeydef",
                "pg_get_viewdef",
                "pg_get_constraintdef",
                "pg_get_indexdef",
                "shobj_description",
                "inet_server_addr",
                "inet_server_port",
                "inet_client_addr",
                "array_to_string",
            ],
            lambda *_: None,
        )
        return {
            **true,
            **nothing,
            "version": lambda: f"PostgreSQL {VERSION} (Polyport's built-in catalogue)",
            "current_schema": lambda: self.schema,
            "current_user": lambda: self.user,
            "current_database": lambda: self.database,
            "current_setting": lambda name, *_: self.settings.get(name),
            "set_config": self._set_config,
            "has_table_privilege": lambda *given: int(str(given[-1]).strip().upper() == "SELECT"),
            "obj_description": self._description,
            "col_description": self._description,
            "pg_backend_pid": lambda: 1,
            "pg_is_in_recovery": lambda: 0,
            "pg_advisory_unlock_all": lambda: "",
            "pg_get_userbyid": lambda _: "polyport",
            "pg_encoding_to_char": lambda _: "UTF8",
            "quote_ident": _quoted,
            "format_type": lambda oid, *_: by_oid.get(oid, "???"),
            "pg_regtype": regtype,
            "pg_regclass": self._regclass,
            "to_regtype": lambda name: by_name.get(str(name)),
            "pg_match": _match,
            "pg_imatch": lambda text, pattern: _match(text, pattern, re.IGNORECASE),
        }


def _quoted(name: object) -> str:
    text = str(name)
    return text if re.fullmatch(r"[a-z_][a-z0-9_]*", text) else '"' + text.replace('"', '""') + '"'


def _match(text: object, pattern: object, flags: int = 0) -> int | None:
    if text is None or pattern is None:
        return None
    try:
        return int(re.search(str(pattern), str(text), flags) is not None)
    except re.error as error:
        raise ValueError(f"no regular expression: {pattern}") from error
