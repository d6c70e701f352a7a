"""Masks and attributes against columns of every type: shown, denied with a reason, or no row; never an engine's error."""

from __future__ import annotations

import datetime as dt
import uuid
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from polyport.access import Policy, View
from polyport.access.masks import KINDS, Mask
from polyport.descriptor import sent
from polyport.descriptor.types import Property, Role, RoleSettings, SchemaObject
from polyport.engine.duckdb import DuckDBEngine
from polyport.errors import AccessError, DescriptorError
from polyport.expression import parse
from polyport.model import Dataset, Principal, Snapshot

ZONED = dt.datetime(2020, 6, 1, 12, tzinfo=dt.UTC)
VALUES = {
    "tiny": pa.array([-128, 127, None], pa.int8()),
    "big": pa.array([-(2**63), 2**63 - 1, None], pa.int64()),
    "real": pa.array([float("nan"), float("inf"), None], pa.float64()),
    "decimal": pa.array([Decimal(10**38 - 1), Decimal(-5), None], pa.decimal128(38, 0)),
    "flag": pa.array([True, False, None]),
    "text": pa.array(["äöü", "", None]),
    "bytes": pa.array([b"\x00\xff", b"", None]),
    "day": pa.array([dt.date(1, 1, 1), dt.date(9999, 12, 31), None]),
    "at": pa.array([dt.datetime(1899, 12, 31), dt.datetime(9999, 12, 31), None], pa.timestamp("us")),
    "zoned": pa.array([ZONED, ZONED, None], pa.timestamp("us", "UTC")),
    "clock": pa.array([dt.time(23, 59, 59), dt.time(0), None], pa.time64("us")),
    "uid": pa.array([uuid.UUID(int=1).bytes, uuid.UUID(int=2).bytes, None], pa.uuid()),
    "many": pa.array([[1, None], [], None], pa.list_(pa.int64())),
    "struct": pa.array([{"a": 1}, {"a": None}, None], pa.struct({"a": pa.int64()})),
}  # fmt: skip
ROWS = pa.table({"id": [1, 2, 3], **VALUES})
DATED, NUMBERS = {"day", "at", "zoned"}, {"tiny", "big", "real", "decimal"}
PROPER = {"year": DATED, "month": DATED, "round": NUMBERS}


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    with DuckDBEngine(scratch=tmp_path_factory.mktemp("spill")) as made:
        yield made


@pytest.fixture
def read(engine, tmp_path):
    path = tmp_path / "rows.parquet"
    pq.write_table(ROWS, path)

    def rows(role, **attributes):
        asker = Principal("ann", frozenset({"r"}), attributes)
        known = {"all": Dataset("all", ROWS.schema, ("id",), 3)}
        snapshot = Snapshot("p", "00000001-x", 1, None, dt.datetime.now(dt.UTC), known)
        policy = Policy("p", {"r": Role("r", role)}, "salt")
        with View(
            snapshot, asker, "rest", "", policy, engine, lambda *_: [str(path)], lambda _: None
        ) as v:
            return v.scan("all").read_all()

    return rows


@pytest.mark.parametrize("column", VALUES)
@pytest.mark.parametrize("kind", KINDS)
def test_every_mask_on_every_type_is_shown_or_denied_with_the_reason(read, kind, column):
    mask = Mask(kind, {"partial": "1", "prefix": "1", "constant": "x", "round": "1"}.get(kind, ""))
    text = f"{kind}:{mask.argument}" if mask.argument else kind
    if column in PROPER.get(kind, VALUES):
        shown = read(RoleSettings(mask={column: text})).column(column)
        assert shown[2].is_valid is (kind == "constant")
        assert not shown.combine_chunks().equals(VALUES[column])
    else:
        with pytest.raises(AccessError, match=f"masks '{column}' by '{text}', which is"):
            read(RoleSettings(mask={column: text}))


def test_a_mask_of_a_column_that_the_role_does_not_show_keeps_nothing_from_it(read):
    shown = read(RoleSettings(columns=("id",), mask={"text": "year"}))
    assert shown.column_names == ["id"]


def test_what_has_no_rounded_form_in_its_type_is_withheld(read):
    shown = read(RoleSettings(mask=dict.fromkeys(NUMBERS, "round:1")))
    assert shown["tiny"].to_pylist() == [None] * 3
    assert shown["decimal"].to_pylist() == [None, Decimal(-10), None]


_FITTING = {("text", "' OR 1=1"), ("big", "9" * 30), ("big", "127.5")}
"""Values of their column's kind that no row has."""


