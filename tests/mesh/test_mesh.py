from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from tests.nodes import served

from polyport.access.meter import Meter
from polyport.descriptor.types import Role, RoleSettings
from polyport.errors import (
    AccessError,
    ConfigurationError,
    DescriptorError,
    InputError,
    NotFoundError,
)
from polyport.expression import parse
from polyport.mesh import Mesh
from polyport.model import OWNER, Principal
from polyport.testing.output_port import make_product, write_rows

READER = {
    "dataproduct.odps.yaml": """
apiVersion: v1.1.0
kind: DataProduct
id: {id}
name: {id}
version: 1.0.0
status: active
inputPorts: [{{name: films, version: 1.0.0}}]
outputPorts: [{{name: rest, type: rest, version: 1.0.0, contractId: {id}}}]
""",
    "contracts/c.odcs.yaml": """
apiVersion: v3.2.0
kind: DataContract
id: {id}
name: {id}
version: 1.0.0
status: active
schema:
  - name: studios
    properties:
      - {{name: studio, logicalType: string, physicalType: VARCHAR, primaryKey: true, required: true}}
      - {{name: films, logicalType: integer, physicalType: BIGINT}}
""",
    "polyport.yaml": """
inputs:
  films: {{type: product, product: {source}, dataset: films}}
""",
    "transform/studios.sql": "SELECT studio, count(*) AS films FROM films GROUP BY studio\n",
}


def make_reader(folder, source, name="studios"):
    for file, text in READER.items():
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.format(id=name, source=source).lstrip(), "utf-8")


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "m"
    root.mkdir()
    (root / "mesh.yaml").write_text("name: m\n")
    make_product(root / "z-films", "files").close()
    make_reader(root / "a-studios", "films")
    return root


def let(folder, product, rule):
    """Give the consumer a role in the product it reads."""
    path = folder / "z-films" / "polyport.yaml"
    path.write_text(path.read_text() + f'    "product:{product}": {rule}\n')


def studios(product):
    with product.open(OWNER) as view:
        return {row["studio"]: row["films"] for row in view.scan("studios").read_all().to_pylist()}


def test_a_mesh_is_found_from_anywhere_in_it_and_builds_in_order(folder):
    let(folder, "studios", "{}")
    with Mesh.find(folder / "z-films" / "inputs") as mesh:
        assert (mesh.root, mesh.state) == (folder, folder / ".polyport")
        products = mesh.at(folder)
        assert [p.spec.id for p in products] == ["films", "studios"]
        assert [p.spec.id for p in mesh.at(folder / "a-studios")] == ["studios"]
        for product in products:
            product.build()
        assert studios(products[1]) == {"Fox": 3, "Universal": 1}
        newest = products[0].history()[-1]
        assert products[1].history()[-1].inputs == {"films": f"films@{newest.id}"}
        assert "product:studios" in {
            read["principal"] for read in products[0].ledger.reads("films")
        }


def test_a_consumer_reads_another_product_under_its_policy(folder):
    with Mesh.find(folder) as mesh:
        mesh.product("films").build()
        with pytest.raises(InputError, match="no role 'product:studios'"):
            mesh.product("studios").build()
        assert mesh.product("studios").history() == ()
    let(folder, "studios", "{rows: \"studio = 'Fox'\"}")
    with Mesh.find(folder) as mesh:
        mesh.product("studios").build()
        assert studios(mesh.product("studios")) == {"Fox": 3}


