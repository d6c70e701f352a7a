"""From documents to views: conformance examples, typed reading, single files, meshes, a new product."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
from tests.shared import conformance

from polyport import descriptor
from polyport.descriptor import codes, cron, mesh, odcs, reference, schema, yaml
from polyport.descriptor.scaffold import scaffold
from polyport.descriptor.text import did_you_mean, hide_secrets, is_secret_name
from polyport.errors import ConfigurationError, NotFoundError, StoreError
from polyport.expression import Compare

ROOT = Path(__file__).parents[2]
TYPES = {
    "input": ("files", "spreadsheet", "http", "database", "product"),
    "output": ("rest", "files"),
}


def test_the_standards_examples_load():
    folders = [conformance(f"{kind}-examples") for kind in ("odcs", "odps")]
    examples = sorted(path for each in folders for path in each.glob("*.yaml"))
    assert len(examples) >= 20
    for path in examples:
        document, _ = yaml.read(path)
        errors = [d for d in descriptor.examine_file(path) if d.severity == "error"]
        assert errors == [], path.name
        if ".odcs." in path.name:
            contract = odcs.examine(document)[0].contract
            assert contract.document == document.value
            assert [o.name for o in contract.objects] == [
                o["name"] for o in document.get("schema") or ()
            ]


CONTRACT = """\
apiVersion: v3.1.0
kind: DataContract
id: c
version: 2.0.0
name: Costs
description: {purpose: what for}
slaProperties:
  - {property: latency, value: 1, unit: d, element: costs.day}
