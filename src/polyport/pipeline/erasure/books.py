"""Takes what was erased out of the ledger: texts lose it, and who asked, agreed or read goes by a pseudonym."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from polyport.ledger.journal import KINDS
from polyport.model import QualityReport, RuleResult, Run, Step, TableFacts
from polyport.pipeline.erasure.wanted import BLANK, Values, mapped

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from polyport.ledger import Ledger
    from polyport.ledger.journal import Journal, Kind
    from polyport.model import Entry

_SPOKEN = frozenset(
    (
        "runs.document",
        "quality_reports.document",
        "reads.purpose",
        "journal.lineage",
        "journal.contract",
    )
)
"""Where a text quotes data; anywhere else it may say who somebody is."""
_PLAIN = {"name", "by", "principal", "purpose"}
"""Texts that are no JSON."""
_RECORDS = (Run, Step, QualityReport, RuleResult, TableFacts)
_ENDS = {"requested": "refused", "approved": "revoked"}


def pseudonym(erasure: str) -> str:
    """What the ledger calls who was erased: `erased-` and the end of the erasure's name."""
    return f"erased-{erasure.rpartition('-')[2]}"


def clean(ledger: Ledger, values: Iterable[str], erasure: str) -> int:
    """Take the values out of the ledger, and end keys and agreements of whom they name; how many rows changed.

    A value that is a name of the ledger's own (a column, a dataset, a role, a field of a document) stays: what was
    agreed and configured must mean what it meant. The proof says so.

    Raises:
        StoreError: It cannot be written, or stays in use.
    """
    words = _words(ledger.journal)
    left = [value for value in values if value.lower() not in words]
    if not left:
        return 0
    who = pseudonym(erasure)
    count = ledger.blank(_Blank(Values(left), who, words))
    return count + _end(ledger.journal, who)


@dataclass(frozen=True, slots=True)
class _Blank:
    seeker: Values
    who: str
    words: frozenset[str]

    def __call__(self, place: str, text: str) -> str:
        mark = BLANK if place in _SPOKEN else self.who
        if place.partition(".")[2] in _PLAIN:
            return self.seeker.blanked(text, mark)
        document = json.loads(text)
        changed = mapped(document, lambda said: self.seeker.blanked(said, mark), self.words)
        return text if changed == document else json.dumps(changed, ensure_ascii=False)


def _words(journal: Journal) -> frozenset[str]:
    """The ledger's own names, in lower case."""
    found = {field.name for record in _RECORDS for field in fields(record)}
    for kind in KINDS:
        for entry in journal.entries(kind):
            found |= {entry.product.lower(), *map(str.lower, _names(entry.document))}
            if kind == "contract":
                found |= {entry.name.lower(), *map(str.lower, _promised(entry))}
    return frozenset(found)


def _names(value: Any) -> Iterator[str]:
    """The names of all members of a JSON document."""
    if isinstance(value, dict):
        yield from value
    for inner in value.values() if isinstance(value, dict) else value:
        if isinstance(inner, dict | list):
            yield from _names(inner)


def _promised(entry: Entry) -> Iterator[str]:
    """The datasets and columns of a contract."""
    waiting: list[Any] = list((entry.document.get("document") or {}).get("schema") or ())
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            yield str(one.get("name") or "")
            waiting += one.get("properties") or ()


def _end(journal: Journal, who: str) -> int:
    """End the keys and agreements of whom is called `who` by now: nobody may come in by that name."""
    ended, now = 0, datetime.now(UTC).isoformat()
    for entry in _standing(journal, "key"):
        if who in entry.document["principal"] and not entry.document["revoked"]:
            revoked = {**entry.document, "revoked": now}
            journal.append("key", entry.name, revoked, by="owner", based=entry.seq)
            ended += 1
    for entry in _standing(journal, "agreement"):
        told = entry.document
        consumer = told["agreement"]["consumer"].get("userId") or ""
        if who in consumer and told["decision"] in _ENDS:
            ends = {**told, "decision": _ENDS[told["decision"]], "note": f"{consumer} was erased"}
            journal.append(
                "agreement", entry.name, ends, product=entry.product, by="owner", based=entry.seq
            )
            ended += 1
    return ended


def _standing(journal: Journal, kind: Kind) -> Iterable[Entry]:
    """The newest entry of each name."""
    return {(e.product, e.name): e for e in journal.entries(kind)}.values()
