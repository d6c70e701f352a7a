"""`product`: a dataset of another data product, of this mesh or of another node, under its contract and policy."""

from __future__ import annotations

import json
import operator
import re
from datetime import UTC, datetime
from decimal import Decimal
from functools import reduce
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import dataset

from polyport.errors import (
    AccessError,
    ConfigurationError,
    InputError,
    LimitError,
    NotFoundError,
    QueryError,
    RetiredError,
    SizeError,
)
from polyport.expression import And, Compare, In, Inside, IsNull, Like, Not, Or, attributes, parse
from polyport.expression import columns as named
from polyport.model import LATEST
from polyport.ports.input import Received, _client, _documents, _expect, _kept
from polyport.ports.input._infer import BATCH_ROWS
from polyport.ports.input._settings import settings, suggest, where_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from polyport.access import View
    from polyport.expression import Expression
    from polyport.model import Relation
    from polyport.ports.input import InputContext, Keep, RawObject

_KNOWN = (
    "product", "dataset", "version", "columns", "where", "snapshot", "token", "retries", "backoff", "timeout",
    "max_bytes", "object",
)  # fmt: skip
_MAX_BYTES = 1 << 40
_GONE = (404, 410)
_GIVE_ROLE = (
    "its owner writes in its polyport.yaml, for all consumers: access: {roles: {consumer: {}}}; "
    "or a role `product:ID` for one"
)


class ProductInput:
    """A dataset of another data product. See `docs/input-ports.md` for the settings."""

    def __init__(self, context: InputContext, *, clock: _client.Clock = _client.SYSTEM) -> None:
        self.context, self.clock = context, clock
        self.where = where_of(context.spec.name)
        given = self.settings = settings(context.spec.settings, _KNOWN, where=self.where)
        self.product = str(given.required("product", "movie-popularity")).rstrip("/")
        self.dataset = str(given.required("dataset", "weekly_ranking"))
        self.major = given.integer("version", 0)
        self.columns = given.texts("columns")
        self.rows = _filter(given.text("where"), self.where)
        self.ref = given.text("snapshot", LATEST)
        if "token" in given.values:  # it says who reads
            token = {"bearer": given.text("token")}
            self.auth = _client.authorised(token, context.secrets, self.where)
        else:  # the owner's own other node, on this machine
            role = f"product:{quote(context.product, safe='')},consumer"
            self.auth = _client.Auth({"polyport-role": role})
        self.wanted = _expect.expected(context)

    @property
    def remote(self) -> bool:
        """True where the product is named by its address."""
        return "://" in self.product

    def fetch(self, keep: Keep, previous: Received | None) -> Received:  # noqa: ARG002 - read anew
        """See `InputPort.fetch`."""
        with _kept.scratch_file("dataset.parquet", self.context.scratch) as target:
            snapshot, origin, note = self._remote(target) if self.remote else self._local(target)
            kept = keep(
                f"{self.dataset}.parquet",
                _kept.chunks(target),
                origin=origin,
                media_type=_kept.MEDIA_TYPE,
            )
        name = self.product.rsplit("/", 1)[-1]
        identity = f"{name}@{snapshot}"
        return Received(self.context.spec.name, (kept,), identity, notes=(f"{identity}: {note}",))

    def read(self, received: Received) -> Relation | pa.RecordBatchReader:
        """See `InputPort.read`."""
        kept = received.objects[0]
        port = self.context.spec.name
        relation = _kept.relation(received.objects, None, port=port, where=self.where)
        came = _documents.parquet_arrived(kept.path, kept.name)
        held = list(came.columns)
        for name in (*self.columns, *(named(self.rows) if self.rows else ())):
            if name not in held and (self.remote or name in self.columns):
                raise InputError(
                    f"dataset {self.dataset} of {self.product} has no column {name!r}",
                    where=self.where,
                    fix=suggest(name, held),
                )
        shown = self.columns or tuple(held)
        chosen = _expect.Arrived({n: came.columns[n] for n in shown}, came.rows, came.source)
        _expect.check(self.wanted, chosen, port)
        return self._chosen(kept, shown) if self.remote else relation

    def _chosen(self, kept: RawObject, shown: Sequence[str]) -> pa.RecordBatchReader:
        """Another node hands over the whole dataset; columns and rows are chosen here."""
        source = dataset.dataset(str(kept.path), format="parquet")
        chosen = arrow_filter(self.rows, source.schema) if self.rows else None
        scanner = source.scanner(columns=list(shown), filter=chosen, batch_size=BATCH_ROWS)
        reader: pa.RecordBatchReader = scanner.to_reader()
        return reader

    def _local(self, target: Path) -> tuple[str, str, str]:
        if self.context.open_product is None:
            raise ConfigurationError(
                f"product {self.product!r} is looked for in the mesh, and there is none here",
                where=self.where,
                fix="build from the mesh's folder, or name the product by its address",
            )
        try:
            major = {"major": self.major} if self.major else {}
            with self.context.open_product(self.product, self.ref, **major) as view:
                rows = self._copy(view, target)
                snapshot = view.snapshot
        except AccessError as error:
            raise InputError(
                f"product {self.product}: {error.message}",
                where=self.where,
                fix=error.fix if "polyport agreement" in error.fix else _GIVE_ROLE,
            ) from error
        except (NotFoundError, QueryError, RetiredError, LimitError, SizeError) as error:
            raise InputError(
                f"product {self.product}: {error.message}",
                where=self.where,
                fix=error.fix or "build that product first, and check its `access`",
            ) from error
        return snapshot.id, f"product {self.product}, snapshot {snapshot.id}", f"{rows:,} rows"

    def _copy(self, view: View, target: Path) -> int:
        with view.scan(self.dataset, columns=self.columns, where=self.rows) as reader:
            return _kept.write(reader, reader.schema, target)

    def _remote(self, target: Path) -> tuple[str, str, str]:
        given = self.settings
        plain = _client.Rules()
        rules = _client.Rules(
            retries=given.integer("retries", plain.retries),
            backoff=given.number("backoff", plain.backoff),
            timeout=given.number("timeout", plain.timeout),
            max_bytes=given.integer("max_bytes", _MAX_BYTES, low=1),
        )
        client = _client.Client(
            self.product,
            rules=rules,
            auth=self.auth,
            secrets=self.context.secrets,
            where=self.where,
            clock=self.clock,
        )
        address = f"{self.product}/files/v{self.major or 1}/{quote(self.dataset, safe='')}.parquet"
        with client, target.open("w+b") as sink:
            url = client.parsed(address).copy_set_param("snapshot", self.ref)
            try:
                headers = client.download(url, sink, what=f"dataset {self.dataset}")
            except InputError as error:
                raise self._explained(client, error) from error
            size = sink.tell()
        snapshot = _snapshot_of(headers.get("polyport-snapshot", ""))
        if not snapshot:
            raise client.failed(
                f"{client.shown(url)} does not say which snapshot it is",
                "`product` must be the address of a Polyport data product",
            )
        self._whole(target)
        return snapshot, client.shown(url), f"{size:,} bytes"

    def _explained(self, client: _client.Client, error: InputError) -> InputError:
        """`error`, or that the product has other major versions of its files port than the one asked for."""
        if client.status not in _GONE:
            return error
        asked = self.major or 1
        try:
            answer = client.get(client.parsed(self.product), what="the product")
            majors = _majors(answer.body)
        except InputError:  # it tells nothing of itself: the first error is the one to tell
            return error
        if asked in majors:
            return error
        if not majors:
            return client.failed(
                f"{self.product} has no files port: it is not read by other nodes",
                "ask its owner for an output port of `type: files` with Parquet",
            )
        return client.failed(
            f"{self.product} has no major version {asked} of its files port",
            f"it has {', '.join(map(str, sorted(majors)))}: set `version`, after a look at what has changed",
        )

    def _whole(self, target: Path) -> None:
        _documents.parquet_columns(target, f"{self.dataset}.parquet", self.where)


