"""Which statements are the catalogue's, and which of those are refused: judged by their tokens.

A query over a dataset is never the catalogue's, whatever functions it calls. Where the judgement errs, PostgreSQL
refuses: its tables raise an error when they are asked for rows, and its user may do nothing but read its catalogue.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from polyport.ports.output.sql.catalogue.lexer import Token, tokens
from polyport.ports.output.sql.catalogue.relations import calls, relations

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

SCHEMAS = frozenset({"pg_catalog", "information_schema", "pg_toast"})
"""The schemas that are PostgreSQL's."""
FORBIDDEN = re.compile(
    r"lo_\w+|lo(?:creat|open|read|write)|pg_sleep\w*|pg_(?:try_)?advisory_\w*lock(?:_shared)?|pg_notify"
    r"|pg_(?:terminate|cancel)_backend|pg_(?:read|ls|logical|replication|create|drop|import|log|stat_reset)_\w+"
    r"|pg_(?:reload_conf|rotate_logfile\w*|switch_wal|promote|backup_\w+|current_logfile)"
    r"|pg_(?:stat_file|show_all_file_settings|hba_file_rules|ident_file_mappings|nextoid|wal_\w+|stat_reset)"
    r"|(?:query|table|schema|database|cursor)_to_xml\w*|dblink\w*|binary_upgrade_\w+|nextval|setval"
    r"|ts_stat|ts_rewrite|pg_get_(?:shmem_allocations\w*|backend_memory_contexts)|brin_\w+|gin_clean_pending_list"
)
"""Functions that no catalogue query needs and that do something, wait, or look at the machine or at other people."""

_HARMLESS = frozenset({"pg_advisory_unlock_all"})
"""Of those, what clients say when they are done: nobody holds such a lock."""
_QUERY = frozenset({"select", "with", "values", "table"})
_FUNCTIONS = frozenset(
    [
        "version",
        "current_database",
        "current_schema",
        "current_schemas",
        "current_setting",
        "set_config",
        "session_user",
        "format_type",
        "obj_description",
        "col_description",
        "shobj_description",
        "to_regclass",
        "to_regtype",
        "to_regproc",
        "to_regprocedure",
        "to_regoper",
        "to_regoperator",
        "to_regnamespace",
        "to_regrole",
        "to_regcollation",
        "inet_server_addr",
        "inet_server_port",
        "inet_client_addr",
        "inet_client_port",
        "txid_current",
        "txid_current_if_assigned",
        "has_table_privilege",
        "has_schema_privilege",
        "has_database_privilege",
        "has_column_privilege",
        "has_any_column_privilege",
        "has_function_privilege",
        "has_language_privilege",
        "has_sequence_privilege",
        "has_server_privilege",
        "has_tablespace_privilege",
        "has_type_privilege",
        "has_parameter_privilege",
        "has_foreign_data_wrapper_privilege",
        "row_security_active",
        "icu_unicode_version",
        "unicode_version",
    ]
)
_REG = frozenset(
    [
        "regclass",
        "regtype",
        "regproc",
        "regprocedure",
        "regoper",
        "regoperator",
        "regnamespace",
        "regrole",
        "regcollation",
        "regconfig",
        "regdictionary",
    ]
)
_BARE = frozenset(
    [
        "current_user",
        "session_user",
        "user",
        "current_role",
        "current_catalog",
        "current_schema",
        "system_user",
    ]
)
_DISCARD = frozenset({"all", "plans", "sequences", "temp", "temporary"})
_FIXED = {
    "client_encoding": re.compile(r"utf-?8|unicode|default", re.IGNORECASE),
    "names": re.compile(r"utf-?8|unicode|default", re.IGNORECASE),
    "standard_conforming_strings": re.compile(r"on|true|yes|1|default", re.IGNORECASE),
    "datestyle": re.compile(
        r"(?:(?:iso|[ymd]{3}|us|european|noneuropean|default)[\s,]*)+", re.IGNORECASE
    ),
    "intervalstyle": re.compile(r"postgres|default", re.IGNORECASE),
}
"""Settings that change how rows are written: only the values that the port's data follow."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a statement that is the catalogue's is not run."""

    sqlstate: str
    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Ruling:
    """What is to be done with a statement."""

    mine: bool
    """Whether it is the catalogue's."""
    refusal: Refusal | None = None


_NOT_MINE = Ruling(mine=False)
_MINE = Ruling(mine=True)


def judge(sql: str, datasets: Collection[str]) -> Ruling:
    """Whose `sql` is, one statement. `datasets`: the names that are datasets, whatever PostgreSQL calls so."""
    said = tokens(sql.strip().removesuffix(";"))
    first = next((t.text for t in said if t.text != "("), "")
    if not said or said[0].kind not in {"word", "other"}:
        return _NOT_MINE
    if first in _QUERY:
        return _query(said, datasets)
    if first == "set":
        return _set(said[1:])
    if first in {"show", "reset"}:
        return _show(said)
    if first == "copy":
        return _copy(said, datasets)
    discards = first == "discard" and [t.text in _DISCARD for t in said[1:]] == [True]
    return Ruling(mine=discards or first == "unlisten")