@pytest.mark.parametrize(
    ("column", "given", "rows"),
    [
        ("tiny", "127", [2]), ("tiny", "abc", []), ("tiny", "1e999", []), ("big", "9" * 30, []),
        ("big", "127.5", []), ("real", "inf", []), ("decimal", "-5", [2]), ("decimal", "-5.0", []),
        ("decimal", "9" * 38, [1]),
        ("flag", "true", [1]), ("flag", "yes", []), ("text", "äöü", [1]), ("text", "' OR 1=1", []),
        ("day", "9999-12-31", [2]), ("day", "today", []), ("at", "1899-12-31T00:00:00", [1]),
        ("at", "", []), ("zoned", "2020-06-01T12:00:00Z", [1, 2]), ("zoned", "noon", []),
        ("clock", "00:00:00", [2]), ("clock", "midnight", []), ("uid", str(uuid.UUID(int=1)), [1]),
        ("uid", "1", []), ("many", "[1]", []), ("struct", "{}", []), ("bytes", "x", []),
    ],
)  # fmt: skip
def test_an_attribute_is_a_value_of_the_column_or_fits_no_row(read, column, given, rows):
    for text in (f"{column} = principal.x", f"{column} in (principal.x)"):
        assert read(RoleSettings(rows=parse(text)), x=given)["id"].to_pylist() == rows
    if not rows:
        negated = RoleSettings(rows=parse(f"not {column} = principal.x"))
        others = 2 if (column, given) in _FITTING else 0
        assert read(negated, x=given).num_rows == others


@pytest.mark.parametrize("column", VALUES)
def test_the_askers_id_is_quoted_in_no_error(read, column):
    assert read(RoleSettings(rows=parse(f"{column} = principal.id"))).num_rows == 0


def _refused(prop, role):
    objects = {"t": SchemaObject("t", (prop,))}
    fields = {"access": {"roles": {"r": role}}}
    with pytest.raises(DescriptorError) as caught:
        sent.read(fields, objects, base="$", allowed=("access",))
    return [(d.code, str(d.places[0])) for d in caught.value.diagnostics]


@pytest.mark.parametrize(
    ("physical", "mask"),
    [
        ("VARCHAR", "year"), ("varchar(20)", "month"), ("TEXT", "round:2"), ("BIGINT", "year"),
        ("int4", "month"), ("UINTEGER", "partial"), ("DECIMAL(18, 2)", "prefix:2"), ("DATE", "round:1"),
        ("TIMESTAMP WITH TIME ZONE", "constant:x"), ("TIMESTAMP", "round:1"), ("TIME", "year"),
        ("BOOLEAN", "round:1"), ("VARCHAR[]", "partial"), ("STRUCT(a DATE)", "year"),
        ("MAP(VARCHAR, DATE)", "year"), ("BIGINT[]", "round:1"), ("double precision", "year"),
    ],
)  # fmt: skip
def test_a_mask_that_does_not_fit_the_physical_type_is_found(physical, mask):
    found = _refused(Property("c", physical_type=physical), {"mask": {"c": mask}})
    assert found == [("PP243", "$.access.roles.r.mask.c")]


@pytest.mark.parametrize(
    ("physical", "mask"),
    [
        ("DATE", "year"), ("TIMESTAMPTZ", "month"), ("timestamp(6)", "year"), ("NUMERIC(10)", "round:2"),
        ("HUGEINT", "round:1"), ("VARCHAR", "partial"), ("BLOB", "hash"), ("DATE[]", "null"),
        ("", "year"), ("GEOMETRY", "year"),
    ],
)  # fmt: skip
def test_a_mask_that_fits_or_of_whose_type_nothing_is_known_is_taken(physical, mask):
    objects = {"t": SchemaObject("t", (Property("c", physical_type=physical),))}
    fields = {"access": {"roles": {"r": {"mask": {"c": mask}}}}}
    assert sent.read(fields, objects, base="$", allowed=("access",)).roles["r"].default.mask == {
        "c": mask
    }


@pytest.mark.parametrize(
    "prop",
    [Property("c", "integer"), Property("c", physical_type="BIGINT"), Property("c", "date")],
)
@pytest.mark.parametrize("text", ["c = principal.id", "c in (1, principal.id)", "not c > principal.id"])  # fmt: skip
def test_what_is_no_text_is_not_compared_with_the_askers_id(prop, text):
    found = _refused(prop, {"rows": text})
    assert [code for code, _ in found if code == "PP244"] == ["PP244"]


def test_what_is_judged_once_is_of_those_settings_and_that_snapshot_only():
    """It is kept: not for another state of the same dataset, nor for another role, nor for who says something else."""
    settings = RoleSettings(rows=parse("id > 1"), purposes=("audit",))
    policy = Policy("p", {"r": Role("r", settings)}, "salt")
    asker = Principal("ann", frozenset({"r"}))

    def counts(kind, purpose):
        states = [Dataset("d", pa.schema({"id": kind, "other": pa.int64()}), ("other",), 1)] * 2
        return [policy.verdicts(s, asker, purpose)[0].grant is not None for s in states]

    for _ in range(2):
        assert counts(pa.int64(), "audit") == [True, True]
        assert counts(pa.string(), "audit") == [False, False]
        assert counts(pa.int64(), "sales") == [False, False]
        for _ in range(1_001):  # in the end all are forgotten
            assert counts(pa.string(), "audit") == [False, False]
    roles = {"r": Role("r", RoleSettings())}
    policy.roles["r"] = roles["r"]
    assert counts(pa.string(), "audit") == [True, True]
