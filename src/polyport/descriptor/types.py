"""What a product says of itself, as the rest of Polyport reads it.

Frozen read views. The documents stay whole beside them (`document`): what is not named here is not lost, and writing
a document back gives it leaf by leaf as it was. Field names follow Bitol ODPS and ODCS.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date
    from pathlib import Path

    from polyport.expression import Expression

Operator = Literal[
    "mustBe", "mustNotBe", "mustBeGreaterThan", "mustBeGreaterOrEqualTo",
    "mustBeLessThan", "mustBeLessOrEqualTo", "mustBeBetween", "mustNotBeBetween",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class QualityRule:
    """One ODCS quality rule, with the object or property that it stands on."""

    id: str
    """Its own `id` or `name`, or `<dataset>.<column>.<metric>`; unique in the contract (`-2`, `-3` are added)."""
    dataset: str
    column: str
    """Empty for a rule on the object."""
    type: Literal["library", "sql", "text", "custom"]
    metric: str = ""
    """library: nullValues, missingValues, invalidValues, duplicateValues, rowCount."""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    """library: `validValues`, `pattern`, `minLength`, `maxLength`, `missingValues`, `properties`."""
    query: str = ""
    """sql: with `${table}`/`{table}`, `${column}`/`{column}` and other objects' names."""
    operator: Operator | None = None
    threshold: Any = None
    """A number, a pair for the two `Between` operators, or any value for `mustBe`/`mustNotBe`."""
    unit: str = "rows"
    """rows or percent."""
    severity: str = "error"
    dimension: str = ""
    description: str = ""
    on_failure: Literal["report", "quarantine"] = "report"
    """From the custom property `polyport.onFailure`: `quarantine` sets failing rows aside, then the rule passes."""
    not_run_ok: bool = False
    """From the custom property `polyport.notRun: accept`: a `custom` rule that cannot run is listed, not an error."""
    inside: tuple[str, ...] = ()
    """The way from the column to the nested property that it stands on; `[]`: each item of a list."""


@dataclass(frozen=True, slots=True)
class Relationship:
    """A foreign key: `columns` of the object it stands on refer to `to_columns` of `to_dataset`."""

    columns: tuple[str, ...]
    to_dataset: str
    to_columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Property:
    """A contract's column."""

    name: str
    logical_type: str = ""
    """string, date, timestamp, time, number, integer, object, array, boolean, map, vector; or empty."""
    physical_type: str = ""
    """The SQL type to publish, in the engine's dialect; empty: what the query gives."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """`logicalTypeOptions`: minimum, maximum, exclusiveMinimum, minLength, maxLength, pattern, format, multipleOf..."""
    required: bool = False
    unique: bool = False
    primary_key: bool = False
    primary_key_position: int = -1
    valid_values: tuple[Any, ...] = ()
    """`enum[].value`."""
    quality: tuple[QualityRule, ...] = ()
    semantic_type: str = "column"
    business_name: str = ""
    description: str = ""
    classification: str = ""
    tags: tuple[str, ...] = ()
    unit: str = ""
    """From the custom property `unit`."""
    examples: tuple[Any, ...] = ()
    terms: tuple[str, ...] = ()
    """The ids of the glossary's terms that it refers to (`descriptor.glossary.term_of` says how)."""
    definitions: tuple[str, ...] = ()
    """The other addresses of its `authoritativeDefinitions`: global identifiers of what it means."""
    properties: tuple[Property, ...] = ()
    """What it is made of, where it is an object."""
    items: Property | None = None
    """What each item is, where it is a list."""

    @property
    def rules(self) -> tuple[QualityRule, ...]:
        """All quality rules, those inside of it last."""
        inner = (*self.properties, *((self.items,) if self.items else ()))
        return self.quality + tuple(rule for one in inner for rule in one.rules)


