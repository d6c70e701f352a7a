"""`polyport access key` as a person calls it."""

from __future__ import annotations

import pytest

from polyport.access import keys
from polyport.product import Product


def test_a_key_is_shown_once(polyport, films):
    ended = polyport(
        "access", "key", "create", "ann", "--role", "accountant", "--role", "analyst", "--team", "finance",
        "--attribute", "studio=Fox", "--expires", "90d", "--note", "for the sheet", films,
    )  # fmt: skip
    text = ended.out.strip()
    assert ended.code == 0
    assert "not shown again" in ended.err
    assert text not in ended.err
    with Product.load(films) as product:
        found = keys.authenticate(product.control, text)
    assert (found.id, found.roles, found.teams) == ("ann", {"accountant", "analyst"}, {"finance"})
    assert found.attributes == {"studio": "Fox"}
    listed = polyport("access", "key", "list", films)
    assert "accountant, analyst" in listed.out
    assert text[-43:] not in listed.out


def test_rotate_and_revoke(polyport, films):
    made = polyport("access", "key", "create", "ann", "--json", films).json()
    fresh = polyport("access", "key", "rotate", made["id"], "--grace", "1h", "--json", films).json()
    assert fresh["key"] != made["key"]
    gone = polyport("access", "key", "revoke", made["id"], "--json", films).json()
    (listed,) = polyport("access", "key", "list", "--json", films).json()
    assert listed == gone
    assert (listed["state"], "key" in listed) == ("revoked", False)
    assert "is revoked" in polyport("access", "key", "revoke", made["id"], films).err


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["create", "ann", "--expires", "soon"], 2, "not a time"),
        (["create", "ann", "--attribute", "x"], 2, "NAME=VALUE"),
        (["create", "owner"], 2, "is the owner"),
        (["rotate", "0" * 12], 5, "no key"),
        (["revoke", "0" * 12], 5, "no key"),
        (["rotate", "0" * 12, "--grace", "x"], 2, "not a time span"),
        (["revok"], 2, "revok"),
    ],
)
def test_mistakes(polyport, films, words, code, said):
    ended = polyport("access", "key", *words, folder=films)
    assert ended.code == code
    assert said in ended.err


def test_no_keys(polyport, films):
    ended = polyport("access", "key", "list", films)
    assert (ended.code, ended.out) == (0, "")
    assert "polyport access key create" in ended.err
    assert "did you mean 'key'?" in polyport("access", "kex").err