def test_a_product_needs_an_agreement_to_read_another_and_shows_as_its_consumer(folder):
    let(folder, "studios", "{columns: [studio]}")
    path = folder / "z-films" / "polyport.yaml"
    path.write_text(path.read_text().replace("agreements: optional", "agreements: required"))
    with Mesh.find(folder) as mesh:
        films, reader = mesh.product("films"), mesh.product("studios")
        films.build()
        with pytest.raises(InputError, match="no data sharing agreement") as caught:
            reader.build()
        command = "polyport agreement request films --port '*' --product studios"
        assert command in caught.value.fix
        asked = {
            "description": {"purpose": "counting"},
            "provider": {"outputPortId": "files"},
            "consumer": {"teamId": "t", "dataProductId": "studios"},
        }
        made, _ = films.desk().request(asked, by="owner")
        with pytest.raises(InputError, match="not decided yet"):
            reader.build()
        films.desk().decide(made.id, "approved", by="owner")
        reader.build()
        assert studios(reader) == {"Fox": 3, "Universal": 1}
        used = {(u["principal"], u["port"]) for u in films.ledger.usage.reads("films")}
        assert ("product:studios", "product") in used
        films.desk().decide(made.id, "revoked", by="owner", note="it ended")
        with pytest.raises(InputError, match="revoked: it ended"):
            reader.build()


@pytest.mark.parametrize("how", ["revoked", "expired"])
def test_an_agreement_that_ends_while_another_product_reads_ends_its_build(
    folder, monkeypatch, how
):
    """What was copied of the rows by then is not built from; nor is anything read the next time."""
    let(folder, "studios", "{}")
    path = folder / "z-films" / "polyport.yaml"
    path.write_text(path.read_text().replace("agreements: optional", "agreements: required"))
    write_rows(folder / "z-films", [f"{n},Film {n},,Fox,1.00" for n in range(300_000)])
    end = datetime(2030, 1, 1, tzinfo=UTC)
    with Mesh.find(folder) as mesh:
        films, reader = mesh.product("films"), mesh.product("studios")
        films.build()
        now = [end - timedelta(seconds=1)]
        films.clock = lambda: now[0]
        asked = {
            "description": {"purpose": "counting"},
            "provider": {"outputPortId": "files"},
            "consumer": {"teamId": "t", "dataProductId": "studios"},
            "endTimestamp": end.isoformat(),
        }
        made, _ = films.desk().request(asked, by="owner")
        films.desk().decide(made.id, "approved", by="owner")
        counted = Meter.count

        def ending(meter, batch):
            counted(meter, batch)
            if how == "expired":
                now[0] = end
            elif films.desk().get(made.id).decision == "approved":
                films.desk().decide(made.id, "revoked", by="owner", note="it ended")

        monkeypatch.setattr(Meter, "count", ending)
        with pytest.raises(InputError, match="ended"):
            reader.build()
        monkeypatch.undo()
        read = films.ledger.reads("films")[0]
        assert read["outcome"] == "denied"
        assert 0 < read["rows"] < 300_000
        with pytest.raises(InputError, match="ended"):
            reader.build()
        assert reader.history() == ()


def test_products_that_read_each_other_are_refused(folder):
    make_reader(folder / "b", "c", "b")
    make_reader(folder / "c", "b", "c")
    with Mesh.find(folder) as mesh, pytest.raises(ConfigurationError, match="in a circle: b, c"):
        mesh.at(folder)


def test_what_is_wrong_with_a_mesh(folder):
    with Mesh.find(folder) as mesh, pytest.raises(NotFoundError, match="did you mean 'films'"):
        mesh.product("film")
    make_reader(folder / "twin", "films")
    with pytest.raises(ConfigurationError, match="two products have the id 'studios'"):
        Mesh.find(folder)
    (folder / "mesh.yaml").write_text("products: [none/*]\n")
    with pytest.raises(ConfigurationError, match="no data product"):
        Mesh.find(folder)
    (folder / "mesh.yaml").write_text("store: s3://bucket/x\nproducts: [z-films]\n")
    with pytest.raises(ConfigurationError, match="not on a local disk"):
        Mesh.find(folder)
    (folder / "mesh.yaml").write_text("nam: x\n")
    with pytest.raises(DescriptorError) as caught:
        Mesh.find(folder)
    assert caught.value.diagnostics[0].code == "PP101"
    with pytest.raises(ConfigurationError, match="no data product"):
        Mesh.find(folder / "z-films" / "inputs" / "..." / "none" / "a" / "b")


