"""Who is to be erased: the values that identify them, in every kept snapshot, and which rows hold them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from polyport.errors import ConfigurationError, NotFoundError
from polyport.expression import Compare, In, columns, leaves, parse, quote, to_sql
from polyport.model import Files, Relation
from polyport.pipeline.erasure.tombstones import ANY, Hashing, Marks, Stone, digests, text_columns
from polyport.pipeline.erasure.wanted import BLANK, LONGEST, SHORTEST, Values

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    import pyarrow as pa

    from polyport.engine import FieldIds, Written
    from polyport.model import Snapshot
    from polyport.pipeline.erasure.types import Request, Scene, Target

MOST = 100
"""Values: beyond, it is no person or entity but a part of the data, for which a build is the tool."""
_SHORTEST_NUMBER = 6


@dataclass(frozen=True, slots=True)
class Entity:
    """What an erasure is about; goes into its plan, and nowhere else."""

    request: Request
    values: tuple[str, ...]
    stones: tuple[Stone, ...]

    def condition(self, dataset: str, schema: pa.Schema) -> tuple[str, dict[str, Any]]:
        """SQL for the rows of a dataset that go, and its parameters; empty where none can."""
        terms: list[str] = []
        params: dict[str, Any] = {}
        blind = self.request.everywhere
        for target in self.request.targets:
            if target.dataset == dataset:
                where = parse(target.where)
                if set(columns(where)) <= set(schema.names):
                    terms.append(f"coalesce({to_sql(where, params)}, FALSE)")
                else:  # an older snapshot, from before the column
                    blind = True
        if blind and self.values:
            params["_values"] = [value.lower() for value in self.values]
            terms += [
                f"coalesce(list_contains($_values, lower({quote(name)})), FALSE)"
                for name in text_columns(schema)
            ]
        return " OR ".join(f"({term})" for term in terms), params


def find(scene: Scene, request: Request) -> Entity:
    """The values that identify what is to be erased, found in every kept snapshot, and its tombstones.

    Raises:
        NotFoundError: No kept snapshot has a dataset that is named.
        ConfigurationError: It is known by nothing that can be looked for in every byte, or by too much.
        QueryError: A filter is wrong.
    """
    hashing = Hashing(scene.salt)
    values: dict[str, None] = dict.fromkeys(request.also)
    stones: list[Stone] = []
    for target in request.targets:
        named, hashes = _identified(scene, target, hashing)
        values |= dict.fromkeys(named)
        stones.append(Stone(target.dataset, identifying(target), hashes))
    _check(tuple(values))
    if request.everywhere:
        words = Marks.of(values, hashing).digests
        datasets = {n: None for s in scene.store.history(scene.product.id) for n in s.datasets}
        stones += [Stone(name, (ANY,), words) for name in datasets]
    return Entity(request, tuple(values), tuple(stone for stone in stones if stone.digests))


def identifying(target: Target) -> tuple[str, ...]:
    """The columns whose values identify the target's rows."""
    return target.columns or columns(parse(target.where))


def _identified(scene: Scene, target: Target, hashing: Hashing) -> tuple[list[str], frozenset[str]]:
    """The values of the identifying columns, and the hashes of the rows' own."""
    where, named = parse(target.where), identifying(target)
    if not named:
        message = f"the filter {target.where!r} names no column"
        raise ConfigurationError(message, fix="say with --column what identifies the rows")
    literal = [v for c, v in _literals(target) if c in named]
    values: dict[str, None] = dict.fromkeys(literal)
    hashes = {hashing.row([value]) for value in literal} if len(named) == 1 else set[str]()
    wanted = {*named, *columns(where)}
    known: dict[str, None] = {}
    for relation, schema in _kept(scene, target.dataset):
        known |= dict.fromkeys(schema.names)
        if wanted <= set(schema.names):
            params: dict[str, Any] = {}
            rows = Relation(relation.data, where=to_sql(where, params), params=params)
            hashes |= digests(rows, named, hashing, scene.engine)
            values |= dict.fromkeys(_values(scene, rows, named))
    if missing := sorted(wanted - known.keys()):
        raise NotFoundError(
            f"no kept snapshot of {target.dataset!r} has a column {missing[0]!r}",
            where=target.dataset,
            fix=f"columns: {', '.join(known)}",
        )
    return [value for value in values if value.strip()], frozenset(hashes)


def _literals(target: Target) -> Iterator[tuple[str, str]]:
    """Column and value of each comparison for equality."""
    for leaf in leaves(parse(target.where)):
        match leaf:
            case Compare(column, "=", value):
                yield column, str(value)
            case In(column, several):
                yield from ((column, str(value)) for value in several)


