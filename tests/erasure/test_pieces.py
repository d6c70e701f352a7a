"""The tester is tested: each canary is found, and what is not there is not."""

from __future__ import annotations

import gzip
import importlib.util
import os
import zipfile
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from polyport.engine.duckdb import DuckDBEngine
from polyport.model import Relation
from polyport.pipeline.erasure.pieces import OVERLAP, Piece, UnreadableError, pieces
from polyport.pipeline.erasure.survey import look
from polyport.pipeline.erasure.tombstones import Hashing, Marks
from polyport.pipeline.erasure.wanted import Values

_SPEC = importlib.util.spec_from_file_location("people", Path(__file__).with_name("people.py"))
_PEOPLE = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(_PEOPLE)
JANE, PLANTS = _PEOPLE.JANE, _PEOPLE.PLANTS
MARKS = Marks.of([JANE], Hashing("s" * 64))
ONLY_IN_BYTES = {"sqlite_free_page", "avro", "utf16_bare", "decomposed"}


@pytest.mark.parametrize("name", PLANTS)
def test_each_canary_is_found(name, tmp_path):
    PLANTS[name](tmp_path / "canary")
    assert look(tmp_path / "canary", Values([JANE]))[0] >= 1
    assert look(tmp_path / "canary", Values(["Somebody Else"])) == (0, ())


@pytest.mark.parametrize("name", [n for n in PLANTS if n not in ONLY_IN_BYTES])
def test_hashes_find_it_in_what_is_decoded(name, tmp_path):
    PLANTS[name](tmp_path / "canary")
    assert look(tmp_path / "canary", MARKS)[0] >= 1


def test_a_name_of_a_file_counts(tmp_path):
    path = tmp_path / f"letter to {JANE}.txt"
    path.write_text("nothing")
    assert look(path, Values([JANE]))[0] == 1


@pytest.mark.parametrize(
    "at", [0, (1 << 20) - 5, (1 << 20) - OVERLAP, (1 << 20) + 3, (2 << 20) - 9]
)
@pytest.mark.parametrize("binary", [False, True])
def test_chunks_cut_nothing_in_two_and_count_once(tmp_path, at, binary):
    fill = b"\0" if binary else b"."
    (tmp_path / "x").write_bytes(fill * at + JANE.encode() + fill * 100)
    assert look(tmp_path / "x", Values([JANE]))[0] == 1


@pytest.mark.parametrize(
    "cut",
    [
        b"PK\x03\x04garbage",
        b"PAR1garbage",
        b"\x1f\x8bgarbage",
        b"Obj\x01\x02",
        b"SQLite format 3\0garbage",
    ],
)
def test_what_cannot_be_looked_into_is_said(tmp_path, cut):
    (tmp_path / "x").write_bytes(cut)
    with pytest.raises(UnreadableError):
        list(pieces(tmp_path / "x"))


def test_archives_without_end_are_said(tmp_path):
    data = b"x"
    for _ in range(9):
        data = gzip.compress(data)
    (tmp_path / "x").write_bytes(data)
    with pytest.raises(UnreadableError, match="deep"):
        list(pieces(tmp_path / "x"))


def test_an_encrypted_member_is_said(tmp_path):
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a", "b")
    data = bytearray(path.read_bytes())
    for magic, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(magic) + at] |= 1
    path.write_bytes(data)
    with pytest.raises(UnreadableError):
        list(pieces(path))


def test_a_longer_word_is_somebody_else(tmp_path):
    anna = Values(["Anna Low"])
    assert anna.hits(Piece("Anna Lowell and Joanna Low")).exact == 0
    assert anna.hits(Piece("Anna Lowell and Joanna Low")).longer == 2
    assert anna.hits(Piece(pa.array(["Anna Lowell", None]))).exact == 0
    _PEOPLE.pq.write_table(pa.table({"n": ["Anna Lowell"]}), tmp_path / "x", compression="none")
    assert look(tmp_path / "x", anna)[0] == 0
    _PEOPLE.pq.write_table(
        pa.table({"n": ["Anna Lowell", "Anna Low"]}), tmp_path / "x", compression="none"
    )
    assert look(tmp_path / "x", anna)[0] > 0


@given(
    st.text(min_size=4, max_size=20).filter(lambda t: t.strip() and t.isprintable()),
    st.sampled_from(["", " ", "\n", ",", "<", '"']),
)
def test_any_value_is_found_and_blanked(value, edge):
    assume(value.strip().casefold() not in "[erased]")  # what stands in its place says that itself
    text = f"{edge}{value}{edge}"
    assert Values([value]).hits(Piece(text)).exact
    assert not Values([value]).hits(Piece(Values([value]).blanked(text))).exact
    assert Values([value]).hits(Piece(os.urandom(3) + value.encode("utf-8", "surrogatepass"))).exact


@given(
    st.text("abcdef é", min_size=4, max_size=20).filter(lambda t: t == t.strip()),
    st.text("abc d,\n"),
)
def test_hashes_agree_with_values_on_words(value, around):
    text = f"{around} {value} {around}"
    marks = Marks.of([value], Hashing("s" * 64))
    assert marks.hits(Piece(text)).exact
    assert not Values([value]).hits(Piece(marks.blanked(text))).exact


@pytest.mark.parametrize("encoding", ["PLAIN", "DELTA_BYTE_ARRAY", "DELTA_LENGTH_BYTE_ARRAY", None])
def test_each_encoding_of_texts_is_read(tmp_path, encoding):
    """By the engine as well as by others; where values are places in a dictionary, that is looked through."""
    path, names = tmp_path / "x.parquet", [f"Anna Low{n}" for n in range(50)]
    chosen = {"column_encoding": {"n": encoding, "in.list.element": encoding}} if encoding else {}
    _PEOPLE.pq.write_table(
        pa.table({"n": names, "in": [[n] for n in names]}),
        path,
        use_dictionary=not encoding,
        row_group_size=20,
        **chosen,
    )
    for at in (0, 30, 49):
        assert look(path, Values([names[at]]))[0] >= 2


def test_tables_of_the_engine_are_looked_through(tmp_path):
    people = pa.table({"n": [f"Anna Low{n}" for n in range(500)], "few": ["Anna Few"] * 500})
    with DuckDBEngine() as engine:
        engine.write("SELECT * FROM people", {"people": Relation(people)}, tmp_path / "x.parquet")
    for name in ("Anna Low0", "Anna Low499", "Anna Few"):
        assert look(tmp_path / "x.parquet", Values([name]))[0] > 0
