"""`polyport access explain|history|revert` and `polyport feedback`."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from polyport.access import configuration
from polyport.access.configuration import Change
from polyport.cli import cli
from polyport.errors import NotFoundError
from polyport.ledger import feedback
from polyport.model import Principal
from polyport.testing.output_port import make_product

run = CliRunner().invoke


@pytest.fixture
def home(tmp_path):
    with make_product(tmp_path / "films", "rest") as product:
        configuration.change(
            product.ledger.journal, product.spec, "access",
            {"agreements": "optional", "roles": {"partner": {"columns": ["id"]}}},
            Change(1, "ann", "less is more"),
        )  # fmt: skip
        feedback.say(product.ledger.journal, "films", Principal("bob"), {"rating": 4})
    return str(tmp_path / "films")


def test_explain(home):
    asked = ["access", "explain", "pat", home, "--role", "partner", "--role", "king"]
    found = json.loads(run(cli, [*asked, "--json"]).stdout)
    (films,) = found["datasets"]
    assert [c["column"] for c in films["columns"] if c["verdict"] == "shown"] == ["id"]
    told = run(cli, asked).stdout
    assert "pat is let in to films through rest" in told
    assert "the product has no role 'king'" in told
    assert run(cli, [*asked, "--attribute", "id=3"]).exit_code == 2
    assert isinstance(run(cli, [*asked, "--dataset", "x"]).exception, NotFoundError)


def test_explain_looks_up_what_keys_give(home):
    made = ["access", "key", "create", "pat", home, "--role", "partner", "--json"]
    key = json.loads(run(cli, made).stdout)
    for name in ("pat", key["id"]):
        told = json.loads(run(cli, ["access", "explain", name, home, "--json"]).stdout)
        assert (told["principal"], told["who"]["roles"], told["admitted"]) == (
            "pat",
            ["partner"],
            True,
        )
        assert key["id"] in told["who"]["known"]
    shown = run(cli, ["access", "explain", "pat", home]).stdout
    assert f"roles: partner, by the keys {key['id']}" in shown
    said = run(cli, ["access", "explain", "pat", home, "--role", "accountant", "--json"]).stdout
    assert json.loads(said)["who"] == {
        "roles": ["accountant"],
        "teams": [],
        "attributes": {},
        "known": "what was given",
    }
    assert run(cli, ["access", "key", "revoke", key["id"], home]).exit_code == 0
    told = json.loads(run(cli, ["access", "explain", key["id"], home, "--json"]).stdout)
    assert "login has ended" in told["reason"]
    refused = run(cli, ["access", "explain", key["key"], home])
    assert refused.exit_code == 2
    assert key["key"] not in refused.output


def test_history_and_revert(home):
    told = run(cli, ["access", "history", home]).stdout
    assert "less is more" in told
    assert "- accountant: the role 'accountant' is gone" in told
    made = json.loads(run(cli, ["access", "revert", "1", home, "--note", "no", "--json"]).stdout)
    assert (made["number"], made["origin"], made["note"]) == (3, "revert", "no")
    assert isinstance(run(cli, ["access", "revert", "9", home]).exception, NotFoundError)
    versions = json.loads(run(cli, ["access", "history", home, "--json"]).stdout)
    assert [v["number"] for v in versions] == [3, 2, 1]


def test_feedback_is_listed_and_answered(home):
    listed = json.loads(run(cli, ["feedback", "list", home, "--json"]).stdout)
    assert listed["summary"] == {"count": 1, "ratings": 1, "mean": 4.0}
    name = listed["feedback"][0]["id"]
    assert run(cli, ["feedback", "answer", name, "Thank you", home]).exit_code == 0
    assert "answer: Thank you" in run(cli, ["feedback", "list", home]).stdout
