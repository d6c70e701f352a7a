"""A look through every byte that is kept of a product."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast, get_args
from urllib.parse import unquote

from polyport.pipeline.erasure.pieces import Piece, UnreadableError, pieces
from polyport.pipeline.erasure.types import Found, Kind, Survey
from polyport.pipeline.erasure.wanted import Hits
from polyport.pipeline.folders import safe
from polyport.ports.output import Keeping
from polyport.store.layout import plain
from polyport.store.layout import safe as store_safe

if TYPE_CHECKING:
    from collections.abc import Iterator

    from polyport.pipeline.erasure.types import Scene

PLANS = "erasures"
"""The folder of erasures that are going on: what they look for stands there until they end."""
_OWNED = {"store", "raw", "quarantine", "logs", "keyed", PLANS}
_PLACES = 5
"""Places within one file that are told."""


class Seeker(Protocol):
    """Knows what is looked for."""

    def hits(self, piece: Piece) -> Hits:
        """How often a piece holds it."""
        ...

    def blanked(self, text: str) -> str:
        """A text without it."""
        ...


def survey(scene: Scene, seeker: Seeker) -> Survey:
    """Where the product keeps what `seeker` looks for. What is written meanwhile may be missed."""
    mine: list[Found] = []
    others: list[Found] = []
    unread: list[str] = []
    files = size = 0
    scene.ledger.flush()
    for kind, path, product in places(scene):
        try:
            count, where = look(path, seeker)
            size += path.stat().st_size
        except FileNotFoundError:  # a reader's or a run's own, and gone since
            continue
        except (UnreadableError, OSError) as error:
            unread.append(f"{_told(scene, path)}: {error}")
            continue
        files += 1
        if count:
            found = Found(kind, _told(scene, path), count, where, product)
            (others if product else mine).append(found)
    if not scene.ledger.file:
        total = sum((seeker.hits(Piece(text)) for _, text in scene.ledger.texts()), Hits())
        mine += [Found("ledger", "ledger", total.count)] if total.count else []
    return Survey(files, size, tuple(mine), tuple(others), tuple(unread))


def look(path: Path, seeker: Seeker) -> tuple[int, tuple[str, ...]]:
    """How often a file holds what `seeker` looks for, and where in it.

    Raises:
        UnreadableError: It cannot be looked into.
        OSError: It cannot be read.
    """
    total, where = Hits(), Counter[str]()
    named = seeker.blanked(path.name) != path.name
    for piece in pieces(path):
        hits = seeker.hits(piece)
        total += hits
        if hits.exact:
            where[piece.where] += hits.exact
    count = total.count + named
    return count, tuple(name for name, _ in where.most_common(_PLACES) if name) if count else ()


def places(scene: Scene) -> Iterator[tuple[Kind, Path, str]]:
    """Every kept file: its kind, where it lies, and the other product that it belongs to."""
    for path in _files(scene.state):
        parts = path.relative_to(scene.state).parts
        owner = _owner(scene, parts)
        if parts[0] != PLANS or owner:
            yield _kind(parts[0]), path, owner
    ledger = Path(scene.ledger.file)
    if scene.ledger.file and not ledger.is_relative_to(scene.state):
        logs = [ledger.with_name(f"{ledger.name}{end}") for end in ("", "-wal")]
        yield from (("ledger", path, "") for path in logs if path.exists())
    for folder in export_folders(scene):
        if not folder.is_relative_to(scene.state):
            yield from (("exports", path, "") for path in _files(folder))


def export_folders(scene: Scene) -> list[Path]:
    """Where ports have pushed files to."""
    keeping = [port for port in scene.pushed if isinstance(port, Keeping)]
    found = [folder for port in keeping for folder in port.targets(scene.product.home)]
    return [folder for folder in dict.fromkeys(found) if folder.is_dir()]


def _files(folder: Path) -> Iterator[Path]:
    for root, _, names in os.walk(folder):
        for name in sorted(names):
            path = Path(root, name)
            if not path.is_symlink() and path.is_file():
                yield path


def _kind(top: str) -> Kind:
    if top.startswith("ledger."):
        return "ledger"
    return cast("Kind", top) if top in get_args(Kind) else "other"


def _owner(scene: Scene, parts: tuple[str, ...]) -> str:
    """The other product whose folder this is; empty for this one's, and for what is shared."""
    if parts[0] not in _OWNED or len(parts) < 3:  # noqa: PLR2004 - kind, product, file
        return ""
    own = store_safe(scene.product.id) if parts[0] == "store" else safe(scene.product.id)
    if parts[1] in (own, safe(scene.product.id)):
        return ""
    return plain(parts[1]) if parts[0] == "store" else unquote(parts[1])


def _told(scene: Scene, path: Path) -> str:
    near = path.is_relative_to(scene.state)
    return path.relative_to(scene.state).as_posix() if near else str(path)
