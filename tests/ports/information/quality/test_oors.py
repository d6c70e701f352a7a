"""Bitol OORS documents, held against what the draft (RFC 0018) asks for in its tables."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import get_args

import jsonschema
import pytest
from tests.ports.information.quality.broken_films import ANALYST, BASE, CLERK, ROWS, write

from polyport.descriptor.types import Operator
from polyport.errors import QualityError
from polyport.model import QualityReport, RuleResult
from polyport.ports.information.quality.oors import oors

OORS = {"accept": "application/vnd.bitol.oors+json"}
TEXT = {"type": "string", "minLength": 1}
NUMBER_OR_TEXT = {"type": ["number", "string"]}
SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "additionalProperties": False,
    "required": ["apiVersion", "kind", "id", "observedAt", "source", "results"],
    "properties": {
        "apiVersion": {"const": "v0.1.0"},
        "kind": {"const": "ObservabilityResults"},
        "id": {"type": "string", "format": "uuid"},
        "observedAt": {"type": "string", "format": "date-time"},
        "source": {
            "type": "object",
            "additionalProperties": False,
            "required": ["process"],
            "properties": {"process": TEXT, "runID": TEXT, "vendor": TEXT},
        },
        "results": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/result"}},
        "contract": {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "contractID": TEXT,
                "standard": {"enum": ["ODCS", "ODPS"]},
                "version": TEXT,
            },
        },
    },
    "$defs": {
        "result": {
            "type": "object",
            "additionalProperties": False,
            "required": ["id", "type", "name", "status"],
            "properties": {
                "id": TEXT,
                "type": {"enum": ["check", "metric"]},
                "name": TEXT,
                "status": {"enum": ["pass", "fail", "warn", "error", "skip"]},
                "severity": TEXT,
                "dimension": TEXT,
                "target": {
                    "type": "object",
                    "additionalProperties": False,
                    "properties": {
                        "resourceType": {"enum": ["table", "column"]},
                        "resourceIdentifier": {"anyOf": [TEXT, {"type": "array", "items": TEXT}]},
                    },
                },
                "measure": {
                    "type": "object",
                    "additionalProperties": False,
                    "properties": {
                        "metric": TEXT,
                        "value": NUMBER_OR_TEXT,
                        "threshold": {
                            "type": "object",
                            "minProperties": 1,
                            "additionalProperties": False,
                            "properties": {name: {} for name in get_args(Operator)},
                        },
                        "unit": TEXT,
                    },
                },
                "message": TEXT,
            },
        }
    },
}


def checked(documents):
    assert documents
    for document in documents:
        jsonschema.Draft202012Validator(
            SCHEMA, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
        ).validate(document)
        ids = [r["id"] for r in document["results"]]
        assert len(ids) == len(set(ids))
    assert len({d["id"] for d in documents}) == len(documents)
    return {r["id"]: r for d in documents for r in d["results"]}


def asked(client, headers=None, address=BASE):
    return json.loads(client.get(address, headers=OORS | (headers or {})).text)


def test_each_result_says_what_was_measured_against_what(client):
    found = checked(asked(client))
    assert found["cost_is_known"]["measure"] == {
        "metric": "nullValues", "value": 2, "threshold": {"mustBe": 0}, "unit": "rows",
    }  # fmt: skip
    assert found["titles_differ"]["measure"]["metric"] == "duplicateValues"
    assert found["cost_is_sane"]["measure"] == {
        "metric": "invalidValues", "value": 0, "threshold": {"mustBe": 0}, "unit": "rows",
    }  # fmt: skip
    assert "2 rows were set aside" in found["cost_is_sane"]["message"]
    assert found["films.id.required"]["measure"]["metric"] == "nullValues"
    fresh = found["films.freshness"]
    assert fresh["type"] == "metric"
    assert fresh["measure"] | {"value": 0} == {
        "metric": "age", "value": 0, "unit": "seconds", "threshold": {"mustBeLessOrEqualTo": 172_800},
    }  # fmt: skip
    assert 0 <= fresh["measure"]["value"] < 60
    assert "measure" not in found["films.gaps"], "there was nothing to measure"


def test_what_no_contract_asks_for_is_in_a_document_of_its_own(client):
    first, second = sorted(asked(client), key=lambda d: "contract" not in d)
    assert first["contract"] == {"contractID": "films", "standard": "ODCS", "version": "1.2.0"}
    assert {r["type"] for r in first["results"]} == {"check"}
    assert {r["type"] for r in second["results"]} == {"metric"}


def test_no_document_holds_a_value_of_the_data(product, client):
    write(product.spec.home, [*ROWS, "1,Again,Fox,2,1999"])
    with pytest.raises(QualityError):
        product.build()
    for address in (BASE, f"{BASE}/reports/{product.ledger.reports('films')[1].run}"):
        for viewer in ({}, ANALYST, CLERK):
            documents = asked(client, viewer, address)
            checked(documents)
            assert not re.search(r"51234|71234|Alien|Universal|secret", json.dumps(documents))
    failed = checked(asked(client))["films.primary-key"]
    assert failed["status"] == "fail"
    assert "nothing was published" in failed["message"]


def test_rows_are_referred_to_by_their_address(product, client):
    run = product.ledger.reports("films")[0].run
    message = checked(asked(client))["cost_is_known"]["message"]
    assert message.endswith(f"Rows: {BASE}/reports/{run}/rows")
    assert client.get(message.rpartition(" ")[2]).status_code == 200


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        ({"status": "error", "reason": "1 row: secret"}, {"status": "error"}),
        ({"status": "listed"}, {"status": "skip"}),
        ({"status": "warn", "measured": "2026-01-01", "metric": "value"}, {"status": "warn"}),
        (
            {"status": "pass", "measured": 2.5, "metric": "value"},
            {"measure": {"metric": "value", "value": 2.5}},
        ),
        ({"status": "pass", "measured": 3.0}, {"measure": {"metric": "value", "value": 3}}),
    ],
)
def test_odd_results(product, result, expected):
    made = RuleResult("r", "films", "", "sql", sentence="s", **result)
    report = QualityReport("films", "run", datetime(2026, 1, 1, tzinfo=UTC), (made,), {})
    found = checked(oors(report, product.spec))["r"]
    assert expected.items() <= found.items()
    assert "secret" not in json.dumps(found)
    assert ("measure" in expected) == ("measure" in found)
