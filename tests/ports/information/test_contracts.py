"""The contracts port: what was published, what changed for whom, who has migrated."""

from __future__ import annotations

import pytest

from polyport.model import OWNER, Principal
from polyport.product import Product
from polyport.server import create_app
from polyport.testing.asgi import Client
from polyport.testing.management_port import NOBODY, PLATFORM, asking
from polyport.testing.output_port import ACCOUNTANT, PARTNER, make_product

BASE = "/products/films/contracts"
COST = '{name: cost, logicalType: number, physicalType: "DECIMAL(18,2)"}'
STUDIO = "{name: studio, logicalType: string, physicalType: VARCHAR}"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Published as 1.0.0 with snapshot 1, and as 2.0.0 without `studio` and with other values of `cost` with 2."""
    folder = tmp_path_factory.mktemp("contracts") / "films"
    with make_product(folder, "rest") as product:
        for principal in (ACCOUNTANT, PARTNER):
            with product.open(principal, port="rest") as view:
                view.scan("films", columns=["id", "title"]).read_all()
        with product.open(ACCOUNTANT, port="rest") as view:
            view.scan("films", columns=["studio"]).read_all()
    path = folder / "contracts/films.odcs.yaml"
    text = (
        path.read_text()
        .replace("version: 1.0.0", "version: 2.0.0")
        .replace(f"      - {STUDIO}\n", "")
    )
    path.write_text(text.replace(COST, COST[:-1] + ", examples: [40.25], classification: secret}"))
    settings = folder / "polyport.yaml"
    settings.write_text(settings.read_text().replace('rows: "studio = principal.studio", ', ""))
    sql = folder / "transform/films.sql"
    sql.write_text(sql.read_text().replace(" studio,", ""))
    with Product.load(folder) as product:
        product.build()
    return folder


@pytest.fixture
def product(home):
    with Product.load(home) as made:
        yield made


def ask(product, principal, path="", **params):
    reply = Client(create_app([product], identify=asking(principal))).get(
        BASE + path, params=params
    )
    return reply.status_code, reply.json()


def custom(document, name):
    return next(p["value"] for p in document["customProperties"] if p["property"] == name)


def test_published_versions_are_listed_with_links_that_lead_to_their_difference(product):
    status, found = ask(product, ACCOUNTANT)
    (contract,) = found["contracts"]
    assert (status, contract["id"], contract["version"]) == (200, "films", "2.0.0")
    assert [one["version"] for one in contract["published"]] == ["2.0.0", "1.0.0"]
    assert contract["ports"] == [{"name": "rest", "version": "1.0.0"}]
    client = Client(create_app([product], identify=asking(OWNER)))
    counts = [
        len(client.get(one["_links"]["difference"]["href"]).json()["diffs"])
        for one in contract["published"]
    ]
    assert counts[0] == 0
    assert counts[1] > 0


def test_the_same_contract_is_kept_once(product, home):
    before = len(product.ledger.journal.entries("contract", product="films"))
    (home / "inputs/films.csv").write_text(
        "id,title,released,studio,cost\n1,Alien,1979-05-25,Fox,11.50\n"
    )
    product.build()
    assert len(product.history()) >= 3
    assert len(product.ledger.journal.entries("contract", product="films")) == before


def test_the_owner_sees_who_breaks_by_name(product):
    status, found = ask(product, OWNER, "/difference")
    assert (status, found["source1"]["version"], found["source2"]["version"]) == (
        200,
        "1.0.0",
        "2.0.0",
    )
    affected = custom(found, "polyport.affected")
    (studio,) = [one for one in affected if "studio" in one["path"]]
    assert [c["principal"] for c in studio["consumers"]] == ["ann"]
    assert studio["consumers"][0]["reads"] == 1


def test_others_see_how_many(product):
    _, found = ask(product, ACCOUNTANT, "/difference")
    (studio,) = [one for one in custom(found, "polyport.affected") if "studio" in one["path"]]
    assert (studio["consumerCount"], studio["reads"]) == (1, 1)
    assert "consumers" not in studio
    assert '"ann"' not in str(found)


def test_a_viewer_hears_nothing_of_what_its_policy_hides(product):
    for start in ("1.0.0", "1"):
        _, found = ask(product, PARTNER, "/difference", **{"from": start})
        text = str(found)
        assert "studio" not in text  # a column that the role never sees
        assert "40.25" not in text  # a value of one that is masked
        assert "classification" in text
    for principal in (NOBODY, PLATFORM):
        _, found = ask(product, principal, "/difference")
        assert not [d for d in found["diffs"] if d["section"] == "schema"]
    assert "40.25" in str(ask(product, ACCOUNTANT, "/difference"))


@pytest.mark.parametrize(
    ("params", "status"),
    [
        ({"contract": "nope"}, 404), ({"from": "99"}, 404), ({"from": "nope"}, 404), ({"to": "9.9.9"}, 404),
        ({"from": ""}, 400), ({"form": "1"}, 400), ({"from": "current", "to": "current"}, 200),
        ({"from": "1", "to": "2"}, 200), ({"from": "2.0.0", "to": "1.0.0"}, 200), ({"from": "latest"}, 200),
    ],
)  # fmt: skip
def test_what_can_be_asked_for(product, params, status):
    assert ask(product, OWNER, "/difference", **params)[0] == status


def send(product, principal, body, **more):
    client = Client(create_app([product], identify=asking(principal)))
    return client.send("POST", f"{BASE}/migrations", json=body, **more)


def test_consumers_confirm_their_migration(product):
    made = send(product, ACCOUNTANT, {"port": "rest", "major": 1})
    assert (made.status_code, made.json()["principal"]) == (201, "ann")
    assert send(product, ACCOUNTANT, {"port": "rest", "major": 1}).status_code == 200  # as it was
    assert send(product, PARTNER, {"port": "rest", "major": 1}).status_code == 201
    assert [m["principal"] for m in ask(product, OWNER, "/migrations")[1]["migrations"]] == [
        "ann",
        "pat",
    ]
    assert [m["principal"] for m in ask(product, PARTNER, "/migrations")[1]["migrations"]] == [
        "pat"
    ]
    assert ask(product, Principal("eve"), "/migrations")[1]["migrations"] == []
    (entry,) = [
        e
        for e in product.ledger.journal.entries("contract", name="migration:rest")
        if e.by == "pat"
    ]
    assert entry.document == {"port": "rest", "major": 1}
    assert (
        ask(product, OWNER)[1]["contracts"][0]["id"] == "films"
    )  # none of them is taken for a contract


def test_who_reads_nothing_confirms_nothing(product):
    for principal in (NOBODY, PLATFORM):
        assert send(product, principal, {"port": "rest", "major": 1}).status_code == 403


@pytest.mark.parametrize(
    "body",
    [
        {}, {"port": "rest"}, {"port": "rest", "major": 7}, {"port": "nope", "major": 1}, {"port": "rest", "major": True},
        {"port": "rest", "major": "1"}, {"port": ["rest"], "major": 1}, {"port": "rest", "major": 1, "by": "bob"},
        {"port": None, "major": None}, {"port": "rest", "major": 1.0},
    ],
)  # fmt: skip
def test_a_migration_to_what_is_not_there_is_refused(product, body):
    before = product.ledger.journal.position()
    assert send(product, ACCOUNTANT, body).status_code == 400
    assert product.ledger.journal.position() == before


def test_a_form_of_another_page_changes_nothing(product):
    client = Client(create_app([product], identify=asking(ACCOUNTANT)))
    reply = client.send("POST", f"{BASE}/migrations", content=b'{"port": "rest", "major": 1}', headers={"Content-Type": "text/plain"})  # fmt: skip
    assert reply.status_code == 415
