"""The nouns: what a product is made of once it is built. No I/O here, and no imports of ours."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    import pyarrow as pa

Ref: TypeAlias = str
"""How a snapshot is named: `latest`, a snapshot id or sequence, a tag, or an RFC 3339 time (the one then current)."""

LATEST: Ref = "latest"
OWNER_ROLE = "owner"
"""The built-in role of whoever owns the mesh: all products, all rows, all columns. `owner:<id>`: of one product."""
PLATFORM_ROLE = "platform"
"""The built-in role of what drives the configuration ports. It sees no data."""


@dataclass(frozen=True, slots=True)
class Dataset:
    """One table of one snapshot."""

    name: str
    schema: pa.Schema
    key: tuple[str, ...]
    """Columns that identify a row, in contract order; empty where the contract declares none."""
    rows: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All datasets of a product as published at one moment. Never changes afterwards, but for an erasure."""

    product: str
    """The `id` of the product's ODPS descriptor."""
    id: str
    """`<sequence, 8 digits>-<8 hex>`: unique for ever, sorts by sequence."""
    sequence: int
    """1, 2, 3, ...: the order of publication."""
    parent: str | None
    """The id of the snapshot before; None for the first."""
    committed_at: datetime
    """UTC."""
    datasets: Mapping[str, Dataset]
    inputs: Mapping[str, str] = field(default_factory=dict)
    """For each input port, the identity of what was read: a snapshot id, or a digest."""
    run: str = ""
    """The id of the run that published it."""
    version: str = ""
    """The product's version (semver, ODPS) at that time."""
    erasures: int = 0
    """How often rows were erased from it: the one thing that ever changes a snapshot."""

    @property
    def content_id(self) -> str:
        """What caches and ETags are keyed by: equal if and only if the rows are."""
        return f"{self.id}+{self.erasures}" if self.erasures else self.id


@dataclass(frozen=True, slots=True)
class Files:
    """Files that hold the rows of one table, all of one format and schema."""

    uris: tuple[str, ...]
    """Paths or fsspec URLs."""
    format: Literal["parquet", "csv", "json", "ndjson"] = "parquet"
    options: Mapping[str, Any] = field(default_factory=dict)
    """Reader options. csv: `delimiter`, `header` (bool), `encoding`, `types` {column: SQL type}, `all_text` (bool),
    `nulls` [text], `quote`, `decimal`, `date_format`, `skip` (lines above the first row), `sample` (rows that types
    are found from, -1: all). json/ndjson: `types` (then only those columns are read). All: `filename` (adds column
    `_file`)."""
    schema: pa.Schema | None = None
    """What the files hold where it is known; it stands in where there is no file at all."""


@dataclass(frozen=True, slots=True)
class Query:
    """Rows computed when they are read: one SELECT over named relations."""

    sql: str
    relations: Mapping[str, Relation]


@dataclass(frozen=True, slots=True)
class Relation:
    """What a query may see under one name. Only the engine knows what lies behind it."""

    data: Files | Query | pa.Table
    columns: Mapping[str, str] = field(default_factory=dict)
    """For each column shown, in order, the SQL expression it shows; empty for all as they are."""
    where: str = ""
    """A SQL condition on the rows shown; empty for all."""
    params: Mapping[str, Any] = field(default_factory=dict)
    """Values of the `$name` parameters in `columns` and `where`; names are unique over a query's relations."""
    coded: tuple[str, ...] = ()
    """Columns of text that the query groups by, and casts to text in what it gives: they may come as codes."""


@dataclass(frozen=True, slots=True)
class Credential:
    """What a principal was known by: what was let in with it ends with it."""

    key: str = ""
    """The id of an API key; empty: it was another one."""
    secret: str = ""
    """Which secret of that key, by the beginning of its digest: a rotation ends the older one."""
    until: datetime | None = None
    """When it ends by itself, where it is no key: what is known of keys is in the journal."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is asking: a person or a service, with the roles the platform vouches for."""

    id: str
    roles: frozenset[str] = frozenset()
    attributes: Mapping[str, str] = field(default_factory=dict)
    """What row filters call `principal.<name>`: `{"studio": "Warner Bros."}`. `principal.id` is always there."""
    teams: frozenset[str] = frozenset()
    """The teams that it belongs to: an agreement with a team holds for each of its members."""
    columns: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Role -> the columns that agreements limit it to; a role that is not named has no such limit."""
    needs_agreement: bool = True
    """False for the owner, for the owner's previews as somebody else, and for what the product itself writes."""
    credential: Credential | None = field(default=None, compare=False, repr=False)
    """None: it needed none, as on this machine."""

    def owns(self, product: str) -> bool:
        """Whether it is the owner of `product`, or of the whole mesh."""
        return OWNER_ROLE in self.roles or f"{OWNER_ROLE}:{product}" in self.roles

    def steers(self, product: str) -> bool:
        """Whether it may configure `product`: its owner, or the platform."""
        return PLATFORM_ROLE in self.roles or self.owns(product)


OWNER = Principal("owner", frozenset({OWNER_ROLE}), needs_agreement=False)


