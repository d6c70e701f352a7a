"""Snapshots for tests of stores."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pyarrow as pa
import pyarrow.parquet as pq

from polyport.store import Table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from polyport.engine import FieldIds
    from polyport.model import Snapshot
    from polyport.store import Staging, Store


PRODUCT = "production-cost-statement"


def with_field_ids(schema: pa.Schema, ids: FieldIds) -> pa.Schema:
    """The schema with its Iceberg field ids as Parquet writers take them (field metadata)."""
    return pa.schema([_with_id(column, ids[column.name]) for column in schema])


def _with_id(column: pa.Field, ids: int | FieldIds) -> pa.Field:
    own = ids if isinstance(ids, int) else ids[""]
    below = {} if isinstance(ids, int) else ids
    kind = _nested(column.type, below)
    field = pa.field(column.name, kind, nullable=column.nullable)
    return field.with_metadata({"PARQUET:field_id": str(own)})


def _nested(kind: pa.DataType, ids: FieldIds) -> pa.DataType:
    if pa.types.is_struct(kind):
        inner = [kind.field(i) for i in range(kind.num_fields)]
        return pa.struct([_with_id(child, ids[child.name]) for child in inner])
    if pa.types.is_map(kind):
        return pa.map_(
            _with_id(kind.key_field, ids["key"]), _with_id(kind.item_field, ids["value"])
        )
    if pa.types.is_list(kind):
        return pa.list_(_with_id(kind.value_field, ids["element"]))
    return kind


def stage_table(
    staging: Staging, dataset: str, data: pa.Table, *, key: tuple[str, ...] = (), part: int = 0
) -> Table:
    """`data` as a file in the staging area, ready to publish: what an engine does in a build."""
    path = staging.folder / f"{dataset}-{part}.parquet"
    schema = with_field_ids(data.schema, staging.field_ids(dataset, data.schema))
    pq.write_table(data.cast(schema), path, compression="zstd")
    return Table((path,), data.schema, data.num_rows, key)


def table(*titles: str) -> pa.Table:
    """A small table: `id` and `title`."""
    ids = pa.array(range(len(titles)), pa.int64())
    return pa.table({"id": ids, "title": pa.array(titles, pa.string())})


def publish(
    store: Store,
    run: str,
    tables: Mapping[str, pa.Table],
    *,
    parent: Snapshot | None = None,
    product: str = PRODUCT,
) -> Snapshot:
    """Stage and publish `tables` on top of `parent`."""
    with store.stage(product, run) as staging:
        ready = {name: stage_table(staging, name, data) for name, data in tables.items()}
        return store.publish(
            product,
            ready,
            staging=staging,
            inputs={"in": run},
            parent=parent.id if parent else None,
            version="1.0.0",
        )


def publish_many(store: Store, count: int, *, product: str = PRODUCT) -> list[Snapshot]:
    """`count` snapshots in a row; snapshot n holds `movies` with the one title `n`."""
    made: list[Snapshot] = []
    for number in range(1, count + 1):
        parent = made[-1] if made else None
        made.append(
            publish(
                store,
                f"run-{number}",
                {"movies": table(str(number))},
                parent=parent,
                product=product,
            )
        )
    return made


def rows(store: Store, snapshot: Snapshot, dataset: str) -> list[dict[str, object]]:
    """The rows of a dataset as its files hold them."""
    files = store.files(snapshot, dataset)
    read = [pq.ParquetFile(file).read().to_pylist() for file in files]
    return cast("list[dict[str, object]]", [row for part in read for row in part])
