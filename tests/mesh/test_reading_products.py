"""A product that reads another one, in its mesh and on another node: majors, changes, and what goes wrong."""

from __future__ import annotations

import shutil

import pytest
from tests.nodes import served

from polyport.errors import InputError
from polyport.mesh import Mesh
from polyport.model import OWNER
from polyport.product import Product
from polyport.testing.output_port import ROWS, make_product, write_rows

OLD = """
apiVersion: v3.2.0
kind: DataContract
id: movies
name: Movies
version: 1.0.0
status: active
schema:
  - name: movie
    properties:
      - {name: nr, logicalType: integer, primaryKey: true, required: true}
      - {name: name, logicalType: string}
"""
MAPPING = """
ports:
  "files@1":
    mapping:
      movie: {from: films, columns: {nr: id, name: title}}
"""
READER = {
    "dataproduct.odps.yaml": """
apiVersion: v1.1.0
kind: DataProduct
id: reader
name: Reader
version: 1.0.0
status: active
inputPorts: [{name: far, contractId: expected}]
outputPorts: [{name: rest, type: rest, version: 1.0.0, contractId: read}]
""",
    "contracts/read.odcs.yaml": """
apiVersion: v3.2.0
kind: DataContract
id: read
version: 1.0.0
status: active
schema: [{name: titles, properties: [{name: title, logicalType: string, primaryKey: true}]}]
""",
    "contracts/expected.odcs.yaml": """
apiVersion: v3.2.0
kind: DataContract
id: expected
version: 1.0.0
status: active
schema: [{name: far, properties: [{name: TITLE, logicalType: string}]}]
""",
}


def make_provider(home):
    """Films, whose files port has the majors 1 (by a mapping) and 2."""
    make_product(home, "files").close()
    odps = home / "dataproduct.odps.yaml"
    newest = "{name: files, type: files, version: 1.0.0, contractId: films}"
    both = "{name: files, type: files, version: 1.0.0, contractId: movies}, " + newest.replace(
        "1.0.0", "2.0.0"
    )
    text = odps.read_text()
    assert newest in text
    odps.write_text(text.replace(newest, both))
    (home / "contracts/movies.odcs.yaml").write_text(OLD)
    settings = home / "polyport.yaml"
    settings.write_text(settings.read_text().rstrip() + "\n    consumer: {}\n" + MAPPING)
    shutil.rmtree(home / ".polyport")
    product = Product.load(home)
    product.build()
    return product


@pytest.fixture
def node(tmp_path):
    """The provider served at an address of this machine: its address, itself, and what ends it."""
    product = make_provider(tmp_path / "far" / "films")
    with served(product) as (address, end):
        yield f"{address}/products/films", product, end
    product.close()


@pytest.fixture
def read(tmp_path):
    """Builds the reader of `product`; the titles that it has then."""

    def built(product, dataset, title="title", **more):
        home = tmp_path / "near" / "reader"
        for name, text in READER.items():
            (home / name).parent.mkdir(parents=True, exist_ok=True)
            (home / name).write_text(text.replace("TITLE", title))
        said = {"type": "product", "product": product, "dataset": dataset, "retries": 0, **more}
        listed = ", ".join(
            f"{name}: '{value}'" if isinstance(value, str) else f"{name}: {value}"
            for name, value in said.items()
        )
        (home / "polyport.yaml").write_text(f"inputs: {{far: {{{listed}}}}}\n")
        (home / "transform").mkdir(exist_ok=True)
        (home / "transform/titles.sql").write_text(f"SELECT {title} AS title FROM far")
        (tmp_path / "near/mesh.yaml").write_text("name: near\n")
        with Mesh.find(tmp_path / "near") as mesh:
            reader = mesh.product("reader")
            reader.build()
            return titles(reader)

    return built


def titles(reader):
    with reader.open(OWNER) as view, view.scan("titles") as rows:
        return sorted(rows.read_all()["title"].to_pylist())


