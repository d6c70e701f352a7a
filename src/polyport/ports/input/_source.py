"""Finding files by glob or fsspec URL, and reading them in chunks."""

from __future__ import annotations

import glob
import hashlib
import re
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import fsspec
from fsspec.registry import known_implementations

from polyport.errors import ConfigurationError, InputError, MissingExtraError
from polyport.ports.input import Received
from polyport.ports.input._settings import listed, suggest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from polyport.ports.input import RawObject

CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Found:
    """One file of a source."""

    name: str
    origin: str
    """Relative to the product's folder, or the URL without what may be secret."""
    path: str
    system: Any
    """The fsspec file system that holds it; None: the local disk."""

    def chunks(self) -> Iterator[bytes]:
        """Its bytes."""
        with (self.system or fsspec.filesystem("file")).open(self.path, "rb") as stream:
            while chunk := stream.read(CHUNK):
                yield chunk


def find(
    patterns: Sequence[str], home: Path, *, where: str, options: Mapping[str, Any]
) -> list[Found]:
    """The files that `patterns` name, each once, in the order of their paths within a pattern.

    Raises:
        InputError: A pattern matches nothing; `fix` says what lies near.
        MissingExtraError: The package for a URL's scheme is not installed.
    """
    found: dict[str, Found] = {}
    for pattern in patterns:
        remote = "://" in pattern and not pattern.startswith("file://")
        matched = (
            _remote(pattern, where=where, options=options)
            if remote
            else _local(pattern.removeprefix("file://"), home)
        )
        if not matched:
            raise nothing(pattern, home, where=where)
        found.update({one.origin: one for one in matched})
    return list(found.values())


def nothing(pattern: str, home: Path, *, where: str) -> InputError:
    """The error for a pattern that matches nothing."""
    if "://" in pattern and not pattern.startswith("file://"):
        return InputError(f"nothing matches {safe_url(pattern)!r}", where=where)
    asked = Path(home, pattern.removeprefix("file://"))
    if asked.is_dir():
        return InputError(
            f"{pattern!r} is a folder", where=where, fix=f"write `path: {pattern.rstrip('/')}/*`"
        )
    folder = asked.parent
    while not folder.is_dir() and folder not in (folder.parent, home):
        asked, folder = folder, folder.parent
    held = sorted(p.name for p in folder.iterdir() if not p.name.startswith("."))
    near = suggest(asked.name, held) if held else "the folder is empty"
    odd = next((n for n in held if fnmatch(n, asked.name)), "")
    if odd:
        kind = "a folder" if (folder / odd).is_dir() else "a link to a file that is not there"
        near = f"{odd} is {kind}"
    shown = f"{folder.relative_to(home) if folder.is_relative_to(home) else folder}/"
    shown = "the product's folder" if shown == "./" else shown
    return InputError(
        f"nothing matches {pattern!r}",
        where=where,
        fix=f"{shown} holds {listed(held, 8)}; {near}" if held else f"{shown}: {near}",
    )


def _local(pattern: str, home: Path) -> list[Found]:
    full = pattern if Path(pattern).is_absolute() else f"{glob.escape(str(home))}/{pattern}"
    matched = glob.glob(full, recursive=True)  # noqa: PTH207 - pathlib takes no absolute pattern
    paths = sorted(p for p in matched if Path(p).is_file())
    made = []
    for text in paths:
        path = Path(text)
        if path.name.startswith("~$"):  # the lock file of an open spreadsheet
            continue
        origin = path.relative_to(home) if path.is_relative_to(home) else path
        made.append(Found(path.name, origin.as_posix(), text, None))
    return made


def _remote(pattern: str, *, where: str, options: Mapping[str, Any]) -> list[Found]:
    scheme = pattern.partition("://")[0]
    if scheme not in known_implementations and scheme not in fsspec.available_protocols():
        raise ConfigurationError(
            f"no file system for {scheme}:// is known",
            where=where,
            fix=suggest(scheme, ["file", "memory", "s3", "gs", "abfs", "sftp", "https"]),
        )
    try:
        system, path = fsspec.url_to_fs(pattern, **options)
    except ImportError as error:
        hint = known_implementations.get(scheme, {}).get("err", str(error))
        raise MissingExtraError(
            f"{scheme}:// needs a package that is not installed", where=where, fix=str(hint)
        ) from error
    with reading(safe_url(pattern), where):
        paths = sorted(system.glob(path)) if glob.has_magic(path) else [path]
        paths = [p for p in paths if system.isfile(p)]
    return [
        Found(PurePosixPath(p).name, safe_url(system.unstrip_protocol(p)), p, system) for p in paths
    ]


@contextmanager
def reading(origin: str, where: str) -> Iterator[None]:
    """Turns what a file system raises into an InputError that names the file."""
    try:
        yield
    except OSError as error:
        said = error.strerror or type(error).__name__
        raise InputError(f"{origin} cannot be read: {said}", where=where) from error


def content(found: Found, where: str) -> Path | Iterator[bytes]:
    """What to keep of `found`: the file itself where it lies on the local disk, else its bytes.

    Raises:
        InputError: The local file cannot be opened.
    """
    if found.system is not None:
        return reading_chunks(found, where)
    with reading(found.origin, where), Path(found.path).open("rb"):
        return Path(found.path)


def reading_chunks(found: Found, where: str) -> Iterator[bytes]:
    """`found.chunks()`, whose own failures (and not those of whoever takes the bytes) are InputErrors."""
    with reading(found.origin, where):
        stream = found.chunks()
    while True:
        with reading(found.origin, where):
            chunk = next(stream, None)
        if chunk is None:
            return
        yield chunk


def safe_url(url: str) -> str:
    """`url` without user, password, query and fragment."""
    scheme, mark, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    cut = re.split(r"[?#]", path)[0]
    return f"{scheme}{mark}{host.rpartition('@')[2]}{slash}{cut}"


def received(
    port: str,
    objects: Iterable[RawObject],
    *,
    cursor: str = "",
    notes: Iterable[str] = (),
) -> Received:
    """What came, with its identity: a digest over names and contents, in order."""
    kept = tuple(objects)
    digest = hashlib.sha256()
    for one in kept:
        digest.update(f"{one.name}\0{one.sha256}\n".encode())
    return Received(port, kept, f"sha256:{digest.hexdigest()}", cursor, tuple(notes))


def labels(objects: Sequence[RawObject]) -> list[str]:
    """What to call each file in rows: its name, or its origin where two share a name."""
    names = [o.name for o in objects]
    return [o.name if names.count(o.name) == 1 else o.origin for o in objects]
