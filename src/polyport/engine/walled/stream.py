"""The rows that a worker sends: an Arrow stream of one who is not trusted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from polyport.engine.walled.protocol import Silent

if TYPE_CHECKING:
    from polyport.engine.walled.protocol import Channel

_WRONG = (pa.ArrowException, OSError, ValueError, KeyError, TypeError, OverflowError, MemoryError)
"""How Arrow says that it cannot read something."""


def begun(channel: Channel, whole: int = 0) -> pa.RecordBatchReader:
    """The reader of the stream that comes next; `whole`: its bytes, where they come in one message.

    Raises:
        Silent: The worker is gone, late, or sends something else.
    """
    source = pa.py_buffer(channel.exactly(whole)) if whole else pa.PythonFile(channel, mode="r")
    try:
        return pa.ipc.open_stream(source)
    except _WRONG as error:
        raise Silent from error


def following(reader: pa.RecordBatchReader) -> pa.RecordBatch | None:
    """The next batch, in which nothing points outside of it; None at the end.

    Raises:
        Silent: The worker is gone, late, or sends what is no batch.
    """
    try:
        batch = reader.read_next_batch()
        batch.validate()
        for column in batch.columns:
            _sound(column)
    except StopIteration:
        return None
    except _WRONG as error:
        raise Silent from error
    return batch


def schema(text: str) -> pa.Schema:
    """The schema that a worker describes in hexadecimal.

    Raises:
        Silent: It describes none.
    """
    try:
        return pa.ipc.read_schema(pa.py_buffer(bytes.fromhex(text)))
    except _WRONG as error:
        raise Silent from error


def _sound(array: pa.Array) -> None:
    """Make sure that all offsets lie within their values: `validate()` looks at the last one only.

    Raises:
        ValueError: They do not.
    """
    kind = array.type
    match array:
        case pa.StringArray() | pa.BinaryArray() | pa.ListArray() | pa.MapArray():
            _ascending(array, pa.int32())
        case pa.LargeStringArray() | pa.LargeBinaryArray() | pa.LargeListArray():
            _ascending(array, pa.int64())
        case pa.StructArray() | pa.FixedSizeListArray():
            pass
        case _ if kind.num_fields == 0 and (
            pa.types.is_primitive(kind) or pa.types.is_decimal(kind)
        ):
            return
        case _:
            array.validate(full=True)
            return
    if pa.types.is_struct(kind):
        for number in range(kind.num_fields):
            _sound(array.field(number))
    elif isinstance(array, pa.ListArray | pa.LargeListArray | pa.FixedSizeListArray | pa.MapArray):
        _sound(array.values)


def _ascending(array: pa.Array, kind: pa.DataType) -> None:
    if len(array) == 0:
        return
    offsets = pa.Array.from_buffers(
        kind, len(array) + 1, [None, array.buffers()[1]], offset=array.offset
    )
    if not pc.all(pc.less_equal(offsets[:-1], offsets[1:])).as_py():
        raise ValueError("offsets go back")
