"""Takes what was erased out of what is kept beside the store: raw files, quarantine, logs, caches, the ledger."""

from __future__ import annotations

import json
import os
from collections import Counter
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from polyport.pipeline.erasure import books
from polyport.pipeline.erasure.pieces import Piece
from polyport.pipeline.erasure.survey import look, places
from polyport.pipeline.erasure.wanted import mapped
from polyport.pipeline.folders import safe, sync_folder, writing
from polyport.pipeline.raw import RawStore
from polyport.store import locks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from polyport.pipeline.erasure.survey import Seeker
    from polyport.pipeline.erasure.types import Kind, Scene
    from polyport.pipeline.erasure.wanted import Values

_LISTS = {"runs", "accepted.json"}


def beside_the_store(scene: Scene, seeker: Values, erasure: str) -> dict[str, int]:
    """What was removed or written anew, by what it was.

    Raises:
        StoreError: No permission, or the ledger is in use.
        UnreadableError: A file cannot be looked into.
    """
    done: Counter[str] = Counter()
    raw = RawStore(scene.state / "raw" / safe(scene.product.id), clock=scene.clock)
    for kind, path, product in list(places(scene)):
        if not product:
            with writing(path):
                done[_clean(kind, path, seeker, raw=raw, erasure=erasure)] += 1
    done["ledger rows"] += books.clean(scene.ledger, seeker.values, erasure)
    del done[""]
    return {what: count for what, count in done.items() if count}


def _clean(kind: Kind, path: Path, seeker: Seeker, *, raw: RawStore, erasure: str) -> str:
    """What became of one file; empty where nothing had to."""
    if not path.exists() or kind not in _CLEANERS or not look(path, seeker)[0]:
        return ""
    if kind == "raw" and path.relative_to(raw.folder).parts[0] not in _LISTS:
        raw.erase(path, erasure)
        return "raw objects"
    return _CLEANERS[kind](path, seeker)


def run(raw: RawStore, folders: Iterable[Path], seeker: Seeker, *, name: str, erasure: str) -> None:
    """Take what was erased out of what the run `name` received and kept: its raw files, its quarantine, its logs.

    Raises:
        StoreError: No permission.
        UnreadableError: A file cannot be looked into.
    """
    for path in raw.objects(name):
        if look(path, seeker)[0]:
            raw.erase(path, erasure)
    for folder in folders:
        for path in sorted(folder.glob(f"{safe(name)}*")):
            for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
                if file.is_file() and look(file, seeker)[0]:
                    _rows(file, seeker) if file.suffix == ".parquet" else _text(file, seeker)


def blanked_json(text: str, seeker: Seeker) -> str:
    """A JSON text with every string blanked; equal to `text` where none had to be. What is no JSON is a text."""
    try:
        document = json.loads(text)
    except ValueError:
        return seeker.blanked(text)
    changed = mapped(document, seeker.blanked)
    return text if changed == document else json.dumps(changed, ensure_ascii=False)


# One kind of file each


def _text(path: Path, seeker: Seeker) -> str:
    text = path.read_text("utf-8", "surrogateescape")
    whole = path.suffix == ".json"
    parts = [text] if whole else text.split("\n")
    blank = "\n".join(blanked_json(part, seeker) for part in parts)
    _replace(path, lambda part: part.write_text(blank, "utf-8", "surrogateescape"))
    return "logs and lists"


def _rows(path: Path, seeker: Seeker) -> str:
    """A Parquet file without the rows that hold it in any cell."""
    if path.suffix != ".parquet":
        return _text(path, seeker)
    table = pq.read_table(path)
    gone = [False] * table.num_rows
    for column in table.columns:
        for number, cell in enumerate(column.to_pylist()):
            if not gone[number] and cell is not None:
                gone[number] = bool(seeker.hits(Piece(_said(cell))).exact)
    rest = table.filter(pa.array([not row for row in gone], pa.bool_()))
    if rest.num_rows:
        _replace(path, lambda part: pq.write_table(rest, part, compression="zstd"))
    else:
        path.unlink()
        sync_folder(path.parent)
    return "quarantine files"


def _said(cell: Any) -> str:
    return cell if isinstance(cell, str) else json.dumps(cell, ensure_ascii=False, default=str)


def _replace(path: Path, write: Callable[[Path], object]) -> None:
    part = path.with_name(f".{path.name}.erasing")
    part.unlink(missing_ok=True)
    write(part)
    with part.open("rb") as file:
        os.fsync(file.fileno())
    part.replace(path)
    sync_folder(path.parent)


def _cache(path: Path, _: Seeker) -> str:
    """Caches are made again. What a run that is going on stages is its own: it is not served, and goes with the run."""
    lock = next((p / ".lock" for p in path.parents if p.name.startswith("polyport-files-")), None)
    named = (p for p in path.parents if p.name)
    run = next((p for p in named if p.with_name(f"{p.name}.lock").exists()), None)
    if lock is None and run is not None:
        held = locks.seize(run.with_name(f"{run.name}.lock"))
        if held is None:
            return ""
        os.close(held)
    path.unlink()
    return "cached files"


_CLEANERS: dict[Kind, Callable[[Path, Seeker], str]] = {
    "raw": _text,
    "quarantine": _rows,
    "logs": _text,
    "keyed": _cache,
    "scratch": _cache,
}
