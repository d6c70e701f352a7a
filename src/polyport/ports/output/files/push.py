"""A folder per snapshot: written aside, made visible whole by one rename, and `latest` pointed at it by another.

<to>/00000042/costs.parquet    <to>/00000042/costs.csv    <to>/00000042/SNAPSHOT.json
<to>/latest -> 00000042
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from polyport.errors import ConfigurationError, StoreError
from polyport.ports.http import digest
from polyport.ports.output.files import render

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from polyport.access import View
    from polyport.descriptor.types import DataProduct
    from polyport.ports.formats import Format
    from polyport.ports.output.files.settings import Push

MANIFEST = "SNAPSHOT.json"
LATEST = "latest"
_TEMPORARY = ".tmp-"
_LOCK = ".polyport-lock"
_FOLDER = re.compile(r"[0-9]{8,}")
_UNSAFE = re.compile(r"[/\\:%\x00-\x1f]|^\.")


def push(view: View, product: DataProduct, settings: Push, target: Path) -> tuple[str, ...]:
    """The URIs of the files written to `target`; none where they were there already.

    Raises:
        ConfigurationError: `target`, or its `latest`, is something else than a folder of ours.
        StoreError: No space, or no permission. What consumers see is as before then.
        AccessError, NotFoundError, QueryError: The role, the datasets or the filter do not fit the snapshot.
    """
    _check(target)
    try:
        target.mkdir(parents=True, exist_ok=True)
        with _alone(target):
            return _push(view, product, settings, target)
    except OSError as error:
        raise StoreError(
            f"snapshot {view.snapshot.sequence} cannot be written: {error.strerror or error}",
            where=str(target),
            fix="free some space, or give permission, then build again: the push is made up for",
        ) from error


def sequences(target: Path, product: str) -> tuple[int, ...]:
    """The snapshots of `product` that `target` has a folder of."""
    folders = [p for p in target.iterdir() if _FOLDER.fullmatch(p.name)] if target.is_dir() else []
    return tuple(sorted(int(p.name) for p in folders if _manifest(p).get("product") == product))


def remove(target: Path, gone: Sequence[int]) -> None:
    """Remove the folders of the snapshots `gone`, and what a push that was killed left.

    Raises:
        StoreError: No permission.
    """
    if not target.is_dir():
        return
    try:
        with _alone(target):
            for sequence in gone:
                _remove(target / f"{sequence:08d}")
            _sweep(target)
    except OSError as error:
        raise StoreError(
            f"a pushed folder cannot be removed: {error.strerror or error}",
            where=str(target),
            fix="give permission, then erase again",
        ) from error


def _push(view: View, product: DataProduct, settings: Push, target: Path) -> tuple[str, ...]:
    _sweep(target)
    name = f"{view.snapshot.sequence:08d}"
    identity = _identity(view, settings)
    folder = target / name
    written = not _is_there(folder, identity)
    if written:
        _write(view, product, settings, target / f"{_TEMPORARY}{name}", identity)
        _show(target, name)
    if _is_newest(target, view):
        _point(target, name)
    if settings.keep:
        _prune(target, settings.keep)
    _sweep(target)
    files = _manifest(folder)["files"] if written and folder.exists() else []
    return tuple((folder / file["name"]).absolute().as_uri() for file in files)


def _check(target: Path) -> None:
    if target.exists() and not target.is_dir():
        raise ConfigurationError(
            f"{target.name!r} is a file", where=str(target), fix="name a folder in push.to"
        )
    latest = target / LATEST
    if latest.exists() and not latest.is_symlink() and not (latest / MANIFEST).is_file():
        raise ConfigurationError(
            f"{LATEST!r} is there already, and not written by a push",
            where=str(latest),
            fix="move it away",
        )


@contextmanager
def _alone(target: Path) -> Iterator[None]:
    """One push at a time into a folder; the lock goes with the process."""
    with (target / _LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _sweep(target: Path) -> None:
    """Remove what a push that was killed left behind, unless consumers are shown it."""
    shown = os.path.realpath(target / LATEST)
    for path in target.glob(f"{_TEMPORARY}*"):
        if os.path.realpath(path) == shown and not path.is_symlink():
            continue
        _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _identity(view: View, settings: Push) -> str:
    """What the folder stands for: equal if and only if writing it again would give the same."""
    formats = [form.name for form in settings.formats]
    asked = (formats, settings.datasets, settings.filter)
    return digest(view.snapshot.content_id, view.policy_class, *asked)


def _manifest(folder: Path) -> dict[str, Any]:
    """The folder's own account of itself; empty where it has none that can be read."""
    try:
        found: dict[str, Any] = json.loads((folder / MANIFEST).read_bytes())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return {}
    return found


