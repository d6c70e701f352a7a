"""Raw: bytes kept exactly as they were received, under their hash, and for each run a list of what it stands on."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from polyport.errors import NotFoundError, StoreError
from polyport.pipeline.folders import safe, sync_folder, write_document, writing
from polyport.ports.input import RawObject, Received

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

FORMAT = 1
_CHUNK = 1 << 20
_COMPRESSED = {".gz", ".zst", ".bz2", ".xz"}
_SUFFIX_LENGTH = 16
_LISTS = 4096
"""Parsed lists kept in memory."""


class RawStore:
    """One product's raw data.

    `<sha[:2]>/<sha><suffix>` are the bytes, read-only; `runs/<run>.json` says what a run stands on; `accepted.json`
    names the last run whose raw data made it through the build, where incremental ports go on.
    """

    def __init__(
        self,
        folder: Path,
        *,
        incoming: Path | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Open the raw store in `folder`.

        Args:
            folder: Where raw data lives; made when first needed.
            incoming: Where bytes lie while they come in, on the same file system; default: below `folder`.
            clock: Says when something was received.
        """
        self.folder = folder
        self._incoming = incoming or folder / "incoming"
        self._clock = clock
        self._coming: Path | None = None
        self._size = 0

    def received(self) -> int:
        """How many bytes of what is being kept now are there. Any thread may ask."""
        part = self._coming
        try:
            return part.stat().st_size if part else 0
        except FileNotFoundError:  # not begun, or kept meanwhile
            return 0

    def fraction(self) -> float | None:
        """How much of it that is, from 0 to 1; None where nobody knows how much will come. Any thread may ask."""
        size = self._size
        return min(self.received() / size, 1.0) if size else None

    def keep(
        self,
        name: str,
        content: Iterable[bytes] | Path,
        *,
        origin: str,
        media_type: str = "application/octet-stream",
    ) -> RawObject:
        """The bytes, kept under their SHA-256; see `polyport.ports.input.Keep`.

        Raises:
            StoreError: No space, or no permission.
        """
        self._coming = part = self._incoming / uuid4().hex
        try:
            if isinstance(content, Path):
                sha256, size = self._copy(part, content)
            else:
                sha256, size = self._receive(part, content)
            path = self.folder / sha256[:2] / f"{sha256}{_suffix(name)}"
            with writing(path):
                _settle(part, path, self._clock())
                first = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        finally:
            self._coming, self._size = None, 0
            if part.exists():
                part.unlink()
        return RawObject(Path(name).name, path, sha256, size, media_type, origin, first)

    def _receive(self, part: Path, chunks: Iterable[bytes]) -> tuple[str, int]:
        digest, size = hashlib.sha256(), 0
        with writing(part):
            part.parent.mkdir(parents=True, exist_ok=True)
            file = part.open("xb")
        try:
            for chunk in chunks:  # an OSError in here is the source's, not ours
                digest.update(chunk)
                size += len(chunk)
                with writing(part):
                    file.write(chunk)
            with writing(part):
                file.flush()
                os.fsync(file.fileno())
        finally:
            with writing(part):
                file.close()
        return digest.hexdigest(), size

    def _copy(self, part: Path, source: Path) -> tuple[str, int]:
        """A local file: the kernel copies it, and the copy is hashed, whatever happens to the source meanwhile."""
        with writing(part):
            part.parent.mkdir(parents=True, exist_ok=True)
            self._size = source.stat().st_size
            shutil.copyfile(source, part)
            with part.open("rb+") as file, ThreadPoolExecutor(1) as beside:
                digest = beside.submit(hashlib.file_digest, file, "sha256")
                os.fsync(file.fileno())
                return digest.result().hexdigest(), part.stat().st_size

    def record(self, run: str, received: Mapping[str, Received]) -> None:
        """Note what `run` stands on, so that it can be rebuilt.

        Raises:
            StoreError: No space, or no permission.
        """
        ports = {name: self._document(one) for name, one in received.items()}
        document = {"format": FORMAT, "run": run, "at": _text(self._clock()), "ports": ports}
        write_document(self._manifest(run), document)

    def accept(self, run: str) -> None:
        """Let incremental ports go on from what `run` received.

        Raises:
            StoreError: No space, or no permission.
        """
        write_document(self.folder / "accepted.json", {"format": FORMAT, "run": run})

    def latest(self) -> Mapping[str, Received]:
        """What the last accepted run received, by port; empty for the first. Sizes are checked, not hashes.

        A port of which something was erased is left out: it asks its source for everything.

        Raises:
            StoreError: A raw file or a list is gone or damaged.
        """
        run = self.accepted()
        if not run:
            return {}
        whole = {r.port: r for r in self._received_by(run) if not any(map(self._erased, r.objects))}
        return self._checked(whole, _same_size)

    def load(self, run: str) -> Mapping[str, Received]:
        """What `run` received, by port, every byte checked.

        Raises:
            NotFoundError: No raw data of that run is kept, or some of it was erased.
            StoreError: A raw file was changed or is gone.
        """
        received = {r.port: r for r in self._received_by(run)}
        for kept in (o for r in received.values() for o in r.objects):
            note = self._erased(kept)
            if note is not None:
                raise NotFoundError(
                    f"run {run} cannot be rebuilt: raw file {note['sha256'][:12]} ({note['bytes']:,} bytes) "
                    f"was removed by erasure {note['erasure']} at {note['erased_at'][:19]}Z",
                    where=str(self.folder),
                    fix="build from the inputs: polyport build",
                )
        return self._checked(received, _same_bytes)

    def erase(self, path: Path, erasure: str) -> None:
        """Remove a raw file for good; that it was there, and why it is not, stays known.

        Raises:
            StoreError: No permission.
        """
        name = path.relative_to(self.folder).as_posix()
        note = {
            "format": FORMAT,
            "file": name,
            "sha256": path.name.partition(".")[0],
            "bytes": path.stat().st_size,
            "erased_at": _text(self._clock()),
            "erasure": erasure,
        }
        write_document(self._note(path), note)
        with writing(path):
            path.unlink()
            sync_folder(path.parent)

    def _note(self, path: Path) -> Path:
        return self.folder / "erased" / f"{path.name}.json"

    def _erased(self, kept: RawObject) -> Mapping[str, Any] | None:
        """What is known of a raw file that was erased; None where it is there, or was lost otherwise."""
        note = self._note(kept.path)
        return None if kept.path.exists() or not note.exists() else _load(note)

    def accepted(self) -> str:
        """The run where incremental ports go on; empty before the first.

        Raises:
            StoreError: The file that says so is damaged.
        """
        pointer = self.folder / "accepted.json"
        return str(_member(_load(pointer), "run", pointer)) if pointer.exists() else ""

    def noted(self) -> Mapping[str, datetime]:
        """When each run whose raw data is kept had received it.

        Raises:
            StoreError: A list is damaged.
        """
        lists = {path: _load(path) for path in (self.folder / "runs").glob("*.json")}
        return {
            str(_member(found, "run", path)): _time(_member(found, "at", path), path)
            for path, found in lists.items()
        }

    def remove(self, staying: Collection[str]) -> tuple[str, ...]:
        """Remove the lists of all runs but `staying`, then the bytes that no list names; the runs that went.

        Raises:
            StoreError: A list is damaged (then nothing is removed), or there is no permission.
        """
        needed = {o.path for run in staying for r in self._received_by(run) for o in r.objects}
        gone = tuple(run for run in self.runs() if run not in staying)
        with writing(self.folder):
            for run in gone:
                self._manifest(run).unlink(missing_ok=True)
            if gone:
                sync_folder(self.folder / "runs")
            for path in self.folder.glob("[0-9a-f][0-9a-f]/*"):
                if path not in needed:
                    path.unlink(missing_ok=True)
        return gone

    def runs(self) -> tuple[str, ...]:
        """The runs whose raw data is kept, oldest first."""
        return tuple(sorted(_load(p)["run"] for p in (self.folder / "runs").glob("*.json")))

    def objects(self, run: str) -> tuple[Path, ...]:
        """The raw files that `run` stands on and that are there; none where it received nothing.

        Raises:
            StoreError: Its list is damaged.
        """
        found = self._received_by(run) if self._manifest(run).exists() else []
        return tuple(o.path for r in found for o in r.objects if o.path.exists())

    def _checked(
        self, received: Mapping[str, Received], check: Callable[[RawObject], None]
    ) -> Mapping[str, Received]:
        for one in received.values():
            for kept_object in one.objects:
                check(kept_object)
        return received

    def _received_by(self, run: str) -> list[Received]:
        path = self._manifest(run)
        if not path.exists():
            kept = ", ".join(self.runs()[-5:]) or "none"
            raise NotFoundError(
                f"no raw data of run {run!r} is kept", where=str(self.folder), fix=f"kept: {kept}"
            )
        ports: Mapping[str, Any] = _member(_load(path), "ports", path)
        return [self._received(name, one, path) for name, one in ports.items()]

    def _manifest(self, run: str) -> Path:
        return self.folder / "runs" / f"{safe(run)}.json"

    def _document(self, received: Received) -> dict[str, Any]:
        objects = [
            {
                "name": o.name,
                "file": o.path.relative_to(self.folder).as_posix(),
                "sha256": o.sha256,
                "bytes": o.bytes,
                "media_type": o.media_type,
                "origin": o.origin,
                "received_at": _text(o.received_at),
            }
            for o in received.objects
        ]
        return {
            "identity": received.identity,
            "cursor": received.cursor,
            "notes": list(received.notes),
            "objects": objects,
        }

    def _received(self, port: str, document: Mapping[str, Any], path: Path) -> Received:
        try:
            objects = tuple(
                RawObject(
                    o["name"],
                    self.folder / o["file"],
                    o["sha256"],
                    o["bytes"],
                    o["media_type"],
                    o["origin"],
                    datetime.fromisoformat(o["received_at"]),
                )
                for o in document["objects"]
            )
            notes = tuple(document["notes"])
            return Received(port, objects, document["identity"], document["cursor"], notes)
        except (KeyError, TypeError, ValueError) as error:
            raise _damaged(path) from error


