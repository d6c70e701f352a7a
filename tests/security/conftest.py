"""A product whose every hidden value holds the word CANARY, served as `polyport serve` does it."""

from __future__ import annotations

import textwrap

import pytest

from polyport.product import Product
from polyport.server import create_app
from polyport.testing.asgi import Client

FILES = {
    "dataproduct.odps.yaml": """
        apiVersion: v1.1.0
        kind: DataProduct
        id: films
        name: Films
        version: 1.0.0
        status: active
        domain: testing
        description: {purpose: To be attacked.}
        inputPorts: [{name: sheet, version: 1.0.0}, {name: crew, version: 1.0.0}]
        outputPorts:
          - {name: rest, type: rest, version: 1.0.0, contractId: films}
          - {name: files, type: files, version: 1.0.0, contractId: films}
        team: {name: Testing, members: [{username: ann@example.com, role: owner}]}
        context: {verifiedStatements: [{question: Which film cost most?, answer: "CANARY Heat, 60.25"}]}
        """,
    "contracts/films.odcs.yaml": """
        apiVersion: v3.2.0
        kind: DataContract
        id: films
        name: Films
        version: 1.0.0
        status: active
        servers: [{server: x, type: custom, host: CANARY.example}]
        slaProperties: [{property: generalAvailability, value: "2020-01-01", description: CANARY}]
        schema:
          - name: films
            quality:
              - {type: sql, query: "SELECT count(*) FROM CANARY_crew WHERE false", mustBe: 0}
            properties:
              - {name: id, logicalType: integer, physicalType: BIGINT, primaryKey: true, required: true}
              - {name: title, logicalType: string, physicalType: VARCHAR}
              - {name: studio, logicalType: string, physicalType: VARCHAR}
              - name: director
                logicalType: string
                physicalType: VARCHAR
                examples: [CANARY example]
                logicalTypeOptions: {pattern: "^(CANARY|Open).*"}
                quality: [{metric: invalidValues, type: library, mustBe: 0, arguments: {pattern: "^(CANARY|Open).*"}}]
              - {name: CANARY_cost, logicalType: number, physicalType: "DECIMAL(18,2)"}
          - name: CANARY_crew
            properties:
              - {name: film, logicalType: integer, physicalType: BIGINT, primaryKey: true, required: true}
              - {name: person, logicalType: string, physicalType: VARCHAR}
            relationships: [{type: foreignKey, from: CANARY_crew.film, to: films.id}]
        """,
    "polyport.yaml": """
        inputs:
          sheet: {type: files, path: inputs/films.csv}
          crew: {type: files, path: inputs/crew.csv}
        access:
          roles:
            partner:
              datasets:
                films:
                  rows: "studio = principal.studio"
                  columns: [id, title, studio, director]
                  mask: {director: hash}
            blind:
              datasets:
                films: {columns: [id, title, director, studio], rows: "studio = 'Fox'", mask: {id: hash, director: 'null'}}
        """,
    "transform/films.sql": """
        SELECT id::BIGINT AS id, title, studio, director, cost::DECIMAL(18,2) AS "CANARY_cost" FROM sheet
        """,
    "transform/CANARY_crew.sql": "SELECT film::BIGINT AS film, person FROM crew",
    "inputs/films.csv": """
        id,title,studio,director,cost
        11,Alien,Fox,CANARY Scott,11.50
        12,Heat,Fox,CANARY Scott,60.25
        980013,CANARY Dune,Other,CANARY Lynch,40.25
        980014,CANARY Ran,,CANARY Kurosawa,1.25
        """,
    "inputs/crew.csv": """
        film,person
        11,CANARY Weaver
        980013,CANARY MacLachlan
        """,
}
SECRETS = ("CANARY", "98001", "60.25")
"""What only the owner may see: hidden words, the keys of hidden rows, a hidden column's value."""


def write(folder, files):
    for name, body in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(body).lstrip(), "utf-8")


@pytest.fixture(scope="session")
def films(tmp_path_factory):
    home = tmp_path_factory.mktemp("films")
    write(home, FILES)
    with Product.load(home) as product:
        product.build()
        product.speed_up()
        yield product


@pytest.fixture(scope="session")
def client(films):
    return Client(create_app([films]))
