"""Tombstones: whom an erasure removed, as keyed hashes, so that they are known again and cannot be looked up.

An HMAC-SHA256 under the product's secret; the same over a row's columns in SQL and over a word in Python.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import zlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from polyport.expression import quote
from polyport.model import Files, Relation
from polyport.pipeline.erasure.wanted import BEFORE, BLANK, Hits, mapped, text_forms

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from polyport.engine import Engine
    from polyport.ledger.journal import Journal
    from polyport.model import QualityReport, RuleResult, Run, Step
    from polyport.pipeline.erasure.pieces import Piece

_BLOCK = 64
"""Bytes of a block of SHA-256."""
_START = re.compile(BEFORE + r"[^\W_]")
ANY = "*"
"""In the place of columns: any text cell of a row."""


@dataclass(frozen=True, slots=True)
class Hashing:
    """Keyed hashes (RFC 2104) under one secret."""

    salt: str

    def of(self, text: str) -> str:
        """The hash of a text."""
        return hmac.new(self._key, text.encode("utf-8", "surrogatepass"), "sha256").hexdigest()

    def row(self, values: Sequence[str | None]) -> str:
        """The hash of a row's values, as `sql` gives it."""
        return self.of("".join("-" if v is None else f"{len(v)}:{v}" for v in values))

    def word(self, text: str) -> str:
        """The hash of a value as it is looked for in texts and cells, whatever its case."""
        return self.of(f"word:{text.lower()}")

    def sql(self, text: str) -> str:
        """SQL for the hash of the SQL text `text`; takes `params`."""
        return f"sha256($_outer || unhex(sha256($_inner || encode({text}))))"

    def row_sql(self, columns: Sequence[str]) -> str:
        """SQL for the hash of a row's columns."""
        parts = [
            f"coalesce(length({c}) || ':' || {c}, '-')"
            for c in (f"CAST({quote(name)} AS VARCHAR)" for name in columns)
        ]
        return self.sql(" || ".join(parts))

    def cell_sql(self, column: str) -> str:
        """SQL for the hash of a cell, as `word` gives it; null for none."""
        return self.sql(f"'word:' || lower({quote(column)})")

    @property
    def params(self) -> dict[str, bytes]:
        """What `sql` takes."""
        key = self._key.ljust(_BLOCK, b"\0")
        inner, outer = (bytes(b ^ pad for b in key) for pad in (0x36, 0x5C))
        return {"_inner": inner, "_outer": outer}

    @property
    def _key(self) -> bytes:
        key = self.salt.encode()
        return key if len(key) <= _BLOCK else hashlib.sha256(key).digest()


@dataclass(frozen=True, slots=True)
class Stone:
    """Rows of a dataset that must not come back."""

    dataset: str
    columns: tuple[str, ...]
    """What identifies them; `("*",)`: any text cell; `("*", "name")`: a cell of that column."""
    digests: frozenset[str]
    proved: bool = False
    """Whether the erasure was proved: then no other dataset of the product showed what it looked for."""

    def document(self) -> dict[str, Any]:
        """As the journal keeps it."""
        return {
            "dataset": self.dataset,
            "columns": list(self.columns),
            "digests": sorted(self.digests),
        }


@dataclass(frozen=True, slots=True)
class Marks:
    """Looks for values of which only the hashes are known, in decoded text; in bytes alone it finds nothing."""

    hashing: Hashing
    digests: frozenset[str] = frozenset()
    lengths: frozenset[int] = frozenset()

    @classmethod
    def of(cls, values: Iterable[str], hashing: Hashing) -> Marks:
        """The marks of values, in each form that a text may have them in."""
        forms = {_trimmed(f) for v in values for f in text_forms(v)} - {""}
        return cls(
            hashing, frozenset(map(hashing.word, forms)), frozenset(len(f.lower()) for f in forms)
        )

    def document(self) -> dict[str, Any]:
        """As the journal keeps it."""
        return {"digests": sorted(self.digests), "lengths": sorted(self.lengths)}

    def hits(self, piece: Piece) -> Hits:
        """How often a piece holds one of the values, as a whole."""
        content = piece.content
        if isinstance(content, pa.Array):
            cells = content.unique().to_pylist()
            return Hits(sum(len(self._spans(text)) for text in cells if text))
        if isinstance(content, bytes):
            return Hits()
        return Hits(sum(end > piece.carried for _, end in self._spans(content)))

    def blanked(self, text: str) -> str:
        """`text` with `[erased]` in the place of each value that stands there as a whole."""
        parts, at = [], 0
        for start, end in self._spans(text):
            if start >= at:
                parts += [text[at:start], BLANK]
                at = end
        return "".join((*parts, text[at:]))

    def _spans(self, text: str) -> list[tuple[int, int]]:
        found = []
        for start in (m.start() for m in _START.finditer(text)):
            for length in self.lengths:
                end = start + length
                if end > len(text) or (end < len(text) and text[end].isalnum()):
                    continue
                if text[end - 1].isalnum() and self.hashing.word(text[start:end]) in self.digests:
                    found.append((start, end))
                    break
        return found


