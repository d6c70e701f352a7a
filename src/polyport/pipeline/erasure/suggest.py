"""Which columns hold somebody in rows that were not named, those first that a contract marks as personal."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from polyport.expression import quote
from polyport.model import Files, Relation
from polyport.pipeline.erasure.types import Suggestion

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from polyport.descriptor.types import DataProduct
    from polyport.pipeline.erasure.find import Entity
    from polyport.pipeline.erasure.types import Scene

_OPEN = ("", "public", "internal")
_MARKS = re.compile(r"personal|pii|gdpr", re.IGNORECASE)


def suggest(scene: Scene, entity: Entity) -> tuple[Suggestion, ...]:
    """The columns of kept snapshots that hold one of the values in rows that do not go.

    Raises:
        QueryError: The engine failed.
    """
    if not entity.values:
        return ()
    most: dict[tuple[str, str], int] = {}
    seen: set[tuple[str, Sequence[str]]] = set()
    for snapshot in scene.store.history(scene.product.id):
        for name, dataset in snapshot.datasets.items():
            files = tuple(scene.store.files(snapshot, name))
            if (name, files) not in seen:
                seen.add((name, files))
                for column, rows in _holding(scene, entity, name, files, dataset.schema).items():
                    most[name, column] = max(most.get((name, column), 0), rows)
    marked = set(_personal(scene.product))
    found = [Suggestion(*key, rows, personal=key in marked) for key, rows in most.items()]
    return tuple(sorted(found, key=lambda one: (not one.personal, one.dataset, one.column)))


def _holding(
    scene: Scene, entity: Entity, dataset: str, files: Sequence[str], schema: pa.Schema
) -> Mapping[str, int]:
    """Column -> how many rows that stay mention one of the values in it."""
    texts = [f.name for f in schema if _says(f.type)]
    if not texts:
        return {}
    goes, params = entity.condition(dataset, schema)
    values = [value.lower() for value in entity.values]
    rows = Relation(
        Files(tuple(files), schema=schema), where=f"NOT ({goes})" if goes else "", params=params
    )
    told = ", ".join(
        f"count(*) FILTER (len(list_filter($_said, lambda v: contains(lower(CAST({quote(n)} AS VARCHAR)), v))) > 0)"
        f" AS {quote(str(at))}"
        for at, n in enumerate(texts)
    )
    given: Mapping[str, Any] = {"_said": values}
    with scene.engine.query(f"SELECT {told} FROM held", {"held": rows}, given) as reader:
        (counts,) = reader.read_all().to_pylist()
    return {name: counts[str(at)] for at, name in enumerate(texts) if counts[str(at)]}


def _says(kind: pa.DataType) -> bool:
    """Whether there may be text in it."""
    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_nested(kind)
    )


def _personal(product: DataProduct) -> Iterator[tuple[str, str]]:
    """Dataset and column of what a contract classifies, or tags as personal."""
    for contract in product.contracts.values():
        tagged = {
            str(node.get("name"))
            for node in contract.document.get("schema") or ()
            if _marked(node.get("tags") or ())
        }
        for one in contract.objects:
            for column in one.properties:
                closed = column.classification.lower() not in _OPEN
                if closed or _marked(column.tags) or one.name in tagged:
                    yield one.name, column.name


def _marked(tags: Sequence[Any]) -> bool:
    return any(_MARKS.search(str(tag)) for tag in tags)