def _majors(body: bytes) -> set[int]:
    """The major versions of the files port in a product's document."""
    try:
        listed = json.loads(body)["ports"]["output"]
        return {int(str(p["version"]).partition(".")[0]) for p in listed if p["type"] == "files"}
    except (ValueError, KeyError, TypeError) as error:
        raise InputError("its document cannot be read") from error


def _snapshot_of(header: str) -> str:
    """The snapshot's id, of `42; id=00000042-1a2b3c4d` or of the id alone."""
    found = re.search(r"(?:^|;)\s*id=\"?([^;\"\s]+)", header)
    return found[1] if found else header.partition(";")[0].strip()


def _filter(text: str, where: str) -> Expression | None:
    if not text:
        return None
    try:
        found = parse(text)
    except QueryError as error:
        raise ConfigurationError(
            f"where cannot be read at column {error.column}: {error.message}",
            where=where,
            fix="`where: release_year >= 1990 and country = 'US'`",
        ) from error
    if attributes(found):
        raise ConfigurationError(
            f"where asks for principal.{attributes(found)[0]}, which an input port has not",
            where=where,
            fix="write the value",
        )
    return found


def arrow_filter(node: Expression, schema: pa.Schema) -> pc.Expression:
    """`node` as Arrow applies it; null is not true, as in SQL."""
    match node:
        case And(terms):
            return reduce(operator.and_, (arrow_filter(t, schema) for t in terms), pc.scalar(True))
        case Or(terms):
            return reduce(operator.or_, (arrow_filter(t, schema) for t in terms), pc.scalar(False))
        case Not(term):
            return ~arrow_filter(term, schema)
        case Inside(column):
            raise TypeError(f"a filter of text asks nothing inside of {column!r}")
    return _leaf(node, schema.field(node.column).type)


def _leaf(node: Compare | In | Like | IsNull, kind: pa.DataType) -> pc.Expression:
    field = pc.field(node.column)
    match node:
        case Compare(_, op, value):
            return _OPERATORS[op](field, pc.scalar(_comparable(value, kind)))
        case In(_, values):
            same = (field == pc.scalar(_comparable(value, kind)) for value in values)
            return reduce(operator.or_, same, pc.scalar(False))
        case Like(_, pattern):
            return pc.match_like(field, pattern)
        case IsNull():
            return field.is_null()


def _comparable(value: Any, kind: pa.DataType) -> Any:
    """`value` as Arrow compares it with a column of `kind`."""
    if isinstance(value, Decimal) and not pa.types.is_decimal(kind):
        return float(value)
    if isinstance(value, datetime) and pa.types.is_timestamp(kind):
        moment = value if kind.tz else value.astimezone(UTC).replace(tzinfo=None)
        return pa.scalar(moment, kind)
    return value


_OPERATORS: dict[str, Callable[[Any, Any], pc.Expression]] = {
    "=": operator.eq, "!=": operator.ne, "<": operator.lt,
    "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