def _is_there(folder: Path, identity: str) -> bool:
    found = _manifest(folder)
    if found.get("identity") != identity:
        return False
    sizes = [(folder / file["name"], file["bytes"]) for file in found["files"]]
    return all(path.is_file() and path.stat().st_size == size for path, size in sizes)


def _write(view: View, product: DataProduct, settings: Push, folder: Path, identity: str) -> None:
    """Write a whole folder, down to the disk."""
    _remove(folder)
    folder.mkdir()
    try:
        files = []
        for dataset in settings.datasets or view.datasets:
            part = _part(view, dataset, settings)
            files += [_file(view, product, part, (form, folder)) for form in settings.formats]
        account = _account(view, settings, identity)
        content = json.dumps({**account, "files": files}, indent=2, ensure_ascii=False)
        (folder / MANIFEST).write_text(content + "\n", encoding="utf-8")
        _sync(folder / MANIFEST)
        _sync(folder)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _account(view: View, settings: Push, identity: str) -> dict[str, Any]:
    shown = view.snapshot
    return {
        "product": shown.product,
        "version": shown.version,
        "snapshot": shown.id,
        "sequence": shown.sequence,
        "committed_at": shown.committed_at.isoformat(),
        "role": settings.role,
        "purpose": settings.purpose,
        "policy_class": view.policy_class,
        "where": settings.filter,
        "identity": identity,
    }


def _part(view: View, dataset: str, settings: Push) -> render.Part:
    return render.part(view, dataset, where=settings.where, filter=settings.filter)


def _file(
    view: View, product: DataProduct, part: render.Part, place: tuple[Format, Path]
) -> dict[str, Any]:
    form, folder = place
    path = folder / f"{_safe(part.dataset)}.{form.suffix}"
    with path.open("xb") as sink:
        rows = render.write(view, product, [part], form, sink)
    _sync(path)
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return {
        "name": path.name,
        "dataset": part.dataset,
        "format": form.name,
        "media_type": form.media_type,
        "rows": rows[part.dataset],
        "bytes": path.stat().st_size,
        "sha256": sha256,
    }


def _safe(name: str) -> str:
    """A dataset's name as a file's: what a path would read as more than a name is percent-encoded."""
    return _UNSAFE.sub(lambda match: f"%{ord(match[0]):02X}", name)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _show(target: Path, name: str) -> None:
    """Rename the folder that has been written to its own name; an older one of that name goes away.

    `latest`, should it stand on the older one, stands on a twin of the new one meanwhile: it is whole at every moment.
    """
    written, folder = target / f"{_TEMPORARY}{name}", target / name
    if folder.exists():
        if os.path.realpath(target / LATEST) == os.path.realpath(folder):
            twin = target / f"{_TEMPORARY}twin-{name}"
            shutil.copytree(written, twin, copy_function=_link)
            _point(target, twin.name)
        folder.rename(target / f"{_TEMPORARY}old-{name}")
    written.rename(folder)
    _sync(target)


def _link(source: str, copy: str) -> None:
    """One file under two names or, where the file system has no such thing, a copy."""
    try:
        os.link(source, copy)
    except OSError:
        shutil.copy2(source, copy)


def _is_newest(target: Path, view: View) -> bool:
    shown = _manifest(target / LATEST).get("committed_at", "")
    return bool(view.snapshot.committed_at.isoformat() >= shown)


def _point(target: Path, name: str) -> None:
    """Make `latest` show the folder `name`, in one step."""
    latest, link = target / LATEST, target / f"{_TEMPORARY}{LATEST}"
    if _stands_on(latest, target / name):
        return
    _remove(link)
    try:
        link.symlink_to(name, target_is_directory=True)
    except (OSError, NotImplementedError):
        # some file systems (FAT, some shares) know no links: a copy, swapped in
        shutil.copytree(target / name, link, copy_function=_link)
    if latest.exists() and not latest.is_symlink():
        latest.rename(target / f"{_TEMPORARY}old-{LATEST}")
    link.replace(latest)
    _sync(target)


def _stands_on(latest: Path, folder: Path) -> bool:
    if latest.is_symlink():
        return latest.readlink().name == folder.name
    said = _manifest(folder)
    return said == _manifest(latest) and _is_there(latest, said["identity"])


def _prune(target: Path, keep: int) -> None:
    folders = [path for path in target.iterdir() if _FOLDER.fullmatch(path.name)]
    folders.sort(key=lambda path: (_manifest(path).get("committed_at", ""), path.name))
    for path in folders[:-keep]:
        if os.path.realpath(path) != os.path.realpath(target / LATEST):
            path.rename(target / f"{_TEMPORARY}old-{path.name}")
