"""A product whose contract is broken in every way that lets a build go on."""

from __future__ import annotations

import textwrap

BASE = "/products/films/quality"
HTML = {"accept": "text/html"}
PARTNER = {"polyport-role": "partner; studio=Fox"}
ANALYST = {"polyport-role": "analyst"}
CLERK = {"polyport-role": "clerk"}

FILES = {
    "dataproduct.odps.yaml": """
        apiVersion: v1.1.0
        kind: DataProduct
        id: films
        name: Films
        version: 1.0.0
        status: active
        domain: testing
        description: {purpose: What fails.}
        inputPorts: [{name: sheet, version: 1.0.0}]
        outputPorts: [{name: rest, type: rest, version: 1.0.0, contractId: films}]
        team: {name: Testing, members: [{username: ann@example.com, role: owner}]}
        """,
    "contracts/films.odcs.yaml": """
        apiVersion: v3.2.0
        kind: DataContract
        id: films
        name: Films
        version: 1.2.0
        status: active
        schema:
          - name: films
            properties:
              - {name: id, logicalType: integer, physicalType: BIGINT, primaryKey: true, required: true}
              - name: title
                logicalType: string
                physicalType: VARCHAR
                quality:
                  - {id: titles_differ, metric: duplicateValues, mustBe: 0, severity: warning}
              - {name: studio, logicalType: string, physicalType: VARCHAR}
              - name: cost
                logicalType: integer
                physicalType: BIGINT
                quality:
                  - {id: cost_is_known, metric: nullValues, mustBe: 0, severity: warning}
                  - id: cost_is_sane
                    metric: invalidValues
                    arguments: {minimum: 0}
                    mustBe: 0
                    customProperties: [{property: polyport.onFailure, value: quarantine}]
          - name: raw_films
            properties:
              - {name: id, logicalType: integer, physicalType: BIGINT}
              - {name: studio, logicalType: string, physicalType: VARCHAR}
              - {name: year, logicalType: integer, physicalType: BIGINT}
        slaProperties:
          - {property: latency, value: 2, unit: d, description: Two days at most.}
          - {property: frequency, value: 1, unit: d}
          - {property: retention, value: 30, unit: d}
          - {property: availability, value: 99, unit: percent}
          - {property: timeToRepair, value: 4, unit: h}
        """,
    "polyport.yaml": """
        inputs:
          sheet: {type: files, path: inputs/*.csv}
        access:
          agreements: optional
          roles:
            partner: {rows: "studio = principal.studio"}
            analyst:
              datasets:
                films: {mask: {cost: 'null'}}
            clerk:
              datasets:
                films: {columns: [id, title]}
            historian:
              datasets:
                raw_films: {rows: "year >= 1980"}
        """,
    "cleanse/checked.sql": """
        SELECT *, CASE WHEN title = 'secret' THEN 'no such film: ' || studio END AS _refused FROM sheet
        """,
    "cleanse/raw_films.sql": """
        SELECT id, studio, year,
          CASE WHEN TRY_CAST(year AS BIGINT) IS NULL OR id = '6' THEN 'odd year ' || year END AS _refused FROM sheet
        """,
    "transform/films.sql": """
        SELECT id::BIGINT AS id, title, studio, cost::BIGINT AS cost FROM checked
        """,
}
ROWS = [
    "1,Alien,Fox,11,1979",
    "2,Alien,Universal,40,1984",
    "3,Heat,Fox,,1995",
    "4,Dune,Universal,,1984",
    "5,Bad,Fox,-51234,1990",
    "6,Worse,Universal,-71234,1991",
    "7,secret,Fox,1,soon",
]


def write(folder, rows, files=FILES):
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text).lstrip(), "utf-8")
    sheet = folder / "inputs" / "films.csv"
    sheet.parent.mkdir(exist_ok=True)
    # a quoted number keeps the column text, so that what is no number gets in
    lines = ["id,title,studio,cost,year", *rows]
    sheet.write_text("\n".join([*lines, ""]), "utf-8")