def _query(said: Sequence[Token], datasets: Collection[str]) -> Ruling:
    named = list(relations(said))
    ours = [_is_catalogue(parts, datasets) for parts in named]
    if any(ours) or (not named and any(_signs(said))):
        return _refused_call(said) or _MINE
    return _NOT_MINE


def _copy(said: Sequence[Token], datasets: Collection[str]) -> Ruling:
    """COPY of a query or a table TO STDOUT: as the query, or a query of the table."""
    if len(said) > 1 and said[1].text == "(":
        return _query(said[2:], datasets)
    named = Token("word", "from")
    return _query((Token("word", "select"), named, *said[1:]), datasets)


def _is_catalogue(parts: Sequence[str], datasets: Collection[str]) -> bool:
    if len(parts) > 1:
        return parts[-2] in SCHEMAS
    return parts[0].startswith("pg_") and parts[0] not in datasets


def _signs(said: Sequence[Token]) -> Iterator[bool]:
    for call in calls(said):
        own = len(call.parts) == 1 or call.parts[-2] in SCHEMAS
        name = call.parts[-1]
        yield own and (name in _FUNCTIONS | _REG or name.startswith("pg_"))
    for before, token, after in zip((None, *said), said, (*said[1:], None), strict=False):
        yield _is_sign(before, token, after)


def _is_sign(before: Token | None, token: Token, after: Token | None) -> bool:
    if token.kind != "word":
        return False
    left = before.text if before else ""
    right = after.text if after else ""
    if token.text in _REG:
        is_type = left in {"::", "as"} or (left == "." and right != ".")
        return is_type or (after is not None and after.kind == "string")
    if token.text in SCHEMAS:
        return right == "." and left in {"::", "as", "collate", "("}
    return token.text in _BARE and left not in {".", "as"} and right != "."


def _refused_call(said: Sequence[Token]) -> Ruling | None:
    for call in calls(said):
        name = call.parts[-1]
        if FORBIDDEN.fullmatch(name) and name not in _HARMLESS:
            return _refuse(
                "42501",
                f"permission denied for function {name}",
                "consumers call no function that waits, writes or looks at the machine",
            )
        if name == "set_config":
            ruling = _set_config(call.arguments)
            if ruling.refusal:
                return ruling
    return None


def _set_config(arguments: Sequence[Token]) -> Ruling:
    """Only names and values that are written out are known to be harmless."""
    name, *rest = _plain_arguments(arguments) or [None]
    if name is None:
        return _refuse("0A000", "set_config needs the setting's name as a plain string")
    value = rest[0] if rest else None
    if name.lower() in _FIXED and value is None:
        return _refuse("0A000", f"set_config needs the value of {name.lower()} as a plain string")
    return _setting(name.lower(), value or "")


def _plain_arguments(arguments: Sequence[Token]) -> list[str | None]:
    """The first two arguments; None for what is more than one plain string."""
    commas = [at for at, token in enumerate(arguments) if token.text == ","]
    starts = [0, *(at + 1 for at in commas)]
    found = [list(arguments[a:b]) for a, b in zip(starts, [*commas, None], strict=True)]
    return [
        part[0].text if len(part) == 1 and part[0].kind == "string" and part[0].plain else None
        for part in found[:2]
    ]


def _set(rest: Sequence[Token]) -> Ruling:
    words = [t.text for t in rest]
    if words[:2] == ["session", "characteristics"]:
        return _MINE
    if words[:2] == ["session", "authorization"]:
        if words[2:] == ["default"]:
            return _MINE
        return _setting("session_authorization", "")
    if words[:1] in (["session"], ["local"]):
        rest, words = rest[1:], words[1:]
    if words[:1] in ([], ["transaction"], ["constraints"]) or words[:2] == ["polyport", "."]:
        return _NOT_MINE
    value = [t for t in rest[1:] if t.text not in {"=", "to"}]
    if any(t.kind == "string" and not t.plain for t in value):
        return _refuse("0A000", f"SET {words[0]} needs a value without escapes")
    return _setting(words[0].lower(), " ".join(t.text for t in value))


def _setting(name: str, value: str) -> Ruling:
    if name in {"role", "session_authorization"}:
        return _refuse("42501", f'permission denied to set "{name}"', "connect as the other user")
    if name.startswith("polyport."):
        return _refuse("0A000", f"{name} is set by a SET statement only", f"SET {name} = '...'")
    allowed = _FIXED.get(name)
    if allowed and not allowed.fullmatch(value.strip()):
        return _refuse(
            "0A000",
            f"{name} cannot be {value.strip()!r}: the data is not sent in that form",
            "rows are sent as UTF8, dates in ISO style, intervals in PostgreSQL's",
        )
    return _MINE


def _show(said: Sequence[Token]) -> Ruling:
    return Ruling(mine=len(said) > 1 and said[1].text != "polyport")


def _refuse(sqlstate: str, message: str, hint: str = "") -> Ruling:
    return Ruling(mine=True, refusal=Refusal(sqlstate, message, hint))
