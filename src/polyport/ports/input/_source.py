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
_PACKAGES = {
    "s3": "pip install 'polyport[s3]'", "s3a": "pip install 'polyport[s3]'",
    "gs": "pip install gcsfs", "gcs": "pip install gcsfs", "abfs": "pip install adlfs",
    "abfss": "pip install adlfs", "az": "pip install adlfs", "sftp": "pip install paramiko",
    "ssh": "pip install paramiko", "http": "pip install aiohttp requests",
    "https": "pip install aiohttp requests",
}  # fmt: skip


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
            _remote(pattern, home, where=where, options=options)
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
        return InputError(
            f"nothing matches {safe_url(pattern)!r}",
            where=where,
            fix="look for the address in the source, its bucket first; a folder is written `folder/*`",
        )
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


def _remote(pattern: str, home: Path, *, where: str, options: Mapping[str, Any]) -> list[Found]:
    scheme = pattern.partition("://")[0]
    if scheme not in known_implementations and scheme not in fsspec.available_protocols():
        raise ConfigurationError(
            f"no file system for {scheme}:// is known",
            where=where,
            fix=suggest(scheme, ["file", "memory", "s3", "gs", "abfs", "sftp", "https"]),
        )
    try:
        with reading(safe_url(pattern), where):
            system, path = fsspec.url_to_fs(_at_home(pattern, home), **options)
    except ImportError as error:
        hint = known_implementations.get(scheme, {}).get("err", str(error))
        raise MissingExtraError(
            f"{scheme}:// needs a package that is not installed",
            where=where,
            fix=_PACKAGES.get(scheme, str(hint)),
        ) from error
    with reading(safe_url(pattern), where):
        system.invalidate_cache()  # it remembers what it listed, for as long as the process lives
        asked = path.partition("?")[0] if scheme in ("http", "https") else path
        candidates = _glob(system, path, scheme) if glob.has_magic(asked) else [path]
        paths = [p for p in candidates if _is_file(system, p)]
        if not paths and scheme in _BUCKETS and not _has_bucket(system, path):
            raise _no_bucket(scheme, path, where)
    inside = safe_url("::".join(["", *pattern.split("::")[1:]]))
    origins = [safe_url(system.unstrip_protocol(p)) for p in paths]
    return [
        Found(PurePosixPath(origin).name, origin + inside, p, system)
        for p, origin in zip(paths, origins, strict=True)
    ]


def _glob(system: Any, path: str, scheme: str) -> list[str]:
    try:
        return sorted(system.glob(path))
    except FileNotFoundError:
        if scheme not in _BUCKETS:
            raise
        return []


def _has_bucket(system: Any, path: str) -> bool:
    """Whether the bucket of `path` is there: a glob takes one that is not for an empty one."""
    try:
        system.ls(_bucket(path), detail=False)
    except FileNotFoundError:
        return False
    except PermissionError:  # to look at one folder of it may be all that is allowed
        return True
    return True


def _no_bucket(scheme: str, path: str, where: str) -> InputError:
    return InputError(
        f"there is no bucket {_bucket(path)!r}",
        where=where,
        fix=f"look for its name in the source: `{scheme}://BUCKET/folder/*`; and for the store's "
        "address in `options`",
    )


def _bucket(path: str) -> str:
    return path.lstrip("/").partition("/")[0]


_BUCKETS = ("s3", "s3a", "gs", "gcs", "abfs", "abfss", "az")
"""Schemes whose addresses begin with a bucket, or container."""


def _at_home(pattern: str, home: Path) -> str:
    """A chain such as `zip://*.csv::inputs/films.zip`, its file where the product is."""
    first, mark, last = pattern.rpartition("::")
    return f"{first}::{home / last}" if mark and "://" not in last else pattern


def _is_file(system: Any, path: str) -> bool:
    """Unlike `isfile`, which takes a refusal, or a host that is down, for nothing."""
    try:
        return bool(system.info(path)["type"] == "file")
    except FileNotFoundError as error:
        cause = error.__cause__
        down = isinstance(cause, OSError) and not isinstance(cause, FileNotFoundError)
        if down or getattr(cause, "status", 0) not in (0, *_GONE):
            raise cause or error from None
        return False


_GONE = (404, 410)


@contextmanager
def reading(origin: str, where: str) -> Iterator[None]:
    """Turns what a file system raises into an InputError that names the file."""
    try:
        yield
    except (ImportError, InputError):
        raise
    except Exception as error:  # each package of a file system has errors of its own
        said = getattr(error, "strerror", "") or str(error).strip() or type(error).__name__
        raise InputError(
            f"{origin} cannot be read: {_without_secrets(said.splitlines()[0])}", where=where
        ) from error


def _without_secrets(said: str) -> str:
    """A message without the parts of addresses that may be secret."""
    return re.sub(r"(://)[^/\s@]*@|[?][^\s'\"]+", r"\1", said)


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
    """`url`, or each of a chain of them, without user, password, query and fragment."""
    return "::".join(map(_safe, url.split("::")))


def _safe(url: str) -> str:
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
