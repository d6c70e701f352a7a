"""Pairs of documents and the verdict on the step from one to the other; and what holds for any pair."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyport.descriptor import yaml
from polyport.descriptor.compare import compare, omds, paths, versions
from polyport.descriptor.odcs import examine
from polyport.errors import ConfigurationError

BASE = """
apiVersion: v3.2.0
kind: DataContract
id: films
name: Films
version: 1.2.3
status: active
description: {purpose: Films}
servers: [{server: main, type: local, path: ./x.parquet, format: parquet}]
price: {priceAmount: 10, priceCurrency: EUR, priceUnit: month}
roles: [{role: analyst, access: read}]
slaProperties:
  - {property: latency, value: 4, unit: h}
  - {property: retention, value: 2, unit: y}
schema:
  - name: films
    id: films
    physicalType: table
    dataGranularityDescription: one row a film
    properties:
      - {name: id, id: c1, logicalType: integer, physicalType: INTEGER, required: true, primaryKey: true, primaryKeyPosition: 1, unique: true}
      - name: title
        id: c2
        logicalType: string
        physicalType: VARCHAR(20)
        required: true
        classification: internal
        logicalTypeOptions: {maxLength: 20, pattern: "^.+$"}
      - name: kind
        id: c3
        logicalType: string
        enum: [{value: short}, {value: long}]
        relationships: [{to: kinds.name}]
      - name: cost
        id: c4
        logicalType: number
        logicalTypeOptions: {minimum: 0}
        customProperties: [{property: unit, value: USD}]
        quality:
          - {id: filled, metric: nullValues, mustBeLessThan: 5, severity: error}
      - {name: made, id: c5, logicalType: date, logicalTypeOptions: {format: yyyy-MM-dd}}
  - name: kinds
    id: kinds
    properties:
      - {name: name, id: k1, logicalType: string, required: true, primaryKey: true}
