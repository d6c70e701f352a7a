"""A product's files, read: what all checks look at."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from pathlib import Path

    from polyport.descriptor.odcs import ContractFile
    from polyport.descriptor.types import DataProduct, SchemaObject
    from polyport.descriptor.yaml import Document


@dataclass(frozen=True, slots=True)
class Folder:
    """A product's files, as far as they could be read."""

    home: Path
    document: Document
    """The ODPS document: sound, or the outline of its ports."""
    product: DataProduct
    """From what is sound; with no roles where the settings are not."""
    contracts: tuple[ContractFile, ...] = ()
    settings: Document | None = None
    """`polyport.yaml`, where there is one, without what is not in its form."""
    settings_sound: bool = True
    """False where something of `polyport.yaml` is not in its form."""
    unread: tuple[str, ...] = ()
    """Names of contract files that could not be read at all."""
    agreements: tuple[Document, ...] = ()
    """The sound ones in `agreements/`."""
    port_types: Mapping[str, Collection[str]] = field(default_factory=dict)
    """`input` and `output` -> the names of installed port types; none: not checked."""

    @property
    def complete(self) -> bool:
        """Whether all contracts are sound, so that what is missing is missing indeed."""
        return not self.unread and all(file.contract for file in self.contracts)

    def promised(self) -> Iterator[tuple[ContractFile, int, SchemaObject]]:
        """(file, index in its `schema`, object) of each dataset that an output port promises."""
        used = {port.contract_id for port in self.product.outputs if not port.mapping}
        for file in self.contracts:
            if file.contract and file.id in used:
                for at, one in enumerate(file.contract.objects):
                    yield file, at, one
