"""The definition as a Bitol OMMS document (RFC-0037, a draft): the model, and what was found, in `customProperties`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import NAMESPACE_URL, uuid5

if TYPE_CHECKING:
    from collections.abc import Sequence

    from polyport.ports.information.definition.clauses import Clause

_MEASURED: dict[str, dict[str, Any]] = {
    "business-value": {"property": "description.purpose", "metric": "nullValues", "mustBe": 0},
    "findable": {"property": "tags", "metric": "rowCount", "mustBeGreaterOrEqualTo": 1},
    "accessible": {"property": "outputPorts", "metric": "rowCount", "mustBeGreaterOrEqualTo": 1},
    "standardised": {
        "property": "outputPorts[].contractId", "metric": "nullValues", "mustBe": 0,
    },
    "conscious-intention": {"property": "team.members", "metric": "rowCount", "mustBeGreaterOrEqualTo": 1},
}  # fmt: skip
"""What the draft's own metrics can say of a clause; the draft has no word for the rest."""
_PROPERTIES = {
    "works-together": "outputPorts[].contractId",
    "different-contexts": "outputPorts[].type",
    "autonomous": "inputPorts[]",
    "read-optimised": "outputPorts[]",
    "mesh-node": "inputPorts[]",
    "dataset": "outputPorts[].contractId",
    "user-needs": "description.usage",
}


def omms(product: str, clauses: Sequence[Clause]) -> dict[str, Any]:
    """`kind: MaturityModel` with one level: a data product, as every clause says."""
    return {
        "kind": "MaturityModel",
        "apiVersion": "v0.2.0",
        "id": str(uuid5(NAMESPACE_URL, f"urn:polyport:definition:{product}")),
        "name": "definition-of-a-data-product",
        "version": "1.0.0",
        "status": "draft",
        "description": {
            "purpose": "The definition of a data product, clause by clause, and how one product stands to it.",
            "limitations": "Draft standard. Results and evidence stand in customProperties.",
        },
        "targetApplication": "ODPS",
        "targetApiVersion": "v1.1.0",
        "customProperties": [{"property": "polyport.product", "value": product}],
        "levels": [
            {
                "level": 1,
                "name": "Data product",
                "description": "It is a data product: every clause of the definition holds.",
                "criteria": [_criterion(at, clause) for at, clause in enumerate(clauses, 1)],
            }
        ],
    }


def _criterion(at: int, clause: Clause) -> dict[str, Any]:
    measured = _MEASURED.get(clause.id)
    said = (
        {"type": "library", **measured, "unit": "rows"}
        if measured
        else {"property": _PROPERTIES[clause.id], "type": "text"}
    )
    found = {"clause": clause.id, "status": clause.status, "evidence": clause.evidence}
    return {
        "id": f"L1-P{at:02d}",
        **said,
        "description": f"{clause.sentence}.",
        "customProperties": [
            {"property": f"polyport.{name}", "value": value} for name, value in found.items()
        ],
    }