"""
FILMS, TITLE, KIND, COST = (
    "schema.0",
    "schema.0.properties.1",
    "schema.0.properties.2",
    "schema.0.properties.3",
)
ID = "schema.0.properties.0"
RULE = f"{COST}.quality.0"
GONE = object()
CASES = [
    # what, where, to, verdict, level, path
    ("dataset removed", "schema.1", GONE, "breaking", "MAJOR", "/schema[name=kinds]"),
    ("dataset renamed", f"{FILMS}.name", "movies", "breaking", "MAJOR", "/schema[name=films]/name"),
    ("dataset's physical name", f"{FILMS}.physicalName", "t_films", "breaking", "MAJOR", "/schema[name=films]/physicalName"),
    ("physical name said", f"{FILMS}.physicalName", "films", "compatible", "PATCH", "/schema[name=films]/physicalName"),
    ("table becomes view", f"{FILMS}.physicalType", "view", "compatible", "PATCH", "/schema[name=films]/physicalType"),
    ("table becomes topic", f"{FILMS}.physicalType", "topic", "breaking", "MAJOR", "/schema[name=films]/physicalType"),
    ("granularity", f"{FILMS}.dataGranularityDescription", "one row a cut", "risky", "MINOR", "/schema[name=films]/dataGranularityDescription"),
    ("column removed", COST, GONE, "breaking", "MAJOR", "/schema[name=films]/properties[name=cost]"),
    ("column renamed", f"{COST}.name", "costs", "breaking", "MAJOR", "/schema[name=films]/properties[name=cost]/name"),
    ("column added", f"{FILMS}.properties.+", {"name": "x", "logicalType": "string"}, "compatible", "MINOR", "/schema[name=films]/properties[name=x]"),
    ("logical type", f"{COST}.logicalType", "string", "breaking", "MAJOR", "/schema[name=films]/properties[name=cost]/logicalType"),
    ("logical type dropped", f"{COST}.logicalType", GONE, "risky", "MINOR", "/schema[name=films]/properties[name=cost]/logicalType"),
    ("type widened", f"{ID}.physicalType", "BIGINT", "risky", "MINOR", "/schema[name=films]/properties[name=id]/physicalType"),
    ("type narrowed", f"{ID}.physicalType", "SMALLINT", "breaking", "MAJOR", "/schema[name=films]/properties[name=id]/physicalType"),
    ("type changed", f"{ID}.physicalType", "UUID", "breaking", "MAJOR", "/schema[name=films]/properties[name=id]/physicalType"),
    ("type spelled otherwise", f"{ID}.physicalType", "int4", "compatible", "PATCH", "/schema[name=films]/properties[name=id]/physicalType"),
    ("text longer", f"{TITLE}.physicalType", "VARCHAR(40)", "risky", "MINOR", "/schema[name=films]/properties[name=title]/physicalType"),
    ("text without limit", f"{TITLE}.physicalType", "TEXT", "risky", "MINOR", "/schema[name=films]/properties[name=title]/physicalType"),
    ("text shorter", f"{TITLE}.physicalType", "VARCHAR(10)", "breaking", "MAJOR", "/schema[name=films]/properties[name=title]/physicalType"),
    ("type promised", f"{COST}.physicalType", "DOUBLE", "risky", "MINOR", "/schema[name=films]/properties[name=cost]/physicalType"),
    ("required dropped", f"{TITLE}.required", False, "breaking", "MAJOR", "/schema[name=films]/properties[name=title]/required"),
    ("required left out", f"{TITLE}.required", GONE, "breaking", "MAJOR", "/schema[name=films]/properties[name=title]/required"),
    ("required added", f"{COST}.required", True, "compatible", "MINOR", "/schema[name=films]/properties[name=cost]/required"),
    ("unique dropped", f"{ID}.unique", False, "breaking", "MAJOR", "/schema[name=films]/properties[name=id]/unique"),
    ("unique added", f"{TITLE}.unique", True, "compatible", "MINOR", "/schema[name=films]/properties[name=title]/unique"),
    ("key grows", f"{KIND}.primaryKey", True, "breaking", "MAJOR", "/schema[name=films]/properties[name=kind]/primaryKey"),
    ("key's place said otherwise", f"{ID}.primaryKeyPosition", GONE, "compatible", "PATCH", "/schema[name=films]/properties[name=id]/primaryKeyPosition"),
    ("enum widened", f"{KIND}.enum.+", {"value": "serial"}, "risky", "MINOR", "/schema[name=films]/properties[name=kind]/enum[value=serial]"),
    ("enum narrowed", f"{KIND}.enum.1", GONE, "compatible", "MINOR", "/schema[name=films]/properties[name=kind]/enum[value=long]"),
    ("unit changed", f"{COST}.customProperties.0.value", "EUR", "breaking", "MAJOR", "/schema[name=films]/properties[name=cost]/customProperties[property=unit]/value"),
    ("unit dropped", f"{COST}.customProperties", GONE, "risky", "MINOR", "/schema[name=films]/properties[name=cost]/customProperties[property=unit]"),
    ("minimum lowered", f"{COST}.logicalTypeOptions.minimum", -1, "risky", "MINOR", "/schema[name=films]/properties[name=cost]/logicalTypeOptions/minimum"),
    ("minimum raised", f"{COST}.logicalTypeOptions.minimum", 1, "compatible", "MINOR", "/schema[name=films]/properties[name=cost]/logicalTypeOptions/minimum"),
    ("minimum dropped", f"{COST}.logicalTypeOptions", GONE, "risky", "MINOR", "/schema[name=films]/properties[name=cost]/logicalTypeOptions/minimum"),
    ("maximum added", f"{COST}.logicalTypeOptions.maximum", 9, "compatible", "MINOR", "/schema[name=films]/properties[name=cost]/logicalTypeOptions/maximum"),
    ("maxLength raised", f"{TITLE}.logicalTypeOptions.maxLength", 30, "risky", "MINOR", "/schema[name=films]/properties[name=title]/logicalTypeOptions/maxLength"),
    ("pattern changed", f"{TITLE}.logicalTypeOptions.pattern", ".*", "risky", "MINOR", "/schema[name=films]/properties[name=title]/logicalTypeOptions/pattern"),
    ("format changed", "schema.0.properties.4.logicalTypeOptions.format", "dd.MM.yyyy", "breaking", "MAJOR", "/schema[name=films]/properties[name=made]/logicalTypeOptions/format"),
    ("rule dropped", RULE, GONE, "risky", "MINOR", "/schema[name=films]/properties[name=cost]/quality[id=filled]"),
    ("rule loosened", f"{RULE}.mustBeLessThan", 9, "risky", "MINOR", "/schema[name=films]/properties[name=cost]/quality[id=filled]/mustBeLessThan"),
    ("rule tightened", f"{RULE}.mustBeLessThan", 3, "compatible", "MINOR", "/schema[name=films]/properties[name=cost]/quality[id=filled]/mustBeLessThan"),
    ("severity lowered", f"{RULE}.severity", "warning", "risky", "MINOR", "/schema[name=films]/properties[name=cost]/quality[id=filled]/severity"),
    ("rule's unit", f"{RULE}.unit", "percent", "risky", "MINOR", "/schema[name=films]/properties[name=cost]/quality[id=filled]/unit"),
    ("rule added", f"{FILMS}.quality", [{"metric": "rowCount", "mustBeGreaterThan": 0}], "compatible", "MINOR", "/schema[name=films]/quality[0]"),
    ("relationship removed", f"{KIND}.relationships", GONE, "risky", "MINOR", "/schema[name=films]/properties[name=kind]/relationships[to=kinds.name]"),
    ("classification raised", f"{TITLE}.classification", "confidential", "risky", "MINOR", "/schema[name=films]/properties[name=title]/classification"),
    ("classification lowered", f"{TITLE}.classification", "public", "compatible", "MINOR", "/schema[name=films]/properties[name=title]/classification"),
    ("column described", f"{TITLE}.description", "As released", "compatible", "PATCH", "/schema[name=films]/properties[name=title]/description"),
    ("column deprecated", f"{TITLE}.deprecated", True, "risky", "MINOR", "/schema[name=films]/properties[name=title]/deprecated"),
    ("SLA weakened", "slaProperties.0.value", 8, "risky", "MINOR", "/slaProperties[property=latency]/value"),
    ("SLA stronger", "slaProperties.0.value", 2, "compatible", "MINOR", "/slaProperties[property=latency]/value"),
    ("SLA in another unit", "slaProperties.0.unit", "d", "risky", "MINOR", "/slaProperties[property=latency]/unit"),
    ("retention shorter", "slaProperties.1.value", 1, "risky", "MINOR", "/slaProperties[property=retention]/value"),
    ("retention longer", "slaProperties.1.value", 3, "compatible", "MINOR", "/slaProperties[property=retention]/value"),
    ("SLA dropped", "slaProperties.1", GONE, "risky", "MINOR", "/slaProperties[property=retention]"),
    ("dearer", "price.priceAmount", 12, "risky", "MINOR", "/price/priceAmount"),
    ("cheaper", "price.priceAmount", 2, "compatible", "MINOR", "/price/priceAmount"),
    ("server removed", "servers", GONE, "risky", "MINOR", "/servers[server=main]"),
    ("role removed", "roles.0", GONE, "risky", "MINOR", "/roles[role=analyst]"),
    ("retired", "status", "retired", "breaking", "MAJOR", "/status"),
    ("deprecated", "status", "deprecated", "risky", "MINOR", "/status"),
    ("described", "description.purpose", "Films of Messflix", "compatible", "PATCH", "/description/purpose"),
    ("another id", "id", "movies", "breaking", "MAJOR", "/id"),
]  # fmt: skip
PRODUCT = """
apiVersion: v1.1.0
kind: DataProduct
id: films
version: 1.0.0
status: active
outputPorts:
  - {name: rest, type: rest, version: 1.0.0, contractId: films}
  - {name: files, type: files, version: 1.0.0, contractId: films}
