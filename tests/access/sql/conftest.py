"""Two products of a mesh, in which every hidden value holds the word CANARY, asked through sessions."""

from __future__ import annotations

import textwrap

import pytest

from polyport.access.sql.opening import SqlDoor
from polyport.engine.walled.answers import Answers
from polyport.engine.walled.large import LargeAnswers
from polyport.engine.walled.pool import Workers
from polyport.mesh import Mesh
from polyport.model import Principal

DESCRIPTOR = """
apiVersion: v1.1.0
kind: DataProduct
id: {id}
name: {id}
version: 1.0.0
status: active
domain: testing
description: {{purpose: To be attacked.}}
inputPorts: [{inputs}]
outputPorts: [{{name: rest, type: rest, version: 1.0.0, contractId: {id}}}]
team: {{name: Testing, members: [{{username: ann@example.com, role: owner}}]}}
"""
CONTRACT = """
apiVersion: v3.2.0
kind: DataContract
id: {id}
name: {id}
version: 1.0.0
status: active
schema:
"""
FILMS = """
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
        quality: [{metric: invalidValues, type: library, mustBe: 0, arguments: {pattern: "^(CANARY|Open).*"}}]
      - {name: released, logicalType: date, physicalType: DATE}
      - {name: CANARY_cost, logicalType: number, physicalType: "DECIMAL(18,2)"}
  - name: CANARY_crew
    properties:
      - {name: film, logicalType: integer, physicalType: BIGINT, primaryKey: true, required: true}
      - {name: person, logicalType: string, physicalType: VARCHAR}
"""
RATINGS = """
  - name: ratings
    properties:
      - {name: film, logicalType: integer, physicalType: BIGINT, primaryKey: true, required: true}
      - {name: stars, logicalType: integer, physicalType: INTEGER}
      - {name: reviewer, logicalType: string, physicalType: VARCHAR}
"""
PRODUCTS = {
    "films/dataproduct.odps.yaml": DESCRIPTOR.format(
        id="films", inputs="{name: sheet, version: 1.0.0}, {name: crew, version: 1.0.0}"
    ),
    "films/contracts/films.odcs.yaml": CONTRACT.format(id="films") + FILMS,
    "films/polyport.yaml": """
        inputs:
          sheet: {type: files, path: inputs/films.csv}
          crew: {type: files, path: inputs/crew.csv}
        access:
          agreements: optional
          roles:
            all: {}
            partner:
              datasets:
                films:
                  rows: "studio = principal.studio"
                  columns: [id, title, studio, director, released]
                  mask: {director: hash, released: year}
            blind:
              datasets:
                films:
                  columns: [id, title, director, studio]
                  rows: "studio = 'Fox'"
                  mask: {id: hash, director: 'null'}
            masked:
              datasets:
                films: {columns: [id, title, director], mask: {director: 'partial:1', title: 'prefix:2'}}
        limits: {rows_per_read: 3, sql: {seconds: 20, memory: 256MB, spill: 512MB, workers: 4}}
        """,
    "films/transform/films.sql": """
        SELECT id::BIGINT AS id, title, studio, director, released::DATE AS released,
               cost::DECIMAL(18,2) AS "CANARY_cost" FROM sheet
        """,
    "films/transform/CANARY_crew.sql": "SELECT film::BIGINT AS film, person FROM crew",
    "films/inputs/films.csv": """
        id,title,studio,director,released,cost
        11,Alien,Fox,CANARY Scott,1979-05-25,13.75
        12,Heat,Fox,CANARY Mann,1995-12-15,60.25
        980013,CANARY Dune,Other,CANARY Lynch,1984-12-14,40.25
        980014,CANARY Ran,,CANARY Kurosawa,1985-06-01,1.25
        """,
    "films/inputs/crew.csv": """
        film,person
        11,CANARY Weaver
        980013,CANARY MacLachlan
        """,
    "ratings/dataproduct.odps.yaml": DESCRIPTOR.format(
        id="ratings", inputs="{name: sheet, version: 1.0.0}"
    ),
    "ratings/contracts/ratings.odcs.yaml": CONTRACT.format(id="ratings") + RATINGS,
    "ratings/polyport.yaml": """
        inputs: {sheet: {type: files, path: inputs/ratings.csv}}
        access:
          roles:
            all: {}
            partner: {rows: "stars >= 3", columns: [film, stars]}
        limits: {rows_per_read: 1}
        """,
    "ratings/transform/ratings.sql": (
        "SELECT film::BIGINT AS film, stars::INTEGER AS stars, reviewer FROM sheet"
    ),
    "ratings/inputs/ratings.csv": """
        film,stars,reviewer
        11,5,CANARY Ebert
        12,3,CANARY Siskel
        980013,1,CANARY Kael
        """,
    "mesh.yaml": "name: messy\nproducts: [films, ratings]\n",
}
SECRETS = ("CANARY", "98001", "60.25", "13.75")
"""What only the owner may see: hidden words, the keys of hidden rows, values of a hidden column."""


def write(folder, files):
    for name, body in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(body).lstrip(), "utf-8")


@pytest.fixture(scope="module")
def mesh(tmp_path_factory):
    root = tmp_path_factory.mktemp("mesh")
    write(root, PRODUCTS)
    made = Mesh.find(root)
    for name in made.homes:
        made.product(name).build()
    yield made
    made.close()


@pytest.fixture(scope="module")
def workers(tmp_path_factory):
    made = Workers(scratch=tmp_path_factory.mktemp("scratch"))
    yield made
    made.close()


def door(mesh, workers, product="films"):
    """What a port of the product is given."""
    home = mesh.product(product)
    return SqlDoor(home, home.spec.outputs[0], home.near, workers, "messy")


def person(*roles, name="pat", studio="Fox", free=True):
    return Principal(name, frozenset(roles), {"studio": studio}, needs_agreement=not free)


@pytest.fixture
def opened(mesh, workers):
    """Opens sessions, to which nothing was answered before, and closes them in the end."""
    made = []
    workers.large.close()
    workers.answers, workers.large = Answers(), LargeAnswers()

    def opened(*roles, ref="latest", product="films", who=None, **options):
        session = door(mesh, workers, product)(who or person(*roles), ref, **options)
        made.append(session)
        return session

    yield opened
    for session in made:
        session.close()
