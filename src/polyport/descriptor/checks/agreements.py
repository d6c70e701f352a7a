"""The data sharing agreements in a product's folder: what they name, and that no two have one id."""

from __future__ import annotations

from typing import TYPE_CHECKING

from polyport.descriptor import agreement
from polyport.descriptor.text import error

if TYPE_CHECKING:
    from collections.abc import Iterator

    from polyport.descriptor.checks.folder import Folder
    from polyport.descriptor.yaml import Document
    from polyport.errors import Diagnostic


def check(folder: Folder) -> Iterator[Diagnostic]:
    """What is wrong with who was promised what."""
    known = folder.settings_sound
    roles = folder.product.settings.roles if known else None
    first: dict[str, Document] = {}
    for document in folder.agreements:
        yield from agreement.check(document, folder.product, roles)
        other = first.setdefault(document["id"], document)
        if other is not document:
            places = (document.value_at(("id",), "again"), other.value_at(("id",), "first here"))
            yield error("PP279", f"two agreements have the id `{document['id']}`", *places)
