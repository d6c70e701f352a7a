"""The settings of a session that the built-in catalogue knows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from polyport.ports.output.sql.catalogue.lexer import tokens

if TYPE_CHECKING:
    from collections.abc import Mapping

VERSION = "15.0"
"""The PostgreSQL whose protocol and catalogue the built-in one follows."""
REPORTED = (
    "application_name", "client_encoding", "DateStyle", "default_transaction_read_only", "in_hot_standby",
    "integer_datetimes", "IntervalStyle", "is_superuser", "server_encoding", "server_version",
    "session_authorization", "standard_conforming_strings", "TimeZone",
)  # fmt: skip
"""Those that a server tells of by itself."""
DEFAULTS = {
    "application_name": "", "bytea_output": "hex", "client_encoding": "UTF8", "client_min_messages": "notice",
    "DateStyle": "ISO, MDY", "default_transaction_isolation": "repeatable read",
    "default_transaction_read_only": "on", "extra_float_digits": "1", "in_hot_standby": "off",
    "integer_datetimes": "on", "IntervalStyle": "postgres", "is_superuser": "off", "jit": "off",
    "lock_timeout": "0", "max_identifier_length": "63", "max_index_keys": "32",
    "idle_in_transaction_session_timeout": "0", "row_security": "on", "server_encoding": "UTF8",
    "server_version": VERSION, "server_version_num": "150000", "standard_conforming_strings": "on",
    "statement_timeout": "0", "TimeZone": "UTC", "transaction_isolation": "repeatable read",
    "transaction_read_only": "on", "ssl": "off", "default_tablespace": "", "lc_collate": "C", "lc_ctype": "C",
    "synchronous_commit": "on", "idle_session_timeout": "0", "transaction_timeout": "0", "work_mem": "4MB",
    "session_replication_role": "origin", "transaction_deferrable": "off", "default_transaction_deferrable": "off",
    "lc_messages": "C", "lc_monetary": "C", "lc_numeric": "C", "lc_time": "C", "xmloption": "content",
}  # fmt: skip
"""All settings, with what they are at first."""
SHOWN = {"timezone": "TimeZone", "transactionisolationlevel": "transaction_isolation"}
"""What SHOW calls some of them, without blanks."""
_FIXED = frozenset(
    [
        "server_version",
        "server_version_num",
        "server_encoding",
        "integer_datetimes",
        "is_superuser",
        "in_hot_standby",
        "max_identifier_length",
        "max_index_keys",
        "ssl",
        "lc_collate",
        "lc_ctype",
        "session_authorization",
    ]
)


class Settings:
    """The settings of one session; names in any case."""

    def __init__(self, user: str, path: str) -> None:
        self._first = {**DEFAULTS, "session_authorization": user, "search_path": path}
        self._names = {name.lower(): name for name in self._first}
        self.values = dict(self._first)

    def reported(self) -> Mapping[str, str]:
        """What a server tells of by itself."""
        return {name: self.values[name] for name in REPORTED}

    def get(self, name: str) -> str | None:
        """The value of a setting; None where there is no such setting."""
        return self.values.get(self._names.get(name.lower(), name))

    def set(self, name: str, value: str) -> None:
        """Set it.

        Raises:
            LookupError: There is no such setting.
            ValueError: It cannot be changed.
        """
        known = self._names.get(name.lower())
        if known is None and "." in name:
            known = self._names.setdefault(name.lower(), name)
            self._first[known] = ""
        if known is None:
            raise LookupError(name)
        if known in _FIXED:
            raise ValueError(name)
        if known == "client_encoding":
            value = "UTF8"
        if known == "DateStyle":
            value = _date_style(value, self.values[known])
        self.values[known] = self._first[known] if value.lower() == "default" else value

    def reset(self, name: str = "") -> None:
        """Set `name`, or all, to what it was at first.

        Raises:
            LookupError: There is no such setting.
        """
        if not name:
            self.values = dict(self._first)
        elif self.get(name) is None:
            raise LookupError(name)
        else:
            known = self._names[name.lower()]
            self.values[known] = self._first[known]


def _date_style(asked: str, before: str) -> str:
    """As PostgreSQL tells it: the style, which is always ISO, and the order."""
    orders = {
        "dmy": "DMY",
        "european": "DMY",
        "ymd": "YMD",
        "mdy": "MDY",
        "us": "MDY",
        "noneuropean": "MDY",
    }
    if asked.lower() == "default":
        return asked
    found = [orders[word] for word in asked.lower().replace(",", " ").split() if word in orders]
    return f"ISO, {found[-1] if found else before[-3:]}"


def assigned(sql: str) -> tuple[str, str]:
    """The setting and the value of a SET statement; the name is empty for SESSION CHARACTERISTICS."""
    said = list(tokens(sql.strip().removesuffix(";")))[1:]
    if [t.text for t in said[:2]] == ["session", "characteristics"]:
        return "", ""
    if [t.text for t in said[:2]] == ["session", "authorization"]:
        return "", ""
    if said and said[0].text in {"session", "local"}:
        said = said[1:]
    words = [t.text for t in said]
    if words[:2] == ["time", "zone"]:
        return "TimeZone", _value(words[2:])
    if words[:1] == ["names"]:
        return "client_encoding", _value(words[1:])
    at = next((i for i, w in enumerate(words) if w in {"=", "to"}), len(words))
    return "".join(words[:at]), _value(words[at + 1 :])


def _value(words: list[str]) -> str:
    return "".join(", " if word == "," else word for word in words)
