"""An older major of an output port: the datasets of its contract, over those that the product publishes today."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from polyport.access.statements import digest
from polyport.descriptor.types import Constant
from polyport.errors import AccessError
from polyport.expression import quote
from polyport.model import Relation

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from polyport.descriptor.types import DatasetMapping
    from polyport.model import Dataset, Snapshot


class Shape:
    """What a view shows over the published datasets, once the policy has secured them; this one: they themselves."""

    __slots__ = ()

    @property
    def digest(self) -> str:
        """Tells shapes apart, in ETags and caches."""
        return ""

    def shown(self, snapshot: Snapshot) -> Snapshot:
        """The snapshot with the datasets that are shown in place of its own."""
        return snapshot

    def source(self, snapshot: Snapshot, name: str) -> Dataset:
        """The published dataset behind the shown one `name`: the one whose policy holds."""
        return snapshot.datasets[name]

    def real(self, name: str, source: Dataset, columns: Iterable[str]) -> tuple[str, ...]:  # noqa: ARG002
        """The published columns that a read of `columns` reads."""
        return tuple(columns)

    def relation(
        self,
        name: str,  # noqa: ARG002
        source: Dataset,  # noqa: ARG002
        secured: Relation,
        masked: Mapping[str, str],
    ) -> tuple[Relation, Mapping[str, str]]:
        """What is shown of the secured relation, and how what is masked is masked.

        Raises:
            AccessError: The policy shows none of the columns that it is made from.
        """
        return secured, masked


AS_PUBLISHED = Shape()


@dataclass(frozen=True, slots=True)
class Mapped(Shape):
    """The datasets of a snapshot under the names of an older contract.

    A projection over what the policy has secured: row filters and masks lie below it, and speak of today's names.
    A snapshot from before the change may have the older names itself; then they are shown as they are.
    """

    datasets: Mapping[str, DatasetMapping]
    """Older dataset -> what it is made from."""

    @property
    def digest(self) -> str:
        """See `Shape`."""
        return digest(sorted(self.datasets.items()))

    def shown(self, snapshot: Snapshot) -> Snapshot:
        """See `Shape`."""
        made = {
            name: self._dataset(name, self.source(snapshot, name))
            for name, mapping in self.datasets.items()
            if mapping.source in snapshot.datasets or name in snapshot.datasets
        }
        return replace(snapshot, datasets=made)

    def source(self, snapshot: Snapshot, name: str) -> Dataset:
        """See `Shape`."""
        source = self.datasets[name].source
        return snapshot.datasets[source if source in snapshot.datasets else name]

    def columns(self, name: str, source: Dataset) -> dict[str, str | Constant]:
        """Older column -> the published column, or the constant, that it shows; without those that are not there."""
        found: dict[str, str | Constant] = {}
        for old, given in self.datasets[name].columns.items():
            if isinstance(given, Constant) or given in source.schema.names:
                found[old] = given
            elif old in source.schema.names:
                found[old] = old
        return found

    def real(self, name: str, source: Dataset, columns: Iterable[str]) -> tuple[str, ...]:
        """See `Shape`."""
        of = self.columns(name, source)
        found = [of[column] for column in columns if column in of]
        return tuple(dict.fromkeys(c for c in found if isinstance(c, str)))

    def relation(
        self, name: str, source: Dataset, secured: Relation, masked: Mapping[str, str]
    ) -> tuple[Relation, dict[str, str]]:
        """See `Shape`."""
        params = dict(secured.params)
        shown: dict[str, str] = {}
        words: dict[str, str] = {}
        for old, given in self.columns(name, source).items():
            if isinstance(given, Constant):
                shown[old] = _constant(given.value, params)
            elif not secured.columns or given in secured.columns:
                shown[old] = secured.columns.get(given, quote(given))
                words.update({old: masked[given]} if given in masked else {})
        if all(isinstance(self.datasets[name].columns[old], Constant) for old in shown):
            raise AccessError(
                f"nothing of {name!r} is shown: its columns are made from {source.name!r}, of which none is seen",
                where=name,
                fix="ask the owner for a role that shows them",
            )
        return Relation(secured.data, shown, secured.where, params), words

    def _dataset(self, name: str, source: Dataset) -> Dataset:
        columns = self.columns(name, source)
        fields = [_field(old, given, source.schema) for old, given in columns.items()]
        older = {given: old for old, given in columns.items() if isinstance(given, str)}
        whole = all(column in older for column in source.key)
        key = tuple(older[column] for column in source.key) if whole else ()
        return replace(source, name=name, schema=pa.schema(fields), key=key)


def _field(name: str, given: str | Constant, schema: pa.Schema) -> pa.Field:
    if isinstance(given, str):
        return schema.field(given).with_name(name)
    return pa.field(name, _TYPES[type(given.value)])


_TYPES = {
    bool: pa.bool_(),
    int: pa.int64(),
    float: pa.float64(),
    str: pa.string(),
    type(None): pa.string(),
}
_SQL = {bool: "BOOLEAN", int: "BIGINT", float: "DOUBLE", str: "VARCHAR", type(None): "VARCHAR"}


def _constant(value: Any, params: dict[str, Any]) -> str:
    name = f"f{len(params)}"
    params[name] = value
    return f"CAST(${name} AS {_SQL[type(value)]})"