@dataclass(frozen=True, slots=True)
class SchemaObject:
    """A contract's table: the promise on one dataset."""

    name: str
    properties: tuple[Property, ...]
    description: str = ""
    business_name: str = ""
    quality: tuple[QualityRule, ...] = ()
    """Rules on the object; those on columns are in its properties."""
    relationships: tuple[Relationship, ...] = ()

    @property
    def key(self) -> tuple[str, ...]:
        """The primary key's columns, by `primaryKeyPosition`, then by order."""
        keys = [p for p in self.properties if p.primary_key]
        keys.sort(key=lambda p: p.primary_key_position if p.primary_key_position > 0 else 1_000)
        return tuple(p.name for p in keys)

    @property
    def rules(self) -> tuple[QualityRule, ...]:
        """All quality rules, the object's first."""
        return self.quality + tuple(rule for p in self.properties for rule in p.rules)


@dataclass(frozen=True, slots=True)
class SlaProperty:
    """One ODCS `slaProperties` entry."""

    property: str
    """latency, frequency, retention, timeOfAvailability, generalAvailability ..."""
    value: Any
    unit: str = ""
    element: str = ""
    """`dataset.column` it speaks of; may be empty."""
    description: str = ""


@dataclass(frozen=True, slots=True)
class Contract:
    """A Bitol ODCS document."""

    id: str
    version: str
    name: str
    file: Path
    objects: tuple[SchemaObject, ...]
    sla: tuple[SlaProperty, ...] = ()
    description: str = ""
    document: Mapping[str, Any] = field(default_factory=dict)

    def object(self, name: str) -> SchemaObject | None:
        """The schema object called `name`, or None."""
        return next((o for o in self.objects if o.name == name), None)


@dataclass(frozen=True, slots=True)
class Constant:
    """What a mapped column shows in every row."""

    value: str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class DatasetMapping:
    """A dataset of an older contract, made from one that is published today."""

    source: str
    """`from`: the dataset of today."""
    columns: Mapping[str, str | Constant] = field(default_factory=dict)
    """Each column of the older contract: the column of today, or a constant."""


@dataclass(frozen=True, slots=True)
class Port:
    """An input or output port: what ODPS says of it, and its settings in `polyport.yaml`."""

    name: str
    type: str
    """Input: `inputs.<name>.type` in polyport.yaml. Output: ODPS `outputPorts[].type`. The entry point's name."""
    version: str = "1.0.0"
    contract_id: str = ""
    description: str = ""
    deprecated: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)
    """`inputs.<name>` without `type`, or `ports.<name>`, with `${ENV}` references still in place."""
    document: Mapping[str, Any] = field(default_factory=dict)
    mapping: Mapping[str, DatasetMapping] = field(default_factory=dict)
    """Output: the datasets of this major's contract, over those that are published (`ports.<name@major>.mapping`)."""
    deprecated_on: date | None = None
    """From the custom property `polyport.deprecatedOn`."""
    sunset: date | None = None
    """From the custom property `polyport.sunset`: from this day on the port is no longer served."""

    @property
    def major(self) -> int:
        """The major version: 1 of 1.4.0 or v1.4.0."""
        head = self.version.lstrip("vV").split(".")[0]
        return int(head) if head.isdigit() else 1


@dataclass(frozen=True, slots=True)
class RoleSettings:
    """What one role sees of one dataset, or of all (`access.roles.<role>` in polyport.yaml)."""

    rows: Expression | None = None
    """The rows it sees; None: all."""
    columns: tuple[str, ...] | None = None
    """The columns it sees; None: all."""
    mask: Mapping[str, str] = field(default_factory=dict)
    """Column -> `null`, `hash`, `partial`, `partial:N`, `constant:TEXT`, `year`, `month`, `prefix:N`, `round:N`."""
    purposes: frozenset[str] = frozenset()
    """The purposes it may be used for; empty: any."""


@dataclass(frozen=True, slots=True)
class Role:
    """A role, and what it sees of each dataset."""

    name: str
    default: RoleSettings
    datasets: Mapping[str, RoleSettings] = field(default_factory=dict)
    """Where a dataset differs; given whole, not merged with `default`."""
    only: bool = False
    """True where the role names `datasets` and nothing at its own level: it sees those datasets and no other."""

    def sees(self, dataset: str) -> RoleSettings | None:
        """What the role sees of `dataset`; None: nothing."""
        if dataset in self.datasets:
            return self.datasets[dataset]
        return None if self.only else self.default


