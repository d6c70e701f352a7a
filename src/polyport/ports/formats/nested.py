"""Text for the formats that hold only texts and numbers: there a list, a struct or a map is JSON."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from polyport.ports.formats import json
from polyport.ports.formats.text import TEXT, text


def plain(array: pa.Array) -> pa.Array:
    """`array` as `large_string`: nested values as JSON, all others as `text`; null stays null."""
    if not pa.types.is_nested(array.type):
        return text(array)
    return pc.if_else(array.is_valid(), json.values(array), pa.scalar(None, TEXT))
