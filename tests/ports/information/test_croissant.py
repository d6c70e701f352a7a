"""Croissant, as its reference implementation reads it: the document is valid, and its records are the rows."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from tests.nodes import served

from polyport.ports.information.metadata.schema_org import _ids
from polyport.product import Product
from polyport.testing.output_port import make_product

READ = """
import json, sys
import mlcroissant
found = mlcroissant.Dataset(jsonld=sys.argv[1])
issues = found.metadata.ctx.issues
assert not issues.errors, issues.report()
for records in found.metadata.record_sets:
    rows = [{n: v.decode() if isinstance(v, bytes) else v for n, v in row.items()} for row in found.records(records.uuid)]
    print(json.dumps([records.uuid, rows], default=str))
"""
COLUMNS = {
    "id": ("integer", "BIGINT"),
    "a title": ("string", "VARCHAR"),
    "käse/x": ("number", "DOUBLE"),
    "seen": ("boolean", "BOOLEAN"),
    "day": ("date", "DATE"),
    "moment": ("timestamp", "TIMESTAMP"),
    "price": ("number", '"DECIMAL(9,2)"'),
    "parts": ("array", '"INTEGER[]"'),
    "who": ("object", '"STRUCT(name VARCHAR)"'),
}
ROWS = """
    SELECT * FROM (VALUES
        (1, 'Alien, "the" first', 1.5, true, DATE '1979-05-25', TIMESTAMP '2026-01-02 03:04:05', 11.50, [1, 2], {'name': 'Ann'}),
        (2, '', 2e30, false, DATE '2026-02-28', TIMESTAMP '2026-01-02 03:04:05.123456', -0.01, [], {'name': NULL}),
        (3, 'two' || chr(10) || 'lines', NULL, NULL, NULL, NULL, NULL, NULL, NULL)
    ) AS t(id, "a title", "käse/x", seen, day, moment, price, parts, who)
"""  # fmt: skip


@pytest.fixture(scope="module")
def product(tmp_path_factory):
    home = tmp_path_factory.mktemp("croissant") / "films"
    with make_product(home, "files"):
        pass
    (home / "transform/films.sql").write_text(ROWS)
    contract = home / "contracts/films.odcs.yaml"
    head, _, _ = contract.read_text().partition("      - {name: id,")
    names = (
        f'      - {{name: "{name}", logicalType: {logical}, physicalType: {physical}}}\n'
        for name, (logical, physical) in COLUMNS.items()
    )
    contract.write_text(head.replace("1.0.0", "2.0.0") + "".join(names))
    settings = home / "polyport.yaml"
    settings.write_text("inputs:\n  sheet: {type: files, path: inputs/*.csv}\n")
    text = (home / "dataproduct.odps.yaml").read_text().replace("version: 1.0.0", "version: 2.0.0")
    (home / "dataproduct.odps.yaml").write_text(text)
    with Product.load(home) as made:
        assert made.build().snapshot.datasets["films"].rows == 3
        yield made


def test_its_reference_implementation_reads_the_rows(product, tmp_path):
    with served(product) as (base, _):
        ran = subprocess.run(
            [sys.executable, "-c", READ, f"{base}/products/films/metadata/croissant.json"],
            env=os.environ | {"CROISSANT_CACHE": str(tmp_path), "HOME": str(tmp_path)},
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    (line,) = ran.stdout.splitlines()
    name, rows = json.loads(line)
    assert name == "films"
    assert [set(row) for row in rows] == [{f"films/{c}".replace(" ", "_") for c in COLUMNS}] * 3
    first, second, third = ({n.removeprefix("films/"): v for n, v in r.items()} for r in rows)
    assert first == {
        "id": 1, "a_title": 'Alien, "the" first', "käse/x": 1.5, "seen": True, "day": "1979-05-25 00:00:00",
        "moment": "2026-01-02 03:04:05", "price": 11.5, "parts": "[1,2]", "who": '{"name":"Ann"}',
    }  # fmt: skip
    assert second["moment"] == "2026-01-02 03:04:05.123456"
    assert (second["käse/x"], second["seen"], second["price"]) == (2e30, False, -0.01)
    assert third == dict.fromkeys(first) | {"id": 3, "a_title": "two\nlines"}


def test_columns_are_told_apart_whatever_is_blank_in_their_names():
    found = _ids("films", ["a b", "a_b", "a\tb", "a_b_2", "a  b"])
    assert found["a_b"] == "films/a_b"
    assert found["a_b_2"] == "films/a_b_2"
    assert len(set(found.values())) == 5
    assert not any(each.isspace() for name in found.values() for each in name)
