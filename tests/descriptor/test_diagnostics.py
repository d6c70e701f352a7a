"""Wrong documents: exactly the codes and places that are expected, and nothing else."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from polyport import descriptor
from polyport.errors import DescriptorError, NotFoundError

_spec = importlib.util.spec_from_file_location("corpus", Path(__file__).with_name("corpus.py"))
corpus = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(corpus)
TYPES = {
    "input": ("files", "spreadsheet", "http", "database", "product"),
    "output": ("rest", "files"),
}
WARNINGS = {"PP113", "PP212", "PP213", "PP215", "PP225", "PP227", "PP234"}


def codes(found):
    return [(d.code, str(d.places[0])) for d in found]


def test_the_good_product_has_nothing_wrong(write):
    home = write(corpus.GOOD)
    product, found = descriptor.examine(home, port_types=TYPES)
    assert (found, product.id) == ((), "films")
    assert product == descriptor.load(home, port_types=TYPES)


@pytest.mark.parametrize(
    ("name", "files", "expected"), corpus.CORPUS, ids=[c[0] for c in corpus.CORPUS]
)
def test_each_mistake_is_found_once_at_its_place(name, files, expected, write):
    home = write({**corpus.GOOD, **{k: v for k, v in files.items() if v is not None}})
    for gone in (k for k, v in files.items() if v is None):
        (home / gone).unlink()
    product, found = descriptor.examine(Path(home), port_types=TYPES)
    assert codes(found) == expected
    failing = [d for d in found if d.severity == "error"]
    assert (product is None) == bool(failing)
    assert all(d.message and "\n" not in d.message for d in found)
    if failing:
        with pytest.raises(DescriptorError) as caught:
            descriptor.load(Path(home), port_types=TYPES)
        assert caught.value.diagnostics == found


def test_the_corpus_is_large():
    assert len(corpus.CORPUS) >= 100
    assert len({code for _, _, expected in corpus.CORPUS for code, _ in expected}) >= 60


def test_a_column_whose_name_has_a_dot_is_referred_to_by_ids(write):
    text = corpus.changed(corpus.ODCS, "- name: title\n", "- name: No. 1\n        id: no\n")
    text += """\
  - name: more
    properties:
      - name: film
        relationships: [{type: foreignKey, to: /schema/films/properties/no}]
"""
    home = write({"c.odcs.yaml": text})
    found = descriptor.examine_file(home / "c.odcs.yaml")
    assert "PP217" not in [code for code, _ in codes(found)]


def test_a_circle_is_told_with_what_each_step_reads(write):
    home = write(
        {**corpus.GOOD, "transform/a.sql": "SELECT * FROM b", "transform/b.sql": "SELECT * FROM A"}
    )
    (found,) = [d for d in descriptor.examine(home, port_types=TYPES)[1] if d.code == "PP223"]
    assert [p.label for p in found.places] == ["reads transform/b", "reads transform/a"]


def test_a_rule_on_an_object_may_name_its_columns(write):
    more = corpus.object_rule(
        "metric: nullValues\nmustBe: 0\narguments: {properties: [film_id, title]}"
    )
    home = write({**corpus.GOOD, **more})
    assert descriptor.examine(home, port_types=TYPES)[1] == ()


def test_rules_inside_of_items_are_looked_at(write):
    more = corpus.odcs(
        "logicalType: string\n",
        """logicalType: array
        items:
          logicalType: string
          quality: [{metric: duplicateValues, mustBe: 0}, {metric: nullValues, mustBe: -1}]
""",
    )
    home = write({**corpus.GOOD, **more})
    found = descriptor.examine(home, port_types=TYPES)[1]
    assert [d.code for d in found] == ["PP238", "PP231"]


def test_a_field_of_the_wrong_form_does_not_hide_what_else_is_wrong(write):
    text = """\
inputs:
  raw_films: {type: fils, path: inputs/films.csv}
  extra: {path: 3}
schedule: "0 6 * *"
retention: {dayz: 3}
access:
  roles:
    a: {rows: "film_id > ", mask: {title: hsh}, columns: [titel], purposes: 3}
    b: 5