def still(tmp_path):
    with Mesh.find(tmp_path / "near") as mesh:
        return len(mesh.product("reader").history()), len(titles(mesh.product("reader")))


def test_majors_of_another_node(node, read):
    url, _, _ = node
    assert len(read(url, "movie", "name")) == 4  # 1, as nothing is said
    assert len(read(url, "movie", "name", version=1)) == 4
    assert len(read(url, "films", version=2)) == 4
    with pytest.raises(InputError) as caught:
        read(url, "films", version=3)
    assert caught.value.message.endswith("has no major version 3 of its files port")
    assert caught.value.fix.startswith("it has 1, 2: set `version`")
    with pytest.raises(InputError) as caught:
        read(url, "movies", version=1)
    assert "no file 'movies.parquet'" in caught.value.message
    assert "movie" in caught.value.fix


def test_majors_in_the_mesh(tmp_path, read):
    with make_provider(tmp_path / "near" / "films"):
        pass
    with Mesh.find(tmp_path / "near") as mesh:
        mesh.product("films").build()
    assert len(read("films", "films")) == 4
    assert len(read("films", "films", version=2)) == 4
    assert len(read("films", "movie", "name", version=1)) == 4
    with pytest.raises(InputError) as caught:
        read("films", "films", version=3)
    assert "'films' has no output port of major version 3" in caught.value.message
    assert caught.value.fix == "major versions: 1, 2"


def test_what_the_other_node_refuses_is_told_in_its_words_and_nothing_is_lost(node, read, tmp_path):
    url, product, _ = node
    assert len(read(url, "films", version=2)) == 4
    assert "consumer" in product.policy.roles
    del product.policy.roles["consumer"]
    with pytest.raises(InputError) as caught:
        read(url, "films", version=2)
    assert "status 403" in caught.value.message
    assert "may not read 'films': the product has no role 'consumer'" in caught.value.message
    assert "{" not in caught.value.message
    assert still(tmp_path) == (1, 4)


def test_what_it_publishes_is_read_at_the_next_build_and_a_pinned_snapshot_stays(node, read):
    url, product, _ = node
    first = product.history()[-1]
    write_rows(product.spec.home, [*ROWS, "5,Ran,1985-05-31,Toho,11.00"])
    product.build()
    assert len(read(url, "films", version=2, snapshot=first.id)) == 4
    assert len(read(url, "films", version=2)) == 5
    with pytest.raises(InputError, match="snapshot"):
        read(url, "films", version=2, snapshot="41")


def test_another_schema_than_the_contract_expects(node, read, tmp_path):
    url, _, _ = node
    assert len(read(url, "films", version=2)) == 4
    with pytest.raises(InputError, match="expected column `name`") as caught:
        read(url, "films", "name", version=2)
    assert caught.value.where == "input port far"
    assert still(tmp_path) == (1, 4)


def test_a_node_that_is_gone(node, read, tmp_path):
    url, _, end = node
    assert len(read(url, "films", version=2)) == 4
    end()
    with pytest.raises(InputError, match="ConnectError") as caught:
        read(url, "films", version=2)
    assert "tried" in caught.value.fix
    assert still(tmp_path) == (1, 4)


def test_a_neighbour_that_is_gone_or_retired(tmp_path, read):
    home = tmp_path / "near" / "films"
    with make_provider(home):
        pass
    with Mesh.find(tmp_path / "near") as mesh:
        mesh.product("films").build()
    assert len(read("films", "films")) == 4
    odps = home / "dataproduct.odps.yaml"
    odps.write_text(odps.read_text().replace("status: active", "status: retired"))
    with pytest.raises(InputError, match="product films: 'films' is retired"):
        read("films", "films")
    shutil.rmtree(home)
    with pytest.raises(InputError, match="no data product 'films'"):
        read("films", "films")
    assert still(tmp_path) == (1, 4)