schema:
  - name: costs
    id: costs_obj
    description: all of them
    quality:
      - {metric: rowCount, mustBeBetween: [1, 10], severity: warning, dimension: completeness}
      - {type: sql, query: 'SELECT 1', mustBeLessThan: 2, name: mine}
      - {type: text, description: sums are right}
    properties:
      - name: day
        logicalType: date
        primaryKey: true
        primaryKeyPosition: 2
        relationships: [{to: days.day}]
      - name: film
        id: film_prop
        logicalType: integer
        primaryKey: true
        primaryKeyPosition: 1
        required: true
        unique: true
        semanticType: dimension
        logicalTypeOptions: {minimum: 1}
        enum: [{value: 1}, {value: 2}]
        customProperties: [{property: unit, value: USD}, {property: x, value: [1]}]
        quality:
          - {metric: nullValues, mustBe: 0}
          - metric: nullValues
            mustBe: 0
            customProperties: [{property: onFailure, vendor: polyport, value: quarantine}]
          - type: custom
            engine: soda
            implementation: x
            customProperties: [{property: polyport.notRun, value: accept}]
    relationships:
      - {from: [costs.day, costs.film], to: [/schema/days_obj/properties/day_prop, days.film]}
      - {from: costs.day, to: other.odcs.yaml#/schema/a/properties/b}
  - name: days
    id: days_obj
    properties:
      - {name: day, id: day_prop, logicalType: date}
      - {name: film, logicalType: integer}
"""


def contract(text):
    document, found = yaml.parse(Path("c.odcs.yaml"), text)
    assert found == ()
    file, found = odcs.examine(document)
    assert [d for d in found if d.severity == "error"] == []
    return file.contract, found


def test_a_contract_is_read_whole():
    read, found = contract(CONTRACT)
    assert found == ()
    assert (read.id, read.version, read.name, read.description) == (
        "c",
        "2.0.0",
        "Costs",
        "what for",
    )
    assert (read.sla[0].property, read.sla[0].value, read.sla[0].unit, read.sla[0].element) == (
        "latency",
        1,
        "d",
        "costs.day",
    )
    costs = read.object("costs")
    assert costs.key == ("film", "day")
    film = costs.properties[1]
    assert (film.required, film.unique, film.semantic_type, film.valid_values, film.unit) == (
        True,
        True,
        "dimension",
        (1, 2),
        "USD",
    )
    assert film.options == {"minimum": 1}
    assert [(r.id, r.type, r.operator, r.threshold, r.severity) for r in costs.rules] == [
        ("costs.rowCount", "library", "mustBeBetween", (1, 10), "warning"),
        ("mine", "sql", "mustBeLessThan", 2, "error"),
        ("costs.text", "text", None, None, "error"),
        ("costs.film.nullValues", "library", "mustBe", 0, "error"),
        ("costs.film.nullValues-2", "library", "mustBe", 0, "error"),
        ("costs.film.custom", "custom", None, None, "error"),
    ]
    assert [r.on_failure for r in film.quality] == ["report", "quarantine", "report"]
    assert [r.not_run_ok for r in film.quality] == [False, False, True]
    assert [(r.columns, r.to_dataset, r.to_columns) for r in costs.relationships] == [
        (("day",), "days", ("day",)),
        (("day", "film"), "days", ("day", "film")),
    ]


@pytest.mark.parametrize(
    ("old", "metric", "unit", "threshold"),
    [
        ("rule: duplicateCount, mustBeLessThan: 3", "duplicateValues", "rows", 3),
        ("rule: duplicatePercent, mustBeLessThan: 3", "duplicateValues", "percent", 3),
        ("rule: nullCheck", "nullValues", "rows", 0),
        ("rule: validValues, validValues: [a]", "invalidValues", "rows", 0),
        ("rule: rowCount, mustBeGreaterThan: 5", "rowCount", "rows", 5),
        ("type: library, metric: nullCount, mustBe: 2", "nullValues", "rows", 2),
    ],
)
def test_rules_of_odcs_3_0_are_read_with_a_warning(old, metric, unit, threshold):
    text = f"apiVersion: v3.0.2\nkind: DataContract\nid: c\nversion: '1'\nschema:\n  - name: a\n    quality: [{{{old}}}]\n"
    read, found = contract(text)
    (rule,) = read.objects[0].quality
    assert (rule.metric, rule.unit, rule.threshold) == (metric, unit, threshold)
    assert [d.code for d in found] == ["PP113"]
    if "[a]" in old:
        assert rule.arguments == {"validValues": ["a"]}
    assert read.document["schema"][0]["quality"][0].get("rule") == (
        old.split()[1].strip(",") if old.startswith("rule") else None
    )


def test_an_unknown_field_of_odcs_3_0_is_a_warning():
    _, found = contract("apiVersion: v3.0.0\nkind: DataContract\nid: c\nversion: '1'\nmine: 1\n")
    assert [(d.code, d.severity) for d in found] == [("PP101", "warning")]


def test_settings_become_roles(tmp_path):
    home = scaffold("films", tmp_path)
    (home / "polyport.yaml").write_text(
        "inputs: {sales: {type: files, path: inputs/*.csv}}\nschedule: {after: x}\nretention: {snapshots: 3, days: 4}\n"
        "engine: {memory: 2GB, threads: 1}\nports: {files: {push: {to: d/, role: a}}}\naccess:\n  roles:\n    a:\n"
        "    b: {rows: count > 3, columns: [date, count], mask: {place: null, date: year}, purposes: [p]}\n"
        "    c: {datasets: {films: {rows: count = 1}}}\n    d: {columns: [date], datasets: {films: {}}}\n"
    )
    product = descriptor.load(home, port_types=TYPES)
    made = product.settings
    assert (made.schedule, made.keep_snapshots, made.keep_days) == ({"after": "x"}, 3, 4)
    assert (made.engine, made.memory, made.threads) == ("duckdb", "2GB", 1)
    assert made.roles["a"].sees("films").rows is None
    b = made.roles["b"].sees("films")
    assert (b.rows, b.columns, b.purposes) == (
        Compare("count", ">", 3),
        ("date", "count"),
        frozenset({"p"}),
    )
    assert b.mask == {"place": "null", "date": "year"}
    assert (made.roles["c"].only, made.roles["c"].sees("x")) == (True, None)
    assert made.roles["c"].sees("films").rows == Compare("count", "=", 1)
    assert (made.roles["d"].only, made.roles["d"].sees("films").columns) == (False, None)
    assert product.outputs[1].settings == {"push": {"to": "d/", "role": "a"}}
    assert (product.inputs[0].type, product.inputs[0].settings) == (
        "files",
        {"path": "inputs/*.csv"},
    )


def test_no_settings_and_empty_settings_are_defaults(tmp_path):
    home = scaffold("films", tmp_path)
    (home / "polyport.yaml").write_text("# nothing yet\n")
    assert [d.code for d in descriptor.examine(home)[1]] == ["PP205"]
    (home / "polyport.yaml").unlink()
    assert [d.code for d in descriptor.examine(home)[1]] == ["PP205"]


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("polyport.yaml", "schedul: x\n", ["PP101"]),
        ("polyport.yaml", "inputs: {a: {type: files, path: x}}\n", []),
        ("mesh.yaml", "base_url: ftp://x\n", ["PP106"]),
        ("mesh.yaml", "identity: {oidc: [{issuer: https://x}]}\n", ["PP102"]),
        ("mesh.yaml", "identity: {oidc: [{issuer: http://x, audience: a}]}\n", ["PP106"]),
        (
            "mesh.yaml",
            "identity: {oidc: [{issuer: http://127.0.0.1.x/, audience: a}]}\n",
            ["PP106"],
        ),
        (
            "mesh.yaml",
            "identity: {oidc: [{issuer: https://x, audience: [], leeway: -1}]}\n",
            ["PP105", "PP105"],
        ),
        ("mesh.yaml", "identity: {roles: {accountant: 5}}\n", ["PP104"]),
        ("mesh.yaml", "ledger: postgresql://u:hunter2@h/d\n", ["PP250"]),
        ("a.odcs.yaml", "kind: DataContract\n", ["PP102"] * 3),
        ("a.odps.yaml", "kind: DataContract\napiVersion: v3.2.0\nversion: '1'\nid: a\n", []),
        ("a.yaml", "a: [", ["PP002"]),
    ],
)
def test_single_files(name, text, expected, tmp_path):
    (tmp_path / name).write_text(text)
    found = descriptor.examine_file(tmp_path / name)
    assert [d.code for d in found] == expected
    assert "hunter2" not in repr(found)


def test_a_new_product_has_nothing_wrong(tmp_path):
    home = scaffold("my-first-product", tmp_path)
    product, found = descriptor.examine(home, port_types=TYPES)
    assert found == ()
    assert (product.id, list(product.objects), [p.type for p in product.outputs]) == (
        "my-first-product",
        ["my_first_product"],
        ["rest", "files"],
    )


def test_a_new_product_overwrites_nothing(tmp_path):
    (tmp_path / "films").mkdir()
    (tmp_path / "films/x").write_text("mine")
    with pytest.raises(ConfigurationError, match="exists"):
        scaffold("films", tmp_path)
    assert [p.name for p in tmp_path.rglob("*")] == ["films", "x"]
    (tmp_path / "films/x").unlink()
    assert descriptor.examine(scaffold("films", tmp_path))[1] == ()


@pytest.mark.parametrize(
    ("name", "fix"),
    [
        ("My Films", "my-films"),
        ("a_b", "a-b"),
        ("1st", "st"),
        ("../x", "x"),
        ("é", "letters"),
        ("", "letters"),
        ("a" * 99, "a" * 60),
    ],
)
def test_a_wrong_name_gets_a_right_one(name, fix, tmp_path):
    with pytest.raises(ConfigurationError) as caught:
        scaffold(name, tmp_path)
    assert fix in caught.value.fix
    assert list(tmp_path.iterdir()) == []


def test_no_place_for_a_new_product(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError):
        scaffold("films", tmp_path / "file")


def products(folder, *names):
    for name in names:
        scaffold(name, folder)


def test_a_mesh_is_its_products(tmp_path):
    products(tmp_path, "b", "a")
    products(tmp_path / "deep", "c")
    (tmp_path / ".hidden").mkdir()
    products(tmp_path / ".hidden", "d")
    found, diagnostics = descriptor.examine_mesh(tmp_path)
    assert ([p.id for p in found], diagnostics) == (["a", "b", "c"], ())
    assert mesh.is_mesh(tmp_path)
    assert not mesh.is_mesh(tmp_path / "a")
    (tmp_path / "mesh.yaml").write_text("products: [deep/*]\n")
    assert [p.id for p in descriptor.examine_mesh(tmp_path)[0]] == ["c"]


def source(home, product, dataset="a", more=""):
    text = f"inputs: {{sales: {{type: product, product: {product}, dataset: {dataset}}}}}\n{more}"
    (home / "polyport.yaml").write_text(text)


@pytest.mark.parametrize(
    ("product", "dataset", "more", "mesh_file", "expected"),
    [
        ("a", "a", "", "", []),
        ("aa", "a", "", "", [("PP261", 1, 42)]),
        ("aa", "a", "", "nodes: [https://x.example]", []),
        ("https://x.example/products/aa", "a", "", "", []),
        ("a", "b", "", "", [("PP263", 1, 54)]),
        ("a", "a", "schedule: {after: x}\n", "", [("PP261", 2, 19)]),
        ("a", "a", "", "products: [x/*, a, b]", [("PP262", 1, 12)]),
        ("a", "a", "", "base_url: x", [("PP106", 1, 11)]),
    ],
)
def test_links_in_a_mesh(product, dataset, more, mesh_file, expected, tmp_path):
    products(tmp_path, "a", "b")
    source(tmp_path / "b", product, dataset, more)
    (tmp_path / "mesh.yaml").write_text(mesh_file)
    found = descriptor.examine_mesh(tmp_path, port_types=TYPES)[1]
    assert [(d.code, d.places[0].line, d.places[0].column) for d in found] == expected


def test_a_mesh_has_no_two_products_of_one_id(tmp_path):
    products(tmp_path, "a")
    products(tmp_path / "deep", "a")
    (found,) = descriptor.examine_mesh(tmp_path)[1]
    assert (found.code, len(found.places)) == ("PP260", 2)


def test_ids_that_differ_by_case_only_are_one(tmp_path):
    products(tmp_path, "a")
    products(tmp_path / "deep", "a")
    file = tmp_path / "deep" / "a" / "dataproduct.odps.yaml"
    file.write_text(file.read_text().replace("id: a\n", "id: A\n"))
    (found,) = descriptor.examine_mesh(tmp_path)[1]
    assert (found.code, len(found.places)) == ("PP260", 2)
    assert "but for upper and lower case" in found.message


def test_an_empty_mesh_says_so(tmp_path):
    assert [d.code for d in descriptor.examine_mesh(tmp_path)[1]] == ["PP262"]


@pytest.mark.parametrize(
    "text",
    [
        "* * * * *",
        "0 6 * * *",
        "*/5 0-23/2 1,15 jan-mar mon-fri",
        "0 0 29 2 *",
        "0 0 31 2 1",
        "59 23 31 12 7",
    ],
)
def test_schedules(text):
    assert cron.problem(text) == ("", 0)


@pytest.mark.parametrize(
    ("text", "column"),
    [("", 1), ("* * * *", 1), ("60 * * * *", 1), ("0 24 * * *", 3), ("0 0 0 * *", 5), ("0 0 1 13 *", 7), ("0 0 1 1 8", 9),
     ("0 1,x * * *", 5), ("*/0 * * * *", 1), ("5-1 * * * *", 1), ("0 0 31 4 *", 5), ("@daily", 1), ("*-3 * * * *", 1), ("0 0 ٣ * *", 5)],
)  # fmt: skip
def test_wrong_schedules(text, column):
    reason, at = cron.problem(text)
    assert (bool(reason), at) == (True, column)


def test_each_code_used_is_explained_and_each_explained_is_used():
    parts = [ROOT / "src/polyport" / name for name in ("descriptor", "pipeline")]
    text = "".join(path.read_text() for part in parts for path in part.rglob("*.py"))
    known = {entry.code for entry in codes.diagnostics()}
    used = set(re.findall(r'"(PP\d{3})"', text))
    assert used == known
    assert not known & {entry.code for entry in codes.classes()}
    assert all(
        entry.title and entry.text and entry.wrong and entry.right and entry.wrong != entry.right
        for entry in codes.diagnostics()
    )


def test_the_reference_pages_are_current():
    pages = ROOT / "docs/reference"
    assert (pages / "diagnostics.md").read_text() == codes.reference()
    assert (pages / "settings.md").read_text() == reference.settings_page()


def test_codes_of_errors_are_explained():
    assert codes.explain("pp330").title == "QualityError"
    with pytest.raises(NotFoundError, match="did you mean `PP"):
        codes.explain("PP1O1")
    with pytest.raises(NotFoundError, match="PP002"):
        codes.explain("2")


def settings_in(node, path=""):
    for name, part in node.get("properties", {}).items():
        yield f"{path}{name}", part
        if isinstance(part, dict):
            yield from settings_in(part, f"{path}{name}.")


@pytest.mark.parametrize("kind", ["settings", "mesh"])
def test_our_schemas_are_schemas_and_each_setting_has_a_description_and_valid_examples(kind):
    root = schema.schema_of(kind)
    jsonschema.Draft202012Validator.check_schema(root)
    parts = [p for node in (root, *root.get("$defs", {}).values()) for p in settings_in(node)]
    assert len(parts) > 10
    for name, part in parts:
        assert part.get("description"), name
        wrapped = jsonschema.Draft202012Validator({"$defs": root.get("$defs", {}), **part})
        for example in part.get("examples", ()):
            wrapped.validate(example)
    leaves = [
        name
        for name, part in parts
        if "properties" not in part and "$ref" not in part and not part.get("examples")
    ]
    assert leaves == []


def test_a_large_contract_is_checked_without_work_per_value_pair():
    """15,000 lines; one wrong one is found. (How long it takes is measured in benchmarks.)"""
    column = "      - {{name: c{0}, logicalType: string,\n         physicalType: VARCHAR,\n         description: a thing,\n         required: true}}\n"
    tables = "".join(
        f"  - name: t{t}\n    properties:\n" + "".join(column.format(c) for c in range(370))
        for t in range(10)
    )
    head = "apiVersion: v3.2.0\nkind: DataContract\nid: c\nversion: 1.0.0\nschema:\n"
    text = head + tables.replace("c369, logicalType: string", "c369, logicalType: strin", 1)
    assert text.count("\n") > 14_800
    document, _ = yaml.parse(Path("c.odcs.yaml"), text)
    assert [d.code for d in odcs.examine(document)[1]] == ["PP103"]


def test_types_are_cheap_to_import():
    script = "import sys, polyport.descriptor.types; print([m for m in ('yaml', 'jsonschema', 'sqlglot', 'pydantic', 'pyarrow') if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout.replace("'", '"')) == []


def test_suggestions():
    assert did_you_mean("flims", ["films", "costs"]) == "did you mean `films`?"
    assert did_you_mean("FilmId", ["film_id"]) == "did you mean `film_id`?"
    assert did_you_mean("zzz", ["films"], what="tables") == "tables: films"
    assert did_you_mean("zzz", []) == ""


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("password: hunter2", "password: *******"),
        ("  {api_key: 'abc', b: 1}", "  {api_key: *****, b: 1}"),
        ("url: https://u:p@h/x", "url: https://***@h/x"),
        ("token: ${TOKEN}", "token: ${TOKEN}"),
        ("name: hunter2", "name: hunter2"),
        ("clientSecret: x", "clientSecret: *"),
        ('"apiKey": "x"', '"apiKey": ***'),
    ],
)
def test_lines_are_shown_without_secrets(line, shown):
    assert hide_secrets(line) == shown


def test_names_of_secrets():
    assert all(
        map(
            is_secret_name,
            ("password", "DB_PASSWORD", "apiKey", "access-key", "refresh_token", "client_secret"),
        )
    )
    assert not any(
        map(is_secret_name, ("key", "primaryKey", "tokens_used", "secretary", "path", "author"))
    )


@pytest.mark.parametrize("kind", ["files", "spreadsheet", "http", "database", "product"])
def test_the_schema_knows_the_settings_that_the_port_knows(kind):
    module = importlib.import_module(f"polyport.ports.input.{kind}")
    described = schema.schema_of("settings")["$defs"][f"{kind.capitalize()}Input"]["properties"]
    assert set(described) == {"type", *module._KNOWN}


@pytest.mark.parametrize(
    ("text", "expected"),
    [("url: 'sqlite:///x', table: t", []), ("adbc: d, table: t", []), ("table: t", ["PP102"])],
)
def test_a_database_needs_an_address_or_a_driver(text, expected, tmp_path):
    (tmp_path / "polyport.yaml").write_text(f"inputs: {{a: {{type: database, {text}}}}}\n")
    found = descriptor.examine_file(tmp_path / "polyport.yaml")
    assert [d.code for d in found] == expected
