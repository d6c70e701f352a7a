from __future__ import annotations

import json

import pytest

from polyport.errors import QualityError
from polyport.server import create_app
from polyport.testing.asgi import Client
from polyport.testing.management_port import ManagementPortTests
from polyport.testing.output_port import make_product

OORS = {"accept": "application/vnd.bitol.oors+json"}


class TestQualityPort(ManagementPortTests):
    group = "information"
    port = "quality"


@pytest.fixture
def product(tmp_path):
    with make_product(tmp_path / "films", "rest") as made:
        yield made


def test_reports_and_values_only_for_the_owner(product):
    sheet = next((product.spec.home / "inputs").glob("*.csv"))
    lines = sheet.read_text("utf-8").splitlines()
    twice = "9876543,A,1979-05-25,Fox,1.00"
    sheet.write_text("\n".join([*lines, twice, twice]) + "\n", "utf-8")
    with pytest.raises(QualityError):
        product.build()
    client = Client(create_app([product]))
    reports = client.get("/products/films/quality/reports").json()["reports"]
    assert [r["held_back"] for r in reports] == [True, False]
    assert "9876543" in client.get("/products/films/quality").text
    partner = {"polyport-role": "partner; studio=Fox"}
    shown = client.get("/products/films/quality", headers=partner)
    assert "9876543" not in shown.text
    assert any(r["status"] == "fail" and r["rows_failing"] for r in shown.json()["results"])
    assert "9876543" not in client.get("/products/films/quality", headers=OORS).text
    first = client.get(f"/products/films/quality/reports/{reports[1]['run']}").json()
    assert first["snapshot"] == product.history()[-1].id
    assert client.get("/products/films/quality/reports/nosuch").status_code == 404
    assert client.get("/products/films/quality", headers={"accept": "image/png"}).status_code == 406


def test_oors_documents_are_one_a_contract_and_one_for_the_rest(product):
    reply = Client(create_app([product])).get("/products/films/quality", headers=OORS)
    documents = json.loads(reply.text)
    assert len({d["id"] for d in documents}) == len(documents)
    assert "films" in {d.get("contract", {}).get("contractID") for d in documents}
    for document in documents:
        assert document["kind"] == "ObservabilityResults"
        assert document["results"]
        assert {r["status"] for r in document["results"]} <= {
            "pass",
            "fail",
            "warn",
            "error",
            "skip",
        }
