"""Contracts as they were published: kept in the journal, the newest of each id, and that with a snapshot."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from polyport import descriptor
from polyport.descriptor.compare import published
from polyport.descriptor.odps import dataset_mapping
from polyport.descriptor.types import Constant
from polyport.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from polyport.descriptor.types import DataProduct, DatasetMapping
    from polyport.errors import Diagnostic
    from polyport.ledger.journal import Journal
    from polyport.model import Entry, Ref, Snapshot

_DIGEST = "digest"
"""What tells a contract from other entries of its kind, whatever its id."""
_PORTS = "ports"
"""The name of the entries that say which contract is behind which output port."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A contract's document, as it was from one snapshot on."""

    id: str
    version: str
    snapshot: str
    """The id of the first snapshot that it was published with."""
    at: datetime
    document: Mapping[str, Any]
    """The Bitol ODCS document, whole."""
    mapping: Mapping[str, DatasetMapping] = field(default_factory=dict)
    """Of its datasets over those that were published with it, where it was an older major's."""


def keep(
    journal: Journal,
    product: DataProduct,
    snapshot: Snapshot | None,
    said: Callable[[Mapping[str, Any]], Mapping[str, Any]] = dict,
) -> tuple[str, ...]:
    """Keep each contract of `product` that is not what was last kept of it; gives their ids. No snapshot: none.

    `said`: what may be kept of a document: an example may be of somebody who was erased.

    Raises:
        StoreError: The journal cannot be read or written.
    """
    if snapshot is None:
        return ()
    newest = {entry.name: entry.document for entry in _entries(journal, product.id)}
    added = []
    for name, contract in product.contracts.items():
        digest, last = _digest(contract.document), newest.get(name, {})
        mapping = {n: _told(each) for n, each in product.mapping(name).items()}
        if (last.get(_DIGEST), last.get("mapping", {})) != (digest, mapping):
            document = {
                "version": contract.version,
                "snapshot": snapshot.id,
                _DIGEST: digest,
                "document": said(contract.document),
                "mapping": mapping,
            }
            by = f"product:{product.id}"
            journal.append("contract", name, document, product=product.id, by=by)
            added.append(name)
    _keep_ports(journal, product)
    return tuple(added)


def _keep_ports(journal: Journal, product: DataProduct) -> None:
    """Keep which contract is behind each output port, where that changed."""
    behind = {published.port_key(port): port.contract_id for port in product.outputs}
    if behind != _behind(journal, product.id):
        by = f"product:{product.id}"
        journal.append("contract", _PORTS, {_PORTS: behind}, product=product.id, by=by)


def _behind(journal: Journal, product: str) -> Mapping[str, str]:
    """`name@major` of each output port -> the contract that was published behind it last."""
    told = [e.document for e in journal.entries("contract", product=product, name=_PORTS)]
    found: list[Mapping[str, str]] = [each[_PORTS] for each in told if _DIGEST not in each]
    return found[-1] if found else {}


def kept(journal: Journal, product: str) -> Mapping[str, Sequence[Kept]]:
    """Contract id -> all that was kept of it, oldest first.

    Raises:
        StoreError: The journal cannot be read.
    """
    found: dict[str, list[Kept]] = {}
    for entry in _entries(journal, product):
        found.setdefault(entry.name, []).append(_kept(entry))
    return found


def at(versions: Sequence[Kept], ref: Ref, snapshot: Callable[[Ref], Snapshot]) -> Kept:
    """The one of `versions` that was in force at `ref`: a version of the contract, or a snapshot.

    Args:
        versions: All that was kept of one contract, oldest first.
        ref: `1.2.0`, or what names a snapshot; one that a version came with is found after it has expired, too.
        snapshot: Gives a snapshot; raises NotFoundError.

    Raises:
        NotFoundError: There is no such version or snapshot, or none was kept by then.
    """
    named = [one for one in versions if ref in (one.version, one.snapshot)]
    if named:
        return named[-1]
    found = snapshot(ref)
    by_then = [one for one in versions if one.snapshot <= found.id]
    if not by_then:
        raise NotFoundError(
            f"no contract was kept with snapshot {found.sequence} or before",
            where=found.product,
            fix=_known(versions),
        )
    return by_then[-1]


def differing(versions: Sequence[Kept], document: Mapping[str, Any]) -> Kept:
    """The newest of `versions` that is not `document`: what it changes; the newest where all are it."""
    same = _digest(document)
    others = [one for one in versions if _digest(one.document) != same]
    return (others or versions)[-1]


def chosen(found: Mapping[str, Sequence[Kept]], name: str, product: str) -> Sequence[Kept]:
    """What was kept of the contract `name`, oldest first.

    Raises:
        NotFoundError: Nothing was.
    """
    if name not in found:
        raise NotFoundError(
            f"no contract {name!r} was published",
            where=product,
            fix=f"contracts: {', '.join(found)}" if found else "polyport build publishes",
            remote_fix="" if found else "its owner publishes a snapshot",
        )
    return found[name]


def refusals(journal: Journal, product: DataProduct) -> tuple[Diagnostic, ...]:
    """What the contracts behind the output ports change against what is published, without a new version.

    Raises:
        StoreError: The journal cannot be read.
    """
    newest = {name: one[-1].document for name, one in kept(journal, product.id).items()}
    before = _behind(journal, product.id)
    return (
        *published.check(published.promised(product), newest),
        *published.moved(product, before, newest),
    )


def refuse(journal: Journal, product: DataProduct) -> None:
    """Make sure that no contract breaks what is published without a new major version.

    Raises:
        DescriptorError: One does; carries the diagnostics.
        StoreError: The journal cannot be read.
    """
    found = refusals(journal, product)
    if any(each.severity == "error" for each in found):
        raise descriptor.failure(found, product.home)


def _entries(journal: Journal, product: str) -> list[Entry]:
    return [e for e in journal.entries("contract", product=product) if _DIGEST in e.document]


def _kept(entry: Entry) -> Kept:
    told = entry.document
    mapping = {n: dataset_mapping(each) for n, each in told.get("mapping", {}).items()}
    return Kept(entry.name, told["version"], told["snapshot"], entry.at, told["document"], mapping)


def _told(mapping: DatasetMapping) -> dict[str, Any]:
    """The mapping of one dataset, as `polyport.yaml` writes it."""
    columns = {
        old: {"value": given.value} if isinstance(given, Constant) else given
        for old, given in mapping.columns.items()
    }
    return {"from": mapping.source, "columns": columns}


def _digest(document: Mapping[str, Any]) -> str:
    text = json.dumps(document, sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _known(versions: Sequence[Kept]) -> str:
    listed = ", ".join(dict.fromkeys(one.version for one in versions))
    return f"versions that were kept: {listed}"
