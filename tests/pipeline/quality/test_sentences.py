"""Numbers and lists in a person's words."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest

from polyport.pipeline.quality import sentences


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [
        (0, 0, "0 %"),
        (0, 10, "0 %"),
        (10, 10, "100 %"),
        (9999, 10000, "99 %"),
        (1, 10000, "<0.1 %"),
        (1, 1000, "0.1 %"),
        (25, 1000, "2.5 %"),
        (1, 100, "1 %"),
        (999, 10000, "9.9 %"),
        (1, 10, "10 %"),
        (1102, 3241, "34 %"),
    ],
)
def test_shares(part, whole, text):
    assert sentences.share(part, whole) == text


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (None, "null"),
        (True, "true"),
        (5, "5"),
        (5.0, "5"),
        (0.1, "0.1"),
        (float("nan"), "nan"),
        (float("-inf"), "-inf"),
        (1e300, "1e+300"),
        (Decimal("1.50"), "1.50"),
        (Decimal("7.00"), "7"),
        (Fraction(1, 4), "0.25"),
        ("", "''"),
        ("  ", "'  '"),
        ("a\nb", r"'a\nb'"),
        ("é", "é"),
        ("x" * 41, "x" * 37 + "..."),
        (b"ab", "b'ab'"),
    ],
)
def test_values(found, text):
    assert sentences.value(found) == text


def test_failing_rows():
    assert sentences.failing(1, 10) == "1 row (10 %)"
    assert sentences.failing(1102, 3241, ["a", "b"]) == "1,102 rows (34 %): a, b"
    assert sentences.failing(6, 6, list("abcde")) == "6 rows (100 %): a, b, c, d, e, ..."
    assert sentences.failing(5, 5, list("abcde")) == "5 rows (100 %): a, b, c, d, e"


def test_names():
    assert sentences.both([]) == ""
    assert sentences.unique(["title"]) == "title is unique"
    assert sentences.unique(["title", "year"]) == "title and year are unique"
    assert sentences.both(["a", "b", "c"]) == "a, b and c"
