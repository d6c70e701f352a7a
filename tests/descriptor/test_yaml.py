"""YAML: values, places, and what is refused."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import yaml as pyyaml
from hypothesis import given, settings
from hypothesis import strategies as st

from polyport.descriptor import yaml
from polyport.descriptor.write import dump

HERE = Path("x.yaml")


def value(text):
    document, found = yaml.parse(HERE, text)
    assert found == ()
    return document.value


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2023-01-15", "2023-01-15"),
        ("2023-01-15T10:00:00Z", "2023-01-15T10:00:00Z"),
        ("10:30", "10:30"),
        ("1.0", 1.0),
        ("1.0.0", "1.0.0"),
        ("yes", True),
        ("'yes'", "yes"),
        ("~", None),
        ("", None),
        ("0x1F", 31),
        ("1e3", "1e3"),
        ("1.5e+3", 1500.0),
        ("=", "="),
        ("é", "é"),
        ("|\n  a\n  b\n", "a\nb\n"),
    ],
)
def test_scalars(text, expected):
    found = value(f"a: {text}\n")["a"]
    assert (found, type(found)) == (expected, type(expected))


def test_keys_are_text():
    assert value("1: a\nyes: b\n2020-01-01: c\n") == {"1": "a", "yes": "b", "2020-01-01": "c"}


def test_anchors_and_merge_keys():
    text = "base: &b {x: 1, y: 2}\none: {<<: *b, y: 3}\ntwo: {<<: [{x: 9}, *b]}\nagain: *b\n"
    found = value(text)
    assert found["one"] == {"x": 1, "y": 3}
    assert found["two"] == {"x": 9, "y": 2}
    assert found["again"] == {"x": 1, "y": 2}


def test_places_of_merged_keys_are_where_they_stand():
    document, _ = yaml.parse(HERE, "base: &b {x: 1}\none:\n  <<: *b\n")
    place = document.value_at(("one", "x"))
    assert (place.line, place.column) == (1, 14)


def test_billions_of_laughs_are_refused_at_once():
    lines = ["a: &a [x, x, x, x, x, x, x, x, x, x]"]
    lines += [
        f"{b}: &{b} [{', '.join([f'*{a}'] * 10)}]"
        for a, b in zip("abcdefgh", "bcdefghi", strict=True)
    ]
    document, found = yaml.parse(HERE, "\n".join(lines))
    assert document is None
    assert [d.code for d in found] == ["PP007"]


@pytest.mark.parametrize(
    "text",
    [
        "[" * 200_000,
        "a: " + "{a: " * 5_000,
        "- " * 50_000,
        "\n".join(" " * i + "a:" for i in range(300)),
    ],
)
def test_deep_nesting_is_refused_and_does_not_end_the_process(text):
    document, found = yaml.parse(HERE, text)
    assert document is None
    assert [d.code for d in found] in (["PP013"], ["PP002"])


def test_many_brackets_side_by_side_are_fine():
    assert len(value("a: [" + ", ".join(["{x: 1}"] * 500) + "]")["a"]) == 500


def test_a_byte_order_mark_and_crlf_are_fine(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 1\r\nb: 2\r\n")
    document, found = yaml.read(path)
    assert (document.value, found) == ({"a": 1, "b": 2}, ())
    assert (document.value_at(("b",)).line, document.value_at(("b",)).source) == (2, "b: 2")


def test_columns_count_characters():
    document, _ = yaml.parse(HERE, "a: {é: 'ü', b: x}\n")
    place = document.value_at(("a", "b"))
    assert (place.line, place.column, place.end_column) == (1, 16, 17)


@pytest.mark.parametrize(("text", "column"), [("a: 'xyz'", 6), ("a: xyz", 5), ('a: "xyz"', 6)])
def test_a_caret_inside_of_a_scalar(text, column):
    document, _ = yaml.parse(HERE, text)
    assert document.inside(("a",), 2).column == column


def test_a_caret_inside_of_a_block_is_at_its_start():
    document, _ = yaml.parse(HERE, "a: |\n  xyz\n")
    assert (document.inside(("a",), 2).line, document.inside(("a",), 2).column) == (1, 4)


def test_a_folder_and_no_file_are_unreadable(tmp_path):
    assert [yaml.read(p)[1][0].code for p in (tmp_path, tmp_path / "none")] == ["PP011", "PP011"]


@given(st.binary(max_size=200))
@settings(max_examples=200)
def test_any_bytes_give_a_document_or_one_reason(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_bytes(content)
    document, found = yaml.read(path)
    assert (document is not None) or len(found) == 1
    assert all(d.places for d in found)


@given(st.text(max_size=60, alphabet=st.sampled_from("ab:-[]{}&*!|>'\"#%@`,?\t\n <1.=~\\")))
@settings(max_examples=400)
def test_any_text_is_read_as_pyyaml_reads_it_or_refused(text):
    document, found = yaml.parse(HERE, text)
    if document is not None and not found:
        assert set(document.value) == {
            k.value for k, _ in pyyaml.compose(text, pyyaml.CSafeLoader).value if k.value != "<<"
        }


AWKWARD = ["yes", "no", "on", "1.0", "1", "0x1F", "1e3", "2023-01-15", "10:30", "null", "~", "", " ", "- a", "a: b", "# c",
           "'", '"', "a\nb", "a\n\nb\n", "\n", " a\n b", "trailing \nx", "\ttab", "é", "日本語", "a\x85b", "\u2028", "=", "<<", "!x", "&a",
           "*a", "%a", "@a", "`a`", "{a}", "[a]", "|", ">", "?", ":", "-", "---", "...", "\x07", "😀", "a" * 300 + " b" * 300]  # fmt: skip
TEXT = st.one_of(
    st.sampled_from(AWKWARD), st.text(alphabet=st.characters(codec="utf-8"), max_size=20)
)
NUMBERS = st.one_of(st.integers(-(10**20), 10**20), st.floats(allow_nan=False))
LEAVES = st.one_of(TEXT, NUMBERS, st.booleans(), st.none())
NODES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXT, inner, max_size=4)),
    max_leaves=20,
)
PROPERTY = st.fixed_dictionaries({"name": TEXT}, optional={"description": TEXT, "examples": st.lists(LEAVES, max_size=3), "tags": st.lists(TEXT, max_size=3),
                                 "customProperties": st.lists(st.fixed_dictionaries({"property": TEXT, "value": NODES, "vendor": TEXT}), max_size=2)})  # fmt: skip
DOCUMENTS = st.fixed_dictionaries(
    {"apiVersion": st.sampled_from(["v3.2.0", "v1.1.0"]), "id": TEXT},
    optional={"version": TEXT, "description": NODES, "schema": st.lists(st.fixed_dictionaries({"name": TEXT, "properties": st.lists(PROPERTY, max_size=3)}), max_size=2), "x-vendor": NODES},
)  # fmt: skip


def same(one, other):
    """Equal leaf by leaf, types and the order of keys included."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[k], other[k]) for k in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other and (
        not isinstance(one, float) or math.copysign(1, one) == math.copysign(1, other)
    )


@given(DOCUMENTS)
@settings(max_examples=300, deadline=None)
def test_what_is_written_reads_back_leaf_by_leaf(document):
    read, found = yaml.parse(HERE, dump(document))
    assert found == ()
    assert same(read.value, document)


@pytest.mark.parametrize("text", AWKWARD)
def test_awkward_text_reads_back(text):
    assert value(dump({"a": text, text or "k": [text]}))["a"] == text


def test_shared_parts_are_written_out():
    part = {"x": 1}
    assert "&" not in dump({"a": part, "b": part})


def test_several_lines_are_written_as_a_block():
    assert dump({"a": "one\ntwo\n"}) == "a: |\n  one\n  two\n"
