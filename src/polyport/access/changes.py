"""What differs between two snapshots of a dataset, as SQL over what one principal sees of both."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from polyport.expression import quote
from polyport.model import Query

if TYPE_CHECKING:
    from collections.abc import Sequence

    from polyport.access.secured import Secured
    from polyport.model import Relation


def rows(before: Secured, after: Secured, dataset: str) -> Query:
    """Rows that differ: `_change`, `before`, `after`.

    With a key: a full join on key and a hash of the rest (the cheapest of the measured formulations), and the rows
    joined back for the keys that changed. Without: the difference of two bags.

    Raises:
        NotFoundError, AccessError: The dataset is not in both, or nothing of it may be seen.
    """
    key, old, new = _compared(before, after, dataset)
    was, now = _struct("b", old), _struct("a", new)
    if not key:
        gone, come = _bag_difference(old, new)
        sql = (
            f"SELECT 'removed' AS _change, {was} AS before, NULL AS after FROM ({gone}) b"
            f" UNION ALL SELECT 'added', NULL, {now} FROM ({come}) a"
        )
        return _query(before, after, dataset, sql)
    joined = " AND ".join(f"{{0}}.{quote(k)} = d.{quote(k)}" for k in key)
    sql = (
        f"SELECT d._change, CASE WHEN d._change <> 'added' THEN {was} END AS before,"
        f" CASE WHEN d._change <> 'removed' THEN {now} END AS after"
        f" FROM ({_differing(key, old, new)}) d LEFT JOIN _before b ON {joined.format('b')}"
        f" LEFT JOIN _after a ON {joined.format('a')} ORDER BY {', '.join(f'd.{quote(k)}' for k in key)}"
    )
    return _query(before, after, dataset, sql)


def counts(before: Secured, after: Secured, dataset: str) -> Query:
    """How many rows differ: `_change`, `n`.

    Raises:
        NotFoundError, AccessError: As `rows`.
    """
    key, old, new = _compared(before, after, dataset)
    if key:
        sql = f"SELECT _change, count(*) AS n FROM ({_differing(key, old, new)}) GROUP BY 1"
        return _query(before, after, dataset, sql)
    gone, come = _bag_difference(old, new)
    sql = (
        f"SELECT 'removed' AS _change, count(*) AS n FROM ({gone}) HAVING count(*) > 0"
        f" UNION ALL SELECT 'added', count(*) FROM ({come}) HAVING count(*) > 0"
    )
    return _query(before, after, dataset, sql)


def _compared(
    before: Secured, after: Secured, dataset: str
) -> tuple[Sequence[str], Sequence[str], Sequence[str]]:
    """The key, the columns before, and those after.

    The key counts if it is seen as it is on both sides: a masked one may have one value in all rows.
    """
    old, new = before.schema(dataset).names, after.schema(dataset).names
    plain = (set(old) - {*before.masked(dataset)}) & (set(new) - {*after.masked(dataset)})
    key = after.dataset(dataset).key
    return key if plain.issuperset(key) else (), old, new


def _query(before: Secured, after: Secured, dataset: str, sql: str) -> Query:
    older = _renamed(before.relation(dataset), "b")
    return Query(sql, {"_after": after.relation(dataset), "_before": older})


def _renamed(relation: Relation, prefix: str) -> Relation:
    """The same relation with other parameter names, so that two can stand in one query."""
    names = {name: prefix + name for name in relation.params}

    def swap(sql: str) -> str:
        return re.sub(r"\$(f\d+)", lambda found: "$" + names.get(found[1], found[1]), sql)

    return replace(
        relation,
        columns={name: swap(sql) for name, sql in relation.columns.items()},
        where=swap(relation.where),
        params={names[name]: value for name, value in relation.params.items()},
    )


def _struct(alias: str, names: Sequence[str]) -> str:
    return "{" + ", ".join(f"{_text(n)}: {alias}.{quote(n)}" for n in names) + "}"


def _text(name: str) -> str:
    return "'" + name.replace("'", "''") + "'"


def _differing(key: Sequence[str], old: Sequence[str], new: Sequence[str]) -> str:
    keys = ", ".join(map(quote, key))

    def hashed(table: str, names: Sequence[str]) -> str:
        rest = ", ".join(quote(n) for n in names if n not in key) or "0"
        return f"(SELECT {keys}, hash({rest}) AS _h FROM {table})"

    same = set(old) == set(new)
    anything = "" if same else " OR TRUE"
    return (
        f"SELECT {keys}, CASE WHEN o._h IS NULL THEN 'added' WHEN n._h IS NULL THEN 'removed'"
        f" ELSE 'changed' END AS _change FROM {hashed('_before', new if same else old)} o"
        f" FULL JOIN {hashed('_after', new)} n USING ({keys}) WHERE o._h IS DISTINCT FROM n._h{anything}"
    )


def _bag_difference(old: Sequence[str], new: Sequence[str]) -> tuple[str, str]:
    """(gone, come): SQL for the rows of one that the other has not, each as often."""
    if set(old) != set(new):
        return "SELECT * FROM _before", "SELECT * FROM _after"
    names = ", ".join(map(quote, new))
    return (
        f"SELECT {names} FROM _before EXCEPT ALL SELECT {names} FROM _after",
        f"SELECT {names} FROM _after EXCEPT ALL SELECT {names} FROM _before",
    )
