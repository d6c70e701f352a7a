"""What is looked for: the values themselves, in every form in which a file may hold them; and writing them over."""

from __future__ import annotations

import html
import json
import re
import unicodedata
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus

import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from polyport.pipeline.erasure.pieces import Piece

SHORTEST = 4
"""Characters: what is shorter stands in every other file by chance."""
LONGEST = 1_000
BLANK = "[erased]"
BEFORE = r"(?:(?<![^\W_])|(?<=\\[nrtbf])|(?<=\\u[0-9a-fA-F]{4})|(?<=%[0-9a-fA-F]{2}))"
"""Not within a word: nothing, no letter or digit before, or the end of an escape."""
_SPECIAL = re.compile(r"[\\^$.|?*+()\[\]{}]")
_AFTER = r"(?![^\W_])"


@dataclass(frozen=True, slots=True)
class Hits:
    """How often something was found."""

    exact: int = 0
    """As a whole, or in bytes."""
    longer: int = 0
    """Within a longer word: `Ann` in `Annabel`, which is somebody else."""
    raw: int = 0
    """Of `exact`, those in bytes, where words cannot be told apart."""

    def __add__(self, other: Hits) -> Hits:
        return Hits(self.exact + other.exact, self.longer + other.longer, self.raw + other.raw)

    @property
    def count(self) -> int:
        """What counts. Bytes alone do not, where what they decode to has the value within longer words only."""
        only_raw = self.longer and self.exact == self.raw
        return 0 if only_raw else self.exact


def text_forms(value: str) -> tuple[str, ...]:
    """The forms of a value in a text, longest first: as it is, decomposed, escaped for JSON, Python, XML, CSV, URLs."""
    forms: dict[str, None] = {}
    for plain in (value, *(unicodedata.normalize(n, value) for n in ("NFC", "NFD"))):
        escaped = (
            plain,
            json.dumps(plain)[1:-1],
            json.dumps(plain, ensure_ascii=False)[1:-1],
            repr(plain)[1:-1],
            html.escape(plain),
            html.escape(plain, quote=False),
            plain.encode("ascii", "xmlcharrefreplace").decode("ascii"),
            plain.replace('"', '""'),
            plain.replace("'", "''"),
            quote(plain),
            quote(plain, safe=""),
            quote_plus(plain),
        )
        forms |= dict.fromkeys(escaped)
    return tuple(sorted(forms, key=len, reverse=True))


def _byte_forms(value: str) -> set[bytes]:
    found: set[bytes] = set()
    for form in text_forms(value):
        for case in (form, form.lower(), form.upper(), form.title()):
            found |= {case.encode(e, "surrogatepass") for e in ("utf-8", "utf-16-le", "utf-16-be")}
            found.add(case.encode("cp1252", "replace") if _fits(case) else case.encode("utf-8"))
    return found


def _fits(text: str) -> bool:
    try:
        text.encode("cp1252")
    except UnicodeEncodeError:
        return False
    return True


class Values:
    """Looks for values, in whatever case they are written."""

    def __init__(self, values: Iterable[str]) -> None:
        """`values`: of 4 to 1,000 characters each."""
        self.values = tuple(dict.fromkeys(values))
        forms = sorted({f for v in self.values for f in text_forms(v)}, key=len, reverse=True)
        self._any = re.compile("|".join(map(re.escape, forms)), re.IGNORECASE)
        self._whole = re.compile("|".join(map(_bounded, forms)), re.IGNORECASE)
        raw = sorted({f for v in self.values for f in _byte_forms(v)}, key=len, reverse=True)
        self._raw = re.compile(b"|".join(map(re.escape, raw)), re.IGNORECASE)

    @cached_property
    def _first(self) -> str:
        """A pattern for the engine of Arrow: quick, and finds whatever may be one."""
        plain = {f for v in self.values for f in text_forms(v)}
        return "|".join(_SPECIAL.sub(r"\\\g<0>", f) for f in sorted(plain))

    def hits(self, piece: Piece) -> Hits:
        """How often a piece holds one of the values."""
        content = piece.content
        if isinstance(content, bytes):
            found = sum(m.end() > piece.carried for m in self._raw.finditer(content))
            return Hits(found, raw=0 if piece.alone else found)
        if isinstance(content, str):
            return self._in_text(content, piece.carried)
        return sum((self._in_text(text) for text in self._cells(content)), Hits())

    def _cells(self, array: pa.Array) -> list[str]:
        found = pc.match_substring_regex(array, self._first, ignore_case=True)
        return [text for text in array.filter(found).to_pylist() if text is not None]

    def _in_text(self, text: str, carried: int = 0) -> Hits:
        anywhere = sum(m.end() > carried for m in self._any.finditer(text))
        if not anywhere:
            return Hits()
        whole = sum(m.end() > carried for m in self._whole.finditer(text))
        return Hits(whole, max(anywhere - whole, 0))

    def blanked(self, text: str, mark: str = BLANK) -> str:
        """`text` with `mark` in the place of each value that stands there as a whole."""
        return self._whole.sub(lambda _: mark, text)


def _bounded(form: str) -> str:
    before = BEFORE if form[0].isalnum() else ""
    after = _AFTER if form[-1].isalnum() else ""
    return f"{before}{re.escape(form)}{after}"


def mapped(value: Any, change: Callable[[str], str], kept: Collection[str] = frozenset()) -> Any:
    """A JSON document with every string as `change` gives it; of names those that are not among `kept`."""
    if isinstance(value, dict):
        return {
            k if k.lower() in kept else change(k): mapped(v, change, kept) for k, v in value.items()
        }
    if isinstance(value, list | tuple):
        return [mapped(v, change, kept) for v in value]
    return change(value) if isinstance(value, str) else value
