"""`database`: a table or a query of any SQLAlchemy or ADBC database, streamed into Parquet."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from polyport.errors import ConfigurationError
from polyport.ports.input import _adbc, _expect, _kept, _rows, _source
from polyport.ports.input._infer import sql_type
from polyport.ports.input._settings import settings, where_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import pyarrow as pa

    from polyport.model import Relation
    from polyport.ports.input import InputContext, Keep, Received

_KNOWN = (
    "url", "adbc", "options", "table", "query", "columns", "incremental", "types", "object",
)  # fmt: skip


class DatabaseInput:
    """A table or a query. See `docs/input-ports.md` for the settings."""

    def __init__(self, context: InputContext) -> None:
        self.context = context
        self.where = where_of(context.spec.name)
        given = self.settings = settings(context.spec.settings, _KNOWN, where=self.where)
        self.driver = given.text("adbc")
        self.url = given.text("url")
        if not self.url and not self.driver:
            given.required("url", "sqlite:///data/films.db")
        self.ask = self._asked("")
        self.types = {
            str(k): sql_type(str(v), self.where) for k, v in given.mapping("types").items()
        }
        self.wanted = _expect.expected(context)

    def fetch(self, keep: Keep, previous: Received | None) -> Received:
        """See `InputPort.fetch`."""
        went_on = previous if self.ask.incremental and previous and previous.cursor else None
        ask = self._asked(went_on.cursor if went_on else "")
        reached: list[Any] = []
        with _kept.scratch_file("rows.parquet", self.context.scratch) as target:
            with self._stream(ask, reached) as (schema, batches):
                rows = _kept.write(batches, schema, target)
            if went_on and not rows:
                return went_on
            number = f"-{len(went_on.objects) + 1:04}" if went_on else ""
            kept = keep(
                f"{ask.table or 'query'}{number}.parquet",
                _kept.chunks(target),
                origin=self._origin(),
                media_type=_kept.MEDIA_TYPE,
            )
        cursor = _rows.cursor_text(reached[0]) if reached else went_on.cursor if went_on else ""
        note = f"{ask.label}: {rows:,} rows"
        if went_on:
            note += f" with {ask.incremental} after {ask.after}"
        earlier = went_on.objects if went_on else ()
        return _source.received(
            self.context.spec.name, [*earlier, kept], cursor=cursor, notes=[note]
        )

    def read(self, received: Received) -> Relation:
        """See `InputPort.read`."""
        return _kept.relation(
            received.objects, self.wanted, port=self.context.spec.name, where=self.where
        )

    def _asked(self, cursor: str) -> _rows.Ask:
        given = self.settings
        table, query = given.text("table"), given.text("query")
        if bool(table) == bool(query):
            raise ConfigurationError(
                "either `table` or `query` must be given", where=self.where, fix="`table: films`"
            )
        return _rows.Ask(
            table,
            _rows.check_query(query, self.where) if query else "",
            given.texts("columns"),
            given.text("incremental"),
            _rows.cursor_value(cursor),
        )

    @contextmanager
    def _stream(
        self, ask: _rows.Ask, reached: list[Any]
    ) -> Iterator[tuple[pa.Schema, Iterable[pa.RecordBatch]]]:
        if self.driver:
            options = self.settings.mapping("options")
            with (
                _adbc.opened(
                    self.driver, self.url, options, where=self.where, clean=self._clean
                ) as cursor,
                _adbc.stream(cursor, ask, self.types, self.where) as (schema, batches),
            ):
                yield schema, _reaching(batches, ask, reached)
            return
        with _rows.opened(self.url, self.context.home, self.where, self._clean) as source:
            yield _rows.stream(source, ask, self.types, reached)

    def _origin(self) -> str:
        if self.driver:
            return f"adbc {self.driver}, {self.ask.label}"
        return f"{_rows.safe_address(self.url)}, {self.ask.label}"

    def _clean(self, text: str) -> str:
        """`text` without secrets."""
        for secret in sorted(filter(None, self.context.secrets.values()), key=len, reverse=True):
            text = text.replace(secret, "***")
        return text


def _reaching(
    batches: Iterable[pa.RecordBatch], ask: _rows.Ask, reached: list[Any]
) -> Iterator[pa.RecordBatch]:
    """`batches`; the last value of `incremental` is left in `reached`."""
    for batch in batches:
        if ask.incremental:
            values = batch.column(ask.incremental).drop_null()
            reached[:] = [values[-1].as_py()] if len(values) else reached
        yield batch
