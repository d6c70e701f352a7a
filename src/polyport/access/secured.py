"""The one gate: what one principal sees of one snapshot, and the only function through which rows of it leave."""

from __future__ import annotations

from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TYPE_CHECKING

import pyarrow as pa

from polyport.access import statements
from polyport.access.mapping import AS_PUBLISHED
from polyport.access.meter import Meter
from polyport.access.policy import NOTHING
from polyport.errors import AccessError, NotFoundError, SizeError
from polyport.expression import quote
from polyport.model import Files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from polyport.access.mapping import Shape
    from polyport.access.meter import Outcome
    from polyport.access.policy import Policy
    from polyport.access.statements import Statement
    from polyport.engine import Engine
    from polyport.model import Dataset, Principal, Read, Relation, Snapshot


@dataclass(slots=True)
class Secured:
    """A snapshot under the policy, for one principal, port and purpose. `View` says what may be asked of it."""

    snapshot: Snapshot
    principal: Principal
    port: str
    purpose: str
    policy: Policy
    engine: Engine
    files: Callable[[Snapshot, str], Sequence[str]]
    """Where the rows of a dataset lie; see `Store.files`."""
    record: Callable[[Read], None]
    mapping: Shape = field(default=AS_PUBLISHED, kw_only=True)
    """What is shown over the published datasets: for an older major of a port, those of its contract."""
    refusal: AccessError | None = field(default=None, kw_only=True)
    """Why the principal was not let in; raised by each read, which is recorded as denied."""
    still: Callable[[], None] = field(default=lambda: None, kw_only=True)
    """Raises AccessError where what let the principal in no longer holds; asked before each read and each batch."""
    rows_limit: int = field(default=0, kw_only=True)
    """How many rows one read may give; 0: any number."""
    _secured: dict[str, tuple[Relation, Mapping[str, str]]] = field(
        default_factory=dict, kw_only=True
    )
    _schemas: dict[str, pa.Schema] = field(default_factory=dict, kw_only=True)
    _meters: list[Meter] = field(default_factory=list, kw_only=True)
    _published: Snapshot = field(init=False)
    """The snapshot with its own datasets."""

    def __post_init__(self) -> None:
        self._published = self.snapshot
        self.snapshot = self.mapping.shown(self.snapshot)

    @property
    def datasets(self) -> tuple[str, ...]:
        """The datasets that the principal may see anything of, in the snapshot's order."""
        return tuple(name for name in self.snapshot.datasets if self.sight(name) != NOTHING)

    @property
    def policy_class(self) -> str:
        """A digest: two principals with the same one see the same rows (for ETags and caches)."""
        return statements.digest(*map(self.sight, self.snapshot.datasets))

    def sight(self, dataset: str) -> str:
        """A digest of what the principal sees of `dataset`; `-` where that is nothing."""
        if self.refusal is not None:
            return NOTHING
        found, shown = self._source(dataset), self.snapshot.datasets[dataset].schema.names
        real = self.mapping.real(dataset, found, shown)
        seen = self.policy.policy_class(found, self.principal, self.purpose, real)
        return NOTHING if seen == NOTHING else f"{seen}{self.mapping.digest}"

    def dataset(self, name: str) -> Dataset:
        """The dataset as published.

        Raises:
            NotFoundError: The snapshot has no such dataset.
        """
        if name not in self.snapshot.datasets:
            near = get_close_matches(name, self.datasets, 1)
            raise NotFoundError(
                f"no dataset {name!r} in snapshot {self.snapshot.sequence} of {self.snapshot.product}",
                fix=f"did you mean {near[0]!r}?"
                if near
                else f"datasets: {', '.join(self.datasets)}",
            )
        return self.snapshot.datasets[name]

    def schema(self, dataset: str) -> pa.Schema:
        """The columns as the principal sees them (masking may change a type).

        Raises:
            NotFoundError: The snapshot has no such dataset.
            AccessError: The principal may see nothing of it; says why.
        """
        if dataset not in self._schemas:
            relation = self.relation(dataset)
            self._schemas[dataset] = (
                self.engine.schema(f"SELECT * FROM {quote(dataset)}", {dataset: relation})
                if relation.columns
                else self.snapshot.datasets[dataset].schema
            )
        return self._schemas[dataset]

    def masked(self, dataset: str) -> Mapping[str, str]:
        """Column -> how it is masked, in words, for those that are.

        Raises:
            NotFoundError, AccessError: As `schema`.
        """
        return self._under_policy(dataset)[1]

    def relation(self, dataset: str) -> Relation:
        """The rows and columns that the principal sees, for the engine and nobody else: a port has no use for it.

        Raises:
            NotFoundError, AccessError: As `schema`.
        """
        return self._under_policy(dataset)[0]

    def meter(self, dataset: str, columns: Sequence[str]) -> Meter:
        """What counts one read of `dataset`, and records it once."""
        found = self._source(dataset)
        read = {
            "product": self.snapshot.product,
            "port": self.port,
            "principal": self.principal.id,
            "purpose": self.purpose,
            "snapshot": self.snapshot.id,
            "dataset": found.name,
            "columns": self.mapping.real(dataset, found, columns),
        }
        self._meters.append(Meter(self.record, read))
        return self._meters[-1]

    def _read(
        self,
        dataset: str,
        columns: Sequence[str],
        statement: Statement,
        *,
        most: int,
        relations: Mapping[str, Relation] | None = None,
    ) -> pa.RecordBatchReader:
        """The rows of a SELECT over what is seen of `dataset`, by its name. Metered as a read of its `columns`.

        Args:
            dataset: What is read.
            columns: Those of its columns that the statement reads.
            statement: Of Polyport's own making, never a consumer's.
            most: The rows that it may give; 0: any number.
            relations: What the statement names, made of what `relation` gives; by default the dataset.

        Raises:
            NotFoundError, AccessError: As `schema`.
            SizeError: It gives more rows than it may.
            QueryError: The engine refuses it.
        """
        sql, params = statement
        named = {dataset: self.relation(dataset)} if relations is None else relations
        self.still()
        if most:  # counted first, for nothing may leave of a read that is too large
            counted = self.engine.query(statements.more_than(sql, most), named, params)
            if counted.read_all().num_rows:
                raise self._too_many(dataset)
        meter = self.meter(dataset, columns)
        try:
            reader = self.engine.query(sql, named, params)
        except BaseException:
            meter.finish("failed")
            raise
        return pa.RecordBatchReader.from_batches(reader.schema, self._counted(reader, meter))

    def _counted(self, reader: pa.RecordBatchReader, meter: Meter) -> Iterator[pa.RecordBatch]:
        outcome: Outcome = "failed"
        try:
            for batch in reader:
                self.still()
                meter.count(batch)
                yield batch
            outcome = "ok"
        except AccessError:
            outcome = "denied"
            raise
        except GeneratorExit:
            outcome = "cut"
            raise
        finally:
            reader.close()
            meter.finish(outcome)

    def _source(self, name: str) -> Dataset:
        """The published dataset behind `name`, whose policy holds."""
        self.dataset(name)
        return self.mapping.source(self._published, name)

    def _under_policy(self, dataset: str) -> tuple[Relation, Mapping[str, str]]:
        if dataset not in self._secured:
            found = self._source(dataset)
            files = Files(tuple(self.files(self._published, found.name)), schema=found.schema)
            try:
                if self.refusal is not None:
                    raise self.refusal
                secured = self.policy.secure(found, files, self.principal, self.purpose)
                self._secured[dataset] = self.mapping.relation(dataset, found, *secured)
            except AccessError:
                self.meter(dataset, ()).finish("denied")
                raise
        return self._secured[dataset]

    def _too_many(self, dataset: str) -> SizeError:
        self.meter(dataset, ()).finish("denied")
        return SizeError(
            f"this read gives more rows than the {self.rows_limit:,} that {self.principal.id} may read at once",
            where=dataset,
            fix="ask for fewer: filter, or read page by page",
        )
