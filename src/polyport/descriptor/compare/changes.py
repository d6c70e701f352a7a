"""What a comparison gives: each change with its verdict for the data's consumers, and what they add up to."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

from polyport.descriptor.compare import versions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from polyport.descriptor.yaml import Steps

Verdict: TypeAlias = Literal["breaking", "risky", "compatible"]
"""What a change does to those who read the data: stops them, may mislead or stop some, or leaves them as they are."""
Level: TypeAlias = Literal["MAJOR", "MINOR", "PATCH"]
"""The part of a semantic version that the change raises."""
Type: TypeAlias = Literal["ADD", "REMOVE", "CHANGE"]
Kind: TypeAlias = Literal["DataContract", "DataProduct"]
VERDICTS: tuple[Verdict, ...] = ("breaking", "risky", "compatible")


class Judged(NamedTuple):
    """A verdict and why."""

    verdict: Verdict
    level: Level
    reason: str


def breaking(reason: str) -> Judged:
    """Consumers fail, or take wrong values for right ones."""
    return Judged("breaking", "MAJOR", reason)


def risky(reason: str) -> Judged:
    """Some consumers may fail or be misled: they should look."""
    return Judged("risky", "MINOR", reason)


def minor(reason: str) -> Judged:
    """Consumers get more than before."""
    return Judged("compatible", "MINOR", reason)


def patch(reason: str) -> Judged:
    """Only words differ."""
    return Judged("compatible", "PATCH", reason)


@dataclass(frozen=True, slots=True)
class Change:
    """One atomic difference."""

    type: Type
    verdict: Verdict
    level: Level
    reason: str
    """One sentence, for a person."""
    section: str
    """The document's top-level field that it lies in."""
    field: str
    """The field that changed; of an item of a list, the list's name."""
    path: str
    """`/schema[name=films]/properties[name=title]/required`. Resolves in the new document; of what is removed or
    renamed, in the old one."""
    old: Any = None
    new: Any = None
    at: Steps = ()
    """Where it stands in the new document, or what was around it there."""
    dataset: str = ""
    """The schema object as consumers know it, by the old document; empty outside of `schema`."""
    column: str = ""
    """The same of the column; of a nested one, the column that it is in."""


@dataclass(frozen=True, slots=True)
class Source:
    """One side of a comparison."""

    id: str
    version: str


@dataclass(frozen=True, slots=True)
class Difference:
    """All changes between two documents, in the order of the new one; what is gone comes after what is there."""

    kind: Kind
    old: Source
    new: Source
    changes: tuple[Change, ...] = ()

    @property
    def counts(self) -> Mapping[Verdict, int]:
        """How many changes there are of each verdict."""
        found = Counter(change.verdict for change in self.changes)
        return {verdict: found[verdict] for verdict in VERDICTS}

    @property
    def levels(self) -> Mapping[Level, int]:
        """How many changes there are of each level."""
        found = Counter(change.level for change in self.changes)
        return {"MAJOR": found["MAJOR"], "MINOR": found["MINOR"], "PATCH": found["PATCH"]}

    @property
    def level(self) -> Level | None:
        """The highest level of its changes; None: there are none."""
        return next((level for level, count in self.levels.items() if count), None)

    @property
    def suggested(self) -> str:
        """The version that the new document should have, at least; empty where the old one's is not semantic."""
        return versions.raised(self.old.version, self.level)

    def of(self, verdict: Verdict) -> tuple[Change, ...]:
        """The changes with that verdict."""
        return tuple(change for change in self.changes if change.verdict == verdict)
