"""Rows as bytes: one file a format, shared by the ports that write files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from polyport.ports.formats import arrow, csv, json, parquet, xlsx
from polyport.ports.formats.batches import counting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Format:
    """One form of a file of rows."""

    name: str
    media_type: str
    suffix: str
    """Without the dot."""
    label: str
    """For a person."""
    write: Callable[[pa.RecordBatchReader, BinaryIO], int]
    """Write all rows to a binary sink, in bounded memory; how many there were. Closes neither."""


def _pieces(
    stream: Callable[[pa.RecordBatchReader], Iterator[bytes]],
) -> Callable[[pa.RecordBatchReader, BinaryIO], int]:
    def write(reader: pa.RecordBatchReader, sink: BinaryIO) -> int:
        rows, counted = counting(reader)
        sink.writelines(stream(counted))
        return rows()

    return write


_EXCEL = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
FORMATS: dict[str, Format] = {
    found.name: found
    for found in (
        Format("csv", "text/csv; charset=utf-8; header=present", "csv", "CSV", csv.write),
        Format("parquet", "application/vnd.apache.parquet", "parquet", "Parquet", parquet.write),
        Format("xlsx", _EXCEL, "xlsx", "Excel workbook", xlsx.write),
        Format("json", "application/json", "json", "JSON", _pieces(json.rows)),
        Format("ndjson", "application/x-ndjson", "ndjson", "JSON lines", _pieces(json.ndjson)),
        Format("arrow", "application/vnd.apache.arrow.file", "arrow", "Arrow file", arrow.write),
        Format(
            "arrows",
            "application/vnd.apache.arrow.stream",
            "arrows",
            "Arrow stream",
            arrow.write_stream,
        ),
    )
}
"""All formats, by name."""
