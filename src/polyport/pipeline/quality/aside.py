"""Quarantine: rows that a rule refuses are set aside with the rule and the reason; the rest goes on without them."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from polyport.expression import quote
from polyport.pipeline.quality.checks import Rows

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from polyport.engine import Engine, FieldIds
    from polyport.pipeline.quality.checks import Check
    from polyport.pipeline.quality.types import Candidate

_UNSAFE = re.compile(r"[^\w.-]")
ADDED = ("_rule", "_reason", "_run")
"""What is told of a row that was set aside, beside its own columns."""


@dataclass(frozen=True, slots=True)
class Aside:
    """What was set aside, and what remains."""

    candidate: Candidate
    file: Path
    rows: int


def set_aside(
    candidate: Candidate, checks: Sequence[Check], *, run: str, engine: Engine, folder: Path
) -> Aside | None:
    """The candidate without the rows that break `checks`; None, and nothing changed, where no row would remain.

    Raises:
        QueryError: The engine failed.
        StoreError: No space, or no permission.
    """
    name, table = candidate.object.name, candidate.table
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / file_name(name, run)
    broken, params = _broken(checks)
    columns, said = _columns(candidate, checks, run)
    refused = replace(candidate.relation, columns=columns, where=broken, params=params | said)
    everything = f"SELECT * FROM {quote(name)}"
    written = engine.write(everything, {name: refused}, file)
    if written.rows >= table.rows:
        file.unlink()
        return None
    kept = replace(candidate.relation, where=f"NOT ({broken})", params=params)
    old = table.files
    target = old[0].with_name(f"{old[0].stem}-kept.parquet")
    rest = engine.write(
        everything, {name: kept}, target, field_ids=field_ids(pq.read_schema(old[0]))
    )
    for path in old:
        path.unlink()
    return Aside(replace(candidate, table=rest), file, written.rows)


def file_name(dataset: str, run: str) -> str:
    """What the file of a dataset's refused rows is called."""
    return f"{_UNSAFE.sub('_', dataset)}-{run}.parquet"


def _broken(checks: Sequence[Check]) -> tuple[str, dict[str, Any]]:
    conditions = [c.how.condition for c in checks if isinstance(c.how, Rows)]
    sql = " OR ".join(f"coalesce({c.sql}, FALSE)" for c in conditions)
    return sql, {k: v for c in conditions for k, v in c.params.items()}


def _columns(
    candidate: Candidate, checks: Sequence[Check], run: str
) -> tuple[dict[str, str], dict[str, Any]]:
    """The row as it was, then `_rule`, `_reason` and `_run`; a column of its own with such a name gets a `_` more."""
    taken = [n for n in candidate.table.schema.names if n in ADDED]
    columns = {f"{n}_" if n in taken else n: quote(n) for n in candidate.table.schema.names}
    params: dict[str, Any] = {"_run": run}
    rules, reasons = [], []
    for i, (check, how) in enumerate((c, c.how) for c in checks if isinstance(c.how, Rows)):
        params |= {f"_rule{i}": check.rule, f"_reason{i}": f"{check.sentence}; found: "}
        rules.append(f"CASE WHEN {how.condition.sql} THEN $_rule{i} END")
        found = " || ' / ' || ".join(_seen(c) for c in how.columns)
        reasons.append(f"CASE WHEN {how.condition.sql} THEN $_reason{i} || {found} END")
    columns["_rule"] = f"concat_ws('; ', {', '.join(rules)})"
    columns["_reason"] = f"concat_ws('; ', {', '.join(reasons)})"
    columns["_run"] = "CAST($_run AS VARCHAR)"
    return columns, params


def _seen(column: str) -> str:
    return f"coalesce(left(CAST({quote(column)} AS VARCHAR), 200), 'null')"


def field_ids(schema: pa.Schema) -> Mapping[str, int | FieldIds]:
    """The Iceberg field ids that a Parquet file's schema carries; empty where it carries none."""
    found = {field.name: ids for field in schema if (ids := _ids(field))}
    return found if len(found) == len(schema) else {}


def _ids(field: pa.Field) -> int | FieldIds:
    own = int((field.metadata or {}).get(b"PARQUET:field_id", -1))
    parts = _parts(field.type)
    if own < 0 or not parts:
        return max(own, 0)
    return {"": own, **{name: _ids(part) for name, part in parts.items()}}


def _parts(kind: pa.DataType) -> dict[str, pa.Field]:
    if pa.types.is_struct(kind):
        return {f.name: f for f in kind.fields}
    if pa.types.is_map(kind):
        return {"key": kind.key_field, "value": kind.item_field}
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return {"element": kind.value_field}
    return {}
