"""`polyport agreement`: asked for, decided, read and written, as a person does it."""

from __future__ import annotations

import pytest
import yaml

ASK = ("agreement", "request", "films", "--port", "rest", "--purpose", "planning", "--role", "accountant", "--json")  # fmt: skip


def asked(polyport, films, *more):
    ended = polyport(*ASK, *more, films)
    assert ended.code == 0, ended.out
    return ended.json()


def test_from_the_request_to_the_end(polyport, films):
    made = asked(polyport, films, "--user", "ann", "--columns", "id, title", "--from", "2026-01-01", "--until", "2099-07-01T00:00:00Z", "--note", "reports")  # fmt: skip
    assert made["startTimestamp"] == "2026-01-01T00:00:00Z"
    assert made["description"] == {"purpose": "planning", "usage": "reports"}
    assert {"property": "polyport.columns", "value": ["id", "title"]} in made["customProperties"]
    name = made["id"]
    assert "requested" in polyport("agreement", "list", films).out
    assert polyport("agreement", "approve", name, films).code == 0
    assert polyport("agreement", "approve", name, films).code == 7
    assert polyport("agreement", "revoke", name, films).code == 6
    assert polyport("agreement", "revoke", name, films, "--note", "it ended").code == 0
    text = polyport("agreement", "show", name, films).out
    assert [w for w in ("revoked", "it ended", "ann", "id, title", "2099-07-01") if w not in text] == []  # fmt: skip
    assert [a["id"] for a in polyport("agreement", "list", "--json", films).json()] == [name]


def test_a_refusal_has_a_reason(polyport, films):
    name = asked(polyport, films, "--team", "finance")["id"]
    assert polyport("agreement", "refuse", name, films).code == 6
    done = polyport("agreement", "refuse", name, films, "--note", "no budget", "--json").json()
    assert done["status"] == "rejected"


@pytest.mark.parametrize(
    ("more", "code"),
    [((), 2), (("--user", "ann", "--role", "owner"), 2), (("--user", "ann", "--until", "soon"), 2), (("--product", "x"), 2)],
)  # fmt: skip
def test_wrong_requests(polyport, films, more, code):
    ended = polyport(*ASK, *more, films)
    assert (ended.code, ended.json()["error"]["code"]) == (code, "PP100")
    assert polyport("agreement", "list", "--json", films).json() == []


def test_unknown_ones(polyport, films):
    assert polyport("agreement", "show", "none", films).code == 5
    assert polyport("agreement", "request", "film", "--port", "rest", "--purpose", "x", films).code == 5  # fmt: skip
    assert "None yet" in polyport("agreement", "list", films).err


def test_what_is_exported_can_be_imported_and_its_terms_changed(polyport, films, tmp_path):
    name = asked(polyport, films, "--user", "ann")["id"]
    polyport("agreement", "approve", name, films)
    file = tmp_path / "a.oaas.yaml"
    assert polyport("agreement", "export", name, films, "--to", file).code == 0
    document = yaml.safe_load(file.read_text())
    document["description"]["purpose"] = "audit"
    file.write_text(yaml.safe_dump(document))
    changed = polyport("agreement", "import", file, films, "--json").json()
    assert (changed["version"], changed["status"]) == ("1.1.0", "approved")
    assert changed["description"]["purpose"] == "audit"
    document["id"] = "b"
    file.write_text(yaml.safe_dump(document))
    assert polyport("agreement", "import", file, films).code == 0
    shown = polyport("agreement", "export", "b", films, "--json").json()
    assert shown["customProperties"][-1]["value"][0]["by"] == "owner"
    file.write_text("kind: AccessAgreement\n")
    assert polyport("agreement", "import", file, films).code == 2
