"""In a mesh: who reads the product holds copies, which are told of, and go when the mesh is named."""

from __future__ import annotations

import importlib.util
import json
import textwrap
from pathlib import Path

import pytest

from polyport.mesh import Mesh

_SPEC = importlib.util.spec_from_file_location("people", Path(__file__).with_name("people.py"))
_PEOPLE = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(_PEOPLE)
JANE, call = _PEOPLE.JANE, _PEOPLE.call

READER = {
    "dataproduct.odps.yaml": """
        apiVersion: v1.1.0
        kind: DataProduct
        id: cities
        name: Cities
        version: 1.0.0
        status: active
        domain: testing
        description: {purpose: To hold a copy.}
        inputPorts: [{name: people, version: 1.0.0}]
        outputPorts: [{name: files, type: files, version: 1.0.0, contractId: cities}]
        team: {name: Testing, members: [{username: ann@example.com, role: owner}]}
        """,
    "contracts/cities.odcs.yaml": """
        apiVersion: v3.2.0
        kind: DataContract
        id: cities
        name: Cities
        version: 1.0.0
        status: active
        schema:
          - name: who_lives_where
            properties:
              - {name: city, logicalType: string, physicalType: VARCHAR}
              - {name: who, logicalType: string, physicalType: VARCHAR}
        """,
    "polyport.yaml": """
        inputs:
          people: {type: product, product: people, dataset: people}
        """,
    "transform/who_lives_where.sql": "SELECT city, person AS who FROM people",
}


@pytest.fixture
def mesh(tmp_path):
    root = tmp_path / "mesh"
    home = root / "people"
    for name, text in _PEOPLE.FILES.items():
        body = textwrap.dedent(text).lstrip()
        if name == "polyport.yaml":
            body = body.replace(
                "roles: {analyst: {}}", "agreements: optional\n  roles: {analyst: {}, consumer: {}}"
            )
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(body, "utf-8")
    for name, text in READER.items():
        (root / "cities" / name).parent.mkdir(parents=True, exist_ok=True)
        (root / "cities" / name).write_text(textwrap.dedent(text).lstrip(), "utf-8")
    (root / "mesh.yaml").write_text("name: test\nproducts: [people, cities]\n", "utf-8")
    _PEOPLE.write_people(home, _PEOPLE.people(f"4,{JANE},Bonn,30"))
    with Mesh.find(root) as mesh:
        for product in mesh.at(root):
            product.build()
    return root


def erase(folder):
    arguments = ["--value", JANE, "--column", "person", "--reason", "x", "--yes", "--json"]
    code, out, err = call("erase", "people", folder, *arguments)
    return code, json.loads(out), err


def test_one_product_tells_who_else_holds_it(mesh):
    code, (told,), err = erase(mesh / "people")
    assert (code, told["ok"]) == (0, True)
    assert {one["product"] for one in told["proof"]["other_products"]} == {"cities"}
    assert "cities reads people" in err


def test_the_mesh_does_them_all(mesh):
    code, told, _ = erase(mesh)
    assert (code, [one["product"] for one in told]) == (0, ["people", "cities"])
    assert told[1]["rows"] == {"1": {"who_lives_where": 1}}
    assert told[1]["removed"]["raw objects"] == 1
    assert call("erase", "--prove", mesh, "--value", JANE)[0] == 0
    with Mesh.find(mesh) as found:
        for product in found.at(mesh):
            product.build()
            assert not erase_left(product)
    assert call("erase", "--prove", mesh, "--value", JANE)[0] == 0


def erase_left(product):
    return JANE in str(
        [_PEOPLE.rows_of(product, dataset=name) for name in product.history()[-1].datasets]
    )
