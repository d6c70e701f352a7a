"""Wrong documents, each with what is to be said of it: (name, files, [(code, file:line:column)])."""

from __future__ import annotations

ODPS = """\
apiVersion: v1.1.0
kind: DataProduct
id: films
name: Films
version: 1.0.0
status: active
inputPorts:
  - name: raw_films
outputPorts:
  - name: rest
    type: rest
    version: 1.0.0
    contractId: films
"""
ODCS = """\
apiVersion: v3.2.0
kind: DataContract
id: films
version: 1.0.0
status: active
schema:
  - name: films
    properties:
      - name: film_id
        logicalType: integer
        primaryKey: true
      - name: title
        logicalType: string
      - name: released
        logicalType: date
"""
SETTINGS = """\
inputs:
  raw_films: {type: files, path: inputs/*.csv}
access:
  roles:
    reader: {}
"""
SQL = "SELECT film_id, title, released FROM raw_films\n"
GOOD = {
    "dataproduct.odps.yaml": ODPS,
    "contracts/films.odcs.yaml": ODCS,
    "polyport.yaml": SETTINGS,
    "transform/films.sql": SQL,
}
P, C, S, T = GOOD


def odps(old: str, new: str) -> dict[str, str]:
    return {P: changed(ODPS, old, new)}


def odcs(old: str, new: str) -> dict[str, str]:
    return {C: changed(ODCS, old, new)}


def settings(old: str, new: str) -> dict[str, str]:
    return {S: changed(SETTINGS, old, new)}


AGREEMENT = """\
apiVersion: v0.9.0
kind: AccessAgreement
id: a1
status: approved
description: {purpose: planning}
startTimestamp: 2026-01-01T00:00:00Z
provider: {teamId: t, dataProductId: films, outputPortId: rest}
consumer: {userId: ann}
roles: [{role: reader}]
customProperties: [{property: polyport.columns, value: [title]}]
"""
A = "agreements/a.oaas.yaml"


def agreed(old: str, new: str) -> dict[str, str]:
    return {A: changed(AGREEMENT, old, new)}


def changed(text: str, old: str, new: str) -> str:
    assert text.count(old) == 1, old
    return text.replace(old, new)


def rule(text: str) -> dict[str, str]:
    """A rule on the title: its first character stands at line 15, column 13."""
    lines = "\n            ".join(text.splitlines())
    return odcs(
        "logicalType: string\n", f"logicalType: string\n        quality:\n          - {lines}\n"
    )


def object_rule(text: str) -> dict[str, str]:
    """A rule on the object: its first character stands at line 17, column 9."""
    lines = "\n        ".join(text.splitlines())
    return {C: ODCS + f"    quality:\n      - {lines}\n"}


def role(text: str) -> dict[str, str]:
    return settings("reader: {}", f"reader: {text}")


