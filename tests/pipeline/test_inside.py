"""Documents whose fields vary, published as the contract says: real JSON files, real builds."""

from __future__ import annotations

import pytest

from polyport.errors import QualityError, TransformError
from polyport.model import OWNER
from polyport.product import Product

ODPS = """
apiVersion: v1.1.0
kind: DataProduct
id: people
name: People
version: 1.0.0
status: active
inputPorts: [{name: docs}]
outputPorts: [{name: rest, type: rest, version: 1.0.0, contractId: people}]
"""
ODCS = """
apiVersion: v3.2.0
kind: DataContract
id: people
version: 1.0.0
status: active
schema:
- name: people
  properties:
  - {name: id, logicalType: integer, physicalType: BIGINT, primaryKey: true, required: true}
  - name: address
    logicalType: object
    properties:
    - {name: street, logicalType: string}
    - {name: zip, logicalType: string}
    - {name: since, logicalType: date}
    - {name: tags, logicalType: array, items: {logicalType: string}}
  - name: lines
    logicalType: array
    items:
      logicalType: object
      properties:
      - {name: sku, logicalType: string}
      - {name: quantity, logicalType: integer}
      - {name: price, logicalType: number, physicalType: "DECIMAL(10,2)"}
"""


@pytest.fixture
def people(tmp_path):
    """Builds a product of JSON documents, one a line; the product."""
    made = []

    def built(*documents, contract=ODCS):
        for name, text in {
            "dataproduct.odps.yaml": ODPS,
            "contracts/people.odcs.yaml": contract,
            "polyport.yaml": "inputs: {docs: {type: files, path: 'inputs/*.ndjson'}}",
            "transform/people.sql": "SELECT * FROM docs",
        }.items():
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text(text)
        (tmp_path / "inputs").mkdir(exist_ok=True)
        for number, text in enumerate(documents):  # a file each: their columns are put together
            (tmp_path / f"inputs/{number}.ndjson").write_text(text + "\n")
        made.append(Product.load(tmp_path))
        made[-1].build()
        return made[-1]

    yield built
    for one in made:
        one.close()


def rows(product):
    with product.open(OWNER) as view, view.scan("people") as reader:
        return sorted(reader.read_all().to_pylist(), key=lambda row: row["id"])


def types(product):
    with product.open(OWNER) as view:
        return view.snapshot.datasets["people"].schema


def test_documents_whose_fields_vary_are_published_as_the_contract_says(people):
    product = people(
        '{"id": 1, "address": {"ZIP": 20095, "street": "A"}, "lines": [{"sku": "x", "quantity": 2}]}\n'
        '{"id": 2, "address": {"street": "B", "city": "Q"}, "lines": []}\n'
        '{"id": 3, "address": null, "lines": null}\n'
        '{"id": 4}',
    )
    found = rows(product)
    address = {"street": "A", "zip": "20095", "since": None, "tags": None}
    assert found[0]["address"] == address
    assert found[0]["lines"] == [{"sku": "x", "quantity": 2, "price": None}]
    assert found[1]["address"] == address | {"street": "B", "zip": None}
    assert [row["address"] for row in found[2:]] == [None, None]
    assert [row["lines"] for row in found[1:]] == [[], None, None]
    step = next(s for s in product.runs()[0].steps if s.stage == "transform")
    assert step.detail.endswith("not promised, not published: address.city")
    assert step.status == "warn"


def test_files_of_documents_that_have_other_fields_each(people):
    product = people(
        '{"id": 1, "address": {"street": "A"}, "lines": [{"sku": "x"}]}',
        '{"id": 2, "address": {"zip": "1"}, "lines": [{"price": 1.5}]}',
    )
    assert [row["address"]["zip"] for row in rows(product)] == [None, "1"]
    assert [str(row["lines"][0]["price"]) for row in rows(product)] == ["None", "1.50"]


@pytest.mark.parametrize(
    "text",
    [
        '{"id": 1, "address": null, "lines": null}',
        '{"id": 1, "address": {}, "lines": [{}]}',
        '{"id": 1, "address": {}, "lines": []}\n{"id": 2, "address": {}, "lines": [{}]}',
        '{"id": 1, "address": {"other": 1}, "lines": [{"other": 1}]}',
        '{"id": 1, "address": {"since": null, "tags": []}, "lines": [null]}',
    ],
)
def test_fields_that_no_row_has_have_the_types_that_the_contract_gives_them(people, text):
    schema = types(people(text))
    address = {f.name: str(f.type) for f in schema.field("address").type}
    assert address.pop("tags").startswith("list<")
    assert address.pop("since") == "date32[day]"
    assert set(address.values()) <= {"string", "extension<arrow.json>"}
    lines = [str(f.type) for f in schema.field("lines").type.value_type]
    assert lines == ["string", "int64", "decimal128(10, 2)"]


def test_objects_of_very_many_fields(people):
    """They are read as maps."""
    each = (
        f'{{"id": {n}, "lines": null, "address": {{"k{n}": {n}, "m{n}": "é", "zip": "0{n}"}}}}'
        for n in range(300)
    )
    found = rows(people("\n".join(each)))
    assert [row["address"]["zip"] for row in found] == [f"0{n}" for n in range(300)]
    assert found[0]["address"] == {"street": None, "zip": "00", "since": None, "tags": None}


def test_a_required_field_that_no_row_has_fails_its_rule(people):
    contract = ODCS.replace("{name: zip,", "{name: zip, required: true,")
    with pytest.raises(QualityError, match=r"address\.zip is filled"):
        people('{"id": 1, "address": {"street": "A"}, "lines": []}', contract=contract)


def test_a_value_inside_that_cannot_be_cast_is_named_by_its_place(people):
    with pytest.raises(TransformError) as caught:
        people('{"id": 1, "address": null, "lines": [{"price": 1}, {"price": "x"}]}')
    assert caught.value.message == "a value of lines[].price of people is not a DECIMAL(10, 2)"
