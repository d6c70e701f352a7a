"""Going on where the last fetch ended, by a field that only grows."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from polyport.errors import InputError
from polyport.ports.input import _records
from polyport.ports.input._infer import person_text
from polyport.ports.input._settings import Settings

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Incremental:
    """The setting `incremental`."""

    cursor: _records.Path
    """Where, in a record, the value is that grows."""
    param: str
    """The parameter that asks for records from a value on."""
    start: str = ""
    """What to ask for the first time; empty: everything."""

    def text_of(self, record: dict[str, Any]) -> str:
        """The record's value as a text; empty where it has none."""
        value = _records.maybe(record, self.cursor)
        return "" if value is None else person_text(value)


def incremental(given: Settings) -> Incremental | None:
    """The setting `incremental`: a field's name, or `{cursor, param, start}`."""
    raw = given.values.get("incremental")
    if not raw:
        return None
    raw = {"cursor": raw} if isinstance(raw, str) else raw
    inner = Settings({"incremental": raw}, given.where).inner(
        "incremental", ("cursor", "param", "start")
    )
    inner.required("cursor", "updated_at")
    path = _records.parse(inner.text("cursor"), given.where)
    start = inner.values.get("start", "")
    return Incremental(path, inner.text("param", "since"), person_text(start))


class News:
    """Counts what a fetch brings that was not held before, and how far it reaches."""

    def __init__(self, rule: Incremental | None, cursor: str, held: Counter[bytes]) -> None:
        self.rule, self.cursor = rule, cursor if rule else ""
        self.since, self.held = cursor, held
        self.records = 0

    def take(self, found: Sequence[dict[str, Any]], what: str, where: str) -> None:
        """Take one page's records into account.

        Raises:
            InputError: One lacks the cursor's field, or its values cannot be compared.
        """
        for index, record in enumerate(found, 1):
            if self.rule is None:
                self.records += 1
                continue
            value = self.rule.text_of(record)
            if not value:
                raise InputError(
                    f"{what}, record {index} has no {_records.shown(self.rule.cursor)}",
                    where=where,
                    fix="`incremental` must name a field that every record has",
                )
            self.records += not self._again(record, value)
            if not self.cursor or _later(value, self.cursor):
                self.cursor = value

    def _again(self, record: dict[str, Any], value: str) -> bool:
        """True for a record that is held already: an API may send those at the cursor once more."""
        mark = digest(record) if value == self.since and self.held else b""
        if not self.held[mark]:
            return False
        self.held[mark] -= 1
        return True


def digest(record: dict[str, Any]) -> bytes:
    """What two records share if and only if they are equal."""
    text = json.dumps(record, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=16).digest()


def _later(value: str, than: str) -> bool:
    try:
        return Decimal(value) > Decimal(than)
    except InvalidOperation:
        return value > than