def _trimmed(text: str) -> str:
    """Without what is no letter or digit at either end: there a word begins and ends."""
    return re.sub(r"^[\W_]+|[\W_]+$", "", text)


@dataclass(frozen=True, slots=True)
class Tombstones:
    """All that was ever erased from a product."""

    hashing: Hashing
    stones: tuple[Stone, ...] = ()
    marks: Marks | None = None

    def __bool__(self) -> bool:
        return bool(self.stones or self.marks)

    def speaks_of(self, dataset: str) -> bool:
        """Whether anything was erased from `dataset`."""
        return any(stone.dataset == dataset for stone in self.stones)

    def condition(self, dataset: str, schema: pa.Schema) -> Relation | None:
        """A relation's `where` and `params` for the rows of `dataset` that were erased; None where none can be."""
        terms: list[str] = []
        params: dict[str, Any] = {}
        own = f"_stone_{zlib.crc32(dataset.encode('utf-8', 'surrogatepass'))}"  # one query may read several tables
        for number, stone in enumerate(s for s in self.stones if s.dataset == dataset):
            hashes, name = self._hashes(stone, schema), f"{own}_{number}"
            params |= {name: sorted(stone.digests)} if hashes else {}
            terms += [f"coalesce(list_contains(${name}, {sql}), FALSE)" for sql in hashes]
        if not terms:
            return None
        where = " OR ".join(terms)
        return Relation(Files(()), where=where, params={**params, **self.hashing.params})

    def _hashes(self, stone: Stone, schema: pa.Schema) -> list[str]:
        if stone.columns[0] == ANY:
            cells = [n for n in text_columns(schema) if not stone.columns[1:] or n in stone.columns]
            return [self.hashing.cell_sql(name) for name in cells]
        there = set(stone.columns) <= set(schema.names)
        return [self.hashing.row_sql(stone.columns)] if there else []

    def run(self, said: Run) -> Run:
        """The run with no erased value in what it says."""
        if self.marks is None:
            return said
        steps = tuple(self._step(step) for step in said.steps)
        return replace(said, steps=steps, error=self.marks.blanked(said.error))

    def report(self, said: QualityReport) -> QualityReport:
        """The quality report with no erased value in what it says."""
        if self.marks is None:
            return said
        return replace(said, results=tuple(self._result(r) for r in said.results))

    def document(self, said: Mapping[str, Any]) -> Mapping[str, Any]:
        """A JSON document with no erased value in what it says."""
        found: Mapping[str, Any] = mapped(dict(said), self.marks.blanked) if self.marks else said
        return found

    def _step(self, step: Step) -> Step:
        blanked = self.marks.blanked if self.marks else str
        refused = {blanked(reason): rows for reason, rows in step.refused.items()}
        return replace(step, detail=blanked(step.detail), refused=refused)

    def _result(self, result: RuleResult) -> RuleResult:
        blanked = self.marks.blanked if self.marks else str
        measured = result.measured
        return replace(
            result,
            reason=blanked(result.reason),
            measured=blanked(measured) if isinstance(measured, str) else measured,
        )


def text_columns(schema: pa.Schema) -> list[str]:
    """The columns that hold text."""
    return [
        f.name for f in schema if pa.types.is_string(f.type) or pa.types.is_large_string(f.type)
    ]


def load(journal: Journal, product: str, salt: str) -> Tombstones:
    """The tombstones of a product.

    Raises:
        StoreError: The journal cannot be read.
    """
    hashing = Hashing(salt)
    newest = {e.name: e.document for e in journal.entries("erasure", product=product)}
    stones = [
        Stone(
            s["dataset"],
            tuple(s["columns"]),
            frozenset(s["digests"]),
            document["state"] == "done",
        )
        for document in newest.values()
        for s in document["stones"]
    ]
    marks = [document["marks"] for document in newest.values()]
    known = Marks(
        hashing,
        frozenset(d for m in marks for d in m["digests"]),
        frozenset(n for m in marks for n in m["lengths"]),
    )
    return Tombstones(hashing, tuple(stones), known if known.digests else None)


def digests(
    relation: Relation, columns: Sequence[str], hashing: Hashing, engine: Engine
) -> frozenset[str]:
    """The hashes of the rows that `relation` shows."""
    sql = f"SELECT DISTINCT {hashing.row_sql(columns)} AS digest FROM held"
    params: Mapping[str, Any] = {**relation.params, **hashing.params}
    with engine.query(sql, {"held": replace(relation, params=params)}) as reader:
        return frozenset(reader.read_all()["digest"].to_pylist())