def _kept(scene: Scene, dataset: str) -> Iterator[tuple[Relation, pa.Schema]]:
    """The rows of a dataset in each kept snapshot; files that several share, once."""
    history = scene.store.history(scene.product.id)
    if not any(dataset in s.datasets for s in history):
        known = sorted({name for s in history for name in s.datasets})
        raise NotFoundError(
            f"no kept snapshot of {scene.product.id!r} has a dataset {dataset!r}",
            where=scene.product.id,
            fix=f"datasets: {', '.join(known) or 'none'}",
        )
    seen: set[Sequence[str]] = set()
    for snapshot in history:
        if dataset in snapshot.datasets:
            files = scene.store.files(snapshot, dataset)
            if files not in seen:
                seen.add(files)
                schema = snapshot.datasets[dataset].schema
                yield Relation(Files(files, schema=schema)), schema


def _values(scene: Scene, rows: Relation, named: Sequence[str]) -> list[str]:
    found: list[str] = []
    for name in named:
        sql = (
            f"SELECT DISTINCT CAST({quote(name)} AS VARCHAR) AS said FROM held "
            f"WHERE {quote(name)} IS NOT NULL LIMIT {MOST + 1}"
        )
        with scene.engine.query(sql, {"held": rows}) as reader:
            found += reader.read_all()["said"].to_pylist()
    return found


def _check(values: tuple[str, ...]) -> None:
    if not values:
        raise ConfigurationError(
            "no kept snapshot has such a row, and the filter compares with no value",
            fix="name the value: --value TEXT --column NAME, or --also TEXT",
        )
    if len(values) > MOST:
        raise ConfigurationError(
            f"the rows have more than {MOST} different values to look for",
            fix="say with --column which one identifies the person or entity",
        )
    bad = [v for v in values if _unfit(v)]
    if bad:
        raise ConfigurationError(
            f"{len(bad)} of {len(values)} values cannot be looked for in every byte: they have fewer than "
            f"{SHORTEST} characters ({_SHORTEST_NUMBER} for a number) or more than {LONGEST:,}",
            fix="say with --column which column's values identify the person or entity: a name, an address",
        )
    own = [v for v in values if Values((v,)).blanked(BLANK) != BLANK]
    if own:
        raise ConfigurationError(
            f"{own[0]!r} cannot be looked for: the marks that erasures leave hold it",
            fix="say with --column which other column's values identify the person or entity",
        )


def _unfit(value: str) -> bool:
    least = _SHORTEST_NUMBER if value.replace(".", "").isdigit() else SHORTEST
    return not least <= len(value) <= LONGEST


def count(scene: Scene, entity: Entity) -> dict[int, dict[str, int]]:
    """Snapshot -> dataset -> rows that would go."""
    known: dict[tuple[str, Sequence[str]], int] = {}
    rows: dict[int, dict[str, int]] = {}
    for snapshot in scene.store.history(scene.product.id):
        for name, dataset in snapshot.datasets.items():
            files = scene.store.files(snapshot, name)
            if (name, files) not in known:
                known[name, files] = _matching(scene, entity, name, files, dataset.schema)
            if known[name, files]:
                rows.setdefault(snapshot.sequence, {})[name] = known[name, files]
    return rows


def _matching(
    scene: Scene, entity: Entity, dataset: str, files: Sequence[str], schema: pa.Schema
) -> int:
    where, params = entity.condition(dataset, schema)
    if not where:
        return 0
    relation = Relation(Files(tuple(files), schema=schema), where=where, params=params)
    with scene.engine.query("SELECT count(*) AS n FROM held", {"held": relation}) as reader:
        return int(reader.read_all()["n"][0].as_py())


@dataclass(frozen=True, slots=True)
class Rewriting:
    """`store.erase.Rewrite` for one entity."""

    scene: Scene
    entity: Entity

    def __call__(
        self,
        snapshot: Snapshot,
        dataset: str,
        files: Sequence[str],
        *,
        target: Path,
        field_ids: FieldIds,
    ) -> Written | None:
        """The rows that stay, written to `target`; None where all of them do."""
        schema = snapshot.datasets[dataset].schema
        if not _matching(self.scene, self.entity, dataset, files, schema):
            return None
        where, params = self.entity.condition(dataset, schema)
        source = Files(tuple(files), schema=schema)
        rest: Mapping[str, Relation] = {
            dataset: Relation(source, where=f"NOT ({where})", params=params)
        }
        sql = f"SELECT * FROM {quote(dataset)}"
        return self.scene.engine.write(sql, rest, target, field_ids=field_ids)