KEEP_RUNS = 10
"""`retention.runs` where nothing is said."""


@dataclass(frozen=True, slots=True)
class Settings:
    """`polyport.yaml`, with defaults filled in."""

    schedule: str | Mapping[str, str] = ""
    """Cron (UTC), or `{after: product}`."""
    keep_snapshots: int = 0
    """`retention.snapshots`: how many to keep; 0: all."""
    keep_days: int = 0
    """`retention.days`: how many days to keep a snapshot; 0: for ever."""
    keep_runs: int = KEEP_RUNS
    """`retention.runs`: of the runs that no kept snapshot came from, how many keep raw data and refused rows."""
    engine: str = "duckdb"
    memory: str = ""
    """`4GB`; empty: the engine's default."""
    threads: int = 0
    """0: as many as there are cores."""
    roles: Mapping[str, Role] = field(default_factory=dict)
    agreements: Literal["required", "optional"] = "required"
    """`access.agreements`: whether a role is enough where no data sharing agreement is active."""
    requests_per_minute: int = 0
    """`limits.requests_per_minute`: of one principal; 0: any number."""
    rows_per_read: int = 0
    """`limits.rows_per_read`: how many rows one read may give; 0: any number."""
    sql: Mapping[str, Any] = field(default_factory=dict)
    """`limits.sql`: what one statement of consumers' own SQL may take; see `polyport.engine.walled.universe.Walls`."""
    document: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DataProduct:
    """A product's folder as declared: Bitol ODPS document, contracts, and `polyport.yaml`."""

    home: Path
    id: str
    name: str
    version: str
    status: str
    domain: str
    purpose: str
    """ODPS `description.purpose`."""
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    management: tuple[Port, ...]
    contracts: Mapping[str, Contract]
    """By contract id: those in `contracts/`."""
    settings: Settings
    document: Mapping[str, Any] = field(default_factory=dict)
    file: Path | None = None
    """The ODPS file."""

    def promised(self, port: Port) -> Mapping[str, SchemaObject]:
        """The datasets that `port` shows: those of its own contract where it maps them, else all that are published."""
        contract = self.contract(port)
        if port.mapping and contract is not None:
            return {o.name: o for o in contract.objects}
        return self.objects

    def mapping(self, contract: str) -> Mapping[str, DatasetMapping]:
        """The mapping of the older major that promises `contract`; empty where today's datasets are promised."""
        found = (p.mapping for p in self.outputs if p.contract_id == contract and p.mapping)
        return next(found, {})

    def successor(self, port: Port) -> Port | None:
        """The newest other major of the same port; None where it is the newest."""
        newer = [p for p in self.outputs if p.name == port.name and p.major > port.major]
        return max(newer, key=lambda p: p.major, default=None)

    @property
    def objects(self) -> Mapping[str, SchemaObject]:
        """The datasets published: the schema objects of the output ports' contracts, by name; not those only mapped."""
        used = dict.fromkeys(port.contract_id for port in self.outputs if not port.mapping)
        found = [self.contracts[i] for i in used if i in self.contracts]
        return {o.name: o for contract in found for o in contract.objects}

    def contract(self, port: Port) -> Contract | None:
        """The contract of `port`; None where it names none or the folder does not hold it."""
        return self.contracts.get(port.contract_id)


@dataclass(frozen=True, slots=True)
class Term:
    """One business term of the mesh's glossary."""

    id: str
    label: str
    definition: str
    links: tuple[str, ...] = ()
    """Addresses that say more."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The mesh around a product, as its files declare it."""

    name: str = ""
    """What the mesh is called; empty where the product stands alone."""
    products: Mapping[str, DataProduct] = field(default_factory=dict)
    """The other products of the mesh, by id."""
    unread: tuple[str, ...] = ()
    """The ids of products whose files could not be read."""
    glossary: Mapping[str, Term] = field(default_factory=dict)
    """By id."""