@dataclass(frozen=True, slots=True)
class Request:
    """One request that a port answered, whatever came of it; each of its reads is a `Read`."""

    at: datetime
    """UTC, when it ended."""
    product: str
    port: str
    """An output port's name, or a management port's."""
    principal: str
    """Empty where it was not known who asked."""
    status: int
    """As HTTP has it."""
    bytes: int
    """Of the answer's body, as sent."""
    seconds: float
    download: bool = False
    """Whether a whole file was asked for."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the journal: something agreed, configured or said, by whom and when. Never changed."""

    seq: int
    """1, 2, 3, ...: the order in the journal."""
    kind: str
    product: str
    """Empty for what holds for the whole mesh."""
    name: str
    """Which key, agreement, contract ... it is about: its newest entry is how things stand."""
    at: datetime
    by: str
    """The id of the principal that did it."""
    document: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Read:
    """One use of a port: what metrics, audit and change impact are all made from."""

    at: datetime
    """UTC, when the read ended."""
    product: str
    port: str
    principal: str
    purpose: str
    snapshot: str
    """Snapshot id."""
    dataset: str
    columns: tuple[str, ...]
    rows: int
    bytes: int
    """Arrow bytes that left the View."""
    seconds: float
    outcome: Literal["ok", "denied", "failed", "cut"] = "ok"
    """`cut`: the consumer stopped before the end."""
    contract: str = ""
    """The id of the contract behind the output port: it tells majors apart. Empty where it was read otherwise."""


Status = Literal["pass", "warn", "fail", "error", "listed"]
"""`warn`: broken, but its severity lets the publish go on. `error`: could not be run. `listed`: nothing to run."""


@dataclass(frozen=True, slots=True)
class RuleResult:
    """What one quality rule found."""

    rule: str
    """Stable id: the rule's own `id` or `name`, or made from dataset, column and metric."""
    dataset: str
    column: str
    """Empty for a rule on the whole dataset."""
    kind: Literal["library", "sql", "text", "custom", "schema", "built-in"]
    status: Status
    sentence: str
    """The rule for a person: `production_cost_usd is filled`."""
    dimension: str = ""
    """ODCS: accuracy, completeness, conformity, consistency, coverage, timeliness, uniqueness."""
    severity: str = "error"
    """ODCS severity: `error` stops the publish, `warning` and `info` do not."""
    measured: float | str | None = None
    expected: str = ""
    """`= 0 rows`, `< 5 percent`, `between 1 and 10`."""
    rows_checked: int | None = 0
    """None: not told, to who sees a part of them."""
    rows_failing: int = 0
    rows_refused: int = 0
    """Failing rows that went to quarantine and are not in the snapshot."""
    reason: str = ""
    """Why it failed or could not run, with up to five offending values or keys."""
    metric: str = ""
    """What is measured: an ODCS metric, `value` of a query, `age`; empty where nothing is."""
    threshold: Mapping[str, Any] = field(default_factory=dict)
    """ODCS operator -> what `measured` is compared with, in `unit`; of `age`: seconds."""
    unit: str = ""
    """rows, percent, seconds; empty: the bare value."""


@dataclass(frozen=True, slots=True)
class TableFacts:
    """What every quality report says of a dataset, asked or not."""

    rows: int
    rows_before: int | None
    """Of the previous snapshot; None where there is none."""
    updated_at: datetime
    """When its rows last changed: the snapshot that first had these files."""
    newest: str = ""
    """The newest value of the dataset's time column, ISO 8601; empty where it has none."""
    gaps: tuple[str, ...] = ()
    """Missing days or periods of the time column: `2026-01-03 ... 2026-01-05 (3 days)`, at most 20."""
    keys_gone: int = 0
    """Keys of the previous snapshot that are not in this one."""


@dataclass(frozen=True, slots=True)
class QualityReport:
    """What a run's quality gate found."""

    product: str
    run: str
    at: datetime
    results: tuple[RuleResult, ...]
    tables: Mapping[str, TableFacts]
    snapshot: str = ""
    """The id of the snapshot that it let through; empty where it held the data back or nothing had changed."""

    @property
    def stops(self) -> tuple[RuleResult, ...]:
        """The results that hold the publish back."""
        return tuple(r for r in self.results if r.status in ("fail", "error"))


@dataclass(frozen=True, slots=True)
class Step:
    """One line of what a build did."""

    stage: Literal["read", "raw", "cleanse", "transform", "check", "publish", "push", "lineage"]
    name: str
    detail: str
    """For a person: `cost-sheets.xlsx, 3,201 rows`."""
    rows: int | None = None
    repaired: Mapping[str, int] = field(default_factory=dict)
    """How many rows each kind of repair touched."""
    refused: Mapping[str, int] = field(default_factory=dict)
    """How many rows each reason set aside."""
    seconds: float = 0.0
    status: Status = "pass"
    erased: int = 0
    """How many rows of what was erased before it left out."""


Outcome: TypeAlias = Literal[
    "published", "unchanged", "refused", "failed", "conflict", "running", "killed"
]
"""How a build ended; the last two are of those that no record tells of."""


@dataclass(frozen=True, slots=True)
class Run:
    """One build, from its start to its end."""

    id: str
    """`<UTC start, YYYYMMDDTHHMMSS>-<6 hex>`."""
    product: str
    started_at: datetime
    seconds: float
    outcome: Outcome
    steps: tuple[Step, ...]
    snapshot: str = ""
    """The id of the snapshot it published or found unchanged."""
    error: str = ""