def _settle(part: Path, path: Path, at: datetime) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size == part.stat().st_size:
        return
    part.chmod(0o444)
    os.utime(part, (at.timestamp(), at.timestamp()))
    part.replace(path)
    sync_folder(path.parent)


def _suffix(name: str) -> str:
    """The name's suffix, with the one before a compression's: `.csv.gz`; only letters and digits."""
    suffixes = Path(name).suffixes
    kept = suffixes[-2:] if suffixes and suffixes[-1].lower() in _COMPRESSED else suffixes[-1:]
    fits = all(s[1:].isalnum() and s.isascii() and len(s) <= _SUFFIX_LENGTH for s in kept)
    return "".join(kept) if fits else ""


def _text(at: datetime) -> str:
    return at.astimezone(UTC).isoformat()


def _load(path: Path) -> Mapping[str, Any]:
    """A list, or the pointer to one: parsed once, for none is ever changed in its place."""
    try:
        found = path.stat()
        return _parsed(path, (found.st_ino, found.st_mtime_ns, found.st_size))
    except OSError as error:
        raise StoreError(f"cannot read: {error.strerror or error}", where=str(path)) from error


@lru_cache(maxsize=_LISTS)
def _parsed(path: Path, _mark: tuple[int, int, int]) -> Mapping[str, Any]:
    try:
        document = json.loads(path.read_bytes())
    except ValueError as error:
        raise _damaged(path) from error
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise _damaged(path)
    return document