ports:
  rst: {}
  files: {push: {role: b, to: out, formats: [parquet, 7]}}
"""
    found = codes(descriptor.examine(write({**corpus.GOOD, corpus.S: text}), port_types=TYPES)[1])
    told = {(code, place.split(":")[1]) for code, place in found if place.startswith(corpus.S)}
    assert told >= {
        ("PP203", "2"),  # the type
        ("PP206", "3"),  # not declared
        ("PP102", "3"),  # without a type
        ("PP252", "4"),  # the schedule
        ("PP101", "5"),  # dayz
        ("PP240", "8"),  # the filter
        ("PP241", "8"),  # a column
        ("PP242", "8"),  # a mask
        ("PP104", "8"),  # purposes
        ("PP104", "9"),
        ("PP207", "11"),
    }
    assert ("PP246", "12") not in told  # the role is there, and wrong itself
    assert not [code for code, _ in found if code == "PP205"]


@given(st.data())
def test_whatever_is_wrong_in_settings_is_told_and_never_raised(data):
    wrong = st.sampled_from([3, "x", None, [], [1], {}, {"a": 1}, True])
    keys = ("inputs", "access", "ports", "schedule", "retention", "engine", "limits")
    value = data.draw(
        st.dictionaries(
            st.sampled_from(keys),
            wrong
            | st.dictionaries(
                st.sampled_from(("raw_films", "roles", "rest", "files", "type", "sql")),
                wrong
                | st.dictionaries(st.sampled_from(("push", "mapping", "a", "type", "rows")), wrong),
            ),
        )
    )
    with TemporaryDirectory() as folder:
        for name, text in {**corpus.GOOD, corpus.S: yaml.safe_dump(value)}.items():
            path = Path(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        product, found = descriptor.examine(Path(folder), port_types=TYPES)
    assert (product is None) == any(d.severity == "error" for d in found)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf_16_is_told_with_and_without_its_mark(write, encoding):
    home = write({**corpus.GOOD, corpus.P: corpus.ODPS.encode(encoding)})
    (found,) = [d for d in descriptor.examine(home, port_types=TYPES)[1] if d.places[0].line]
    assert found.fix == "it looks like UTF-16: save the file as UTF-8"


def test_one_item_is_one_item(write):
    home = write({**corpus.GOOD, **corpus.rule("metric: nullValues\nmustBeBetween: [1]")})
    (found,) = descriptor.examine(home, port_types=TYPES)[1]
    assert found.message == "expected at least 2 items, found 1 item"


def test_all_problems_come_at_once_in_file_order(write):
    broken = corpus.changed(corpus.ODPS, "status", "sttus").replace("v1.1.0", "v7")
    contract = corpus.changed(corpus.ODCS, "logicalType: string", "logicalType: text")
    settings = corpus.SETTINGS + "schedul: x\nretention: {days: x}\n"
    home = write({**corpus.GOOD, corpus.P: broken, corpus.C: contract, corpus.S: settings})
    with pytest.raises(DescriptorError, match="5 problems in") as caught:
        descriptor.load(home)
    assert codes(caught.value.diagnostics) == [
        ("PP109", f"{corpus.P}:1:13"), ("PP101", f"{corpus.P}:6:1"), ("PP103", f"{corpus.C}:13:22"),
        ("PP101", f"{corpus.S}:6:1"), ("PP104", f"{corpus.S}:7:19"),
    ]  # fmt: skip


def test_a_single_wrong_file_is_named(write):
    home = write({**corpus.GOOD, **corpus.odps("status", "sttus")})
    with pytest.raises(DescriptorError, match="1 problem in") as caught:
        descriptor.load(home)
    assert caught.value.message == "1 problem in dataproduct.odps.yaml"
    assert caught.value.where == f"{corpus.P}:6:1"


def test_no_folder(tmp_path):
    with pytest.raises(NotFoundError):
        descriptor.load(tmp_path / "none")


@pytest.mark.parametrize(
    ("files", "fix"),
    [
        (corpus.odps("status", "sttus"), "did you mean `status`?"),
        (corpus.odcs("logicalType: string", "logicalType: sting"), "did you mean `string`?"),
        (corpus.odps("contractId: films", "contractId: flims"), "did you mean `films`?"),
        (corpus.odps("type: rest", "type: rset"), "did you mean `rest`?"),
        (corpus.odps("version: 1.0.0\nstatus", "version: 1.0\nstatus"), 'quote it: "1.0"'),
        ({corpus.T: corpus.SQL.replace("raw_films", "raw_flims")}, "did you mean `raw_films`?"),
        ({corpus.T: corpus.SQL.replace("title", "titel")}, "did you mean `titel`?"),
        (corpus.role("{mask: {title: hsah}}"), "did you mean `hash`?"),
        (corpus.role("{columns: [titel]}"), "did you mean `title`?"),
    ],
)
def test_a_near_miss_gets_a_suggestion(files, fix, write):
    _, found = descriptor.examine(write({**corpus.GOOD, **files}), port_types=TYPES)
    assert fix in [d.fix for d in found]


def test_duplicate_keys_name_both_places(write):
    home = write({**corpus.GOOD, **corpus.odps("status: active", "name: Other")})
    (found,) = descriptor.examine(home)[1]
    assert [str(p) for p in found.places] == [f"{corpus.P}:6:1", f"{corpus.P}:4:1"]


def test_a_missing_column_names_the_step(write):
    home = write({**corpus.GOOD, corpus.T: corpus.SQL.replace(", released", "")})
    (found,) = descriptor.examine(home)[1]
    assert [p.file for p in found.places] == [corpus.C, corpus.T]


@pytest.mark.parametrize("text", ["auth: {bearer: hunter2}", "headers: {X-Api-Key: hunter2}", "auth: {query: {key: 'hunter2'}}",
                                  "auth: {basic: 'u:hunter2'}", "auth: {header: {Cookie: hunter2}}", "timeout: x, auth: {bearer: hunter2}"])  # fmt: skip
def test_a_secret_is_refused_and_never_shown(text, write):
    line = "{type: http, url: 'http://x', " + text + "}"
    home = write({**corpus.GOOD, **corpus.settings("{type: files, path: inputs/*.csv}", line)})
    _, found = descriptor.examine(home)
    assert "PP250" in [d.code for d in found]
    assert "hunter2" not in repr([d for d in found if d.code == "PP250" or "auth: {bearer" in text])


@pytest.mark.parametrize("value", ["${TOKEN}", "{file: /run/token}", "${TOKEN:-}"])
def test_a_reference_to_a_secret_is_fine(value, write):
    line = f"{{type: http, url: 'http://x', auth: {{bearer: {value!r}}}}}".replace(
        "'{", "{"
    ).replace("}'", "}")
    line = (
        line if "file" in value else f"{{type: http, url: 'http://x', auth: {{bearer: '{value}'}}}}"
    )
    home = write({**corpus.GOOD, **corpus.settings("{type: files, path: inputs/*.csv}", line)})
    assert descriptor.examine(home)[1] == ()


def test_contracts_that_cannot_be_read_hide_no_other_mistake(write):
    """What hangs on a broken contract is not reported; the rest is."""
    files = {**corpus.GOOD, corpus.C: "a: [", **corpus.odps("type: rest", "type: rset")}
    _, found = descriptor.examine(write(files), port_types=TYPES)
    assert codes(found) == [("PP203", f"{corpus.P}:11:11"), ("PP002", f"{corpus.C}:1:5")]


def test_a_wrong_odps_document_hides_no_mistake_in_other_files(write):
    text = corpus.changed(corpus.ODPS, "status: active", "sttus: active")
    text = corpus.changed(text, "type: rest", "type: rset")
    settings = (
        corpus.SETTINGS.replace("reader: {}", "reader: {columns: [titel]}") + 'schedule: "x"\n'
    )
    files = {corpus.P: text, corpus.T: corpus.SQL.replace("raw_films", "raw"), corpus.S: settings}
    product, found = descriptor.examine(write({**corpus.GOOD, **files}), port_types=TYPES)
    assert product is None
    assert codes(found) == [
        ("PP101", f"{corpus.P}:6:1"), ("PP203", f"{corpus.P}:11:11"), ("PP241", f"{corpus.S}:5:24"),
        ("PP252", f"{corpus.S}:6:12"), ("PP222", f"{corpus.T}:1:38"),
    ]  # fmt: skip


@pytest.mark.parametrize("ports", ["x", "[x]", "[{name: 1}]", "[{type: rest}]", "{a: b}"])
def test_ports_that_cannot_be_told_are_one_problem(ports, write):
    text = corpus.ODPS[: corpus.ODPS.index("outputPorts")] + f"outputPorts: {ports}\n"
    _, found = descriptor.examine(write({**corpus.GOOD, corpus.P: text}), port_types=TYPES)
    assert {d.code for d in found} <= {"PP102", "PP104"}
    assert len(found) == 1


def test_a_wrong_filter_hides_no_other_mistake_in_the_policy(write):
    text = corpus.SETTINGS.replace("reader: {}", "{a: {rows: 'x ='}, b: {rows: 'titel = 1'}}")
    text = text.replace("  roles:\n    {", "  roles: {")
    _, found = descriptor.examine(write({**corpus.GOOD, corpus.S: text}))
    assert [d.code for d in found] == ["PP240", "PP241"]


DAMAGE = st.sampled_from(
    [
        "",
        "x",
        "a.b",
        "1",
        "-1",
        "1.5",
        "true",
        "null",
        "[]",
        "{}",
        "[x]",
        "{a: b}",
        "[{name: a}]",
        "${",
        "2020-01-01",
        "'('",
    ]
)


@given(st.sampled_from([corpus.P, corpus.C, corpus.S]), st.integers(0, 40), DAMAGE, st.booleans())
@settings(max_examples=250, deadline=None)
def test_no_damage_makes_it_raise(file, line, value, drop):
    """One value or line of one file is damaged: there are diagnostics or a product, never another exception."""
    lines = RICH[file].splitlines()
    at = line % len(lines)
    head, colon, _ = lines[at].partition(":")
    lines[at] = "" if drop else f"{head}{colon or ':'} {value}"
    with TemporaryDirectory() as folder:
        for name, text in {**RICH, file: "\n".join(lines)}.items():
            path = Path(folder, name)
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        product, found = descriptor.examine(Path(folder), port_types=TYPES)
    assert (product is None) == any(d.severity == "error" for d in found)
    assert all(d.places for d in found)


RICH = {
    **corpus.GOOD,
    corpus.C: """\
apiVersion: v3.2.0
kind: DataContract
id: films
version: 1.0.0
schema:
  - name: films
    id: f
    logicalType: object
    relationships:
      - from: films.title
        to: films.title
    quality:
      - metric: rowCount
        mustBeGreaterThan: 0
      - type: sql
        query: SELECT 1 FROM films
        mustBe: 1
    properties:
      - name: film_id
        logicalType: integer
        primaryKey: true
        primaryKeyPosition: 1
        quality:
          - metric: invalidValues
            mustBeBetween: [0, 1]
            unit: percent
            arguments:
              pattern: a+
            customProperties:
              - property: polyport.onFailure
                value: quarantine
      - name: title
        logicalTypeOptions:
          minLength: 1
        logicalType: string
        relationships:
          - to: films.title
      - name: released
        logicalType: date
""",
    corpus.S: """\
inputs:
  raw_films:
    type: files
    path: inputs/*.csv
schedule: 0 0 * * *
engine:
  memory: 1GB
access:
  roles:
    reader:
      rows: film_id > 3
      columns: [title]
      mask:
        title: hash
      datasets:
        films:
          rows: title = 'x'
ports:
  rest:
    push:
      to: d/
      role: reader
      where: film_id > 1
""",
}
