"""The configuration of a product as it stands: what its `polyport.yaml` says, or what was changed since.

Two documents, each with versions in the journal: `access` (who sees what) and `settings` (schedule, retention, engine,
limits). Whatever came last counts. A file that did not change never undoes a change made through a port.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from polyport.descriptor import sent
from polyport.descriptor.settings import settings
from polyport.errors import ConflictError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from polyport.access.control import Control
    from polyport.descriptor.types import DataProduct, Settings
    from polyport.ledger.journal import Journal
    from polyport.model import Entry

Part: TypeAlias = Literal["access", "settings"]
Origin: TypeAlias = Literal["file", "port", "revert"]
FIELDS: Mapping[Part, tuple[str, ...]] = {
    "access": ("access",),
    "settings": ("schedule", "retention", "engine", "limits"),
}
"""The top-level fields of `polyport.yaml` that each document holds."""
FILE = "polyport.yaml"
_TRIES = 10


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a document."""

    number: int
    """1, 2, 3, ...; 0: none was kept yet, the file counts."""
    origin: Origin
    note: str
    digest: str
    """Of what it says: the same for two versions that say the same."""
    block: Mapping[str, Any]
    """As it stands in `polyport.yaml` (`access`: below that field)."""
    at: datetime | None = None
    by: str = FILE
    """The id of the principal that made it; `polyport.yaml`: it was read from the file."""
    seq: int = 0
    """Its entry in the journal."""


@dataclass(frozen=True, slots=True)
class Change:
    """What a new version is to be."""

    based: int
    """The number of the version that it was made from."""
    by: str
    note: str = ""
    origin: Origin = "port"


def access_settings(control: Control, product: DataProduct) -> Settings:
    """The settings whose `roles` and `agreements` hold for `product` now.

    Raises:
        StoreError: The journal cannot be read.
    """
    return _holding(control, product, "access")


def running_settings(control: Control, product: DataProduct) -> Settings:
    """The settings whose schedule, retention, engine and limits hold for `product` now.

    Raises:
        StoreError: The journal cannot be read.
    """
    return _holding(control, product, "settings")


def current(control: Control, product: DataProduct, part: Part) -> Version:
    """The version that holds.

    Raises:
        StoreError: The journal cannot be read.
    """
    newest = control.current(part, product.id).get(part)
    if newest is not None:
        return _version(newest, part)
    block = _block(product.settings.document, part)
    return Version(0, "file", "", _digest(block), block)


def versions(journal: Journal, product: DataProduct, part: Part) -> Sequence[Version]:
    """All versions, oldest first.

    Raises:
        StoreError: The journal cannot be read.
    """
    return [_version(e, part) for e in journal.entries(part, product=product.id, name=part)]


def version(journal: Journal, product: DataProduct, part: Part, number: int) -> Version:
    """The version with that number.

    Raises:
        NotFoundError: There is none.
        StoreError: The journal cannot be read.
    """
    kept = versions(journal, product, part)
    found = next((v for v in kept if v.number == number), None)
    if found is None:
        raise NotFoundError(
            f"no version {number} of {part}", where=product.id, fix=f"versions: 1 to {len(kept)}"
        )
    return found


def follow_file(journal: Journal, product: DataProduct) -> None:
    """Make what `polyport.yaml` says the newest version, where the file changed since it was last read.

    Raises:
        StoreError: The journal cannot be read or written.
    """
    for part in FIELDS:
        block = _block(product.settings.document, part)
        for _ in range(_TRIES):
            kept = versions(journal, product, part)
            from_file = [v for v in kept if v.origin == "file"]
            if from_file and from_file[-1].digest == _digest(block):
                break
            try:
                _append(journal, product, part, (block, kept), Change(len(kept), FILE, "", "file"))
            except ConflictError:
                continue  # another process reads the same file
            break


def change(
    journal: Journal, product: DataProduct, part: Part, block: Mapping[str, Any], wanted: Change
) -> Version:
    """The new version that says `block`; the one that holds where it says that already.

    Raises:
        DescriptorError: `block` is wrong; each problem with its JSON path. Nothing was changed.
        ConflictError: Another version than `wanted.based` holds by now. Nothing was changed.
        StoreError: The journal cannot be read or written.
    """
    read(product, part, block)
    kept = versions(journal, product, part)
    holding = kept[-1].number if kept else 0
    if holding != wanted.based:
        raise ConflictError(
            f"version {holding} of {part} holds; this is based on {wanted.based}",
            where=product.id,
            fix="read it again, and change what it is now",
        )
    if kept and kept[-1].digest == _digest(block):
        return kept[-1]
    return _append(journal, product, part, (block, kept), wanted)


def revert(
    journal: Journal, product: DataProduct, part: Part, number: int, wanted: Change
) -> Version:
    """The new version that says what version `number` said.

    Raises:
        NotFoundError: There is no such version.
        DescriptorError: It does not fit the contracts of today. Nothing was changed.
        ConflictError, StoreError: As `change`.
    """
    old = version(journal, product, part, number)
    note = wanted.note or f"back to version {number}"
    return change(
        journal, product, part, old.block, Change(wanted.based, wanted.by, note, "revert")
    )


def read(product: DataProduct, part: Part, block: Mapping[str, Any]) -> Settings:
    """What `block` means, checked as `polyport.yaml` is.

    Raises:
        DescriptorError: It is wrong; each problem with its JSON path.
    """
    fields = {"access": block} if part == "access" else block
    base = "$" if part == "access" else "$.settings"
    return sent.read(fields, product.objects, base=base, allowed=FIELDS[part])


def meant(part: Part, block: Mapping[str, Any]) -> Settings:
    """What a sound `block` means."""
    return settings({"access": block} if part == "access" else block)


def _holding(control: Control, product: DataProduct, part: Part) -> Settings:
    def made() -> Settings:
        newest = control.current(part, product.id).get(part)
        return product.settings if newest is None else meant(part, newest.document[part])

    return control.derived((part, product.id), made)


def _append(
    journal: Journal,
    product: DataProduct,
    part: Part,
    given: tuple[Mapping[str, Any], Sequence[Version]],
    wanted: Change,
) -> Version:
    block, kept = given
    document = {
        part: block,
        "version": len(kept) + 1,
        "origin": wanted.origin,
        "note": wanted.note,
        "digest": _digest(block),
    }
    based = kept[-1].seq if kept else 0
    return _version(
        journal.append(part, part, document, product=product.id, by=wanted.by, based=based), part
    )


def _version(entry: Entry, part: Part) -> Version:
    said = entry.document
    block = said[part]
    return Version(
        number=said.get("version", 0),
        origin=said.get("origin", "port"),
        note=said.get("note") or "",
        digest=said.get("digest") or _digest(block),
        block=block,
        at=entry.at,
        by=entry.by,
        seq=entry.seq,
    )


def _block(document: Mapping[str, Any], part: Part) -> Mapping[str, Any]:
    if part == "access":
        return document.get("access") or {}
    return {name: document[name] for name in FIELDS[part] if name in document}


def _digest(block: Mapping[str, Any]) -> str:
    text = json.dumps(block, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