def test_how_people_are_known_stands_in_mesh_yaml(folder):
    (folder / "mesh.yaml").write_text("identity: {local_owner: false}\n")
    with Mesh.find(folder) as mesh:
        assert mesh.identity == {"local_owner": False}
    (folder / "mesh.yaml").write_text("name: m\n")
    with Mesh.find(folder) as mesh:
        assert mesh.identity == {}


def test_the_order_of_mesh_yaml_is_kept_and_state_and_ledger_can_be_moved(
    folder, tmp_path, monkeypatch
):
    monkeypatch.setenv("LEDGER", str(tmp_path / "elsewhere.sqlite"))
    text = "products: [z-films, a-studios]\nstore: kept\nledger: sqlite:///${LEDGER}\n"
    (folder / "mesh.yaml").write_text(text)
    with Mesh.find(folder) as mesh:
        assert list(mesh.homes) == ["films", "studios"]
        mesh.product("films").build()
        assert len(mesh.product("films").ledger.runs("films")) == 1
    assert (tmp_path / "elsewhere.sqlite").exists()
    assert (folder / "kept" / "store").is_dir()
    assert not (folder / ".polyport").exists()


def test_its_products_share_one_ledger_which_ends_with_the_mesh(folder):
    with Mesh.find(folder) as mesh:
        films, studios = mesh.product("films"), mesh.product("studios")
        assert films.ledger is studios.ledger
        films.build()
        films.close()
        assert len(studios.ledger.runs("films")) == 1
        studios.ledger.journal.append("feedback", "f", {}, product="studios", by="ann")
        assert studios.ledger.journal.position() == films.ledger.journal.position()
    with Mesh.find(folder) as mesh:
        assert mesh.product("films").ledger.journal.newest("feedback", product="studios", name="f")


def test_no_ledger_is_made_for_a_product_whose_files_are_wrong(folder):
    (folder / "z-films/dataproduct.odps.yaml").write_text("id: films\n")
    with Mesh.find(folder) as mesh:
        with pytest.raises(DescriptorError):
            mesh.product("films")
        assert not (folder / ".polyport").exists()


@pytest.fixture
def node(tmp_path):
    """A product served at an address of this machine."""
    product = make_product(tmp_path / "far" / "films", "files")
    with served(product) as (address, _):
        yield f"{address}/products/films", product
    product.close()


def test_a_product_on_another_node_is_read_under_its_policy(node, tmp_path):
    url, source = node
    make_reader(tmp_path / "near", url, "our-studios")
    with Mesh.find(tmp_path / "near") as mesh:
        with pytest.raises(InputError, match="403"):
            mesh.product("our-studios").build()
        assert mesh.product("our-studios").history() == ()
    source.policy.roles["product:our-studios"] = Role(
        "product:our-studios", RoleSettings(rows=parse("studio = 'Fox'"))
    )
    with Mesh.find(tmp_path / "near") as mesh:
        mesh.product("our-studios").build()
        with mesh.product("our-studios").open(OWNER) as view:
            assert view.scan("studios").read_all().to_pylist() == [{"studio": "Fox", "films": 3}]


def test_a_product_on_another_node_is_read_over_its_files_port(node, tmp_path):
    url, source = node
    source.policy.roles["consumer"] = Role("consumer", RoleSettings())
    make_reader(tmp_path / "near", url)
    with Mesh.find(tmp_path / "near") as mesh:
        product = mesh.product("studios")
        product.build()
        assert studios(product) == {"Fox": 3, "Universal": 1}
        assert product.build().run.outcome == "unchanged"
        write_rows(source.spec.home, ["1,Alien,1979-05-25,Fox,11.50"])
        source.build()
        product.build()
        assert studios(product) == {"Fox": 1}
        assert source.history()[-1].id in product.history()[-1].inputs["films"]


def test_a_stranger_of_a_mesh_has_no_rights(folder):
    with Mesh.find(folder) as mesh:
        product = mesh.product("films")
        product.build()
        with product.open(Principal("product:films")) as view, pytest.raises(AccessError):
            view.scan("films")
