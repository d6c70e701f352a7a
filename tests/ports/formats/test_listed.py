"""Values as Python has them, and as text where it has none."""

from __future__ import annotations

import datetime as dt

import pyarrow as pa
import pytest

from polyport.ports.formats.json import objects
from polyport.ports.formats.listed import listed, records
from polyport.ports.values import pack, unpack

FAR = pa.array([0, 6_585_010, None], pa.date32())


def test_far_dates_are_text():
    assert listed(FAR) == ["1970-01-01", "19999-02-23", None]
    assert listed(pa.chunked_array([FAR, FAR[:1]])) == [*listed(FAR), "1970-01-01"]
    assert listed(FAR.slice(0, 1)) == [dt.date(1970, 1, 1)]
    assert records(pa.table({"a": FAR, "b": [1, 2, 3]}))[1] == {"a": "19999-02-23", "b": 2}
    assert records(pa.table({"a": FAR[:0]})) == []


def test_json_has_them():
    batch = pa.record_batch({"day": FAR, "n": [1, 2, 3]})
    assert objects(batch)[1] == b'{"day":"19999-02-23","n":2}'


@pytest.mark.parametrize("kind", [pa.date32(), pa.timestamp("us"), pa.timestamp("us", "UTC")])
def test_a_cursor_comes_back_from_a_far_date(kind):
    days = pa.array([6_585_010, -800_000], pa.int64())
    values = pa.array(
        days.to_pylist() if kind == pa.date32() else [d * 86_400 * 10**6 for d in days.to_pylist()],
        kind,
    )
    for value in listed(values):
        assert unpack(pack(value), kind) == value


@pytest.mark.parametrize("text", ["20000-1-1", "20000-01-01'; --", "x", "20000"])
def test_what_is_no_date_is_none(text):
    with pytest.raises(ValueError, match=r".*"):
        unpack(text, pa.date32())
