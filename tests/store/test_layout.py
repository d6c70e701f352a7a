from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyport.errors import ConfigurationError
from polyport.store.layout import Home, plain, safe

names = st.text(min_size=1, max_size=16)


@given(names)
def test_a_name_survives_as_a_folder(name):
    assert plain(safe(name)) == name
    assert re.fullmatch(r"[A-Za-z0-9_~-][A-Za-z0-9._~-]*", safe(name))


@given(names, names)
def test_two_names_are_two_folders(one, two):
    assert (safe(one) == safe(two)) == (one == two)


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("movie-popularity", "movie-popularity"),
        ("..", "~2E."),
        (".hidden", "~2Ehidden"),
        ("a/b", "a~2Fb"),
        ("a~2Fb", "a~7E2Fb"),
        ("k=v", "k~3Dv"),
        ("urn:x", "urn~3Ax"),
    ],
)
def test_readable_where_it_can_be(name, folder):
    assert safe(name) == folder


@pytest.mark.parametrize("name", ["", "a" * 201, "é" * 34])
def test_a_name_that_no_folder_can_have(name):
    with pytest.raises(ConfigurationError, match="cannot be the name of a folder"):
        safe(name)


def test_only_manifests_count_as_snapshots(tmp_path):
    home = Home.of(tmp_path, "p")
    assert home.sequences() == []
    home.make()
    for name in (
        "00000002.json",
        "123456789.json",
        "00000010.json",
        ".00000003.json",
        "4.json",
        "x",
        "00000005.json~",
    ):
        (home.snapshots / name).touch()
    assert home.sequences() == [2, 10, 123456789]
    assert home.manifest(123456789) == Path(tmp_path, "p", "snapshots", "123456789.json")