inputPorts:
  - {name: raw, version: 1.0.0, contractId: raw}
managementPorts:
  - {name: metadata, content: discoverability, type: rest}
"""
PORTS = [
    ("port removed", "outputPorts.1", GONE, "breaking", "MAJOR", "/outputPorts[name=files,version=1.0.0]"),
    ("port's type", "outputPorts.0.type", "files", "breaking", "MAJOR", "/outputPorts[name=rest,version=1.0.0]/type"),
    ("port's contract", "outputPorts.0.contractId", "other", "breaking", "MAJOR", "/outputPorts[name=rest,version=1.0.0]/contractId"),
    ("port's minor", "outputPorts.0.version", "1.1.0", "compatible", "PATCH", "/outputPorts[name=rest,version=1.1.0]/version"),
    ("port added", "outputPorts.+", {"name": "rest", "type": "rest", "version": "2.0.0", "contractId": "f2"}, "compatible", "MINOR", "/outputPorts[name=rest,version=2.0.0]"),
    ("port deprecated", "outputPorts.0.deprecated", True, "risky", "MINOR", "/outputPorts[name=rest,version=1.0.0]/deprecated"),
    ("port described", "outputPorts.0.description", "Rows", "compatible", "PATCH", "/outputPorts[name=rest,version=1.0.0]/description"),
    ("input removed", "inputPorts.0", GONE, "compatible", "MINOR", "/inputPorts[name=raw,version=1.0.0]"),
    ("management removed", "managementPorts.0", GONE, "risky", "MINOR", "/managementPorts[name=metadata]"),
    ("product retired", "status", "retired", "breaking", "MAJOR", "/status"),
    ("product deprecated", "status", "deprecated", "risky", "MINOR", "/status"),
    ("product renamed", "name", "Films", "compatible", "MINOR", "/name"),
]  # fmt: skip


def read(text):
    document, found = yaml.parse(Path("x.odcs.yaml"), text)
    assert not found
    return document


def edited(value, where, to):
    made = copy.deepcopy(value)
    *steps, last = [int(s) if s.isdecimal() else s for s in where.split(".")]
    node = made
    for step in steps:
        node = node[step]
    if last == "+":
        node.append(to)
    elif to is GONE:
        del node[last]
    else:
        node[last] = to
    return made


def ids(cases):
    return [case[0] for case in cases]


def judged(base, case):
    _, where, to, verdict, level, path = case
    old = read(base).value
    found = compare(old, edited(old, where, to))
    assert [(c.verdict, c.level) for c in found.changes if c.path == path] == [(verdict, level)]
    return found, old, edited(old, where, to)


def test_the_base_is_sound():
    assert not examine(read(BASE))[1]


@pytest.mark.parametrize("case", CASES, ids=ids(CASES))
def test_a_change_of_a_contract_has_its_verdict_and_its_place(case):
    found, old, new = judged(BASE, case)
    assert found.counts[case[3]] == len(found.changes) or case[0].startswith(("minimum dropped",))
    for change in found.changes:
        home = old if change.type == "REMOVE" or change.field == "name" else new
        assert paths.find(home, change.path)
        assert change.reason


@pytest.mark.parametrize("case", PORTS, ids=ids(PORTS))
def test_a_change_of_a_product_has_its_verdict(case):
    found, *_ = judged(PRODUCT, case)
    if case[0] == "port's minor":
        assert len(found.changes) == 1
    assert found.kind == "DataProduct"


def test_a_major_instead_of_another_takes_the_port_away():
    old = read(PRODUCT).value
    found = compare(old, edited(old, "outputPorts.0.version", "2.0.0"))
    assert [(c.type, c.verdict) for c in found.changes] == [
        ("ADD", "compatible"),
        ("REMOVE", "breaking"),
    ]


def test_names_tell_columns_where_there_are_no_ids():
    old = read(BASE).value
    for one in old["schema"]:
        for column in one["properties"]:
            del column["id"]
    found = compare(old, edited(old, f"{COST}.name", "costs"))
    assert [(c.type, c.column, c.verdict) for c in found.changes] == [
        ("ADD", "costs", "compatible"),
        ("REMOVE", "cost", "breaking"),
    ]


def test_the_order_of_columns_is_no_promise():
    old = read(BASE).value
    new = copy.deepcopy(old)
    new["schema"][0]["properties"].reverse()
    (change,) = compare(old, new).changes
    assert (change.verdict, change.level, change.path) == (
        "compatible",
        "PATCH",
        "/schema[name=films]/properties",
    )
    assert change.new == ["made", "cost", "kind", "title", "id"]


def test_a_change_of_a_renamed_column_is_about_the_column_that_consumers_know():
    old = read(BASE).value
    new = edited(edited(old, f"{COST}.name", "costs"), f"{COST}.required", True)
    by_field = {c.field: c for c in compare(old, new).changes}
    assert {(c.dataset, c.column) for c in by_field.values()} == {("films", "cost")}
    assert paths.find(new, by_field["required"].path)


def test_both_halves_of_another_operator_are_judged_by_what_the_rule_admits():
    old = read(BASE).value
    new = edited(edited(old, f"{RULE}.mustBeLessThan", GONE), f"{RULE}.mustBe", 0)
    assert {c.verdict for c in compare(old, new).changes} == {"compatible"}


def test_old_forms_of_rules_are_no_change():
    old = edited(read(BASE).value, RULE, {"id": "filled", "rule": "nullCount", "mustBeLessThan": 5})
    assert (
        compare(
            old,
            edited(
                old,
                RULE,
                {"id": "filled", "type": "library", "metric": "nullValues", "mustBeLessThan": 5},
            ),
        ).changes
        == ()
    )


def test_nested_columns_are_compared_and_belong_to_the_column_they_are_in():
    nested = {
        "name": "crew",
        "logicalType": "array",
        "items": {
            "logicalType": "object",
            "properties": [{"name": "who", "logicalType": "string"}],
        },
    }
    old = edited(read(BASE).value, f"{FILMS}.properties.+", nested)
    new = edited(old, f"{FILMS}.properties.5.items.properties.0.logicalType", "integer")
    (change,) = compare(old, new).changes
    assert (change.column, change.verdict) == ("crew", "breaking")
    assert (
        change.path
        == "/schema[name=films]/properties[name=crew]/items/properties[name=who]/logicalType"
    )
    assert paths.find(new, change.path)


@pytest.mark.parametrize(
    ("version", "level", "raised"),
    [
        ("1.2.3", "MAJOR", "2.0.0"),
        ("1.2.3", "MINOR", "1.3.0"),
        ("v1.2", "PATCH", "1.2.1"),
        ("0.1.0", "MAJOR", "1.0.0"),
        ("1.2.3", None, "1.2.3"),
        ("today", "MAJOR", ""),
        ("1.2.3-rc.1", "PATCH", "1.2.4"),
    ],
)
def test_versions_are_raised(version, level, raised):
    assert versions.raised(version, level) == raised


def test_the_document_follows_the_draft():
    old = read(BASE).value
    new = edited(edited(old, f"{KIND}.enum.+", {"value": "serial"}), COST, GONE)
    made = omds.document(compare(old, new), places=["a:1:2", "a:1:1"], more={"polyport.x": 1})
    assert made["impact"] == {"major": 1, "minor": 1, "patch": 0}
    assert made["suggestedVersion"] == "2.0.0"
    assert made["source1"] == {"id": "films", "version": "1.2.3"}
    added, removed = made["diffs"]
    assert (added["type"], added["value2"], "value1" in added) == (
        "ADD",
        {"value": "serial"},
        False,
    )
    assert (removed["type"], removed["impactLevel"], "value2" in removed) == (
        "REMOVE",
        "MAJOR",
        False,
    )
    verdicts, own = made["customProperties"]
    assert [v["verdict"] for v in verdicts["value"]] == ["risky", "breaking"]
    assert verdicts["value"][0]["place"] == "a:1:2"
    assert own == {"property": "polyport.x", "value": 1}


def test_a_contract_is_not_compared_with_a_product():
    with pytest.raises(ConfigurationError, match="cannot be compared"):
        compare(read(BASE).value, read(PRODUCT).value)


# Any pair

NAMES = st.text(st.sampled_from("ab~/[]=,.' é"), min_size=1, max_size=4)
COLUMNS = st.builds(
    lambda name, **more: {"name": name, **{k: v for k, v in more.items() if v is not None}},
    NAMES,
    id=st.none() | st.sampled_from("xyz"),
    required=st.none() | st.booleans(),
    primaryKey=st.none() | st.booleans(),
    physicalType=st.none() | st.sampled_from(["INT", "VARCHAR(3)", "DECIMAL(9,2)", "STRUCT(a INT)", ")("]),
    enum=st.none() | st.lists(st.builds(lambda v: {"value": v}, st.integers(0, 3) | NAMES), max_size=3),
    logicalTypeOptions=st.none() | st.fixed_dictionaries({"minimum": st.floats() | st.integers()}),
    quality=st.none() | st.lists(st.fixed_dictionaries({"metric": st.sampled_from(["rowCount", "nullValues"]), "mustBe": st.integers() | st.floats()}), max_size=2),
)  # fmt: skip
CONTRACTS = st.lists(
    st.builds(lambda n, p: {"name": n, "properties": p}, NAMES, st.lists(COLUMNS, max_size=4)),
    max_size=3,
).map(lambda s: {"kind": "DataContract", "id": "c", "version": "1.0.0", "schema": s})


@given(CONTRACTS)
def test_nothing_differs_from_itself(contract):
    assert compare(contract, copy.deepcopy(contract)).changes == ()


@settings(max_examples=300)
@given(CONTRACTS, CONTRACTS)
def test_every_path_resolves_to_what_is_told(old, new):
    for change in compare(old, new).changes:
        gone = change.type == "REMOVE" or (change.type == "CHANGE" and change.field == "name")
        home = old if gone else new
        value = home
        for step in paths.find(home, change.path):
            value = value[step]
        if change.field == "properties" and change.type == "CHANGE":
            continue  # the order: told by names
        told = change.old if gone else change.new
        assert value == told or value != value  # noqa: PLR0124 - NaN


@settings(max_examples=300)
@given(CONTRACTS, CONTRACTS)
def test_what_one_way_adds_the_other_way_removes(old, new):
    there = sorted((c.type, c.field) for c in compare(old, new).changes if c.type != "CHANGE")
    swap = {"ADD": "REMOVE", "REMOVE": "ADD"}
    back = sorted((swap[c.type], c.field) for c in compare(new, old).changes if c.type != "CHANGE")
    assert there == back