def _time(text: object, path: Path) -> datetime:
    try:
        return datetime.fromisoformat(str(text))
    except ValueError as error:
        raise _damaged(path) from error


def _member(document: Mapping[str, Any], name: str, path: Path) -> Any:
    if name not in document:
        raise _damaged(path)
    return document[name]


def _damaged(path: Path) -> StoreError:
    return StoreError(
        "the list of raw data is damaged",
        where=str(path),
        fix="restore it from a backup, or remove it and build from the inputs",
    )


def _same_size(kept: RawObject) -> None:
    try:
        size = kept.path.stat().st_size
    except OSError as error:
        raise _changed(kept, f"cannot be read: {error.strerror}") from error
    if size != kept.bytes:
        raise _changed(kept, f"has {size:,} bytes where {kept.bytes:,} were received")


def _same_bytes(kept: RawObject) -> None:
    _same_size(kept)
    digest = hashlib.sha256()
    try:
        with kept.path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
    except OSError as error:
        raise _changed(kept, f"cannot be read: {error.strerror}") from error
    if digest.hexdigest() != kept.sha256:
        raise _changed(kept, "was changed after it was received")


def _changed(kept: RawObject, how: str) -> StoreError:
    return StoreError(
        f"raw file {kept.name!r} {how}",
        where=str(kept.path),
        fix="restore it from a backup, or build from the inputs again",
    )
