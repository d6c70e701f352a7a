"""What an erasure is asked for, and what it tells. None of what it tells holds an erased value."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from polyport.descriptor.types import DataProduct
    from polyport.engine import Engine
    from polyport.ledger import Ledger
    from polyport.ports.output import Pushed
    from polyport.store.local import LocalStore

Kind = Literal[
    "store", "raw", "quarantine", "logs", "keyed", "scratch", "ledger", "exports", "other"
]


@dataclass(frozen=True, slots=True)
class Target:
    """Rows of one dataset that are to go."""

    dataset: str
    where: str
    """A filter in the language of policies."""
    columns: tuple[str, ...] = ()
    """Whose values identify the person or entity; empty: those that the filter names."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be erased, and why."""

    targets: tuple[Target, ...] = ()
    also: tuple[str, ...] = ()
    """More values that the person or entity is known by."""
    everywhere: bool = False
    """Rows of any dataset go, too, if one of their text cells is one of the values."""
    reason: str = ""
    patience: float = 60.0
    """Seconds to wait for runs and readers."""


@dataclass(frozen=True, slots=True)
class Scene:
    """One product with all that is kept of it."""

    product: DataProduct
    state: Path
    store: LocalStore
    engine: Engine
    ledger: Ledger
    salt: str
    pushed: Sequence[Pushed]
    clock: Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class Found:
    """A kept file that holds what was looked for."""

    kind: Kind
    path: str
    """Relative to the state folder, where it lies below."""
    hits: int
    where: tuple[str, ...] = ()
    """`column title`, `xl/sharedStrings.xml`."""
    product: str = ""
    """Another product that it belongs to."""


@dataclass(frozen=True, slots=True)
class Survey:
    """What a look through every kept byte found."""

    files: int
    bytes: int
    found: tuple[Found, ...]
    elsewhere: tuple[Found, ...] = ()
    """In what other products of the same state folder keep."""
    unread: tuple[str, ...] = ()
    """Files that could not be looked into, with the reason. Nothing is proved then."""

    @property
    def proved(self) -> bool:
        """Whether every byte that is kept of the product was looked at, and none holds it."""
        return not self.found and not self.unread


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A column that mentions who is looked for in rows that were not named."""

    dataset: str
    column: str
    rows: int
    """In the kept snapshot that has most of them."""
    personal: bool
    """Whether a contract classifies it (other than public or internal), or tags it or its dataset as personal data."""


@dataclass(frozen=True, slots=True)
class Preview:
    """What an erasure would do."""

    values: int
    """How many different values identify what is to be erased."""
    rows: Mapping[int, Mapping[str, int]]
    """Snapshot -> dataset -> rows that would go."""
    survey: Survey
    suggested: tuple[Suggestion, ...] = ()
    """What was not named, the personal first."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an erasure did."""

    id: str
    at: datetime
    rows: Mapping[int, Mapping[str, int]]
    removed: Mapping[str, int] = field(default_factory=dict)
    """What else was removed or written anew: `raw objects` -> 3."""
    readers: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    """Snapshots whose old files are still read, and by which processes."""
    foreign: tuple[str, ...] = ()
    """Ports that wrote elsewhere and cannot take it back: theirs is still to do."""
    survey: Survey = field(default_factory=lambda: Survey(0, 0, ()))
    suggested: tuple[Suggestion, ...] = ()
    """What was not named, the personal first."""

    @property
    def done(self) -> bool:
        """Whether nothing is left."""
        return self.survey.proved and not self.readers
