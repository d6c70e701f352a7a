"""The codec: what it writes, Google's own reads; what anybody sends, it reads or refuses."""

from __future__ import annotations

import inspect
from dataclasses import fields

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyport.errors import QueryError
from polyport.ports.output.flight import messages
from polyport.ports.output.flight.messages import (
    CommandGetSqlInfo,
    CommandGetTables,
    CommandStatementQuery,
    SessionOption,
    SessionOptionValue,
    SetSessionOptionsRequest,
    TicketStatementQuery,
    unwrap,
    wrap,
)
from polyport.ports.output.flight.protobuf import Message

KINDS = {
    "bool": st.booleans(),
    "uint32": st.integers(0, 2**32 - 1),
    "int32": st.integers(-(2**31), 2**31 - 1),
    "sfixed64": st.integers(-(2**63), 2**63 - 1),
    "double": st.floats(allow_nan=False),
    "string": st.text(),
    "bytes": st.binary(),
}
MESSAGES = sorted(
    (
        c
        for _, c in inspect.getmembers(messages, inspect.isclass)
        if issubclass(c, Message) and c is not Message and not c.__name__.startswith("_")
    ),
    key=lambda c: c.__name__,
)
FEW = settings(max_examples=settings().max_examples // 4)
"""For each message; together they are some hundreds."""


def values(message):
    """Instances of `message`."""
    given = {}
    for each in fields(message):
        spec = each.metadata["wire"]
        one = KINDS[spec.kind] if isinstance(spec.kind, str) else values(spec.kind)
        if spec.repeated:
            given[each.name] = st.lists(one, max_size=3).map(tuple)
        elif spec.optional or not isinstance(spec.kind, str):
            given[each.name] = st.none() | one
        else:
            given[each.name] = one
    return st.builds(message, **given)


@pytest.mark.parametrize("message", MESSAGES, ids=lambda c: c.__name__)
def test_what_is_written_is_read(message):
    @FEW
    @given(values(message))
    def same(value):
        assert message.parse(value.encode()) == value
        if not isinstance(value, messages.Any):
            assert unwrap(wrap(value), message) == value

    same()


@pytest.fixture(scope="module")
def google():
    """Our messages as Google's library has them."""
    descriptor_pb2 = pytest.importorskip("google.protobuf.descriptor_pb2")
    from google.protobuf import descriptor_pool, message_factory

    kinds = {
        "bool": 8, "uint32": 13, "int32": 5, "sfixed64": 16, "double": 1, "string": 9, "bytes": 12,
    }  # fmt: skip
    file = descriptor_pb2.FileDescriptorProto(name="ours.proto", package="ours", syntax="proto3")
    for message in MESSAGES:
        made = file.message_type.add(name=message.__name__)
        for each in fields(message):
            spec = each.metadata["wire"]
            field = made.field.add(
                name=each.name, number=spec.number, label=3 if spec.repeated else 1
            )
            if isinstance(spec.kind, str):
                field.type = kinds[spec.kind]
            else:
                field.type, field.type_name = 11, f".ours.{spec.kind.__name__}"
            if spec.optional:
                field.proto3_optional = True
                field.oneof_index = len(made.oneof_decl)
                made.oneof_decl.add(name=f"_{each.name}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        m.__name__: message_factory.GetMessageClass(
            pool.FindMessageTypeByName(f"ours.{m.__name__}")
        )
        for m in MESSAGES
    }


def same_as(ours, theirs):
    """Whether a message of Google's says what ours does."""
    for each in fields(ours):
        spec, own, other = (
            each.metadata["wire"],
            getattr(ours, each.name),
            getattr(theirs, each.name),
        )
        if spec.repeated:
            pairs = zip(own, other, strict=True)
            if isinstance(spec.kind, str):
                assert list(own) == list(other)
            else:
                for one, two in pairs:
                    same_as(one, two)
        elif own is None:
            assert not theirs.HasField(each.name)
        elif isinstance(spec.kind, str):
            assert own == other or (own != own and other != other)  # noqa: PLR0124 - NaN
        else:
            same_as(own, other)


@pytest.mark.parametrize("message", MESSAGES, ids=lambda c: c.__name__)
def test_google_reads_what_is_written_and_the_other_way_round(google, message):
    @FEW
    @given(values(message))
    def same(value):
        theirs = google[message.__name__].FromString(value.encode())
        same_as(value, theirs)
        assert message.parse(theirs.SerializeToString()) == value

    same()


@pytest.mark.parametrize("message", MESSAGES, ids=lambda c: c.__name__)
def test_hostile_bytes_are_read_as_google_reads_them_or_refused(google, message):
    from google.protobuf.message import DecodeError

    whole = st.binary(max_size=60)
    changed = st.builds(
        lambda value, at, byte: (
            value[: at % (len(value) + 1)] + byte + value[at % (len(value) + 1) :]
        ),
        values(message).map(lambda v: v.encode()),
        st.integers(0, 1000),
        st.binary(max_size=2),
    )

    @FEW
    @given(whole | changed)
    def read(data):
        try:
            ours = message.parse(data)
        except QueryError:
            return
        try:
            theirs = google[message.__name__].FromString(data)
        except DecodeError:
            pytest.fail(f"{data!r} is taken for {ours}")
        if message.__name__ not in MERGED:
            same_as(ours, theirs)

    read()


MERGED = {
    m.__name__
    for m in MESSAGES
    if any(not isinstance(f.metadata["wire"].kind, str) for f in fields(m))
}
"""Sent twice, Google merges an embedded message; we take the last."""


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\x0a", "it ends within a number"),
        (b"\x0a\x05ab", "it ends within a field"),
        (b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "it ends within a field"),
        (b"\x80" * 11, "more than 64 bits"),
        (b"\x00\x01", "no field 0"),
        (b"\x0b", "no wire type 3"),
        (b"\x08\x01", "field 1 is of wire type 0"),
        (b"\x0a\x02\xff\xfe", "not UTF-8"),
    ],
)
def test_what_is_not_well_formed_is_refused(data, why):
    with pytest.raises(QueryError, match=why):
        CommandStatementQuery.parse(data)


def test_fields_that_are_not_known_are_skipped():
    newer = b"\x38\x01" + b"\x42\x03abc" + b"\x4dabcd" + b"\x51abcdefgh"
    asked = CommandGetTables(catalog="mesh", include_schema=True)
    assert CommandGetTables.parse(newer + asked.encode() + newer) == asked


def test_repeated_numbers_are_read_packed_and_not():
    assert CommandGetSqlInfo.parse(b"\x0a\x03\x01\xac\x02\x08\x05").info == (1, 300, 5)


def test_a_message_of_another_name_is_refused():
    with pytest.raises(QueryError, match="'TicketStatementQuery' is not what can be asked here"):
        unwrap(wrap(TicketStatementQuery(statement_handle=b"x")), CommandStatementQuery)
    foreign = messages.Any(type_url="type.example/arrow.flight.protocol.sql.CommandStatementQuery")
    with pytest.raises(QueryError):
        unwrap(foreign.encode(), CommandStatementQuery)


def test_an_option_is_an_entry_of_a_map():
    """As any other client writes them."""
    value = SetSessionOptionsRequest(
        session_options=(SessionOption(key="a", value=SessionOptionValue(string_value="b")),)
    )
    assert value.encode() == b"\x0a\x08\x0a\x01a\x12\x03\x0a\x01b"