CORPUS: list[tuple[str, dict[str, str | bytes | None], list[tuple[str, str]]]] = [
    ("duplicate key", odps("status: active", "name: Other"), [("PP001", f"{P}:6:1")]),
    ("malformed", odps("name: Films", "name: Films: all"), [("PP002", f"{P}:4:12")]),
    ("open quote", odps("name: Films", "name: 'Films"), [("PP002", f"{P}:14:1")]),
    ("open bracket", {S: "inputs: [a\n"}, [("PP002", f"{S}:2:1")]),
    ("undefined alias", {S: "inputs: *a\n"}, [("PP002", f"{S}:1:9")]),
    ("control character", {S: "inputs: \x01\n"}, [("PP002", f"{S}:1:9")]),
    ("starts with at", odps("name: Films", "name: @films"), [("PP002", f"{P}:4:7")]),
    ("tab", odps("  - name: raw_films", "\t- name: raw_films"), [("PP003", f"{P}:8:1")]),
    ("latin-1", {P: ODPS.replace("Films", "Filmé").encode("latin-1")}, [("PP004", f"{P}:4:11")]),
    ("utf-16", {S: SETTINGS.encode("utf-16")}, [("PP004", f"{S}:1:1")]),
    ("empty", {P: "# nothing\n"}, [("PP005", P)]),
    ("a list", {P: "- a\n"}, [("PP006", f"{P}:1:1")]),
    ("a scalar", {S: "hello\n"}, [("PP006", f"{S}:1:1")]),
    ("alias in itself", {S: "inputs: &a\n  b: *a\n"}, [("PP007", f"{S}:1:9")]),
    ("no product", {P: None}, [("PP008", P)]),
    ("two products", {P: None, "a.odps.yaml": ODPS, "b.odps.yaml": ODPS}, [("PP009", "a.odps.yaml")]),
    ("two documents", {P: ODPS + "---\nid: b\n"}, [("PP010", f"{P}:14:1")]),
    ("list as a key", {S: SETTINGS + "? [a]\n: b\n"}, [("PP012", f"{S}:6:3")]),
    ("too deep", {S: "inputs: " + "[" * 101 + "]" * 101}, [("PP013", f"{S}:1:108")]),
    ("a tag", odps("name: Films", "name: !!python/name:os.system ''"), [("PP014", f"{P}:4:7")]),
    ("contract's name", {"contracts/x.yaml": ODCS}, [("PP015", "contracts/x.yaml")]),
    ("settings' name", {S: None, "polyport.yml": SETTINGS}, [("PP015", "polyport.yml")]),
    ("unknown field", odps("status", "sttus"), [("PP101", f"{P}:6:1")]),
    ("unknown nested field", odcs("primaryKey:", "primarykey:"), [("PP101", f"{C}:11:9")]),
    ("unknown setting", settings("path:", "paht:"), [("PP101", f"{S}:2:28")]),
    ("misspelt port type", odps("type: rest", "typ: rest"), [("PP101", f"{P}:11:5")]),
    ("misspelt and wrong port type", odps("type: rest", "typ: rset"), [("PP203", f"{P}:10:5"), ("PP101", f"{P}:11:5")]),
    ("misspelt contractId", odps("contractId", "contractid"), [("PP101", f"{P}:13:5")]),
    ("port type of a wrong kind", odps("type: rest", "type: 5"), [("PP104", f"{P}:11:11")]),
    ("misspelt port name", odps("- name: rest", "- nmae: rest"), [("PP101", f"{P}:10:5")]),
    ("misspelt column name", odcs("- name: title", "- nmae: title"), [("PP101", f"{C}:12:9")]),
    ("nameless port and more", {**odps("  - name: rest\n    type", "  - type"), **settings("path:", "paht:")}, [("PP102", f"{P}:10:5"), ("PP101", f"{S}:2:28")]),
    ("nameless port and an unknown contract", odps("  - name: rest\n    type: rest\n    version: 1.0.0\n    contractId: films", "  - type: rest\n    version: 1.0.0\n    contractId: film"), [("PP102", f"{P}:10:5"), ("PP201", f"{P}:12:17")]),
    ("unsigned type", odcs("logicalType: integer", "logicalType: integer\n        physicalType: UINTEGER"), [("PP253", f"{C}:11:23")]),
    ("nanoseconds", odcs("logicalType: date", "logicalType: timestamp\n        physicalType: TIMESTAMP_NS"), [("PP253", f"{C}:16:23")]),
    ("39 digits", odcs("logicalType: integer", "logicalType: number\n        physicalType: DECIMAL(39,2)"), [("PP253", f"{C}:11:23")]),
    ("no type of the engine", odcs("logicalType: string", "logicalType: string\n        physicalType: VARCHAR2(30) --"), [("PP253", f"{C}:14:23")]),
    ("unsigned type inside a list", odcs("logicalType: string", "logicalType: array\n        items: {logicalType: integer, physicalType: 'UBIGINT[]'}"), [("PP253", f"{C}:14:53")]),
    ("missing name", odps("name: raw_films", "version: 1.0.0"), [("PP102", f"{P}:8:5")]),
    ("missing id", odcs("id: films\n", ""), [("PP102", f"{C}:1:1")]),
    ("logical type", odcs("logicalType: string", "logicalType: sting"), [("PP103", f"{C}:13:22")]),
    ("a number", odps("version: 1.0.0\nstatus", "version: 1.0\nstatus"), [("PP104", f"{P}:5:10")]),
    ("a boolean", odps("name: Films", "name: yes"), [("PP104", f"{P}:4:7")]),
    ("null", odps("name: Films", "name:"), [("PP104", f"{P}:4:6")]),
    ("not a list", odcs("schema:", "tags: a\nschema:"), [("PP104", f"{C}:6:7")]),
    ("team", odcs("schema:", "team: us\nschema:"), [("PP104", f"{C}:6:7")]),
    ("retention", {S: SETTINGS + "retention: {days: 0}\n"}, [("PP105", f"{S}:6:19")]),
    ("memory", {S: SETTINGS + "engine: {memory: much}\n"}, [("PP106", f"{S}:6:18")]),
    ("date", {P: ODPS + "team: {members: [{username: a, dateIn: 1.1.24}]}\n"}, [("PP106", f"{P}:14:40")]),
    ("no operator", rule("metric: nullValues"), [("PP107", f"{C}:15:13")]),
    ("two operators", rule("metric: nullValues\nmustBe: 0\nmustBeLessThan: 3"), [("PP107", f"{C}:17:13")]),
    ("listed twice", role("{columns: [title, title]}"), [("PP108", f"{S}:5:31")]),
    ("version of ODPS", odps("v1.1.0", "v9"), [("PP109", f"{P}:1:13")]),
    ("kind", odcs("DataContract", "Contract"), [("PP110", f"{C}:2:7")]),
    ("items of text", odcs("logicalType: string\n", "logicalType: string\n        items: {}\n"), [("PP112", f"{C}:14:9")]),
    ("old metric", rule("rule: nullCheck\nmustBe: 0"), [("PP113", f"{C}:15:19")]),
    ("no such contract", odps("contractId: films", "contractId: flims"), [("PP201", f"{P}:13:17"), ("PP212", f"{C}:3:5")]),
    ("no contract", odps("\n    contractId: films", ""), [("PP202", f"{P}:10:5"), ("PP212", f"{C}:3:5")]),
    ("output type", odps("type: rest", "type: rset"), [("PP203", f"{P}:11:11")]),
    ("input type", settings("type: files", "type: fiels"), [("PP203", f"{S}:2:21")]),
    ("no output type", odps("    type: rest\n", ""), [("PP204", f"{P}:10:5")]),
    ("no source", settings("  raw_films: {type: files, path: inputs/*.csv}", "  {}"), [("PP205", f"{P}:8:11")]),
    ("no input port", settings("access:", "  more: {type: files, path: a.csv}\naccess:"), [("PP206", f"{S}:3:3")]),
    ("no output port", {S: SETTINGS + "ports: {files: {}}\n"}, [("PP207", f"{S}:6:9")]),
    ("port twice", {P: ODPS + ODPS[ODPS.index("  - name: rest") :]}, [("PP208", f"{P}:14:11")]),
    ("id twice", {P: ODPS + "tags: []\nsupport:\n  - {id: a, channel: x, url: 'http://x'}\n  - {id: a, channel: y, url: 'http://y'}\n"}, [("PP209", f"{P}:17:10")]),
    ("contract twice", {"contracts/more.odcs.yaml": ODCS}, [("PP211", "contracts/more.odcs.yaml:3:5"), ("PP213", "contracts/more.odcs.yaml:7:11")]),
    ("dataset twice, but for case", {"contracts/more.odcs.yaml": ODCS.replace("- name: films", "- name: Films")}, [("PP211", "contracts/more.odcs.yaml:3:5"), ("PP214", "contracts/more.odcs.yaml:7:11"), ("PP219", "contracts/more.odcs.yaml:7:11")]),
    ("unused contract", {"contracts/more.odcs.yaml": ODCS.replace("id: films", "id: more", 1)}, [("PP212", "contracts/more.odcs.yaml:3:5")]),
    ("property twice", odcs("name: title", "name: Film_ID"), [("PP214", f"{C}:12:15"), ("PP225", f"{T}:1:17")]),
    ("no key", odcs("        primaryKey: true\n", ""), [("PP215", f"{C}:7:11")]),
    ("key twice", odcs("        primaryKey: true\n      - name: title\n", "        primaryKey: true\n        primaryKeyPosition: 1\n      - name: title\n        primaryKey: true\n        primaryKeyPosition: 1\n"), [("PP216", f"{C}:15:29")]),
    ("relation to nowhere", odcs("logicalType: string\n", "logicalType: string\n        relationships:\n          - to: flims.title\n"), [("PP217", f"{C}:15:17")]),
    ("relation to no column", odcs("logicalType: string\n", "logicalType: string\n        relationships:\n          - to: films.titel\n"), [("PP217", f"{C}:15:17")]),
    ("relation's length", {C: ODCS + "    relationships:\n      - from: [films.film_id, films.title]\n        to: [films.film_id]\n"}, [("PP218", f"{C}:18:13")]),
    ("relation's type", odcs("logicalType: string\n", "logicalType: string\n        relationships:\n          - to: films.film_id\n"), [("PP218", f"{C}:15:17")]),
    ("nothing makes it", {T: None}, [("PP219", f"{C}:7:11")]),
    ("not SQL", {T: "SELECT film_id,\n  FROM WHERE raw_films\n"}, [("PP220", f"{T}:2:8")]),
    ("ends early", {T: "SELECT film_id, title FROM raw_films WHERE\n"}, [("PP220", f"{T}:1:38")]),
    ("not a SELECT", {T: "CREATE TABLE x AS SELECT 1 AS film_id\n"}, [("PP221", f"{T}:1:1")]),
    ("two SELECTs", {T: SQL.strip() + ";\nSELECT a FROM raw_films\n"}, [("PP221", f"{T}:2:1")]),
    ("nothing in it", {T: "-- later\n"}, [("PP221", f"{T}:1:1")]),
    ("unknown table", {T: "SELECT film_id, title, released\nFROM raw_flims\n"}, [("PP222", f"{T}:2:6")]),
    ("itself", {T: SQL.replace("raw_films", "films")}, [("PP222", f"{T}:1:38")]),
    ("not an input", {T: SQL.replace("raw_films", "raw.films")}, [("PP222", f"{T}:1:42")]),
    ("a circle", {T: SQL.replace("raw_films", "a"), "transform/a.sql": "SELECT * FROM films\n"}, [("PP223", "transform/a.sql:1:15")]),
    ("missing column", {T: SQL.replace(", released", "")}, [("PP224", f"{C}:14:15")]),
    ("extra column", {T: SQL.replace(", released", ", released, 1 AS one")}, [("PP225", f"{T}:1:39")]),
    ("python without a function", {T: None, "transform/films.py": "def main(raw_films): ...\n"}, [("PP226", "transform/films.py:1:5")]),
    ("not python", {T: None, "transform/films.py": "def films(raw_films:\n"}, [("PP226", "transform/films.py:1:10")]),
    ("python's table", {T: None, "transform/films.py": "def films(raw_flims): ...\n"}, [("PP222", "transform/films.py:1:11")]),
    ("unused step", {"transform/more.sql": "SELECT 1 AS one\n"}, [("PP227", "transform/more.sql")]),
    ("two files", {"transform/films.py": "def films(raw_films): ...\n"}, [("PP228", "transform/films.py")]),
    ("SQL in latin-1", {T: b"-- \xe9\n"}, [("PP004", f"{T}:1:4")]),
    ("rule's column", object_rule("metric: duplicateValues\nmustBe: 0\narguments: {properties: [titel]}"), [("PP230", f"{C}:19:34")]),
    ("negative count", rule("metric: nullValues\nmustBeLessThan: -1"), [("PP231", f"{C}:16:29")]),
    ("backwards", rule("metric: nullValues\nmustBeBetween: [5, 1]"), [("PP231", f"{C}:16:28")]),
    ("percent", rule("metric: nullValues\nunit: percent\nmustBeLessThan: 101"), [("PP231", f"{C}:17:29")]),
    ("unit", rule("metric: nullValues\nunit: percents\nmustBe: 0"), [("PP103", f"{C}:16:19")]),
    ("rowCount on a column", rule("metric: rowCount\nmustBe: 1"), [("PP232", f"{C}:15:21")]),
    ("nullValues on an object", object_rule("metric: nullValues\nmustBe: 0"), [("PP232", f"{C}:17:17")]),
    ("pattern", rule("metric: invalidValues\nmustBe: 0\narguments: {pattern: '(a'}"), [("PP233", f"{C}:17:34")]),
    ("custom rule", rule("type: custom\nengine: soda\nimplementation: x"), [("PP234", f"{C}:15:19")]),
    ("on failure", rule("metric: nullValues\nmustBe: 0\ncustomProperties: [{property: polyport.onFailure, value: quarantin}]"), [("PP235", f"{C}:17:70")]),
    ("our property", rule("metric: nullValues\nmustBe: 0\ncustomProperties: [{property: polyport.onFail, value: report}]"), [("PP235", f"{C}:17:43")]),
    ("limits", odcs("logicalType: string\n", "logicalType: string\n        logicalTypeOptions: {minLength: 5, maxLength: 1}\n"), [("PP236", f"{C}:14:55")]),
    ("rule's SQL", rule("type: sql\nquery: SELECT count(*) FROM flims\nmustBe: 0"), [("PP237", f"{C}:16:20")]),
    ("rule's statement", rule("type: sql\nquery: DROP TABLE films\nmustBe: 0"), [("PP237", f"{C}:16:20")]),
    ("no metric", rule("mustBe: 0"), [("PP102", f"{C}:15:13")]),
    ("filter", role('{rows: "film_id => 3"}'), [("PP240", f"{S}:5:30")]),
    ("filter's column", role('{rows: "film_id > 3 and titel = \'x\'"}'), [("PP241", f"{S}:5:37")]),
    ("column", role("{columns: [titel]}"), [("PP241", f"{S}:5:24")]),
    ("masked column", role("{mask: {titel: hash}}"), [("PP241", f"{S}:5:21")]),
    ("mask", role("{mask: {title: hsah}}"), [("PP242", f"{S}:5:28")]),
    ("mask's type", role("{mask: {title: year}}"), [("PP243", f"{S}:5:28")]),
    ("value's type", role('{rows: "film_id = \'3\'"}'), [("PP244", f"{S}:5:21")]),
    ("date as text", role('{rows: "released > \'2020-01-01\'"}'), [("PP244", f"{S}:5:21")]),
    ("like on a number", role('{rows: "film_id like \'3\'"}'), [("PP244", f"{S}:5:21")]),
    ("role's dataset", role("{datasets: {flims: {}}}"), [("PP245", f"{S}:5:25")]),
    ("push's role", {S: SETTINGS + "ports: {rest: {push: {to: d/, role: writer}}}\n"}, [("PP246", f"{S}:6:37")]),
    ("push's dataset", {S: SETTINGS + "ports: {rest: {push: {to: d/, role: reader, datasets: [x]}}}\n"}, [("PP245", f"{S}:6:56")]),
    ("push's filter", {S: SETTINGS + "ports: {rest: {push: {to: d/, role: reader, where: x > 1}}}\n"}, [("PP241", f"{S}:6:52")]),
    ("push without a role", {S: SETTINGS + "ports: {rest: {push: {to: d/}}}\n"}, [("PP251", f"{S}:6:16")]),
    ("secret", settings("{type: files, path: inputs/*.csv}", "{type: http, url: 'http://x', auth: {bearer: abc123}}"), [("PP250", f"{S}:2:59")]),
    ("password in a URL", settings("{type: files, path: inputs/*.csv}", "{type: database, url: 'postgresql://u:pw@h/d', table: t}"), [("PP250", f"{S}:2:36")]),
    ("reference", settings("inputs/*.csv", "'${IN-PUT}/a.csv'"), [("PP254", f"{S}:2:34")]),
    ("an id with a space", odps("id: films", "id: my films"), [("PP285", f"{P}:3:5")]),
    ("an id with a slash", odps("id: films", "id: a/b"), [("PP285", f"{P}:3:5")]),
    ("an id that leads upwards", odps("id: films", "id: '..'"), [("PP285", f"{P}:3:5")]),
    ("an id in Greek", odps("id: films", "id: ταινίες"), [("PP285", f"{P}:3:5")]),
    ("an id that is long", odps("id: films", "id: " + "f" * 101), [("PP285", f"{P}:3:5")]),
    ("an id with all that it may have", odps("id: films", "id: Films_2.0~a-b"), []),
    ("a sound agreement", {A: AGREEMENT}, []),
    ("no consumer", agreed("{userId: ann}", "{}"), [("PP270", f"{A}:8:1")]),
    ("a consuming product without its team", agreed("{userId: ann}", "{dataProductId: x}"), [("PP270", f"{A}:8:27")]),
    ("a day as a time", agreed("2026-01-01T00:00:00Z", "2026-01-01"), [("PP271", f"{A}:6:17")]),
    ("an end before the start", agreed("provider:", "endTimestamp: 2025-12-31T00:00:00Z\nprovider:"), [("PP272", f"{A}:7:15")]),
    ("columns as a text", agreed("[title]", "title"), [("PP273", f"{A}:10:49")]),
    ("columns twice", agreed("customProperties: [", "customProperties: [{property: polyport.columns, value: [title]}, "), [("PP273", f"{A}:10:77")]),
    ("another product's agreement", agreed("ProductId: films", "ProductId: flims"), [("PP274", f"{A}:7:38")]),
    ("an agreement's port", agreed("PortId: rest", "PortId: rset"), [("PP275", f"{A}:7:59")]),
    ("an agreement's other port", agreed("polyport.columns, value: [title]", "polyport.ports, value: [rest, rset]"), [("PP275", f"{A}:10:61")]),
    ("an agreement's role", agreed("role: reader", "role: raeder"), [("PP276", f"{A}:9:16")]),
    ("an agreement that makes an owner", agreed("role: reader", "role: owner"), [("PP276", f"{A}:9:16")]),
    ("an agreement's column", agreed("[title]", "[titel]"), [("PP277", f"{A}:10:57")]),
    ("an agreement's purpose", {A: AGREEMENT, S: changed(SETTINGS, "reader: {}", "reader: {purposes: [audit]}")}, [("PP278", f"{A}:5:24")]),
    ("an agreement's purpose in capitals", {A: AGREEMENT, S: changed(SETTINGS, "reader: {}", "reader: {purposes: [Planning]}")}, []),
    ("two agreements with one id", {A: AGREEMENT, "agreements/b.oaas.yaml": AGREEMENT}, [("PP279", "agreements/b.oaas.yaml:3:5")]),
    ("schedule", {S: SETTINGS + 'schedule: "0 61 * * *"\n'}, [("PP252", f"{S}:6:14")]),
    ("never", {S: SETTINGS + 'schedule: "0 0 30 2 *"\n'}, [("PP252", f"{S}:6:16")]),
]  # fmt: skip
