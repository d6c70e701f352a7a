"""Column masks: what stands in a column's place, as SQL with bound parameters, and in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.types as pt

from polyport.errors import AccessError
from polyport.expression import quote

if TYPE_CHECKING:
    from collections.abc import Callable

KINDS = ("null", "hash", "partial", "constant", "year", "month", "prefix", "round")


@dataclass(frozen=True, slots=True)
class Mask:
    """A mask as written in the policy: `hash`, `partial:2`, `constant:withheld`."""

    kind: str
    argument: str = ""

    @classmethod
    def parse(cls, text: str) -> Mask:
        """The mask that `text` names.

        Raises:
            AccessError: There is no such mask. What cannot be masked is not shown.
        """
        kind, _, argument = text.partition(":")
        if kind not in KINDS:
            raise AccessError(
                f"the policy names an unknown mask {text!r}", fix=f"one of: {', '.join(KINDS)}"
            )
        return cls(kind, argument)

    @property
    def words(self) -> str:
        """What a person is told: `shown as a hash`."""
        return _WORDS[self.kind].format(self.argument or 1)

    @property
    def text_only(self) -> bool:
        """True where the masked column is text, whatever it was."""
        return self.kind in ("hash", "partial", "constant", "prefix")

    def fits(self, kind: pa.DataType) -> bool:
        """Whether a column of that type can be shown so."""
        if self.kind in ("year", "month"):
            return bool(pt.is_date(kind) or pt.is_timestamp(kind))
        numbers = pt.is_integer(kind) or pt.is_floating(kind) or pt.is_decimal(kind)
        return bool(self.kind != "round" or numbers)

    def sql(self, *, field: pa.Field, salt: str, bind: Callable[[Any], str]) -> str:
        """The expression shown in place of the column `field`; null stays null but for a constant."""
        name = quote(field.name)
        match self.kind:
            case "null":
                return f"CASE WHEN FALSE THEN {name} END"
            case "hash":
                return f"left(sha256({bind(salt)}::VARCHAR || {name}::VARCHAR), 16)"
            case "constant":
                return f"{bind(self.argument)}::VARCHAR"
            case "year" | "month":
                day = "::DATE" if pt.is_date(field.type) else ""
                return f"date_trunc('{self.kind}', {name}){day}"
            case "round":
                # A value without room for its rounded form in its type (127 to tens) is withheld.
                return f"TRY(round({name}, {-self._number()}))"
        shown = f"left({name}::VARCHAR, {self._number()})"
        return f"{shown} || '***'" if self.kind == "partial" else shown

    def _number(self) -> int:
        try:
            return int(self.argument or 1)
        except ValueError:
            raise AccessError(f"the mask {self.kind}:{self.argument} needs a number") from None


_WORDS = {
    "null": "withheld",
    "hash": "shown as a hash",
    "partial": "only its first {} characters shown",
    "constant": "shown as {!r}",
    "year": "shown by year",
    "month": "shown by month",
    "prefix": "cut after {} characters",
    "round": "rounded to 10^{}",
}
