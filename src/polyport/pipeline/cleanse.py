"""Cleanse: what a step repaired is counted, what it refused goes to quarantine, and the rest is passed on.

A step says so in two text columns of its result, neither of which is passed on: `_repaired` (null: untouched; else
what was repaired, several separated by `; `) and `_refused` (null: fine; else the reason).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pyarrow as pa

from polyport.descriptor.pipeline_files import MARKS, REFUSED, REPAIRED
from polyport.errors import TransformError
from polyport.expression import quote
from polyport.model import Relation
from polyport.pipeline.folders import safe, writing

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from polyport.engine import Engine, Written

_MOST = 1_000
"""Different texts to count by; rarer ones are counted together."""
OTHER = "other"


@dataclass(frozen=True, slots=True)
class Cleansed:
    """What came of a cleanse step's rows."""

    relation: Relation
    """The rows passed on."""
    rows: int
    columns: int
    repaired: Mapping[str, int] = field(default_factory=dict)
    refused: Mapping[str, int] = field(default_factory=dict)


def set_aside(table: Written, step: str, *, run: str, engine: Engine, quarantine: Path) -> Cleansed:
    """The rows of `table` without those refused, which are written to `quarantine/<step>.parquet`.

    Args:
        table: What the step gave, with one or both of the two columns.
        step: The step's name.
        run: The run's id; goes into quarantine beside `_rule` and `_reason`.
        engine: What reads `table`.
        quarantine: The run's folder for refused rows; made when there are any.

    Raises:
        TransformError: `_repaired` or `_refused` is not text.
        StoreError: No space, or no permission.
    """
    marks = [name for name in MARKS if name in table.schema.names]
    for name in marks:
        _check_text(table.schema.field(name), f"cleanse/{step}")
    columns = {n: quote(n) for n in table.schema.names if n not in MARKS}
    written = table.relation
    counts = {name: _count(written, name, engine) for name in marks}
    repaired = _by_kind(counts.get(REPAIRED, {}))
    refused = counts.get(REFUSED, {})
    passed = Relation(
        written.data, columns, f"{quote(REFUSED)} IS NULL" if REFUSED in marks else ""
    )
    gone = sum(refused.values())
    if gone:
        _keep_refused(written, columns, step, run=run, engine=engine, folder=quarantine)
    return Cleansed(passed, table.rows - gone, len(columns), repaired, refused)


def _check_text(field: pa.Field, where: str) -> None:
    if not pa.types.is_string(field.type) and not pa.types.is_null(field.type):
        raise TransformError(
            f"column {field.name} is {field.type}, not text",
            where=where,
            fix="null, or what was done",
        )


def _count(relation: Relation, column: str, engine: Engine) -> dict[str, int]:
    name = quote(column)
    sql = (
        f"SELECT CAST({name} AS VARCHAR) AS said, count(*) AS n FROM marked "
        f"WHERE {name} IS NOT NULL GROUP BY 1 ORDER BY 2 DESC, 1"
    )
    found: Counter[str] = Counter()
    with engine.query(sql, {"marked": relation}) as reader:
        for batch in reader:
            for said, number in zip(*batch.to_pydict().values(), strict=True):
                found[said if len(found) < _MOST else OTHER] += number
    return dict(found)


def _by_kind(counts: Mapping[str, int]) -> dict[str, int]:
    kinds: Counter[str] = Counter()
    for said, number in counts.items():
        for kind in {part.strip() for part in said.split(";")} - {""}:
            kinds[kind] += number
    return dict(kinds.most_common())


def _keep_refused(
    relation: Relation,
    columns: Mapping[str, str],
    step: str,
    *,
    run: str,
    engine: Engine,
    folder: Path,
) -> None:
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    rule, ran = "CAST($_rule AS VARCHAR)", "CAST($_run AS VARCHAR)"
    told = {"_rule": rule, "_reason": quote(REFUSED), "_run": ran}
    params = {"_rule": f"cleanse/{step}", "_run": run}
    refused = Relation(relation.data, {**columns, **told}, f"{quote(REFUSED)} IS NOT NULL", params)
    engine.write("SELECT * FROM refused", {"refused": refused}, folder / f"{safe(step)}.parquet")
